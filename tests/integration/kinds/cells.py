"""The cells of the matrix: each family's answers about things that are known, and what must come back of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from tests.integration.kinds.test_matrix import HEIGHT, TEXT, WIDTH

from vertex_model_inference.findings import (
    FoundBox,
    FoundEntity,
    FoundLabel,
    FoundLine,
    FoundMask,
    FoundPoint,
    FoundPolygon,
    FoundText,
)
from vertex_model_inference.models import MappingRules
from vertex_model_inference.sandbox.containers.forms.boxes import BOXES
from vertex_model_inference.sandbox.containers.forms.labels import LABELS, ORDERED
from vertex_model_inference.sandbox.containers.forms.masks import MASKS, OUTLINES, PLACES
from vertex_model_inference.sandbox.containers.forms.spans import SPANS, Span
from vertex_model_inference.sandbox.containers.forms.things import Thing, thing_of_mask

__all__ = ["CAPTION", "FEATURES", "GIVES", "NAMES", "WAYS", "Cell", "Expected", "cells"]

SIZE = (WIDTH, HEIGHT)
NAMES = ("cat", "dog")

WAYS: dict[type, tuple[str, ...]] = {
    FoundLabel: ("radio", "checklist"),
    FoundText: ("text",),
    FoundBox: ("rectangle",),
    FoundPolygon: ("polygon", "mask"),
    FoundMask: ("mask", "polygon"),
    FoundLine: ("line",),
    FoundPoint: ("point",),
    FoundEntity: ("entity",),
}
"""Kind of finding -> the kinds of annotation that it can become."""

FEATURES = {
    "radio": "animal/{}",
    "checklist": "traits/{}",
    "text": "caption",
    "rectangle": "box",
    "polygon": "outline",
    "mask": "pixels",
    "line": "path",
    "point": "spot",
    "entity": "place",
}
"""Kind of annotation -> the feature of the scene's ontology."""

GIVES: dict[str, tuple[type, ...]] = {"mapping": (FoundLabel, FoundBox, FoundPolygon, FoundEntity)}
"""Of decoders whose return type says less than what they give."""


def things(scores: Sequence[float]) -> list[Thing]:
    """A cat with a hole and a tail of its own, and a dog at the picture's edge, lower than it is wide."""
    cat, dog = np.zeros((2, HEIGHT, WIDTH), dtype=np.bool_)
    cat[4:20, 5:25] = True
    cat[8:12, 10:15] = False
    cat[2:4, 7] = True
    dog[24:30, 30:40] = True
    dog[24, 30] = False
    return [thing_of_mask(name, s, m) for name, s, m in zip(NAMES, scores, (cat, dog), strict=True)]


def spans(scores: Sequence[float]) -> list[Span]:
    """A name with a combining mark, and one of two words behind an emoji of five code points and a CRLF."""
    found = []
    for name, score, words in zip(NAMES, scores, (["Zu\u0308rich"], ["in", "Switzerland"]), strict=True):
        tokens: list[tuple[int, int, int]] = []
        for word in words:
            start = TEXT.index(word)
            tokens.append((len(tokens) + 1, start, start + len(word)))
        found.append(Span(name, score, tokens[0][1], tokens[-1][2], tuple(tokens)))
    return found


class Expected(msgspec.Struct):
    """One annotation as it must come back.

    Attributes:
        name: Class that the model gave. ``confidence``: None where it gives none.
        box: left, top, right, bottom in pixels, where it is a box; ``within``: pixels that the form itself rounds.
        mask: Pixels that it covers. ``points``: Its points in order. ``span``: first and last character.
    """

    name: str
    confidence: float | None
    box: tuple[float, float, float, float] | None = None
    within: float = 0.011
    mask: Any = None
    points: tuple[tuple[float, float], ...] = ()
    span: tuple[int, int] | None = None


