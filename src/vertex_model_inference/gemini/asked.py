"""What Gemini is asked about rows of one media type, under keys that are unique, so that each answer has one meaning.

The tree mirrors the ontology. ``schema.py`` writes it as a response schema, ``prompt.py`` as words, and ``answers.py``
reads answers by it; none of them looks names up.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum

import msgspec

from vertex_model_inference.ontology import Classification, Ontology, Tool
from vertex_model_inference.rows import MediaType

__all__ = ["Asked", "AskedObjects", "AskedOption", "AskedQuestion", "Form", "Place", "asked_of"]

ENUM_LIMIT = 500
"""Names of one choice that the schema lists. Vertex refuses schemas whose constraint has "too many states" and gives
no number (https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/control-generated-output); long lists of
names are what brings it about. Above this they stand in the prompt only, and the match step judges the answers."""

_KEY_LENGTH = 40


class Form(StrEnum):
    """How an object is told."""

    BOX = "boxes"
    POLYGON = "polygons"
    LINE = "lines"
    POINT = "points"
    MASK = "masks"
    QUOTE = "entities"
    TRACK = "tracks"


class Place(StrEnum):
    """What part of the asset an answer to a top-level question is about."""

    WHOLE = "whole"
    MESSAGE = "message"
    FRAMES = "frames"


class AskedOption(msgspec.Struct, frozen=True):
    """An option of a question.

    Attributes:
        value: What the model says to choose it; unique among the question's.
        name: What the finding calls it: the option's name, or its schema id where the name stands twice.
        key: Of the object that answers ``questions``; unique among the question's options.
        questions: Asked once the option is chosen.
    """

    value: str
    name: str
    key: str
    questions: tuple[AskedQuestion, ...] = ()


class AskedQuestion(msgspec.Struct, frozen=True):
    """A question.

    Attributes:
        key: Unique among its siblings.
        name: What the finding calls it: the question's name, or its schema id where the name stands twice.
        title: The question as people read it.
        kind: ``radio``, ``checklist`` or ``text``.
        required: Whether there must be an answer.
        place: What the answers are about.
        options: Of radio and checklist.
    """

    key: str
    name: str
    title: str
    kind: str
    required: bool = False
    place: Place = Place.WHOLE
    options: tuple[AskedOption, ...] = ()

    @property
    def listed(self) -> bool:
        """Whether the schema lists the options."""
        return len(self.options) <= ENUM_LIMIT

    @property
    def deep(self) -> bool:
        """Whether an option asks on."""
        return any(option.questions for option in self.options)


class AskedObjects(msgspec.Struct, frozen=True):
    """A list of objects of one form: of all tools that ask nothing further, or of one tool that does.

    Attributes:
        key: Unique in the answer.
        form: How an object is told.
        labels: What the model says -> what the finding calls it (the tool's name, or its schema id).
        questions: About each object.
    """

    key: str
    form: Form
    labels: dict[str, str]
    questions: tuple[AskedQuestion, ...] = ()

    @property
    def labelled(self) -> bool:
        """Whether an object says what it is; a tool that asks on has a list of its own, named after it."""
        return not self.questions

    @property
    def listed(self) -> bool:
        """Whether the schema lists the labels."""
        return len(self.labels) <= ENUM_LIMIT


class Asked(msgspec.Struct, frozen=True):
    """All that is asked about a row.

    Attributes:
        media: Media type of the rows.
        objects: Lists of objects. ``questions``: about the asset, a message or frames.
        relations: What the model says of two related objects -> what the finding calls it; empty: none are asked for.
        left: Features of the ontology that rows of this type cannot be asked for, by name.
    """

    media: MediaType
    objects: tuple[AskedObjects, ...] = ()
    questions: tuple[AskedQuestion, ...] = ()
    relations: dict[str, str] = {}
    left: tuple[str, ...] = ()

    @property
    def nothing(self) -> bool:
        """Whether there is no question at all."""
        return not self.objects and not self.questions


_PICTURE = {
    "rectangle": Form.BOX,
    "polygon": Form.POLYGON,
    "line": Form.LINE,
    "point": Form.POINT,
    "raster-segmentation": Form.MASK,
    "superpixel": Form.MASK,
}
_FORMS: dict[MediaType, dict[str, Form]] = {
    MediaType.IMAGE: _PICTURE,
    MediaType.TILED_IMAGE: {},
    MediaType.VIDEO: {"rectangle": Form.TRACK},
    MediaType.DOCUMENT: {"rectangle": Form.BOX, "named-entity": Form.QUOTE},
    MediaType.TEXT: {"named-entity": Form.QUOTE},
    MediaType.CONVERSATION: {"named-entity": Form.QUOTE},
}
"""Labelbox's word for a tool -> how its objects can be told on such rows."""

_RESERVED = (
    "answer", "box_2d", "confidence", "end", "id", "label", "mask", "message_id", "occurrence", "outline", "page",
    "point", "points", "relations", "start", "text", "then", "time", "track", *Form,
)  # fmt: skip


def asked_of(ontology: Ontology, media: MediaType) -> Asked:
    """What to ask about rows of a media type.

    Args:
        ontology: Of the model run.
        media: Of the rows; a picture's tiles (``tiled_image``) have questions only, since places in them are unknown.
    """
    forms = _FORMS.get(media, {})
    twice = _twice([*(tool.name for tool in ontology.tools), *(each.name for each in ontology.classifications)])
    keys = _Keys(_RESERVED)
    grouped: dict[Form, list[Tool]] = {}
    single: list[tuple[Form, Tool]] = []
    edges: list[Tool] = []
    left: list[str] = []
    for tool in ontology.tools:
        form = forms.get(tool.kind)
        if tool.kind == "edge":
            edges.append(tool)
        elif form is None:
            left.append(tool.name)
        elif tool.classifications:
            single.append((form, tool))
        else:
            grouped.setdefault(form, []).append(tool)
    objects = [AskedObjects(form.value, form, _labels(tools, twice)) for form, tools in grouped.items()]
    objects += [
        AskedObjects(keys.of(tool.name, "objects"), form, _labels([tool], twice), _questions(tool.classifications))
        for form, tool in single
    ]
    questions = []
    for question in ontology.classifications:
        asked = _question(question, keys, twice, _place(question, media))
        if asked is None or (asked.place is Place.FRAMES and asked.kind == "text"):
            left.append(question.name)  # a text about frames is none that Labelbox has
        else:
            questions.append(asked)
    if not objects:
        left += [tool.name for tool in edges]
        edges = []
    return Asked(media, tuple(objects), tuple(questions), _labels(edges, twice), tuple(left))


def _place(question: Classification, media: MediaType) -> Place:
    if question.scope != "index":
        return Place.WHOLE
    return {MediaType.CONVERSATION: Place.MESSAGE, MediaType.VIDEO: Place.FRAMES}.get(media, Place.WHOLE)


def _questions(given: Sequence[Classification]) -> tuple[AskedQuestion, ...]:
    twice = _twice([each.name for each in given])
    keys = _Keys(_RESERVED)
    asked = (_question(each, keys, twice, Place.WHOLE) for each in given)
    return tuple(each for each in asked if each is not None)


def _question(question: Classification, keys: _Keys, twice: set[str], place: Place) -> AskedQuestion | None:
    """None: a question that has no answers to choose from, or of a kind that nobody knows."""
    name = question.feature_schema_id if question.name in twice else question.name
    key = keys.of(question.name, "question")
    if question.kind == "text":
        return AskedQuestion(key, name, question.name, "text", question.required, place)
    if question.kind not in {"radio", "checklist"} or not question.options:
        return None
    same = _twice([option.name for option in question.options])
    inner = _Keys(())
    options = tuple(
        AskedOption(
            value,
            option.feature_schema_id if option.name in same else option.name,
            inner.of(option.name, "option"),
            _questions(option.classifications),
        )
        for value, option in zip(_values(option.name for option in question.options), question.options, strict=True)
    )
    return AskedQuestion(key, name, question.name, question.kind, question.required, place, options)


def _labels(tools: Sequence[Tool], twice: set[str]) -> dict[str, str]:
    names = (tool.feature_schema_id if tool.name in twice else tool.name for tool in tools)
    return dict(zip(_values(tool.name for tool in tools), names, strict=True))


def _values(names: Iterable[str]) -> Iterator[str]:
    """The names as values of an enum: no empty ones (Vertex refuses them), none twice."""
    used: set[str] = set()
    for name in names:
        base = value = name if name.strip() else "(no name)"
        number = 1
        while value in used:
            number += 1
            value = f"{base} ({number})"
        used.add(value)
        yield value


def _twice(names: Sequence[str]) -> set[str]:
    return {name for name, count in Counter(names).items() if count > 1}


class _Keys:
    """Gives each name a key of its own: lower-case letters, digits and ``_``, told apart by a number at the end."""

    def __init__(self, reserved: Iterable[str]) -> None:
        self._used = {str(each) for each in reserved}

    def of(self, name: str, kind: str) -> str:
        plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
        base = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:_KEY_LENGTH].rstrip("_")
        if not base:
            base = kind
        elif base[0].isdigit():
            base = f"{kind}_{base}"
        key, number = base, 1
        while key in self._used:
            number += 1
            key = f"{base}_{number}"
        self._used.add(key)
        return key
