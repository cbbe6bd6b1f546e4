"""Fetches assets from URLs that others wrote: streamed, bounded in size and time, never from a private address.

The address is checked where the connection is made (``addresses.py``: the URL itself and the resolver, for every
redirect too), so a name that resolves differently on a second look gains nothing. What a server claims of its body is
used only to refuse early; what counts is what arrives, after decompression.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path
from typing import TypeVar
from urllib.parse import urljoin

import aiohttp

from vertex_model_inference.errors import AssetError
from vertex_model_inference.steps.addresses import RefusedError, Resolver, check_url, closed_error, place_of
from vertex_model_inference.steps.pressure import Budget, Limiter
from vertex_model_inference.steps.spool import IN_MEMORY_BYTES, Spool, Spooled
from vertex_model_inference.steps.unpacking import PackingError, Unpacker
from vertex_model_inference.waiting import FAULT, RATE_LIMIT, note, seconds_of

__all__ = ["DISK_BYTES", "MEMORY_BYTES", "Fetcher", "Room"]

MEMORY_BYTES = 32 << 20
"""Of all assets that the process holds in memory at once on their way to storage; each is there twice for a moment."""
DISK_BYTES = 1 << 30
"""Of all assets that the process holds in files at once; a single larger one may, alone."""
_MEMORY, _DISK = Budget(MEMORY_BYTES), Budget(DISK_BYTES)
TIMEOUT_S = 60.0
_ATTEMPTS = 4
_PATIENCE_S = 120.0
_REDIRECTS = (301, 302, 303, 307, 308)
_LEAST_BYTES_PER_S = 1_000_000
"""A body that goes on after ``timeout_s`` must be at least this fast on the whole; a trickle ends."""
_LOOK_EVERY = 1 << 20
T = TypeVar("T")


class Room:
    """What assets may take up at once; shared by everything that brings them.

    Args:
        folder: For assets that are too large for memory; the system's own place for such files when None.
        memory: Bytes for this room alone; when None, its assets share ``MEMORY_BYTES`` with all others of the process.
        disk: Likewise, ``DISK_BYTES``.
    """

    def __init__(self, folder: Path | None = None, memory: int | None = None, disk: int | None = None) -> None:
        self.folder = folder
        self._memory = _MEMORY if memory is None else Budget(memory)
        self._disk = _DISK if disk is None else Budget(disk)

    async def enter(self, size: int | None, clock: asyncio.Timeout | None = None) -> Stay:
        """Wait for memory for an asset of this many bytes (None: nobody knows), or for the part kept in memory.

        Args:
            size: Of the asset.
            clock: Stopped while we wait, since the wait is for our own sake and not the server's fault.
        """
        wanted = IN_MEMORY_BYTES if size is None else min(size, IN_MEMORY_BYTES)
        if self._memory.take_now(wanted):
            held = wanted
        else:
            held = await _untimed(clock, self._memory.take(wanted))
        return Stay(self._memory, self._disk, held, Spool(self.folder))


class Stay:
    """One asset's share of the room, from its first byte until it is closed."""

    def __init__(self, memory: Budget, disk: Budget, in_memory: int, spool: Spool) -> None:
        self._memory, self._disk = memory, disk
        self._in_memory, self._on_disk = in_memory, 0
        self.spool = spool

    async def add(self, chunk: bytes, most: int, clock: asyncio.Timeout | None = None) -> None:
        """Take a chunk; before the first that goes to a file, wait for room on disk for ``most`` bytes.

        Raises:
            AssetError: ``asset_no_room``, the disk is full.
        """
        spool = self.spool
        if spool.size <= IN_MEMORY_BYTES < spool.size + len(chunk):
            self._on_disk = await _untimed(clock, self._disk.take(most))
        try:
            spool.add(chunk)
        except OSError as error:
            raise AssetError(
                f"There is no room for an asset on the way to storage ({error.strerror}).",
                code="asset_no_room",
                hint="Free some disk where VMI_DATA_DIR is.",
                retryable=True,
            ) from None

    def leave(self) -> None:
        """Give everything back."""
        self._memory.give(self._in_memory)
        self._disk.give(self._on_disk)
        self._in_memory = self._on_disk = 0


class _Again(Exception):  # noqa: N818  # a signal to the retry loop
    def __init__(self, cause: AssetError, why: str = FAULT, delay: float | None = None) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.why = why
        self.delay = delay


