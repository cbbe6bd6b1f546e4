"""What the page draws on documents, videos and conversations."""

from __future__ import annotations

import io
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.videos import video

from vertex_model_inference.sandbox.labelbox import label_form
from vertex_model_inference.sandbox.labelbox.page.annotated import Annotated, Json
from vertex_model_inference.sandbox.labelbox.page.compare import Verdict, verdict
from vertex_model_inference.sandbox.labelbox.page.draw import draw
from vertex_model_inference.sandbox.labelbox.page.film import Film, film_of, shapes_at
from vertex_model_inference.sandbox.labelbox.page.kept import Kept
from vertex_model_inference.sandbox.labelbox.page.pictures import PictureError, frames_of, page_of
from vertex_model_inference.sandbox.labelbox.page.shapes import Document, Shape
from vertex_model_inference.sandbox.labelbox.page.tags import tags_of
from vertex_model_inference.sandbox.labelbox.page.talk import messages_of


def _radio(name: str, answer: str, prefix: str = "", **more: Any) -> Json:
    return {"name": name, f"{prefix}radio_answer": {"name": answer, "classifications": []}, **more}


# -- documents --------------------------------------------------------------------------------------------------------
_LETTER = Document(
    pages=((612.0, 792.0), (100.0, 50.0)),
    tokens={(1, "g", "a"): (10.0, 20.0, 30.0, 8.0), (1, "g", "b"): (45.0, 20.0, 20.0, 8.0)},
)


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("points", (1.0, 2.0, 3.0, 4.0)),
        ("pixels", (1.0, 2.0, 3.0, 4.0)),
        ("inches", (72.0, 144.0, 216.0, 288.0)),
        ("percent", (1.0, 1.0, 3.0, 2.0)),
    ],
)
def test_boxes_of_pages_are_in_points(unit: str, expected: tuple[float, ...]) -> None:
    box = {"left": 1, "top": 2, "width": 3, "height": 4, "unit": unit}
    item = {"feature_id": "f", "name": "figure", "bounding_box": box, "page_number": 2}
    (shape,) = draw([Annotated("label", [item], [])], document=_LETTER).shapes
    assert (shape.page, shape.box) == (2, expected)


def test_a_box_on_a_page_that_is_not_there_is_counted_and_not_drawn() -> None:
    box = {"left": 1, "top": 2, "width": 3, "height": 4, "unit": "points"}
    item = {"name": "figure", "annotation_kind": "DocumentBoundingBox", "bounding_box": box, "page_number": 3}
    for document in (_LETTER, None):
        drawing = draw([Annotated("label", [item], [])], document=document)
        assert (drawing.shapes, drawing.undrawn) == ([], {"DocumentBoundingBox": 1})


def test_an_entity_of_a_document_is_one_object_with_a_box_for_each_of_its_tokens() -> None:
    groups = [{"id": "g", "page_number": 1, "tokens": ["a", "b", "unknown"]}]
    item = {"feature_id": "f", "name": "title", "confidence": 0.5, "location": {"groups": groups}}
    drawing = draw([Annotated("prediction", [item], [])], document=_LETTER)
    assert [(shape.box, shape.page, shape.part) for shape in drawing.shapes] == [
        ((10.0, 20.0, 30.0, 8.0), 1, False),
        ((45.0, 20.0, 20.0, 8.0), 1, True),
    ]
    assert drawing.counts == {"prediction": 1}


def test_relationships_are_arrows_between_what_is_drawn_and_words_in_any_case() -> None:
    def box(feature_id: str, left: float) -> Json:
        place = {"left": left, "top": 0, "width": 10, "height": 20}
        return {"feature_id": feature_id, "name": feature_id, "bounding_box": place}

    def related(end: str) -> Json:
        return {"name": "holds", "unidirectional_relationship": {"source": "hand", "target": end}}

    side = Annotated("label", [box("hand", 0), box("cup", 40)], [], 0, [related("cup"), related("gone")])
    drawing = draw([side])
    (arrow,) = [shape for shape in drawing.shapes if shape.form == "arrow"]
    assert arrow.points == "5,10 45,10"
    assert [(one.start, one.name, one.end) for one in drawing.relations] == [
        ("hand", "holds", "cup"),
        ("hand", "holds", "?"),
    ]
    assert drawing.counts == {"label": 2}


