"""What a model is sent of texts, HTML, conversations and documents; text layers and PDFs as they really are."""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any

import pypdfium2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vertex_model_inference.errors import AssetError, SettingsError
from vertex_model_inference.labelbox.conversations import messages_of, rendered, spans
from vertex_model_inference.labelbox.text_layers import pages_of, written
from vertex_model_inference.models import ModelOption, Predictor, Task, VertexModel
from vertex_model_inference.rows import DataRow, MediaType
from vertex_model_inference.sources import Message
from vertex_model_inference.spec import Staged
from vertex_model_inference.steps.instances import Template, template_of
from vertex_model_inference.steps.pages import page_sizes, page_texts
from vertex_model_inference.steps.readable import audio_type, unreadable
from vertex_model_inference.steps.texts import source_of_text, visible_text

V1 = {
    "type": "application/vnd.labelbox.conversational",
    "version": 1,
    "messages": [
        {"messageId": "m1", "content": "Zu\u0308rich 👋\r\n", "user": {"userId": "u1", "name": "Bo"}, "canLabel": True},
        {"messageId": "m2", "content": "ja", "user": {"userId": "u2"}, "timestampUsec": 1530718491},
    ],
}
V2 = {
    "type": "application/vnd.labelbox.conversational.model-chat-evaluation",
    "version": 2,
    "actors": {"a": {"role": "human", "metadata": {"name": "User"}}, "b": {"role": "model", "metadata": {}}},
    "messages": {
        "x": {"actorId": "a", "content": [{"type": "text", "content": "Hello"}], "childMessageIds": ["y"]},
        "y": {"actorId": "b", "content": [{"type": "text", "content": "to"}, {"type": "text", "content": "you"}]},
    },
}


def test_both_forms_of_conversations() -> None:
    one = messages_of(json.dumps(V1), "r")
    assert one == (Message("m1", "Zu\u0308rich 👋\r\n", "Bo"), Message("m2", "ja", "u2"))
    assert rendered(one) == "Bo: Zu\u0308rich 👋\r\n\nu2: ja"
    assert messages_of(json.dumps(V2), "r") == (Message("x", "Hello", "User"), Message("y", "to\nyou", "model"))


@pytest.mark.parametrize("data", ["", "[]", "{}", '{"messages": 3}', '{"messages": [{"content": "x"}]}', "\udcff"])
def test_what_is_no_conversation_is_said_to_be_none(data: str) -> None:
    with pytest.raises(AssetError, match="row r") as caught:
        messages_of(data.encode("utf-8", "surrogateescape"), "r")
    assert caught.value.error_code == "asset_corrupt"


def test_a_message_id_means_one_message() -> None:
    twice = {"messages": [V1["messages"][0], V1["messages"][0]]}  # type: ignore[index]
    with pytest.raises(AssetError, match="one id"):
        messages_of(json.dumps(twice), "r")


@given(st.lists(st.builds(Message, st.uuids().map(str), st.text(max_size=9), st.text(max_size=3)), max_size=5))
def test_spans_are_the_messages(messages: list[Message]) -> None:
    text, places = rendered(tuple(messages)), spans(tuple(messages))
    assert [text[start:end] for start, end in places] == [message.text for message in messages]


def layer(**changes: Any) -> bytes:
    geometry = {"left": 10, "top": 20, "width": 30, "height": 5}
    tokens = [
        {"id": "t1", "content": "Ada", "geometry": geometry},
        {"id": "t2", "content": "Love", "geometry": geometry},
    ]
    group = {"id": "g", "content": "Ada Love", "geometry": geometry, "typography": {"fontSize": 9}, "tokens": tokens}
    page = {"number": 1, "units": "POINTS", "width": 600, "height": 800, "groups": [group]}
    return json.dumps([page | changes]).encode()


def test_text_layers() -> None:
    (page,) = pages_of(layer(), "r")
    assert (page.number, page.width, page.height) == (1, 600, 800)
    assert [(t.id, t.group_id, t.text, t.left) for t in page.tokens] == [
        ("t1", "g", "Ada", 10),
        ("t2", "g", "Love", 10),
    ]
    (page,) = pages_of(layer(units="PERCENT", width=None, height=None), "r", sizes=((200, 400),))
    token = page.tokens[0]
    assert (token.left, token.top, token.width, token.height) == (20, 80, 60, 20)
    text, places = written((page,))
    assert [text[start:end] for start, end, _ in places] == ["Ada", "Love"]


@pytest.mark.parametrize(
    "changes", [{"number": 0}, {"number": 1.5}, {"units": "FEET"}, {"groups": 3}, {"number": 1e300}]
)
def test_what_is_no_text_layer_is_said_to_be_none(changes: dict[str, Any]) -> None:
    with pytest.raises(AssetError, match="row r") as caught:
        pages_of(layer(**changes), "r")
    assert caught.value.error_code == "text_layer"


def test_texts_are_kept_as_they_are() -> None:
    text = "Zu\u0308rich\r\n👩‍👩‍👧\u2028\u00a0"
    assert source_of_text(text.encode(), MediaType.TEXT, "r").text == text
    with pytest.raises(AssetError, match="byte 1"):
        source_of_text(b"a\xff", MediaType.TEXT, "r")


def test_of_html_what_a_browser_shows() -> None:
    page = """<!doctype html><html><head><title>T</title><style>p {}</style><body class="x">
      <h1>Zürich &amp; <b>B</b>ern</h1><script>var x = "<p>no</p>";</script>
      <p>one<br>two   three</p><ul><li>a<li>b</ul><!-- no --><svg><text>no</text></svg>last"""
    assert visible_text(page) == "Zürich & Bern\none\ntwo three\na\nb\nlast"
    assert source_of_text(b"<p>a", MediaType.HTML, "r").text == "a"


