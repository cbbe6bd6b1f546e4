"""Figures that a build must reach."""

from __future__ import annotations

import pytest

from vertex_model_inference.errors import RequestError
from vertex_model_inference.evaluation.gates import Gate, check_gates, parse_gates
from vertex_model_inference.evaluation.scores import (
    Averages,
    ChoiceScore,
    Confusion,
    LevelScore,
    ObjectScore,
    RowCounts,
    SplitScore,
    TextScore,
)

SOME = Averages(0.7, 0.8, 0.75)
SPLIT = SplitScore(
    "test",
    RowCounts(exported=4, labelled=4, judged=4),
    choices=(
        ChoiceScore(
            question="mood", kind="radio", answered=4, unlabelled=0, missed=0, accuracy=0.9, micro=SOME, macro=SOME,
            weighted=SOME, classes=(), confusion=Confusion((), ((0,),)),
        ),
    ),
    objects=(
        ObjectScore(
            kind="box", measure="iou", at="0.75", labels=3, predictions=3, mean_average_precision=0.4,
            mean_overlap=0.81, levels=(LevelScore("0.75", 1, 0.6, 0.5, 0.55, 0.3), LevelScore("0.5", 2, 0, 0, 0, 0.6)),
            micro=SOME, macro=SOME, classes=(), confusion=Confusion((), ((0,),)),
        ),
    ),
    texts=(
        TextScore(
            question="caption", answered=0, missed=0, unlabelled=0, exact=None, edit_distance=None,
            character_error_rate=None,
        ),
    ),
)  # fmt: skip


def test_gates_are_read() -> None:
    assert parse_gates("f1=.8, map=0.5,a:b=c:exact=1") == (
        Gate("f1", 0.8),
        Gate("map", 0.5),
        Gate("exact", 1.0, "a:b=c"),
    )


@pytest.mark.parametrize("text", ["", "f1", "f1=", "f1=two", "f1=1.1", "f1=-1", "f1=nan", "f2=.5", "=0.5", ","])
def test_what_is_no_gate_is_refused_with_the_known_figures(text: str) -> None:
    with pytest.raises(RequestError, match="f1") as caught:
        parse_gates(text)
    assert caught.value.error_code == "bad_gate"


def test_a_gate_holds_for_each_thing_that_has_its_figure() -> None:
    results = check_gates(parse_gates("f1=.6,map=.4,map50=.6,box:recall=.5,mean_iou=.9,accuracy=.9"), SPLIT)
    assert [(one.gate.figure, one.feature, one.value, one.passed) for one in results] == [
        ("f1", "mood", 0.75, True),
        ("f1", "box", 0.55, False),
        ("map", "box", 0.4, True),
        ("map50", "box", 0.6, True),
        ("recall", "box", 0.5, True),
        ("mean_iou", "box", 0.81, False),
        ("accuracy", "mood", 0.9, True),
    ]
    assert str(results[1]) == "f1 of box is 0.55; at least 0.6 is asked for"


def test_what_cannot_be_measured_is_not_reached() -> None:
    results = check_gates(parse_gates("exact=0,nowhere:f1=0,box:accuracy=0"), SPLIT)
    assert [(one.feature, one.value, one.passed) for one in results] == [
        ("caption", None, False),
        ("nowhere", None, False),
        ("box", None, False),
    ]
    assert "cannot be measured" in str(results[0])
