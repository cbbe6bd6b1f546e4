"""Evaluations of models and their slices: imported, listed.

The real service makes them itself for AutoML models, one slice along ``annotationSpec`` for each class, and takes them
by these calls for others (``ModelService`` of google-cloud-aiplatform's ``aiplatform_v1``).
"""

from __future__ import annotations

from typing import Any

from google.cloud.aiplatform_v1 import types as t

from vertex_model_inference.sandbox.vertex.models import Models
from vertex_model_inference.sandbox.vertex.store import Store
from vertex_model_inference.sandbox.vertex.wire import (
    Call,
    decode_body,
    invalid,
    new_id,
    not_found,
    now,
    page_of,
    parse,
)

__all__ = ["Evaluations"]

_KIND = "evaluation"
_SLICE = "slice"
_MOST = 50  # slices that one call takes, as the service documents


class Evaluations:
    """What is known of how good models are.

    Args:
        store: Where they are kept, by their model's resource name.
        models: For whether a model exists.
    """

    def __init__(self, store: Store, models: Models) -> None:
        self._store = store
        self._models = models

    async def add(self, call: Call) -> dict[str, Any]:
        """``models.evaluations.import``: the evaluation, with its name."""
        request = parse(t.ImportModelEvaluationRequest, decode_body(call.body), "import_model_evaluation_request")
        evaluation: dict[str, Any] = request.get("modelEvaluation") or {}
        if not evaluation.get("metricsSchemaUri") or "metrics" not in evaluation:
            raise invalid("Required fields are not set: model_evaluation.metrics_schema_uri and metrics.")
        parent, id_ = self._model(call), new_id()
        made = {**evaluation, "name": f"{parent}/evaluations/{id_}", "createTime": now()}
        self._store.put(_KIND, parent, id_, made)
        return made

    async def list(self, call: Call) -> dict[str, Any]:
        """``models.evaluations.list``."""
        return page_of(self._store.all(_KIND, self._model(call)), call, "modelEvaluations")

    async def add_slices(self, call: Call) -> dict[str, Any]:
        """``models.evaluations.slices.batchImport``: the names of the slices."""
        request = parse(
            t.BatchImportModelEvaluationSlicesRequest, decode_body(call.body), "batch_import_model_evaluation_slices"
        )
        slices = request.get("modelEvaluationSlices") or []
        if not 0 < len(slices) <= _MOST:
            raise invalid(f"There are {len(slices)} model_evaluation_slices; 1 to {_MOST} are allowed.")
        parent = self._evaluation(call)
        names = []
        for each in slices:
            where = each.get("slice") or {}
            if not where.get("dimension") or not where.get("value") or not each.get("metricsSchemaUri"):
                raise invalid("Each of model_evaluation_slices needs slice.dimension, slice.value, metrics_schema_uri.")
            id_ = new_id()
            names.append(f"{parent}/slices/{id_}")
            self._store.put(_SLICE, parent, id_, {**each, "name": names[-1], "createTime": now()})
        return {"importedModelEvaluationSlices": names}

    async def list_slices(self, call: Call) -> dict[str, Any]:
        """``models.evaluations.slices.list``."""
        return page_of(self._store.all(_SLICE, self._evaluation(call)), call, "modelEvaluationSlices")

    def _model(self, call: Call) -> str:
        model = self._models.version(call.parent, call.ids["id"], call.ids.get("version"))
        return str(model["name"])

    def _evaluation(self, call: Call) -> str:
        parent, id_ = self._model(call), call.ids["evaluation"]
        if self._store.get(_KIND, parent, id_) is None:
            raise not_found("Model evaluation", f"{parent}/evaluations/{id_}")
        return f"{parent}/evaluations/{id_}"
