"""Evaluations by the real client, and the class lists that the product reads from them and from containers."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest, NotFound
from google.cloud import aiplatform_v1 as v1
from google.protobuf.struct_pb2 import Value
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from vertex_model_inference.models import ModelOption, Predictor, VertexModel
from vertex_model_inference.sandbox.child import run_in_thread
from vertex_model_inference.vertex.classes import class_list

SCHEMA = "gs://google-cloud-aiplatform/schema/modelevaluation/classification_metrics_1.0.0.yaml"


def evaluation() -> v1.ModelEvaluation:
    metrics = Value()
    metrics.struct_value.update({"auPrc": 0.75})
    return v1.ModelEvaluation(metrics_schema_uri=SCHEMA, metrics=metrics)


def slices(dimension: str, *values: str) -> list[v1.ModelEvaluationSlice]:
    kind = v1.ModelEvaluationSlice
    return [kind(slice_=kind.Slice(dimension=dimension, value=each), metrics_schema_uri=SCHEMA) for each in values]


def known(vertex: Any, model: str) -> Any:
    option = ModelOption(name="m", predictor=Predictor.BATCH, model=VertexModel(name=model))
    return class_list(option, endpoint=vertex.config.vertex_url, headers=lambda: {"Authorization": "Bearer t"})


def test_the_slices_of_an_evaluation_are_the_classes(vertex: Any, container: Any) -> None:
    model = vertex.upload(container.url, "judged")
    assert known(vertex, model).names == ()
    made = vertex.models.import_model_evaluation(parent=model, model_evaluation=evaluation())
    names = [f"class {number:03d}" for number in range(120)]
    for start in range(0, 120, 50):
        vertex.models.batch_import_model_evaluation_slices(
            parent=made.name, model_evaluation_slices=slices("annotationSpec", *names[start : start + 50])
        )
    vertex.models.batch_import_model_evaluation_slices(
        parent=made.name, model_evaluation_slices=slices("slice", "not a class")
    )
    vertex.models.import_model_evaluation(parent=model, model_evaluation=evaluation())  # a newer one without slices
    assert len(list(vertex.models.list_model_evaluation_slices(parent=made.name))) == 121
    assert [each.metrics["auPrc"] for each in vertex.models.list_model_evaluations(parent=model)] == [0.75, 0.75]
    found = known(vertex, model)
    assert found.names == tuple(names)
    assert found.source == "the model's evaluation"


def test_what_the_service_would_refuse_is_refused(vertex: Any, container: Any) -> None:
    model = vertex.upload(container.url, "refused")
    with pytest.raises(BadRequest, match="metrics_schema_uri"):
        vertex.models.import_model_evaluation(parent=model, model_evaluation=v1.ModelEvaluation())
    made = vertex.models.import_model_evaluation(parent=model, model_evaluation=evaluation())
    with pytest.raises(BadRequest, match="51 model_evaluation_slices"):
        vertex.models.batch_import_model_evaluation_slices(
            parent=made.name, model_evaluation_slices=slices("annotationSpec", *map(str, range(51)))
        )
    with pytest.raises(NotFound):
        list(vertex.models.list_model_evaluation_slices(parent=f"{model}/evaluations/123"))
    with pytest.raises(NotFound):
        list(vertex.models.list_model_evaluations(parent=f"{model}9"))


@pytest.mark.parametrize(
    ("info", "names"),
    [
        ({"model_type": {"classifier": {"id2label": {"0": "bad", "1": "good"}}}}, ("bad", "good")),
        ({"model_id": "x"}, ()),
        ("text", ()),
    ],
)
def test_a_container_may_name_its_classes(info: Any, names: tuple[str, ...]) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{sock.getsockname()[1]}/predict"
        with run_in_thread(Starlette(routes=[Route("/info", lambda _: JSONResponse(info))]), sock):
            option = ModelOption(name="m", predictor=Predictor.CONTAINER, container=url)
            found = class_list(option, endpoint="http://127.0.0.1:1", headers=dict)
    assert found.names == names
    assert f"{url.removesuffix('predict')}info" in found.source


def test_who_does_not_answer_does_not_know() -> None:
    option = ModelOption(name="m", predictor=Predictor.CONTAINER, container="http://127.0.0.1:1/predict")
    assert class_list(option, endpoint="http://127.0.0.1:1", headers=dict).names == ()
    named = ModelOption(name="m", predictor=Predictor.BATCH, class_names=("road=#804080", "car"))
    assert class_list(named, endpoint="", headers=dict, configured=True).names == ("road", "car")
