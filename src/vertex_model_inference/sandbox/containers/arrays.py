"""A trained model as a file of numbers: ``.npz`` with its format's name in it, and nothing that is unpickled."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt

__all__ = ["Arrays", "Floats", "check_shapes", "pack", "softmax", "unpack"]

Floats = npt.NDArray[np.float64]
Arrays = dict[str, npt.NDArray[np.generic]]


def softmax(scores: Floats) -> Floats:
    """Probabilities along the last axis."""
    exponent = np.exp(scores - scores.max(axis=-1, keepdims=True))
    result: Floats = exponent / exponent.sum(axis=-1, keepdims=True)
    return result


def pack(name: str, arrays: Arrays) -> bytes:
    """The file of a model: the same model gives the same bytes.

    Args:
        name: Of the format, with its version.
        arrays: Name -> numbers or texts.
    """
    buffer = io.BytesIO()
    # The stub takes the names for those of savez_compressed's own parameters.
    np.savez_compressed(buffer, format=np.array(name), **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def unpack(name: str, data: bytes, what: str) -> Arrays:
    """The arrays of a file that ``pack`` made.

    Args:
        name: Of the format. ``what``: the model in words, for messages (``"an image model"``).

    Raises:
        ValueError: It is not of that format.
    """
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        if "format" not in file or str(file["format"]) != name:
            msg = f"the file is not {what} of format {name}"
            raise ValueError(msg)
        return {key: file[key] for key in file.files if key != "format"}


def check_shapes(what: str, given: tuple[tuple[int, ...], ...], wanted: tuple[tuple[int, ...], ...]) -> None:
    """Make sure that a model's arrays fit together.

    Raises:
        ValueError: They do not.
    """
    if given != wanted:
        msg = f"{what}'s numbers do not fit together: {given}"
        raise ValueError(msg)
