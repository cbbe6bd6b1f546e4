"""Our NDJSON equals what the installed SDK's own converter writes for the same annotation."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from labelbox.data import annotation_types as sdk
from labelbox.data.serialization import NDJsonConverter
from PIL import Image

from vertex_model_inference.annotations import (
    Annotation,
    Answer,
    Box,
    Checklist,
    DocumentEntity,
    FrameMask,
    FreeText,
    KeyFrame,
    Mask,
    MaskLink,
    Point,
    Polygon,
    Polyline,
    Question,
    Radio,
    Relationship,
    Selection,
    TextEntity,
    VideoBox,
    VideoMask,
)
from vertex_model_inference.geometry.masks import draw
from vertex_model_inference.geometry.runs import encode
from vertex_model_inference.labelbox.ndjson import lines
from vertex_model_inference.rows import DataRow

ROW = DataRow(id="cm0datarow000000000000001", row_data="x", width=9, height=7)
ID = "c" * 25
RING = ((1.0, 1.0), (6.0, 1.0), (6.0, 5.0), (1.0, 5.0))
SPOTS = draw(RING, 9, 7)
NESTED = (
    Radio("sub", ID, Answer("x", ID, 0.25, classifications=(Radio("deeper", ID, Answer("y", ID, 0.125)),))),
    FreeText("note", ID, "hé", 0.75),
)


def _points(ring: tuple[tuple[float, float], ...]) -> list[Any]:
    return [sdk.Point(x=x, y=y) for x, y in ring]


def _object(name: str, value: Any, confidence: float | None = 0.5, **more: Any) -> Any:
    return sdk.ObjectAnnotation(name=name, value=value, confidence=confidence, **more)


def _answered(name: str, value: Any) -> Any:
    return sdk.ClassificationAnnotation(name=name, value=value)


def _sdk_nested() -> list[Any]:
    deeper = _answered("deeper", sdk.Radio(answer=sdk.ClassificationAnswer(name="y", confidence=0.125)))
    answer = sdk.ClassificationAnswer(name="x", confidence=0.25, classifications=[deeper])
    return [_answered("sub", sdk.Radio(answer=answer)), _answered("note", sdk.Text(answer="hé", confidence=0.75))]


def _sdk_mask() -> Any:
    return sdk.Mask(mask=sdk.MaskData.from_2D_arr(SPOTS.astype(np.uint8)), color=(1, 1, 1))


BOX = sdk.Rectangle(start=sdk.Point(x=1, y=2), end=sdk.Point(x=5, y=6))
PAIRS: list[tuple[Annotation, Any]] = [
    (Box("b", ID, 1, 2, 4, 4, 0.5), _object("b", BOX)),
    (Box("b", ID, 1, 2, 4, 4), _object("b", BOX, None)),
    (Polygon("p", ID, RING, 0.5), _object("p", sdk.Polygon(points=_points(RING)))),
    (
        Polygon("p", ID, RING, 0.5, NESTED),
        _object("p", sdk.Polygon(points=_points(RING)), classifications=_sdk_nested()),
    ),
    (Polyline("l", ID, RING, 0.5), _object("l", sdk.Line(points=_points(RING)))),
    (Point("pt", ID, 3, 4.5, 0.5), _object("pt", sdk.Point(x=3, y=4.5))),
    (
        MaskLink("m", ID, "https://masks.example/m.png", (7, 0, 255), 0.5, NESTED),
        _object(
            "m",
            sdk.Mask(mask=sdk.MaskData(url="https://masks.example/m.png"), color=(7, 0, 255)),
            classifications=_sdk_nested(),
        ),
    ),
    (TextEntity("ner", ID, 10, 20, 0.5), _object("ner", sdk.TextEntity(start=10, end=20))),
    (
        Radio("q", ID, Answer("a", ID, 0.0)),
        _answered("q", sdk.Radio(answer=sdk.ClassificationAnswer(name="a", confidence=0.0))),
    ),
    (
        Checklist("q", ID, (Answer("a", ID, 0.5), Answer("b", ID))),
        _answered(
            "q",
            sdk.Checklist(
                answer=[sdk.ClassificationAnswer(name="a", confidence=0.5), sdk.ClassificationAnswer(name="b")]
            ),
        ),
    ),
]


def _page_box(confidence: float | None) -> Any:
    corners = {"start": sdk.Point(x=1, y=2), "end": sdk.Point(x=5, y=6)}
    return _object("b", sdk.DocumentRectangle(**corners, page=3, unit=sdk.RectangleUnit.POINTS), confidence)


def _of_message(annotation: Any) -> Any:
    annotation.message_id = "m-1"
    return annotation


PAIRS += [
    (Box("b", ID, 1, 2, 4, 4, 0.5, page=3), _page_box(0.5)),
    (Box("b", ID, 1, 2, 4, 4, page=3), _page_box(None)),
    (
        DocumentEntity("ner", ID, (Selection(("t1", "t2"), "g", 1), Selection(("t3",), "h", 2)), 0.5, NESTED),
        _object(
            "ner",
            sdk.DocumentEntity(
                text_selections=[
                    sdk.DocumentTextSelection(token_ids=["t1", "t2"], group_id="g", page=1),
                    sdk.DocumentTextSelection(token_ids=["t3"], group_id="h", page=2),
                ]
            ),
            classifications=_sdk_nested(),
        ),
    ),
    (
        TextEntity("ner", ID, 0, 8, 0.5, message_id="4"),
        _object("ner", sdk.ConversationEntity(start=0, end=8, message_id="4")),
    ),
    (
        Radio("q", ID, Answer("a", ID, 0.5), message_id="m-1"),
        _of_message(_answered("q", sdk.Radio(answer=sdk.ClassificationAnswer(name="a", confidence=0.5)))),
    ),
    (
        Checklist("q", ID, (Answer("a", ID, 0.5),), message_id="m-1"),
        _of_message(_answered("q", sdk.Checklist(answer=[sdk.ClassificationAnswer(name="a", confidence=0.5)]))),
    ),
    (
        FreeText("q", ID, "hé", 0.5, message_id="m-1"),
        _of_message(_answered("q", sdk.Text(answer="hé", confidence=0.5))),
    ),
]


SHAPES: list[tuple[type[Any], tuple[Any, ...], Any]] = [
    (Box, (1, 2, 4, 4), BOX),
    (Polygon, (RING,), sdk.Polygon(points=_points(RING))),
    (Polyline, (RING,), sdk.Line(points=_points(RING))),
    (Point, (3, 4.5), sdk.Point(x=3, y=4.5)),
    (TextEntity, (10, 20), sdk.TextEntity(start=10, end=20)),
]


def _sdk_question(question: Question) -> Any:
    """The SDK's own types for a question of ours, at any depth."""
    if isinstance(question, FreeText):
        return _answered(question.name, sdk.Text(answer=question.text, confidence=question.confidence))
    if isinstance(question, Radio):
        return _answered(question.name, sdk.Radio(answer=_sdk_answer(question.answer)))
    return _answered(question.name, sdk.Checklist(answer=[_sdk_answer(answer) for answer in question.answers]))


