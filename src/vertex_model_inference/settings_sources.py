"""Where settings come from: the environment, ``.env`` and ``vmi.toml``, and what can be wrong with their names.

Reading is separate from meaning (``settings.py``): here a source becomes ``{field: value}`` and a list of problems.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["FIELDS", "MODEL_KEYS", "Field", "Reading", "nearest", "read_environment", "read_toml", "toml_path"]

MODEL_KEYS = (
    "rename",
    "hide",
    "predict",
    "container",
    "task",
    "decoder",
    "mapping",
    "threshold",
    "classes",
    "class_names",
    "unmapped",
    "text_feature",
    "thresholds",
    "top_k",
    "nms_iou",
    "nms_agnostic",
    "min_size_px",
    "simplify_px",
    "max_annotations",
    "instance",
    "parameters",
    "machine_type",
    "batch_size",
    "exif",
    "gemini",
    "mode",
    "instructions",
    "temperature",
    "max_output_tokens",
    "thinking_budget",
    "confidence",
    "metrics",
    "destination",
    "project",
    "fallback",
    "canary_rows",
    "canary_empty",
    "rerun",
    "max_rows",
    "max_cost",
    "max_failed_fraction",
    "max_failed_from",
    "usd_per_1000_rows",
    "usd_per_node_hour",
    "usd_per_million_tokens",
)
"""Keys of a ``[models."..."]`` section of ``vmi.toml``."""


@dataclass(frozen=True)
class Field:
    """One setting's names.

    Attributes:
        name: Attribute of ``Settings`` and key in ``vmi.toml``.
        variable: Environment variable.
        aliases: Other environment variables that mean the same (the 2022 names, Google's own).
        help: One line for ``vmi settings``.
    """

    name: str
    variable: str
    aliases: tuple[str, ...] = ()
    help: str = ""


FIELDS: tuple[Field, ...] = (
    Field("labelbox_api_key", "LABELBOX_API_KEY", ("lb_api_key",), "API key of Labelbox"),
    Field("labelbox_url", "VMI_LABELBOX_URL", (), "base URL of Labelbox"),
    Field("project", "GOOGLE_CLOUD_PROJECT", ("google_project",), "Google Cloud project"),
    Field("region", "VMI_REGION", ("gcs_region",), "region of the models and of batch jobs"),
    Field("bucket", "VMI_BUCKET", ("gcs_bucket",), "bucket for assets and runs"),
    Field("vertex_url", "VMI_VERTEX_URL", (), "base URL of Vertex AI"),
    Field("storage_url", "VMI_STORAGE_URL", ("STORAGE_EMULATOR_HOST",), "base URL of Cloud Storage, when not Google's"),
    Field("google_token", "VMI_GOOGLE_TOKEN", (), "fixed access token, instead of application default credentials"),
    Field("webhook_secret", "VMI_WEBHOOK_SECRET", (), "secret that Labelbox signs its calls with"),
    Field("pages_token", "VMI_PAGES_TOKEN", (), "what is typed to sign in to the pages, 16 characters or more"),
    Field(
        "pages_iap_audience",
        "VMI_PAGES_IAP_AUDIENCE",
        (),
        "audience of Identity-Aware Proxy in front of the pages: whom it lets through may look",
    ),
    Field(
        "pages_url",
        "VMI_PAGES_URL",
        (),
        "where operators reach the pages, such as `https://vmi.example.com`: runs in Labelbox link there",
    ),
    Field("database_url", "VMI_DATABASE_URL", (), "SQLite or Postgres URL of the engine"),
    Field("data_dir", "VMI_DATA_DIR", (), "folder for the database and caches"),
    Field("allow_hosts", "VMI_ALLOW_HOSTS", (), "hosts on private addresses that assets may be fetched from"),
    Field("destination", "VMI_DESTINATION", (), "where predictions go: model-run, project, files, or several"),
    Field("labelbox_project", "VMI_LABELBOX_PROJECT", (), "Labelbox project that gets pre-labels"),
    Field("fallback", "VMI_FALLBACK", (), "project or files, when Labelbox refuses predictions in model runs"),
    Field("canary_rows", "VMI_CANARY_ROWS", (), "rows that go the whole way before the rest is launched; 0: none"),
    Field("canary_empty", "VMI_CANARY_EMPTY", (), "stop or go when the model finds nothing in any canary row"),
    Field("shard_rows", "VMI_SHARD_ROWS", (), "data rows in one file of a run"),
    Field("job_rows", "VMI_JOB_ROWS", (), "data rows in one batch job"),
    Field("run_groups", "VMI_RUN_GROUPS", (), "groups of one run under way at once: batch jobs, or online shards"),
    Field("worker_groups", "VMI_WORKER_GROUPS", (), "groups that one process works on at once, on Postgres"),
    Field("total_groups", "VMI_TOTAL_GROUPS", (), "groups that all processes together work on at once, on Postgres"),
    Field("groups_per_minute", "VMI_GROUPS_PER_MINUTE", (), "groups that all processes begin a minute, on Postgres"),
    Field("lease_s", "VMI_LEASE_S", (), "silence after which a process's work is another's, in seconds, on Postgres"),
    Field("max_asset_mb", "VMI_MAX_ASSET_MB", (), "largest asset fetched, in MB"),
    Field("body_limit", "VMI_BODY_LIMIT", (), "largest webhook body, in bytes"),
    Field("model_name", "VMI_MODEL_NAME", ("model_name",), "only this model is offered"),
    Field("etl_url", "VMI_ETL_URL", ("etl_url",), "next Cloud Function after model_run"),
    Field("inference_url", "VMI_INFERENCE_URL", ("inference_url",), "next Cloud Function after etl_function"),
)

_BY_NAME = {f.name: f for f in FIELDS}
# Read elsewhere: the path of vmi.toml, and what `vmi sandbox` takes.
_OTHER_VARIABLES = {"VMI_CONFIG"}
_OTHER_PREFIXES = ("VMI_SANDBOX_", "VMI_TEST_")


@dataclass(frozen=True)
class Reading:
    """What one source says.

    Attributes:
        values: Field name -> value (text from the environment, TOML's own types from ``vmi.toml``).
        origins: Field name -> words for people, e.g. ``environment VMI_REGION``.
        problems: One sentence each, with the fix.
    """

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def nearest(word: str, known: Iterable[str]) -> str:
    """Words that suggest the known name closest to ``word``, e.g. ``" Did you mean VMI_BUCKET?"``; else empty."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" Did you mean {found[0]}?" if found else ""


def read_environment(variables: Mapping[str, str | None], place: str) -> Reading:
    """Settings among environment variables.

    Args:
        variables: Name -> text; empty texts count as not set, as a shell's ``VAR=`` means.
        place: Word for the origin: ``environment`` or the path of the ``.env`` file.
    """
    reading = Reading()
    for known in FIELDS:
        given = {name: (variables.get(name) or "").strip() for name in (known.variable, *known.aliases)}
        given = {name: text for name, text in given.items() if text}
        if not given:
            continue
        if len({_comparable(known.name, text) for text in given.values()}) > 1:
            names = " and ".join(given)
            reading.problems.append(
                f"{names} mean the same setting and differ in the {place}. Set only {known.variable}."
            )
        name, text = next(iter(given.items()))
        reading.values[known.name] = text
        reading.origins[known.name] = f"{place} {name}"
    known_names = {name for f in FIELDS for name in (f.variable, *f.aliases)} | _OTHER_VARIABLES
    reading.problems.extend(
        f"{name} in the {place} is not a setting.{nearest(name, known_names)} Remove it or correct its name."
        for name in sorted(variables)
        if name.startswith("VMI_") and name not in known_names and not name.startswith(_OTHER_PREFIXES)
    )
    return reading


def _comparable(name: str, text: str) -> str:
    # STORAGE_EMULATOR_HOST is written with and without a scheme; both mean the same server.
    if name == "storage_url":
        return text.removeprefix("http://").rstrip("/")
    return text.removeprefix("gs://").rstrip("/") if name == "bucket" else text


def toml_path(variables: Mapping[str, str | None], directory: Path) -> tuple[Path, bool]:
    """The path of ``vmi.toml``, and whether it was asked for by name (then it must exist)."""
    named = variables.get("VMI_CONFIG")
    return (directory / named, True) if named else (directory / "vmi.toml", False)


def read_toml(path: Path, *, must_exist: bool) -> Reading:
    """Settings in ``vmi.toml``; names are the field names, models are in ``[models."Name"]`` sections."""
    reading = Reading()
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        if must_exist:
            reading.problems.append(f"VMI_CONFIG names {path}, which does not exist. Create it or unset VMI_CONFIG.")
        return reading
    except (OSError, ValueError, RecursionError) as error:
        reading.problems.append(f"{path} cannot be read as TOML: {error}. Correct the file.")
        return reading
    for key, value in table.items():
        if key == "models":
            _read_models(path, value, reading)
        elif key in _BY_NAME:
            reading.values[key] = value
            reading.origins[key] = f"{path.name} {key}"
        else:
            hint = nearest(key, [*_BY_NAME, "models"])
            reading.problems.append(f"{key} in {path} is not a setting.{hint} Remove it or correct its name.")
    return reading


def _read_models(path: Path, value: object, reading: Reading) -> None:
    if not isinstance(value, dict) or not all(isinstance(section, dict) for section in value.values()):
        reading.problems.append(f'models in {path} must be sections: [models."Name"] followed by its keys.')
        return
    for name, section in value.items():
        reading.problems.extend(
            f'{key} in [models."{name}"] of {path} is not known.{nearest(key, MODEL_KEYS)} '
            f"Known: {', '.join(MODEL_KEYS)}."
            for key in section
            if key not in MODEL_KEYS
        )
    known = {name: {k: v for k, v in section.items() if k in MODEL_KEYS} for name, section in value.items()}
    reading.values["models"] = known
    reading.origins["models"] = f"{path.name} [models]"
