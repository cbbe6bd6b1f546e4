"""What is uploaded is read back as it was; what Labelbox exports as labels is read as the same annotations."""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
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
from vertex_model_inference.errors import RowError
from vertex_model_inference.geometry.runs import encode
from vertex_model_inference.labelbox.export_labels import parse_labels
from vertex_model_inference.labelbox.linked_masks import LinkedMask, LinkedVideoMask
from vertex_model_inference.labelbox.ndjson import lines, row_uuids
from vertex_model_inference.labelbox.ndjson_reading import mask_of_png, parse_prediction, parse_predictions
from vertex_model_inference.labelbox.vocabulary import Vocabulary
from vertex_model_inference.ontology import Classification, Ontology, Option, Tool
from vertex_model_inference.rows import DataRow

ROW = DataRow(id="r" * 25, row_data="x")
NAMES = Vocabulary(None)
_names = st.sampled_from(("cat", "früher\u2028später", "x"))
_confidence = st.none() | st.integers(0, 10**6).map(lambda value: value / 1e6)
_pixels = st.integers(0, 10**5).map(lambda value: value / 100)


def _answers(nested: st.SearchStrategy[tuple[Question, ...]]) -> st.SearchStrategy[Answer]:
    return st.builds(Answer, _names, st.just(""), _confidence, classifications=nested)


def _questions(depth: int = 2) -> st.SearchStrategy[Question]:
    deeper: st.SearchStrategy[tuple[Question, ...]] = st.just(())
    if depth:
        deeper = st.lists(_questions(depth - 1), max_size=2).map(tuple)
    answer = _answers(deeper)
    return st.one_of(
        st.builds(Radio, _names, st.just(""), answer),
        st.builds(Checklist, _names, st.just(""), st.lists(answer, min_size=1, max_size=3).map(tuple)),
        st.builds(FreeText, _names, st.just(""), st.text(max_size=9), _confidence),
    )


_nested = st.lists(_questions(1), max_size=2).map(tuple)
_place = st.tuples(_pixels, _pixels)
_shared: dict[str, Any] = {
    "name": _names,
    "feature_schema_id": st.just(""),
    "confidence": _confidence,
    "classifications": _nested,
}


def _mask(bits: list[bool]) -> bytes:
    return encode(np.asarray(bits).reshape(3, 4))


_bits = st.lists(st.booleans(), min_size=12, max_size=12).map(_mask)
_shapes: st.SearchStrategy[Annotation] = st.one_of(
    st.builds(Box, left=_pixels, top=_pixels, width=st.just(3.25), height=st.just(0.01), **_shared),
    st.builds(Polygon, points=st.lists(_place, min_size=3, max_size=6, unique=True).map(tuple), **_shared),
    st.builds(Polyline, points=st.lists(_place, min_size=2, max_size=5).map(tuple), **_shared),
    st.builds(Point, x=_pixels, y=_pixels, **_shared),
    st.builds(Mask, counts=_bits, width=st.just(4), height=st.just(3), **_shared),
    st.builds(TextEntity, start=st.integers(0, 9), end=st.integers(9, 99), **_shared),
)


@given(_shapes | _questions())
@settings(max_examples=250, deadline=None)
def test_what_is_written_is_read_back(annotation: Annotation) -> None:
    [line] = lines([annotation], ROW, lambda _: "u")
    row_id, found = parse_prediction(line, NAMES)
    assert row_id == ROW.id
    assert found == annotation


