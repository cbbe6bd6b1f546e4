"""docs/gemini.md: its section is one that is taken, its snippet runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vertex_model_inference.settings import load
from vertex_model_inference.vertex.options import build_options

PAGE = Path(__file__).parents[3] / "docs" / "gemini.md"


def _code(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def test_the_section_makes_an_option(tmp_path: Path) -> None:
    (tmp_path / "vmi.toml").write_text(
        _code("toml").replace("# temp", "temp").replace("# max", "max").replace("# thi", "thi")
    )
    settings = load({"GOOGLE_CLOUD_PROJECT": "sandbox", "VMI_BUCKET": "vmi-sandbox"}, tmp_path)
    (option,) = build_options(None, settings.models).available
    assert (option.name, option.predictor, option.rules.unmapped) == ("Gemini", "batch", "report")
    assert option.gemini is not None
    assert (option.gemini.model, option.gemini.max_output_tokens) == ("gemini-2.5-flash", 8192)


def test_the_snippet_shows_what_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(_code("python"), str(PAGE), "exec"), {})
    said = capsys.readouterr().out
    assert "- `truck`: every 'truck'." in said
    assert "'enum': ['red']" in said
