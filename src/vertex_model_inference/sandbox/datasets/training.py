"""Training the sandbox's classifiers, with scikit-learn, on the training split and nothing else.

Hyperparameters were chosen on the validation split; the test split only ever measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vertex_model_inference.rows import Split
from vertex_model_inference.sandbox.containers.image_model import ImageModel
from vertex_model_inference.sandbox.containers.text_model import TOKEN, TextModel

__all__ = ["measured", "train_images", "train_texts"]

Floats = npt.NDArray[np.float64]


def measured(
    probabilities: Floats, labels: Sequence[str], answers: Sequence[str], splits: Sequence[Split]
) -> dict[str, float]:
    """Accuracy on the validation and the test split, and how many rows each has.

    Args:
        probabilities: n x k.
        labels: The k classes.
        answers: The ground truth of the n rows. ``splits``: their splits.
    """
    right = np.array(labels)[probabilities.argmax(axis=1)] == np.array(answers)
    where = np.array([split.value for split in splits])
    result: dict[str, float] = {"training_rows": int((where == Split.TRAINING).sum())}
    for split in (Split.VALIDATION, Split.TEST):
        mine = right[where == split]
        result[f"{split}_rows"] = len(mine)
        result[f"{split}_accuracy"] = round(float(mine.mean()), 4)
    return result


def _training(splits: Sequence[Split]) -> npt.NDArray[np.intp]:
    return np.flatnonzero([split is Split.TRAINING for split in splits])


def _one_thread() -> Any:
    """BLAS on one thread: the optimiser's steps are so small that threads only wait for each other."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1)


def train_images(
    pixels: Floats, answers: Sequence[str], splits: Sequence[Split], *, size: tuple[int, int], levels: float
) -> ImageModel:
    """A classifier of small grey pictures.

    Args:
        pixels: n x (width * height), 0 (black) to ``levels`` (white).
        answers: The ground truth of the n pictures. ``splits``: their splits.
        size: (width, height). ``levels``: the value of white.
    """
    from sklearn.kernel_approximation import Nystroem
    from sklearn.linear_model import LogisticRegression

    train = _training(splits)
    gamma = 0.001
    kernel = Nystroem(gamma=gamma, n_components=min(500, len(train)), random_state=0)
    features = kernel.fit_transform(pixels[train])
    softmax = LogisticRegression(C=30.0, max_iter=1000)
    with _one_thread():
        softmax.fit(features, np.array(answers)[train])
    return ImageModel(
        labels=tuple(str(label) for label in softmax.classes_),
        size=size,
        levels=levels,
        gamma=gamma,
        landmarks=kernel.components_.astype(np.float64),
        whitening=kernel.normalization_.astype(np.float64),
        weights=softmax.coef_.astype(np.float64),
        bias=softmax.intercept_.astype(np.float64),
    )


def train_texts(texts: Sequence[str], answers: Sequence[str], splits: Sequence[Split]) -> TextModel:
    """A classifier of short texts.

    Args:
        texts: n texts.
        answers: Their ground truth. ``splits``: their splits.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    train = _training(splits)
    words: Any = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, token_pattern=TOKEN)
    features = words.fit_transform([texts[i] for i in train])
    softmax = LogisticRegression(C=2.0, max_iter=1000)
    with _one_thread():
        softmax.fit(features, np.array(answers)[train])
    return TextModel(
        labels=tuple(str(label) for label in softmax.classes_),
        terms=tuple(str(term) for term in words.get_feature_names_out()),
        idf=words.idf_.astype(np.float64),
        weights=softmax.coef_.astype(np.float64),
        bias=softmax.intercept_.astype(np.float64),
    )
