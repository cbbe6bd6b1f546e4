"""What there is in Vertex AI's registry: models, and endpoints with what is deployed on them.

Plain REST (``GET .../models`` and ``.../endpoints``, https://cloud.google.com/vertex-ai/docs/reference/rest): the
generated clients take over a second to import, and the first menu after a cold start waits for this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import httpx2
import msgspec
import stamina

from vertex_model_inference.errors import VertexError
from vertex_model_inference.models import VertexModel
from vertex_model_inference.vertex.metadata import class_names_in

__all__ = ["DeployedModel", "Registry", "Snapshot", "VertexEndpoint", "VertexRegistry"]

_TIMEOUT = httpx2.Timeout(30.0, connect=5.0)
_PAGE = 100
_ATTEMPTS = 3
_HINTS = {
    401: "Check the credentials: `gcloud auth application-default login`, or the service's account.",
    403: "Give the service's account the role Vertex AI User (roles/aiplatform.user) in the project.",
    404: "Check GOOGLE_CLOUD_PROJECT and VMI_REGION.",
}


class DeployedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model on an endpoint.

    Attributes:
        model: ``projects/P/locations/L/models/ID``, no version.
        version: Version id, e.g. ``"1"``.
        traffic: Percent of the endpoint's requests that it gets.
        display_name: Of the deployment.
    """

    model: str
    version: str = "1"
    traffic: int = 0
    display_name: str = ""


class VertexEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint.

    Attributes:
        name: ``projects/P/locations/L/endpoints/ID``.
        display_name: As shown in the console.
        deployed: What is on it.
        labels: The endpoint's labels.
        own_host: It is reached under a host name of its own (dedicated or private endpoints), not the region's.
    """

    name: str
    display_name: str = ""
    deployed: tuple[DeployedModel, ...] = ()
    labels: dict[str, str] = {}
    own_host: bool = False

    @property
    def id(self) -> str:
        """The last part of the resource name."""
        return self.name.rsplit("/", 1)[-1]


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The registry of one project and region at one moment."""

    project: str
    region: str
    models: tuple[VertexModel, ...] = ()
    endpoints: tuple[VertexEndpoint, ...] = ()


class Registry(Protocol):
    """Where the models come from."""

    def fetch(self) -> Snapshot:
        """All models (default version) and endpoints.

        Raises:
            VertexError: Vertex AI refused or did not answer.
            SettingsError: There are no credentials.
        """
        ...


class _Source(msgspec.Struct, frozen=True, rename="camel"):
    source_type: str | int = ""


class _Schemata(msgspec.Struct, frozen=True, rename="camel"):
    instance_schema_uri: str = ""
    prediction_schema_uri: str = ""


class _Container(msgspec.Struct, frozen=True, rename="camel"):
    image_uri: str = ""


