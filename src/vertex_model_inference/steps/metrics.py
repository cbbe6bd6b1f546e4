"""metrics: figures of each row and feature as custom metrics beside the predictions, where the model asks for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import structlog

from vertex_model_inference.errors import VmiError
from vertex_model_inference.evaluation.custom_metrics import CONFIDENCES, RowMetrics, row_metrics
from vertex_model_inference.evaluation.evaluator import RowPair
from vertex_model_inference.labelbox.gateway import ImportPlace
from vertex_model_inference.labelbox.ndjson_metrics import confusion_line, scalar_line
from vertex_model_inference.outcomes import Outcome
from vertex_model_inference.steps.context import Context, read_structs
from vertex_model_inference.steps.destinations import in_force

__all__ = ["metric_lines", "upload_metrics"]

log = structlog.get_logger()

PART_LINES = 20_000
IMPORT_TIMEOUT_S = 60 * 60
_FEWEST = 2
"""Confidences that Labelbox takes a metric at."""


def upload_metrics(context: Context, shard: int, pairs: Sequence[RowPair]) -> int:
    """Write ``metrics/00000.ndjson`` and import it into the model run, if predictions go there.

    A part that Labelbox does not take is logged: figures about predictions must not undo these. Rows for which the run
    did nothing are left out: theirs were sent by the run that did.

    Args:
        context: The run. ``shard``: number of the shard.
        pairs: Its rows with predictions and labels.

    Returns:
        Lines that Labelbox took.

    Raises:
        StorageError: The run's own files cannot be written.
    """
    if context.spec.follows:
        reused = {
            outcome.data_row_id
            for outcome in read_structs(context, context.files.shard("outcomes", shard), Outcome)
            if outcome.reused
        }
        pairs = [pair for pair in pairs if pair.data_row_id not in reused]
    lines = list(metric_lines(pairs))
    if not lines:
        return 0
    context.store.put_lines(context.files.shard("metrics", shard, "ndjson"), lines)
    if "model-run" not in in_force(context):
        return 0
    place = ImportPlace("model-run", context.spec.model_run_id)
    labelbox = context.labelbox
    taken = 0
    for number, start in enumerate(range(0, len(lines), PART_LINES)):
        name = f"vmi-{context.spec.run_id}-{shard:05d}-metrics-{number:03d}"
        try:
            state = labelbox.find_import(place, name)
            if state is None:
                state = labelbox.start_import(place, name, b"\n".join(lines[start : start + PART_LINES]) + b"\n")
            if not state.ended:
                state = labelbox.wait_import(place, name, IMPORT_TIMEOUT_S)
            rows = list(labelbox.import_statuses(state))
        except VmiError as error:
            log.warning("metrics not taken", run_id=context.spec.run_id, shard=shard, cause=str(error))
            continue
        taken += sum(1 for row in rows if row.ok)
        refused = next((row for row in rows if not row.ok), None)
        if refused is not None:
            why = refused.errors[0].message if refused.errors else "no reason given"
            log.warning("metrics refused", run_id=context.spec.run_id, shard=shard, cause=why)
    return taken


def metric_lines(pairs: Sequence[RowPair], *, iou: float = 0.5) -> Iterator[bytes]:
    """The NDJSON rows: mean IoU and confusion matrix of each feature on each judged row, at ten confidences.

    Args:
        pairs: The rows. ``iou``: overlap above which an object counts as found.
    """
    for one in row_metrics(pairs, iou=iou):
        yield from _lines(pairs[one.row].data_row_id, one, iou)


def _lines(row_id: str, one: RowMetrics, iou: float) -> Iterator[bytes]:
    means = {at: round(value, 6) for at, value in zip(CONFIDENCES, one.iou, strict=True) if value is not None}
    counts = {at: value for at, value in zip(CONFIDENCES, one.counts, strict=True) if value is not None}
    if len(means) >= _FEWEST:
        yield scalar_line(row_id, one.feature, means)
    if len(counts) >= _FEWEST:
        yield confusion_line(row_id, one.feature, counts, iou=None if one.choice else iou)
