"""The operator's pages in a real browser: signing in, runs, the gallery, its slider and keyboard, a row, buttons."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from bench.gallery import RUN, write_run

from vertex_model_inference.pages.access import Access
from vertex_model_inference.pages.wiring import pages_of
from vertex_model_inference.sandbox.child import run_in_thread
from vertex_model_inference.settings import load

playwright = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")
expect = playwright.expect
_CHROMIUM = os.environ.get("VMI_TEST_CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
pytestmark = [
    pytest.mark.xdist_group("browser"),
    # Where a browser is required (CI), its absence is a failure, not a skip.
    pytest.mark.skipif(
        not Path(_CHROMIUM).exists() and not os.environ.get("VMI_TEST_REQUIRE_BROWSER"),
        reason=f"no browser at {_CHROMIUM}; set VMI_TEST_CHROMIUM",
    ),
]
_TOKEN = "0123456789abcdef"
_ROWS = f"/runs/{RUN}/rows"


class _Actions:
    def __init__(self) -> None:
        self.done: list[str] = []

    def cancel(self, run: str, *, by: str) -> str:
        self.done.append(f"cancel {run} by {by}")
        return f"Run {run} is being cancelled."

    def retry(self, run: str, *, only: str = "failed", names: Sequence[str] | None = None) -> str:
        self.done.append(f"retry {run} {only} {len(names or ())}")
        return run


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("files")
    write_run(made, 130, shard_rows=60, pictures=4)
    return made


@pytest.fixture(scope="module")
def actions() -> _Actions:
    return _Actions()


@pytest.fixture(scope="module")
def address(root: Path, actions: _Actions, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    data = tmp_path_factory.mktemp("data")
    app: Any = pages_of(load({"VMI_DATA_DIR": str(data)}, data), Access(_TOKEN), root, actions=actions)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        with run_in_thread(app, sock):
            yield f"http://127.0.0.1:{sock.getsockname()[1]}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as runner:
        made = runner.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield made
        made.close()


def _context(browser: Any, address: str, **more: Any) -> Any:
    context = browser.new_context(base_url=address, **more)
    context.set_default_timeout(40_000)
    page = context.new_page()
    page.goto(f"/login#{_TOKEN}")
    page.get_by_role("heading", name="Runs").wait_for()
    return context, page


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """Signed in; whatever asks another host, breaks a script or offends the policy fails the test."""
    context, made = _context(browser, address)
    outside: list[str] = []
    broken: list[str] = []
    made.on("request", lambda request: outside.append(request.url) if not request.url.startswith(address) else None)
    made.on("pageerror", lambda error: broken.append(str(error)))
    made.on("console", lambda message: broken.append(message.text) if message.type == "error" else None)
    yield made
    context.close()
    assert broken == []
    assert [url for url in outside if not url.startswith("data:")] == []


def _figures(page: Any) -> dict[str, float]:
    words = page.locator(".figures > span").all_inner_texts()
    return {text.split()[1]: float(text.split()[0]) for text in words[:3]}


def _slide(page: Any, hundredth: int) -> None:
    page.locator("#t").fill(str(hundredth))


def test_the_printed_address_signs_in_and_leaves_no_token_behind(browser: Any, address: str) -> None:
    context = browser.new_context(base_url=address)
    made = context.new_page()
    asked: list[str] = []
    made.on("request", lambda request: asked.append(request.url))
    made.goto(f"/login?to=/runs/{RUN}#{_TOKEN}")
    made.get_by_role("heading", name="animals").wait_for()
    assert all(_TOKEN not in url for url in (*asked, made.url))
    made.go_back()
    assert _TOKEN not in made.url
    made.goto("/")
    made.get_by_role("button", name="Sign out").click()
    made.get_by_label("Token").fill("not-the-token-at-all")
    made.get_by_role("button", name="Sign in").click()
    expect(made.get_by_role("alert")).to_have_text("This is not the token.")
    made.get_by_label("Token").fill(_TOKEN)
    made.keyboard.press("Enter")
    made.get_by_role("heading", name="Runs").wait_for()
    context.close()


def test_from_the_list_to_the_rows_that_failed(page: Any) -> None:
    page.goto("/")
    page.get_by_role("searchbox", name="Search runs").fill("anim")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="animals").click()
    page.get_by_role("heading", name="What went wrong").wait_for()
    line = page.locator("tr", has_text="asset_not_found")
    number = int(line.get_by_role("link").inner_text())
    line.get_by_role("link").click()
    expect(page.locator(".row")).to_have_count(number)
    expect(page.locator(".row .badge.bad")).to_have_count(number)
    page.get_by_role("link", name="because of asset_not_found").click()
    expect(page.get_by_role("link", name="because of asset_not_found")).to_have_count(0)


def test_the_slider_redraws_and_recounts_like_the_files(page: Any, root: Path) -> None:
    lines = [line for path in (root / "runs" / RUN / "agreement").iterdir() for line in path.read_text().splitlines()]
    rows = [json.loads(line) for line in lines]
    said = [one for row in rows for one in row["predictions"]]
    labels = sum(len(row["labels"]) for row in rows)
    page.goto(_ROWS)
    expect(page.locator(".figures b")).to_have_count(3)
    whole = page.locator(".shape.prediction").count()
    for hundredth in (0, 55, 90):
        _slide(page, hundredth)
        kept = [one for one in said if one["confidence"] >= hundredth / 100]
        right = sum(one["verdict"] == "right" for one in kept)
        figures = _figures(page)
        assert figures["precision"] == pytest.approx(right / len(kept), abs=6e-4)
        assert figures["recall"] == pytest.approx(right / labels, abs=6e-4)
        hidden = page.locator(".shape.prediction.off").count()
        certain = [float(text) for text in page.locator(".shape.prediction").evaluate_all(
            "shapes => shapes.map((shape) => shape.dataset.confidence)"
        )]  # fmt: skip
        assert hidden == sum(one < hundredth / 100 for one in certain)
        assert len(certain) == whole
    page.wait_for_url("**t=90**")
    page.reload()
    expect(page.locator("#t-said")).to_have_text("0.90")
    assert _figures(page)["recall"] == pytest.approx(right / labels, abs=6e-4)
    page.locator(".row").first.click()
    expect(page.locator("#t-said")).to_have_text("0.90")


def test_filters_have_links_and_the_class_its_own_figures(page: Any) -> None:
    page.goto(_ROWS)
    whole = page.locator(".figures .soft").inner_text()
    page.locator("select[name=class]").select_option("cat")
    page.wait_for_url("**class=cat**")
    assert page.locator(".figures .soft").inner_text() != whole
    assert "cat" in page.locator(".figures .soft").inner_text()
    page.locator("select[name=agreement]").select_option("missed")
    page.wait_for_url("**agreement=missed**")
    address, shown = page.url, page.locator(".row").count()
    assert 0 < shown < 48
    assert page.locator(".shape.label[data-verdict=missed][data-name=cat]").count() >= shown
    with page.expect_download() as download:
        page.get_by_role("link", name="JSON").click()
    assert len(json.loads(Path(download.value.path()).read_text())) == shown
    page.goto(address)
    expect(page.locator(".row")).to_have_count(shown)
    page.get_by_role("link", name="Clear").click()
    expect(page.locator(".row")).to_have_count(48)


def test_a_picture_lies_under_its_shapes(page: Any) -> None:
    page.goto(f"{_ROWS}?outcome=predicted&order=wrong")
    page.locator(".row").first.click()
    image = page.locator(".stage img")
    expect(image).to_have_js_property("naturalWidth", 320)
    shape = page.locator(".stage .shape.prediction path").first
    frame = page.locator(".stage svg.over").bounding_box()
    left, top, width, height = (float(number) for number in shape.evaluate(
        "path => { const box = path.getBBox(); return [box.x, box.y, box.width, box.height]; }"
    ))  # fmt: skip
    scale = min(frame["width"] / 320, frame["height"] / 240)
    across, down = (frame["width"] - 320 * scale) / 2, (frame["height"] - 240 * scale) / 2
    drawn = shape.bounding_box()
    assert drawn["x"] - frame["x"] == pytest.approx(across + left * scale, abs=4)
    assert drawn["y"] - frame["y"] == pytest.approx(down + top * scale, abs=4)
    assert drawn["width"] == pytest.approx(width * scale, abs=8)
    assert drawn["height"] == pytest.approx(height * scale, abs=8)
    page.get_by_label("predictions").uncheck()
    expect(shape).to_be_hidden()


def test_rows_and_pages_by_keyboard(page: Any) -> None:
    page.goto(f"{_ROWS}?order=wrong")
    ids = page.locator(".row").evaluate_all("rows => rows.map((row) => row.dataset.row)")
    page.keyboard.press("ArrowRight")
    expect(page.locator(f"[data-row={ids[0]}]")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.locator(f"[data-row={ids[1]}]")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    expect(page.locator(f"[data-row={ids[1]}]")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/rows/{ids[1]}?**")
    page.keyboard.press("ArrowRight")
    page.wait_for_url(f"**/rows/{ids[2]}?**")
    page.keyboard.press("ArrowLeft")
    page.wait_for_url(f"**/rows/{ids[1]}?**")
    page.keyboard.press("Escape")
    page.wait_for_url("**/rows?**")
    page.keyboard.press("n")
    page.wait_for_url("**after=**")
    assert not set(ids) & set(page.locator(".row").evaluate_all("rows => rows.map((row) => row.dataset.row)"))
    page.keyboard.press("p")
    expect(page.locator(f"[data-row={ids[0]}]")).to_be_visible()


def test_buttons_ask_before_they_act(page: Any, actions: _Actions, root: Path) -> None:
    actions.done.clear()
    page.goto(f"/runs/{RUN}")
    page.get_by_role("button", name="failed row").click()
    page.locator(".told").wait_for()
    assert actions.done == [f"retry {RUN} failed 0"]
    path = root / "runs" / RUN / "status.json"
    ended = path.read_bytes()
    status = json.loads(ended) | {"state": "TRAINING_MODEL", "ended_at": None, "message": None}
    try:
        path.write_text(json.dumps(status))
        page.goto(f"{_ROWS}?outcome=failed")
        expect(page.get_by_role("button", name="again")).to_have_count(0)  # not before its end
        page.goto(f"/runs/{RUN}")
        page.once("dialog", lambda dialog: dialog.dismiss())
        page.get_by_role("button", name="Cancel the run").click()
        assert len(actions.done) == 1
        page.once("dialog", lambda dialog: dialog.accept())
        page.get_by_role("button", name="Cancel the run").click()
        expect(page.locator(".told")).to_contain_text("is being cancelled")
        assert actions.done[1:] == [f"cancel {RUN} by operator"]
    finally:
        path.write_bytes(ended)
    # The page follows what becomes of it.
    expect(page.get_by_text("Complete", exact=True)).to_be_visible(timeout=45_000)


_ADDRESSES = ("/", f"/runs/{RUN}", f"/runs/{RUN}/files", f"{_ROWS}?q=none", "/nothing")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: Any, address: str, scheme: str) -> None:
    context, page = _context(browser, address, color_scheme=scheme, bypass_csp=True)  # axe is a script of its own
    page.goto(f"{_ROWS}?order=wrong")
    first = page.locator(".row").first.get_attribute("href")
    for path in (*(_ADDRESSES if scheme == "light" else _ADDRESSES[1:2]), f"{_ROWS}?order=wrong", first):
        page.goto(path)
        found = axe.Axe().run(page).response["violations"]
        serious = [
            (path, one["id"], [node["html"][:120] for node in one["nodes"][:3]])
            for one in found
            if one["impact"] in ("serious", "critical")
        ]
        assert serious == []
    context.clear_cookies()
    page.goto("/login")
    assert [one["id"] for one in axe.Axe().run(page).response["violations"]] == []
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_a_phone(browser: Any, address: str, scheme: str) -> None:
    context, page = _context(browser, address, viewport={"width": 360, "height": 740}, color_scheme=scheme)
    page.goto(_ROWS)
    first = page.locator(".row").first.get_attribute("href")
    for path in (*_ADDRESSES, first):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
    context.close()


def test_without_scripts_everything_is_there_but_the_slider(browser: Any, address: str) -> None:
    context = browser.new_context(base_url=address, java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{_ROWS}?agreement=missed")
    page.get_by_label("Token").fill(_TOKEN)
    page.get_by_role("button", name="Sign in").click()
    assert page.url.endswith("agreement=missed")
    assert page.locator(".row").count() > 0
    page.locator("select[name=split]").select_option("test")
    page.get_by_role("button", name="Show").click()
    assert "split=test" in page.url
    page.locator(".row").first.click()
    page.get_by_role("link", name="Next").click()
    assert page.locator(".stage img").count() == 1
    context.close()
