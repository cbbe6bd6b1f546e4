"""Uploading a data set's model to the sandbox's Vertex AI, by the real client."""

from __future__ import annotations

import hashlib
from typing import Any

from vertex_model_inference.errors import VertexError
from vertex_model_inference.sandbox.datasets.bucket import Bucket
from vertex_model_inference.sandbox.datasets.material import ModelPlan
from vertex_model_inference.sandbox.datasets.target import Target

__all__ = ["upload_model"]

HEALTH_ROUTE = "/health"


def _artifact(plan: ModelPlan, bucket: Bucket) -> str:
    """Put the model's file where its content says, so that the same model has the same URI; "" if it has no file."""
    if plan.artifact is None:
        return ""
    folder = f"models/{plan.display_name}/{hashlib.sha256(plan.artifact).hexdigest()[:16]}"
    bucket.put({f"{folder}/model.npz": (plan.artifact, "application/octet-stream")})
    return bucket.uri(folder)


def _same(model: Any, plan: ModelPlan, artifact_uri: str) -> bool:
    spec = model.container_spec
    return (spec.image_uri, model.artifact_uri, spec.predict_route) == (plan.image, artifact_uri, plan.predict_route)


def upload_model(plan: ModelPlan, target: Target, bucket: Bucket) -> tuple[str, str]:
    """The model's resource name (no version) and its version; uploaded unless it is there already.

    Args:
        plan: The model.
        target: The sandbox.
        bucket: Where the model's file goes.

    Raises:
        VertexError: Vertex refused or did not answer.
        StorageError: The file could not be written.
    """
    from google.api_core.exceptions import GoogleAPIError
    from google.cloud import aiplatform_v1 as v1
    from google.oauth2.credentials import Credentials

    artifact_uri = _artifact(plan, bucket)
    client: Any = v1.ModelServiceClient(
        transport="rest",
        credentials=Credentials(target.token),
        client_options={"api_endpoint": target.vertex_url},
    )
    parent = f"projects/{target.project}/locations/{target.location}"
    try:
        listed = client.list_models(
            v1.ListModelsRequest(parent=parent, filter=f'display_name="{plan.display_name}"'), timeout=60
        )
        found = next((model for model in listed if dict(model.labels) == plan.labels), None)
        if found is not None and _same(found, plan, artifact_uri):
            return found.name.partition("@")[0], found.version_id or "1"
        model = v1.Model(
            display_name=plan.display_name,
            description=plan.description,
            labels=plan.labels,
            artifact_uri=artifact_uri,
            metadata_schema_uri=plan.metadata_schema_uri,
            container_spec=v1.ModelContainerSpec(
                image_uri=plan.image,
                predict_route=plan.predict_route,
                health_route=HEALTH_ROUTE,
            ),
        )
        if plan.instance_schema_uri:
            model.predict_schemata = v1.PredictSchemata(
                instance_schema_uri=plan.instance_schema_uri, prediction_schema_uri=plan.prediction_schema_uri
            )
        request = v1.UploadModelRequest(parent=parent, model=model)
        if found is not None:  # trained anew: the next version of the same model
            request.parent_model = found.name.partition("@")[0]
        uploaded = client.upload_model(request, timeout=60).result(timeout=120)
        return uploaded.model.partition("@")[0], uploaded.model_version_id or "1"
    except (GoogleAPIError, ConnectionError) as error:
        raise VertexError(f"The model {plan.display_name!r} could not be uploaded: {error}") from None
    finally:
        client.transport.close()
