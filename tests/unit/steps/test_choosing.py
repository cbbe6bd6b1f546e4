"""Which way a row goes, after earlier runs."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from vertex_model_inference.models import GeminiRules, MatchRules, ModelOption, Predictor, VertexModel
from vertex_model_inference.rows import DataRow, MediaType
from vertex_model_inference.spec import RunSpec
from vertex_model_inference.steps.choosing import Way, way_of
from vertex_model_inference.steps.fingerprints import Fingerprints, fingerprints, mark, row_fingerprint
from vertex_model_inference.steps.memory import _TYPE, Entry, Known, Memory, Remembered, place_names
from vertex_model_inference.steps.signatures import unsigned

_GOOD = Known.GOOD | Known.ANSWERED | Known.SENT
_AT_MATCH = Known.FAILED | Known.ANSWERED
_AT_ASSETS = Known.FAILED | Known.RETRYABLE


def _entry(known: Known, asked: int = 1, judged: str = "j") -> Entry:
    return Entry(asked, judged, "run", 0, known)


@pytest.mark.parametrize(
    ("mode", "entry", "named", "way"),
    [
        ("changed", None, False, Way.WORK),
        ("changed", _entry(_GOOD), False, Way.CARRIED),
        ("changed", _entry(_GOOD, asked=2), False, Way.WORK),
        ("changed", _entry(_GOOD, judged="other"), False, Way.AGAIN),
        ("changed", _entry(_AT_MATCH), False, Way.AGAIN),
        ("changed", _entry(_AT_ASSETS), False, Way.WORK),
        ("changed", _entry(Known.ANSWERED | Known.SENT), False, Way.AGAIN),  # good, but not where it is to go now
        ("changed", _entry(Known(0)), False, Way.WORK),  # skipped
        ("all", _entry(_GOOD), False, Way.WORK),
        ("all", None, False, Way.WORK),
        ("failed", None, False, Way.UNASKED),
        ("failed", _entry(_GOOD), False, Way.CARRIED),
        ("failed", _entry(_GOOD, asked=2, judged="other"), False, Way.CARRIED),
        ("failed", _entry(_AT_MATCH), False, Way.AGAIN),
        ("failed", _entry(_AT_ASSETS), False, Way.WORK),
        ("failed", _entry(_GOOD | Known.FAILED), False, Way.AGAIN),  # good in an older run
        ("retryable", _entry(_AT_MATCH), False, Way.CARRIED),
        ("retryable", _entry(_AT_ASSETS), False, Way.WORK),
        ("named", None, True, Way.UNASKED),
        ("named", _entry(_GOOD), True, Way.WORK),
        ("named", _entry(_AT_ASSETS), False, Way.CARRIED),
    ],
)
def test_way_of(mode: str, entry: Entry | None, named: bool, way: Way) -> None:
    assert way_of(mode, entry, 1, "j", named=named) is way


def _spec(option: ModelOption) -> RunSpec:
    return RunSpec(run_id="r-1", model_run_id="r", option=option, created_at="")


def _model(version: str = "1", **more: object) -> ModelOption:
    model = VertexModel(name="projects/p/locations/l/models/1", version=version)
    return ModelOption(name="m", predictor=Predictor.BATCH, model=model, **more)  # type: ignore[arg-type]


def _prints(option: ModelOption, ontology: bytes = b"{}") -> Fingerprints:
    return fingerprints(_spec(option), ontology)


def test_what_decides_the_answer_and_what_decides_what_becomes_of_it() -> None:
    usual = _prints(_model())
    assert _prints(_model()) == usual
    for other in (_model("2"), _model(instance={"a": "{uri}"}), _model(parameters={"k": 1})):
        assert _prints(other).asked != usual.asked
    for other in (_model(rules=MatchRules(threshold=0.5)), _model(decoder="plain"), _model(class_names=("a",))):
        found = _prints(other)
        assert found.asked == usual.asked
        assert found.judged != usual.judged
    assert _prints(_model(rules=MatchRules(min_size_px=0))) == usual, "0 of vmi.toml is the 0.0 of a spec that was read"
    found = _prints(_model(), b'{"id": "other"}')
    assert (found.asked, found.judged != usual.judged) == (usual.asked, True)
    for same in (_model(machine_type="n1-highmem-2"), _model(batch_size=7), _model(rerun="all"), _model(metrics=True)):
        assert _prints(same) == usual
    gemini = ModelOption(name="g", predictor=Predictor.BATCH, gemini=GeminiRules(model="gemini-2.5-flash"))
    assert _prints(gemini, b"1").asked != _prints(gemini, b"2").asked, "its prompt is made of the ontology"


def _row(**fields: object) -> DataRow:
    return msgspec.convert({"id": "a", "row_data": "https://h/p.png", "media_type": "image", **fields}, DataRow)


def test_a_row_is_the_same_whatever_its_signature() -> None:
    usual = row_fingerprint("asked", _row())
    for url in ("https://h/p.png?X-Goog-Signature=1", "https://h/p.png?sig=2#f", "https://me:pw@h/p.png?a=b"):
        assert row_fingerprint("asked", _row(row_data=url)) == usual
        assert row_fingerprint("asked", _row(row_data=unsigned(url))) == usual, "as it is told in the run's files"
    for other in (
        _row(id="b"),
        _row(row_data="https://h/q.png"),
        _row(row_data="http://h/p.png"),
        _row(media_type=MediaType.VIDEO),
        _row(text_layer="https://h/t.json"),
    ):
        assert row_fingerprint("asked", other) != usual
    assert row_fingerprint("other", _row()) != usual
    # A text is all of what it is, also where it looks like a question to a server.
    assert row_fingerprint("", _row(row_data="what? a")) != row_fingerprint("", _row(row_data="what? b"))


def test_the_table_finds_each_row_and_no_other() -> None:
    ids = [f"row {n}" for n in range(1000)]
    table = np.zeros(len(ids), _TYPE)
    for n, row_id in enumerate(ids):
        table[n] = (mark(row_id), n, n // 10, n % 2, n % 3, int(_GOOD))
    table.sort(order="mark")
    memory = Memory(table, Remembered(len(ids), ("new", "old"), ("a", "b", "c"), {"0/7": 10}, tried=True))
    for n, row_id in enumerate(ids):
        assert memory.find(row_id) == Entry(n, "abc"[n % 3], ("new", "old")[n % 2], n // 10, _GOOD)
    assert memory.find("row 1000") is None
    assert memory.find("") is None
    assert (memory.size("new", 7), memory.size("old", 7)) == (10, -1)


def test_a_project_is_a_place_of_its_own() -> None:
    spec = _spec(_model())
    spec = msgspec.structs.replace(spec, delivery=msgspec.structs.replace(spec.delivery, project="p1"))
    assert place_names(spec, ("project", "files")) == ("project:p1", "files")