OTHERS: list[Annotation] = [
    Box("b", "", 1, 2, 3, 4, 0.5, page=2),
    TextEntity("e", "", 1, 4, 0.5, message_id="m"),
    DocumentEntity("d", "", (Selection(("a", "b"), "g", 2),), 0.5),
    Radio("q", "", Answer("a", "", 0.5), message_id="m"),
    FreeText("q", "", "x", 0.5, message_id="m"),
    VideoBox("v", "", ((KeyFrame(1, 1, 2, 3, 4), KeyFrame(9, 5, 6, 3, 4)), (KeyFrame(20, 0, 0, 1, 1),))),
    VideoMask("m", "", (FrameMask(2, _mask([True] * 5 + [False] * 7)), FrameMask(3, _mask([False] * 12))), 4, 3, 0.5),
    Radio("q", "", Answer("a", "", 0.5, frames=((1, 4), (9, 9)))),
    Checklist("q", "", (Answer("a", "", 0.5, frames=((1, 4),)), Answer("b", "", 0.25, frames=((3, 8),)))),
    Checklist("q", "", (Answer("a", "", 0.5, frames=((1, 4),)), Answer("b", "", 0.25, frames=((1, 4),)))),
]


@pytest.mark.parametrize("annotation", OTHERS)
def test_documents_conversations_and_videos_are_read_back(annotation: Annotation) -> None:
    [line] = lines([annotation], ROW, lambda _: "u")
    assert parse_prediction(line, NAMES)[1] == annotation


def test_a_row_of_another_form_is_named() -> None:
    for line in (b"", b"[]", b'{"bbox": 3}', b'{"dataRow": {"id": "x"}, "mask": {"png": "!"}, "name": "m"}'):
        with pytest.raises(RowError, match="not of the form"):
            parse_prediction(line, NAMES)
    assert parse_prediction(b'{"dataRow": {"id": "x"}, "relationship": {}, "name": "m"}', NAMES) == ("x", None)


def test_names_are_the_ontologys_whichever_way_a_file_refers_to_them() -> None:
    def option(schema_id: str, name: str) -> Option:
        return Option(name=name, label=f"{name} (as people see it)", feature_schema_id=schema_id)

    question = Classification(
        kind="radio", name="kind", feature_schema_id="q1", options=(option("o1", "tom"), option("o2", "queen"))
    )
    ontology = Ontology(
        id="o",
        name="o",
        tools=(
            Tool(kind="rectangle", name="cat", feature_schema_id="t1", classifications=(question,)),
            Tool(kind="polygon", name="cat", feature_schema_id="t2"),
            Tool(kind="line", name="road", feature_schema_id="t3"),
        ),
    )
    names = Vocabulary(ontology)
    assert names.name(None, "t3") == "road"
    assert (names.name(None, "t1"), names.name("cat", "t2")) == ("cat (t1)", "cat (t2)")
    label = {"name": "tom (as people see it)", "value": "tom", "feature_schema_id": "o1"}
    exported = {
        "name": "kind",
        "value": "kind_of_cat",
        "feature_schema_id": "q1",
        "radio_answer": label,
    }
    found = parse_labels(_line({"classifications": [exported]}), names).annotations
    assert found == (Radio("kind", "q1", Answer("tom", "o1")),)


def _line(annotations: dict[str, Any], more: int = 0) -> bytes:
    label = {"id": "l", "label_kind": "Default", "version": "1.0.0", "annotations": annotations}
    return json.dumps({"data_row_id": "r", "labels": [label] * (1 + more)}).encode()


def _head(kind: str, **value: Any) -> dict[str, Any]:
    return {"feature_id": "f", "feature_schema_id": "s", "name": "n", "value": "v", "annotation_kind": kind, **value}


SQUARE = [{"x": 0, "y": 0}, {"x": 9, "y": 0}, {"x": 9, "y": 9}, {"x": 0, "y": 0}]


