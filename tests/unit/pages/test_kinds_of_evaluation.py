"""Every kind that an evaluation measures has a part on its page and lines on the command line."""

from __future__ import annotations

import io

from rich.console import Console
from tests.unit.evaluation.rows import ID, box, pair, radio

from vertex_model_inference.annotations import FreeText, Point, Polyline, Relationship, TextEntity
from vertex_model_inference.cli.evaluate import _split
from vertex_model_inference.evaluation.evaluator import Evaluator
from vertex_model_inference.evaluation.scores import Evaluation
from vertex_model_inference.pages.evaluation_view import view


def test_every_kind_is_shown() -> None:
    objects = [
        box("cup", 0, 0, 9, 9, 0.5),
        box("table", 20, 0, 9, 9, 0.5),
        Relationship("on", ID, 0, 1, confidence=0.5),
        Point("tip", ID, 1, 1, 0.5),
        Polyline("edge", ID, ((0, 0), (9, 9)), 0.5),
        TextEntity("name", ID, 0, 4, 0.5),
        radio("q", "a", 0.5),
        FreeText("note", ID, "words", 0.5),
    ]
    evaluator = Evaluator()
    evaluator.add([pair(0, objects, objects)])
    splits = evaluator.scores()
    whole = Evaluation(run_id="r", model_run_id="m", option="o", iou=0.5, distance_px=10, splits=splits)
    shown = view(whole)
    assert shown is not None
    titles = {part.feature: part.title for part in shown.parts}
    assert titles["relationship"] == "relationship: both ends found"
    assert {"box", "point", "line", "entity"} <= titles.keys()
    out = io.StringIO()
    _split(Console(file=out, width=150), splits[0], detailed=True)
    said = out.getvalue()
    for line in ("box at IoU 0.5", "relationship at both ends: precision 1.000", "entity at exact", "point at 10 px"):
        assert line in said, said