@given(st.text(st.sampled_from("<>/!-abp \n&;=\"'") | st.characters(), max_size=60))
def test_any_markup_gives_some_text(markup: str) -> None:
    assert isinstance(visible_text(markup), str)


def pictures_pdf(*sizes: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    first, *others = [Image.new("L", size, 200) for size in sizes]
    first.save(buffer, "PDF", save_all=True, append_images=others, resolution=72)
    return buffer.getvalue()


def test_the_pages_of_a_real_pdf() -> None:
    data = pictures_pdf((300, 400), (500, 100), (72, 72))
    assert page_sizes(io.BytesIO(data), "r") == ((300, 400), (500, 100), (72, 72))
    assert page_texts(io.BytesIO(data), "r") == ("", "", "")


def test_a_turned_page_has_the_size_it_is_shown_in() -> None:
    document = pypdfium2.PdfDocument(pictures_pdf((300, 400)))
    document[0].set_rotation(90)
    buffer = io.BytesIO()
    document.save(buffer)
    document.close()
    buffer.seek(0)
    assert page_sizes(buffer, "r") == ((400, 300),)


@pytest.mark.parametrize(
    ("data", "code", "why"),
    [
        (b"", "asset_empty", "empty"),
        (b"hello", "asset_corrupt", "not a PDF"),
        (b"%PDF-1.4\nhello", "asset_corrupt", "cannot be opened"),
    ],
)
def test_what_is_no_pdf(data: bytes, code: str, why: str) -> None:
    with pytest.raises(AssetError, match=why) as caught:
        page_sizes(io.BytesIO(data), "r")
    assert caught.value.error_code == code


def option(task: Task | None = None, predictor: Predictor = Predictor.ONLINE, **more: Any) -> ModelOption:
    return ModelOption(name="m", predictor=predictor, task=task, **more)


def test_which_media_which_model_is_sent() -> None:
    assert unreadable(MediaType.UNKNOWN, None) == "unknown rows cannot be sent to this model."
    assert unreadable(MediaType.DOCUMENT, Task.IMAGE_CLASSIFICATION) == "The model takes images; the row is document."
    assert unreadable(MediaType.TILED_IMAGE, Task.TEXT_SENTIMENT) == "The model takes texts; the row is tiled image."
    for media in (MediaType.TEXT, MediaType.HTML, MediaType.CONVERSATION):
        assert unreadable(media, Task.TEXT_CLASSIFICATION) is None
    for media in (MediaType.DOCUMENT, MediaType.AUDIO, MediaType.TILED_IMAGE, MediaType.IMAGE):
        assert unreadable(media, None) is None


def test_instances_of_other_media() -> None:
    row = DataRow(id="r", row_data="gs://b/x", media_type=MediaType.DOCUMENT)
    staged = Staged(
        data_row_id="r", uri="gs://b/x", mime_type="application/pdf", messages=messages_of(json.dumps(V1), "r")
    )
    batch = template_of(option(predictor=Predictor.BATCH), MediaType.DOCUMENT)
    assert batch.fill(row, staged) == {"content": "gs://b/x", "mimeType": "application/pdf"}
    assert template_of(option(), MediaType.DOCUMENT).fill(row, staged, b"a") == {"document": {"b64": "YQ=="}}
    assert template_of(option(), MediaType.AUDIO).fill(row, staged, b"a") == {"audio": {"b64": "YQ=="}}
    automl = option(model=VertexModel(name="projects/p/locations/l/models/1", automl=True))
    assert template_of(automl, MediaType.CONVERSATION).fields == {"content": "{text}", "mimeType": "text/plain"}
    listed = Template({"inputs.messages": "{messages}"})
    assert listed.needs_messages
    assert listed.fill(row, staged)["inputs"]["messages"][1] == {"id": "m2", "author": "u2", "text": "ja"}
    with pytest.raises(SettingsError, match="it is a list"):
        Template({"x": "all: {messages}"})


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "audio/wav"),
        (b"ID3\x04", "audio/mpeg"),
        (b"\xff\xfb\x90\x00", "audio/mpeg"),
        (b"\xff\xf1\x50\x80", "audio/aac"),
        (b"fLaC\x00", "audio/flac"),
        (b"OggS\x00", "audio/ogg"),
        (b"\x00\x00\x00\x20ftypM4A ", "audio/mp4"),
        (b"\x1aE\xdf\xa3", "audio/webm"),
        (b"what", "audio/x-odd"),
    ],
)
def test_sound_files(start: bytes, kind: str) -> None:
    assert audio_type(start, DataRow(id="r", row_data="x", mime_type="audio/x-odd")) == kind


def test_what_is_no_sound() -> None:
    with pytest.raises(AssetError, match="row r"):
        audio_type(b"what", DataRow(id="r", row_data="x", mime_type="text/plain"))
    with pytest.raises(AssetError, match="empty"):
        audio_type(b"", DataRow(id="r", row_data="x"))


scalars = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5)
keys = st.sampled_from(
    ["messages", "messageId", "content", "actors", "number", "units", "groups", "tokens", "id", "user"]
)
anything = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4))


@given(anything.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=40))
def test_hostile_conversations_and_text_layers_are_named_errors(data: bytes) -> None:
    for read in (messages_of, pages_of):
        with contextlib.suppress(AssetError):
            read(data, "r")


@given(st.binary(max_size=60).map(lambda tail: b"%PDF-1.7\n" + tail) | st.binary(max_size=20))
def test_hostile_pdfs_are_named_errors(data: bytes) -> None:
    for read in (page_sizes, page_texts):
        with pytest.raises(AssetError):
            read(io.BytesIO(data), "r")
