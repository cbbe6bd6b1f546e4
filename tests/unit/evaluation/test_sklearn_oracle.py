"""Radios and checklists are measured as scikit-learn measures them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from sklearn.calibration import calibration_curve
from tests.unit.evaluation.rows import checklist, confidences, pair, radio

from vertex_model_inference.evaluation.evaluator import Evaluator
from vertex_model_inference.evaluation.scores import Averages, ChoiceScore

OPTIONS = ("ant", "bee", "cat", "dog")
_options = st.sampled_from(OPTIONS)


def one_choice(evaluator: Evaluator) -> ChoiceScore:
    [score] = evaluator.scores()[0].choices
    return score


def same(averages: Averages, wanted: tuple[Any, ...]) -> None:
    assert (averages.precision, averages.recall, averages.f1) == pytest.approx(wanted[:3], abs=1e-9)


@given(st.lists(st.tuples(_options, _options | st.none(), confidences), min_size=1, max_size=40))
@settings(max_examples=50, deadline=None)
def test_radios(answers: list[tuple[str, str | None, float]]) -> None:
    evaluator = Evaluator()
    for number, (label, said, confidence) in enumerate(answers):
        evaluator.add([pair(number, [radio("q", said, confidence)] if said else [], [radio("q", label)])])
    score = one_choice(evaluator)
    meant = [label for label, _, _ in answers]
    told = [said or "(nothing)" for _, said, _ in answers]
    used = sorted({*meant, *(said for _, said, _ in answers if said)})
    assert score.accuracy == pytest.approx(metrics.accuracy_score(meant, told))
    each = metrics.precision_recall_fscore_support(meant, told, labels=used, zero_division=0)
    by_name = {one.name: one for one in score.classes}
    assert sorted(by_name) == used
    for place, name in enumerate(used):
        one = by_name[name]
        found = (one.precision or 0.0, one.recall or 0.0, one.f1 or 0.0, one.labels)
        assert found == pytest.approx(tuple(column[place] for column in each), abs=1e-9)
    for averages, how in ((score.macro, "macro"), (score.weighted, "weighted"), (score.micro, "micro")):
        same(averages, metrics.precision_recall_fscore_support(meant, told, labels=used, average=how, zero_division=0))
    table = metrics.confusion_matrix(meant, told, labels=[*score.confusion.classes, "(nothing)"])
    assert score.confusion.counts == tuple(tuple(row) for row in table.tolist())


@given(st.lists(st.tuples(_options, confidences, _options), min_size=1, max_size=30))
@settings(max_examples=40, deadline=None)
def test_each_threshold_of_the_curve_is_what_counting_again_gives(answers: list[tuple[str, float, str]]) -> None:
    evaluator = Evaluator()
    for number, (label, confidence, said) in enumerate(answers):
        evaluator.add([pair(number, [radio("q", said, confidence)], [radio("q", label)])])
    for one in one_choice(evaluator).classes:
        f1s = []
        for threshold, precision, recall, f1 in zip(
            one.curve.threshold, one.curve.precision, one.curve.recall, one.curve.f1, strict=True
        ):
            told = [said == one.name and confidence >= threshold for _, confidence, said in answers]
            meant = [label == one.name for label, _, _ in answers]
            wanted = metrics.precision_recall_fscore_support(meant, told, average="binary", zero_division=0)
            assert (precision, recall, f1) == pytest.approx(wanted[:3], abs=1e-6)
            f1s.append(f1)
        assert one.best is None or one.best.f1 == pytest.approx(max(f1s), abs=1e-6)
        if one.best is not None:
            told = [said == one.name and confidence >= one.best.threshold for _, confidence, said in answers]
            assert metrics.f1_score([label == one.name for label, _, _ in answers], told) == pytest.approx(one.best.f1)


def _chosen() -> st.SearchStrategy[dict[str, float]]:
    return st.dictionaries(_options, confidences, max_size=4)


@given(st.lists(st.tuples(st.sets(_options, min_size=1), _chosen()), min_size=1, max_size=25))
@settings(max_examples=40, deadline=None)
def test_checklists(answers: list[tuple[set[str], dict[str, float]]]) -> None:
    evaluator = Evaluator()
    for number, (label, said) in enumerate(answers):
        predicted = [checklist("q", dict(said))] if said else []
        evaluator.add([pair(number, predicted, [checklist("q", dict.fromkeys(label))])])
    score = one_choice(evaluator)
    meant = np.asarray([[name in label for name in OPTIONS] for label, _ in answers])
    told = np.asarray([[name in said for name in OPTIONS] for _, said in answers])
    assert score.accuracy == pytest.approx(metrics.accuracy_score(meant, told))
    assert score.jaccard == pytest.approx(metrics.jaccard_score(meant, told, average="samples", zero_division=0))
    used = [k for k, name in enumerate(OPTIONS) if meant[:, k].any() or told[:, k].any()]
    each = metrics.precision_recall_fscore_support(meant, told, labels=used, zero_division=0, average=None)
    by_name = {one.name: one for one in score.classes}
    assert sorted(by_name) == [OPTIONS[k] for k in used]
    for place, k in enumerate(used):
        one = by_name[OPTIONS[k]]
        found = (one.precision or 0.0, one.recall or 0.0, one.f1 or 0.0, one.labels)
        assert found == pytest.approx(tuple(column[place] for column in each), abs=1e-9)
    for averages, how in ((score.macro, "macro"), (score.weighted, "weighted"), (score.micro, "micro")):
        wanted = metrics.precision_recall_fscore_support(meant, told, labels=used, average=how, zero_division=0)
        same(averages, wanted)


@given(
    st.lists(
        st.tuples(_options, st.tuples(*[st.integers(1, 1000)] * len(OPTIONS)).filter(lambda v: len(set(v)) == len(v))),
        min_size=2,
        max_size=20,
    )
)
@settings(max_examples=30, deadline=None)
def test_scores_of_all_classes(answers: list[tuple[str, tuple[int, ...]]]) -> None:
    evaluator = Evaluator()
    shares = [np.asarray(values) / sum(values) for _, values in answers]
    for number, ((label, _), share) in enumerate(zip(answers, shares, strict=True)):
        scores = dict(zip(OPTIONS, share.tolist(), strict=True))
        best = max(scores, key=lambda name: scores[name])
        said = radio("q", best, scores[best])
        evaluator.add([pair(number, [said], [radio("q", label)], scores={"q": scores})])
    score = one_choice(evaluator)
    meant = [label for label, _ in answers]
    assert score.log_loss == pytest.approx(metrics.log_loss(meant, np.stack(shares), labels=OPTIONS), abs=1e-9)
    assert score.log_loss_rows == len(answers)
    for k, rate in score.top_k.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn finds k = number of classes uninformative
            wanted = metrics.top_k_accuracy_score(meant, np.stack(shares), k=int(k), labels=OPTIONS)
        assert rate == pytest.approx(wanted)


@given(st.lists(st.tuples(st.integers(0, 1000), st.booleans()), min_size=1, max_size=60))
@settings(max_examples=30, deadline=None)
def test_calibration(answers: list[tuple[int, bool]]) -> None:
    evaluator = Evaluator()
    for number, (thousandths, right) in enumerate(answers):
        said = radio("q", "ant" if right else "bee", thousandths / 1000)
        evaluator.add([pair(number, [said], [radio("q", "ant")])])
    found = one_choice(evaluator).calibration
    assert found is not None
    right_, confidence = (np.asarray(values) for values in zip(*[(r, t / 1000) for t, r in answers], strict=True))
    accuracy, mean = calibration_curve(right_, confidence, n_bins=15)
    assert [one.accuracy for one in found.bins] == pytest.approx(accuracy.tolist())
    assert [one.confidence for one in found.bins] == pytest.approx(mean.tolist())
    error = sum(one.count * abs(one.accuracy - one.confidence) for one in found.bins) / len(answers)
    assert found.expected_error == pytest.approx(error)
