from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vertex_model_inference.errors import RowError
from vertex_model_inference.labelbox.exports import labels_of, parse_export_row
from vertex_model_inference.rows import DataRow, MediaType, Split


def line(**changes: Any) -> bytes:
    row: dict[str, Any] = {
        "data_row": {
            "id": "cl0000000000000000000row1",
            "global_key": "gk",
            "external_id": "ext",
            "row_data": "https://x/a.jpg",
            "details": {"dataset_id": "d"},
        },
        "media_attributes": {"height": 1707, "width": 2560, "mime_type": "image/jpeg"},
        "attachments": [],
        "experiments": {
            "model": {
                "name": "M",
                "runs": {
                    "run": {
                        "name": "R",
                        "run_data_row_id": "x",
                        "data_split": "TRAINING",
                        "labels": [{"id": "l", "annotations": {"objects": [], "classifications": []}}],
                        "predictions": [],
                    },
                    "other": {"data_split": "TEST", "labels": []},
                },
            }
        },
    }
    return json.dumps(row | changes).encode()


def test_a_whole_row() -> None:
    assert parse_export_row(line(), "run") == DataRow(
        id="cl0000000000000000000row1",
        row_data="https://x/a.jpg",
        global_key="gk",
        external_id="ext",
        media_type=MediaType.IMAGE,
        mime_type="image/jpeg",
        width=2560,
        height=1707,
        split=Split.TRAINING,
    )
    assert parse_export_row(line(), "other").split is Split.TEST
    assert parse_export_row(line(), "unknown").split is Split.UNASSIGNED
    assert [label["id"] for label in labels_of(line(), "run")] == ["l"]
    assert labels_of(line(), "other") == labels_of(line(), "unknown") == ()


@pytest.mark.parametrize("word", ["validation", "VALIDATION", "Validation"])
@pytest.mark.parametrize("where", ["run", "run_details", "model_run_details"])
def test_the_split_is_found_in_any_case_and_place(word: str, where: str) -> None:
    run: dict[str, Any] = {"data_split": word} if where == "run" else {where: {"data_split": word}}
    parsed = parse_export_row(line(experiments={"m": {"runs": {"run": run}}}), "run")
    assert parsed.split is Split.VALIDATION


@pytest.mark.parametrize(
    ("media", "kind"),
    [
        ({"mime_type": "image/png"}, MediaType.IMAGE),
        ({"mime_type": "IMAGE/PNG"}, MediaType.IMAGE),
        ({"mime_type": "text/plain"}, MediaType.TEXT),
        ({"mime_type": "text/plain; charset=utf-8"}, MediaType.TEXT),
        ({"mime_type": "text/html"}, MediaType.HTML),
        ({"mime_type": "video/mp4", "frame_rate": 25, "frame_count": 10}, MediaType.VIDEO),
        ({"mime_type": "audio/mpeg"}, MediaType.AUDIO),
        ({"mime_type": "application/pdf"}, MediaType.DOCUMENT),
        ({"mime_type": "Application/PDF; x=1"}, MediaType.DOCUMENT),
        ({"mime_type": "application/vnd.labelbox.conversational"}, MediaType.CONVERSATION),
        ({"asset_type": "text"}, MediaType.TEXT),
        ({"height": 1, "width": 2}, MediaType.IMAGE),
        ({"mime_type": "application/octet-stream"}, MediaType.UNKNOWN),
        ({}, MediaType.UNKNOWN),
        (None, MediaType.UNKNOWN),
    ],
)
def test_media_types(media: dict[str, Any] | None, kind: MediaType) -> None:
    assert parse_export_row(line(media_attributes=media), "run").media_type is kind


@pytest.mark.parametrize("size", [0, -1, None, 1e300])
def test_impossible_sizes_are_unknown(size: float | None) -> None:
    parsed = parse_export_row(line(media_attributes={"width": size, "height": size, "mime_type": "image/png"}), "run")
    assert (parsed.width, parsed.height) == (None, None)


def test_asset_objects_give_their_url() -> None:
    row = {"id": "i", "row_data": {"pdf_url": "https://x/a.pdf", "text_layer_url": "https://x/t.json"}}
    assert parse_export_row(line(data_row=row), "run").row_data == "https://x/a.pdf"


