from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from vertex_model_inference.annotations import Annotation, Answer, Box, Checklist, FreeText, Radio
from vertex_model_inference.labelbox.ndjson import lines, row_uuid, row_uuids
from vertex_model_inference.rows import DataRow

ROW = DataRow(id="cm0datarow000000000000001", row_data="gs://b/o.jpg", width=100, height=100)
ID = "c" * 25
OPTION = "d" * 25

RECORDED: list[tuple[Annotation, str]] = [
    # What the labelbox SDK 7.17.0's NDJsonConverter wrote for the same annotations (without custom metrics); the data
    # row is ours to fill in. Where a confidence is 0.0 on an object, the SDK loses it and we do not.
    (
        Radio("q", ID, Answer("a", OPTION, 0.5)),
        '{"name": "q", "answer": {"confidence": 0.5, "name": "a"}, "uuid": "U", "dataRow": {"id": "R"}}',
    ),
    (
        Radio("q", ID, Answer("a", OPTION, 0.5, by_id=True), by_id=True),
        (
            '{"schemaId": "ccccccccccccccccccccccccc", "answer": {"confidence": 0.5, "schemaId": '
            '"ddddddddddddddddddddddddd"}, "uuid": "U", "dataRow": {"id": "R"}}'
        ),
    ),
    (
        Radio("q", ID, Answer("a", OPTION, 0.5, classifications=(Radio("q2", ID, Answer("b", OPTION, 0.4)),))),
        (
            '{"name": "q", "answer": {"confidence": 0.5, "name": "a", "classifications": [{"name": "q2", "answer": '
            '{"confidence": 0.4, "name": "b"}}]}, "uuid": "U", "dataRow": {"id": "R"}}'
        ),
    ),
    (
        Checklist("q", ID, (Answer("a", OPTION, 0.5), Answer("b", OPTION))),
        (
            '{"name": "q", "answer": [{"confidence": 0.5, "name": "a"}, {"name": "b"}], "uuid": "U", '
            '"dataRow": {"id": "R"}}'
        ),
    ),
    (
        Checklist(
            "q", ID, (Answer("a", OPTION, 0.5, classifications=(Checklist("q2", ID, (Answer("b", ID, 0.4),)),)),)
        ),
        (
            '{"name": "q", "answer": [{"confidence": 0.5, "name": "a", "classifications": [{"name": "q2", "answer": '
            '[{"confidence": 0.4, "name": "b"}]}]}], "uuid": "U", "dataRow": {"id": "R"}}'
        ),
    ),
    (
        FreeText("q", ID, "hello", 0.5),
        '{"confidence": 0.5, "name": "q", "answer": "hello", "uuid": "U", "dataRow": {"id": "R"}}',
    ),
    (
        Box("b", ID, 1, 2, 10, 20, 0.5),
        (
            '{"confidence": 0.5, "uuid": "U", "dataRow": {"id": "R"}, "name": "b", "classifications": [], '
            '"bbox": {"top": 2.0, "left": 1.0, "height": 20.0, "width": 10.0}}'
        ),
    ),
    (
        Box("b", ID, 1, 2, 10, 20),
        (
            '{"uuid": "U", "dataRow": {"id": "R"}, "name": "b", "classifications": [], '
            '"bbox": {"top": 2.0, "left": 1.0, "height": 20.0, "width": 10.0}}'
        ),
    ),
    (
        Radio("q", ID, Answer("a", OPTION, 0.0)),
        '{"name": "q", "answer": {"confidence": 0.0, "name": "a"}, "uuid": "U", "dataRow": {"id": "R"}}',
    ),
    (
        Box("b", ID, 1, 2, 10, 20, 0.5, (Radio("sub", ID, Answer("x", OPTION, 0.3)),)),
        (
            '{"confidence": 0.5, "uuid": "U", "dataRow": {"id": "R"}, "name": "b", "classifications": [{"name": "sub", '
            '"answer": {"confidence": 0.3, "name": "x"}}], '
            '"bbox": {"top": 2.0, "left": 1.0, "height": 20.0, "width": 10.0}}'
        ),
    ),
]


def one(annotation: Annotation) -> dict[str, Any]:
    (line,) = lines([annotation], ROW, lambda index: f"uuid-{index}")
    value: dict[str, Any] = json.loads(line)
    return value


@pytest.mark.parametrize(("annotation", "recorded"), RECORDED)
def test_writes_what_the_sdk_writes_in_its_order(annotation: Annotation, recorded: str) -> None:
    (line,) = lines([annotation], ROW, lambda _: "U")
    expected = json.dumps(json.loads(recorded.replace('"R"', json.dumps(ROW.id))), separators=(",", ":"))
    assert line.decode() == expected


def test_keeps_a_confidence_of_zero_where_the_sdk_loses_it() -> None:
    assert one(Box("b", ID, 1, 2, 3, 4, 0.0))["confidence"] == 0.0
    assert one(FreeText("t", ID, "x", 0.0))["confidence"] == 0.0
    nested = one(Box("b", ID, 1, 2, 3, 4, None, (FreeText("t", ID, "x", 0.0),)))
    assert "confidence" not in nested
    assert nested["classifications"] == [{"confidence": 0.0, "name": "t", "answer": "x"}]


def test_refers_by_schema_id_where_the_name_is_not_unique() -> None:
    value = one(Box("b", ID, 1, 2, 3, 4, by_id=True))
    assert value["schemaId"] == ID
    assert "name" not in value


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\u0085", "\n", "\r", "\x0b", "\x1c"])
def test_no_reader_sees_a_line_end_inside_a_row(separator: str) -> None:
    text = f"früher{separator}später"
    (line,) = lines([FreeText("t", ID, text)], ROW, str)
    assert len(line.decode().splitlines()) == 1
    assert json.loads(line)["answer"] == text


def test_rounding_never_moves_a_box_out_of_the_picture() -> None:
    box = one(Box("b", ID, 0.005, 0.005, 99.995, 99.995))["bbox"]
    assert round(box["left"] + box["width"], 6) <= 100
    assert round(box["top"] + box["height"], 6) <= 100


def test_uuids_are_uuid5_and_depend_on_run_row_and_index() -> None:
    uuids = {row_uuid(run, row, index) for run in ("r1", "r2") for row in ("a", "b") for index in (0, 1, 10)}
    assert len(uuids) == 12
    for text in uuids:
        parsed = uuid.UUID(text)
        assert (parsed.version, parsed.variant, str(parsed)) == (5, uuid.RFC_4122, text)
    product = uuid.UUID("8f0b8d0e-5f6f-5d8c-9a1b-6c1f5f0f7d21")
    assert row_uuids("run", "row")(3) == str(uuid.uuid5(uuid.uuid5(product, "run"), "row/3"))
