"""What there is in Vertex AI's registry: models, and endpoints with what is deployed on them.

The generated ``aiplatform_v1`` clients over REST, imported with the first call: that takes over a second.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from vertex_model_inference.errors import VertexError
from vertex_model_inference.models import VertexModel

__all__ = ["DeployedModel", "Registry", "Snapshot", "VertexEndpoint", "VertexRegistry"]

_TIMEOUT_S = 30.0
_PAGE = 100


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


class VertexRegistry:
    """The registry of one project and region.

    Args:
        project: Google Cloud project.
        region: E.g. ``us-central1``.
        endpoint: Base URL of Vertex AI.
        credentials: Makes ``google.auth`` credentials; called with each fetch.
    """

    def __init__(self, *, project: str, region: str, endpoint: str, credentials: Callable[[], Any]) -> None:
        self._project = project
        self._region = region
        self._endpoint = endpoint
        self._credentials = credentials

    def fetch(self) -> Snapshot:
        """See ``Registry.fetch``."""
        credentials = self._credentials()
        from google.cloud import aiplatform_v1 as v1

        options = {"api_endpoint": self._endpoint}
        parent = f"projects/{self._project}/locations/{self._region}"
        with v1.ModelServiceClient(transport="rest", credentials=credentials, client_options=options) as client:
            models = self._all(
                "models",
                lambda: client.list_models(v1.ListModelsRequest(parent=parent, page_size=_PAGE), timeout=_TIMEOUT_S),
            )
        with v1.EndpointServiceClient(transport="rest", credentials=credentials, client_options=options) as client:
            endpoints = self._all(
                "endpoints",
                lambda: client.list_endpoints(
                    v1.ListEndpointsRequest(parent=parent, page_size=_PAGE), timeout=_TIMEOUT_S
                ),
            )
        return Snapshot(
            project=self._project,
            region=self._region,
            models=tuple(map(_model, models)),
            endpoints=tuple(map(_endpoint, endpoints)),
        )

    def _all(self, what: str, first_page: Callable[[], Any]) -> list[Any]:
        from google.api_core import exceptions
        from google.auth.exceptions import GoogleAuthError
        from requests.exceptions import RequestException

        where = f"the {what} of project {self._project} in {self._region}"
        try:
            return list(first_page())
        except exceptions.GoogleAPICallError as error:
            code = getattr(error, "code", 0) or 0
            hints = {
                401: "Check the credentials: `gcloud auth application-default login`, or the service's account.",
                403: "Give the service's account the role Vertex AI User (roles/aiplatform.user) in the project.",
                404: "Check GOOGLE_CLOUD_PROJECT and VMI_REGION.",
            }
            raise VertexError(
                f"Vertex AI did not list {where}: {int(code)} {error.message}".rstrip(".") + ".",
                code="vertex_list",
                hint=hints.get(int(code), "Try again later." if int(code) >= 429 else None),
                retryable=int(code) == 429 or int(code) >= 500,
                project=self._project,
                region=self._region,
            ) from None
        except (RequestException, exceptions.RetryError, GoogleAuthError) as error:
            raise VertexError(
                f"Vertex AI at {self._endpoint} did not answer when asked for {where} ({type(error).__name__}).",
                code="vertex_unreachable",
                hint="Check VMI_VERTEX_URL and the network.",
                retryable=True,
                project=self._project,
                region=self._region,
            ) from None


def _model(raw: Any) -> VertexModel:
    name, _, version_in_name = raw.name.partition("@")
    # modelSourceInfo is missing on models older than the field; their metadata schema says it then.
    automl = raw.model_source_info.source_type.name == "AUTOML" or "/metadata/automl_" in raw.metadata_schema_uri
    return VertexModel(
        name=name,
        version=raw.version_id or version_in_name or "1",
        display_name=raw.display_name,
        automl=automl,
        metadata_schema_uri=raw.metadata_schema_uri,
        instance_schema_uri=raw.predict_schemata.instance_schema_uri,
        prediction_schema_uri=raw.predict_schemata.prediction_schema_uri,
        labels=dict(raw.labels),
        container_image=raw.container_spec.image_uri,
        input_formats=tuple(raw.supported_input_storage_formats),
        update_time=raw.update_time.rfc3339() if raw.update_time else "",
    )


def _endpoint(raw: Any) -> VertexEndpoint:
    traffic = dict(raw.traffic_split)
    deployed = []
    for each in raw.deployed_models:
        name, _, version_in_name = each.model.partition("@")
        deployed.append(
            DeployedModel(
                model=name,
                version=each.model_version_id or version_in_name or "1",
                traffic=int(traffic.get(each.id, 0)),
                display_name=each.display_name,
            )
        )
    return VertexEndpoint(
        name=raw.name,
        display_name=raw.display_name,
        deployed=tuple(deployed),
        labels=dict(raw.labels),
        own_host=bool(
            raw.dedicated_endpoint_enabled
            or raw.network
            or raw.enable_private_service_connect
            or raw.private_service_connect_config.enable_private_service_connect
        ),
    )
