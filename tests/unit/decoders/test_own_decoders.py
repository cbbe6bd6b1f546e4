"""Users' own decoders: from a file, from the installed example package, and as the documentation has them."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from vertex_model_inference.decoders.registry import by_name, known_names
from vertex_model_inference.errors import DecodeError, UnknownOutputError
from vertex_model_inference.findings import FoundBox
from vertex_model_inference.rows import DataRow
from vertex_model_inference.settings_sections import ModelSection

ROOT = Path(__file__).parents[3]
ROW = DataRow(id="row-1", row_data="gs://b/o.jpg", width=200, height=100)
BERRIES = b'[{"kind":"ripe","centre":[50,40],"radius":10,"sure":0.5}]'


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)


def test_the_documented_decoder_runs_from_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = blocks("decoders.md", "python")
    (tmp_path / "berries.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    section = tomllib.loads(blocks("decoders.md", "toml")[0])["models"]["Berries"]
    decoder = by_name(ModelSection(**section).decoder or "")
    assert decoder.decode(BERRIES, ROW) == (FoundBox("ripe", 40, 30, 20, 20, 0.5),)
    with pytest.raises(DecodeError, match="row-1"):
        decoder.decode(b"{}", ROW)


def test_the_documented_mapping_reads_what_it_says() -> None:
    (text,) = (block for block in blocks("models.md", "toml") if "Berries" in block)
    section = ModelSection(**tomllib.loads(text)["models"]["Berries"])
    assert section.mapping is not None
    answer = re.search(r"^It reads `(.*)`\.$", (ROOT / "docs/models.md").read_text(), re.MULTILINE)
    assert answer is not None
    (found,) = by_name("mapping", (), section.mapping.rules()).decode(answer[1].encode(), ROW)
    assert isinstance(found, FoundBox)
    assert (found.label, found.confidence) == ("ripe", 0.9)
    assert (found.left, found.top, found.width, found.height) == pytest.approx((20, 20, 80, 40))


def test_every_decoder_is_in_the_table_of_models() -> None:
    text = (ROOT / "docs/models.md").read_text()
    assert [name for name in known_names() if f'"{name}' not in text] == []


@pytest.mark.parametrize("name", ["file:", "file:x.py", "file:./nowhere.py:Mine", "file:x.py:not a name"])
def test_a_file_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(UnknownOutputError):
        by_name(name)


def test_a_file_that_breaks_is_told(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("1 / 0\n")
    with pytest.raises(UnknownOutputError, match="ZeroDivisionError"):
        by_name(f"file:{path}:Mine")


def test_the_example_package_installs_and_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    subprocess.run(
        [*command, "--target", str(target), str(ROOT / "examples/decoder")],
        check=True,
        env=environment,
        stdin=subprocess.DEVNULL,
        timeout=120,
    )
    monkeypatch.syspath_prepend(str(target))
    importlib.invalidate_caches()
    assert "traffic-lights" in known_names()
    decoder = by_name("traffic-lights")
    answer = b'{"lights":{"red":[[0.25,0.5,0.125,0.25,90]],"green":[]}}'
    assert decoder.decode(answer, ROW) == (FoundBox("red", 50, 50, 25, 25, 0.9),)
