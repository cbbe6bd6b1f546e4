"""How one batch of input lines is answered by a model's container."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Protocol

import msgspec

from vertex_model_inference.sandbox.vertex.automl import checked_parameters, trimmed
from vertex_model_inference.sandbox.vertex.containers import Container, ContainerError
from vertex_model_inference.sandbox.vertex.instances import Item, Shape, error_line, items, prediction_line
from vertex_model_inference.sandbox.vertex.objects import Objects
from vertex_model_inference.sandbox.vertex.wire import ApiError

__all__ = ["ContainerWork", "Result", "Work"]

_ATTEMPTS = 4


class Result(msgspec.Struct, frozen=True):
    """What became of one input line.

    Attributes:
        index: The line's number, from 0.
        line: What to write, with its newline.
        error: The failure's message, or None.
        apart: Whether a failed line goes to the errors file (Gemini writes it among the predictions).
    """

    index: int
    line: bytes
    error: str | None = None
    apart: bool = True


class Work(Protocol):
    """One job's model."""

    sent: int

    def items(self) -> AsyncIterator[Item]:
        """The input lines."""
        ...

    async def answer(self, batch: list[Item]) -> list[Result]:
        """One result per item, in any order; never raises for an instance's own failure.

        Raises:
            ApiError: Nothing more can be answered; the job fails.
        """
        ...


class ContainerWork:
    """Sends batches to a container; a batch that fails is tried again instance by instance.

    Args:
        uris: Input files. ``shape``: how they become instances. ``objects``: where they are.
        container: What answers. ``parameters``: the job's ``modelParameters``.
    """

    def __init__(self, uris: list[str], shape: Shape, objects: Objects, container: Container, parameters: Any) -> None:
        self.uris = uris
        self.shape = shape
        self.objects = objects
        self.container = container
        self.parameters = checked_parameters(parameters, shape.automl) if shape.automl else parameters
        self.sent = 0

    def items(self) -> AsyncIterator[Item]:
        """The input lines."""
        return items(self.uris, self.shape, self.objects)

    async def answer(self, batch: list[Item]) -> list[Result]:
        """One result per item."""
        results = [_failed(item, 3, item.error) for item in batch if item.error is not None]
        good = [item for item in batch if item.error is None]
        if good:
            try:
                results += await self._ask(good)
            except ContainerError as error:
                if error.status == 0 and not await self.container.alive():
                    raise ApiError("UNAVAILABLE", f"The model server stopped answering. {error.message}") from None
                if len(good) == 1:
                    results.append(_failed(good[0], _code(error), _text(error)))
                else:
                    for item in good:
                        try:
                            results += await self._ask([item])
                        except ContainerError as alone:
                            results.append(_failed(item, _code(alone), _text(alone)))
        return results

    async def _ask(self, batch: list[Item]) -> list[Result]:
        for attempt in range(_ATTEMPTS):
            self.sent += len(batch)
            try:
                predictions = await self.container.predict([item.sent for item in batch], self.parameters)
            except ContainerError as error:
                if error.status not in (0, 429, 503) or attempt == _ATTEMPTS - 1:
                    raise
                await asyncio.sleep(0.05 * 4**attempt)
            else:
                return [self._result(item, value) for item, value in zip(batch, predictions, strict=True)]
        raise AssertionError  # the last attempt returned or raised

    def _result(self, item: Item, prediction: Any) -> Result:
        if isinstance(prediction, dict) and set(prediction) == {"error"}:
            error = prediction["error"]
            if isinstance(error, dict):
                code = error.get("code")
                return _failed(item, code if isinstance(code, int) else 13, str(error.get("message", error)))
            return _failed(item, 13, str(error))
        if self.shape.automl:
            prediction = trimmed(prediction, self.parameters)
        return Result(item.index, prediction_line(item, prediction))


def _failed(item: Item, code: int, message: str | None) -> Result:
    text = message or "unknown error"
    return Result(item.index, error_line(item, code, text), text)


def _code(error: ContainerError) -> int:
    if error.status == 0:
        return 14
    return 3 if error.status < 500 else 13


def _text(error: ContainerError) -> str:
    if error.status == 0:
        return error.message
    return f"Post request fails. Cannot get predictions. Error: status {error.status}: {error.message}"
