"""The PDFs of the data set are real: their text, their pictures and the places that are claimed for both."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pypdfium2
import pytest

from vertex_model_inference.rows import Split
from vertex_model_inference.sandbox.containers.pages import load
from vertex_model_inference.sandbox.datasets.material import SeedRow
from vertex_model_inference.sandbox.datasets.pages import DOCUMENTS, HEADING, Pages

pytestmark = pytest.mark.xdist_group("pages")


@pytest.fixture(scope="module")
def pages() -> Pages:
    return Pages()


@pytest.fixture(scope="module")
def rows(pages: Pages) -> dict[str, SeedRow]:
    return {row.key.removeprefix("pages-"): row for row in pages.rows()}


def test_every_document_has_its_pages_and_words(pages: Pages, rows: dict[str, SeedRow]) -> None:
    assert rows.keys() == {*DOCUMENTS, "scan"}
    for name, descriptions in DOCUMENTS.items():
        row = rows[name]
        assert row.split is Split.TEST
        document = pypdfium2.PdfDocument(row.data)
        assert len(document) == len(descriptions)
        layer = json.loads(row.text_layer or b"")
        assert [page["number"] for page in layer] == list(range(1, len(descriptions) + 1))
        for index, page in enumerate(layer):
            text = document[index].get_textpage().get_text_range()
            words = [token["content"] for group in page["groups"] for token in group["tokens"]]
            assert words == text.split()
            assert len(words) > 20
        document.close()
    assert rows["scan"].text_layer is None
    assert pages.truth(rows["scan"]) == []


def test_truth_lies_on_ink_and_tokens_where_they_say(pages: Pages, rows: dict[str, SeedRow]) -> None:
    row = rows["medicine"]
    document = pypdfium2.PdfDocument(row.data)
    inks = [np.asarray(document[n].render(scale=2).to_pil().convert("L")) < 160 for n in range(len(document))]
    document.close()

    def ink(page: int, box: dict[str, Any]) -> float:
        top, left = round(2 * box["top"]), round(2 * box["left"])
        inside = inks[page - 1][top : top + round(2 * box["height"]), left : left + round(2 * box["width"])]
        return float(inside.mean())

    truth = pages.truth(row)
    blocks = [item for item in truth if "bbox" in item]
    assert {block["name"] for block in blocks} == {"title", "text", "figure", "figure caption"}
    assert all(ink(block["page"], block["bbox"]) > 0.05 for block in blocks)
    tokens = {
        token["id"]: (page["number"], token)
        for page in json.loads(row.text_layer or b"")
        for group in page["groups"]
        for token in group["tokens"]
    }
    assert all(ink(page, token["geometry"]) > 0.05 for page, token in tokens.values())
    headings = [item for item in truth if item["name"] == HEADING]
    said = [
        " ".join(tokens[name][1]["content"] for part in item["textSelections"] for name in part["tokenIds"])
        for item in headings
    ]
    assert said == ["Breast cancer Wisconsin (diagnostic) dataset", "Diabetes dataset"]


def test_the_same_text_layer_wherever_it_is_made(rows: dict[str, SeedRow]) -> None:
    (again,) = [row for row in Pages().rows() if row.key == "pages-handwriting"]
    assert again.text_layer == rows["handwriting"].text_layer


def test_the_model_finds_titles_and_quotes_them(rows: dict[str, SeedRow]) -> None:
    predict = load("")
    content = base64.b64encode(rows["handwriting"].data or b"").decode()
    good, bad = predict([{"content": content, "mimeType": "application/pdf"}, {"content": "aGVsbG8="}], {})
    (page,) = good["pages"]
    assert (page["page"], page["width"], page["height"]) == (1, 1224, 1584)
    assert {"title", "text", "figure", "figure caption"} <= {each["label"] for each in page["detections"]}
    assert [each["text"] for each in page["entities"]] == ["Optical recognition of handwritten digits dataset"]
    assert "not a PDF" in json.dumps(bad)
