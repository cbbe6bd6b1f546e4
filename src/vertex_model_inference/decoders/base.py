"""What a decoder is, and what all of them share: typed parsing, class names, confidences and clipped boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn, Protocol, TypeVar

import msgspec

from vertex_model_inference.errors import DecodeError
from vertex_model_inference.findings import Finding
from vertex_model_inference.rows import DataRow

__all__ = ["Decoder", "Fit", "class_name", "clip", "fit_of", "parse", "refuse", "shortened", "size_of", "unit"]

T = TypeVar("T")

_ROUNDING = 1e-6
"""How far float32 arithmetic may carry a confidence over its bounds: softmax gives 1.0000001."""


class Decoder(Protocol):
    """One family of model output. Users' own are classes that take the class names and have these two."""

    @property
    def name(self) -> str:
        """As in ``decoder = "..."`` of ``vmi.toml``."""

    def decode(self, prediction: bytes, row: DataRow) -> tuple[Finding, ...]:
        """Read one answer of the model.

        Args:
            prediction: The raw JSON of the ``prediction`` value of the row.
            row: The data row, for its size in pixels.

        Returns:
            What the model found: pixels of the original asset, confidences 0..1.

        Raises:
            DecodeError: The answer is not of this family's form. Nothing else.
        """


class Fit(msgspec.Struct, frozen=True):
    """How well one answer fits a family: ``SURE`` of its very form, ``EMPTY`` but of a form it could have, or not."""

    form: bool
    content: bool


def fit_of(decoder: msgspec.json.Decoder[T], prediction: bytes, content: bool | None = None) -> Fit:
    """Whether an answer parses as a family's type; ``content`` None means: it has some unless it is empty JSON."""
    try:
        decoder.decode(prediction)
    except (ValueError, RecursionError):
        return Fit(form=False, content=False)
    if content is None:
        content = prediction.strip() not in {b"[]", b"{}", b'""'}
    return Fit(form=True, content=content)


def shortened(prediction: bytes, limit: int = 200) -> str:
    """The beginning of an answer as one line of text, for messages."""
    text = bytes(prediction[: limit * 4]).decode("utf-8", "replace").replace("\n", " ")
    return text if len(text) <= limit and len(prediction) <= limit * 4 else f"{text[:limit]}…"


def refuse(decoder: str, row: DataRow, what: str, hint: str | None = None) -> NoReturn:
    """Raise the decoder's error: what is wrong in the answer for which row.

    Raises:
        DecodeError: Always.
    """
    raise DecodeError(
        f"The model's answer for data row {row.id} is not of the form {decoder!r}: {what}.",
        hint=hint,
        decoder=decoder,
        data_row_id=row.id,
    )


def parse(decoder: msgspec.json.Decoder[T], prediction: bytes, name: str, row: DataRow) -> T:
    """Typed decode straight from the bytes.

    Raises:
        DecodeError: Not JSON, or not of the type.
    """
    try:
        return decoder.decode(prediction)
    except RecursionError:
        refuse(name, row, "it is nested too deeply")
    except ValueError as error:  # msgspec's own errors and UnicodeDecodeError are ValueErrors
        hint = None
        if b"NaN" in prediction or b"Infinity" in prediction:
            hint = "It holds NaN or Infinity, which JSON does not have: let the container replace them."
        refuse(name, row, f"{error}; it begins {shortened(prediction)}", hint)


def size_of(row: DataRow, name: str) -> tuple[int, int]:
    """Width and height of the row in pixels, which relative coordinates need.

    Raises:
        DecodeError: Labelbox does not know the size.
    """
    if not row.width or not row.height:
        refuse(
            name,
            row,
            "its coordinates are relative, and the size of the asset is not known",
            "Let Labelbox process the data row's media attributes (width and height), then run again.",
        )
    return row.width, row.height


def unit(confidence: float, name: str, row: DataRow, where: str) -> float:
    """A confidence within 0..1; what float32 rounding carried over the bounds is brought back.

    Raises:
        DecodeError: It is not a number from 0 to 1.
    """
    if 0.0 <= confidence <= 1.0:
        return confidence
    if -_ROUNDING <= confidence <= 1.0 + _ROUNDING:
        return min(max(confidence, 0.0), 1.0)
    refuse(
        name,
        row,
        f"{where} is {confidence!r}, a confidence must be from 0 to 1",
        "If the model answers logits or percentages, turn them into probabilities in its container.",
    )


def class_name(value: str | float, names: Sequence[str], name: str, row: DataRow, where: str) -> str:
    """The name of a class that the model answers by name or by number (an index into the class names, from 0).

    A number stands for itself (``"3"``) when no class names are configured.

    Raises:
        DecodeError: Not a whole number, or no such class.
    """
    if isinstance(value, str):
        return value
    if value != value or value in (float("inf"), float("-inf")) or value != int(value):
        refuse(name, row, f"{where} is {value!r}, neither a class name nor a whole number")
    index = int(value)
    if not names:
        return str(index)
    if not 0 <= index < len(names):
        refuse(
            name,
            row,
            f"{where} is {index}, but there are {len(names)} class names (0 to {len(names) - 1})",
            "Set class_names of the model in vmi.toml to all its classes, in the model's order.",
        )
    return names[index]


def clip(
    left: float, top: float, right: float, bottom: float, row: DataRow, name: str, where: str
) -> tuple[float, float, float, float]:
    """A box given by its corners in pixels, as (left, top, width, height) within the asset.

    What sticks out is cut off. Where the row's size is unknown only the left and top edges can be.

    Raises:
        DecodeError: Not finite, of negative size, wholly outside, or so far out that the units must be wrong.
    """
    corners = f"{where} is ({left:g}, {top:g}) to ({right:g}, {bottom:g}) pixels"
    endless = float("inf")
    if not (abs(left) < endless and abs(top) < endless and abs(right) < endless and abs(bottom) < endless):
        refuse(name, row, f"{where} has a coordinate that is not a finite number")
    if right < left or bottom < top:
        refuse(name, row, f"{corners}: its size is negative", "Is the order of the coordinates right?")
    width, height = row.width or endless, row.height or endless
    if right < 0 or bottom < 0 or left > width or top > height:
        refuse(name, row, f"{corners}: it lies wholly outside the asset of {width:g} x {height:g}")
    if left < -width or top < -height or right > 2 * width or bottom > 2 * height:
        refuse(
            name,
            row,
            f"{corners}: it reaches far outside the asset of {width:g} x {height:g}",
            "Are the coordinates in the unit (pixels or 0..1) and order that the decoder expects?",
        )
    left, top = max(left, 0.0), max(top, 0.0)
    return left, top, min(right, width) - left, min(bottom, height) - top
