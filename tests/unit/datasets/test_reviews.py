from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from vertex_model_inference.errors import SettingsError
from vertex_model_inference.rows import Split
from vertex_model_inference.sandbox.containers.text_classifier import predictor
from vertex_model_inference.sandbox.containers.text_model import TOKEN, TextModel
from vertex_model_inference.sandbox.datasets.material import ModelPlan, SeedRow
from vertex_model_inference.sandbox.datasets.reviews import Reviews, read_ratings, sentiment_of


@pytest.fixture(scope="module")
def rows() -> list[SeedRow]:
    return Reviews().rows()


@pytest.fixture(scope="module")
def plan() -> ModelPlan:
    return Reviews().model()


@pytest.fixture(scope="module")
def model(plan: ModelPlan) -> TextModel:
    assert plan.artifact is not None
    return TextModel.from_bytes(plan.artifact)


def test_every_row_is_a_text_with_a_sentiment(rows: list[SeedRow]) -> None:
    assert len(rows) > 14_000
    assert len({row.key for row in rows}) == len(rows)
    assert all(row.text and len(row.text) < 64_000 for row in rows)
    assert len({" ".join((row.text or "").lower().split()) for row in rows}) == len(rows)


def test_the_default_sample_has_every_sentiment_in_every_split(rows: list[SeedRow]) -> None:
    counts = Counter((row.split, row.answer) for row in rows[: Reviews.default_rows])
    assert len(counts) == 9
    assert min(counts.values()) >= 10


@pytest.mark.parametrize(
    ("mean", "sentiment"),
    [(4, "positive"), (0.5, "positive"), (0.49, "neutral"), (0, "neutral"), (-0.49, "neutral"), (-0.5, "negative")],
)
def test_the_cut(mean: float, sentiment: str) -> None:
    assert sentiment_of(mean) == sentiment


def test_the_served_model_beats_the_most_frequent_sentiment_on_rows_it_never_saw(
    plan: ModelPlan, model: TextModel, rows: list[SeedRow]
) -> None:
    test = [row for row in rows if row.split is Split.TEST]
    answers = predictor(model).usual([{"text": row.text} for row in test], None)
    right = [answer["displayNames"][0] == row.answer for answer, row in zip(answers, test, strict=True)]
    assert sum(right) / len(right) == pytest.approx(plan.measured["test_accuracy"], abs=2e-3)
    most_frequent = max(Counter(row.answer for row in test).values()) / len(test)
    assert plan.measured["test_accuracy"] > most_frequent + 0.2


def test_numpy_gives_what_scikit_learn_gives(rows: list[SeedRow]) -> None:
    texts = [row.text or "" for row in rows[:600]]
    answers = [row.answer for row in rows[:600]]
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, token_pattern=TOKEN)
    estimator = LogisticRegression(C=2.0, max_iter=1000).fit(words.fit_transform(texts[:500]), answers[:500])
    model = TextModel(
        labels=tuple(estimator.classes_),
        terms=tuple(words.get_feature_names_out()),
        idf=words.idf_,
        weights=estimator.coef_,
        bias=estimator.intercept_,
    )
    held_out = [*texts[500:], "zzzz qqqq", "Don't. DON'T!"]
    expected = estimator.predict_proba(words.transform(held_out))
    assert np.allclose(model.probabilities(held_out), expected, atol=1e-9)


def test_a_bad_instance_fails_alone(model: TextModel) -> None:
    good = {"text": "A wonderful film, I loved it."}
    bad: list[object] = [{}, [], {"text": 5}, {"text": "  "}, {"content": "gs://nothing"}]
    answers = predictor(model).usual([good, *bad, {"content": good["text"]}], None)
    assert answers[0] == answers[-1]
    assert answers[0]["displayNames"][0] == "positive"
    assert [answer["error"]["code"] for answer in answers[1:-1]] == [3] * len(bad)


def test_a_missing_archive_is_named_with_the_command_that_fetches_it(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"No such file.*pip download .*sandbox-data\.lock"):
        list(read_ratings(tmp_path / "vaderSentiment-3.3.2.tar.gz"))


def test_another_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vaderSentiment-3.3.2.tar.gz"
    path.write_bytes(b"something else")
    with pytest.raises(SettingsError, match="SHA-256"):
        list(read_ratings(path))
