"""Each kind of fault, through uvicorn, as a real client sees it."""

from __future__ import annotations

import socket
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

import httpx2
import pytest

from vertex_model_inference.sandbox.child import run_in_thread
from vertex_model_inference.sandbox.faults import FaultMiddleware, FaultRule

_BODY = b"0123456789" * 1000
Scope = MutableMapping[str, Any]


class _App:
    """Answers ten thousand bytes with the length of what was posted in a header; counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    async def __call__(
        self,
        scope: Scope,
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        if scope["type"] == "lifespan":
            while True:
                kind = (await receive())["type"]
                await send({"type": f"{kind}.complete"})
                if kind == "lifespan.shutdown":
                    return
        self.calls += 1
        received = 0
        while True:
            message = await receive()
            received += len(message.get("body", b""))
            if not message.get("more_body"):
                break
        headers = [(b"content-length", b"%d" % len(_BODY)), (b"x-received", b"%d" % received)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": _BODY[:5000], "more_body": True})
        await send({"type": "http.response.body", "body": _BODY[5000:]})


def _operation(scope: Scope, body: bytes) -> str | None:
    return body.decode() if scope["method"] == "POST" and len(body) < 100 else None


@pytest.fixture(scope="module")
def app() -> _App:
    return _App()


@pytest.fixture(scope="module")
def server(app: _App) -> Iterator[httpx2.Client]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        with (
            run_in_thread(FaultMiddleware(app, _operation, {"/files/1": "run-1"}.get), sock),
            httpx2.Client(base_url=f"http://127.0.0.1:{sock.getsockname()[1]}") as client,
        ):
            yield client


@pytest.fixture
def http(server: httpx2.Client) -> Iterator[httpx2.Client]:
    yield server
    assert server.delete("/_sandbox/faults").json() == {"faults": []}
    assert server.get("/after").content == _BODY


def _break(http: httpx2.Client, **rule: Any) -> None:
    http.post("/_sandbox/faults", json=rule).raise_for_status()


def test_status_headers_and_json(http: httpx2.Client, app: _App) -> None:
    before = app.calls
    _break(http, match="/x", status=503, headers={"Retry-After": "1"}, json={"message": "busy"})
    answer = http.get("/x")
    assert (answer.status_code, answer.headers["retry-after"], answer.json()) == (503, "1", {"message": "busy"})
    assert app.calls == before
    assert http.get("/x").content == _BODY
    _break(http, match="/x", json={"errors": []})
    assert (http.get("/x").status_code, http.get("/x").status_code) == (200, 200)
    _break(http, match="/x", status=502, body="<html>", headers={"content-type": "text/html"})
    answer = http.get("/x")
    assert (answer.status_code, answer.text, answer.headers["content-type"]) == (502, "<html>", "text/html")
    _break(http, match="/x", status=418)
    assert http.get("/x").status_code == 418


def test_a_large_request_is_answered_early(http: httpx2.Client) -> None:
    _break(http, match="/x", status=500, json={})
    assert http.put("/x", content=bytes(5_000_000)).status_code == 500
    assert http.put("/x", content=bytes(5_000_000)).headers["x-received"] == "5000000"


def test_reset(http: httpx2.Client, app: _App) -> None:
    before = app.calls
    _break(http, match="/x", reset=True)
    with pytest.raises((httpx2.ReadError, httpx2.RemoteProtocolError)):
        http.get("/x")
    assert app.calls == before
    assert http.get("/x").content == _BODY
    _break(http, match="/x", reset=True)
    with pytest.raises((httpx2.ReadError, httpx2.WriteError, httpx2.RemoteProtocolError)):
        http.put("/x", content=bytes(1_000_000))


def test_delay_then_go_on(http: httpx2.Client) -> None:
    _break(http, match="/x", delay_s=0.2)
    start = time.monotonic()
    assert http.get("/x").content == _BODY
    assert time.monotonic() - start >= 0.2
    _break(http, match="/x", delay_s=30)
    with pytest.raises(httpx2.ReadTimeout):
        http.get("/x", timeout=0.2)


def test_delay_then_status(http: httpx2.Client) -> None:
    _break(http, match="/x", delay_s=0.1, status=504)
    start = time.monotonic()
    assert http.get("/x").status_code == 504
    assert time.monotonic() - start >= 0.1


@pytest.mark.parametrize("kept", [0, 1, 4_999, 5_000, 5_001, 9_999])
def test_truncate(http: httpx2.Client, app: _App, kept: int) -> None:
    before = app.calls
    _break(http, match="/x", truncate=kept)
    got: list[bytes] = []
    with http.stream("GET", "/x") as answer:
        assert answer.status_code == 200
        assert answer.headers["content-length"] == str(len(_BODY))
        with pytest.raises(httpx2.RemoteProtocolError):
            got.extend(answer.iter_raw())
    assert b"".join(got) == _BODY[:kept]
    assert app.calls == before + 1


def test_truncate_behind_the_end_changes_nothing(http: httpx2.Client) -> None:
    _break(http, match="/x", truncate=len(_BODY) + 5)
    assert http.get("/x").content == _BODY


def test_an_answer_held_back_has_happened(http: httpx2.Client, app: _App) -> None:
    before = app.calls
    _break(http, match="/x", answer_after_s=60)
    with pytest.raises(httpx2.ReadTimeout):
        http.get("/x", timeout=1)
    assert app.calls == before + 1
    _break(http, match="/y", answer_after_s=0.1)
    start = time.monotonic()
    assert http.get("/y").content == _BODY
    assert time.monotonic() - start >= 0.1


def test_only_bodies_that_contain(http: httpx2.Client) -> None:
    _break(http, match="*", contains="COMPLETE", status=500)
    assert http.post("/x", content=b"FAILED").status_code == 200
    assert http.post("/x", content=b"is COMPLETE now").status_code == 500
    assert http.post("/x", content=b"is COMPLETE now").status_code == 200


def test_times_and_after_and_method(http: httpx2.Client) -> None:
    _break(http, match="/x*", method="get", times=2, after=1, status=500)
    codes = [http.get(path).status_code for path in ("/x1", "/x2", "/x3", "/x4")]
    assert codes == [200, 500, 500, 200]
    assert http.put("/x", content=b"").status_code == 200
    [rule] = http.get("/_sandbox/faults").json()["faults"]
    assert (rule["seen"], rule["fired"]) == (4, 2)
    _break(http, match="/y", times=0, status=500)
    assert {http.get("/y").status_code for _ in range(5)} == {500}


def test_operation_names_and_the_body_still_arrives(http: httpx2.Client) -> None:
    _break(http, match="create*", status=500)
    answer = http.post("/graphql", content=b"readThings")
    assert (answer.status_code, answer.headers["x-received"]) == (200, "10")
    assert http.post("/graphql", content=b"createThing").status_code == 500
    assert http.post("/graphql", content=b"createThing").status_code == 200


def test_bad_rules_are_refused_and_several_are_taken(http: httpx2.Client) -> None:
    for bad in (b"nonsense", b'{"matches": "/x"}', b'{"match": 3}', b"{}"):
        answer = http.post("/_sandbox/faults", content=bad)
        assert answer.status_code == 400
        assert "not a fault rule" in answer.json()["error"]
    http.post("/_sandbox/faults", json=[{"match": "/a", "status": 500}, {"match": "/b", "status": 501}])
    assert (http.get("/a").status_code, http.get("/b").status_code) == (500, 501)
    assert http.put("/_sandbox/faults", content=b"").status_code == 405


def test_only_a_caller(http: httpx2.Client) -> None:
    _break(http, match="*", caller="key-1", times=0, status=500)
    for key, status in (("key-1", 500), ("key-10", 200), ("", 200)):
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        assert http.get("/x", headers=headers).status_code == status
    _break(http, match="/x", caller="key-2", times=0, status=501)
    assert len(http.delete("/_sandbox/faults", params={"caller": "key-1"}).json()["faults"]) == 1
    assert http.get("/x", headers={"Authorization": "Bearer key-1"}).status_code == 200
    assert http.get("/x", headers={"Authorization": "Bearer key-2"}).status_code == 501


def test_only_what_is_about_a_thing(http: httpx2.Client) -> None:
    _break(http, match="*", about="run-1", times=0, status=500)
    assert http.get("/runs/run-1/status").status_code == 500
    assert http.get("/x", params={"filter": 'name="run-1"'}).status_code == 500
    assert http.put("/x", content=b"... run-1 ...").status_code == 500
    assert http.get("/files/1").status_code == 500
    assert http.get("/files/2").status_code == 200
    assert http.delete("/_sandbox/faults", params={"about": "run-1"}).json() == {"faults": []}


def test_a_share_of_the_requests(http: httpx2.Client) -> None:
    def hits() -> list[bool]:
        _break(http, match="/x", times=0, chance=0.3, seed=7, status=500)
        found = [http.get("/x").status_code == 500 for _ in range(100)]
        http.delete("/_sandbox/faults")
        return found

    first = hits()
    assert 15 <= sum(first) <= 45
    assert hits() == first


@pytest.mark.parametrize("claim", [5, 1, -1, -5_000])
def test_a_false_length(http: httpx2.Client, app: _App, claim: int) -> None:
    before = app.calls
    _break(http, match="/x", claim=claim)
    with http.stream("GET", "/x") as answer:
        assert answer.headers["content-length"] == str(len(_BODY) + claim)
        got: list[bytes] = []
        if claim > 0:
            with pytest.raises(httpx2.RemoteProtocolError):
                got.extend(answer.iter_raw())
            assert b"".join(got) == _BODY
        else:
            assert b"".join(answer.iter_raw()) == _BODY[:claim]
    assert app.calls == before + 1


def test_a_trickle(http: httpx2.Client) -> None:
    _break(http, match="/x", trickle_s=0.4)
    start = time.monotonic()
    with http.stream("GET", "/x") as answer:
        pieces = list(answer.iter_raw())
    assert time.monotonic() - start >= 0.4
    assert len(pieces) > 5
    assert b"".join(pieces) == _BODY


def test_texts_of_the_answer_replaced(http: httpx2.Client) -> None:
    _break(http, match="/x", replace={"789": "seven", "absent": "x"})
    answer = http.get("/x")
    assert answer.content == _BODY.replace(b"789", b"seven")
    assert answer.headers["x-received"] == "0"


def test_rule_counts() -> None:
    rule = FaultRule(match="get*", times=1, after=1)
    assert [rule.take("GET", ("getA",)) for _ in range(3)] == [False, True, False]
    assert (rule.seen, rule.fired) == (3, 1)
