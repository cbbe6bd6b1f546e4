"""What the local models see: lines of text on pictures (RapidOCR), and which of several choices a text speaks for.

Both are real models, loaded at first use: OCR from its wheel; sentiment trained on the reviews data set's training
split where that data is installed. Choices that no trained model knows go by the likeness of their words to the text.
"""

from __future__ import annotations

import io
import math
import re
import threading
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec

__all__ = ["Evidence", "Line", "Unreadable", "choose", "classify", "pixels_of", "read_picture", "sentences", "summary"]

MAX_PIXELS = 64_000_000
_local = threading.local()
_training = threading.Lock()


class Unreadable(Exception):  # noqa: N818  # told to the client in the service's own words
    """The bytes are no picture."""


class Line(msgspec.Struct, frozen=True):
    """Something that was found: a line of text on a picture, a name in a text, a movement in a video.

    Attributes:
        text: What it says. ``score``: the model's confidence, 0..1.
        box: [ymin, xmin, ymax, xmax] in thousandths of the picture's height and width, origin top left, whole numbers.
        page: Number of the picture it is on, from 1.
        kind: Of a name, OntoNotes' word (PERSON, GPE, ...).
        occurrence: Which of the places in the text is meant that say the same, from 1.
        message_id: Of the message that a name is in.
        track: Of a movement: seconds and box.
    """

    text: str
    score: float
    box: list[int]
    page: int = 1
    kind: str = ""
    occurrence: int = 1
    message_id: str = ""
    track: tuple[tuple[float, list[int]], ...] = ()


class Evidence(msgspec.Struct, frozen=True):
    """What an answer is made from.

    Attributes:
        text: The text to judge: what the pictures say, else what the request says.
        lines: Lines read from pictures, in reading order. ``seen``: whether there were pictures.
        score: Mean confidence of the lines, 1.0 for given text.
        pictures: What was looked at, each height x width x 3 (BGR, uint8): pictures, pages, the first frame of a video.
        messages: (id, text) of a conversation's messages.
        moves: What moves in a video. ``seconds``: its length, 0 when it is none.
    """

    text: str
    lines: tuple[Line, ...] = ()
    seen: bool = False
    score: float = 1.0
    pictures: tuple[Any, ...] = ()
    messages: tuple[tuple[str, str], ...] = ()
    moves: tuple[Line, ...] = ()
    seconds: float = 0.0


def _engine() -> Any:
    # An engine keeps state while it reads: one for each thread.
    if not hasattr(_local, "engine"):
        from rapidocr_onnxruntime import RapidOCR

        _local.engine = RapidOCR(intra_op_num_threads=1)
    return _local.engine


def pixels_of(data: bytes) -> Any:
    """A picture as height x width x 3 (BGR, uint8).

    Raises:
        Unreadable: Not a picture, damaged, or above 64 megapixels.
    """
    import numpy as np
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Unreadable(f"{image.width}x{image.height} pixels are too many")
            return np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Unreadable(str(error)) from None


def read_picture(pixels: Any, page: int = 1) -> list[Line]:
    """The lines of text on a picture, from top to bottom.

    Args:
        pixels: As ``pixels_of`` gives them.
        page: Its number, from 1.
    """
    height, width = pixels.shape[:2]
    found, _ = _engine()(pixels)

    def thousandth(value: float, size: int) -> int:
        return round(min(max(value / size, 0.0), 1.0) * 1000)

    return [
        Line(
            str(text),
            float(score),
            [
                thousandth(min(y for _, y in quad), height),
                thousandth(min(x for x, _ in quad), width),
                thousandth(max(y for _, y in quad), height),
                thousandth(max(x for x, _ in quad), width),
            ],
            page,
        )
        for quad, text, score in found or []
    ]


@cache
def _sentiment() -> Any:
    """The trained classifier of sentiment, or None where its data is not installed."""
    from vertex_model_inference.errors import SettingsError
    from vertex_model_inference.sandbox.datasets.reviews import Reviews
    from vertex_model_inference.sandbox.datasets.training import train_texts

    try:
        rows = Reviews().rows()
    except SettingsError:
        return None
    return train_texts(
        [row.text or "" for row in rows], [row.answer or "" for row in rows], [row.split for row in rows]
    )


def _grams(text: str) -> Counter[str]:
    words = re.findall(r"\w+", text.lower())
    return Counter(f" {word} "[i : i + 3] for word in words for i in range(len(word)))


def _likeness(text: str, options: Sequence[str]) -> list[float]:
    """Cosine of character trigrams, weighted by how few of the options have them; a whole option found counts 1."""
    grams = [_grams(option) for option in options]
    rarity = {gram: math.log(1 + len(options) / sum(gram in other for other in grams)) for g in grams for gram in g}
    mine = _grams(text)
    size = math.sqrt(sum((n * rarity[gram]) ** 2 for gram, n in mine.items() if gram in rarity)) or 1.0
    scores = []
    for option, its in zip(options, grams, strict=True):
        if re.search(rf"(?<!\w){re.escape(option.lower())}(?!\w)", text.lower()):
            scores.append(1.0)
            continue
        length = math.sqrt(sum((n * rarity[gram]) ** 2 for gram, n in its.items())) or 1.0
        scores.append(sum(n * mine[gram] * rarity[gram] ** 2 for gram, n in its.items()) / (length * size))
    return scores


def classify(text: str, options: Sequence[str]) -> list[float]:
    """A score for each option, 0..1, which add up to 1."""
    lower = [option.lower() for option in options]
    model = None
    if {"positive", "negative"} <= set(lower):
        with _training:  # it takes seconds: once, not once in each thread
            model = _sentiment()
    if model is not None:
        row = dict(zip(model.labels, model.probabilities([text])[0], strict=True))
        scores = [float(row.get(option, 0.0)) for option in lower]
    else:
        scores = [math.exp(5 * score) for score in _likeness(text, options)]
    total = sum(scores) or 1.0
    return [score / total for score in scores]


def choose(text: str, options: Sequence[str]) -> tuple[str, float]:
    """The best option, the first of equals, and its score."""
    scores = classify(text, options)
    best = max(range(len(options)), key=lambda i: scores[i])
    return options[best], scores[best]


def sentences(text: str) -> list[str]:
    """The sentences of a text."""
    return [part.strip() for part in re.split(r"(?<=[.!?])\s+|\n+", text) if part.strip()]


def summary(text: str, count: int = 2) -> str:
    """The sentences that share most words with the whole text, in their order."""
    parts = sentences(text)
    words = Counter(word for word in re.findall(r"\w{4,}", text.lower()))

    def weight(i: int) -> float:
        own = set(re.findall(r"\w{4,}", parts[i].lower()))
        return sum(words[word] for word in own) / (3 + len(own))

    best = sorted(sorted(range(len(parts)), key=lambda i: -weight(i))[:count])
    return " ".join(parts[i] for i in best)
