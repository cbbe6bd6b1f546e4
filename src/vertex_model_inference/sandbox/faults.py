"""Faults on demand: ``POST /_sandbox/faults`` tells a server what to break, where and how often.

The same middleware wraps all three servers. A rule is JSON::

    {"match": "setPipelineStatus*",      # operation name or URL path, shell-style pattern
     "method": "POST",                   # optional
     "contains": "COMPLETE",             # optional: only requests whose body has this text
     "caller": "key-7",                  # optional: only who sends this API key or token
     "about": "cm0x...",                 # optional: only requests with this in URL or body, or for a file of that thing
     "times": 3,                         # how often (default 1; 0 means always)
     "after": 0,                         # let this many matching requests through first
     "chance": 0.1, "seed": 1,           # optional: of those, hit this share, drawn anew for each but alike each time
     "status": 503,                      # answer this status ...
     "headers": {"Retry-After": "1"},    # ... with these headers
     "json": {"message": "busy"},        # ... and this JSON body (or "body": "text")
     "reset": true,                      # or: close the connection without an answer
     "delay_s": 2.5,                     # or/and: wait first, then go on
     "answer_after_s": 2.5,              # or/and: let the request happen at once, hold its answer back
     "truncate": 100}                    # or: let the request happen, cut the answer's body after n bytes

``GET /_sandbox/faults`` lists the rules with how often each has fired, ``DELETE`` removes them all, or with
``?caller=`` or ``?about=`` those that are for these alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import fnmatch
import json
import random
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl, unquote

import msgspec

__all__ = ["FaultMiddleware", "FaultRule"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_FRAMING = (b"content-length", b"transfer-encoding", b"connection")
_PIECES = 20
"""A body that trickles comes in so many pieces."""


class FaultRule(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One rule; see the module's docstring. ``seen`` and ``fired`` are kept by the server."""

    match: str
    method: str | None = None
    contains: str | None = None
    caller: str | None = None
    about: str | None = None
    times: int = 1
    after: int = 0
    chance: float = 1.0
    seed: int = 0
    status: int | None = None
    headers: dict[str, str] = {}
    json: Any = None
    body: str | None = None
    reset: bool = False
    delay_s: float = 0.0
    answer_after_s: float = 0.0
    truncate: int | None = None
    claim: int = 0
    trickle_s: float = 0.0
    replace: dict[str, str] = {}
    seen: int = 0
    fired: int = 0

    def take(
        self, method: str, names: tuple[str, ...], body: bytes = b"", caller: str = "", about: tuple[str, ...] = ()
    ) -> bool:
        """Whether the rule fires for this request; counts it.

        Args:
            method: HTTP method.
            names: The operation's name, if it has one, and the URL path.
            body: Of the request.
            caller: Its ``Authorization``.
            about: The texts beside the body that ``about`` may be in.
        """
        if self.method is not None and self.method.upper() != method:
            return False
        if not any(fnmatch.fnmatchcase(name, self.match) for name in names):
            return False
        if self.contains is not None and self.contains.encode() not in body:
            return False
        if self.caller is not None and caller.rpartition(" ")[2] != self.caller:
            return False
        if self.about is not None and self.about.encode() not in body and not any(self.about in it for it in about):
            return False
        self.seen += 1
        if self.seen <= self.after or (self.times and self.fired >= self.times):
            return False
        if self.chance < 1 and random.Random(f"{self.seed}/{self.seen}").random() >= self.chance:  # noqa: S311
            return False
        self.fired += 1
        return True


