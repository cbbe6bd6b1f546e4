"""Answers that follow a response schema, filled from what the local models found."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from vertex_model_inference.sandbox.vertex.reading import Evidence, Line, choose, classify, sentences, summary
from vertex_model_inference.sandbox.vertex.wire import invalid

__all__ = ["Filler", "boxes"]

_TYPES = {"STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT"}
_LABEL = "text line"


def boxes(evidence: Evidence) -> list[dict[str, Any]]:
    """Gemini's form of detections: ``box_2d`` [ymin, xmin, ymax, xmax], 0..1000, with a label."""
    return [{"box_2d": line.box, "label": _LABEL, "text": line.text} for line in evidence.lines]


class Filler:
    """Fills one schema.

    Args:
        evidence: What was found. ``scores`` collects the classifiers' scores for the choices made.
    """

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.scores: list[float] = []

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
        if kind == "OBJECT":
            return self._object(schema, line)
        if kind == "ARRAY":
            return self._array(schema, name, line)
        if not text and schema.get("nullable"):
            return None
        if kind == "STRING":
            return self._string(schema, name, line)
        if kind == "BOOLEAN":
            words = re.findall(r"[a-z]{3,}", re.sub(r"([A-Z])", r" \1", name).lower().replace("_", " "))
            return any(word in text.lower() for word in words)
        return self._number(schema, kind, name, line)

    def _object(self, schema: Mapping[str, Any], line: Line | None) -> dict[str, Any]:
        properties = schema.get("properties", {})
        order = schema.get("propertyOrdering") or schema.get("property_ordering") or list(properties)
        # Choices first: a confidence beside them is the score of the choice.
        names = sorted(order, key=lambda key: _is_score(key))
        values = {key: self.fill(properties[key], key, line) for key in names if key in properties}
        return {key: values[key] for key in order if key in values}

    def _array(self, schema: Mapping[str, Any], name: str, line: Line | None) -> list[Any]:
        items = schema.get("items") or {"type": "STRING"}
        most = int(schema.get("maxItems") or 500)
        if name in ("box_2d", "box2d", "bbox", "box") and line is not None:
            return list(line.box)
        if items.get("enum"):
            scores = classify(self.evidence.text, items["enum"])
            best = max(scores)
            picked = [i for i, score in enumerate(scores) if score >= best * 0.9][:most]
            self.scores += [scores[i] for i in picked]
            return [items["enum"][i] for i in picked]
        if line is not None:
            return []
        if self.evidence.seen:
            return [self.fill(items, "", found) for found in self.evidence.lines[:most]]
        if str(items.get("type", "")).upper() == "STRING":
            return sentences(self.evidence.text)[:most]
        return [self.fill(items)] if self.evidence.text else []

    def _string(self, schema: Mapping[str, Any], name: str, line: Line | None) -> str:
        text = line.text if line else self.evidence.text
        if schema.get("enum"):
            value, score = choose(text, schema["enum"])
            self.scores.append(score)
            return value
        if line is not None:
            return _LABEL if name == "label" else text
        return text if self.evidence.seen else summary(text)

    def _number(self, schema: Mapping[str, Any], kind: str, name: str, line: Line | None) -> float | int:
        if _is_score(name):
            value = line.score if line else self.scores[-1] if self.scores else self.evidence.score
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
