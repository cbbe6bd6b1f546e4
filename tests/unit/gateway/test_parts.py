"""The small parts of the gateways: retries, names of operations, ontologies, the engine that comes later."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from vertex_model_inference.errors import LabelboxError, SettingsError, VmiError
from vertex_model_inference.labelbox.connection import operation_of
from vertex_model_inference.labelbox.ontologies import parse_ontology
from vertex_model_inference.labelbox.retry import MAX_WAIT_S, Wait, backoff, retrying, wait_of
from vertex_model_inference.models import ModelOption, Predictor
from vertex_model_inference.runs.started import Started
from vertex_model_inference.webhook.runs import LazyRuns

OPTION = ModelOption(name="o", predictor=Predictor.CONTAINER, container="http://127.0.0.1:9")


def failure(seconds: float | None = 0.0) -> Wait:
    return Wait(LabelboxError("It failed.", retryable=True), seconds)


def test_what_passes_is_tried_again_and_the_last_error_is_raised() -> None:
    calls: list[int] = []

    def third_time() -> str:
        calls.append(1)
        if len(calls) < 3:
            raise failure()
        return "done"

    assert retrying(third_time) == "done"
    assert len(calls) == 3

    def never() -> str:
        calls.append(1)
        raise failure(MAX_WAIT_S + 1)

    calls.clear()
    with pytest.raises(LabelboxError, match="It failed"):
        retrying(never)
    assert len(calls) == 1


def test_what_does_not_pass_is_tried_once() -> None:
    calls: list[int] = []

    def refused() -> str:
        calls.append(1)
        raise LabelboxError("No.")

    with pytest.raises(LabelboxError, match="No"):
        retrying(refused)
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, None), ("0", 0.0), ("1.5", 1.5), ("-3", 60.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("soon", 60.0)],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert wait_of(header) == seconds


def test_waits_grow_and_are_bounded_and_never_shorter_than_asked() -> None:
    assert 0.2 <= backoff(1, None) <= 0.4
    assert 15.0 <= backoff(50, None) <= 16.1
    assert 30.0 <= backoff(1, 30.0) <= 31.0


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("query GetUserPyApi{user{id}}", "GetUserPyApi"),
        ("mutation setPyApi($a: ID!){x}", "setPyApi"),
        ("query spacedPyApi ($a: ID!) {x}", "spacedPyApi"),
        ("query barePyApi", "barePyApi"),
    ],
)
def test_operations_are_named(query: str, name: str) -> None:
    assert operation_of(query) == name


NORMALIZED: dict[str, Any] = {
    "tools": [
        {
            "tool": "rectangle",
            "name": "line",
            "color": "#fff",
            "required": True,
            "featureSchemaId": "t" * 25,
            "classifications": [{"type": "text", "name": "n", "instructions": "said", "featureSchemaId": "c" * 25}],
        }
    ],
    "classifications": [
        {
            "type": "checklist",
            "name": "q",
            "instructions": "",
            "scope": "index",
            "options": [{"label": "A", "value": "", "options": None}, {"label": "B"}],
        }
    ],
}


@pytest.mark.parametrize("normalized", [NORMALIZED, json.dumps(NORMALIZED)])
def test_an_ontology_is_read_from_an_object_or_from_text(normalized: Any) -> None:
    ontology = parse_ontology({"id": "o", "name": "O", "mediaType": None, "normalized": normalized})
    (tool,) = ontology.tools
    assert (tool.kind, tool.name, tool.required, tool.feature_schema_id) == ("rectangle", "line", True, "t" * 25)
    assert (tool.classifications[0].kind, tool.classifications[0].name) == ("text", "said")
    (question,) = ontology.classifications
    assert (question.name, question.scope) == ("q", "index")
    # Without a value the label is what predictions must name.
    assert [(option.name, option.label) for option in question.options] == [("A", "A"), ("B", "B")]


@pytest.mark.parametrize("normalized", [None, "{", {"tools": {}}, {"tools": [{"name": "x"}]}, 3])
def test_a_strange_ontology_is_said(normalized: Any) -> None:
    with pytest.raises(LabelboxError, match="ontology o ") as caught:
        parse_ontology({"id": "o", "normalized": normalized})
    assert caught.value.error_code == "ontology_form"


class Engine:
    def __init__(self) -> None:
        self.stopped = False

    def start_run(self, model_run_id: str, option: ModelOption, *, model_id: str | None = None, **_: object) -> Started:
        return Started(f"{model_run_id}-{option.name}-{model_id}", joined=False)

    def stop(self) -> None:
        self.stopped = True


def test_a_run_waits_for_the_engine() -> None:
    engine, gate = Engine(), threading.Event()

    def make() -> Engine:
        assert gate.wait(30)
        return engine

    runs = LazyRuns(make)
    runs.begin()
    runs.begin()
    before = runs.ready
    threading.Timer(0.05, gate.set).start()
    assert runs.start_run("r", OPTION, model_id="m").run_id == "r-o-m"
    assert (before, runs.ready) == (False, True)
    runs.stop()
    assert engine.stopped


def test_an_engine_that_takes_too_long_is_said() -> None:
    gate = threading.Event()

    def make() -> Engine:
        gate.wait(30)
        return Engine()

    runs = LazyRuns(make, wait_s=0.05)
    runs.begin()
    with pytest.raises(VmiError) as caught:
        runs.start_run("r", OPTION)
    assert (caught.value.error_code, caught.value.retryable) == ("engine_starting", True)
    gate.set()


@pytest.mark.parametrize(
    ("problem", "code"), [(SettingsError("VMI_BUCKET is missing."), "settings"), (ValueError("a detail"), "engine")]
)
def test_an_engine_that_cannot_be_made_is_said(problem: Exception, code: str) -> None:
    def make() -> Engine:
        raise problem

    runs = LazyRuns(make)
    runs.begin()
    with pytest.raises(VmiError) as caught:
        runs.start_run("r", OPTION)
    assert caught.value.error_code == code
    assert "a detail" not in str(caught.value)
    assert runs.problem is caught.value
    runs.stop()
