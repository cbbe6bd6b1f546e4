"""Routes, regions, AutoML's trimming, output names, the shuffle, token counts."""

from __future__ import annotations

import collections
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vertex_model_inference.sandbox.datasets.reviews import archive_path
from vertex_model_inference.sandbox.vertex.automl import checked_parameters, instance_error, trimmed
from vertex_model_inference.sandbox.vertex.knobs import JobPlan, Mischief, Settings
from vertex_model_inference.sandbox.vertex.objects import location_allows
from vertex_model_inference.sandbox.vertex.output import Output, Style, error_name, file_names
from vertex_model_inference.sandbox.vertex.reading import Evidence, Line, choose
from vertex_model_inference.sandbox.vertex.routes import route
from vertex_model_inference.sandbox.vertex.structured import Filler
from vertex_model_inference.sandbox.vertex.wire import ApiError, validate_labels

PARENT = "projects/p/locations/us-central1"


@pytest.mark.parametrize(
    ("method", "path", "operation", "ids"),
    [
        ("GET", f"/v1/{PARENT}/models", "models.list", {}),
        ("POST", f"/v1/{PARENT}/models:upload", "models.upload", {}),
        ("GET", f"/v1/{PARENT}/models/7@cats", "models.get", {"id": "7", "version": "cats"}),
        ("GET", f"/v1/{PARENT}/models/7%402", "models.get", {"id": "7", "version": "2"}),
        ("POST", f"/v1/{PARENT}/endpoints/7:rawPredict", "endpoints.rawPredict", {"id": "7"}),
        ("POST", f"/v1/{PARENT}/batchPredictionJobs/7:cancel", "batchPredictionJobs.cancel", {"id": "7"}),
        ("GET", f"/v1/{PARENT}/models/7/operations/8", "operations.get", {"operation": "8"}),
        (
            "POST",
            "/v1beta1/publishers/google/models/gemini-2.5-pro:generateContent",
            "publishers.models.generateContent",
            {"publisher": "google", "id": "gemini-2.5-pro"},
        ),
    ],
)
def test_routes(method: str, path: str, operation: str, ids: dict[str, str]) -> None:
    found = route(method, path)
    assert found is not None
    assert (found.operation, found.ids) == (operation, ids)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v2/x"), ("PUT", f"/v1/{PARENT}/models"), ("GET", "/v1/models"), ("POST", f"/v1/{PARENT}/models/7:fly")],
)
def test_no_routes(method: str, path: str) -> None:
    assert route(method, path) is None


@pytest.mark.parametrize(
    ("bucket", "region", "allowed"),
    [
        ("US-CENTRAL1", "us-central1", True),
        ("US", "us-central1", True),
        ("us", "us-west4", True),
        ("EU", "us-central1", False),
        ("EU", "europe-west4", True),
        ("EU", "europe-west2", False),
        ("ASIA", "asia-northeast1", True),
        ("NAM4", "us-east1", True),
        ("NAM4", "us-west1", False),
        ("US-EAST1", "us-central1", False),
    ],
)
def test_regions(bucket: str, region: str, allowed: bool) -> None:
    assert location_allows(bucket, region) is allowed


PARAMETERS = {"confidenceThreshold": 0.3, "maxPredictions": 2.0}


def test_detection_keeps_zero_coordinates_and_parallel_lists() -> None:
    prediction = {
        "ids": ["1", "2", "3"],
        "displayNames": ["a", "b", "c"],
        "confidences": [0.2, 0.9, 0.5],
        "bboxes": [[0.1, 0.2, 0.3, 0.4], [0.0, 1.0, 0.0, 0.5], [0.5, 0.6, 0.0, 0.1]],
    }
    assert trimmed(prediction, checked_parameters(PARAMETERS, "image_object_detection")) == {
        "ids": ["2", "3"],
        "displayNames": ["b", "c"],
        "confidences": [0.9, 0.5],
        "bboxes": [[0.0, 1.0, 0.0, 0.5], [0.5, 0.6, 0.0, 0.1]],
    }


@pytest.mark.parametrize(
    "parameters",
    [
        {"confidenceThreshold": -0.1},
        {"maxPredictions": 0},
        {"maxPredictions": 1.5},
        {"topK": 3},
        [1],
        {"maxPredictions": True},
    ],
)
def test_bad_parameters(parameters: Any) -> None:
    with pytest.raises(ApiError):
        checked_parameters(parameters, "image_classification")


@pytest.mark.parametrize("kind", ["image_segmentation", "text_classification", "text_extraction", "text_sentiment"])
def test_parameters_that_a_kind_does_not_take(kind: str) -> None:
    with pytest.raises(ApiError, match="maxPredictions"):
        checked_parameters({"maxPredictions": 3}, kind)
    many = {"displayNames": ["a"] * 30, "confidences": [0.5] * 30}
    assert trimmed(many, checked_parameters(None, kind)) == many


def test_automl_text_instances() -> None:
    good = {"content": "gs://b/o.txt", "mimeType": "text/plain"}
    assert instance_error(good, "text_sentiment") is None
    assert instance_error({**good, "key": "1"}, "text_extraction") is None
    assert "'key'" in str(instance_error({**good, "key": "1"}, "text_sentiment"))
    assert "text/plain" in str(instance_error({**good, "mimeType": "image/png"}, "text_extraction"))
    assert "URI of a text" in str(instance_error({**good, "content": "inline"}, "text_extraction"))


