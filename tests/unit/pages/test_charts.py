"""Charts: what is drawn where, in words for who does not see it, and names that stay text."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from vertex_model_inference.evaluation.calibration import Calibration, CalibrationBin
from vertex_model_inference.evaluation.scores import Curve
from vertex_model_inference.pages.charts import (
    HEIGHT,
    WIDTH,
    Part,
    by_confidence,
    precision_recall,
    reliability,
    share,
    stacked,
)

CURVE = Curve((0.9, 0.5, 0.2), (1.0, 0.5, 0.4), (0.25, 0.5, 1.0), (0.4, 0.5, 0.571429), (1, 4, 10))
names = st.text(st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\ufffe\uffff"), max_size=60)


def parsed(markup: str) -> Any:
    root = ET.fromstring(str(markup))
    assert root.tag == "svg"
    return root


def numbers(path: str) -> list[float]:
    return [float(one) for one in re.findall(r"-?\d+(?:\.\d+)?", path)]


def test_lines_are_steps_from_threshold_nought_to_the_surest_prediction() -> None:
    root = parsed(by_confidence(CURVE, "cat", 0.2))
    left, wide = float(root.get("data-left")), float(root.get("data-wide"))
    paths = {path.get("class"): path.get("d") for path in root.iter("path")}
    assert set(paths) == {"curve precision", "curve recall", "curve f1"}
    recall = paths["curve recall"]
    # All that is found is kept up to the lowest confidence; then only what is left.
    assert recall.startswith(f"M{left:g} 10H")
    assert [part[0] for part in re.findall(r"[MHV][^MHV]*", recall)] == ["M", "H", "V", "H", "V", "H"]
    across = [round((x - left) / wide, 2) for x in (numbers(part)[0] for part in re.findall(r"H[\d.]+", recall))]
    assert across == [0.2, 0.5, 0.9]
    assert "With all predictions precision 0.400, recall 1.000, F1 0.571" in root.findtext("desc")
    assert "at 0.2" in root.findtext("desc")
    best = next(line for line in root.iter("line") if line.get("class") == "best")
    assert abs((float(best.get("x1")) - left) / wide - 0.2) < 0.01
    assert [text.text for text in root.iter("text") if "name" in text.get("class")] == ["precision", "F1", "recall"]


def test_nothing_predicted_is_said() -> None:
    for chart in (by_confidence(Curve(), "cat"), precision_recall(Curve(), "cat")):
        root = parsed(chart)
        assert "No predictions" in root.findtext("desc")
        assert list(root.iter("path")) == []


def test_one_prediction_is_a_dot() -> None:
    one = Curve((0.5,), (1.0,), (0.5,), (0.666667,), (1,))
    assert len(list(parsed(precision_recall(one, "cat")).iter("circle"))) == 1


def test_bars_of_calibration_are_as_high_as_what_is_right() -> None:
    bins = (CalibrationBin(0.2, 0.266667, 10, 0.25, 0.5), CalibrationBin(0.933333, 1.0, 40, 0.97, 1.0))
    root = parsed(reliability(Calibration(bins, 0.07), "cat"))
    bars = [bar for bar in root.iter("rect") if bar.get("class") == "share-right"]
    assert abs(float(bars[0].get("height")) / float(bars[1].get("height")) - 0.5) < 0.01
    assert [group.findtext("title") for group in root.iter("g")] == [
        "confidence 0.20 to 0.27: 10 predictions, 50.0% right, mean confidence 25.0%",
        "confidence 0.93 to 1.00: 40 predictions, 100.0% right, mean confidence 97.0%",
    ]
    assert "0.070" in root.findtext("desc")


def test_parts_of_a_bar_add_up() -> None:
    root = parsed(stacked([Part("good", 3, "g"), Part("none", 0, "n"), Part("bad", 1, "b")], "Rows"))
    assert [(part.get("class"), part.get("x"), part.get("width")) for part in root] == [
        ("g", "0", "75"),
        ("b", "75", "25"),
    ]
    assert root.get("aria-label") == "Rows: good 3, bad 1"
    assert list(parsed(stacked([Part("good", 0, "g")], "Rows"))) == []


def test_shares_never_read_all_or_nothing_where_they_are_not() -> None:
    assert [share(0, 10), share(10, 10), share(1, 100_000), share(99_999, 100_000), share(1, 3), share(0, 0)] == [
        *("0 %", "100 %", "<0.1 %", ">99.9 %", "33.3 %", "–"),
    ]


@given(names)
def test_any_name_stays_text(name: str) -> None:
    for chart in (by_confidence(CURVE, name, 0.5), precision_recall(CURVE, name)):
        root = parsed(chart)
        assert {element.tag for element in root.iter()} <= {"svg", "title", "desc", "line", "text", "path", "circle"}
        assert len(list(root.iter("title"))) <= 2


points = st.tuples(*(st.floats(0, 1),) * 4)


@given(st.lists(points, min_size=1, max_size=30, unique_by=lambda point: point[0]))
def test_every_curve_stays_within_the_chart(values: list[tuple[float, float, float, float]]) -> None:
    ordered = sorted(values, reverse=True)
    curve = Curve(*(tuple(column) for column in zip(*ordered, strict=True)))
    for chart in (by_confidence(curve, "cat", ordered[0][0]), precision_recall(curve, "cat")):
        root = parsed(chart)
        for path in root.iter("path"):
            assert all(0 <= number <= max(WIDTH, HEIGHT) for number in numbers(path.get("d")))
        for text in root.iter("text"):
            if text.get("y"):
                assert 0 <= float(text.get("y")) <= HEIGHT
