"""Assets from servers of every character: whole and by their hash, or an error with a name; always within bounds."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import tracemalloc
import zlib
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.integration.fetching.servers import Servers, body, head

from vertex_model_inference.errors import AssetError
from vertex_model_inference.steps.fetch import Fetcher, Room
from vertex_model_inference.steps.pressure import Limiter
from vertex_model_inference.steps.spool import IN_MEMORY_BYTES
from vertex_model_inference.waiting import Waits, noting

T = TypeVar("T")
MB = 1_000_000
HERE = ("127.0.0.1",)


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with Servers.running() as made:
        yield made


async def _fetch(url: str, room: Room | None = None, **more: Any) -> tuple[int, str, bool, str | None]:
    """(bytes, sha256, kept in memory, type claimed) of an asset."""
    given: dict[str, Any] = {"max_bytes": 20 * MB, "allowed_hosts": HERE, "backoff_s": 0.001, **more}
    async with Fetcher(Limiter(), room=room, **given) as fetcher:
        with await fetcher.fetch(url) as asset:
            assert hashlib.sha256(asset.data).hexdigest() == asset.digest
            return asset.size, asset.digest, asset.in_memory, asset.content_type


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, 50))


def refused(url: str, **more: Any) -> AssetError:
    with pytest.raises(AssetError) as caught:
        run(_fetch(url, **more))
    return caught.value


def test_small_in_memory_large_in_a_file(servers: Servers, tmp_path: Path) -> None:
    for size in (0, 1, 70_000, IN_MEMORY_BYTES, IN_MEMORY_BYTES + 1, 9 * MB):
        data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        url = servers.put(f"honest-{size}", body(data, "Content-Type: image/png; charset=x"))
        found = run(_fetch(url, Room(tmp_path)))
        assert found == (size, hashlib.sha256(data).hexdigest(), size <= IN_MEMORY_BYTES, "image/png")
    assert list(tmp_path.iterdir()) == []


def test_many_large_ones_at_once_stay_within_the_room(servers: Servers, tmp_path: Path) -> None:
    url = servers.put("film", body(b"\x07" * 15 * MB))
    room = Room(tmp_path, memory=8 * MB, disk=40 * MB)

    async def all_of_them() -> list[int]:
        async with Fetcher(Limiter(start=32), max_bytes=20 * MB, room=room, allowed_hosts=HERE) as fetcher:

            async def one() -> int:
                with await fetcher.fetch(url) as asset:
                    assert not asset.in_memory
                    assert room._disk.held <= 40 * MB
                    assert room._memory.held <= 8 * MB
                    return asset.size

            return await asyncio.gather(*(one() for _ in range(12)))

    tracemalloc.start()
    try:
        assert run(all_of_them()) == [15 * MB] * 12
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 45 * MB, "180 MB went through (the server's own 15 MB included)"
    assert (room._memory.held, room._disk.held) == (0, 0)


def test_room_is_given_back_after_failures(servers: Servers, tmp_path: Path) -> None:
    async def short(writer: asyncio.StreamWriter) -> None:
        writer.write(head(f"Content-Length: {9 * MB}") + b"x" * 6 * MB)

    room = Room(tmp_path, memory=5 * MB, disk=10 * MB)
    url = servers.put("short", short)
    for _ in range(3):
        assert refused(url, room=room).error_code == "asset_unreachable"
    assert (room._memory.held, room._disk.held) == (0, 0)


# -- lies -------------------------------------------------------------------------------------------------------------


def test_a_claimed_length_over_the_limit_is_refused_before_a_byte_is_read(servers: Servers) -> None:
    async def claims(writer: asyncio.StreamWriter) -> None:
        writer.write(head("Content-Length: 900000000000"))
        await asyncio.sleep(30)

    assert refused(servers.put("claims", claims)).error_code == "asset_too_large"


def test_an_endless_body_ends_at_the_limit(servers: Servers) -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(head("Connection: close"))
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    error = refused(servers.put("endless", endless), max_bytes=6 * MB)
    assert error.error_code == "asset_too_large"
    assert servers.asked["endless"] == 1, "what is too large is not fetched again"


def test_an_endless_chunked_body_ends_at_the_limit(servers: Servers) -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(head("Transfer-Encoding: chunked"))
        while True:
            writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            await writer.drain()

    assert refused(servers.put("endless-chunks", endless), max_bytes=MB).error_code == "asset_too_large"


def test_a_body_shorter_than_claimed_is_tried_again_and_then_named(servers: Servers) -> None:
    async def short(writer: asyncio.StreamWriter) -> None:
        writer.write(head("Content-Length: 1000") + b"x" * 999)

    error = refused(servers.put("one-short", short))
    assert (error.error_code, error.retryable) == ("asset_unreachable", True)
    assert servers.asked["one-short"] == 4


def test_a_broken_connection_is_tried_again(servers: Servers) -> None:
    async def third_time(writer: asyncio.StreamWriter) -> None:
        if servers.asked["third-time"] < 3:
            writer.transport.abort()
        else:
            await body(b"at last")(writer)

    waits = Waits()
    with noting(waits):
        assert run(_fetch(servers.put("third-time", third_time)))[0] == 7
    assert list(waits.totals()) == ["assets: fault"]


def test_a_decompression_bomb_ends_at_the_limit_in_little_memory(servers: Servers) -> None:
    bomb = gzip.compress(b"\0" * 300 * MB)
    assert len(bomb) < MB
    url = servers.put("bomb", body(bomb, "Content-Encoding: gzip", "Content-Type: image/png"))
    tracemalloc.start()
    try:
        error = refused(url, max_bytes=20 * MB)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert error.error_code == "asset_too_large"
    assert peak < 15 * MB


def test_honest_compression_is_undone(servers: Servers) -> None:
    data = b"a text that repeats itself. " * 1000
    for name, packed in (("gzip", gzip.compress(data)), ("deflate", zlib.compress(data))):
        url = servers.put(name, body(packed, f"Content-Encoding: {name}"))
        assert run(_fetch(url))[:2] == (len(data), hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize("packed", [b"this is no gzip", gzip.compress(b"x" * 90_000, mtime=0)[:-1]])
def test_what_is_not_compressed_as_claimed_is_named(servers: Servers, packed: bytes) -> None:
    url = servers.put(f"packed-{len(packed)}", body(packed, "Content-Encoding: gzip"))
    assert refused(url).error_code == "asset_encoding"


def test_a_trickle_ends_in_time(servers: Servers) -> None:
    async def trickle(writer: asyncio.StreamWriter) -> None:
        writer.write(head("Content-Length: 100000"))
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    error = refused(servers.put("trickle", trickle), timeout_s=0.2)
    assert (error.error_code, error.retryable) == ("asset_timeout", True)


def test_silence_ends_in_time(servers: Servers) -> None:
    async def silence(_: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    assert refused(servers.put("silence", silence), timeout_s=0.1).error_code == "asset_timeout"


def test_waiting_for_room_is_not_the_servers_fault(servers: Servers, tmp_path: Path) -> None:
    url = servers.put("patient", body(b"x" * 3 * MB))
    room = Room(tmp_path, memory=3 * MB)

    async def scenario() -> int:
        async with Fetcher(Limiter(), max_bytes=MB * 9, room=room, allowed_hosts=HERE, timeout_s=0.5) as fetcher:
            first = await fetcher.fetch(url)
            second = asyncio.create_task(fetcher.fetch(url))
            await asyncio.sleep(0.8)  # longer than the timeout
            assert not second.done()
            first.close()
            with await second as asset:
                return asset.size

    assert run(scenario()) == 3 * MB


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000 + b"\r\n", b"HTTP/1.1 abc\r\n\r\n",
        b"\0" * 3000,
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello", b"HTTP/1.1 200 OK\r\nContent-Length: 1e3\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", b"<html>not http</html>",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nhello\r\n0\r\n\r\n", b"HTTP/1.1 999 ?\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF\r\nx\r\n", b"HTTP/1.1 302 F\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\nContent-Length: 0\r\n\r\n",
    ],
)  # fmt: skip
def test_what_is_hardly_http_is_an_error_with_a_name(servers: Servers, raw: bytes) -> None:
    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(raw)

    url = servers.put(f"raw-{hashlib.sha256(raw).hexdigest()[:8]}", say)
    assert refused(url, timeout_s=2).error_code.startswith("asset_")


# -- redirects --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("http://169.254.169.254/computeMetadata/v1/", "asset_private_address"),
        ("http://[::ffff:169.254.169.254]/", "asset_private_address"),
        ("http://2130706434/", "asset_private_address"),
        ("http://0x7f.2/", "asset_private_address"),
        ("http://\uff11\uff12\uff17.0.0.2/", "asset_private_address"),
        ("http://localhost:1/", "asset_private_address"),
        ("//10.0.0.1/a", "asset_private_address"),
        ("file:///etc/passwd", "asset_url"),
        ("gs://bucket/a", "asset_url"),
        ("http://user:secret@127.0.0.1/", "asset_url"),
    ],
)
def test_a_redirect_is_checked_like_the_url_itself(servers: Servers, target: str, code: str) -> None:
    async def redirect(writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode())

    error = refused(servers.put("redirect", redirect))
    assert error.error_code == code
    assert "secret" not in str(error)


def test_good_redirects_are_followed_and_endless_ones_are_not(servers: Servers) -> None:
    servers.put("there", body(b"here it is"))
    url = servers.put("moved", body(b"", "Location: /there?signature=abc", status="307 Temporary Redirect"))
    assert run(_fetch(url))[0] == 10
    loop = servers.put("round", body(b"", "Location: /round", status="301 Moved"))
    assert refused(loop).error_code == "asset_url"


# -- what can succeed later -------------------------------------------------------------------------------------------


def test_retry_after_is_obeyed_and_told_as_a_rate_limit(servers: Servers) -> None:
    at: list[float] = []

    async def busy_once(writer: asyncio.StreamWriter) -> None:
        at.append(asyncio.get_running_loop().time())
        if len(at) == 1:
            await body(b"", "Retry-After: 0.3", status="429 Too Many Requests")(writer)
        else:
            await body(b"now")(writer)

    waits = Waits()
    with noting(waits):
        assert run(_fetch(servers.put("busy", busy_once)))[0] == 3
    assert at[1] - at[0] >= 0.3
    assert list(waits.totals()) == ["assets: rate limit"]


@pytest.mark.parametrize(
    ("status", "code", "asked"),
    [
        ("404 Not Found", "asset_not_found", 1), ("410 Gone", "asset_not_found", 1), ("400 Bad", "asset_status", 1),
        ("403 Forbidden", "asset_forbidden", 1), ("401 Who", "asset_forbidden", 1), ("206 Part", "asset_status", 1),
        ("500 Oh", "asset_status", 4), ("503 Busy", "asset_status", 4), ("429 Slow", "asset_status", 4),
    ],
)  # fmt: skip
def test_only_what_can_succeed_is_asked_again(servers: Servers, status: str, code: str, asked: int) -> None:
    path = f"status-{status[:3]}"
    assert refused(servers.put(path, body(b"secret words", status=status))).error_code == code
    assert servers.asked[path] == asked


def test_no_message_has_the_query_of_a_signed_url(servers: Servers) -> None:
    for path in ("nothing-there", "one-short"):
        assert "X-Goog-Signature" not in str(refused(f"{servers.url}/{path}?X-Goog-Signature=abcdef"))
