from __future__ import annotations

import msgspec

from vertex_model_inference.annotations import (
    Annotation,
    Answer,
    Box,
    Checklist,
    FrameMask,
    FreeText,
    KeyFrame,
    Mask,
    Point,
    Polygon,
    Polyline,
    Radio,
    TextEntity,
    VideoBox,
    VideoMask,
)

ID = "c" * 25


def test_annotations_survive_a_file() -> None:
    nested = Radio("more", ID, Answer("yes", ID, 0.0, classifications=(FreeText("why", ID, "because"),)))
    made: list[Annotation] = [
        Radio("q", ID, Answer("a", ID, 0.5, classifications=(nested,)), by_id=True),
        Checklist("q", ID, (Answer("a", ID), Answer("b", ID, 0.0))),
        FreeText("t", ID, "x", 0.0),
        Box("b", ID, 1.5, 2, 3, 4, 0.0, (nested,)),
        Polygon("p", ID, ((0, 0), (1.5, 0), (1, 1)), 0.0, (nested,)),
        Polyline("l", ID, ((0, 0), (1.5, 0)), by_id=True),
        Point("pt", ID, 1, 2.5, 0.0),
        Mask("m", ID, b"0", 4, 3, 0.0, (nested,)),
        TextEntity("e", ID, 1, 2, 0.0, (nested,)),
        VideoBox("v", ID, ((KeyFrame(1, 0, 0, 1.5, 1),), (KeyFrame(3, 0, 0, 1, 1),)), 0.0, (nested,)),
        VideoMask("vm", ID, (FrameMask(2, b"0"),), 4, 3, 0.0),
        Radio("q", ID, Answer("a", ID, 0.5, frames=((1, 5), (7, 7)))),
    ]
    assert msgspec.json.decode(msgspec.json.encode(made), type=list[Annotation]) == made


def test_the_confidence_of_a_question_is_that_of_its_answers() -> None:
    assert Radio("q", ID, Answer("a", ID, 0.0)).confidence == 0.0
    assert Checklist("q", ID, (Answer("a", ID, 0.2), Answer("b", ID, 0.7))).confidence == 0.7
    assert Checklist("q", ID, (Answer("a", ID, 0.2), Answer("b", ID))).confidence is None