def test_names_stand_beside_their_shapes_and_not_on_each_other() -> None:
    def box(source: str, name: str, left: float, top: float, confidence: float | None = None) -> Shape:
        return Shape(form="rect", source=source, name=name, confidence=confidence, box=(left, top, 50.0, 20.0))

    shapes = [
        box("label", "title", 10, 10),
        box("prediction", "header", 10, 10, 0.684),
        box("prediction", "footer", 11, 11, 0.5),
        box("prediction", "text", 10, 80),
        Shape(form="mask", source="label", name="sky", confidence=None, url="http://m"),
        Shape(form="rect", source="label", name="title", confidence=None, box=(70.0, 10.0, 5.0, 20.0), part=True),
    ]
    assert [(tag.text, tag.x, tag.y, tag.line) for tag in tags_of(shapes, 200, 100)] == [
        ("title", 10, 10, 0),
        ("header 0.68", 10, 30, 0),
        ("footer 0.50", 11, 31, 1),
        ("text", 10, 100, 0),
    ]
    assert tags_of(shapes * 20, 200, 100) == []
    assert tags_of([box("label", "x" * 99, 0, 0)], None, None)[0].text == "x" * 39 + "…"


# -- conversations ----------------------------------------------------------------------------------------------------
_TALK = {
    "type": "application/vnd.labelbox.conversational",
    "version": 1,
    "messages": [
        {"messageId": "m1", "content": "Hello Ann", "user": {"userId": "u1", "name": "Bob"}, "align": "left"},
        {"messageId": "m2", "content": "Hi", "user": {"userId": "u2"}, "align": "right"},
        {"messageId": "m3", "content": "Bye", "user": {"userId": "u1", "name": "Bob"}},
        "nonsense",
    ],
}


def test_messages_of_both_forms() -> None:
    assert [(m.id, m.author, m.text, m.right) for m in messages_of(_TALK)] == [
        ("m1", "Bob", "Hello Ann", False),
        ("m2", "u2", "Hi", True),
        ("m3", "Bob", "Bye", False),
    ]
    chat = {
        "version": 2,
        "actors": {"a": {"role": "human", "metadata": {"name": "Ann"}}, "b": {"role": "model"}},
        "messages": {
            "m1": {"actorId": "a", "content": [{"type": "text", "content": "2+2?"}]},
            "m2": {"actorId": "b", "content": [{"type": "text", "content": "4"}, {"type": "text", "content": "!"}]},
        },
    }
    assert [(m.author, m.text, m.right) for m in messages_of(chat)] == [("Ann", "2+2?", False), ("model", "4\n!", True)]
    nothings: list[Any] = [None, [], {"messages": 7}, {"messages": {"a": 7}}, {"messages": [{"messageId": 7}]}]
    assert [messages_of(nothing) for nothing in nothings] == [[]] * 5


def test_what_is_found_in_messages_stands_in_them() -> None:
    entity = {
        "feature_id": "f",
        "name": "person",
        "conversational_location": {"message_id": "m1", "location": {"start": 6, "end": 8}},
    }
    lost = {**entity, "annotation_kind": "ConversationalTextEntity"}
    lost["conversational_location"] = {"message_id": "none", "location": {"start": 0, "end": 1}}
    answer = _radio("tone", "warm", "conversational_", message_id="m2")
    whole = _radio("topic", "greeting")
    drawing = draw([Annotated("prediction", [entity, lost], [answer, whole])], said=messages_of(_TALK))
    first, second, third = drawing.messages
    assert [(piece.text, piece.predictions) for piece in first.segments] == [("Hello ", ()), ("Ann", ("person",))]
    assert [(chip.question, chip.answer) for chip in second.chips] == [("tone", "warm")]
    assert (first.chips, third.chips) == ([], [])
    assert [(chip.question, chip.answer) for chip in drawing.chips] == [("topic", "greeting")]
    assert drawing.undrawn == {"ConversationalTextEntity": 1}


