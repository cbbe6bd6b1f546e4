"""What an operator sets: the environment first, then ``.env``, then ``vmi.toml``, then defaults.

``load()`` reads all three, names every unknown, malformed or contradictory setting in one error, and remembers where
each value came from. Secrets are ``SecretStr``: they print as stars.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, PrivateAttr, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from vertex_model_inference import settings_sources as sources
from vertex_model_inference.errors import SettingsError
from vertex_model_inference.models import DeliveryRules
from vertex_model_inference.settings_sections import ModelSection, http_url

__all__ = ["Settings", "is_loopback", "load"]

_REGION_IN_URL = re.compile(r"https?://([a-z]+-[a-z]+\d+)-aiplatform\.")
_PASSWORD = re.compile(r"(?<=://)([^/@:]*):([^@/]*)@")
_PASSWORD_KEY = re.compile(r"(?<=[?&])((?:ssl)?password=)[^&]*")
_POSTGRES = ("postgresql", "postgres", "postgresql+psycopg")

Destination = Literal["model-run", "project", "files"]


class _Given(PydanticBaseSettingsSource):
    """One of our readings as a source of pydantic-settings."""

    def __init__(self, settings_cls: type[BaseSettings], reading: sources.Reading) -> None:
        super().__init__(settings_cls)
        self.reading = reading

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - not our signature
        """The value of one field, None where this source does not set it."""
        return self.reading.values.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return dict(self.reading.values)


class Settings(BaseSettings):
    """What is in force. Attributes are named as in ``vmi.toml``; ``settings_sources.FIELDS`` has the variables.

    URLs have no trailing slash. ``max_asset_mb`` is in 10**6 bytes, ``body_limit`` in bytes.
    """

    model_config = SettingsConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    labelbox_api_key: SecretStr | None = None
    labelbox_url: str = "https://api.labelbox.com"
    project: str | None = None
    region: Annotated[str, Field(pattern=r"^[a-z]+-[a-z]+\d+$")] = "us-central1"
    bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$")] | None = None
    vertex_url: str = ""
    storage_url: str | None = None
    google_token: SecretStr | None = None
    webhook_secret: SecretStr | None = None
    pages_token: SecretStr | None = None
    pages_iap_audience: str | None = None
    pages_url: str | None = None
    database_url: Annotated[str, Field(repr=False)] = ""
    data_dir: Path = Path(".vmi")
    allow_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    destination: Annotated[tuple[Destination, ...], NoDecode] = ("model-run",)
    labelbox_project: str | None = None
    fallback: Literal["project", "files"] | None = None
    canary_rows: Annotated[int, Field(ge=0, le=1000)] = 10
    canary_empty: Literal["stop", "go"] = "stop"
    shard_rows: Annotated[int, Field(ge=1, le=100_000)] = 1000
    job_rows: Annotated[int, Field(ge=1, le=10_000_000)] = 50_000
    run_groups: Annotated[int, Field(ge=1, le=1000)] = 4
    worker_groups: Annotated[int, Field(ge=1, le=100)] = 4
    total_groups: Annotated[int, Field(ge=1, le=10_000)] | None = None
    groups_per_minute: Annotated[int, Field(ge=1, le=100_000)] | None = None
    lease_s: Annotated[float, Field(ge=1, le=300)] = 15
    max_asset_mb: Annotated[float, Field(gt=0, le=10_000)] = 50
    body_limit: Annotated[int, Field(ge=1024, le=100_000_000)] = 1_000_000
    model_name: str | None = None
    etl_url: str | None = None
    inference_url: str | None = None
    models: dict[str, ModelSection] = {}

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic-settings'
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what ``load()`` read, in its order; ``Settings(...)`` alone reads nothing from outside."""
        given = getattr(init_settings, "init_kwargs", {})
        readings = given.pop("_readings", ())
        return (init_settings, *(_Given(settings_cls, reading) for reading in readings))

    @field_validator("labelbox_url", "vertex_url", "storage_url", "pages_url", "etl_url", "inference_url")
    @classmethod
    def _is_url(cls, value: str | None) -> str | None:
        return http_url(value) if value else value

    @field_validator("labelbox_url")
    @classmethod
    def _is_base(cls, value: str) -> str:
        # People paste the GraphQL endpoint; the base is meant.
        return value.removesuffix("/graphql").removesuffix("/_gql").removesuffix("/api/v1")

    @field_validator("bucket", mode="before")
    @classmethod
    def _is_bucket(cls, value: object) -> object:
        return value.removeprefix("gs://").rstrip("/") if isinstance(value, str) else value

    @field_validator("database_url")
    @classmethod
    def _is_database(cls, value: str) -> str:
        # The value may hold a password: no message repeats it.
        scheme, colon, rest = value.partition("://")
        if value and not (colon and (scheme in _POSTGRES or scheme == "sqlite")):
            msg = "a database URL begins with sqlite:/// or postgresql://"
            raise ValueError(msg)
        return f"postgresql://{rest}" if scheme in _POSTGRES else value

    @field_validator("pages_token")
    @classmethod
    def _is_long(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 16:
            msg = "a token that cannot be guessed has 16 characters or more, e.g. of `openssl rand -base64 24`"
            raise ValueError(msg)
        return value

    @field_validator("allow_hosts", "destination", mode="before")
    @classmethod
    def _is_list(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("destination")
    @classmethod
    def _has_destination(cls, value: tuple[Destination, ...]) -> tuple[Destination, ...]:
        if not value:
            msg = "at least one of model-run, project, files is needed"
            raise ValueError(msg)
        return tuple(dict.fromkeys(value))

    def model_post_init(self, context: Any, /) -> None:  # noqa: ARG002 - not our signature
        """Fill in the values that follow from others."""
        if not self.vertex_url:
            object.__setattr__(self, "vertex_url", f"https://{self.region}-aiplatform.googleapis.com")
        if not self.database_url:
            object.__setattr__(self, "database_url", f"sqlite:///{self.data_dir.absolute() / 'vmi.sqlite'}")

    # -- what follows from them ---------------------------------------------------------------------------------

    @property
    def labelbox_graphql(self) -> str:
        """The GraphQL endpoint, as the SDK takes it."""
        return f"{self.labelbox_url}/graphql"

    @property
    def labelbox_rest(self) -> str:
        """The REST endpoint, as the SDK takes it."""
        return f"{self.labelbox_url}/api/v1"

    @property
    def asset_hosts(self) -> frozenset[str]:
        """Hosts (lower case) whose private addresses assets may be fetched from.

        Loopback is among them only while Labelbox itself is on loopback, that is in a sandbox: a data row must not be
        able to make a production server read its own neighbours.
        """
        hosts = {host.lower() for host in self.allow_hosts}
        if is_loopback(self.labelbox_url):
            hosts |= {"127.0.0.1", "localhost", "::1"}
        return frozenset(hosts)

    @property
    def shared_database(self) -> bool:
        """Whether the engine's database is one that several machines can share (Postgres)."""
        return self.database_url.startswith("postgresql://")

    @property
    def delivery(self) -> DeliveryRules:
        """Where predictions go, and the canary, for models whose section says nothing else."""
        return DeliveryRules(
            destinations=self.destination,
            project=self.labelbox_project,
            fallback=self.fallback,
            canary_rows=self.canary_rows,
            canary_empty=self.canary_empty,
        )

    def sources(self) -> dict[str, str]:
        """Field name -> where its value came from, e.g. ``environment VMI_REGION``; ``default`` otherwise."""
        return {name: self._origins.get(name, "default") for name in type(self).model_fields}

    def shown(self) -> dict[str, Any]:
        """Every value as it may be shown to people and logs: secrets as stars, passwords in URLs too."""
        values = self.model_dump(mode="json", exclude_defaults=False)
        for name, value in values.items():
            if isinstance(getattr(self, name), SecretStr):
                values[name] = "********"
            elif isinstance(value, str):
                values[name] = _PASSWORD_KEY.sub(r"\1********", _PASSWORD.sub(r"\1:********@", value))
        return values

    def require(self, *names: str) -> None:
        """Make sure that the named fields are set.

        Raises:
            SettingsError: Naming the variable of each one that is not.
        """
        variables = {field.name: field.variable for field in sources.FIELDS}
        missing = [variables[name] for name in names if not getattr(self, name)]
        if missing:
            keys = " and ".join(missing)
            raise SettingsError(
                f"{keys} must be set for this command and {'is' if len(missing) == 1 else 'are'} not.",
                code="settings_missing",
                hint=f"Set {keys} in the environment or in .env; `vmi settings` shows what is in force.",
            )

    def check_host(self, host: str) -> None:
        """Make sure that serving on ``host`` is safe.

        Raises:
            SettingsError: The host is not loopback and there is no webhook secret.
        """
        if self.webhook_secret is None and not is_loopback(host):
            raise SettingsError(
                f"VMI_WEBHOOK_SECRET is not set, and {host} can be reached by others, who could start runs.",
                code="settings_secret",
                hint="Set VMI_WEBHOOK_SECRET to the secret entered in Labelbox, or serve on 127.0.0.1.",
            )

    def check_pages_host(self, host: str) -> None:
        """Make sure that showing the pages on ``host`` is safe.

        Raises:
            SettingsError: The host is not loopback, and nobody has said who may look.
        """
        if self.pages_token is None and self.pages_iap_audience is None and not is_loopback(host):
            raise SettingsError(
                f"VMI_PAGES_TOKEN is not set, and {host} can be reached by others.",
                code="settings_secret",
                hint="Set VMI_PAGES_TOKEN to what people type to sign in, or serve on 127.0.0.1.",
            )


def is_loopback(host_or_url: str) -> bool:
    """Whether a host name, address or URL can only be reached from this machine."""
    host = urlsplit(host_or_url).hostname if "://" in host_or_url else host_or_url.strip("[]")
    if not host:
        return False
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def load(
    environ: Mapping[str, str] | None = None, directory: Path | None = None, overrides: Mapping[str, Any] | None = None
) -> Settings:
    """Read the settings.

    Args:
        environ: Environment variables; the process's own by default.
        directory: Where ``.env`` and ``vmi.toml`` are looked for; the current folder by default.
        overrides: Field name -> value of options given on the command line; None values do not count.

    Raises:
        SettingsError: With every problem found, one sentence each, and its fix.
    """
    environ = os.environ if environ is None else environ
    directory = Path.cwd() if directory is None else directory
    dotenv = _read_dotenv(directory / ".env")
    variables = {**dotenv, **environ}
    path, named = sources.toml_path(variables, directory)
    readings = [
        sources.read_environment(environ, "environment"),
        sources.read_environment(dotenv, ".env"),
        sources.read_toml(path, must_exist=named),
    ]
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    origins: dict[str, str] = dict.fromkeys(given, "command line")
    for reading in readings:
        for name, origin in reading.origins.items():
            origins.setdefault(name, origin)
    problems = [problem for reading in readings for problem in reading.problems]
    settings = None
    try:
        settings = Settings(**given, _readings=readings)  # type: ignore[call-arg]  # taken out by our own source hook
    except ValidationError as error:
        problems += [_explain(detail, origins) for detail in error.errors(include_input=False, include_url=False)]
    else:
        problems += _contradictions(settings, origins)
    if problems or settings is None:
        raise SettingsError("\n".join(dict.fromkeys(problems)))
    settings._origins.update(origins)  # noqa: SLF001 - this function is the class's own constructor
    return settings


def _read_dotenv(path: Path) -> dict[str, str | None]:
    if not path.is_file():
        return {}
    from dotenv import dotenv_values

    return dict(dotenv_values(path, interpolate=False))


def _explain(detail: Any, origins: Mapping[str, str]) -> str:
    where = [str(part) for part in detail["loc"]]
    name = where[0]
    if name == "models":
        section = f'[models."{where[1]}"] {".".join(where[2:])}'.strip()
        return f"{section} in {origins.get('models', 'vmi.toml')} is wrong: {detail['msg']}. Correct it."
    place = origins.get(name, name)
    return f"{place} ({'.'.join(where)}) is wrong: {detail['msg'].removeprefix('Value error, ')}. Correct it."


def _contradictions(settings: Settings, origins: Mapping[str, str]) -> list[str]:
    found = []
    match = _REGION_IN_URL.match(settings.vertex_url)
    if match and match.group(1) != settings.region:
        found.append(
            f"{origins.get('vertex_url', 'vertex_url')} is in {match.group(1)}, but the region is {settings.region} "
            f"({origins.get('region', 'default')}). Set VMI_REGION={match.group(1)}, or leave VMI_VERTEX_URL out."
        )
    if settings.shard_rows > settings.job_rows:
        found.append(
            f"shard_rows is {settings.shard_rows} and job_rows is {settings.job_rows}: a job takes whole shards. "
            "Set VMI_SHARD_ROWS to at most VMI_JOB_ROWS."
        )
    if settings.total_groups is not None and settings.total_groups < settings.worker_groups:
        found.append(
            f"worker_groups is {settings.worker_groups} and total_groups, of all workers, is {settings.total_groups}. "
            "Set VMI_WORKER_GROUPS to at most VMI_TOTAL_GROUPS."
        )
    wanted = (*settings.destination, settings.fallback)
    if "project" in wanted and not settings.labelbox_project and not any(m.project for m in settings.models.values()):
        found.append(
            f"{origins.get('destination' if 'project' in settings.destination else 'fallback')} sends predictions to a "
            "project and none is named. Set VMI_LABELBOX_PROJECT to its Labelbox id, or project in a model's section."
        )
    for name, section in settings.models.items():
        if section.container and section.predict:
            found.append(
                f'[models."{name}"] sets both container and predict; a container has no batch or online. Remove one.'
            )
        if section.gemini and not section.hide and not settings.project:
            found.append(
                f'[models."{name}"] is Gemini, which is asked in a project, and none is set. Set GOOGLE_CLOUD_PROJECT.'
            )
        if section.nms_agnostic and section.nms_iou is None:
            found.append(f'[models."{name}"] sets nms_agnostic without nms_iou. Set nms_iou, e.g. to 0.5.')
        rules = section.delivery().over(settings.delivery)
        given = section.destination is not None or section.fallback is not None
        if given and "project" in (*(rules.destinations or ()), rules.fallback) and not rules.project:
            found.append(
                f'[models."{name}"] sends predictions to a project and names none. Set project to its Labelbox '
                "id there, or VMI_LABELBOX_PROJECT."
            )
        if section.hide and section.rename:
            found.append(f'[models."{name}"] is both hidden and renamed. Remove hide or rename.')
    renames = [section.rename for section in settings.models.values() if section.rename]
    found += [
        f"Several models are renamed to {name!r}. Names must be unique."
        for name in sorted({n for n in renames if renames.count(n) > 1})
    ]
    return found