def _sdk_answer(answer: Answer) -> Any:
    nested = [_sdk_question(question) for question in answer.classifications]
    return sdk.ClassificationAnswer(name=answer.name, confidence=answer.confidence, classifications=nested or None)


@st.composite
def nested_questions(draw: st.DrawFn, depth: int = 3) -> Question:
    name = draw(st.sampled_from(["q", "wét", "x y"]))
    confidence = draw(st.none() | st.sampled_from([0.0, 0.25, 1.0]))
    kind = draw(st.sampled_from(["radio", "checklist", "text"]))
    if kind == "text":
        return FreeText(name, ID, draw(st.sampled_from(["a", "é😀"])), confidence)
    below = draw(st.lists(nested_questions(depth - 1), max_size=2)) if depth else []
    answer = Answer("x", ID, confidence, classifications=tuple(below))
    return Radio(name, ID, answer) if kind == "radio" else Checklist(name, ID, (answer, Answer("y", ID)))


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(asked=st.lists(nested_questions(), min_size=1, max_size=2), shape=st.sampled_from(SHAPES))
def test_nested_answers_are_theirs_at_any_depth_under_any_tool_and_option(
    asked: list[Question], shape: tuple[type[Any], tuple[Any, ...], Any]
) -> None:
    kind, values, value = shape
    same = [_sdk_question(question) for question in asked]
    assert ours(kind("t", ID, *values, 0.5, tuple(asked))) == theirs(_object("t", value, classifications=same))
    if not isinstance(asked[0], FreeText):  # top-level texts of the SDK always write a list of nested answers
        assert ours(asked[0]) == theirs(same[0])


