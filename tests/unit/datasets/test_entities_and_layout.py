from __future__ import annotations

import io
import logging

import numpy as np
import pytest
from PIL import Image

from vertex_model_inference.rows import MediaType, Split
from vertex_model_inference.sandbox.containers import entities as entity_model
from vertex_model_inference.sandbox.containers import layout as layout_model
from vertex_model_inference.sandbox.datasets.entities import TOOLS, Entities
from vertex_model_inference.sandbox.datasets.layout import CLASSES, PAGES, Layout


def test_sentences_are_inline_and_each_there_once() -> None:
    rows = Entities().rows()
    assert len(rows) > 2000
    assert len({row.key for row in rows}) == len({row.text for row in rows}) == len(rows)
    assert {row.split for row in rows} == {Split.TEST}
    assert all(row.text and "://" not in row.text[:16] for row in rows)
    assert Entities().media_type is MediaType.TEXT


def test_there_is_a_tool_for_each_kind_of_names() -> None:
    assert sorted(TOOLS) == sorted(name.replace("_", " ").lower() for name in entity_model.CLASSES)
    assert entity_model.pipeline().get_pipe("ner").labels == entity_model.CLASSES


def test_entities_in_any_company_are_the_same_and_have_scores() -> None:
    nlp = entity_model.pipeline()
    texts = [row.text or "" for row in Entities().rows()[:40]]
    together = entity_model.spans_of(nlp, texts)
    assert together == [entity_model.spans_of(nlp, [text])[0] for text in texts]
    found = [(text, span) for text, spans in zip(texts, together, strict=True) for span in spans]
    assert len(found) > 30
    for text, span in found:
        assert 0 <= span.score <= 1
        assert text[span.start : span.end].strip()
        assert (span.tokens[0][1], span.tokens[-1][2]) == (span.start, span.end)
    assert len({span.score for _, span in found}) > 10


def test_offsets_are_characters_behind_emoji_and_marks() -> None:
    text = "\U0001f469‍\U0001f469 Zu\u0308rich: Steven Spielberg lives in London."
    (spans,) = entity_model.spans_of(entity_model.pipeline(), [text])
    assert {"Steven Spielberg", "London"} <= {text[span.start : span.end] for span in spans}


def test_a_bad_text_fails_alone() -> None:
    model = entity_model.load("")
    good, bad, empty = model.usual([{"text": "Ada lived in London."}, {"no": 1}, {"text": "nobody is here"}], None)
    assert "London" in {good["text"][one["start"] : one["end"]] for one in good["ents"]}
    assert bad["error"]["code"] == 3
    assert empty["ents"] == []
    (extracted,) = model.others["automl-text-extraction"]([{"text": "Ada lived in London."}], None)
    assert [
        int(end) - one["end"] for end, one in zip(extracted["textSegmentEndOffsets"], good["ents"], strict=True)
    ] == [-1] * len(good["ents"])


def test_blocks_lie_apart_and_on_ink() -> None:
    material = Layout()
    rows = material.rows()
    assert len(rows) == len(PAGES)
    for row in rows:
        page = np.asarray(Image.open(io.BytesIO(row.data or b"")).convert("L"))
        covered = np.zeros(page.shape, dtype=np.int64)
        for block in material.truth(row):
            assert block["name"] in CLASSES
            box = block["bbox"]
            top, bottom = int(box["top"]), int(np.ceil(box["top"] + box["height"]))
            left, right = int(box["left"]), int(np.ceil(box["left"] + box["width"]))
            assert page[top:bottom, left:right].min() < 100, (row.key, block["name"])
            covered[top : bottom + 1, left : right + 1] += 1
        assert covered.max() == 1, row.key
        assert page[covered == 0].min() == 255, f"{row.key} has ink outside of its blocks"


def test_the_layout_model_finds_most_blocks_and_says_nothing_else(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert sorted(layout_model.CLASSES) == sorted(name.replace(" ", "_") for name in CLASSES)
    material = Layout()
    engine = layout_model.engine_of()
    found = total = 0
    for row in material.rows()[:4]:
        rgb = np.asarray(Image.open(io.BytesIO(row.data or b"")).convert("RGB"))
        things = layout_model.things_of(engine, rgb)
        for block in material.truth(row):
            box = block["bbox"]
            total += 1
            found += any(
                thing.label.replace("_", " ") == block["name"]
                and abs(thing.left - box["left"]) < 40
                and abs(thing.top - box["top"]) < 20
                and abs(thing.bottom - box["top"] - box["height"]) < 20
                for thing in things
            )
    assert found / total >= 0.75
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    assert logging.root.manager.disable == logging.NOTSET
