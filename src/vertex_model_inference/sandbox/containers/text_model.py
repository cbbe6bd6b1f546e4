"""A text classifier as a file of numbers: TF-IDF of words and word pairs, and a softmax.

The same arithmetic as scikit-learn's ``TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)`` and multinomial
``LogisticRegression``, applied with numpy alone, so that loading a model runs no code of the file.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from vertex_model_inference.sandbox.containers.arrays import Floats, check_shapes, pack, softmax, unpack

__all__ = ["TOKEN", "TextModel"]

FORMAT = "vmi-text-softmax-1"
TOKEN = r"(?u)\b\w[\w']*\b"  # noqa: S105  # a word, "n't" kept whole


@dataclass(frozen=True)
class TextModel:
    """A trained classifier.

    Attributes:
        labels: Names of the classes, k of them.
        terms: The vocabulary: words and pairs of words with one space between, lower case, t of them.
        idf: Weight of each term, t.
        weights: k x t. ``bias``: k.
    """

    labels: tuple[str, ...]
    terms: tuple[str, ...]
    idf: Floats
    weights: Floats
    bias: Floats

    @cached_property
    def _index(self) -> dict[str, int]:
        return {term: i for i, term in enumerate(self.terms)}

    @cached_property
    def _token(self) -> re.Pattern[str]:
        return re.compile(TOKEN)

    def probabilities(self, texts: list[str]) -> Floats:
        """n x k; each row sums to 1. A text without any known term gets the model's bias alone."""
        scores = np.tile(self.bias, (len(texts), 1))
        for row, text in enumerate(texts):
            words = self._token.findall(text.lower())
            found = Counter(words)
            found.update(f"{a} {b}" for a, b in itertools.pairwise(words))
            known = [(self._index[term], n) for term, n in found.items() if term in self._index]
            if not known:
                continue
            at = np.array([i for i, _ in known])
            values = (1 + np.log(np.array([n for _, n in known], dtype=np.float64))) * self.idf[at]
            scores[row] += self.weights[:, at] @ (values / np.linalg.norm(values))
        return softmax(scores)

    def to_bytes(self) -> bytes:
        """As an ``.npz`` file without pickled objects; the same model gives the same bytes."""
        return pack(
            FORMAT,
            {
                "labels": np.array(self.labels),
                # An array of text would be as wide everywhere as its longest term.
                "terms": np.frombuffer("\n".join(self.terms).encode(), dtype=np.uint8),
                "idf": self.idf,
                "weights": self.weights.astype(np.float32),
                "bias": self.bias,
            },
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> TextModel:
        """Read what ``to_bytes`` wrote.

        Raises:
            ValueError: Not such a file, or its numbers do not fit together.
        """
        file: dict[str, Any] = unpack(FORMAT, data, "a text model")
        model = cls(
            labels=tuple(str(label) for label in file["labels"]),
            terms=tuple(file["terms"].tobytes().decode().split("\n")),
            idf=file["idf"],
            weights=file["weights"].astype(np.float64),
            bias=file["bias"],
        )
        k, t = len(model.labels), len(model.terms)
        check_shapes("the text model", (model.idf.shape, model.weights.shape, model.bias.shape), ((t,), (k, t), (k,)))
        return model