@pytest.mark.parametrize("directed", [True, False])
def test_relationships_are_theirs(directed: bool) -> None:
    ends = [_object("ner", sdk.TextEntity(start=10, end=20)), _object("ner", sdk.TextEntity(start=30, end=40))]
    kind = sdk.Relationship.Type.UNIDIRECTIONAL if directed else sdk.Relationship.Type.BIDIRECTIONAL
    value = sdk.Relationship(source=ends[0], target=ends[1], type=kind)
    relation = sdk.RelationshipAnnotation(name="owns", value=value)
    label = sdk.Label(data=sdk.GenericDataRowData(uid=ROW.id), annotations=[relation, *ends])
    their = [json.loads(json.dumps(row)) for row in NDJsonConverter.serialize([label])]
    entities = [TextEntity("ner", ID, 10, 20, 0.5), TextEntity("ner", ID, 30, 40, 0.5)]
    related = Relationship("owns", ID, 0, 1, directed, 0.5)
    uuid_of = {0: their[1]["uuid"], 1: their[2]["uuid"], 2: their[0]["uuid"]}
    made = [json.loads(line) for line in lines([*entities, related], ROW, lambda index: str(uuid_of[index]))]
    assert [made[2], made[0], made[1]] == their


def theirs(annotation: Any) -> dict[str, Any]:
    label = sdk.Label(data=sdk.GenericDataRowData(uid=ROW.id), annotations=[annotation])
    (value,) = NDJsonConverter.serialize([label])
    found: dict[str, Any] = json.loads(json.dumps(value))
    found.pop("uuid")
    return found


def ours(annotation: Annotation) -> dict[str, Any]:
    (line,) = lines([annotation], ROW, str)
    found: dict[str, Any] = json.loads(line)
    assert found.pop("uuid") == "0"
    return found


@pytest.mark.parametrize(("annotation", "same"), PAIRS, ids=lambda each: type(each).__name__)
def test_ours_is_theirs(annotation: Annotation, same: Any) -> None:
    assert ours(annotation) == theirs(same)


def test_the_masks_show_the_same_pixels() -> None:
    our = ours(Mask("m", ID, encode(SPOTS), 9, 7, 0.5))
    their = theirs(_object("m", _sdk_mask()))
    pictures = []
    for value in (our, their):
        with Image.open(io.BytesIO(base64.b64decode(value.pop("mask")["png"]))) as image:
            pictures.append((image.mode, np.asarray(image).tolist()))
    assert pictures[0] == pictures[1]
    assert our == their


def test_a_confidence_of_zero_is_kept_where_the_sdk_loses_it() -> None:
    our, their = ours(Polygon("p", ID, RING, 0.0)), theirs(_object("p", sdk.Polygon(points=_points(RING)), 0.0))
    assert our.pop("confidence") == 0.0
    assert "confidence" not in their
    assert our == their


def _framed(name: str, value: Any, *frames: tuple[int, int]) -> list[Any]:
    """As users of the SDK give ranges: their first and last frame, with the number of the range."""
    ends = [(frame, number) for number, (first, last) in enumerate(frames) for frame in dict.fromkeys((first, last))]
    return [
        sdk.VideoClassificationAnnotation(name=name, value=value, frame=frame, segment_index=number)
        for frame, number in ends
    ]


def _followed(name: str, *keys: tuple[int, int], nested: bool) -> list[Any]:
    return [
        sdk.VideoObjectAnnotation(
            name=name,
            value=BOX,
            frame=frame,
            segment_index=segment,
            keyframe=True,
            classifications=_sdk_nested() if nested else [],
        )
        for frame, segment in keys
    ]


def _answer(name: str, confidence: float | None) -> Any:
    return sdk.ClassificationAnswer(name=name, confidence=confidence)


