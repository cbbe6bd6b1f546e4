from __future__ import annotations

import base64
import io
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from vertex_model_inference.rows import Split
from vertex_model_inference.sandbox.containers.automl_image_classification import predictor
from vertex_model_inference.sandbox.containers.image_model import ImageModel
from vertex_model_inference.sandbox.containers.serve import InstanceError
from vertex_model_inference.sandbox.datasets.digits import Digits, png_of
from vertex_model_inference.sandbox.datasets.material import ModelPlan, SeedRow


@pytest.fixture(scope="module")
def rows() -> list[SeedRow]:
    return Digits().rows()


@pytest.fixture(scope="module")
def plan() -> ModelPlan:
    return Digits().model()


@pytest.fixture(scope="module")
def model(plan: ModelPlan) -> ImageModel:
    assert plan.artifact is not None
    return ImageModel.from_bytes(plan.artifact)


def _instance(data: bytes) -> dict[str, str]:
    return {"content": base64.b64encode(data).decode(), "mimeType": "image/png"}


def test_all_digits_are_rows_with_unique_keys(rows: list[SeedRow]) -> None:
    assert len({row.key for row in rows}) == len(rows) == 1797
    counts = Counter(row.split for row in rows)
    assert counts[Split.TEST] == counts[Split.VALIDATION] == 269
    assert {row.answer for row in rows if row.split is Split.TEST} == {str(digit) for digit in range(10)}


def test_a_picture_holds_exactly_its_digit(model: ImageModel) -> None:
    pixels = np.arange(64, dtype=np.float64) % 17
    image = Image.open(io.BytesIO(png_of(pixels)))
    assert image.size == (64, 64)
    assert np.array_equal(np.rint(model.pixels(image)), pixels)


def test_the_served_model_is_right_on_rows_it_never_saw(
    plan: ModelPlan, model: ImageModel, rows: list[SeedRow]
) -> None:
    test = [row for row in rows if row.split is Split.TEST]
    assert all(row.data is not None for row in test)
    answers = predictor(model)([_instance(row.data or b"") for row in test], None)
    right = [answer["displayNames"][0] == row.answer for answer, row in zip(answers, test, strict=True)]
    assert sum(right) / len(right) == pytest.approx(plan.measured["test_accuracy"], abs=5e-5)
    assert plan.measured["test_accuracy"] >= 0.97


def test_answers_have_automls_form(model: ImageModel, rows: list[SeedRow]) -> None:
    instances = [_instance(row.data or b"") for row in rows[:3]]
    for answer in predictor(model)(instances, None):
        assert list(answer) == ["ids", "displayNames", "confidences"]
        assert len(set(answer["ids"])) == len(answer["displayNames"]) == len(answer["confidences"]) == 10
        assert all(isinstance(id_, str) and 0 < int(id_) < 2**63 for id_ in answer["ids"])
        assert answer["confidences"] == sorted(answer["confidences"], reverse=True)
        assert sum(answer["confidences"]) == pytest.approx(1)


def test_parameters_are_obeyed(model: ImageModel, rows: list[SeedRow]) -> None:
    instance = [_instance(rows[0].data or b"")]
    (three,) = predictor(model)(instance, {"maxPredictions": 3.0})
    assert len(three["ids"]) == 3
    (sure,) = predictor(model)(instance, {"confidenceThreshold": 0.5})
    assert all(confidence >= 0.5 for confidence in sure["confidences"])
    with pytest.raises(InstanceError, match="confidenceThreshold"):
        predictor(model)(instance, {"confidenceThreshold": 2})


def test_a_bad_instance_fails_alone(model: ImageModel, rows: list[SeedRow]) -> None:
    good = _instance(rows[0].data or b"")
    png = rows[0].data or b""
    bad = [
        {},
        "text",
        {"content": 5},
        {"content": "%%%"},
        {"content": base64.b64encode(b"not a picture").decode()},
        {"content": base64.b64encode(png[: len(png) // 2]).decode()},
        {**good, "mimeType": "application/pdf"},
        {"content": "gs://only-a-bucket"},
        {"content": "http://example.com/a.png"},
    ]
    answers = predictor(model)([good, *bad, good], None)
    assert answers[0] == answers[-1]
    assert "ids" in answers[0]
    assert [answer["error"]["code"] for answer in answers[1:-1]] == [3] * len(bad)
    assert all(answer["error"]["message"].endswith(".") for answer in answers[1:-1])


def test_training_again_gives_the_same_bytes(plan: ModelPlan) -> None:
    assert Digits().model().artifact == plan.artifact


def test_the_file_must_be_a_model(plan: ModelPlan) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, format=np.array("another"))
    with pytest.raises(ValueError, match="not an image model"):
        ImageModel.from_bytes(buffer.getvalue())
    pickled = io.BytesIO()
    np.savez(pickled, format=np.array([object()], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        ImageModel.from_bytes(pickled.getvalue())
