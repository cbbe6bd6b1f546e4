"""The matrix for what is read: documents page by page and conversations message by message."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import labelbox as lb
import pytest
from PIL import Image
from tests.integration.kinds.stage import Stage, question, tool

from vertex_model_inference.decoders.registry import by_name, recognise
from vertex_model_inference.models import MatchRules, ModelOption, Predictor
from vertex_model_inference.rows import DataRow, MediaType
from vertex_model_inference.sources import Message, Page, Source, Token
from vertex_model_inference.steps.match import Matcher
from vertex_model_inference.steps.place import place

WIDTH, HEIGHT = 400.0, 300.0  # points
WORDS = ("Ada", "Lovelace", "wrote", "to", "Ada")
PAGES = tuple(
    Page(
        number,
        WIDTH,
        HEIGHT,
        tuple(
            Token(f"t{number}-{at}", f"g{number}", word, 50.0 * at, 20.0, 45.0, 12.0) for at, word in enumerate(WORDS)
        ),
    )
    for number in (1, 2)
)
MESSAGES = (
    Message("m1", "Zu\u0308rich 👩‍👩‍👧 is far", "bot"),
    Message("m2", "So is London, said Zu\u0308rich", "user"),
)

NORMALIZED = {
    "tools": [tool("box", "rectangle"), tool("place", "named-entity")],
    "classifications": [
        question("animal", "radio", "cat", "dog"),
        question("traits", "checklist", "cat", "dog"),
        question("summary", "text"),
    ],
}
SCORE = 0.1234567

READ_CELLS = {
    ("document-pages", "radio"),
    ("document-pages", "checklist"),
    ("document-pages", "rectangle"),
    ("document-pages", "quoted entity"),
    ("conversation", "radio"),
    ("conversation", "checklist"),
    ("conversation", "text"),
    ("conversation", "entity"),
    ("conversation", "quoted entity"),
}


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("documents")
    pages = [Image.new("L", (400, 300), 255) for _ in PAGES]
    pages[0].save(folder / "pages.pdf", save_all=True, append_images=pages[1:], resolution=72)
    with Stage.open(folder, folder / "pages.pdf", lb.MediaType.Pdf, NORMALIZED) as stage:
        yield stage


@pytest.fixture(scope="module")
def conversation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("conversations")
    messages = [
        {"messageId": each.id, "content": each.text, "user": {"userId": each.author, "name": each.author}}
        for each in MESSAGES
    ]
    form = {"type": "application/vnd.labelbox.conversational", "version": 1, "messages": messages}
    (folder / "talk.json").write_text(json.dumps(form))
    with Stage.open(folder, folder / "talk.json", lb.MediaType.Conversational, NORMALIZED) as stage:
        yield stage


def _exported(stage: Stage, family: str, answer: Any, row: DataRow, source: Source, **classes: str) -> dict[str, Any]:
    said = json.dumps(answer).encode()
    option = ModelOption(name="m", predictor=Predictor.BATCH)
    assert recognise([said], option).name == family.partition(":")[0]
    placed = place(by_name(family).decode(said, row), row, source)
    assert placed.dropped == {}
    matched = Matcher(stage.ontology, MatchRules(threshold=0.0, classes=dict(classes))).match(placed.findings, row)
    assert matched.dropped == {}
    annotations: dict[str, Any] = stage.export(matched.annotations, row)["annotations"]
    return annotations


def _read(stage: Stage, answer: Any, **classes: str) -> dict[str, Any]:
    sizes = tuple((page.width, page.height) for page in PAGES)
    row = DataRow(id=stage.row_id, row_data="x", media_type=MediaType.DOCUMENT, page_sizes=sizes, text_layer="x")
    return _exported(stage, "document-pages", answer, row, Source(pages=PAGES), **classes)


def _heard(stage: Stage, answer: Any, **classes: str) -> dict[str, Any]:
    row = DataRow(id=stage.row_id, row_data="x", media_type=MediaType.CONVERSATION)
    return _exported(stage, "conversation", answer, row, Source(messages=MESSAGES), **classes)


def _sure(found: dict[str, Any], score: float = SCORE) -> None:
    assert found["confidence"] == pytest.approx(score, abs=1e-6)


@pytest.mark.parametrize("page", [1, 2])
def test_boxes_on_pages(document: Stage, page: int) -> None:
    detection = {"label": "thing", "score": SCORE, "box": [100, 50, 300, 150]}
    answer = {"pages": [{"page": page, "width": 800, "height": 600, "detections": [detection]}]}
    (found,) = _read(document, answer, thing="box")["objects"]
    box = found["bounding_box"]
    assert (found["name"], found["page_number"]) == ("box", page)
    assert [box[side] for side in ("left", "top", "width", "height")] == [50, 25, 100, 50]
    _sure(found)


@pytest.mark.parametrize("page", [1, 2])
@pytest.mark.parametrize(("quote", "tokens"), [("Ada Lovelace", (0, 1)), ("wrote to\nada", (2, 3, 4))])
def test_words_of_pages(document: Stage, page: int, quote: str, tokens: tuple[int, ...]) -> None:
    answer = {"pages": [{"page": page, "entities": [{"label": "name", "score": SCORE, "text": quote}]}]}
    (found,) = _read(document, answer, name="place")["objects"]
    (group,) = found["location"]["groups"]
    assert (group["id"], group["page_number"]) == (f"g{page}", page)
    assert [token if isinstance(token, str) else token["id"] for token in group["tokens"]] == [
        f"t{page}-{at}" for at in tokens
    ]
    _sure(found)


@pytest.mark.parametrize(("where", "key"), [("animal", "radio_answer"), ("traits", "checklist_answers")])
def test_classes_of_documents(document: Stage, where: str, key: str) -> None:
    answer = {"pages": [], "labels": [{"label": "cat", "score": SCORE}]}
    (found,) = _read(document, answer, cat=f"{where}/cat")["classifications"]
    given = found[key] if key == "radio_answer" else found[key][0]
    assert (found["name"], given["name"]) == (where, "cat")
    _sure(given)


@pytest.mark.parametrize(("where", "key"), [("animal", "radio_answer"), ("traits", "checklist_answers")])
def test_classes_of_messages(conversation: Stage, where: str, key: str) -> None:
    answer = {"messages": {"m1": [{"label": "cat", "score": SCORE}], "m2": {"label": "dog", "score": 1.0}}}
    found = _heard(conversation, answer, cat=f"{where}/cat", dog=f"{where}/dog")["classifications"]
    by_message = {each["message_id"]: each[f"conversational_{key}"] for each in found}
    assert by_message.keys() == {"m1", "m2"}
    for message, name, score in (("m1", "cat", SCORE), ("m2", "dog", 1.0)):
        given = by_message[message] if key == "radio_answer" else by_message[message][0]
        assert given["name"] == name
        _sure(given, score)


def test_texts_about_messages(conversation: Stage) -> None:
    answer = [{"message_id": "m2", "label": "summary", "text": "far töo", "score": SCORE}]
    (found,) = _heard(conversation, answer)["classifications"]
    assert (found["name"], found["message_id"]) == ("summary", "m2")
    assert found["conversational_text_answer"]["content"] == "far töo"


SPANS = [("m1", "Zu\u0308rich"), ("m1", "far"), ("m2", "London"), ("m2", "Zu\u0308rich")]


@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize(("message", "word"), SPANS)
def test_spans_of_messages(conversation: Stage, message: str, word: str, *, quoted: bool) -> None:
    text = next(each.text for each in MESSAGES if each.id == message)
    start = text.index(word)
    item: dict[str, Any] = {"label": "city", "score": SCORE}
    item |= {"quote": word} if quoted else {"start": start, "end": start + len(word)}
    (found,) = _heard(conversation, {"messages": {message: [item]}}, city="place")["objects"]
    location = found["conversational_location"]
    assert location["message_id"] == message
    span = location["location"]
    assert (span["start"], span["end"]) == (start, start + len(word) - 1)
    _sure(found)
