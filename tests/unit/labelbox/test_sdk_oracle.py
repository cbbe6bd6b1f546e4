"""Our NDJSON equals what the installed SDK's own converter writes for the same annotation."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import numpy as np
import pytest
from labelbox.data import annotation_types as sdk
from labelbox.data.serialization import NDJsonConverter
from PIL import Image

from vertex_model_inference.annotations import (
    Annotation,
    Answer,
    Box,
    Checklist,
    DocumentEntity,
    FreeText,
    Mask,
    Point,
    Polygon,
    Polyline,
    Radio,
    Selection,
    TextEntity,
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