class Fetcher:
    """An HTTP client for assets; use it as an async context manager.

    Args:
        limiter: Shared bound on requests under way.
        max_bytes: Larger assets fail.
        room: Where assets are kept; a room of its own when None.
        allowed_hosts: Hosts (lower case) whose addresses may be private (``VMI_ALLOW_HOSTS``).
        timeout_s: For one asset, all of it, if it is small; larger ones get a second more for each 10**6 bytes that
            arrive. None: ``TIMEOUT_S``.
        backoff_s: Before the second attempt; twice as much before each one after it.
        headers: Gives the headers to send to a URL, asked again after each redirect; it must look at the URL's host.
    """

    def __init__(
        self,
        limiter: Limiter,
        *,
        max_bytes: int,
        room: Room | None = None,
        allowed_hosts: Collection[str] = (),
        timeout_s: float | None = None,
        backoff_s: float = 0.2,
        headers: Callable[[str], Mapping[str, str]] | None = None,
    ) -> None:
        self._limiter = limiter
        self._backoff_s = backoff_s
        self._headers = headers
        self._max_bytes = max_bytes
        self._room = room or Room()
        self._allowed = frozenset(allowed_hosts)
        self._timeout_s = TIMEOUT_S if timeout_s is None else timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Fetcher:
        connector = aiohttp.TCPConnector(limit=0, resolver=Resolver(self._allowed), ttl_dns_cache=60)
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=30),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "vmi", "Accept-Encoding": "identity"},
            auto_decompress=False,  # see unpacking.py
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def fetch(self, url: str, max_bytes: int | None = None) -> Spooled:
        """The asset, which the caller closes.

        Args:
            url: http or https.
            max_bytes: Less than the fetcher's own limit, for assets that are read into memory whole.

        Raises:
            AssetError: ``asset_not_found``, ``asset_forbidden``, ``asset_too_large``, ``asset_timeout``,
                ``asset_unreachable``, ``asset_status``, ``asset_encoding``, ``asset_url`` (not a URL that may be
                fetched) or ``asset_private_address``; the message names the host, never the URL's query.
        """
        limit = min(max_bytes or self._max_bytes, self._max_bytes)
        loop = asyncio.get_running_loop()
        end = loop.time() + max(_PATIENCE_S, self._timeout_s)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                async with self._limiter.slot():
                    return await self._once(url, limit)
            except _Again as again:
                why = again.why
                wait = (
                    min(self._backoff_s * 2 ** (attempt - 1), 10.0) if again.delay is None else min(again.delay, 60.0)
                )
                wait += random.uniform(0.0, wait / 4)  # noqa: S311  # jitter
                if attempt == _ATTEMPTS or loop.time() + wait > end:
                    raise again.cause from None
            note("assets", why, wait)
            await asyncio.sleep(wait)
        raise AssertionError("the last attempt returns or raises")  # pragma: no cover

    async def size(self, url: str, timeout_s: float = 5) -> int | None:
        """Bytes of the asset as its server claims, asked once and without reading it; None: it does not say.

        A GET that is broken off: what signs a URL to be read does not let it be asked for its head.

        Args:
            url: http or https.
            timeout_s: For all of it, redirects included.

        Raises:
            AssetError: It is not a URL that may be fetched.
        """
        assert self._session is not None, "use the fetcher as a context manager"
        try:
            async with asyncio.timeout(timeout_s), self._limiter.slot():
                for _ in range(6):
                    target = check_url(url, self._allowed)
                    headers = None if self._headers is None else self._headers(str(target))
                    async with self._session.get(target, allow_redirects=False, headers=headers) as response:
                        location = response.headers.get("Location")
                        if response.status in _REDIRECTS and location is not None:
                            url = urljoin(str(target), location)
                            continue
                        found = response.content_length if response.status == 200 else None
                        response.close()
                        return found
        except (TimeoutError, aiohttp.ClientError, ValueError):
            pass
        return None

    async def _once(self, url: str, limit: int) -> Spooled:
        assert self._session is not None, "use the fetcher as a context manager"
        try:
            async with asyncio.timeout(self._timeout_s) as clock:
                for _ in range(6):
                    target = check_url(url, self._allowed)
                    headers = None if self._headers is None else self._headers(str(target))
                    async with self._session.get(target, allow_redirects=False, headers=headers) as response:
                        location = response.headers.get("Location")
                        if response.status in _REDIRECTS and location is not None:
                            url = urljoin(str(target), location)
                            continue
                        self._judge(url, response, limit)
                        return await self._body(url, response, limit, clock)
            raise AssetError(f"{place_of(url)} redirects without end.", code="asset_url")
        except TimeoutError:
            self._limiter.faltered()
            raise _Again(
                AssetError(f"{place_of(url)} did not give the asset in time.", code="asset_timeout", retryable=True)
            ) from None
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, RefusedError):
                raise closed_error(url) from None
            self._limiter.faltered()
            raise _Again(
                AssetError(f"{place_of(url)} cannot be reached.", code="asset_unreachable", retryable=True)
            ) from None
        except PackingError as error:
            raise AssetError(
                f"The asset at {place_of(url)} is not compressed as its server claims: {error}.", code="asset_encoding"
            ) from None
        except (aiohttp.InvalidURL, ValueError):
            raise AssetError(f"{place_of(url)} is not a URL that can be fetched.", code="asset_url") from None
        except aiohttp.ClientError as error:
            self._limiter.faltered()
            raise _Again(
                AssetError(
                    f"{place_of(url)} broke off ({type(error).__name__}).", code="asset_unreachable", retryable=True
                )
            ) from None

    def _judge(self, url: str, response: aiohttp.ClientResponse, limit: int) -> None:
        """Raise for everything but an answer whose body is worth reading."""
        status = response.status
        if status == 200:
            if (response.content_length or 0) > limit:
                raise _too_large(url, limit)
            return
        if status in (404, 410):
            raise AssetError(
                f"The asset is not at {place_of(url)} any more (HTTP {status}).",
                code="asset_not_found",
                hint="Check the data row's URL in Labelbox.",
            )
        if status in (401, 403):
            raise AssetError(
                f"{place_of(url)} does not let us read the asset (HTTP {status}).",
                code="asset_forbidden",
                hint="An expired signed URL or a missing Labelbox IAM integration is the usual cause.",
                retryable=True,
            )
        if status == 429 or status >= 500:
            delay = seconds_of(response.headers.get("Retry-After"))
            too_much = status == 429 or (status == 503 and delay is not None)
            if too_much:
                self._limiter.pushed_back()  # one host's word must not stop the others: no pause for all
            else:
                self._limiter.faltered()
            cause = AssetError(f"{place_of(url)} answered HTTP {status}.", code="asset_status", retryable=True)
            raise _Again(cause, RATE_LIMIT if too_much else FAULT, delay)
        raise AssetError(f"{place_of(url)} answered HTTP {status}.", code="asset_status")

    async def _body(self, url: str, response: aiohttp.ClientResponse, limit: int, clock: asyncio.Timeout) -> Spooled:
        unpacker = Unpacker(response.headers.get("Content-Encoding", ""))
        known = None if unpacker.packed else response.content_length
        loop = asyncio.get_running_loop()
        stay = await self._room.enter(known, clock)
        spool = stay.spool
        try:
            look = _LOOK_EVERY
            async for chunk in response.content.iter_any():
                for piece in unpacker.feed(chunk):
                    if spool.size + len(piece) > limit:
                        raise _too_large(url, limit)
                    await stay.add(piece, limit if known is None else known, clock)
                if spool.size >= look:
                    look = spool.size + _LOOK_EVERY
                    when = clock.when() or loop.time()
                    clock.reschedule(when + _LOOK_EVERY / _LEAST_BYTES_PER_S)
            unpacker.end()
            self._limiter.went_well()
            return spool.done(response.content_type, stay.leave)
        except BaseException:
            spool.drop()
            stay.leave()
            raise


async def _untimed(clock: asyncio.Timeout | None, waiting: Awaitable[T]) -> T:
    """Wait with the clock stopped."""
    if clock is None:
        return await waiting
    loop = asyncio.get_running_loop()
    left = (clock.when() or loop.time()) - loop.time()
    clock.reschedule(None)
    try:
        return await waiting
    finally:
        clock.reschedule(loop.time() + left)


def _too_large(url: str, limit: int) -> AssetError:
    return AssetError(
        f"The asset at {place_of(url)} is larger than {limit / 1e6:g} MB.",
        code="asset_too_large",
        hint="Raise VMI_MAX_ASSET_MB if the model can take it.",
    )
