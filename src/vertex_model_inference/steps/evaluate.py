"""evaluate: predictions against the model run's labels, where it has any.

Reads nothing but the run's own files, so it works wherever predictions were sent, and can be done again at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from functools import partial

import msgspec
import structlog

from vertex_model_inference.errors import NotFoundError
from vertex_model_inference.evaluation.agreement import RowAgreement
from vertex_model_inference.evaluation.evaluator import Evaluator, RowPair
from vertex_model_inference.evaluation.scores import VERSION, Evaluation
from vertex_model_inference.evaluation.thresholds import threshold_lines
from vertex_model_inference.settings import Settings
from vertex_model_inference.spec import Files
from vertex_model_inference.steps.context import Context
from vertex_model_inference.steps.judged_rows import JudgedRows
from vertex_model_inference.steps.metrics import upload_metrics
from vertex_model_inference.storage.store import Store

__all__ = ["evaluate", "evaluate_run", "has_labels", "stored"]

log = structlog.get_logger()

_EVALUATION = msgspec.json.Decoder(Evaluation)
_ENCODER = msgspec.json.Encoder()


def has_labels(store: Store, files: Files) -> bool:
    """Whether any row of the run is labelled."""
    return any(True for _ in store.entries(files.labels_folder))


def evaluate_run(context: Context) -> int:
    """Evaluate the run; writes ``agreement/`` and ``evaluation.json``. Never the reason that a run fails.

    Returns:
        Rows judged; 0 where nothing is labelled or the evaluation went wrong, which is logged.
    """
    try:
        if not has_labels(context.store, context.files):
            return 0
        upload = None
        if context.spec.option.metrics:
            upload = partial(upload_metrics, context)
        done = evaluate(context.store, context.files, context.settings, write=True, pass_on=upload)
    except Exception as error:  # the predictions are uploaded: figures about them must not undo that
        log.warning("not evaluated", run_id=context.spec.run_id, exc_info=error)
        return 0
    return done.splits[0].rows.judged


def evaluate(
    store: Store,
    files: Files,
    settings: Settings | None,
    *,
    iou: float = 0.5,
    distance_px: float = 10.0,
    write: bool = False,
    keep: Evaluator | None = None,
    only: Set[str] | None = None,
    tell: Callable[[list[RowAgreement]], None] | None = None,
    pass_on: Callable[[int, list[RowPair]], object] | None = None,
) -> Evaluation:
    """Evaluate a run shard by shard, with flat memory but for a few bytes an object.

    Args:
        store: Where the run is. ``files``: its files.
        settings: To fetch masks of labels that were not fetched before; None: fetch nothing.
        iou: Chosen level of boxes, polygons and masks, 0..1. ``distance_px``: of lines and points, pixels.
        write: Write ``agreement/`` and ``evaluation.json``.
        keep: Count into this one, for who wants its tables; its levels are used.
        only: Ids of the rows to count; None: all.
        tell: Called with the agreement of each shard. ``pass_on``: with its number and rows.

    Raises:
        NotFoundError: There is no run there.
        StorageError: The run's files cannot be read or written.
        ValueError: A level is out of range.
    """
    evaluator = keep if keep is not None else Evaluator(iou=iou, distance_px=distance_px)
    rows = JudgedRows(store, files, settings)
    for shard in rows.shards():
        pairs = rows.of_shard(shard)
        if only is not None:
            pairs = [pair for pair in pairs if pair.data_row_id in only]
        agreement = evaluator.add(pairs)
        if write:
            store.put_lines(files.shard("agreement", shard), [_ENCODER.encode(row) for row in agreement])
        if tell is not None:
            tell(agreement)
        if pass_on is not None:
            pass_on(shard, pairs)
    splits = evaluator.scores()
    lines, source = threshold_lines(splits, rows.spec.option)
    evaluation = Evaluation(
        run_id=rows.spec.run_id,
        model_run_id=rows.spec.model_run_id,
        option=rows.spec.option.name,
        iou=evaluator.iou,
        distance_px=evaluator.distance_px,
        splits=splits,
        without_confidence=evaluator.without_confidence,
        unsupported=rows.counted(),
        thresholds=lines,
        thresholds_from=source,
    )
    if write:
        store.put(files.evaluation, _ENCODER.encode(evaluation))
    return evaluation


def stored(store: Store, files: Files) -> Evaluation | None:
    """The evaluation that the run wrote; None: none, or of another release's form.

    Raises:
        StorageError: Storage did not answer.
    """
    try:
        found = _EVALUATION.decode(store.get(files.evaluation))
    except (NotFoundError, msgspec.MsgspecError):
        return None
    return found if found.version == VERSION else None
