"""What the pages show of an evaluation: counts that are right at every threshold, and bounds that hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vertex_model_inference.evaluation.classes import class_score
from vertex_model_inference.evaluation.scores import (
    Averages,
    ChoiceScore,
    ClassScore,
    Confusion,
    Evaluation,
    RowCounts,
    SplitScore,
)
from vertex_model_inference.evaluation.sweep import sweep
from vertex_model_inference.pages.evaluation_view import MOST_IN_MATRIX, view
from vertex_model_inference.pages.panels import ALL_CLASSES, combined, kept, panel, table, thinned

NONE = Averages(0.0, 0.0, 0.0)


def scored(name: str, scores: list[float], right: list[bool], labels: int) -> ClassScore:
    return class_score(name, np.asarray(scores, dtype=np.float64), np.asarray(right, dtype=np.bool_), labels)


def evaluation(classes: tuple[ClassScore, ...], counts: list[list[int]], names: list[str]) -> Evaluation:
    choice = ChoiceScore(
        question="mood",
        kind="radio",
        answered=10,
        unlabelled=2,
        missed=1,
        accuracy=0.5,
        micro=NONE,
        macro=NONE,
        weighted=NONE,
        classes=classes,
        confusion=Confusion(tuple(names), tuple(tuple(row) for row in counts)),
    )
    rows = RowCounts(exported=12, labelled=10, unlabelled=2, judged=9, unanswered=1, several_labels=3, mean_error=0.25)
    return Evaluation(
        run_id="r",
        model_run_id="m",
        option="o",
        iou=0.5,
        distance_px=10,
        splits=(SplitScore("all", rows, (choice,)), SplitScore("test", rows, (choice,))),
        without_confidence=4,
        unsupported={"relationship": 2},
        thresholds_from="test",
    )


predictions = st.lists(st.tuples(st.integers(0, 20).map(lambda n: n / 20), st.booleans()), max_size=30)


@given(st.lists(st.tuples(predictions, st.integers(0, 30)), min_size=1, max_size=4), st.floats(0, 1))
def test_all_classes_together_count_what_each_threshold_keeps(
    given_classes: list[tuple[list[tuple[float, bool]], int]], threshold: float
) -> None:
    classes = [
        scored(str(number), [one for one, _ in said], [right for _, right in said], labels)
        for number, (said, labels) in enumerate(given_classes)
    ]
    everything = [one for said, _ in given_classes for one in said]
    labels = sum(labels for _, labels in given_classes)
    curve = combined(classes)
    place = kept(curve, threshold)
    left = [right for score, right in everything if score >= threshold]
    if place is None:
        assert left == []
        return
    assert curve.said[place] == len(left)
    assert curve.precision[place] == pytest.approx(sum(left) / len(left), abs=1e-5)
    assert curve.recall[place] == pytest.approx(sum(left) / labels if labels else 0.0, abs=1e-5)
    whole = sweep(np.asarray([one for one, _ in everything]), np.asarray([right for _, right in everything]), labels)
    assert curve.f1 == pytest.approx(tuple(whole.f1), abs=1e-5)


def test_an_evaluation_of_an_earlier_release_has_no_counts_to_add_up() -> None:
    import msgspec

    old = scored("cat", [0.9, 0.4], [True, False], 2)
    old = msgspec.structs.replace(old, curve=msgspec.structs.replace(old.curve, said=()))
    assert combined([old]).threshold == ()


@given(st.integers(1, 2000), st.integers(10, 200))
def test_a_thinned_curve_keeps_its_ends_and_its_best(points: int, most: int) -> None:
    rng = np.random.default_rng(points)
    full = scored("cat", rng.random(points).tolist(), (rng.random(points) < 0.5).tolist(), points).curve
    curve = thinned(full, most)
    assert len(curve.threshold) <= most
    assert curve.threshold[0] == full.threshold[0]
    assert curve.threshold[-1] == full.threshold[-1]
    assert max(curve.f1) == max(full.f1)


def test_a_panel_says_what_is_kept_at_tenths_and_at_the_best() -> None:
    one = scored("cat", [0.9, 0.8, 0.3], [True, True, False], 3)
    found = view(evaluation((one,), [[2, 1], [1, 0]], ["cat"]))
    assert found is not None
    (part,) = found.parts
    chosen = panel(part.classes, "cat")
    assert chosen is not None
    assert (chosen.labels, chosen.best, chosen.start) == (3, 0.31, 0.3)
    lines = {line.threshold: line for line in table(chosen)}
    assert lines["0.3"].said == 3
    assert lines["0.3"].precision == pytest.approx(2 / 3, abs=1e-5)
    assert (lines["0.31"].said, lines["0.31"].best, lines["0.31"].f1) == (2, True, 0.8)
    assert (lines["0.9"].said, lines["0.9"].precision) == (1, 1.0)
    assert panel(part.classes, "dog") is None
    whole = panel(part.classes, ALL_CLASSES)
    assert whole is not None
    assert whole.best == 0.8


def test_rows_that_are_not_judged_are_told() -> None:
    found = view(evaluation((), [[0]], []), "all")
    assert found is not None
    assert [(one.name, one.value) for one in found.rows] == [
        ("rows judged", "9"),
        ("rows without a label", "2"),
        ("mean error", "0.250"),
    ]
    said = " ".join(found.notes)
    for words in ("1 labelled row failed", "3 rows with several", "4 predictions without", "2 × relationship"):
        assert words in said
    assert view(evaluation((), [[0]], []), "training") is None
    chosen = view(evaluation((), [[0]], []))
    assert chosen is not None
    assert chosen.split == "test"


def test_of_two_hundred_classes_the_most_confused_are_shown_first() -> None:
    n = 200
    names = [f"class {k}" for k in range(n)]
    counts = [[0] * (n + 1) for _ in range(n + 1)]
    for k in range(n):
        counts[k][k] = 50
    counts[17][121] = 40
    counts[150][n] = 30
    counts[n][9] = 20
    found = view(evaluation((), counts, names))
    assert found is not None
    (part,) = found.parts
    assert part.matrix is not None
    assert len(part.matrix.columns) == MOST_IN_MATRIX + 1
    assert part.matrix.left_out == n - MOST_IN_MATRIX
    shown = [name for name, _ in part.matrix.rows]
    assert {"class 9", "class 17", "class 121", "class 150", None} <= set(shown)
    assert shown.index("class 9") < shown.index("class 17") < shown.index("class 121")  # by number, not by letter
    assert [error.words for error in part.errors] == [
        "40 × “class 17” taken for “class 121”",
        "30 × “class 150” missed",
        "20 × “class 9” predicted where there is none",
    ]
    cells = dict(part.matrix.rows)["class 17"]
    wrong = next(cell for cell in cells if cell.said == "class 121")
    assert (wrong.count, wrong.right, wrong.shade) == (40, False, 6)