def test_verdicts_tell_messages_apart() -> None:
    def side(source: str, message: str, start: int) -> Annotated:
        where = {"message_id": message, "location": {"start": start, "end": 8}}
        entity = {"name": "person", "conversational_location": where}
        return Annotated(source, [entity], [_radio("tone", "warm", "conversational_", message_id=message)])

    assert verdict(side("label", "m1", 6), side("prediction", "m1", 6)) is Verdict.RIGHT
    assert verdict(side("label", "m1", 6), side("prediction", "m1", 5)) is Verdict.WRONG
    assert verdict(side("label", "m1", 6), side("prediction", "m2", 6)) is Verdict.WRONG


# -- videos -----------------------------------------------------------------------------------------------------------
def _film(*items: Json, source: str = "prediction", frames: int = 100) -> Film:
    """As it comes out of the store: put together from what imports brought."""
    form = orjson.loads(label_form.assemble([("video", orjson.dumps(item).decode()) for item in items])[1])
    side = Annotated(source, form["objects"], form["classifications"], frames=form)
    return film_of([side], frames, 25.0)


def _track(*segments: list[tuple[int, dict[str, Any]]], **more: Any) -> Json:
    keyframes = [{"keyframes": [{"frame": frame, **shape} for frame, shape in segment]} for segment in segments]
    return {"feature_id": "t", "name": "car", "segments": keyframes, **more}


def _at(left: float) -> dict[str, Any]:
    return {"bbox": {"left": left, "top": 4.0, "width": 10.0, "height": 8.0}}


def test_a_track_moves_in_straight_lines_between_its_key_frames_and_is_gone_between_its_segments() -> None:
    film = _film(_track([(10, _at(0)), (20, _at(50))], [(40, _at(7))], confidence=0.25))
    assert [(shape.box, shape.confidence) for shape in shapes_at(film, 10)] == [((0.0, 4.0, 10.0, 8.0), 0.25)]
    assert [shape.box for shape in shapes_at(film, 14)] == [(20.0, 4.0, 10.0, 8.0)]
    assert [shape.box for shape in shapes_at(film, 20)] == [(50.0, 4.0, 10.0, 8.0)]
    assert [shape.box for shape in shapes_at(film, 40)] == [(7.0, 4.0, 10.0, 8.0)]
    assert [number for number in range(1, 101) if shapes_at(film, number)] == [*range(10, 21), 40]
    assert film.front == 10


def test_points_lines_and_masks_of_a_video() -> None:
    line = [{"x": 0.0, "y": 0.0}, {"x": 10.0, "y": 2.0}]
    point = _track([(1, {"point": {"x": 1.0, "y": 2.0}}), (3, {"point": {"x": 3.0, "y": 6.0}})])
    drawn = {**_track([(1, {"line": line})]), "feature_id": "l"}
    mask = {"feature_id": "m", "name": "sky", "annotation_kind": "VideoSegmentationMask", "frames": {"3": "http://m/3"}}
    film = _film(point, drawn, {"feature_id": "m", "masks": [mask]})
    assert [shape.box for shape in shapes_at(film, 2)] == [(2.0, 4.0, 0.0, 0.0)]
    assert [shape.points for shape in shapes_at(film, 1)] == ["", "0,0 10,2"]
    assert [shape.url for shape in shapes_at(film, 3)] == ["", "http://m/3"]