PAPER = {"pdf_url": "https://x/a.pdf", "text_layer_url": "https://x/t.json"}
OLD_PAPER = {"pdfUrl": "https://x/a.pdf", "textLayerUrl": "https://x/t.json"}
TALK = {"type": "application/vnd.labelbox.conversational", "version": 1, "messages": []}


@pytest.mark.parametrize("media", [{"mime_type": "application/pdf"}, {}])
@pytest.mark.parametrize("data", [PAPER, OLD_PAPER, json.dumps(PAPER)])
def test_a_document_has_its_url_and_that_of_its_text_layer(data: Any, media: dict[str, Any]) -> None:
    row = parse_export_row(line(data_row={"id": "i", "row_data": data}, media_attributes=media), "run")
    assert (row.row_data, row.text_layer, row.media_type) == (
        "https://x/a.pdf",
        "https://x/t.json",
        MediaType.DOCUMENT,
    )


def test_objects_of_other_kinds() -> None:
    def parsed(data: Any, mime_type: str | None = None) -> tuple[str, MediaType]:
        row = {"id": "i", "row_data": data}
        found = parse_export_row(line(data_row=row, media_attributes={"mime_type": mime_type}), "run")
        assert found.text_layer is None
        return found.row_data, found.media_type

    assert parsed({"pdf_url": "https://x/a.pdf"}) == ("https://x/a.pdf", MediaType.DOCUMENT)
    tiles = {"tileLayerUrl": "https://x/{z}/{x}/{y}.png", "bounds": []}
    assert parsed(tiles) == ("https://x/{z}/{x}/{y}.png", MediaType.TILED_IMAGE)
    text, kind = parsed(TALK)
    assert (json.loads(text), kind) == (TALK, MediaType.CONVERSATION)
    assert parsed(json.dumps(TALK)) == (json.dumps(TALK), MediaType.CONVERSATION)
    chat = "application/vnd.labelbox.conversational.model-chat-evaluation"
    assert parsed(json.dumps(TALK), chat) == (json.dumps(TALK), MediaType.CONVERSATION)
    assert parsed('{"url": "https://x"}', "text/plain") == ('{"url": "https://x"}', MediaType.TEXT)  # a text about JSON
    assert parsed("{not JSON") == ("{not JSON", MediaType.UNKNOWN)


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        (b"", None),
        (b"{", None),
        (b"[]", None),
        (b"\xff", None),
        (b'{"data_row": {"id": "i"}}', "i"),
        (b'{"data_row": {"id": "i", "row_data": 3}}', "i"),
        (b'{"data_row": {"id": 3, "row_data": "x"}}', None),
        (b'{"data_row": {"id": "", "row_data": "x"}}', None),
        (b'{"data_row": {"id": "i", "row_data": "x"}, "media_attributes": {"width": "wide"}}', "i"),
        (b'{"data_row": {"id": "i", "row_data": "x"}, "experiments": {"m": {"runs": []}}}', "i"),
        (b"[" * 100_000, None),
    ],
)
def test_a_bad_line_is_a_row_error_that_names_the_row(raw: bytes, named: str | None) -> None:
    with pytest.raises(RowError) as caught:
        parse_export_row(raw, "run")
    assert caught.value.error_code == "export_row"
    assert caught.value.context["data_row_id"] == named
    assert (f"data row {named}" if named else "without a readable id") in caught.value.message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["data_row", "id", "row_data", "media_attributes", "experiments", "runs", "run", "labels"])
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)
ROWS = st.fixed_dictionaries(
    {},
    optional={
        "data_row": JSON | st.fixed_dictionaries({"id": st.text(), "row_data": JSON}),
        "media_attributes": JSON | st.dictionaries(st.sampled_from(["width", "height", "mime_type"]), JSON),
        "experiments": JSON,
    },
)


@given(JSON | ROWS)
def test_any_json_is_a_row_or_a_row_error(value: Any) -> None:
    check(json.dumps(value).encode())


@given(st.binary())
def test_any_bytes_are_a_row_or_a_row_error(raw: bytes) -> None:
    check(raw)


def check(raw: bytes) -> None:
    with contextlib.suppress(RowError):
        assert isinstance(parse_export_row(raw, "run"), DataRow)
    try:
        labels = labels_of(raw, "run")
    except RowError:
        return
    assert isinstance(labels, tuple)
