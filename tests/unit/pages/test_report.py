"""The report of runs that are made by hand: which rows it tells of, what it draws, and what must never be in it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests.run_folders import store_of, write_run
from typer.testing import CliRunner

from vertex_model_inference.cli import app
from vertex_model_inference.errors import NotFoundError, RequestError
from vertex_model_inference.models import ModelOption, Predictor
from vertex_model_inference.pages.report import make_report
from vertex_model_inference.pages.telling import causes_of, telling_rows
from vertex_model_inference.settings import Settings
from vertex_model_inference.spec import Files

BOX = (10.0, 10.0, 40.0, 40.0)
OTHER = (90.0, 60.0, 30.0, 30.0)
PICTURES = [
    ([("square", BOX, 0.95)], [("square", BOX, None)]),
    ([("square", BOX, 0.9)], [("circle", BOX, None)]),  # the wrong class
    ([("square", BOX, 0.97), ("circle", OTHER, 0.8)], [("square", BOX, None)]),  # a false alarm
    ([], [("square", BOX, None), ("circle", OTHER, None)]),  # both missed
    ([("circle", OTHER, 0.35)], [("circle", OTHER, None)]),  # unsure
    ([("circle", OTHER, 0.6)], None),
]
FAILED = [("assets", "asset_not_found", "<i>The file</i> does not exist.")] * 2 + [("predict", "quota", "Later.")]


class _Outside(HTMLParser):
    """Every address that a browser would ask for by itself, and scripts that would run."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.scripts: list[str | None] = []
        self.pictures = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        for name in ("src", "href", "srcset", "data", "action", "poster", "background", "style", "ping", "formaction"):
            value = given.get(name)
            if value is not None and not (tag == "img" and value.startswith("data:image/")):
                self.asked.append(f"{tag} {name}={value[:60]}")
        self.asked += [f"{tag} {name}" for name in given if name.startswith("on")]
        self.pictures += tag == "img"
        if tag == "script":
            self.scripts.append(given.get("type"))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return write_run(tmp_path, pictures=PICTURES, failed=FAILED)


def test_each_kind_of_trouble_has_its_row_and_no_row_comes_twice(tmp_path: Path, files: Files) -> None:
    groups = {group.title: group.rows for group in telling_rows(store_of(tmp_path), files, most=2)}
    found = {title: [int(row.data_row_id[3:]) for row in rows] for title, rows in groups.items()}
    assert found == {
        "Most wrong": [3, 1],
        "Sure where there is nothing": [2],
        "Least sure": [4],
    }
    assert groups["Sure where there is nothing"][0].why == "“circle” 80 %, nothing labelled there"
    every = [row for rows in found.values() for row in rows]
    assert len(every) == len(set(every))


def test_rows_of_a_run_without_labels_are_the_least_sure(tmp_path: Path) -> None:
    files = write_run(tmp_path, pictures=[(said, None) for said, _ in PICTURES])
    (group,) = telling_rows(store_of(tmp_path), files)
    assert [int(row.data_row_id[3:]) for row in group.rows] == [4, 5]


def test_causes_are_counted_with_examples(tmp_path: Path, files: Files) -> None:
    causes, rare = causes_of(store_of(tmp_path), files)
    assert [(one.step, one.code, one.number, len(one.examples)) for one in causes] == [
        ("assets", "asset_not_found", 2, 2),
        ("predict", "quota", 1, 1),
    ]
    assert rare == 0


def test_the_file_holds_everything_and_asks_for_nothing(tmp_path: Path, files: Files) -> None:
    html = make_report(store_of(tmp_path), files, Settings(), split="all").html
    seen = _Outside()
    seen.feed(html)
    assert seen.asked == []
    assert seen.scripts.count(None) == 1
    assert set(seen.scripts) == {None, "application/json"}
    assert seen.pictures == 4
    for words in (
        "shapes &amp; colours",
        "&lt;i&gt;The file&lt;/i&gt; does not exist.",
        "picture &lt;1&gt;",
        "Most wrong",
        "“circle” taken for “square”",
        "circle 80 % ✗ nothing there",
        "Confusion",
        "asset_not_found",
        "default-src &#39;none&#39;",
    ):
        assert words in html, words
    assert "<i>The file" not in html
    assert 'data-side="label"' in html
    assert len(html) < 300_000


