"""Two runs compared from their files: on the rows that both have judged, and on no others."""

from __future__ import annotations

from vertex_model_inference.errors import NotFoundError
from vertex_model_inference.evaluation.agreement import RowAgreement
from vertex_model_inference.evaluation.comparison import Comparison, compare
from vertex_model_inference.evaluation.evaluator import Evaluator
from vertex_model_inference.evaluation.names import ALL
from vertex_model_inference.settings import Settings
from vertex_model_inference.spec import Files
from vertex_model_inference.steps.evaluate import evaluate
from vertex_model_inference.storage.store import Store

__all__ = ["compare_runs"]

Place = tuple[Store, Files]


def compare_runs(
    first: Place,
    second: Place,
    settings: Settings | None,
    *,
    split: str = ALL,
    iou: float = 0.5,
    distance_px: float = 10.0,
    most_rows: int = 20,
) -> Comparison:
    """Compare two runs.

    Args:
        first: Store and files of a run. ``second``: likewise.
        settings: To fetch masks of labels that were not fetched before; None: fetch nothing.
        split: Rows of this split of the first run; ``all``: any.
        iou: Chosen level of boxes, polygons and masks. ``distance_px``: of lines and points.
        most_rows: Rows listed as better, and as worse.

    Raises:
        NotFoundError: There is no run, or no row that both have judged.
        StorageError: The runs' files cannot be read.
    """
    judged: list[dict[str, float]] = []
    wanted: set[str] = set()
    for number, (store, files) in enumerate((first, second)):
        mine: dict[str, float] = {}

        def note(rows: list[RowAgreement], mine: dict[str, float] = mine, number: int = number) -> None:
            for row in rows:
                mine[row.data_row_id] = row.error
                if number == 0 and split in (ALL, row.split):
                    wanted.add(row.data_row_id)

        evaluate(store, files, settings, iou=iou, distance_px=distance_px, tell=note)
        judged.append(mine)
    common = wanted & judged[1].keys()
    if not common:
        raise NotFoundError(
            "The two runs have no judged data row in common" + (f" in the split {split!r}." if split != ALL else "."),
            hint="A row is judged when it is labelled and the model answered it; `vmi evaluate` shows how many are.",
        )
    evaluators = (
        Evaluator(iou=iou, distance_px=distance_px, keep_rows=True),
        Evaluator(iou=iou, distance_px=distance_px, keep_rows=True),
    )
    done = [
        evaluate(store, files, settings, keep=evaluator, only=common)
        for (store, files), evaluator in zip((first, second), evaluators, strict=True)
    ]
    return compare(
        (done[0].run_id, done[1].run_id),
        split,
        evaluators,
        (done[0].splits[0], done[1].splits[0]),
        ({row: judged[0][row] for row in common}, {row: judged[1][row] for row in common}),
        left_out=(len(wanted - judged[1].keys()), len(judged[1].keys() - judged[0].keys())),
        most_rows=most_rows,
    )
