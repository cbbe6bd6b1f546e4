"""Online prediction: ``endpoints.predict`` and ``rawPredict``, with the limits of a shared public endpoint."""

from __future__ import annotations

from typing import Any

import orjson

from vertex_model_inference.sandbox.vertex.automl import checked_parameters, trimmed
from vertex_model_inference.sandbox.vertex.containers import Container, ContainerError, Containers, unhealthy
from vertex_model_inference.sandbox.vertex.endpoints import Endpoints
from vertex_model_inference.sandbox.vertex.knobs import Settings
from vertex_model_inference.sandbox.vertex.models import automl_kind
from vertex_model_inference.sandbox.vertex.wire import Answer, ApiError, Call, decode_body, failed_precondition, invalid

__all__ = ["Online"]

DEDICATED_BYTES = 10_000_000
DEDICATED_S = 3600.0


class Online:
    """Sends requests to the container of the model that an endpoint's traffic split names.

    Args:
        endpoints: Which model. ``containers``: where it runs. ``settings``: the limits.
    """

    def __init__(self, endpoints: Endpoints, containers: Containers, settings: Settings) -> None:
        self.endpoints = endpoints
        self.containers = containers
        self.settings = settings

    async def _target(self, call: Call) -> tuple[dict[str, Any], dict[str, Any], Container, float]:
        doc = self.endpoints.doc(call.parent, call.ids["id"])
        dedicated = bool(doc.get("dedicatedEndpointEnabled"))
        limit = DEDICATED_BYTES if dedicated else self.settings.predict_max_bytes
        if len(call.body) > limit:
            raise ApiError(
                "INVALID_ARGUMENT",
                f"Request size {len(call.body) / 1e6:.3f}MB exceeds {limit / 1e6:.3f}MB limit.",
                http=413 if len(call.body) > 32_000_000 else 400,
            )
        deployed, model = self.endpoints.choose(doc, call.ids.get("deployed"))
        try:
            container = await self.containers.of(model, start_s=self.settings.container_start_s, fresh=False)
        except ContainerError as error:
            raise unhealthy(error) from None
        return deployed, model, container, DEDICATED_S if dedicated else self.settings.predict_timeout_s

    async def predict(self, call: Call) -> dict[str, Any]:
        """``endpoints.predict``."""
        deployed, model, container, limit_s = await self._target(call)
        body = decode_body(call.body)
        unknown = set(body) - {"instances", "parameters", "labels"}
        if unknown:
            raise invalid(f'Invalid JSON payload received. Unknown name "{min(unknown)}": Cannot find field.')
        instances = body.get("instances")
        if not isinstance(instances, list) or not instances:
            raise invalid("Required field is not set: instances.")
        automl = automl_kind(model)
        parameters: Any = checked_parameters(body.get("parameters"), automl) if automl else body.get("parameters")
        answer = await self._post(container, {"instances": instances, "parameters": parameters}, limit_s)
        predictions = answer.get("predictions")
        if not isinstance(predictions, list):
            raise ApiError(
                "INTERNAL", f"Predictions are not in the response. Got: {orjson.dumps(answer)[:500].decode()}"
            )
        if automl:
            for prediction in predictions:  # an AutoML endpoint answers for the whole request or not at all
                if isinstance(prediction, dict) and "error" in prediction:
                    raise invalid(str(prediction["error"].get("message", prediction["error"])))
            predictions = [trimmed(prediction, parameters) for prediction in predictions]
        return {
            **answer,
            "predictions": predictions,
            "deployedModelId": deployed["id"],
            "model": model["name"],
            "modelDisplayName": model["displayName"],
            "modelVersionId": model["versionId"],
        }

    async def _post(self, container: Container, body: dict[str, Any], limit_s: float) -> dict[str, Any]:
        given = {key: value for key, value in body.items() if value is not None}
        answer = await self._send(container, orjson.dumps(given), limit_s, "application/json")
        if answer.status >= 500:
            raise ApiError("INTERNAL", answer.body.decode(errors="replace")[:4000])
        if answer.status >= 400:
            raise failed_precondition(answer.body.decode(errors="replace")[:4000])
        return decode_body(answer.body)

    async def _send(self, container: Container, body: bytes, limit_s: float, content_type: str) -> Answer:
        try:
            answer = await container.post(body, timeout_s=limit_s, content_type=content_type)
        except ContainerError as error:
            status = "DEADLINE_EXCEEDED" if "within" in error.message else "UNAVAILABLE"
            raise ApiError(status, error.message) from None
        kind = answer.headers.get("content-type", "application/json")
        return Answer(answer.content, answer.status_code, {"Content-Type": kind})

    async def raw_predict(self, call: Call) -> Answer:
        """``endpoints.rawPredict``: the container's own request and answer."""
        deployed, _, container, limit_s = await self._target(call)
        content_type = call.headers.get("content-type", "application/json")
        answer = await self._send(container, call.body, limit_s, content_type)
        headers = {
            **answer.headers,
            "X-Vertex-AI-Endpoint-Id": call.ids["id"],
            "X-Vertex-AI-Deployed-Model-Id": deployed["id"],
        }
        return Answer(answer.body, answer.status, headers)