class _Model(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    version_id: str = ""
    display_name: str = ""
    metadata_schema_uri: str = ""
    predict_schemata: _Schemata = _Schemata()
    container_spec: _Container = _Container()
    model_source_info: _Source = _Source()
    supported_input_storage_formats: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    update_time: str = ""
    metadata: Any = None


class _Deployed(msgspec.Struct, frozen=True, rename="camel"):
    id: str
    model: str
    model_version_id: str = ""
    display_name: str = ""


class _Private(msgspec.Struct, frozen=True, rename="camel"):
    enable_private_service_connect: bool = False


class _Endpoint(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    display_name: str = ""
    deployed_models: tuple[_Deployed, ...] = ()
    traffic_split: dict[str, int] = {}
    labels: dict[str, str] = {}
    dedicated_endpoint_enabled: bool = False
    network: str = ""
    enable_private_service_connect: bool = False
    private_service_connect_config: _Private = _Private()


class _Page(msgspec.Struct, frozen=True, rename="camel"):
    models: tuple[_Model, ...] = ()
    endpoints: tuple[_Endpoint, ...] = ()
    next_page_token: str = ""


class _Failure(msgspec.Struct, frozen=True):
    message: str = ""


class _Refusal(msgspec.Struct):
    error: _Failure = _Failure()


# Made here: see steps/context.py on decoders that are first made in threads.
_PAGES = msgspec.json.Decoder(_Page)
_REFUSAL = msgspec.json.Decoder(_Refusal)


class VertexRegistry:
    """The registry of one project and region.

    Args:
        project: Google Cloud project.
        region: E.g. ``us-central1``.
        endpoint: Base URL of Vertex AI.
        headers: Makes the headers that authorize a request; called with each fetch.
    """

    def __init__(self, *, project: str, region: str, endpoint: str, headers: Callable[[], Mapping[str, str]]) -> None:
        self._project = project
        self._region = region
        self._endpoint = endpoint
        self._headers = headers

    def fetch(self) -> Snapshot:
        """See ``Registry.fetch``."""
        with httpx2.Client(headers=dict(self._headers()), timeout=_TIMEOUT) as client:
            return Snapshot(
                project=self._project,
                region=self._region,
                models=tuple(_model(raw) for page in self._pages(client, "models") for raw in page.models),
                endpoints=tuple(_endpoint(raw) for page in self._pages(client, "endpoints") for raw in page.endpoints),
            )

    def _pages(self, client: httpx2.Client, what: str) -> Iterator[_Page]:
        url = f"{self._endpoint}/v1/projects/{self._project}/locations/{self._region}/{what}"
        token = ""
        while True:
            page = self._page(client, what, url, token)
            yield page
            token = page.next_page_token
            if not token:
                return

    def _page(self, client: httpx2.Client, what: str, url: str, token: str) -> _Page:
        where = f"the {what} of project {self._project} in {self._region}"

        def passes(error: Exception) -> bool:
            return isinstance(error, VertexError) and error.retryable

        for attempt in stamina.retry_context(on=passes, attempts=_ATTEMPTS, wait_initial=0.2, wait_jitter=0.2):
            with attempt:
                return self._once(
                    client, where, url, {"pageSize": str(_PAGE), **({"pageToken": token} if token else {})}
                )
        raise AssertionError("the retry loop returns or raises")  # pragma: no cover

    def _once(self, client: httpx2.Client, where: str, url: str, query: dict[str, str]) -> _Page:
        facts: dict[str, Any] = {"project": self._project, "region": self._region}
        try:
            response = client.get(url, params=query)
        except httpx2.HTTPError as error:
            raise VertexError(
                f"Vertex AI at {self._endpoint} did not answer when asked for {where} ({type(error).__name__}).",
                code="vertex_unreachable",
                hint="Check VMI_VERTEX_URL and the network.",
                retryable=True,
                **facts,
            ) from None
        status = response.status_code
        if status != 200:
            passes = status == 429 or status >= 500
            raise VertexError(
                f"Vertex AI did not list {where}: {status} {_said(response.content)}".rstrip(". ") + ".",
                code="vertex_list",
                hint="Try again later." if passes else _HINTS.get(status),
                retryable=passes,
                **facts,
            )
        try:
            return _PAGES.decode(response.content)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise VertexError(
                f"What Vertex AI at {self._endpoint} answered when asked for {where} cannot be read: {error}.",
                code="vertex_form",
                hint="Check VMI_VERTEX_URL: is it Vertex AI's address?",
                **facts,
            ) from None


def _said(body: bytes) -> str:
    try:
        return _REFUSAL.decode(body).error.message[:500]
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""


def _model(raw: _Model) -> VertexModel:
    name, _, version_in_name = raw.name.partition("@")
    # modelSourceInfo is missing on models older than the field; their metadata schema says it then.
    # 1 is AUTOML's number in ModelSourceInfo.ModelSourceType.
    automl = raw.model_source_info.source_type in ("AUTOML", 1) or "/metadata/automl_" in raw.metadata_schema_uri
    return VertexModel(
        name=name,
        version=raw.version_id or version_in_name or "1",
        display_name=raw.display_name,
        automl=automl,
        metadata_schema_uri=raw.metadata_schema_uri,
        instance_schema_uri=raw.predict_schemata.instance_schema_uri,
        prediction_schema_uri=raw.predict_schemata.prediction_schema_uri,
        labels=raw.labels,
        container_image=raw.container_spec.image_uri,
        input_formats=raw.supported_input_storage_formats,
        update_time=raw.update_time,
        class_names=class_names_in(raw.metadata),
    )


def _endpoint(raw: _Endpoint) -> VertexEndpoint:
    deployed = []
    for each in raw.deployed_models:
        name, _, version_in_name = each.model.partition("@")
        deployed.append(
            DeployedModel(
                model=name,
                version=each.model_version_id or version_in_name or "1",
                traffic=raw.traffic_split.get(each.id, 0),
                display_name=each.display_name,
            )
        )
    private = raw.enable_private_service_connect or raw.private_service_connect_config.enable_private_service_connect
    return VertexEndpoint(
        name=raw.name,
        display_name=raw.display_name,
        deployed=tuple(deployed),
        labels=raw.labels,
        own_host=bool(raw.dedicated_endpoint_enabled or raw.network or private),
    )
