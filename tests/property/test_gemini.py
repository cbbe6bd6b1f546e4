"""Gemini, for any ontology: a schema that Google's own types take, and answers of it that mean what they say."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import msgspec
import numpy as np
import pytest
from google.cloud.aiplatform_v1 import types as vertex
from google.genai import types as genai
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vertex_model_inference.errors import DecodeError
from vertex_model_inference.findings import FoundBox, FoundLabel, FoundQuote, FoundText
from vertex_model_inference.gemini.answers import Read
from vertex_model_inference.gemini.asked import Asked, AskedQuestion, Place, asked_of
from vertex_model_inference.gemini.decoder import GeminiDecoder
from vertex_model_inference.gemini.prompt import prompt_of
from vertex_model_inference.gemini.schema import schema_of
from vertex_model_inference.gemini.words import spans
from vertex_model_inference.models import GeminiRules
from vertex_model_inference.ontology import Classification, Ontology, Option, Tool
from vertex_model_inference.rows import DataRow, MediaType

NAMES = st.one_of(
    st.sampled_from(["cat", "Cat", "cat", "box_2d", "answer", "", " ", "1", "né", "猫", "then", "boxes", "text"]),
    st.text(max_size=8),
)
KINDS = [
    "rectangle", "polygon", "line", "point", "raster-segmentation", "superpixel", "named-entity", "edge", "other",
]  # fmt: skip
MEDIA = list(MediaType)


def _id(draw: st.DrawFn) -> str:
    return f"c{draw(st.integers(0, 10**24 - 1)):024d}"


@st.composite
def options(draw: st.DrawFn, depth: int) -> Option:
    name = draw(NAMES)
    below = tuple(draw(st.lists(questions(depth - 1), max_size=2))) if depth > 0 else ()
    return Option(name=name, label=name, feature_schema_id=_id(draw), classifications=below)


@st.composite
def questions(draw: st.DrawFn, depth: int = 2) -> Classification:
    kind = draw(st.sampled_from(["radio", "checklist", "text", "hot-dog"]))
    return Classification(
        kind=kind,
        name=draw(NAMES),
        feature_schema_id=_id(draw),
        required=draw(st.booleans()),
        scope=draw(st.sampled_from(["global", "index"])),
        options=() if kind == "text" else tuple(draw(st.lists(options(depth), max_size=3))),
    )


@st.composite
def tools(draw: st.DrawFn) -> Tool:
    return Tool(
        kind=draw(st.sampled_from(KINDS)),
        name=draw(NAMES),
        feature_schema_id=_id(draw),
        classifications=tuple(draw(st.lists(questions(1), max_size=2))),
    )


@st.composite
def ontologies(draw: st.DrawFn) -> Ontology:
    return Ontology(
        id="o",
        name="any",
        tools=tuple(draw(st.lists(tools(), max_size=4))),
        classifications=tuple(draw(st.lists(questions(), max_size=3))),
    )


def _mask() -> str:
    buffer = io.BytesIO()
    Image.fromarray(np.full((3, 4), 200, dtype=np.uint8)).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


MASK = _mask()


@st.composite
def conforming(draw: st.DrawFn, schema: dict[str, Any], key: str = "") -> Any:
    """A value that the schema allows, with what no schema can say: order of corners, times, ids."""
    if schema.get("nullable") and draw(st.booleans()):
        return None
    match schema["type"]:
        case "STRING":
            if key == "mask":
                return MASK
            if key in ("start", "time"):
                return draw(st.sampled_from(["00:01", "00:01.500", "1.25"]))
            if key == "end":
                return draw(st.sampled_from(["00:02", "0:03.5", "01:00:00"]))
            if key == "id":
                return "id" + str(draw(st.integers(0, 10**9)))
            return draw(st.sampled_from(schema["enum"])) if "enum" in schema else draw(st.text(min_size=1, max_size=9))
        case "NUMBER":
            return draw(st.floats(schema["minimum"], schema["maximum"]))
        case "INTEGER":
            return draw(st.integers(schema["minimum"], schema.get("maximum", 3)))
        case "ARRAY":
            least, most = schema.get("minItems", 0), schema.get("maxItems", schema.get("minItems", 0) + 2)
            values = draw(st.lists(conforming(schema["items"], key), min_size=least, max_size=most))
            if key == "box_2d":
                values = [*sorted(values[0::2]), *sorted(values[1::2])]
                values = [values[0], values[2], values[1], values[3]]
            return values
        case "OBJECT":
            required = schema.get("required", [])
            chosen = [each for each in schema["propertyOrdering"] if each in required or draw(st.booleans())]
            return {each: draw(conforming(schema["properties"][each], each)) for each in chosen}
    raise AssertionError(schema)


def _reply(text: str, **more: Any) -> bytes:
    candidate = {"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": "STOP", **more}
    return json.dumps({"candidates": [candidate]}).encode()


def _row(media: MediaType) -> DataRow:
    return DataRow(
        id="row",
        row_data="x",
        media_type=media,
        width=640,
        height=480,
        frame_rate=29.97,
        frame_count=300,
        page_sizes=((612, 792),) * 3,
    )


def _read(decoder: GeminiDecoder, prediction: bytes, media: MediaType) -> Read | DecodeError:
    """What is read, or the only error that there may be."""
    try:
        return decoder.read(prediction, _row(media))
    except DecodeError as error:
        return error


@settings(max_examples=60, deadline=None)
@given(ontologies(), st.sampled_from(MEDIA), st.booleans())
def test_every_ontology_has_a_schema_that_google_takes(ontology: Ontology, media: MediaType, confidence: bool) -> None:
    asked = asked_of(ontology, media)
    if asked.nothing:
        return
    schema = schema_of(asked, confidence=confidence)
    made = genai.Schema.model_validate(schema)
    assert made.type == genai.Type.OBJECT
    _check(made)
    proto = json_format.ParseDict(schema, vertex.Schema.pb(vertex.Schema()))
    assert len(proto.properties) == len(schema["properties"])
    prompt = prompt_of(asked, confidence=confidence, instructions="Mind the gap.")
    assert prompt.startswith("Mind the gap.\n")
    for key in schema["properties"]:
        assert f"`{key}`" in prompt
    # Each feature is asked for or named as left out, once.
    features = [*(tool.name for tool in ontology.tools), *(each.name for each in ontology.classifications)]
    said = sum(len(objects.labels) for objects in asked.objects) + len(asked.questions) + len(asked.relations)
    assert said + len(asked.left) == len(features)


def _check(schema: genai.Schema) -> None:
    """Rules of Vertex that the types do not hold."""
    if schema.type == genai.Type.OBJECT:
        assert schema.properties, "an object without properties is refused"
        assert set(schema.required or []) <= set(schema.properties)
        assert schema.property_ordering == list(schema.properties)
        for each in schema.properties.values():
            _check(each)
    if schema.type == genai.Type.ARRAY:
        assert schema.items is not None
        _check(schema.items)
    if schema.enum is not None:
        assert all(value.strip() for value in schema.enum)
        assert len(set(schema.enum)) == len(schema.enum)


@settings(max_examples=80, deadline=None)
@given(st.data(), ontologies(), st.sampled_from(MEDIA), st.sampled_from(["asked", "none", "logprobs"]))
def test_answers_of_the_schema_mean_what_they_say(
    data: st.DataObject, ontology: Ontology, media: MediaType, confidence: str
) -> None:
    asked = asked_of(ontology, media)
    if asked.nothing:
        return
    answer = data.draw(conforming(schema_of(asked, confidence=confidence == "asked")))
    decoder = GeminiDecoder(ontology, GeminiRules(model="gemini-2.5-flash", confidence=confidence))
    read = _read(decoder, _reply(json.dumps(answer), avgLogprobs=-0.5), media)
    if isinstance(read, DecodeError):
        # What a schema cannot say: quotes of nothing, relations of nothing, ids that stand twice, stretches backwards.
        assert read.error_code == "gemini_off_schema"
        reasons = ("no object has the id", "quotes nothing", "two objects have the id", "before it starts", "points")
        assert any(reason in str(read) for reason in reasons), read
        return
    wanted = [item for question in asked.questions for item in _said(question, answer[question.key], confidence)]
    found = [item for item in read.findings if isinstance(item, FoundLabel | FoundText)]
    assert [_flat(item) for item in found] == wanted
    objects = [item for item in read.findings if not isinstance(item, FoundLabel | FoundText)]
    given_objects = [(each, item) for each in asked.objects for item in answer[each.key]]
    assert len(objects) == len(given_objects) + len(answer.get("relations", []))
    for (each, item), one in zip(given_objects, objects, strict=False):
        assert one.label == (each.labels[item["label"]] if each.labelled else next(iter(each.labels.values())))
        if confidence == "asked":
            assert one.confidence == item["confidence"]
        if isinstance(one, FoundBox) and one.page is None:
            assert (one.left, one.top) == pytest.approx((item["box_2d"][1] * 0.64, item["box_2d"][0] * 0.48))
        if isinstance(one, FoundQuote):
            assert (one.text, one.occurrence) == (item["text"], item["occurrence"] - 1)
        nested = [flat for question in each.questions for flat in _said(question, item[question.key], confidence)]
        assert [_flat(answer) for answer in getattr(one, "answers", ())] == nested


def _said(question: AskedQuestion, value: Any, confidence: str) -> list[Any]:
    """The answers in a schema's value, as (question or label, text or option, confidence, nested)."""
    if value is None:
        return []
    many = question.kind == "checklist" or question.place is not Place.WHOLE
    found: list[Any] = []
    for item in value if many else [value]:
        given = item if isinstance(item, dict) else {"answer": item, "text": item}
        figure = {"asked": given.get("confidence"), "none": None, "logprobs": 0.6065}[confidence]
        figure = None if figure is None else round(figure, 4)
        if question.kind == "text":
            found.append((question.name, given["text"], figure, []))
            continue
        option = next(each for each in question.options if each.value == given["answer"])
        below = (given.get("then") or {}).get(option.key)
        nested = []
        if below is not None:
            nested = [flat for each in option.questions for flat in _said(each, below[each.key], confidence)]
        found.append((question.name, option.name, figure, nested))
    return found


