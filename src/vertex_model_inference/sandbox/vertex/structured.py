"""Answers that follow a response schema, filled from what the local models found."""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from vertex_model_inference.sandbox.vertex.evidence import digit_scores, names_in
from vertex_model_inference.sandbox.vertex.reading import Evidence, Line, choose, classify, sentences, summary
from vertex_model_inference.sandbox.vertex.wire import invalid

__all__ = ["Filler", "boxes"]

_TYPES = {"STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT"}
_LABEL = "text line"
_SHAPES = {"box_2d", "box2d", "bbox", "box", "outline", "points", "point", "mask"}
_KINDS = {
    "PERSON": "person people name human",
    "ORG": "org organisation organization company institution",
    "GPE": "gpe place location city country state",
    "LOC": "loc place location region",
    "FAC": "facility building place location",
    "NORP": "norp nationality group religion",
    "DATE": "date day year",
    "TIME": "time",
    "MONEY": "money amount price",
    "PRODUCT": "product",
    "EVENT": "event",
    "WORK_OF_ART": "work title",
}
"""OntoNotes' kinds of names -> what people call them."""


def boxes(evidence: Evidence) -> list[dict[str, Any]]:
    """Gemini's form of detections: ``box_2d`` [ymin, xmin, ymax, xmax], 0..1000, with a label."""
    return [{"box_2d": line.box, "label": _LABEL, "text": line.text} for line in evidence.lines]


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def _called(kind: str, name: str) -> bool:
    """Whether a kind of names is what people call so."""
    words = set(_KINDS.get(kind, "").split()) | {_plain(kind)}
    plain = _plain(name)
    return plain in words or plain.removesuffix("s") in words


