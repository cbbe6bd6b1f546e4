"""From lines of an input file to what the model sees, and from its answers to output lines.

How ``instanceConfig`` works is told in ``google/cloud/aiplatform_v1/types/batch_prediction_job.py``.
"""

from __future__ import annotations

import base64
import csv
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import orjson

from vertex_model_inference.sandbox.vertex.automl import instance_error
from vertex_model_inference.sandbox.vertex.objects import Objects
from vertex_model_inference.sandbox.vertex.wire import ApiError

__all__ = ["Item", "Shape", "error_line", "items", "prediction_line"]


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """How a job's input becomes instances.

    Attributes:
        format: ``jsonl``, ``csv`` or ``file-list``.
        automl: Kind of AutoML model, or None.
        key_field, included, excluded: As in ``instanceConfig``.
        array: The model sees a JSON array of values instead of an object.
    """

    format: str
    automl: str | None = None
    key_field: str = ""
    included: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    array: bool = False


class Item(msgspec.Struct, frozen=True):
    """One input line.

    Attributes:
        index: Number of the line over all files of the job, from 0.
        sent: What the model sees.
        shown: ``{"key": ...}`` or ``{"instance": ...}``: how the output names the line.
        error: Why it cannot be sent; then ``sent`` means nothing.
    """

    index: int
    sent: Any
    shown: dict[str, Any]
    error: str | None = None


def _from_object(index: int, value: Any, shape: Shape) -> Item:
    if shape.automl:
        why = instance_error(value, shape.automl)
        return Item(index, value, {"instance": value}, why)
    if not (shape.key_field or shape.included or shape.excluded or shape.array):
        return Item(index, value, {"instance": value})
    if not isinstance(value, dict):
        return Item(index, None, {"instance": value}, "The instance must be a JSON object when instance_config is set.")
    shown: dict[str, Any] = {"instance": value}
    if shape.key_field:
        if shape.key_field not in value:
            return Item(index, None, shown, f"The key field {shape.key_field!r} is not in the instance.")
        shown = {"key": value[shape.key_field]}
    if shape.included:
        missing = [name for name in shape.included if name not in value]
        if missing:
            return Item(index, None, shown, f"The included field {missing[0]!r} is not in the instance.")
        sent = {name: value[name] for name in shape.included}
    else:
        gone = {shape.key_field, *shape.excluded}
        sent = {name: item for name, item in value.items() if name not in gone}
    return Item(index, list(sent.values()) if shape.array else sent, shown)


def _csv_value(text: str) -> Any:
    try:
        return float(text) if "." in text or "e" in text.lower() else int(text)
    except ValueError:
        return text


async def items(uris: list[str], shape: Shape, objects: Objects) -> AsyncIterator[Item]:
    """The lines of all input files in order, read as streams.

    Raises:
        ApiError: A file does not exist or cannot be read, or a CSV file has no header.
    """
    index = 0
    for uri in uris:
        header: list[str] | None = None
        async for line in objects.lines(uri):
            if not line.strip():
                continue
            if shape.format == "csv":
                cells = next(csv.reader([line.decode("utf-8", "replace")]))
                if header is None:
                    header = cells
                    continue
                yield _from_cells(index, cells, header, shape)
            elif shape.format == "file-list":
                yield await _from_file(index, line.decode("utf-8", "replace").strip(), objects)
            else:
                try:
                    value = orjson.loads(line)
                except orjson.JSONDecodeError as error:
                    text = line[:1000].decode("utf-8", "replace")
                    yield Item(index, None, {"instance": text}, f"The line is not JSON: {error}.")
                else:
                    yield _from_object(index, value, shape)
            index += 1


def _from_cells(index: int, cells: list[str], header: list[str], shape: Shape) -> Item:
    if len(cells) != len(header):
        text = f"The row has {len(cells)} cells; the header has {len(header)}."
        return Item(index, None, {"instance": cells}, text)
    value = {name: _csv_value(cell) for name, cell in zip(header, cells, strict=True)}
    item = _from_object(index, value, shape)
    if "instance" in item.shown and isinstance(item.sent, list):  # rows are shown as the model sees them
        return Item(index, item.sent, {"instance": item.sent}, item.error)
    return item


async def _from_file(index: int, uri: str, objects: Objects) -> Item:
    # The service shows the instance as it was sent: the file's bytes.
    try:
        chunks = [chunk async for chunk in objects.read(uri)]
    except ApiError as error:
        return Item(index, None, {"instance": uri}, error.message)
    return Item(index, value := {"b64": base64.b64encode(b"".join(chunks)).decode()}, {"instance": value})


def prediction_line(item: Item, prediction: Any) -> bytes:
    """One line of a predictions file, with its newline."""
    return orjson.dumps({**item.shown, "prediction": prediction}) + b"\n"


def error_line(item: Item, code: int, message: str) -> bytes:
    """One line of an errors file: what failed, with a ``google.rpc.Status``."""
    return orjson.dumps({**item.shown, "error": {"code": code, "message": message}}) + b"\n"
