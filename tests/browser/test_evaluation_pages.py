"""The evaluation's page, two runs side by side and the report, in a browser: numbers that move, cells that open."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.run_folders import store_of, write_run

from vertex_model_inference.pages.access import COOKIE, Access
from vertex_model_inference.pages.report import make_report
from vertex_model_inference.pages.wiring import pages_of
from vertex_model_inference.settings import Settings

playwright = pytest.importorskip("playwright.sync_api")
_CHROMIUM = os.environ.get("VMI_TEST_CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
pytestmark = [
    pytest.mark.xdist_group("browser"),
    # Where a browser is required (CI), its absence is a failure, not a skip.
    pytest.mark.skipif(
        not Path(_CHROMIUM).exists() and not os.environ.get("VMI_TEST_REQUIRE_BROWSER"),
        reason=f"no browser at {_CHROMIUM}; set VMI_TEST_CHROMIUM",
    ),
]
_TOKEN = "a-token-of-this-test"
_BOX, _OTHER = (10.0, 10.0, 40.0, 40.0), (90.0, 60.0, 30.0, 30.0)


def _texts(shift: int) -> list[tuple[str, tuple[str, float], str | None]]:
    """Sixty texts; each third answer is wrong, and the less sure the later it comes."""
    moods = ("good", "bad", "so-so")
    return [
        (f"Text {n}", (moods[(n + (1 if n % 3 == shift else 0)) % 3], 0.99 - n / 100), moods[n % 3]) for n in range(60)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("runs")
    write_run(made, "texts-1", texts=_texts(0))
    write_run(made, "texts-2", texts=_texts(1)[:50])
    boxes = [
        ([("square", _BOX, 0.9), ("circle", _OTHER, 0.6)], [("square", _BOX, None)]),
        ([("square", _BOX, 0.8)], [("circle", _BOX, None)]),
        ([], [("circle", _OTHER, None)]),
    ] * 4  # fmt: skip
    write_run(
        made, "boxes", ids="box", pictures=boxes, failed=[("assets", "asset_not_found", "The file does not exist.")]
    )
    return made


@pytest.fixture(scope="module")
def served(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Access]]:
    import uvicorn

    access = Access(_TOKEN)
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"))
    app = pages_of(settings, access, folder)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, lifespan="off", log_level="warning", access_log=False)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[sock])), daemon=True)
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield f"http://127.0.0.1:{sock.getsockname()[1]}", access
        server.should_exit = True
        thread.join(20)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as runner:
        made = runner.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield made
        made.close()


def opened(browser: Any, served: tuple[str, Access] | None, **options: Any) -> tuple[Any, list[str]]:
    """A page, and what it did that it should not have: errors, broken policy, requests to elsewhere."""
    address, access = served if served is not None else ("about:blank", None)
    context = browser.new_context(**({"base_url": address} if access is not None else {}), **options)
    context.set_default_timeout(20_000)
    if access is not None:
        context.add_cookies([{"name": COOKIE, "value": access.session(), "url": address}])
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)

    def asked(request: Any) -> None:
        if not request.url.startswith((address, "data:", "file:")):
            wrong.append(request.url)

    page.on("request", asked)
    return page, wrong


def expect_accessible(page: Any) -> None:
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page)
    bad = [
        f"{one['id']}: {one['help']}: {one['nodes'][0]['html'][:200]}"
        for one in found.response["violations"]
        if one["impact"] in ("serious", "critical")
    ]
    assert bad == []


def test_the_slider_counts_again_and_the_best_is_one_press_away(browser: Any, served: tuple[str, Access]) -> None:
    page, wrong = opened(browser, served)
    page.goto("/runs/texts-1/evaluation?split=all")

    def out(name: str) -> str:
        return str(page.locator(f"[data-out={name}]").inner_text())

    assert (out("kept"), out("precision"), out("recall")) == ("60", "0.667", "0.667")
    page.locator("#panel-at").fill("0.9")  # 0.99 .. 0.90: ten predictions, four of them wrong
    assert (out("threshold"), out("kept"), out("precision"), out("recall")) == ("0.900", "10", "0.600", "0.100")
    assert out("words") == "of 60 predictions, 6 right, of 60 labels"
    page.locator("#panel-at").fill("1")
    assert (out("kept"), out("precision"), out("f1")) == ("0", "–", "0.000")
    page.get_by_role("button", name="Best F1").click()
    assert float(out("f1")) >= 0.667
    # One class: from the list, and its own counts.
    page.locator("#class").select_option("bad")
    page.wait_for_url("**class=bad**")
    assert (out("kept"), out("words")) == ("40", "of 40 predictions, 20 right, of 20 labels")
    page.locator("#class").select_option("good")
    playwright.expect(page.get_by_text("good is never predicted, and labelled 20 times.")).to_be_visible()
    assert wrong == []
    page.context.close()


def test_a_cell_of_the_confusion_opens_its_rows(browser: Any, served: tuple[str, Access]) -> None:
    page, wrong = opened(browser, served)
    page.goto("/runs/texts-1/evaluation?split=all")
    cell = page.get_by_role("link", name="20 × “good” taken for “bad”: their rows")
    cell.click()
    playwright.expect(page.locator("body")).to_contain_text("20 of 60")
    page.goto("/runs/boxes/evaluation?split=all")
    page.get_by_role("link", name="4 × “circle” missed: their rows").click()
    playwright.expect(page.locator("body")).to_contain_text("4 of 13")
    page.go_back()
    page.get_by_role("link", name="4 × “circle” predicted where there is none: their rows").click()
    playwright.expect(page.locator("body")).to_contain_text("4 of 13")
    assert wrong == []
    page.context.close()


def test_tables_can_be_sorted(browser: Any, served: tuple[str, Access]) -> None:
    page, wrong = opened(browser, served)
    page.goto("/runs/texts-1/evaluation?split=all")

    def names() -> list[str]:
        return list(page.locator("table.classes tbody th").all_inner_texts())

    page.get_by_role("button", name="class", exact=True).click()
    assert names() == ["bad", "good", "so-so"]
    page.get_by_role("button", name="class", exact=True).click()
    assert names() == ["so-so", "good", "bad"]
    page.get_by_role("button", name="precision", exact=True).click()
    rates = page.locator("table.classes tbody td:nth-child(5)").all_inner_texts()
    assert rates == ["1.000", "0.500", "–"]  # what has none is last, whichever way round
    page.get_by_role("button", name="precision", exact=True).click()
    assert page.locator("table.classes tbody td:nth-child(5)").all_inner_texts() == ["0.500", "1.000", "–"]
    page.get_by_role("button", name="precision", exact=True).click()
    assert page.locator("th[aria-sort=descending]").inner_text().strip() == "precision"
    assert wrong == []
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "address", ["/runs/texts-1/evaluation?split=all", "/runs/boxes/evaluation", "/compare?a=texts-1&b=texts-2"]
)
def test_everybody_can_use_them(browser: Any, served: tuple[str, Access], address: str, scheme: str) -> None:
    page, wrong = opened(browser, served, color_scheme=scheme)
    page.goto(address)
    for summary in page.locator("summary").all():
        summary.click()
    expect_accessible(page)
    page.set_viewport_size({"width": 375, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    assert wrong == []
    page.context.close()


def test_without_scripts_everything_is_there(browser: Any, served: tuple[str, Access]) -> None:
    page, wrong = opened(browser, served, java_script_enabled=False)
    page.goto("/runs/texts-1/evaluation?split=all")
    assert page.locator(".slide").is_hidden()
    page.locator("summary", has_text="As a table").first.click()
    playwright.expect(page.get_by_role("region", name="Precision, recall and F1 at thresholds")).to_be_visible()
    page.locator("#class").select_option("good")
    page.get_by_role("button", name="Show").click()
    assert "class=good" in page.url
    assert wrong == []
    page.context.close()


def test_two_runs_side_by_side(browser: Any, served: tuple[str, Access]) -> None:
    page, wrong = opened(browser, served)
    page.goto("/runs/texts-2/evaluation")
    page.locator("#other").select_option("texts-1")
    page.get_by_role("button", name="Compare").click()
    body = page.locator("main")
    playwright.expect(body).to_contain_text("rows judged in both")
    playwright.expect(body).to_contain_text("10 rows judged only in A")
    playwright.expect(body).to_contain_text("McNemar p =")
    page.get_by_role("link", name="Swap A and B").click()
    playwright.expect(page.locator("main")).to_contain_text("10 only in B")
    page.goto("/compare?a=texts-1&b=boxes")
    playwright.expect(page.locator("main")).to_contain_text("no judged data row in common")
    assert wrong == []
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_works_from_a_file(browser: Any, folder: Path, tmp_path: Path, scheme: str) -> None:
    store = store_of(folder)
    from vertex_model_inference.spec import Files

    path = tmp_path / "report.html"
    path.write_text(make_report(store, Files("boxes"), Settings(), split="all").html)
    page, wrong = opened(browser, None, color_scheme=scheme, offline=True)
    page.goto(path.as_uri())
    # Style and script are let in by the policy in its head, and pictures are there.
    playwright.expect(page.locator(".slide").first).to_be_visible()
    page.locator("#panel-1-at").fill("0.85")
    assert page.locator("[data-out=kept]").first.inner_text() == "4"
    assert page.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")
    drawn = page.locator(".exhibit .still").first
    picture, overlay = drawn.locator("img").bounding_box(), drawn.locator("svg").bounding_box()
    assert {side: round(value) for side, value in picture.items()} == {side: round(v) for side, v in overlay.items()}
    expect_accessible(page)
    page.set_viewport_size({"width": 375, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    assert wrong == []
    page.context.close()


def test_the_report_is_downloaded_from_its_page(browser: Any, served: tuple[str, Access]) -> None:
    page, wrong = opened(browser, served)
    page.goto("/runs/boxes/evaluation")
    with page.expect_download() as waited:
        page.get_by_role("link", name="Report as a file").click()
    assert waited.value.suggested_filename == "report-boxes.html"
    assert "Most wrong" in Path(waited.value.path()).read_text()
    assert wrong == []
    page.context.close()