class Cell(msgspec.Struct):
    """How one family is put through one way.

    Attributes:
        family: The decoder, with its layout. ``way``: the kind of annotation.
        answer: Scores -> the model's answer. ``expected``: scores -> what must come back.
        names: The model's ``class_names``. ``rules``: more of the match rules. ``mapping``: of the decoder ``mapping``.
        scores: Pairs of scores to try.
        known: Whether the family is recognised by its form alone.
    """

    family: str
    way: str
    answer: Callable[[Sequence[float]], Any]
    expected: Callable[[Sequence[float]], list[Expected]]
    names: tuple[str, ...] = ()
    rules: dict[str, Any] = {}
    mapping: MappingRules | None = None
    scores: tuple[tuple[float, float], ...] = ((0.4, 0.8), (0.0, 1.0))
    known: bool = True

    @property
    def title(self) -> str:
        """For pytest."""
        return f"{self.family.removeprefix(f'file:{OWN}:')}-by-{self.way}"


def boxes_of(scores: Sequence[float]) -> list[Expected]:
    """Of families of boxes."""
    return [Expected(t.label, t.score, box=(t.left, t.top, t.right, t.bottom)) for t in things(scores)]


def masks_of(scores: Sequence[float]) -> list[Expected]:
    """Of families of masks."""
    return [Expected(t.label, t.score, mask=t.mask) for t in things(scores)]


def outlines_of(scores: Sequence[float]) -> list[Expected]:
    """Of families of outlines: what their form says, read off its JSON by hand."""
    said = OUTLINES["polygons"](things(scores), SIZE, NAMES)
    return [Expected(one["label"], one["score"], points=tuple(map(tuple, one["points"]))) for one in said]


def places_of(scores: Sequence[float]) -> list[Expected]:
    """Of keypoints: centre of gravity and topmost pixel of each thing."""
    found = []
    for thing in things(scores):
        assert thing.mask is not None
        rows, columns = np.nonzero(thing.mask)
        top = columns[rows == rows.min()]
        found.append(
            Expected(f"{thing.label} centre", thing.score, points=((columns.mean() + 0.5, rows.mean() + 0.5),))
        )
        found.append(Expected(f"{thing.label} top", thing.score, points=((top.mean() + 0.5, float(rows.min())),)))
    return found


def entities_of(scores: Sequence[float]) -> list[Expected]:
    """Of families of entities."""
    return [Expected(s.label, s.score, span=(s.start, s.end - 1)) for s in spans(scores)]


def pairs(scores: Sequence[float]) -> list[tuple[str, float]]:
    """Scored classes, the most confident first."""
    return sorted(zip(NAMES, scores, strict=True), key=lambda pair: -pair[1])


def answers_of(way: str, *, single: bool = False, scored: bool = True) -> Callable[[Sequence[float]], list[Expected]]:
    """Of families of classes: the best of a radio, all of a checklist; ``single``: the model answers the best alone."""

    def expected(scores: Sequence[float]) -> list[Expected]:
        found = [Expected(name, score if scored else None) for name, score in pairs(scores)]
        return found[:1] if single or way == "radio" else found

    return expected


OWN = Path(__file__).with_name("strokes.py")
WAY = ((1.5, 2.0), (8.25, 20.0), (30.0, 4.5))
CAPTION = "a cät\u2028and 👩‍👩‍👧"
PERCENT = MappingRules(items="found", label="what", score="sure", percent=True)


def _stroke(scores: Sequence[float]) -> list[Expected]:
    return [Expected("cat", scores[0], points=WAY)]


def _caption(scores: Sequence[float]) -> list[Expected]:
    return [Expected("description", scores[0])]


Answer = Callable[[Sequence[float]], Any]


def _of_things(form: Callable[..., Any]) -> Answer:
    return lambda scores: form(things(scores), SIZE, NAMES)


def _of_spans(form: Callable[..., Any]) -> Answer:
    return lambda scores: form(TEXT, spans(scores))


def _of_pairs(form: Callable[..., Any]) -> Answer:
    return lambda scores: form(pairs(scores), NAMES)


def _own_rings(scores: Sequence[float]) -> Any:
    said = OUTLINES["polygons"](things(scores), SIZE, NAMES)
    return {"found": [{"what": one["label"], "sure": 100 * one["score"], "ring": one["points"]} for one in said]}


