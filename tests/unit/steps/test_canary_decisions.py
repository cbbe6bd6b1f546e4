"""When a canary stops a run."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vertex_model_inference.models import DeliveryRules, ModelOption, Predictor, VertexModel
from vertex_model_inference.outcomes import Outcome, OutcomeStatus
from vertex_model_inference.spec import RunSpec
from vertex_model_inference.steps.canary import LEAST_EMPTY, canary_size, decide

RULES = DeliveryRules(canary_rows=10, canary_empty="stop")
GO = DeliveryRules(canary_rows=10, canary_empty="go")
OPTION = ModelOption(name="m", predictor=Predictor.BATCH, model=VertexModel(name="projects/p/locations/l/models/1"))


def row(number: int, status: str, step: str | None = None, code: str | None = None, **more: object) -> Outcome:
    fields = {"data_row_id": f"row-{number}", "status": OutcomeStatus(status), "step": step, "code": code, **more}
    return msgspec.convert(fields, Outcome)


def rows(count: int, status: str, step: str | None = None, code: str | None = None, **more: object) -> list[Outcome]:
    return [row(number, status, step, code, **more) for number in range(count)]


PREDICTED = row(90, "predicted", annotations=3)


@pytest.mark.parametrize(
    "outcomes",
    [
        rows(10, "predicted"),
        [PREDICTED, *rows(9, "failed", "match", "unmapped")],
        [PREDICTED, *rows(9, "empty")],
        [PREDICTED, *rows(9, "failed", "upload", "import_refused")],
        rows(10, "skipped", "assets", "unsupported_media"),
        rows(10, "failed", "assets", "asset_not_found"),
        rows(10, "failed", "export", "export_row"),
        rows(LEAST_EMPTY - 1, "empty"),
        [*rows(LEAST_EMPTY - 1, "empty"), *rows(6, "skipped", "assets", "unsupported_media")],
        [],
    ],
)
def test_good_runs_go_on(outcomes: list[Outcome]) -> None:
    assert decide(outcomes, {}, RULES) is None


@pytest.mark.parametrize(
    ("outcomes", "words"),
    [
        (rows(10, "failed", "match", "unmapped", message="No feature fits 'cat'."), ["all 10", "match", "'cat'"]),
        (rows(1, "failed", "decode", "decode", message="Not of the form."), ["all 1", "Not of the form"]),
        (rows(10, "failed", "predict", "job_failed", message="The job ended as FAILED."), ["job ended as FAILED"]),
        ([*rows(8, "failed", "decode", "decode"), *rows(2, "failed", "predict", "x")], ["at decode (2 failed other"]),
        (rows(10, "failed", "upload", "import_refused", message="InvalidBbox"), ["at upload", "InvalidBbox"]),
        ([PREDICTED, row(1, "failed", "upload", "upload_refused", message="deprecated")], ["deprecated"]),
        (rows(10, "empty"), ["nothing in any of 10", "canary_empty"]),
        (rows(LEAST_EMPTY, "empty"), ["nothing in any of 5"]),
        (rows(10, "empty", dropped={"cat": 2, "dog": 1}), ["'cat' 20", "'dog' 10", "threshold"]),
        ([*rows(5, "empty"), *rows(4, "failed", "decode", "decode", message="Odd.")], ["5 of 9", "4 failed: Odd."]),
    ],
)
def test_what_would_spoil_every_row_stops(outcomes: list[Outcome], words: list[str]) -> None:
    stop = decide(outcomes, {}, RULES)
    assert stop is not None
    assert (stop.step, stop.code, stop.retryable) == ("canary", "canary", True)
    for word in words:
        assert word in stop.words, stop.words


def test_empty_rows_go_on_where_that_is_said() -> None:
    assert decide(rows(10, "empty"), {}, GO) is None
    assert decide(rows(10, "empty", dropped={"cat": 2}), {}, GO) is None
    assert decide(rows(10, "failed", "decode", "decode"), {}, GO) is not None
    assert decide([row(1, "failed", "upload", "upload_refused"), *rows(9, "empty")], {}, GO) is not None


def test_what_the_model_answered_is_shown_and_bounded() -> None:
    answers = {f"row-{number}": b'{"n":%d,"long":"%s"}' % (number, b"x" * 5000) for number in range(10)}
    stop = decide(rows(10, "failed", "decode", "decode", message="m" * 5000), answers, RULES)
    assert stop is not None
    assert '{"n":0,' in stop.words
    assert '{"n":2,' in stop.words
    assert '{"n":3,' not in stop.words
    assert len(stop.words) < 2000
    assert len(stop.message) < 400  # it is written once for each row that is left


@pytest.mark.parametrize(
    ("wanted", "exported", "size"),
    [(10, 0, 0), (10, 19, 0), (10, 20, 10), (10, 1_000_000, 10), (0, 100, 0), (1, 2, 1), (1, 1, 0)],
)
def test_small_runs_have_none(wanted: int, exported: int, size: int) -> None:
    rules = DeliveryRules(canary_rows=wanted)
    spec = RunSpec(run_id="r", model_run_id="m", option=OPTION, created_at="", delivery=rules)
    assert canary_size(spec, exported) == size


@given(
    st.lists(
        st.tuples(
            st.sampled_from(list(OutcomeStatus)),
            st.sampled_from([None, "export", "assets", "predict", "decode", "match", "upload"]),
            st.sampled_from([None, "decode", "upload_refused", "unmapped"]),
        ),
        max_size=12,
    ),
    st.sampled_from(["stop", "go"]),
    st.binary(max_size=20),
)
def test_any_outcomes_are_decided(
    given_rows: list[tuple[OutcomeStatus, str | None, str | None]], empty: str, answer: bytes
) -> None:
    outcomes = [row(number, status.value, step, code) for number, (status, step, code) in enumerate(given_rows)]
    stop = decide(outcomes, {"row-0": answer}, DeliveryRules(canary_empty=empty))
    refused = any(each.status is OutcomeStatus.FAILED and each.code == "upload_refused" for each in outcomes)
    if any(each.status is OutcomeStatus.PREDICTED for each in outcomes) and not refused:
        assert stop is None
    if stop is not None:
        assert stop.words
        assert stop.message