def test_answers_hold_in_their_own_ranges() -> None:
    def answer(name: str, *spans: tuple[int, int]) -> Json:
        return {"name": name, "classifications": [], "frames": [{"start": a, "end": b} for a, b in spans]}

    checklist = {
        "feature_id": "c",
        "name": "seen",
        "checklist_answers": [answer("rain", (1, 10), (30, 31)), answer("wind", (1, 5))],
    }
    radio = {"feature_id": "r", "name": "state", "radio_answer": answer("still", (6, 6))}
    film = _film(checklist, radio)
    assert {(one.question, one.answer): one.ranges for one in film.held} == {
        ("seen", "rain"): [(1, 10), (30, 31)],
        ("seen", "wind"): [(1, 5)],
        ("state", "still"): [(6, 6)],
    }
    assert film.front == 1


def test_a_video_is_called_labelled_and_not_judged() -> None:
    side = Annotated("label", [], [], frames={"frames": {"1": {}}})
    assert verdict(side, _as_prediction(side)) is Verdict.UNCOMPARED
    assert verdict(None, _as_prediction(side)) is Verdict.UNLABELLED
    assert verdict(side, Annotated("prediction", [], [])) is Verdict.NONE


def _as_prediction(side: Annotated) -> Annotated:
    """The same as a prediction."""
    return Annotated("prediction", side.objects, side.classifications, frames=side.frames)


# -- pictures ---------------------------------------------------------------------------------------------------------
def _gray(number: int) -> Any:
    import numpy as np

    return np.full((48, 64, 3), 10 + 12 * number, dtype=np.uint8)


@pytest.mark.parametrize("times", [list(range(0, 600, 33)), [0, 10, 400, 410, 420, 900]], ids=["even", "uneven"])
def test_each_frame_is_the_one_of_its_number(times: list[int]) -> None:
    content = video(times, picture=_gray)
    for number in (1, 2, len(times) // 2, len(times)):
        made = frames_of(content, number)
        assert min(made) == number
        with Image.open(io.BytesIO(made[number])) as image:
            assert image.size == (64, 48)
            pixel: Any = image.convert("L").getpixel((32, 24))
        assert abs(pixel - (10 + 12 * (number - 1))) <= 5
    for number in (0, len(times) + 1):
        with pytest.raises(PictureError, match=f"frames 1 to {len(times)}, not {number}"):
            frames_of(content, number)


@pytest.mark.parametrize(
    "content", [b"", b"no video", b"\0\0\0\x18ftypmp42" + b"\0" * 40, b"#EXTM3U\nfile:///etc/passwd"]
)
def test_what_is_no_video_is_told(content: bytes) -> None:
    with pytest.raises(PictureError):
        frames_of(content, 1)


def test_pages_are_drawn_to_the_width_asked_for() -> None:
    import pypdfium2

    document = pypdfium2.PdfDocument.new()
    for size in ((200, 100), (10, 4_000)):
        document.new_page(*size)
    out = io.BytesIO()
    document.save(out)
    document.close()
    with Image.open(io.BytesIO(page_of(out.getvalue(), 1, 480))) as image:
        assert image.size == (480, 240)
    with Image.open(io.BytesIO(page_of(out.getvalue(), 2, 480))) as image:
        assert image.size[1] <= 3 * 480 + 1
    with pytest.raises(PictureError, match="pages 1 to 2, not 3"):
        page_of(out.getvalue(), 3, 480)
    with pytest.raises(PictureError, match="cannot be opened"):
        page_of(b"%PDF-1.4 nothing", 1, 480)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 12)), max_size=40))
def test_what_is_kept_never_weighs_more_than_allowed(puts: list[tuple[int, int]]) -> None:
    kept: Kept[bytes] = Kept(20, len)
    for key, size in puts:
        kept.put(key, b"x" * size)
        found = [kept.peek(n) for n in range(10)]
        assert sum(len(thing) for thing in found if thing is not None) <= 20
        if size <= 20:
            assert kept.peek(key) == b"x" * size
