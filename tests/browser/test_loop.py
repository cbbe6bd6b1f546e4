"""The whole loop in a browser: Train Model in the sandbox's Labelbox, and the run on the pages of ``vmi serve``."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from axe_playwright_python.sync_playwright import Axe
from tests.integration.fates.serving import Server, serving

from vertex_model_inference.sandbox.config import SandboxConfig
from vertex_model_inference.sandbox.datasets.catalog import material
from vertex_model_inference.sandbox.datasets.seeding import Seeded, seed
from vertex_model_inference.sandbox.datasets.target import Target
from vertex_model_inference.sandbox.launcher import running

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
_ROWS = 150
_TOKEN = "a token of sixteen and more"  # of this test's own server
_SECRET = "a secret"


@pytest.fixture(scope="module")
def labelbox() -> Iterator[SandboxConfig]:
    with running() as config:
        yield config


@pytest.fixture(scope="module")
def serve(labelbox: SandboxConfig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    environment = {**labelbox.environment(), "VMI_PAGES_TOKEN": _TOKEN, "VMI_CANARY_ROWS": "0"}
    folder = tmp_path_factory.mktemp("loop")
    with serving(folder, environment, _SECRET) as server:
        yield server


@pytest.fixture
def seeded(labelbox: SandboxConfig) -> Seeded:
    """A fresh model run over the same digits."""
    # In a thread of its own: a browser that is open has an event loop in this one, and seeding needs its own.
    with ThreadPoolExecutor(1) as thread:
        target = Target.of(labelbox.environment())
        return thread.submit(lambda: seed(material("digits"), target, rows=_ROWS)).result()


@pytest.fixture
def page(labelbox: SandboxConfig) -> Iterator[Any]:
    with playwright.sync_playwright() as runner:
        browser = runner.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context(base_url=labelbox.labelbox_url)
        context.set_default_timeout(40_000)
        playwright.expect.set_options(timeout=40_000)
        made = context.new_page()
        broken: list[str] = []
        outside: list[str] = []
        made.on("pageerror", lambda error: broken.append(str(error)))
        made.on("request", lambda request: outside.append(request.url) if "127.0.0.1" not in request.url else None)
        yield made
        browser.close()
        assert broken == []
        assert [url for url in outside if not url.startswith("data:")] == []


def _url(serve: Server) -> str:
    return str(serve.http.base_url).rstrip("/")


def _press(page: Any, serve: Server, seeded: Seeded) -> str:
    """Enter the service where that is not done yet, open the menu, choose the model; gives vmi's run."""
    page.goto(f"/runs/{seeded.model_run_id}")
    page.get_by_role("button", name="Training service").click()
    page.get_by_label("URL", exact=True).fill(_url(serve))
    page.get_by_label("Secret", exact=True).fill(_SECRET)
    with page.expect_navigation():
        page.get_by_role("button", name="Save").click()
    page.get_by_role("button", name="Train Model").click()
    page.get_by_role("radio", name=seeded.display_name, exact=True).check()
    page.locator("#train-go").click()
    told = page.locator(".press", has_text="The training service answered 200")
    told.wait_for()
    found = re.search(rf"{seeded.model_run_id}-\S+?-\d+", told.inner_text())
    assert found is not None
    return found[0]


def _sign_in(page: Any, serve: Server, to: str) -> None:
    page.goto(f"{_url(serve)}{to}")
    if "/login" in page.url:
        page.get_by_label("Token").fill(_TOKEN)
        with page.expect_navigation():
            page.get_by_role("button", name="Sign in").click()
    assert page.url.endswith(to)


def _serious(page: Any) -> list[Any]:
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        (each["id"], [node["html"] for node in each["nodes"][:3]])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