def test_pictures_over_the_budget_are_left_out_in_words(
    tmp_path: Path, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vertex_model_inference.pages.report._PICTURE_BYTES", 500)
    html = make_report(store_of(tmp_path), files, Settings(), split="all").html
    seen = _Outside()
    seen.feed(html)
    assert seen.pictures == 1
    assert html.count("left out, to keep this file small") == 3


def test_a_picture_that_is_gone_is_said(tmp_path: Path, files: Files) -> None:
    for path in (tmp_path / "assets").iterdir():
        path.unlink()
    html = make_report(store_of(tmp_path), files, Settings(), split="all").html
    assert "The asset is not in storage any more." in html
    assert "<img" not in html


def test_no_secret_gets_into_it(tmp_path: Path) -> None:
    option = ModelOption(
        name="o",
        predictor=Predictor.CONTAINER,
        container="https://user:hunter2hunter2@models.test/predict?key=abcdefgh",
        parameters={"api_key": "zyxwvuts", "top": 3},
    )
    write_run(tmp_path, texts=[("call me lb-key-0123456789", ("good", 0.4), None)], option=option)
    settings = Settings(labelbox_api_key="lb-key-0123456789", google_token="google-token-9876")  # type: ignore[arg-type]
    html = make_report(store_of(tmp_path), Files("run-1"), settings).html
    for secret in ("hunter2", "abcdefgh", "zyxwvuts", "lb-key-0123456789", "google-token-9876"):
        assert secret not in html, secret
    assert "models.test/predict" in html
    assert "parameters.top" in html


def test_texts_are_marked_and_answers_told(tmp_path: Path) -> None:
    texts = [(f"A <b>text</b> {n}", ("good" if n % 2 else "bad", 0.5 + n / 40), "good") for n in range(12)]
    write_run(tmp_path, texts=texts)
    html = make_report(store_of(tmp_path), Files("run-1"), Settings()).html
    assert "A &lt;b&gt;text&lt;/b&gt;" in html
    assert "<b>text</b>" not in html
    assert re.search(r'class="answer prediction wrong">.*?bad</span> 0\.\d\d ✗', html)


def test_figures_to_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path / "files", pictures=PICTURES)
    folder = str(tmp_path / "files" / "runs" / "run-1")
    monkeypatch.chdir(tmp_path)
    run = CliRunner()
    good = run.invoke(app, ["report", folder, "--fail-under", "recall=.1"])
    assert good.exit_code == 0, good.output
    assert "Figures to reach" in (tmp_path / "run-1.html").read_text()
    low = run.invoke(app, ["report", folder, "-o", "low.html", "--fail-under", "f1=.99,map=.99"])
    assert low.exit_code == 3
    assert "f1 of box is" in low.stderr
    assert "✗ f1 of box is" in (tmp_path / "low.html").read_text()
    assert not list(tmp_path.glob(".*.part"))
    shown = run.invoke(app, ["report", folder, "-o", "-"])
    assert shown.stdout.startswith("\n<!doctype html>") or shown.stdout.startswith("<!doctype html>")


def test_what_is_not_there_is_said(tmp_path: Path, files: Files) -> None:
    run = CliRunner()
    for arguments, kind, words in (
        (["report", str(tmp_path)], NotFoundError, "holds no run"),
        (["report", "nowhere"], NotFoundError, "There is no run"),
        (["report", str(tmp_path / files.folder), "--split", "training"], NotFoundError, "no rows of the split"),
        (["report", str(tmp_path / files.folder), "-o", str(tmp_path / "no" / "x.html")], RequestError, "cannot be"),
        (["report", str(tmp_path / files.folder), "--fail-under", "f9=1"], RequestError, "no figure"),
    ):
        result = run.invoke(app, arguments, env={"VMI_DATA_DIR": str(tmp_path / "data")})
        assert result.exit_code == 1
        assert isinstance(result.exception, kind)
        assert words in str(result.exception), result.exception
