"""What docs/media.md shows is so."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

from vertex_model_inference.decoders.registry import recognise
from vertex_model_inference.models import ModelOption, Predictor
from vertex_model_inference.rows import DataRow
from vertex_model_inference.settings_sections import ModelSection
from vertex_model_inference.steps.instances import Template

PAGE = (Path(__file__).parents[3] / "docs/media.md").read_text()


def _blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


def test_sections_are_sections() -> None:
    (text,) = _blocks("toml")
    sections = {name: ModelSection(**section) for name, section in tomllib.loads(text)["models"].items()}
    assert len(sections) == 2
    for section in sections.values():
        Template(section.instance)


def test_answers_are_read_by_the_decoder_that_is_named() -> None:
    row = DataRow(id="r", row_data="x", page_sizes=((612, 792),))
    option = ModelOption(name="m", predictor=Predictor.BATCH)
    names = []
    for block in _blocks("json"):
        said = json.dumps(json.loads(block)).encode()
        decoder = recognise([said], option)
        names.append(decoder.name)
        assert len(decoder.decode(said, row)) == 3
    assert names == ["document-pages", "conversation"]


def test_lengths_are_as_told() -> None:
    assert (len("👩\u200d👩\u200d👧"), len("Zu\u0308rich"), len("\r\n")) == (5, 7, 2)
    assert "is five" in PAGE
    assert "seven" in PAGE
