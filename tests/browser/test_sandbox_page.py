"""The sandbox's Labelbox in a real browser: list, run, row, settings, and the Train Model button."""

from __future__ import annotations

import hashlib
import hmac
import http.server
import io
import json
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from tests.videos import video

from vertex_model_inference.sandbox.child import run_in_thread
from vertex_model_inference.sandbox.config import SandboxConfig
from vertex_model_inference.sandbox.labelbox.app import Server, create_app

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
_SECRET = "s3cret"


class _Webhook(http.server.ThreadingHTTPServer):
    """A training service: two options; notes what it is asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.calls: list[tuple[str, str, str | None, bytes]] = []
        self.refuse = False
        self.on_run: Any = lambda: None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Webhook

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.calls.append((self.command, self.path, self.headers.get("X-Hub-Signature"), body))
        value: dict[str, Any] = {"digits v1": {}, "<i>other</i>": {}}
        if self.command == "POST":
            value = {"error": {"message": "The model is on holiday."}} if self.server.refuse else {"run": "1"}
            if not self.server.refuse:
                self.server.on_run()
        raw = json.dumps(value).encode()
        self.send_response(422 if self.command == "POST" and self.server.refuse else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    do_GET = _answer  # noqa: N815  # the names that http.server calls
    do_POST = _answer  # noqa: N815

    def log_message(self, *args: Any) -> None:
        """Keep quiet."""


@pytest.fixture
def webhook() -> Iterator[_Webhook]:
    with _Webhook() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def labelbox(tmp_path: Path) -> Iterator[Server]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        config = SandboxConfig(state=tmp_path, labelbox_port=sock.getsockname()[1], storage_port=1, vertex_port=1)
        app: Any = create_app(config)
        with run_in_thread(app, sock):
            yield app.app.state.server


@pytest.fixture
def run_id(labelbox: Server) -> str:
    """A run with three pictures; the first is labelled with a box and an answer."""
    store = labelbox.store
    model = store.runs.create_model("animals", "c" + "o" * 24)
    made: str = store.runs.create(model["id"], "run one", None)["id"]
    picture = io.BytesIO()
    Image.new("RGB", (200, 100), "navy").save(picture, "PNG")
    urls = [store.files.url(store.files.add("p.png", picture.getvalue())) for _ in range(3)]
    with store.database.write() as c:
        for i, url in enumerate(urls):
            facts = '{"width": 200, "height": 100, "mime_type": "image/png"}'
            c.execute(
                "INSERT INTO data_rows(id, dataset_id, global_key, row_data, media_type, media_attributes, processed,"
                " created_at, updated_at) VALUES(?,'d',?,?,'IMAGE',?,1,0,0)",
                (f"row{i}", f"picture-{i}", url, facts),
            )
    store.runs.add_rows(made, ["row0", "row1", "row2"])
    box = {"left": 20.0, "top": 10.0, "width": 100.0, "height": 50.0}
    item = {"name": "cat", "annotation_kind": "ImageBoundingBox", "bounding_box": box, "classifications": []}
    answer = {"name": "mood", "radio_answer": {"name": "calm", "classifications": []}}
    form = orjson.dumps({"objects": [item], "classifications": [answer], "relationships": []}).decode()
    with store.database.write() as c:
        c.execute(
            "INSERT INTO labels(id, project_id, data_row_id, import_id, annotations, created_at)"
            " VALUES('l0','p','row0','i',?,0)",
            (form,),
        )
        c.execute("INSERT INTO run_labels VALUES(?,'row0','l0')", (made,))
    return made


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as runner:
        made = runner.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield made
        made.close()


@pytest.fixture
def page(browser: Any, labelbox: Server) -> Iterator[Any]:
    context = browser.new_context(base_url=labelbox.config.labelbox_url)
    context.set_default_timeout(15_000)
    made = context.new_page()
    outside: list[str] = []
    broken: list[str] = []
    made.on("request", lambda request: outside.append(request.url) if "127.0.0.1" not in request.url else None)
    made.on("pageerror", lambda error: broken.append(str(error)))
    yield made
    context.close()
    assert broken == []
    assert [url for url in outside if not url.startswith("data:")] == []


@pytest.fixture
def film_row(labelbox: Server, run_id: str) -> str:
    """A video of ten frames in the run: one track through frames 3 to 7, and an answer in frames 4 to 5."""
    store = labelbox.store
    url = store.files.url(store.files.add("film.mp4", video(list(range(0, 400, 40)))))
    facts = '{"width": 64, "height": 48, "frame_rate": 25, "frame_count": 10}'
    keyframes = [{"frame": n, "bbox": {"left": left, "top": 8, "width": 16, "height": 16}} for n, left in FILM_KEYS]
    track = {"feature_id": "v", "name": "car", "confidence": 0.5, "segments": [{"keyframes": keyframes}]}
    answer = {"name": "fast", "classifications": [], "frames": [{"start": 4, "end": 5}]}
    asked = {"feature_id": "r", "name": "pace", "radio_answer": answer}
    with store.database.write() as c:
        c.execute(
            "INSERT INTO data_rows(id, dataset_id, global_key, row_data, media_type, media_attributes, processed,"
            " created_at, updated_at) VALUES('film','d','a film',?,'VIDEO',?,1,0,0)",
            (url, facts),
        )
        c.executemany(
            "INSERT INTO annotations(owner_id, data_row_id, uuid, import_id, place, feature_id, annotation)"
            " VALUES(?,'film',?,'i','video',?,?)",
            [(run_id, form["feature_id"], form["feature_id"], orjson.dumps(form).decode()) for form in (track, asked)],
        )
    store.runs.add_rows(run_id, ["film"])
    return "film"


FILM_KEYS = ((3, 0.0), (7, 48.0))


def _set_up(page: Any, webhook: _Webhook) -> None:
    page.get_by_role("button", name="Training service").click()
    page.get_by_label("URL").fill(webhook.url)
    page.get_by_label("Secret").fill(_SECRET)
    with page.expect_navigation():
        page.get_by_role("button", name="Save").click()


def test_train_model_from_list_to_signed_post(page: Any, labelbox: Server, webhook: _Webhook, run_id: str) -> None:
    page.goto("/")
    page.get_by_role("row", name="run one").click()
    page.get_by_role("heading", name="run one").wait_for()
    _set_up(page, webhook)
    page.get_by_role("button", name="Train Model").click()
    page.get_by_role("radio", name="<i>other</i>").wait_for()
    page.get_by_role("radio", name="digits v1").check()
    webhook.on_run = lambda: labelbox.store.runs.set_status(run_id, "EXPORTING_DATA", None, {"vmi_rows": 3})
    page.locator("#train-go").click()
    page.locator("#status").get_by_text("Exporting data").wait_for()
    assert [call[:2] for call in webhook.calls] == [("GET", "/models"), ("POST", "/model_run")]
    for _, _, signature, body in webhook.calls:
        assert signature == "sha1=" + hmac.new(_SECRET.encode(), body, hashlib.sha1).hexdigest()
    model_id = labelbox.store.runs.page(0, 1)[0]["model_id"]
    expected = {"modelId": model_id, "modelRunId": run_id, "modelType": "digits v1"}
    assert json.loads(webhook.calls[1][3]) == expected


def test_the_run_is_watched_live(page: Any, labelbox: Server, run_id: str) -> None:
    labelbox.store.runs.set_status(run_id, "TRAINING_MODEL", None, {})
    page.goto(f"/runs/{run_id}")
    page.locator("#status").get_by_text("Predicting").first.wait_for()
    assert page.locator("#rows .badge", has_text="no prediction").count() == 3
    # What stays is kept as it is: nothing is loaded again, nothing flickers.
    page.evaluate("document.body.dataset.seen = document.querySelector('[data-row=row0]').dataset.seen = 'yes'")
    page.evaluate("document.querySelector('[data-row=row1] img').dataset.seen = 'yes'")
    answer = {"name": "mood", "radio_answer": {"name": "calm", "confidence": 0.875, "classifications": []}}
    with labelbox.store.database.write() as c:
        c.execute(
            "INSERT INTO annotations(owner_id, data_row_id, uuid, import_id, place, feature_id, annotation)"
            " VALUES(?,'row1','u','i','classifications','f',?)",
            (run_id, orjson.dumps(answer).decode()),
        )
    page.locator("[data-row=row1] .chip.prediction", has_text="0.88").wait_for()
    for kept in ("body[data-seen]", "[data-row=row0][data-seen]", "[data-row=row1] img[data-seen]"):
        assert page.locator(kept).count() == 1, kept
    labelbox.store.runs.set_status(run_id, "FAILED", "The model went away.", {})
    page.locator("#status .message", has_text="The model went away.").wait_for()


def test_a_refusal_of_the_webhook_is_told(page: Any, webhook: _Webhook, run_id: str) -> None:
    webhook.refuse = True
    page.goto(f"/runs/{run_id}")
    _set_up(page, webhook)
    page.get_by_role("button", name="Train Model").click()
    page.get_by_role("radio", name="digits v1").check()
    page.locator("#train-go").click()
    alert = page.locator("#train .trouble")
    alert.wait_for()
    assert "422" in alert.inner_text()
    assert "The model is on holiday." in alert.inner_text()
    webhook.shutdown()
    webhook.server_close()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Train Model").click()
    page.locator("#train .trouble", has_text="does not answer").wait_for()


def test_without_a_training_service_the_page_leads_to_its_settings(page: Any, run_id: str) -> None:
    page.goto(f"/runs/{run_id}")
    page.get_by_role("button", name="Train Model").click()
    page.get_by_role("button", name="Set the training service").click()
    page.get_by_label("URL").fill("ftp://nowhere")
    page.get_by_role("button", name="Save").click()
    page.locator("#settings .trouble", has_text="http://").wait_for()


def test_rows_by_keyboard_with_their_shapes(page: Any, run_id: str) -> None:
    page.goto(f"/runs/{run_id}")
    rect = page.locator("[data-row=row0] svg rect.label")
    image = page.locator("[data-row=row0] img")
    # Not wait_for_function: it evaluates text in the page, which the page's own security policy forbids.
    playwright.expect(image).to_have_js_property("naturalWidth", 200)
    drawn, whole = rect.bounding_box(), image.bounding_box()
    scale = whole["width"] / 200  # the picture fills the width of its 4:3 frame
    assert drawn["x"] - whole["x"] == pytest.approx(20 * scale, abs=2)
    assert drawn["width"] == pytest.approx(100 * scale, abs=4)
    top = (whole["height"] - 100 * scale) / 2
    assert drawn["y"] - whole["y"] == pytest.approx(top + 10 * scale, abs=2)
    page.locator("[data-row=row0]").focus()
    page.keyboard.press("Enter")
    page.locator("#row h2", has_text="picture-0").wait_for()
    page.keyboard.press("ArrowRight")
    page.locator("#row h2", has_text="picture-1").wait_for()
    page.keyboard.press("Escape")
    playwright.expect(page.locator("[data-row=row1]:focus, [data-row=row1] :focus")).to_have_count(1)
    page.get_by_label("Labels").uncheck()
    assert not page.locator("[data-row=row0] svg rect.label").is_visible()


def test_a_video_is_scrubbed_frame_by_frame(page: Any, run_id: str, film_row: str) -> None:
    page.goto(f"/runs/{run_id}")
    page.locator(f"[data-row={film_row}]").click()
    film, rect = page.locator("#row .film"), page.locator("#row .film svg rect.prediction")
    playwright.expect(film).to_have_attribute("data-shown", "3")
    playwright.expect(rect).to_have_attribute("x", "0")
    frame = page.get_by_role("slider", name="Frame")
    frame.focus()
    page.keyboard.press("ArrowRight")
    playwright.expect(film).to_have_attribute("data-shown", "4")
    playwright.expect(rect).to_have_attribute("x", "12")
    playwright.expect(film.locator(".now .chip")).to_have_text("pacefast")
    assert film.locator("img").evaluate("image => image.naturalWidth") == 64
    for number, left in ((7, "48"), (6, "36")):
        frame.fill(str(number))
        playwright.expect(film).to_have_attribute("data-shown", str(number))
        playwright.expect(rect).to_have_attribute("x", left)
    playwright.expect(film.locator(".now .chip")).to_have_count(0)
    frame.fill("8")
    playwright.expect(film).to_have_attribute("data-shown", "8")
    playwright.expect(rect).to_have_count(0)
    page.get_by_role("button", name="Play").click()
    playwright.expect(film).to_have_attribute("data-shown", "10")
    playwright.expect(page.get_by_role("button", name="Play")).to_be_visible()
    page.locator("#row h2", has_text="a film").wait_for()  # arrows moved the frame, not the row


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessible_to_all(browser: Any, labelbox: Server, run_id: str, film_row: str, scheme: str) -> None:
    labelbox.store.runs.set_status(run_id, "FAILED", "The model went away.", {"vmi_rows": 4})
    made: Any = labelbox.store.projects.create("people", None, "IMAGE", {})
    context = browser.new_context(base_url=labelbox.config.labelbox_url, color_scheme=scheme)
    page = context.new_page()
    addresses = ["/", "/projects", f"/runs/{run_id}", f"/projects/{made['id']}", "/runs/none"]
    for address in [*addresses, *(f"/runs/{run_id}/rows/{row}" for row in ("row0", film_row))]:
        page.goto(address)
        found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
        serious = [
            (each["id"], each["help"], [node["html"] for node in each["nodes"][:3]])
            for each in found
            if each["impact"] in ("serious", "critical")
        ]
        assert serious == [], address
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_a_phone(browser: Any, labelbox: Server, run_id: str, scheme: str) -> None:
    context = browser.new_context(
        base_url=labelbox.config.labelbox_url, viewport={"width": 360, "height": 740}, color_scheme=scheme
    )
    page = context.new_page()
    for address in ("/", "/projects", f"/runs/{run_id}", f"/runs/{run_id}/rows/row0"):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
    context.close()