@pytest.mark.parametrize(
    ("exported", "wanted"),
    [
        (
            _head("ImageBoundingBox", bounding_box={"top": 1, "left": 2, "height": 3, "width": 4}),
            Box("n", "s", 2, 1, 4, 3),
        ),
        (
            _head(
                "DocumentBoundingBox",
                page_number=2,
                bounding_box={"top": 1, "left": 2, "height": 3, "width": 4, "unit": "points"},
            ),
            Box("n", "s", 2, 1, 4, 3, page=2),
        ),
        (_head("ImagePolygon", polygon=SQUARE), Polygon("n", "s", ((0, 0), (9, 0), (9, 9)))),
        (_head("ImagePolyline", line=SQUARE[:2]), Polyline("n", "s", ((0, 0), (9, 0)))),
        (_head("ImagePoint", point={"x": 1, "y": 2}), Point("n", "s", 1, 2)),
        (_head("ImageSegmentationMask", mask={"url": "https://x/m.png"}), LinkedMask("n", "s", "https://x/m.png")),
        (_head("TextEntity", location={"start": 1, "end": 5, "token": "hello"}), TextEntity("n", "s", 1, 5)),
        (
            _head(
                "ConversationalTextEntity",
                conversational_location={"message_id": "4", "location": {"start": 1, "end": 5}},
            ),
            TextEntity("n", "s", 1, 5, message_id="4"),
        ),
        (
            _head("DocumentEntityToken", location={"groups": [{"id": "g", "page_number": 3, "tokens": ["a", "b"]}]}),
            DocumentEntity("n", "s", (Selection(("a", "b"), "g", 3),)),
        ),
    ],
)
def test_labels_of_each_kind(exported: dict[str, Any], wanted: Annotation) -> None:
    found = parse_labels(_line({"objects": [exported]}), NAMES)
    assert found.annotations == (wanted,)
    assert found.unsupported == {}


def test_what_there_is_no_type_for_is_counted_by_name() -> None:
    found = parse_labels(
        _line(
            {
                "objects": [
                    _head("MessageRanking", ranked_messages={}),
                    _head(
                        "DocumentBoundingBox",
                        bounding_box={"top": 1, "left": 2, "height": 3, "width": 4, "unit": "percent"},
                    ),
                ],
                "classifications": [{"name": "q"}],
                "relationships": [{}, {}],
            },
            more=1,
        ),
        NAMES,
    )
    assert found.annotations == ()
    assert found.labels == 2
    assert found.unsupported == {
        "MessageRanking": 1, "DocumentBoundingBox": 1, "unknown classification": 1, "relationship": 2,
    }  # fmt: skip


def test_labels_of_videos() -> None:
    def shown(left: float) -> dict[str, Any]:
        return _head("VideoBoundingBox", bounding_box={"top": 0, "left": left, "height": 5, "width": 5})

    def answered(option: str) -> dict[str, Any]:
        return {"feature_id": "c", "name": "q", "radio_answer": {"name": option, "value": option}}

    annotations = {
        "frames": {
            "1": {"objects": {"o": shown(0)}, "classifications": [answered("day")]},
            "5": {"objects": {"o": shown(4), "p": _head("VideoPoint", point={"x": 1, "y": 1})}},
            "8": {"classifications": [answered("day")]},
        },
        "segments": {"o": [[1, 7]], "c": [[1, 8]]},
        "key_frame_feature_map": {"o": [1, 5], "c": [1, 8]},
    }
    found = parse_labels(_line(annotations), NAMES)
    keys = (KeyFrame(1, 0, 0, 5, 5), KeyFrame(5, 4, 0, 5, 5), KeyFrame(7, 4, 0, 5, 5))
    assert found.annotations == (VideoBox("n", "s", (keys,)), Radio("q", "", Answer("day", "", frames=((1, 8),))))
    assert found.unsupported == {"VideoPoint": 1}


