"""An open-loop load of HTTP calls, from a process of its own: each call has its time, answered or not the others.

``python -m bench.load`` reads ``Call``s as MessagePack from stdin and writes ``Answer``s to stdout. A latency counts
from the moment that the call was due, so that a server that stalls cannot hide the calls that it kept waiting.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Sequence

import msgspec

__all__ = ["Answer", "Call", "send"]


class Call(msgspec.Struct, frozen=True, array_like=True):
    """``due`` seconds after the start; ``kind`` comes back with the answer."""

    due: float
    kind: str
    method: str
    url: str
    headers: dict[str, str] = {}
    body: bytes = b""


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """``seconds`` from when the call was due to the end of the answer; ``late``: to when it was really sent."""

    kind: str
    status: int
    seconds: float
    late: float
    body: bytes


def send(calls: Sequence[Call]) -> list[Answer]:
    """Make the calls, each at its time, and wait for all answers."""
    last = max(call.due for call in calls)
    done = subprocess.run(
        [sys.executable, "-m", "bench.load"],
        input=msgspec.msgpack.encode(calls),
        stdout=subprocess.PIPE,
        check=True,
        timeout=last + 90,
    )
    return msgspec.msgpack.decode(done.stdout, type=list[Answer])


async def _run(calls: list[Call]) -> list[Answer]:
    import aiohttp

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60)) as session:
        begin = time.perf_counter() + 0.2

        async def one(call: Call) -> Answer:
            due = begin + call.due
            late = time.perf_counter() - due
            async with session.request(call.method, call.url, headers=call.headers, data=call.body or None) as response:
                body = await response.read()
            return Answer(call.kind, response.status, time.perf_counter() - due, late, body)

        tasks = []
        for call in sorted(calls, key=lambda call: call.due):
            await asyncio.sleep(max(0.0, begin + call.due - time.perf_counter()))
            tasks.append(asyncio.create_task(one(call)))
        return list(await asyncio.gather(*tasks))


def main() -> None:
    calls = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=list[Call])
    sys.stdout.buffer.write(msgspec.msgpack.encode(asyncio.run(_run(calls))))


if __name__ == "__main__":
    main()