FRAMES = ((3, 9), (12, 12))
TRACK = ((KeyFrame(3, 1, 2, 4, 4), KeyFrame(9, 1, 2, 4, 4)), (KeyFrame(12, 1, 2, 4, 4),))
VIDEOS: list[tuple[Annotation, list[Any]]] = [
    (
        Radio("q", ID, Answer("a", ID, 0.5, frames=FRAMES)),
        _framed("q", sdk.Radio(answer=_answer("a", 0.5)), *FRAMES),
    ),
    (
        Checklist("q", ID, (Answer("a", ID, 0.5, frames=FRAMES), Answer("b", ID, frames=FRAMES))),
        _framed("q", sdk.Checklist(answer=[_answer("a", 0.5), _answer("b", None)]), *FRAMES),
    ),
    (VideoBox("b", ID, TRACK), _followed("b", (3, 0), (9, 0), (12, 1), nested=False)),
    # The SDK knows no confidence of objects in frames, nor does Labelbox's documentation.
    (VideoBox("b", ID, TRACK, 0.5, NESTED), _followed("b", (3, 0), (9, 0), (12, 1), nested=True)),
]


@pytest.mark.parametrize(("annotation", "same"), VIDEOS, ids=lambda each: type(each).__name__)
def test_ours_is_theirs_for_videos(annotation: Annotation, same: list[Any]) -> None:
    label = sdk.Label(data=sdk.GenericDataRowData(uid=ROW.id), annotations=same)
    (value,) = NDJsonConverter.serialize([label])
    their: dict[str, Any] = json.loads(json.dumps(value))
    their.pop("uuid", None)  # the SDK gives tracks none
    assert ours(annotation) == their


@pytest.mark.filterwarnings("ignore::UserWarning:pydantic")  # the SDK puts text where its own type says bytes
@pytest.mark.parametrize("by_id", [False, True])
def test_masks_of_videos(by_id: bool) -> None:
    made = ours(VideoMask("m", ID, (FrameMask(2, encode(SPOTS)),), 9, 7, 0.5, by_id))
    (frame,) = made["masks"]["frames"]
    picture = base64.b64decode(frame["imBytes"])
    with Image.open(io.BytesIO(picture)) as image:
        pixels = np.asarray(image.convert("RGB"))
    (instance,) = made["masks"]["instances"]
    assert np.array_equal((pixels == instance["colorRGB"]).all(axis=-1), SPOTS)
    assert not pixels[~SPOTS].any()
    schema_id = ID if by_id else None
    color = tuple(instance["colorRGB"])
    same = sdk.VideoMaskAnnotation(
        frames=[sdk.MaskFrame(index=2, im_bytes=picture)],
        instances=[sdk.MaskInstance(color_rgb=color, name="m", feature_schema_id=schema_id)],
    )
    their = theirs(same)
    assert made.pop("confidence") == 0.5  # which the SDK's type of the row has, and its converter leaves out
    assert made == their


def test_answers_with_frames_of_their_own_carry_them() -> None:
    made = ours(Checklist("q", ID, (Answer("a", ID, 0.5, frames=((1, 2),)), Answer("b", ID, frames=((2, 3), (5, 9))))))
    assert made["answer"] == [
        {"confidence": 0.5, "name": "a", "frames": [{"start": 1, "end": 2}]},
        {"name": "b", "frames": [{"start": 2, "end": 3}, {"start": 5, "end": 9}]},
    ]
    assert "frames" not in made


def test_answers_about_a_track_stand_in_the_frames_in_which_they_hold() -> None:
    answers = (
        Radio("is", ID, Answer("a", ID, frames=((1, 8),))),
        Radio("is", ID, Answer("b", ID, frames=((9, 12),))),
        FreeText("note", ID, "x"),
    )
    made = ours(VideoBox("b", ID, TRACK, classifications=answers))
    told = [
        [(each["name"], each["answer"]) for each in key["classifications"]]
        for segment in made["segments"]
        for key in segment["keyframes"]
    ]
    note = ("note", "x")
    assert told == [[("is", {"name": "a"}), note], [("is", {"name": "b"}), note], [("is", {"name": "b"}), note]]