def test_automl_instances() -> None:
    good = {"content": "gs://b/o", "mimeType": "image/png"}
    assert instance_error(good, "image_classification") is None
    assert instance_error({**good, "mimeType": "image/gif"}, "image_object_detection") is None
    assert instance_error({**good, "mimeType": "image/gif"}, "image_segmentation") is not None
    for bad in ("text", {"mimeType": "image/png"}, {**good, "key": "1"}, {**good, "content": "http://x/y"}):
        assert instance_error(bad, "image_classification") is not None


def test_names() -> None:
    assert file_names("automl", 2) == ["predictions_00001.jsonl", "predictions_00002.jsonl"]
    assert file_names("proto", 1) == ["predictions_0001.jsonl"]
    assert file_names("custom", 2) == ["prediction.results-00000-of-00002", "prediction.results-00001-of-00002"]
    assert file_names("gemini", 3) == ["predictions.jsonl"]
    assert error_name("custom") == "prediction.errors_stats-00000-of-00001"


@pytest.mark.parametrize("style", ["automl", "custom", "proto", "gemini"])
def test_shuffle_keeps_every_line_and_memory(tmp_path: Path, style: Style) -> None:
    plan = JobPlan(settings=Settings(window=50, output_files=4, seed=3))
    output = Output(tmp_path / "o", style, plan)
    for i in range(1000):
        output.add(i, b"%d\n" % i)
        assert len(output.window) <= 50
    output.flush()
    lines = [int(line) for name in output.names for line in (tmp_path / "o" / name).read_bytes().split()]
    assert sorted(lines) == list(range(1000))
    assert lines != sorted(lines)
    assert len(output.names) == (1 if style == "gemini" else 4)
    assert all((tmp_path / "o" / name).stat().st_size for name in output.names)


def test_mischief_by_fraction_is_the_same_each_time() -> None:
    plan = JobPlan(settings=Settings(), mischief=Mischief(drop_lines=0.25))
    hits = [plan.hit("drop_lines", i) for i in range(2000)]
    assert hits == [plan.hit("drop_lines", i) for i in range(2000)]
    assert 400 < sum(hits) < 600
    assert not any(plan.hit("corrupt", i) for i in range(100))


def test_mischief_counts_down() -> None:
    mischief = Mischief(job_display_name="a*", times=2)
    assert [mischief.take(name) for name in ("b", "a1", "a2", "a3")] == [False, True, True, False]


@pytest.mark.parametrize("labels", [{"A": "b"}, {"a": "B"}, {"": "x"}, {"1a": "x"}, {"a": "x" * 64}])
def test_bad_labels(labels: dict[str, str]) -> None:
    with pytest.raises(ApiError):
        validate_labels(labels)


SCHEMAS = st.recursive(
    st.sampled_from(
        [
            {"type": "STRING"},
            {"type": "INTEGER", "minimum": 1, "maximum": 5},
            {"type": "NUMBER"},
            {"type": "BOOLEAN"},
            {"type": "STRING", "enum": ["red", "green"]},
        ]
    ),
    lambda inner: st.one_of(
        st.builds(lambda items: {"type": "ARRAY", "items": items}, inner),
        st.builds(
            lambda values: {"type": "OBJECT", "properties": values},
            st.dictionaries(st.sampled_from(["label", "box_2d", "confidence", "count", "colour"]), inner, max_size=3),
        ),
    ),
    max_leaves=6,
)


def valid(value: Any, schema: dict[str, Any]) -> bool:
    match schema["type"]:
        case "STRING":
            return isinstance(value, str) and ("enum" not in schema or value in schema["enum"])
        case "INTEGER":
            return isinstance(value, int) and 1 <= value <= 5
        case "NUMBER":
            return isinstance(value, int | float)
        case "BOOLEAN":
            return isinstance(value, bool)
        case "ARRAY":
            return isinstance(value, list)
        case _:
            return set(value) == set(schema["properties"]) and all(
                valid(value[key], item) for key, item in schema["properties"].items()
            )


@given(SCHEMAS, st.booleans())
def test_answers_follow_the_schema(schema: dict[str, Any], seen: bool) -> None:
    lines = (Line("a red 7", 0.5, [0, 1, 2, 3]), Line("two", 1.0, [4, 5, 6, 7])) if seen else ()
    assert valid(Filler(Evidence("a red 7\ntwo", lines, seen=seen)).fill(schema), schema)


def test_counts_of_duplicates(tmp_path: Path) -> None:
    plan = JobPlan(settings=Settings(output_files=1), mischief=Mischief(duplicate=[1], unknown_keys=1))
    output = Output(tmp_path / "o", "custom", plan)
    for i in range(3):
        output.add(i, b'{"key":"%d"}\n' % i)
    output.flush()
    lines = (tmp_path / "o" / output.names[0]).read_bytes().splitlines()
    counts = collections.Counter(line[:12] for line in lines)
    assert counts[b'{"key":"1"}'] == 2
    assert len(lines) == 5


@pytest.mark.skipif(not archive_path().exists(), reason=f"the reviews' data is not installed: {archive_path()}")
def test_sentiment_is_a_trained_classifier() -> None:
    options = ["Positive", "Neutral", "Negative"]
    for text, wanted in {
        "A wonderful, moving film with great acting.": "Positive",
        "Terrible battery and awful screen, I hate it.": "Negative",
    }.items():
        option, score = choose(text, options)
        assert (option, 0.5 < score < 1) == (wanted, True)


def test_choices_without_a_trained_model_go_by_their_words() -> None:
    option, score = choose("The invoice was paid.", ["letter", "invoice", "receipt"])
    assert option == "invoice"
    assert 0.5 < score < 1