def _flat(item: FoundLabel | FoundText) -> Any:
    figure = None if item.confidence is None else round(item.confidence, 4)
    if isinstance(item, FoundText):
        return (item.label, item.text, figure, [])
    return (item.question, item.label, figure, [_flat(answer) for answer in item.answers])


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["boxes", "box_2d", "answer", "then", "mood", "label", "x"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)
FIXED = Ontology(
    id="o",
    name="fixed",
    tools=(
        Tool(kind="rectangle", name="car", feature_schema_id="c" * 25),
        Tool(kind="rectangle", name="bus", feature_schema_id="d" * 25),
        Tool(kind="raster-segmentation", name="road", feature_schema_id="e" * 25),
    ),
    classifications=(
        Classification(
            kind="radio",
            name="mood",
            feature_schema_id="f" * 25,
            options=(
                Option(
                    name="good",
                    label="good",
                    feature_schema_id="g" * 25,
                    classifications=(Classification(kind="text", name="why", feature_schema_id="h" * 25),),
                ),
                Option(name="bad", label="bad", feature_schema_id="i" * 25),
            ),
        ),
    ),
)


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        ANYTHING.map(lambda value: json.dumps(value).encode()),
        ANYTHING.map(lambda value: _reply(json.dumps(value))),
        st.text(max_size=40).map(_reply),
        st.binary(max_size=40),
        st.dictionaries(st.sampled_from(["candidates", "promptFeedback", "x"]), ANYTHING).map(
            lambda value: json.dumps(value).encode()
        ),
    ),
    st.sampled_from(["asked", "none", "logprobs"]),
)
def test_anything_else_is_the_decoders_own_error(prediction: bytes, confidence: str) -> None:
    decoder = GeminiDecoder(FIXED, GeminiRules(model="gemini-2.5-flash", confidence=confidence))
    read = _read(decoder, prediction, MediaType.IMAGE)
    assert not isinstance(read, DecodeError) or "row" in str(read)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_one_changed_place_of_an_answer_is_read_or_refused(data: st.DataObject) -> None:
    asked: Asked = asked_of(FIXED, MediaType.IMAGE)
    answer = data.draw(conforming(schema_of(asked, confidence=True)))
    text = json.dumps(answer)
    at = data.draw(st.integers(0, len(text) - 1))
    changed = text[:at] + data.draw(st.sampled_from(["", "1", "-", "{", "]", '"', "null", "e9", "\\"])) + text[at + 1 :]
    decoder = GeminiDecoder(FIXED, GeminiRules(model="gemini-2.5-flash"))
    read = _read(decoder, _reply(changed), MediaType.IMAGE)
    assert not isinstance(read, DecodeError) or read.error_code == "gemini_off_schema"


@given(ANYTHING, st.sampled_from([None, 1, 4]))
def test_spans_are_the_values(value: Any, indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    found = spans(text)

    def check(part: Any, path: tuple[str | int, ...]) -> int:
        start, end = found[path]
        assert msgspec.json.decode(text[start:end]) == part
        below = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
        return 1 + sum(check(each, (*path, key)) for key, each in below)

    assert check(value, ()) == len(found)
