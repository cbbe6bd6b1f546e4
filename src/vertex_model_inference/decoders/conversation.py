"""``conversation``: what a model says about single messages of a conversation.

Our own form, for models that are sent ``{messages}`` and answer by the messages' ids; either of::

    {"messages": {"m1": [ITEM, ...], "m2": ITEM}}
    [{"message_id": "m1", ...ITEM}, ...]

where an ITEM is one of a class, ``{"label": "angry", "score": 0.9}``, with ``"question"`` if the option's name is not
enough; a span of the message, ``{"label": "city", "start": 3, "end": 9}``, counted in characters from 0, the end
exclusive (as Hugging Face and spaCy count); quoted words, ``{"label": "city", "quote": "London"}``; or a text,
``{"label": "summary", "text": "..."}``, where the label is the question. Items of the list without ``message_id`` are
about the whole conversation (a span of theirs counts in ``{text}``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from vertex_model_inference.decoders.base import Fit, class_name, fit_of, parse, refuse, unit
from vertex_model_inference.decoders.spans import entity
from vertex_model_inference.findings import Finding, FoundLabel, FoundQuote, FoundText
from vertex_model_inference.rows import DataRow

__all__ = ["Conversation"]


class _Item(msgspec.Struct):
    label: str | int
    score: float | None = None
    question: str | None = None
    start: int | None = None
    end: int | None = None
    quote: str | None = None
    occurrence: int = 0
    text: str | None = None
    message_id: str | None = None


class _ByMessage(msgspec.Struct):
    messages: dict[str, list[_Item] | _Item]


_ANSWER = msgspec.json.Decoder(_ByMessage | list[_Item])


class _Listed(msgspec.Struct):
    message_id: str
    label: str | int


_RECOGNISED = msgspec.json.Decoder(_ByMessage | list[_Listed])


class Conversation:
    """Findings by message; see the module's docstring for the form."""

    name = "conversation"

    def __init__(self, class_names: Sequence[str] = ()) -> None:
        self.class_names = tuple(class_names)

    def decode(self, prediction: bytes, row: DataRow) -> tuple[Finding, ...]:
        """Each item, in the model's order.

        Raises:
            DecodeError: See ``Decoder.decode``; also for an item of two kinds.
        """
        answer = parse(_ANSWER, prediction, self.name, row)
        return tuple(self._found(item, message, row, where) for item, message, where in _items(answer))

    def _found(self, item: _Item, message: str | None, row: DataRow, where: str) -> Finding:
        score = None if item.score is None else unit(item.score, self.name, row, f"{where}.score")
        label = class_name(item.label, self.class_names, self.name, row, f"{where}.label")
        if not label:
            refuse(self.name, row, f"{where} has an empty class")
        kinds = [name for name in ("start", "quote", "text", "question") if getattr(item, name) is not None]
        if len(kinds) > 1 or (item.start is None) is not (item.end is None):
            refuse(self.name, row, f"{where} must have start and end, or quote, or text, or question")
        if item.start is not None and item.end is not None:
            span = entity(label, item.start, item.end - 1, score, row, self.name, where)
            return msgspec.structs.replace(span, message_id=message)
        if item.quote is not None:
            if not item.quote:
                refuse(self.name, row, f"{where}.quote is empty")
            return FoundQuote(label, item.quote, score, message_id=message, occurrence=max(0, item.occurrence))
        if item.text is not None:
            return FoundText(label, item.text, score, message_id=message)
        return FoundLabel(label, score, item.question, message_id=message)

    @staticmethod
    def fit(prediction: bytes) -> Fit:
        """Whether an answer has this form."""
        if prediction.strip() == b"[]":  # as likely of any other form
            return Fit(form=False, content=False)
        return fit_of(_RECOGNISED, prediction)


def _items(answer: _ByMessage | list[_Item]) -> Iterator[tuple[_Item, str | None, str]]:
    """Items with their message and their place in the answer."""
    if isinstance(answer, list):
        for index, item in enumerate(answer):
            yield item, item.message_id, f"[{index}]"
        return
    for message, items in answer.messages.items():
        for index, item in enumerate(items if isinstance(items, list) else [items]):
            yield item, message, f"messages[{message!r:.40}][{index}]"