def test_from_the_button_to_a_confusion_cell(page: Any, serve: Server, seeded: Seeded) -> None:
    run = _press(page, serve, seeded)
    # Nothing is loaded again: what comes is seen on the page that was open when the button was pressed.
    page.evaluate("document.body.dataset.opened = 'once'")
    page.locator("#status .pill", has_text=re.compile("Exporting|Preparing|Predicting")).wait_for()
    page.locator("#rows .chip.prediction").first.wait_for()
    page.locator("#status .pill", has_text=re.compile("^Complete$")).wait_for()
    playwright.expect(page.locator("#rows .card .chip.prediction")).to_have_count(60)
    assert page.locator("body[data-opened=once]").count() == 1
    page.locator("#rows .card").first.click()
    page.locator("#row .chip.prediction").first.wait_for()
    assert _serious(page) == []

    _sign_in(page, serve, f"/runs/{run}")
    playwright.expect(page.locator("#live .tiles a").first).to_contain_text(str(_ROWS))
    assert _serious(page) == []
    page.get_by_role("link", name="Rows", exact=True).click()
    slider = page.get_by_role("slider", name="Confidence from")
    means = page.locator("#t-means")
    playwright.expect(means).to_contain_text(f"{_ROWS} predictions")
    before = page.locator("#grid [data-confidence].off").count()
    slider.fill("99")
    playwright.expect(means).not_to_contain_text(f"{_ROWS} predictions")
    assert page.locator("#grid [data-confidence].off").count() > before == 0

    page.goto(f"{_url(serve)}/runs/{run}")
    page.get_by_role("link", name="Evaluation").click()
    panel = page.locator("[data-panel]").first
    kept = int(panel.locator("[data-out=kept]").inner_text())
    panel.get_by_role("slider").fill("0.99")
    assert int(panel.locator("[data-out=kept]").inner_text()) < kept
    assert _serious(page) == []
    cell = page.locator("table.matrix td a").first
    count = int(cell.inner_text())
    cell.click()
    assert "/rows?" in page.url
    playwright.expect(page.locator("#grid [data-row]")).to_have_count(min(count, 60))


def test_a_run_is_cancelled_from_its_page(page: Any, labelbox: SandboxConfig, serve: Server, seeded: Seeded) -> None:
    with httpx2.Client(base_url=labelbox.vertex_url, trust_env=False) as vertex:
        vertex.post("/_sandbox/mischief", json={"stuck": "RUNNING"}).raise_for_status()
    run = _press(page, serve, seeded)
    page.locator("#status .pill", has_text="Predicting").wait_for()
    _sign_in(page, serve, f"/runs/{run}")
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Cancel the run").click()
    playwright.expect(page.locator("#live .pill").first).to_contain_text(re.compile("cancel", re.IGNORECASE))
    playwright.expect(page.get_by_role("button", name="Cancel the run")).to_have_count(0)
    page.goto(f"{labelbox.labelbox_url}/runs/{seeded.model_run_id}")
    playwright.expect(page.locator("#status .pill")).to_have_text("Failed")
    playwright.expect(page.locator("#status .message")).to_contain_text(re.compile("cancel", re.IGNORECASE))


def test_failed_rows_are_tried_again_from_the_page(
    page: Any, labelbox: SandboxConfig, serve: Server, seeded: Seeded
) -> None:
    with httpx2.Client(base_url=labelbox.vertex_url, trust_env=False) as vertex:
        vertex.post("/_sandbox/mischief", json={"drop_lines": [3, 4, 5]}).raise_for_status()
    run = _press(page, serve, seeded)
    page.locator("#status .pill", has_text="Complete").wait_for()
    playwright.expect(page.locator("#status .tiles")).to_contain_text(f"{_ROWS - 3}rows predicted")
    _sign_in(page, serve, f"/runs/{run}")
    with page.expect_navigation():
        page.get_by_role("button", name="Try the 3 failed rows again").click()
    assert "/runs/" in page.url
    page.goto(f"{labelbox.labelbox_url}/runs/{seeded.model_run_id}")
    playwright.expect(page.locator("#status .tiles")).to_contain_text(f"{_ROWS}rows predicted")