class Filler:
    """Fills one schema.

    Args:
        evidence: What was found.

    Attributes:
        chosen: The values that a model chose, with its scores, in the answer's order.
    """

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.chosen: list[tuple[str, float]] = []
        self._ids: list[tuple[str, Line | None]] = []
        self._digits: dict[str, float] | None = None

    @property
    def scores(self) -> list[float]:
        """Of the choices made."""
        return [score for _, score in self.chosen]

    @property
    def logprob(self) -> float:
        """``avgLogprobs`` of the answer: the mean logarithm of the scores."""
        scores = self.scores or [self.evidence.score]
        return sum(math.log(max(score, 1e-6)) for score in scores) / len(scores)

    def fill(self, schema: Mapping[str, Any], name: str = "", line: Line | None = None) -> Any:
        """A value of the schema (an OpenAPI subset, as ``responseSchema`` takes it; JSON Schema's lower case too).

        Raises:
            ApiError: No type, or an unknown one.
        """
        kinds = schema.get("type")
        kind = str(next((k for k in kinds if k != "null"), "") if isinstance(kinds, list) else kinds or "").upper()
        if not kind and schema.get("anyOf"):
            return self.fill(schema["anyOf"][0], name, line)
        kind = kind or ("STRING" if "enum" in schema else "OBJECT" if "properties" in schema else "")
        if kind not in _TYPES:
            raise invalid(f"Invalid response_schema: {name or 'the root'} has the type {kind or 'none'!r}.")
        text = line.text if line else self.evidence.text
        if not text and schema.get("nullable") and not self._is_digit(schema):
            return None
        if kind == "OBJECT":
            return self._object(schema, line)
        if kind == "ARRAY":
            return self._array(schema, name, line)
        if kind == "STRING":
            return self._string(schema, name, line)
        if kind == "BOOLEAN":
            words = re.findall(r"[a-z]{3,}", re.sub(r"([A-Z])", r" \1", name).lower().replace("_", " "))
            return any(word in text.lower() for word in words)
        return self._number(schema, kind, name, line)

    def _object(self, schema: Mapping[str, Any], line: Line | None) -> dict[str, Any]:
        properties = schema.get("properties", {})
        order = schema.get("propertyOrdering") or schema.get("property_ordering") or list(properties)
        values: dict[str, Any] = {}
        # Choices first: a confidence beside them is the score of the choice; what follows from them last.
        for key in sorted(order, key=lambda key: (key == "then", _is_score(key))):
            if key not in properties:
                continue
            if key == "then":
                self._then(properties[key], values, line)
            else:
                values[key] = self.fill(properties[key], key, line)
        return {key: values[key] for key in order if key in values}

    def _then(self, schema: Mapping[str, Any], values: dict[str, Any], line: Line | None) -> None:
        """The questions of the chosen option: those under its name."""
        wanted = _plain(str(values.get("answer", "")))
        for key, inner in schema.get("properties", {}).items():
            if re.sub(r"^option_", "", key) == wanted or key == wanted:
                values["then"] = {key: self.fill(inner, key, line)}

    def _array(self, schema: Mapping[str, Any], name: str, line: Line | None) -> list[Any]:
        items = schema.get("items") or {"type": "STRING"}
        most = int(schema.get("maxItems") or 500)
        if line is not None and name in _SHAPES:
            return self._shape(name, line)
        if items.get("enum"):
            return [value for value, _ in self._several(items["enum"], line)][:most]
        properties = items.get("properties", {})
        if properties.keys() & {"answer"} and not properties.keys() & {"message_id", "start"}:
            return self._answers(items, line)[:most]
        if line is not None:
            if name == "track":
                return [{"time": f"00:{at:06.3f}", "box_2d": box} for at, box in line.track]
            return []
        if "source" in properties and "target" in properties:
            return self._relations(properties)[:most]
        return [self.fill(items, "", each) for each in self._things(name, items)][:most]

    def _things(self, name: str, items: Mapping[str, Any]) -> Sequence[Line | None]:
        """What there is one item of the list for."""
        properties = items.get("properties", {})
        evidence = self.evidence
        if "track" in properties:
            return evidence.moves
        if "occurrence" in properties:
            return self._names(properties, name)
        if "start" in properties:
            return [Line(evidence.text, evidence.score, [0, 0, 0, 0])]
        if "message_id" in properties:
            return [Line(text, 1.0, [0, 0, 0, 0], message_id=key) for key, text in evidence.messages]
        if evidence.seen:
            return evidence.lines
        if str(items.get("type", "")).upper() == "STRING":
            return [Line(text, 1.0, [0, 0, 0, 0]) for text in sentences(evidence.text)]
        return [None] if evidence.text else []

    def _names(self, properties: Mapping[str, Any], list_name: str) -> list[Line]:
        """The names that are of a wanted kind: one of the labels, or what the list is called after."""
        evidence = self.evidence
        wanted = properties.get("label", {}).get("enum") or [list_name]
        if evidence.messages:
            found = [each for key, text in evidence.messages for each in names_in(text, key)]
        elif evidence.seen:
            pages: dict[int, list[str]] = {}
            for line in evidence.lines:
                pages.setdefault(line.page, []).append(line.text)
            found = [
                Line(each.text, each.score, each.box, page, each.kind, each.occurrence)
                for page, lines in pages.items()
                for each in names_in("\n".join(lines))
            ]
        else:
            found = names_in(evidence.text)
        return [each for each in found if any(_called(each.kind, label) for label in wanted)]

    def _relations(self, properties: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The order of reading, the one relation that can be seen in lines of writing: each leads to the next below it.

        A line that is told several times, as a box and as an outline, is named by the first.
        """
        lines: dict[int, tuple[str, Line]] = {}
        for name, line in self._ids:
            if line is not None and self.evidence.seen:
                lines.setdefault(id(line), (name, line))
        ordered = sorted(lines.values(), key=lambda each: (each[1].page, each[1].box[0], each[1].box[1]))
        found = []
        for (source, above), (target, below) in pairwise(ordered):
            if above.page != below.page:
                continue
            values: dict[str, Any] = {"source": source, "target": target}
            for key, inner in properties.items():
                if key == "label":
                    values[key] = (inner.get("enum") or ["next"])[0]
                elif _is_score(key):
                    values[key] = round(min(above.score, below.score), 6)
            found.append({key: values[key] for key in properties if key in values})
        return found

    def _shape(self, name: str, line: Line) -> list[Any]:
        top, left, bottom, right = line.box
        if name == "outline":
            return [[top, left], [top, right], [bottom, right], [bottom, left]]
        if name == "points":
            return [[bottom, left], [bottom, right]]  # the line that it is written on
        if name == "point":
            return [(top + bottom) // 2, (left + right) // 2]
        return list(line.box)

    def _mask(self, line: Line) -> str:
        """The ink within the box: darker than halfway between its darkest and its lightest pixel."""
        import numpy as np
        from PIL import Image

        pixels = self.evidence.pictures[line.page - 1]
        high, wide = pixels.shape[:2]
        top, left, bottom, right = (
            int(edge / 1000 * size) for edge, size in zip(line.box, (high, wide, high, wide), strict=True)
        )
        part = pixels[top : max(bottom, top + 1), left : max(right, left + 1)].mean(axis=2)
        ink = np.where(part < (float(part.min()) + float(part.max())) / 2, 255, 0).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(ink).save(buffer, "PNG")
        return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()

    def _string(self, schema: Mapping[str, Any], name: str, line: Line | None) -> str:
        if schema.get("enum"):
            return self._one(schema["enum"], line)
        if name == "id":
            self._ids.append((f"o{len(self._ids) + 1}", line))
            return self._ids[-1][0]
        if name in ("start", "end"):
            return f"00:{0.0 if name == 'start' else self.evidence.seconds:06.3f}"
        if line is not None:
            if name == "message_id":
                return line.message_id
            if name == "mask":
                return self._mask(line)
            return _LABEL if name == "label" else line.text
        text = self.evidence.text
        return text if self.evidence.seen else summary(text)

    def _is_digit(self, schema: Mapping[str, Any]) -> bool:
        options = schema.get("enum") or schema.get("properties", {}).get("answer", {}).get("enum") or []
        return bool(self.evidence.pictures) and len(options) > 1 and set(options) <= set("0123456789")

    def _scored(self, options: Sequence[str], line: Line | None) -> list[float]:
        if line is None and self._is_digit({"enum": options}):
            if self._digits is None:
                self._digits = digit_scores(self.evidence.pictures[0])
            return [self._digits[option] for option in options]
        return classify(line.text if line else self.evidence.text, options)

    def _one(self, options: Sequence[str], line: Line | None) -> str:
        if line is not None and line.kind:
            value = next((option for option in options if _called(line.kind, option)), None)
            if value is not None:
                self.chosen.append((value, line.score))
                return value
        if line is not None or not self._is_digit({"enum": options}):
            value, score = choose(line.text if line else self.evidence.text, options)
        else:
            scores = self._scored(options, line)
            best = max(range(len(options)), key=lambda at: scores[at])
            value, score = options[best], scores[best]
        self.chosen.append((value, score))
        return value

    def _several(self, options: Sequence[str], line: Line | None) -> list[tuple[str, float]]:
        scores = self._scored(options, line)
        best = max(scores)
        picked = [(option, score) for option, score in zip(options, scores, strict=True) if score >= best * 0.9]
        self.chosen += picked
        return picked

    def _answers(self, items: Mapping[str, Any], line: Line | None) -> list[dict[str, Any]]:
        """The items of a checklist that say more than the option's name."""
        options = items["properties"]["answer"].get("enum") or []
        found = []
        for option, score in self._several(options, line) if options else []:
            values: dict[str, Any] = {"answer": option}
            for key, inner in items["properties"].items():
                if _is_score(key):
                    values[key] = round(score, 6)
                elif key == "then":
                    self._then(inner, values, line)
            found.append({key: values[key] for key in items["properties"] if key in values})
        return found

    def _number(self, schema: Mapping[str, Any], kind: str, name: str, line: Line | None) -> float | int:
        if _is_score(name):
            value = line.score if line else self.scores[-1] if self.scores else self.evidence.score
        elif name == "page" and line is not None:
            value = float(line.page)
        elif name == "occurrence" and line is not None:
            value = float(line.occurrence)
        elif "count" in name.lower() and self.evidence.seen:
            value = float(len(self.evidence.lines))
        else:
            found = re.search(r"-?\d+(?:\.\d+)?", line.text if line else self.evidence.text)
            value = float(found[0]) if found else 0.0
        value = max(value, float(schema.get("minimum", -math.inf)))
        value = min(value, float(schema.get("maximum", math.inf)))
        return int(value) if kind == "INTEGER" else round(value, 6)


def _is_score(name: str) -> bool:
    return any(word in name.lower() for word in ("confidence", "score", "probability"))
