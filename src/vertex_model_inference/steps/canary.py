"""The canary: the first few rows go the whole way, upload included, before the rest is launched.

What it is to find out is what would spoil every row: a decoder that recognises nothing, classes that fit no feature, a
model that answers errors, an upload that Labelbox refuses. One row that ends well is enough to launch the rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec

from vertex_model_inference.errors import UploadRefusedError
from vertex_model_inference.models import DeliveryRules, ModelOption, Predictor
from vertex_model_inference.outcomes import Outcome, OutcomeStatus
from vertex_model_inference.spec import Answer, RunSpec
from vertex_model_inference.steps.context import Context, Stop, read_structs

__all__ = ["LEAST_EMPTY", "canary_context", "canary_size", "decide", "judge"]

LEAST_EMPTY = 5
"""So many rows without a finding are worth a word; fewer can happen to any model."""

_SHOWN = 3
_SHOWN_CHARACTERS = 300
_CAUSE_CHARACTERS = 600
_ROW_CHARACTERS = 200
_NEVER_SENT = ("export", "assets")


def canary_size(spec: RunSpec, rows: int) -> int:
    """How many of a run's rows are its canary: none of a run that has less than twice as many.

    Args:
        spec: The run.
        rows: Data rows in its export.
    """
    wanted = spec.delivery.canary_rows or 0
    return wanted if rows >= 2 * wanted else 0


def canary_context(context: Context) -> Context:
    """The context of the canary's rows: of a model that is to run in a batch job, its endpoint, where it has one.

    A job takes ten minutes to start, an endpoint answers at once. A custom model is sent what its job would be sent; an
    AutoML model reads bytes online and URIs in jobs, and answers the same.
    """
    option = context.spec.option
    if option.predictor is not Predictor.BATCH or not option.endpoint:
        return context
    return replace(context, spec=msgspec.structs.replace(context.spec, option=_online(option)))


def _online(option: ModelOption) -> ModelOption:
    automl = option.model is not None and option.model.automl
    return msgspec.structs.replace(option, predictor=Predictor.ONLINE, job_instances=not automl)


def judge(context: Context, shard: int) -> Stop | None:
    """Whether the run stops at its canary, and why.

    Args:
        context: The run.
        shard: The canary's, whose outcomes are written.

    Raises:
        StorageError: The run's own files cannot be read.
    """
    outcomes = read_structs(context, context.files.shard("outcomes", shard), Outcome)
    path = context.files.shard("answers", shard)
    answers: dict[str, bytes] = {}
    if context.store.exists(path):
        answers = {each.data_row_id: bytes(each.prediction) for each in read_structs(context, path, Answer)}
    return decide(outcomes, answers, context.spec.delivery)


def decide(outcomes: Sequence[Outcome], answers: Mapping[str, bytes], rules: DeliveryRules) -> Stop | None:
    """Whether the canary's outcomes stop the run. Pure.

    Rows that were never sent to the model tell nothing of it, and cost nothing. Of the others:

    - an upload that Labelbox refuses altogether stops the run;
    - else a predicted row launches it;
    - rows that all failed stop it;
    - rows of which some are empty and none predicted stop it unless ``rules.canary_empty`` is ``go``, or fewer than
      ``LEAST_EMPTY`` reached the model.

    Args:
        outcomes: Of the canary's rows.
        answers: Data row id -> raw JSON that the model answered, for rows that have an answer.
        rules: Of the run.
    """
    sent = [
        each
        for each in outcomes
        if each.status is not OutcomeStatus.SKIPPED
        and not (each.status is OutcomeStatus.FAILED and each.step in _NEVER_SENT)
    ]
    failures = [each for each in sent if each.status is OutcomeStatus.FAILED]
    refused = [each for each in failures if each.code == UploadRefusedError.code]
    if refused:
        return _stop(refused, len(sent), _words(refused[0]), answers)
    if not sent or any(each.status is OutcomeStatus.PREDICTED for each in sent):
        return None
    if len(failures) == len(sent):
        code = Counter(each.code for each in failures).most_common(1)[0][0]
        worst = [each for each in failures if each.code == code]
        others = len(failures) - len(worst)
        also = f" ({others} failed otherwise)" if others else ""
        cause = f"all {len(sent)} that were sent to the model failed, at {worst[0].step}{also}: {_words(worst[0])}"
        return _stop(worst, len(sent), cause, answers)
    if rules.canary_empty == "go" or len(sent) < LEAST_EMPTY:
        return None
    empty = [each for each in sent if each.status is OutcomeStatus.EMPTY]
    return _stop(empty, len(sent), _nothing(sent, empty, failures), answers)


def _nothing(sent: Sequence[Outcome], empty: Sequence[Outcome], failures: Sequence[Outcome]) -> str:
    dropped: Counter[str] = Counter()
    for each in empty:
        dropped.update(each.dropped)
    also = f" {len(failures)} failed: {_words(failures[0])}" if failures else ""
    if dropped:
        named = ", ".join(f"{name!r:.60} {count:,}" for name, count in dropped.most_common(5))
        return (
            f"none of {len(sent)} has a prediction left: what the model found was dropped ({named}), as below the "
            f"threshold, too small, or of a class that fits no feature.{also} Correct threshold, classes or unmapped "
            'in vmi.toml; if so few predictions are right for this model, set canary_empty = "go" there.'
        )
    return (
        f"the model found nothing in any of {len(empty)} of {len(sent)}.{also} If that is right for this model, set "
        'canary_empty = "go" in its section of vmi.toml (or VMI_CANARY_EMPTY=go).'
    )


def _words(outcome: Outcome) -> str:
    words = outcome.message or outcome.code or ""
    return words if len(words) <= _CAUSE_CHARACTERS else f"{words[:_CAUSE_CHARACTERS]}..."


def _stop(rows: Sequence[Outcome], sent: int, cause: str, answers: Mapping[str, bytes]) -> Stop:
    shown = [_short(answers[each.data_row_id]) for each in rows if each.data_row_id in answers]
    said = f" The model answered: {' | '.join(dict.fromkeys(shown[:_SHOWN]))}." if shown else ""
    brief = cause if len(cause) <= _ROW_CHARACTERS else f"{cause[:_ROW_CHARACTERS]}..."
    return Stop(
        "canary",
        "canary",
        f"Not sent to the model, since the run stopped at its canary, the first {sent} rows: {brief}",
        f"The run stopped at its canary, the first data rows that go the whole way before the rest: "
        f"{cause.rstrip('.')}.{said}",
    )


def _short(answer: bytes) -> str:
    text = answer.decode("utf-8", "replace")
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