def _own_spans(scores: Sequence[float]) -> Any:
    return {"found": [{"what": p.label, "sure": 100 * p.score, "at": [p.start, p.end - 1]} for p in spans(scores)]}


def _own_classes(scores: Sequence[float]) -> Any:
    return {"found": [{"what": name, "sure": 100 * score} for name, score in pairs(scores)]}


def _tokens_of_paligemma(scores: Sequence[float]) -> list[Expected]:
    """1,024 places along an edge, and no scores."""
    within = max(SIZE) / 1024 + 0.011
    return [msgspec.structs.replace(one, confidence=None, within=within) for one in boxes_of(scores)]


def _boxes() -> list[Cell]:
    made = {family: Cell(family, "rectangle", _of_things(form), boxes_of) for family, form in BOXES.items()}
    for family in ("boxes-arrays", "boxes-arrays:xyxy"):  # TensorFlow and torchvision count the background as class 0
        made[family].names = ("background", *NAMES)
    for family in ("boxes-arrays:xywh", "boxes-arrays:cxcywh:relative", "owl-vit-v2"):
        made[family].names = NAMES
    for family in made:
        made[family].known = not family.startswith(("boxes-arrays:", "grounding-dino", "owl-vit"))
    made["owl-vit-v2"].known = True
    owl = made["owl-vit-v2"]  # answers for empty patches too
    owl.rules, owl.scores = {"threshold": 0.3}, ((0.4, 0.8), (0.3, 1.0))
    made["paligemma"].expected, made["paligemma"].scores = _tokens_of_paligemma, ((1.0, 1.0),)
    corners = ("x1", "y1", "x2", "y2")
    made["mapping"].mapping = MappingRules(
        items="outputs.detections", label="cls", score="conf", percent=True, box=corners, normalised=True
    )
    return list(made.values())


def _masks() -> list[Cell]:
    found = []
    for way in ("mask", "polygon"):
        rules = {"simplify_px": 0.0} if way == "polygon" else {}
        for form_name, form in MASKS.items():
            family = form_name.removesuffix(":plain")
            names = ("background", *NAMES) if family == "automl-segmentation" else ()
            found.append(Cell(family, way, _of_things(form), masks_of, names, rules))
        found.append(Cell("polygons", way, _of_things(OUTLINES["polygons"]), outlines_of))
        rings = msgspec.structs.replace(PERCENT, points="ring")
        found.append(Cell("mapping", way, _own_rings, outlines_of, mapping=rings))
    return found


def _classes() -> list[Cell]:
    found = []
    for way in ("radio", "checklist"):
        found += [Cell(family, way, _of_pairs(form), answers_of(way)) for family, form in LABELS.items()]
        best = answers_of(way, single=True, scored=False)
        found += [
            Cell(family, way, _of_pairs(form), best, NAMES, scores=((0.4, 0.8), (0.8, 0.4)))
            for family, form in ORDERED.items()
        ]
        found.append(Cell("mapping", way, _own_classes, answers_of(way), mapping=PERCENT))
    return found


def cells() -> list[Cell]:
    """All of them."""
    spots = Cell("keypoints", "point", _of_things(PLACES["keypoints"]), places_of)
    entities = [
        Cell(name.removesuffix(":tokens"), "entity", _of_spans(form), entities_of) for name, form in SPANS.items()
    ]
    places = msgspec.structs.replace(PERCENT, start="at.0", end="at.1", end_inclusive=True)
    entities.append(Cell("mapping", "entity", _own_spans, entities_of, mapping=places))
    own = [
        Cell(f"file:{OWN}:Strokes", "line", lambda s: [{"pen": "cat", "way": WAY, "sure": s[0]}], _stroke, known=False),
        Cell(f"file:{OWN}:Captions", "text", lambda s: {"says": CAPTION, "sure": s[0]}, _caption, known=False),
    ]
    return [*_boxes(), *_masks(), spots, *entities, *_classes(), *own]
