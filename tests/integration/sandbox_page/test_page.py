"""The pages over HTTP: what they list, filter, page through and escape."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx2
import pytest

from vertex_model_inference.sandbox.labelbox.app import Server


@pytest.fixture
def http(labelbox: Server) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=labelbox.config.labelbox_url) as client:
        yield client


def _walk(http: httpx2.Client, run_id: str, query: str = "") -> list[int]:
    """Numbers of all rows on all pages."""
    found: list[int] = []
    address = f"/runs/{run_id}?{query}"
    for _ in range(100):
        answer = http.get(address)
        assert answer.status_code == 200
        cards = re.findall(r'class="name" title="\w+-(\d+)"', answer.text)
        assert len(cards) <= 60
        found += map(int, cards)
        following = re.search(r'rel="next" href="(.*?)"', answer.text)
        if following is None:
            return found
        address = f"/runs/{run_id}{following[1].replace('&amp;', '&')}"
    pytest.fail("the pages do not end")


def test_index_lists_models_and_runs(http: httpx2.Client, run_id: str) -> None:
    answer = http.get("/")
    assert answer.status_code == 200
    assert "reader &lt;b&gt;" in answer.text
    assert "first &amp; run" in answer.text
    assert f'href="/runs/{run_id}"' in answer.text
    assert "1,000" in answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy


def test_pages_show_every_row_once(http: httpx2.Client, run_id: str) -> None:
    assert _walk(http, run_id) == list(range(1_000))
    assert _walk(http, run_id, "split=TEST") == list(range(2, 1_000, 3))


def test_filters_by_verdict(http: httpx2.Client, run_id: str) -> None:
    assert _walk(http, run_id, "show=none") == list(range(0, 1_000, 10))
    wrong = [i for i in range(0, 1_000, 7) if i % 10]
    assert _walk(http, run_id, "show=wrong") == wrong
    assert _walk(http, run_id, "show=right") == [i for i in range(1_000) if i % 10 and i % 7]
    both = "show=wrong&split=TEST"
    assert _walk(http, run_id, both) == [i for i in wrong if i % 3 == 2]


def test_a_search_stops_early_and_can_be_continued(
    http: httpx2.Client, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vertex_model_inference.sandbox.labelbox.page.rows._MOST_LOOKED_AT", 50)
    monkeypatch.setattr("vertex_model_inference.sandbox.labelbox.page.rows._BATCH", 25)
    first = http.get(f"/runs/{run_id}?show=wrong").text
    assert "Looked at 50 rows for this page" in first
    assert "Look further" in first
    assert _walk(http, run_id, "show=wrong") == [i for i in range(0, 1_000, 7) if i % 10]


def test_nonsense_in_the_address_is_ignored(http: httpx2.Client, run_id: str) -> None:
    answer = http.get(f"/runs/{run_id}?split=<x>&show=\"'&after=-1&fragment")
    assert answer.status_code == 200
    assert "<x>" not in answer.text
    assert http.get(f"/runs/{run_id}?after=9999999999999999999999").status_code == 200
    assert http.get("/runs/none").status_code == 404
    assert http.get("/runs/none/status.json").status_code == 404
    assert http.get(f"/runs/{run_id}/rows/none").status_code == 404
    assert http.get("/page/../app.py").status_code == 404
    assert http.get("/page/app.py").status_code == 404


def test_a_row_escapes_its_text_and_shows_both_sides(http: httpx2.Client, labelbox: Server, run_id: str) -> None:
    row_id = labelbox.store.runs.rows(run_id, 0, 8)[7]["id"]
    for address in (f"/runs/{run_id}/rows/{row_id}", f"/runs/{run_id}/rows/{row_id}?fragment=1"):
        text = http.get(address).text
        assert "<script>alert" not in text
        assert "row 7 &lt;script&gt;" in text
        assert "0.75" in text
        assert re.findall(r'<span class="a">(\w)</span>', text) == ["a", "c"]


def test_status_changes_are_seen_and_nothing_is_sent_twice(http: httpx2.Client, labelbox: Server, run_id: str) -> None:
    before = http.get(f"/runs/{run_id}/status.json").json()
    assert (before["running"], before["status"]) == (False, "")
    same = http.get(f"/runs/{run_id}/status.json", params={"stamp": before["stamp"]}).json()
    assert "html" not in same
    metadata = {
        "vmi_rows": 1000,
        "vmi_progress": {"export": 1000, "upload": 500},
        "vmi_run_url": "javascript:alert(1)",
        "long": "x" * 10_000,
        **{f"k{i}": i for i in range(100)},
    }
    labelbox.store.runs.set_status(run_id, "TRAINING_MODEL", "it is <slow>", metadata)
    after = http.get(f"/runs/{run_id}/status.json", params={"stamp": before["stamp"]}).json()
    assert after["running"] is True
    assert 'value="0.75"' in after["html"]
    assert "it is &lt;slow&gt;" in after["html"]
    assert "javascript:" not in after["html"]
    assert len(after["html"]) < 20_000
    labelbox.store.runs.set_status(run_id, "COMPLETE", None, {})
    assert "Complete, with failures" in http.get(f"/runs/{run_id}").text


def test_the_secret_is_never_on_the_page(http: httpx2.Client, run_id: str) -> None:
    http.put("/_sandbox/webhook", json={"url": "http://127.0.0.1:1", "secret": "do-not-show"}).raise_for_status()
    try:
        for address in ("/", f"/runs/{run_id}"):
            text = http.get(address).text
            assert "do-not-show" not in text
            assert "http://127.0.0.1:1" in text
    finally:
        http.put("/_sandbox/webhook", json={"url": None, "secret": None})