def test_relationships_join_the_objects_of_a_label() -> None:
    def box(feature_id: str) -> dict[str, Any]:
        head = _head("ImageBoundingBox", bounding_box={"top": 1, "left": 2, "height": 3, "width": 4})
        return {**head, "feature_id": feature_id}

    def joined(kind: str, source: str, target: str) -> dict[str, Any]:
        ends = {"source": source, "target": target, "readonly": False}
        return {"feature_id": "r", "feature_schema_id": "e", "name": "on", "value": "on", f"{kind}_relationship": ends}

    found = parse_labels(
        _line(
            {
                "objects": [box("a"), _head("MessageRanking"), box("b")],
                "relationships": [
                    joined("unidirectional", "b", "a"),
                    joined("bidirectional", "a", "b"),
                    joined("unidirectional", "a", "f"),
                ],
            }
        ),
        NAMES,
    )
    assert found.annotations[2:] == (Relationship("on", "e", 1, 0), Relationship("on", "e", 0, 1, directed=False))
    assert found.unsupported == {"MessageRanking": 1, "relationship": 1}


def test_relationships_are_read_back_with_the_annotations_that_they_join() -> None:
    row = DataRow(id="r" * 25, row_data="")
    box = Box("n", "s", 1, 2, 3, 4, 0.5)
    joined = (Relationship("on", "", 2, 0, confidence=None), Relationship("near", "", 0, 2, directed=False))
    written: list[Annotation] = [box, joined[0], box, joined[1]]
    lines_ = lines(written, row, row_uuids("run", row.id))
    found = parse_predictions(lines_, NAMES)
    assert [found[1], found[3]] == list(joined)
    assert parse_predictions([b"{", lines_[1]], NAMES) == [None, None]


def test_masks_of_videos_are_links_of_frames() -> None:
    def shown(url: str) -> dict[str, Any]:
        return _head("VideoSegmentationMask", mask={"url": url})

    def written(content: str) -> dict[str, Any]:
        return {"feature_id": "t", "name": "note", "text_answer": {"content": content}}

    frames = {
        "2": {"objects": {"o": shown("https://x/2")}, "classifications": [written("dark")]},
        "3": {"objects": {"o": shown("https://x/3")}},
        "7": {"classifications": [written("dark")]},
    }
    found = parse_labels(_line({"frames": frames, "segments": {"o": [[2, 3]], "t": [[2, 7]]}}), NAMES)
    assert found.annotations == (
        LinkedVideoMask("n", "s", ((2, "https://x/2"), (3, "https://x/3"))),
        FreeText("note", "", "dark", frames=((2, 7),)),
    )
    assert found.unsupported == {}


def test_one_color_of_a_mask() -> None:
    picture = Image.fromarray(np.asarray([[[200, 0, 0], [0, 200, 0]], [[0, 0, 0], [200, 0, 0]]], dtype=np.uint8))
    for stored in (picture, picture.convert("RGBA"), picture.convert("P", palette=Image.Palette.ADAPTIVE)):
        out = io.BytesIO()
        stored.save(out, "PNG")
        assert mask_of_png(out.getvalue(), (200, 0, 0)) == (encode(np.eye(2, dtype=np.bool_)), 2, 2), stored.mode


def test_a_label_of_another_form_names_its_row() -> None:
    with pytest.raises(RowError, match="data row r1") as caught:
        parse_labels(b'{"data_row_id": "r1", "labels": [{"annotations": 3}]}', NAMES)
    assert caught.value.context["data_row_id"] == "r1"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
@settings(max_examples=100)
def test_any_json_is_a_label_or_an_error_of_ours(value: Any) -> None:
    line = msgspec.json.encode({"data_row_id": "r", "labels": [{"annotations": value}]})
    with contextlib.suppress(RowError):
        assert parse_labels(line, NAMES).labels == 1


def test_masks_come_in_all_modes_of_png() -> None:
    import io

    from PIL import Image

    drawn = np.zeros((3, 4), dtype=np.bool_)
    drawn[1, 2:] = True
    grey = Image.fromarray(drawn.astype(np.uint8) * 255)
    for mode in ("L", "1", "RGB", "RGBA", "P", "LA"):
        out = io.BytesIO()
        grey.convert(mode).save(out, "PNG")
        assert mask_of_png(out.getvalue()) == (encode(drawn), 4, 3), mode
    with pytest.raises(ValueError, match="not a PNG"):
        mask_of_png(b"GIF89a")
