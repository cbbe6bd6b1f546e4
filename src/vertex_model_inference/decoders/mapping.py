"""``mapping``: any other JSON, by the paths that ``[models."...".mapping]`` of ``vmi.toml`` gives.

Source: the user. ``models.MappingRules`` tells the keys; with ``items = "outputs.detections"``, ``label = "cls"``,
``score = "conf"``, ``box = ["x1", "y1", "x2", "y2"]`` it reads::

    {"outputs": {"detections": [{"cls": "cat", "conf": 0.9, "x1": 10, "y1": 20, "x2": 110, "y2": 220}]}}

Every path that is set must lead somewhere in every item, except that scores, texts and answers may be null or missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import msgspec

from vertex_model_inference.decoders.base import class_name, clip, parse, refuse, size_of, unit
from vertex_model_inference.decoders.outlines import Points, cut, rings
from vertex_model_inference.decoders.spans import entity
from vertex_model_inference.findings import (
    Finding,
    FoundBox,
    FoundLabel,
    FoundMaskLink,
    FoundPolygon,
    FoundRelation,
    FoundText,
)
from vertex_model_inference.geometry.polygons import area
from vertex_model_inference.models import MappingRules
from vertex_model_inference.rows import DataRow

__all__ = ["Mapping"]

_ANSWER = msgspec.json.Decoder(Any)
_MISSING = object()


def _at(value: Any, path: str) -> Any:
    """What stands at a path; ``_MISSING`` when it leads nowhere."""
    for part in path.split(".") if path else ():
        if isinstance(value, dict):
            value = value.get(part, _MISSING)
        elif isinstance(value, list) and part.isascii() and part.isdigit() and len(part) < 10:
            value = value[int(part)] if int(part) < len(value) else _MISSING
        else:
            return _MISSING
    return value


class Mapping:
    """JSON read by paths; see the module's docstring.

    Args:
        rules: The paths.
        class_names: What numbers in labels stand for.
    """

    name = "mapping"

    def __init__(self, rules: MappingRules, class_names: Sequence[str] = ()) -> None:
        self.rules = rules
        self.class_names = tuple(class_names)

    def decode(self, prediction: bytes, row: DataRow) -> tuple[Finding, ...]:
        """What each item says, in the answer's order.

        Raises:
            DecodeError: See ``Decoder.decode``; also when a path leads nowhere or to a value of another kind.
        """
        answer = parse(_ANSWER, prediction, self.name, row)
        found: list[Finding] = []
        for index, item in enumerate(self._list(answer, "items", self.rules.items, row)):
            found += self._item(item, row, f"item {index}")
        if self.rules.relations is not None:
            for index, item in enumerate(self._list(answer, "relations", self.rules.relations, row)):
                found.append(self._relation(item, row, f"relation {index}"))
        return tuple(found)

    def _list(self, answer: Any, key: str, path: str, row: DataRow) -> list[Any]:
        items = _at(answer, path)
        if items is _MISSING:
            refuse(self.name, row, f"there is nothing at {key} = {path!r}", "Correct it in vmi.toml.")
        if items is None:
            return []
        return items if isinstance(items, list) else [items]

    def _item(self, item: Any, row: DataRow, where: str) -> list[Finding]:
        rules = self.rules
        label = rules.constant
        if label is None:
            label = self._class(_at(item, rules.label), "label", rules.label, row, where)
        confidence = self._score(item, row, where)
        answers = self._answers(item, row, where) if rules.answers or rules.texts else ()
        known = None if rules.id is None else self._id(_at(item, rules.id), "id", rules.id, row, where)
        if rules.box is not None:
            text = self._text(item, row, where)
            return [FoundBox(label, *self._box(item, row, where), confidence, text, answers, known)]
        if rules.points is not None:
            outlines = [FoundPolygon(label, ring, confidence, answers) for ring in self._outline(item, row, where)]
            if outlines and known is not None:  # an id is one thing's: of several parts the largest has it
                at = max(range(len(outlines)), key=lambda index: area(outlines[index].points))
                outlines[at] = msgspec.structs.replace(outlines[at], id=known)
            return list(outlines)
        if rules.mask is not None:
            uri = _at(item, rules.mask)
            if not isinstance(uri, str):
                self._wrong("mask", rules.mask, uri, "the address of a picture", row, where)
            return [FoundMaskLink(label, uri, self._color(item, row, where), confidence, answers, known)]
        if rules.start is not None and rules.end is not None:
            start, end = (self._whole(item, key, row, where) for key in (rules.start, rules.end))
            last = end if rules.end_inclusive else end - 1
            found = entity(label, start, last, confidence, row, self.name, where)
            return [msgspec.structs.replace(found, answers=answers, id=known)]
        return [FoundLabel(label, confidence, answers=answers)]

    def _class(self, value: Any, key: str, path: str, row: DataRow, where: str) -> str:
        if not isinstance(value, (str, int, float)) or isinstance(value, bool):
            self._wrong(key, path, value, "a class name or number", row, where)
        return class_name(value, self.class_names, self.name, row, f"{where}.{path}")

    def _answers(self, item: Any, row: DataRow, where: str) -> tuple[FoundLabel | FoundText, ...]:
        found: list[FoundLabel | FoundText] = []
        for question, path in self.rules.answers.items():
            value = _at(item, path)
            several = value if isinstance(value, list) else [] if value is None or value is _MISSING else [value]
            for each in several:
                # Numbers stand for classes of the objects; an answer's own number is its name.
                if not _is_name(each):
                    self._wrong(f"answers of {question!r}", path, each, "the name of an answer", row, where)
                found.append(FoundLabel(str(each), None, question))
        for question, path in self.rules.texts.items():
            value = _at(item, path)
            if value is None or value is _MISSING:
                continue
            if not isinstance(value, str):
                self._wrong(f"texts of {question!r}", path, value, "text", row, where)
            if value:
                found.append(FoundText(question, value))
        return tuple(found)

    def _relation(self, item: Any, row: DataRow, where: str) -> FoundRelation:
        name, source, target = self.rules.relation
        label = _at(item, name)
        if not isinstance(label, str):
            self._wrong("relation", name, label, "the name of a class", row, where)
        ends = [self._id(_at(item, path), "relation", path, row, where) for path in (source, target)]
        return FoundRelation(label, ends[0], ends[1])

    def _id(self, value: Any, key: str, path: str, row: DataRow, where: str) -> str:
        if not _is_name(value):
            self._wrong(key, path, value, "an id, text or a whole number", row, where)
        return str(value)

    def _score(self, item: Any, row: DataRow, where: str) -> float | None:
        path = self.rules.score
        if path is None:
            return None
        value = _at(item, path)
        if value is _MISSING or value is None:
            return None
        score = self._number(value, "score", path, row, where)
        return unit(score / 100 if self.rules.percent else score, self.name, row, f"{where}.{path}")

    def _color(self, item: Any, row: DataRow, where: str) -> tuple[int, int, int]:
        path = self.rules.mask_color
        if path is None:
            return (255, 255, 255)
        value = _at(item, path)
        try:
            return msgspec.convert(value, tuple[int, int, int])
        except ValueError:
            self._wrong("mask_color", path, value, "red, green and blue", row, where)

    def _text(self, item: Any, row: DataRow, where: str) -> str | None:
        value = None if self.rules.text is None else _at(item, self.rules.text)
        if value is None or value is _MISSING:
            return None
        if not isinstance(value, str):
            self._wrong("text", self.rules.text or "", value, "text", row, where)
        return value

    def _box(self, item: Any, row: DataRow, where: str) -> tuple[float, float, float, float]:
        given = self.rules.box or ""
        if isinstance(given, str):
            four = _at(item, given)
            if not isinstance(four, list) or len(four) != 4:
                self._wrong("box", given, four, "a list of four numbers", row, where)
            a, b, c, d = (self._number(one, "box", given, row, where) for one in four)
        else:
            a, b, c, d = (self._number(_at(item, path), "box", path, row, where) for path in given)
        match self.rules.format:
            case "yxyx":
                a, b, c, d = b, a, d, c
            case "xxyy":
                b, c = c, b
            case "xywh":
                c, d = a + c, b + d
            case "cxcywh":
                a, b, c, d = a - c / 2, b - d / 2, a + c / 2, b + d / 2
        wide, high = self._scale(row)
        return clip(a * wide, b * high, c * wide, d * high, row, self.name, where)

    def _outline(self, item: Any, row: DataRow, where: str) -> list[tuple[tuple[float, float], ...]]:
        path = self.rules.points or ""
        value = _at(item, path)
        try:
            points = msgspec.convert(value, Points)
        except ValueError:
            self._wrong("points", path, value, "a list of points", row, where)
        wide, high = self._scale(row)
        parts = rings(points, row, self.name, where)
        if not parts:
            refuse(self.name, row, f"{where} has no points")
        scaled = [[(x * wide, y * high) for x, y in ring] for ring in parts]
        return [part for ring in scaled if (part := cut(ring, row, self.name, where))]

    def _scale(self, row: DataRow) -> tuple[int, int]:
        return size_of(row, self.name) if self.rules.normalised else (1, 1)

    def _number(self, value: Any, key: str, path: str, row: DataRow, where: str) -> float:
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            self._wrong(key, path, value, "a number", row, where)
        try:
            return float(value)
        except OverflowError:
            refuse(self.name, row, f"{where}.{path} is too large a number")

    def _whole(self, item: Any, path: str, row: DataRow, where: str) -> int:
        value = _at(item, path)
        if not isinstance(value, int) or isinstance(value, bool):
            self._wrong("start or end", path, value, "a whole number", row, where)
        return value

    def _wrong(self, key: str, path: str, value: Any, wanted: str, row: DataRow, where: str) -> NoReturn:
        is_there = "nothing" if value is _MISSING else _kind(type(value))
        hint = f"Correct {key} of the model's mapping in vmi.toml."
        refuse(self.name, row, f"at {path!r} of {where} is {is_there}, {wanted} was expected", hint)


def _is_name(value: Any) -> bool:
    """Text, or a whole number that can be one."""
    return isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**64)


def _kind(of: type) -> str:
    """JSON's word for a Python type."""
    words = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return words.get(of, "a number")