class FaultMiddleware:
    """Wraps an ASGI app; costs one list check per request while there are no rules.

    Args:
        app: The server.
        operation: Gives the operation's name for a request (e.g. the GraphQL operation), or None. It is only asked
            while there are rules, with the whole body; the URL path always matches too.
        subject: Gives what a URL path stands for, for ``about``, where the path itself does not say (a file's task).
    """

    def __init__(
        self,
        app: App,
        operation: Callable[[Scope, bytes], str | None] | None = None,
        subject: Callable[[str], str | None] | None = None,
    ) -> None:
        self.app = app
        self.operation = operation
        self.subject = subject
        self.rules: list[FaultRule] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, broken if a rule says so."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["path"] == "/_sandbox/faults":
            await self._manage(scope, receive, send)
            return
        if not self.rules:
            await self.app(scope, receive, send)
            return
        names: tuple[str, ...] = (scope["path"],)
        body = b""
        if self.operation is not None or any(rule.contains or rule.about for rule in self.rules):
            body = await _read(receive)
            receive = _replay(body, receive)
            name = self.operation(scope, body) if self.operation is not None else None
            if name:
                names = (name, scope["path"])
        caller = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"), "")
        about = self._about(scope)
        for rule in self.rules:
            if rule.take(scope["method"], names, body, caller, about):
                await self._fire(rule, scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _about(self, scope: Scope) -> tuple[str, ...]:
        if not any(rule.about for rule in self.rules):
            return ()
        path = scope["path"]
        subject = self.subject(path) if self.subject is not None else None
        return (path, unquote(scope.get("query_string", b"").decode("latin-1")), subject or "")

    async def _fire(self, rule: FaultRule, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.sleep(rule.delay_s)
            if rule.answer_after_s:
                head, answer = await _captured(self.app, scope, receive)
                await asyncio.sleep(rule.answer_after_s)
                await send(head)
                await send({"type": "http.response.body", "body": answer})
                return
        except asyncio.CancelledError:
            # The server ends, and what it holds has nobody to go to; the caller may have gone long ago.
            with contextlib.suppress(OSError, ValueError):
                scope["state"]["abort"]()
            return
        if rule.reset:
            scope["state"]["abort"]()
            await _until_disconnected(receive)
            return
        if rule.status is not None or rule.json is not None or rule.body is not None:
            await _answer(send, rule.status or 200, rule.json, rule.body, rule.headers)
            return
        if rule.claim or rule.trickle_s or rule.replace:
            await self._change(rule, scope, receive, send)
            return
        if rule.truncate is not None:
            left = rule.truncate

            async def cut(message: MutableMapping[str, Any]) -> None:
                nonlocal left
                if message["type"] == "http.response.body":
                    body = message.get("body", b"")[: max(left, 0)]
                    left -= len(body)
                    await send({"type": "http.response.body", "body": body, "more_body": True})
                else:
                    await send(message)

            await self.app(scope, receive, cut)
            scope["state"]["close"]()  # what was written goes out first, then the connection ends short
            await _until_disconnected(receive)
            return
        await self.app(scope, receive, send)

    async def _change(self, rule: FaultRule, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the server would, but changed as a whole."""
        head, body = await _captured(self.app, scope, receive)
        for old, new in rule.replace.items():
            body = body.replace(old.encode(), new.encode())
        length = max(0, len(body) + rule.claim)
        headers = [(name, value) for name, value in head["headers"] if name.lower() not in _FRAMING]
        if scope["method"] == "HEAD":  # there is no body: the length is what the headers say of one
            await send({**head, "headers": head["headers"]})
            await send({"type": "http.response.body", "body": b""})
            return
        headers.append((b"content-length", str(length).encode()))
        if rule.claim:
            # Past the server, which would not let a lie out.
            lines = [b"HTTP/1.1 %d Claimed" % head["status"], *(b"%s: %s" % header for header in headers), b"", body]
            scope["state"]["write"](b"\r\n".join(lines))
            scope["state"]["close"]()
            await _until_disconnected(receive)
            return
        await send({**head, "headers": headers})
        pieces = max(1, min(_PIECES, len(body))) if rule.trickle_s else 1
        step = -(-len(body) // pieces) if body else 1
        for start in range(0, max(len(body), 1), step):
            if rule.trickle_s:
                await asyncio.sleep(rule.trickle_s / pieces)
            await send({"type": "http.response.body", "body": body[start : start + step], "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _manage(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "GET":
            await _answer(send, 200, {"faults": [msgspec.to_builtins(rule) for rule in self.rules]})
        elif scope["method"] == "DELETE":
            which = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1")))
            self.rules = [
                rule
                for rule in self.rules
                if any(getattr(rule, name) != which[name] for name in ("caller", "about") if name in which)
            ]
            await _answer(send, 200, {"faults": [msgspec.to_builtins(rule) for rule in self.rules]})
        elif scope["method"] == "POST":
            body = await _read(receive)
            try:
                rules = msgspec.json.decode(body, type=list[FaultRule] | FaultRule)
            except msgspec.DecodeError as error:
                await _answer(send, 400, {"error": f"not a fault rule: {error}"})
                return
            self.rules.extend(rules if isinstance(rules, list) else [rules])
            await _answer(send, 200, {"faults": [msgspec.to_builtins(rule) for rule in self.rules]})
        else:
            await _answer(send, 405, {"error": "GET, POST or DELETE"})


async def _captured(app: App, scope: Scope, receive: Receive) -> tuple[MutableMapping[str, Any], bytes]:
    """The head and the whole body of what the server answers."""
    messages: list[MutableMapping[str, Any]] = []

    async def keep(message: MutableMapping[str, Any]) -> None:
        messages.append(message)

    await app({**scope, "extensions": {}}, receive, keep)
    head = next(message for message in messages if message["type"] == "http.response.start")
    return head, b"".join(m.get("body", b"") for m in messages if m["type"] == "http.response.body")


async def _until_disconnected(receive: Receive) -> None:
    # uvicorn would answer 500 for an app that returns early; it does not once the connection is gone.
    while (await receive())["type"] != "http.disconnect":
        pass


async def _read(receive: Receive) -> bytes:
    chunks = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            break
    return b"".join(chunks)


def _replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def again() -> MutableMapping[str, Any]:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _answer(
    send: Send, status: int, value: Any, body: str | None = None, headers: dict[str, str] | None = None
) -> None:
    raw = body.encode() if body is not None else json.dumps(value).encode()
    kind = b"text/plain" if body is not None else b"application/json"
    head = [(b"content-type", kind), (b"content-length", str(len(raw)).encode())]
    given = {name.lower() for name in headers or {}}
    head = [(name, value_) for name, value_ in head if name.decode() not in given]
    head += [(name.lower().encode(), text.encode()) for name, text in (headers or {}).items()]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": raw})
