"""The pages as an app over a run's folder: who gets in, what is shown, which files and pictures come out."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from bench.gallery import RUN, write_run
from PIL import Image
from starlette.testclient import TestClient

from vertex_model_inference.errors import ConflictError
from vertex_model_inference.models import PriceRules
from vertex_model_inference.pages.access import COOKIE, Access
from vertex_model_inference.pages.wiring import pages_of
from vertex_model_inference.rows import DataRow, MediaType
from vertex_model_inference.runs.status import RunState, RunStatus
from vertex_model_inference.settings import Settings, load
from vertex_model_inference.spec import RunSpec, Staged

_TOKEN = "0123456789abcdef"
_HTML = {"accept": "text/html"}
_ROW = f"crow{3:021d}"
_FRESH = f"crow{7:021d}"


class _Actions:
    """Notes what is asked for."""

    def __init__(self) -> None:
        self.done: list[tuple[object, ...]] = []

    def cancel(self, run: str, *, by: str) -> str:
        self.done.append(("cancel", run, by))
        return f"Run {run} is being cancelled."

    def retry(self, run: str, *, only: str = "failed", names: Sequence[str] | None = None) -> str:
        self.done.append(("retry", run, only, names))
        if names == [_FRESH]:
            return "new-1-1"
        if only == "retryable":
            raise ConflictError("Another run has begun meanwhile.", hint="Wait for its end.")
        return run


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("written")
    write_run(root, 120, shard_rows=50, pictures=3)
    return root


@pytest.fixture
def root(written: Path, tmp_path: Path) -> Path:
    """A copy that a test may change; its assets are in it too."""
    place = tmp_path / "files"
    shutil.copytree(written, place)
    for path in (place / "runs" / RUN / "staged").iterdir():
        path.write_text(path.read_text().replace(str(written), str(place)))
    return place


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load({"VMI_DATA_DIR": str(tmp_path / "data")}, tmp_path)


@pytest.fixture
def actions() -> _Actions:
    return _Actions()


@pytest.fixture
def stranger(root: Path, settings: Settings, actions: _Actions) -> Iterator[TestClient]:
    app = pages_of(settings, Access(_TOKEN), root, actions=actions)
    with TestClient(app, base_url="http://127.0.0.1", follow_redirects=False) as client:
        yield client


@pytest.fixture
def client(stranger: TestClient) -> TestClient:
    assert stranger.post("/login", data={"token": _TOKEN}).status_code == 303
    return stranger


def _csrf(page: str) -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', page)
    assert found is not None
    return found[1]


def test_nothing_but_the_login_is_open(stranger: TestClient) -> None:
    paths = ("/", f"/runs/{RUN}", f"/runs/{RUN}/rows", f"/runs/{RUN}/rows/{_ROW}", f"/runs/{RUN}/rows.csv",
             f"/runs/{RUN}/pictures/{_ROW}", f"/runs/{RUN}/files", "/nothing", "/login/../")  # fmt: skip
    for path in paths:
        assert stranger.get(path).status_code == 401, path
        asked = stranger.get(path, headers=_HTML)
        assert asked.status_code == 303, path
        assert asked.headers["location"].startswith("/login")
        assert stranger.post(path, data={"csrf": "0" * 64}).status_code == 401, path
    assert stranger.get("/login", headers=_HTML).status_code == 200
    assert stranger.get("/static/style.css").status_code == 200
    assert stranger.get("/static/..%2fapp.py").status_code in (401, 404)


def test_a_wrong_token_stays_outside_and_is_not_repeated(stranger: TestClient) -> None:
    answer = stranger.post("/login", data={"token": "wrong-token-with-letters"})
    assert answer.status_code == 403
    assert "This is not the token." in answer.text
    assert "wrong-token-with-letters" not in answer.text
    assert COOKIE not in answer.headers.get("set-cookie", "")


def test_signing_in_leads_where_one_wanted_to_go_and_out_again(stranger: TestClient) -> None:
    asked = stranger.get(f"/runs/{RUN}/rows?class=cat", headers=_HTML)
    page = stranger.get(asked.headers["location"], headers=_HTML).text
    assert f'value="/runs/{RUN}/rows?class=cat"' in page
    entered = stranger.post("/login", data={"token": f" {_TOKEN} ", "to": f"/runs/{RUN}/rows?class=cat"})
    assert entered.headers["location"] == f"/runs/{RUN}/rows?class=cat"
    cookie = entered.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert _TOKEN not in cookie
    home = stranger.get("/", headers=_HTML)
    assert home.status_code == 200
    assert stranger.post("/logout", data={"csrf": _csrf(home.text)}).status_code == 303
    stranger.cookies.clear()
    assert stranger.get("/").status_code == 401


def test_a_link_from_elsewhere_finds_a_visitor_who_is_signed_in(stranger: TestClient) -> None:
    # A strict cookie does not come along from another site: the page asks for itself once more, from here.
    answer = stranger.get("/", headers={**_HTML, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"})
    assert answer.status_code == 200
    assert 'http-equiv="refresh"' in answer.text


def test_the_proxy_lets_in_whom_it_vouches_for(root: Path, settings: Settings) -> None:
    app = pages_of(settings, Access(None, lambda text: "ada@example.com" if text == "good" else None), root)
    with TestClient(app, base_url="http://127.0.0.1", follow_redirects=False) as client:
        page = client.get("/", headers={"x-goog-iap-jwt-assertion": "good"})
        assert page.status_code == 200
        assert "ada@example.com" in page.text
        assert client.get("/", headers={"x-goog-iap-jwt-assertion": "bad"}).status_code == 401
        assert client.post("/login", data={"token": ""}).status_code == 403
        assert "Identity-Aware Proxy" in client.get("/login", headers=_HTML).text


def test_every_page_keeps_to_itself(client: TestClient) -> None:
    for path in (
        "/",
        f"/runs/{RUN}",
        f"/runs/{RUN}/rows",
        f"/runs/{RUN}/rows/{_ROW}",
        f"/runs/{RUN}/files",
        "/nothing",
    ):
        answer = client.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy, path
        assert "unsafe" not in policy
        assert answer.headers["cache-control"] == "no-store"
        assert not re.search(r"<script(?![^>]*src=)[^>]*>|\son\w+=|\sstyle=", answer.text), path
        assert "https://" not in re.sub(r"<p class=\"(message|why)[^<]*|<td class=\"says\"[^<]*", "", answer.text), path


def test_the_list_is_searched(client: TestClient, root: Path) -> None:
    status = msgspec.json.decode((root / "runs" / RUN / "status.json").read_bytes(), type=RunStatus)
    other = msgspec.structs.replace(status, run_id="other-1-0", option="<b>Wolves</b>", state=RunState.FAILED)
    (root / "runs" / "other-1-0").mkdir()
    (root / "runs" / "other-1-0" / "status.json").write_bytes(msgspec.json.encode(other))
    whole = client.get("/").text
    assert RUN in whole
    assert "&lt;b&gt;Wolves&lt;/b&gt;" in whole
    assert "<b>Wolves" not in whole
    assert RUN not in client.get("/?q=wolves").text
    assert "other-1-0" not in client.get("/?q=animals").text
    assert RUN not in client.get("/?state=running").text
    assert "No run matches" in client.get("/?q=nothing+of+that+name").text


def test_a_run_tells_why_rows_failed_and_leads_to_them(client: TestClient) -> None:
    page = client.get(f"/runs/{RUN}").text
    assert "asset_not_found" in page
    link = re.search(r'href="(/runs/[^"]*code=asset_not_found[^"]*)"', page)
    assert link is not None
    rows = client.get(link[1].replace("&amp;", "&")).text
    assert rows.count('class="row"') == page.count("asset_not_found") or 'class="badge bad">failed' in rows
    assert "HTTP 404" in rows


def test_the_gallery_shows_and_exports_the_same_rows(client: TestClient) -> None:
    query = "agreement=any&split=training&order=wrong"
    page = client.get(f"/runs/{RUN}/rows?{query}").text
    shown = re.findall(r'data-row="(\w+)"', page)
    as_json = client.get(f"/runs/{RUN}/rows.json?{query}").json()
    as_csv = list(csv.DictReader(io.StringIO(client.get(f"/runs/{RUN}/rows.csv?{query}").text)))
    assert shown == [row["data_row_id"] for row in as_json][: len(shown)]
    assert [row["data_row_id"] for row in as_csv] == [row["data_row_id"] for row in as_json]
    assert len(shown) == min(48, len(as_json)) > 10
    assert {row["split"] for row in as_json} == {"training"}
    errors = [row["error"] for row in as_json]
    assert errors == sorted(errors, reverse=True)
    assert client.get(f"/runs/{RUN}/rows.json?q=nothing").json() == []


def test_a_row_is_drawn_with_its_predictions_labels_and_neighbours(client: TestClient) -> None:
    rows = client.get(f"/runs/{RUN}/rows.json?order=wrong&outcome=predicted").json()
    page = client.get(f"/runs/{RUN}/rows/{rows[1]['data_row_id']}?order=wrong&outcome=predicted&t=30").text
    assert 'data-side="prediction"' in page
    assert 'data-side="label"' in page
    assert f"/rows/{rows[0]['data_row_id']}?outcome=predicted&amp;order=wrong&amp;t=30" in page
    assert f"/rows/{rows[2]['data_row_id']}?outcome=predicted&amp;order=wrong&amp;t=30" in page
    assert 'value="30"' in page


@pytest.mark.parametrize("path", ["rows?outcome=strange", "rows?low=7", "rows?order=wrong&after=x~y"])
def test_an_address_that_means_nothing_is_told(client: TestClient, path: str) -> None:
    assert client.get(f"/runs/{RUN}/{path}").status_code == 400


@pytest.mark.parametrize(
    "path", ["/runs/none", "/runs/none/rows", f"/runs/{RUN}/rows/none", "/runs/..%2f..%2fetc", "/x"]
)
def test_what_is_not_there_is_told(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert "All runs" in answer.text


def _restage(root: Path, uri: str, media: MediaType = MediaType.IMAGE, address: str = "https://x.example/a") -> None:
    """The fourth row of the run has this asset."""
    for kind, made in (
        ("staged", Staged(data_row_id=_ROW, uri=uri)),
        ("rows", DataRow(id=_ROW, row_data=address, media_type=media)),
    ):
        path = root / "runs" / RUN / kind / "00000.jsonl"
        lines = [line for line in path.read_bytes().splitlines() if _ROW.encode() not in line]
        path.write_bytes(b"\n".join([*lines, msgspec.json.encode(made)]) + b"\n")


def _asset(root: Path, data: bytes, name: str = "a.jpg") -> str:
    path = root / "assets" / "zz" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return str(path)


def test_a_picture_comes_small_without_metadata_and_as_it_is_stored(client: TestClient, root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter; Labelbox does not
    exif[0x010E] = "taken at home"
    out = io.BytesIO()
    Image.effect_noise((3000, 1500), 60).convert("RGB").save(out, "JPEG", exif=exif)
    _restage(root, _asset(root, out.getvalue()))
    for size, longest in (("card", 400), ("page", 1600), ("enormous", 400)):
        answer = client.get(f"/runs/{RUN}/pictures/{_ROW}?size={size}")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "image/webp"
        assert "sandbox" in answer.headers["content-security-policy"]
        with Image.open(io.BytesIO(answer.content)) as shown:
            assert shown.size == (longest, longest // 2)
            assert not shown.getexif()
        assert b"taken at home" not in answer.content


@pytest.mark.parametrize(
    "data",
    [
        b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        b"<!doctype html><script>alert(1)</script>",
        b"\x89PNG\r\n\x1a\n" + b"\0" * 40,
        b"",
        b"\xff\xd8\xff\xe0<script>alert(1)</script>",
    ],
)
def test_what_is_no_picture_does_not_reach_the_browser(client: TestClient, root: Path, data: bytes) -> None:
    _restage(root, _asset(root, data))
    answer = client.get(f"/runs/{RUN}/pictures/{_ROW}")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/plain")
    assert b"script" not in answer.content


@pytest.mark.parametrize(
    "uri", ["/etc/passwd", "{root}/runs/{run}/spec.json", "{root}/assets/../runs/{run}/spec.json", "file:///etc/passwd"]
)
def test_a_run_that_others_wrote_opens_no_file_of_this_machine(
    client: TestClient, root: Path, tmp_path: Path, uri: str
) -> None:
    secret = tmp_path / "secret.png"
    Image.new("RGB", (9, 9)).save(secret)
    (root / "runs" / RUN / "spec.json").write_bytes(secret.read_bytes())  # it would be shown if it were read
    for given in (uri.format(root=root, run=RUN), str(secret)):
        _restage(root, given, address=f"file://{secret}")
        assert client.get(f"/runs/{RUN}/pictures/{_ROW}").status_code == 404


def test_an_address_on_this_machine_is_not_asked(client: TestClient, root: Path) -> None:
    _restage(root, "", address="http://127.0.0.1:9/metadata")
    answer = client.get(f"/runs/{RUN}/pictures/{_ROW}")
    assert answer.status_code == 404
    assert "private address" in answer.text
    _restage(root, "", address="https://bucket.example/a.jpg?sig=***")
    assert "signatures are not kept" in client.get(f"/runs/{RUN}/pictures/{_ROW}").text


def test_a_text_is_text_whatever_is_in_it(client: TestClient, root: Path) -> None:
    _restage(root, "", MediaType.TEXT, "<script>alert(1)</script> & <img src=x onerror=alert(2)>")
    for path in (f"/runs/{RUN}/rows/{_ROW}", f"/runs/{RUN}/rows?q={_ROW}"):
        page = client.get(path).text
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_actions_need_the_word_of_the_page_and_a_page_of_ours(client: TestClient, actions: _Actions) -> None:
    page = client.get(f"/runs/{RUN}").text
    csrf = _csrf(page)
    url = f"/runs/{RUN}/retry"
    assert client.post(url, data={"only": "failed"}).status_code == 400
    assert client.post(url, data={"only": "failed", "csrf": "0" * 64}).status_code == 400
    assert client.post(url, data={"csrf": csrf}, headers={"origin": "https://evil.example"}).status_code == 403
    assert client.post(url, data={"csrf": csrf}, headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert client.post(url, content=b"{}", headers={"content-type": "application/json"}).status_code == 400
    assert client.post(url, data={"csrf": csrf, "only": "everything"}).status_code == 400
    assert client.get(url).status_code == 405
    assert actions.done == []
    answer = client.post(url, data={"only": "failed", "csrf": csrf})
    assert answer.status_code == 303
    assert client.post(f"/runs/{RUN}/cancel", data={"csrf": csrf}).status_code == 303
    assert actions.done == [("retry", RUN, "failed", None), ("cancel", RUN, "operator")]
    assert "does rows of" in client.get(answer.headers["location"]).text
    refused = client.post(url, data={"only": "retryable", "csrf": csrf})
    assert refused.status_code == 409
    assert "Another run has begun meanwhile." in refused.text


def test_the_shown_rows_are_run_again(client: TestClient, actions: _Actions) -> None:
    query = "agreement=missed&split=test"
    csrf = _csrf(client.get(f"/runs/{RUN}/rows?{query}").text)
    fields = {"csrf": csrf, "only": "shown", "agreement": "missed", "split": "test"}
    assert client.post(f"/runs/{RUN}/retry", data=fields).status_code == 303
    ids = [row["data_row_id"] for row in client.get(f"/runs/{RUN}/rows.json?{query}").json()]
    assert actions.done == [("retry", RUN, "failed", ids)]


def test_a_run_that_was_just_begun_is_waited_for(client: TestClient) -> None:
    fields = {"csrf": _csrf(client.get(f"/runs/{RUN}").text), "only": "shown", "q": _FRESH}
    answer = client.post(f"/runs/{RUN}/retry", data=fields)
    assert answer.headers["location"].startswith("/runs/new-1-1?")
    page = client.get(answer.headers["location"])
    assert page.status_code == 200
    assert "waits for its turn" in page.text
    assert 'http-equiv="refresh"' in page.text
    assert client.get("/runs/new-1-1").status_code == 404


def test_pages_that_only_show_have_no_buttons_and_do_nothing(root: Path, settings: Settings) -> None:
    with TestClient(pages_of(settings, Access(_TOKEN), root), base_url="http://127.0.0.1") as client:
        client.post("/login", data={"token": _TOKEN})
        page = client.get(f"/runs/{RUN}").text
        assert "/retry" not in page
        assert client.post(f"/runs/{RUN}/cancel", data={"csrf": _csrf(page)}).status_code == 400


def test_a_run_is_followed_while_it_goes_on(client: TestClient, root: Path) -> None:
    path = root / "runs" / RUN / "status.json"
    status = json.loads(path.read_bytes())
    status |= {"state": "TRAINING_MODEL", "ended_at": None, "updated_at": "2026-01-01T00:00:00.000Z"}
    path.write_text(json.dumps(status))
    fragment = client.get(f"/runs/{RUN}?fragment=1")
    assert "<html" not in fragment.text
    assert "No process works on it" in fragment.text
    assert "Cancel the run" in fragment.text


def test_many_ask_at_once(client: TestClient) -> None:
    failures: list[object] = []

    def ask(path: str) -> None:
        try:
            answer = client.get(path)
            if answer.status_code != 200:
                failures.append((path, answer.status_code))
        except Exception as error:
            failures.append(error)

    row = client.get(f"/runs/{RUN}/rows.json?outcome=predicted").json()[0]["data_row_id"]
    paths = (f"/runs/{RUN}", f"/runs/{RUN}/rows?order=wrong", f"/runs/{RUN}/pictures/{row}", "/") * 4
    threads = [threading.Thread(target=ask, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_what_a_run_cost_is_told_where_it_is_known(client: TestClient, root: Path) -> None:
    assert "Cost: " not in client.get(f"/runs/{RUN}").text
    shutil.copytree(root / "runs" / RUN, root / "runs" / "paid-1-0")
    path = root / "runs" / "paid-1-0" / "spec.json"
    spec = msgspec.json.decode(path.read_bytes(), type=RunSpec)
    option = msgspec.structs.replace(spec.option, price=PriceRules(per_1000_rows=100))
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(spec, option=option)))
    page = client.get("/runs/paid-1-0").text
    assert "cost about $12.00" in page
    assert "Cost: 120 rows at $100 for 1,000. Price as in vmi.toml." in page
    listed = client.get("/").text
    assert listed.count("about $12.00") == 1
    assert 'title="120 rows at $100 for 1,000. Price as in vmi.toml."' in listed
