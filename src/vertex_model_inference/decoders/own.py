"""Users' own decoders, from an entry point or a file, held to what the built-in ones promise."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import msgspec

from vertex_model_inference.decoders.base import Decoder, clip, refuse
from vertex_model_inference.errors import DecodeError, UnknownOutputError
from vertex_model_inference.findings import Finding, FoundBox, FoundEntity, FoundLine, FoundPoint, FoundPolygon
from vertex_model_inference.rows import DataRow

__all__ = ["FILE", "from_file", "installed", "made"]

FILE = "file:"
"""Begins the name of a decoder in a file: ``file:./my_decoder.py:MyDecoder``."""


def installed(group: str) -> dict[str, EntryPoint]:
    """Entry points of a group by name; loads none of them."""
    return {point.name: point for point in entry_points(group=group)}


def from_file(name: str, class_names: Sequence[str]) -> Decoder:
    """The decoder of ``file:PATH:CLASS``; a relative path begins at the folder that the program was started in.

    Raises:
        UnknownOutputError: There is no such file or class in it, or it cannot be loaded.
    """
    where, colon, attribute = name.removeprefix(FILE).rpartition(":")
    if not colon or not where or not attribute.isidentifier():
        raise UnknownOutputError(
            f"{name!r} does not name a decoder in a file.",
            hint='Write decoder = "file:./my_decoder.py:MyDecoder".',
            decoder=name,
        )
    path = Path(where).expanduser()
    if not path.is_file():
        raise UnknownOutputError(
            f"The decoder {name!r} cannot be loaded: there is no file {path}.",
            hint="A relative path begins at the folder that the program was started in.",
            decoder=name,
        )

    def load() -> Any:
        spec = importlib.util.spec_from_file_location(f"vmi_decoder_{path.stem}", path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{path} is not a Python file")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return getattr(module, attribute)

    return made(name, name.removeprefix(FILE), load, class_names)


def made(name: str, origin: str, load: Callable[[], Any], class_names: Sequence[str]) -> Decoder:
    """A user's decoder, held to sound findings or a DecodeError.

    Args:
        name: As in ``vmi.toml``.
        origin: Where it comes from, for messages.
        load: Gives the class or function that takes the class names.
        class_names: What numbers stand for.

    Raises:
        UnknownOutputError: It cannot be loaded, or is no decoder.
    """
    try:
        decoder = load()(class_names)
    except Exception as error:
        raise UnknownOutputError(
            f"The decoder {name!r} ({origin}) cannot be loaded: {type(error).__name__}: {error}.",
            hint="It must be a class that takes one argument, the sequence of class names.",
            decoder=name,
        ) from error
    if not callable(getattr(decoder, "decode", None)):
        raise UnknownOutputError(
            f"The decoder {name!r} ({origin}) gives a {type(decoder).__name__} without a method decode.",
            hint="It needs decode(prediction: bytes, row: DataRow) -> tuple of findings.",
            decoder=name,
        )
    return _Checked(name, decoder)


class _Checked:
    """A user's own decoder, held to what the built-in ones promise: sound findings or a DecodeError."""

    def __init__(self, name: str, inner: Decoder) -> None:
        self.name = name
        self._inner = inner

    def decode(self, prediction: bytes, row: DataRow) -> tuple[Finding, ...]:
        try:
            findings = tuple(self._inner.decode(prediction, row))
        except DecodeError:
            raise
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise DecodeError(
                f"The decoder {self.name!r} failed on data row {row.id}: {what}.", decoder=self.name
            ) from error
        return tuple([self._checked(finding, f"finding {index}", row) for index, finding in enumerate(findings)])

    def _checked(self, finding: Finding, where: str, row: DataRow) -> Finding:
        wrong = _unsound(finding)
        if wrong:
            refuse(self.name, row, f"{where} {wrong}", "That is to be mended in the decoder.")
        if not isinstance(finding, FoundBox):
            return finding
        right, bottom = finding.left + finding.width, finding.top + finding.height
        left, top, width, height = clip(finding.left, finding.top, right, bottom, row, self.name, where)
        return msgspec.structs.replace(finding, left=left, top=top, width=width, height=height)


def _unsound(finding: object) -> str | None:
    """What is wrong with a finding of foreign code; None: nothing."""
    if not isinstance(finding, Finding):
        return f"is a {type(finding).__name__}, not a finding such as FoundLabel or FoundBox"
    try:
        msgspec.convert(msgspec.to_builtins(finding), type(finding))
        for text in (finding.label, getattr(finding, "text", None)):
            (text or "").encode()
    except (ValueError, TypeError) as error:  # also a lone surrogate, which no JSON can carry
        return f"is not valid: {error}"
    if any(not math.isfinite(number) for number in _numbers(finding)):
        return "has a coordinate that is not a finite number"
    if finding.confidence is not None and not 0.0 <= finding.confidence <= 1.0:
        return f"has the confidence {finding.confidence!r}, it must be from 0 to 1"
    wrong = next(filter(None, map(_unsound, getattr(finding, "answers", ()))), None)
    return f"has an answer that {wrong}" if wrong else None


def _numbers(finding: Finding) -> list[float]:
    """All coordinates of a finding."""
    if isinstance(finding, FoundBox):
        return [finding.left, finding.top, finding.width, finding.height]
    if isinstance(finding, FoundPoint):
        return [finding.x, finding.y]
    if isinstance(finding, (FoundPolygon, FoundLine)):
        return [number for point in finding.points for number in point]
    return [finding.start, finding.end] if isinstance(finding, FoundEntity) else []
