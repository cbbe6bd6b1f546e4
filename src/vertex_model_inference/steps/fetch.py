"""Fetches assets from URLs that others wrote: bounded in size and time, never from a private address unless allowed.

The address is checked where the connection is made (the resolver, which also sees every redirect), so a name that
resolves differently on a second look gains nothing.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

import aiohttp
import stamina
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from vertex_model_inference.errors import AssetError
from vertex_model_inference.steps.pressure import Limiter

__all__ = ["Fetched", "Fetcher"]

_REDIRECTS = (301, 302, 303, 307, 308)
_BUSY = (429, 503)


class Fetched(NamedTuple):
    """The bytes and the ``Content-Type`` that the server claims (without parameters; may lie)."""

    data: bytes
    content_type: str | None


class _RefusedError(OSError):
    """The resolver found only addresses that must not be contacted."""


class _Again(Exception):  # noqa: N818  # a signal to the retry loop
    def __init__(self, cause: AssetError, delay: float | None = None) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.delay = delay


def _private(address: str) -> bool:
    ip = ipaddress.ip_address(address.split("%", 1)[0])
    mapped = getattr(ip, "ipv4_mapped", None)
    return not (mapped or ip).is_global or ip.is_multicast


class _Resolver(AbstractResolver):
    def __init__(self, allowed: Collection[str]) -> None:
        self._inner = ThreadedResolver()
        self._allowed = frozenset(allowed)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        if host in self._allowed:
            return found
        public = [entry for entry in found if not _private(entry["host"])]
        if not public:
            raise _RefusedError(f"{host} has only private addresses")
        return public

    async def close(self) -> None:
        await self._inner.close()


class Fetcher:
    """An HTTP client for assets; use it as an async context manager.

    Args:
        limiter: Shared bound on requests under way.
        max_bytes: Larger assets fail.
        allowed_hosts: Hosts whose addresses may be private (``VMI_ALLOW_HOSTS``).
        timeout_s: For one asset, all of it.
        headers: Gives the headers to send to a URL, asked again after each redirect; it must look at the URL's host.
    """

    def __init__(
        self,
        limiter: Limiter,
        *,
        max_bytes: int,
        allowed_hosts: Collection[str] = (),
        timeout_s: float = 60,
        headers: Callable[[str], Mapping[str, str]] | None = None,
    ) -> None:
        self._limiter = limiter
        self._max_bytes = max_bytes
        self._allowed = frozenset(allowed_hosts)
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=10)
        self._headers = headers
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Fetcher:
        connector = aiohttp.TCPConnector(limit=0, resolver=_Resolver(self._allowed), ttl_dns_cache=60)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=self._timeout, auto_decompress=True, headers={"User-Agent": "vmi"}
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def fetch(self, url: str) -> Fetched:
        """The asset's bytes.

        Args:
            url: http or https.

        Raises:
            AssetError: ``asset_not_found``, ``asset_forbidden``, ``asset_too_large``, ``asset_timeout``,
                ``asset_unreachable``, ``asset_status``, ``asset_url`` (not a URL that may be fetched) or
                ``asset_private_address``; the message names the host, never the URL's query.
        """
        try:
            async for attempt in stamina.retry_context(
                on=_when, attempts=4, timeout=120, wait_initial=0.2, wait_max=10
            ):
                with attempt:
                    async with self._limiter.slot():
                        return await self._once(url)
        except _Again as again:
            raise again.cause from None
        raise AssertionError("the retry loop returns or raises")  # pragma: no cover

    async def _once(self, url: str) -> Fetched:
        assert self._session is not None, "use the fetcher as a context manager"
        try:
            for _ in range(6):
                self._check(url)
                headers = self._headers(url) if self._headers is not None else None
                async with self._session.get(url, allow_redirects=False, headers=headers) as response:
                    if response.status in _REDIRECTS and "Location" in response.headers:
                        url = urljoin(url, response.headers["Location"])
                        continue
                    return await self._body(url, response)
            raise AssetError(f"{_place(url)} redirects without end.", code="asset_url")
        except TimeoutError:
            raise _Again(
                AssetError(f"{_place(url)} did not give the asset in time.", code="asset_timeout", retryable=True)
            ) from None
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, _RefusedError):
                raise _private_error(url) from None
            raise _Again(
                AssetError(f"{_place(url)} cannot be reached.", code="asset_unreachable", retryable=True)
            ) from None
        except (aiohttp.InvalidURL, ValueError):
            raise AssetError(f"{_place(url)} is not a URL that can be fetched.", code="asset_url") from None
        except aiohttp.ClientError as error:
            raise _Again(
                AssetError(
                    f"{_place(url)} broke off ({type(error).__name__}).", code="asset_unreachable", retryable=True
                )
            ) from None

    async def _body(self, url: str, response: aiohttp.ClientResponse) -> Fetched:
        status = response.status
        if status in (404, 410):
            raise AssetError(
                f"The asset is not at {_place(url)} any more (HTTP {status}).",
                code="asset_not_found",
                hint="Check the data row's URL in Labelbox.",
            )
        if status in (401, 403):
            raise AssetError(
                f"{_place(url)} does not let us read the asset (HTTP {status}).",
                code="asset_forbidden",
                hint="An expired signed URL or a missing Labelbox IAM integration is the usual cause.",
                retryable=True,
            )
        if status in _BUSY:
            self._limiter.pushed_back()
        if status in _BUSY or status >= 500:
            cause = AssetError(f"{_place(url)} answered HTTP {status}.", code="asset_status", retryable=True)
            raise _Again(cause, _seconds(response.headers.get("Retry-After")))
        if status != 200:
            raise AssetError(f"{_place(url)} answered HTTP {status}.", code="asset_status")
        if (response.content_length or 0) > self._max_bytes:
            raise self._too_large(url)
        chunks: list[bytes] = []
        size = 0
        async for chunk in response.content.iter_any():
            size += len(chunk)
            if size > self._max_bytes:
                raise self._too_large(url)
            chunks.append(chunk)
        self._limiter.went_well()
        return Fetched(b"".join(chunks), response.content_type)

    def _too_large(self, url: str) -> AssetError:
        return AssetError(
            f"The asset at {_place(url)} is larger than {self._max_bytes / 1e6:g} MB.",
            code="asset_too_large",
            hint="Raise VMI_MAX_ASSET_MB if the model can take it.",
        )

    def _check(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise AssetError(f"{_place(url)} is not an http(s) URL.", code="asset_url")
        try:
            literal = ipaddress.ip_address(parts.hostname)
        except ValueError:
            return
        # Literal addresses never reach the resolver.
        if parts.hostname not in self._allowed and _private(str(literal)):
            raise _private_error(url)


def _when(error: Exception) -> bool | float:
    if not isinstance(error, _Again):
        return False
    return True if error.delay is None else min(error.delay, 60.0)


def _seconds(retry_after: str | None) -> float | None:
    try:
        return max(0.0, float(retry_after)) if retry_after else None
    except ValueError:
        return None


def _private_error(url: str) -> AssetError:
    return AssetError(
        f"{_place(url)} is a private address, which assets may not come from.",
        code="asset_private_address",
        hint="Name the host in VMI_ALLOW_HOSTS if it is yours.",
    )


def _place(url: str) -> str:
    """The URL without its query, credentials and fragment: those may be secrets."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        return f"{parts.scheme}://{host}{':' + str(parts.port) if parts.port else ''}{parts.path}"[:200]
    except ValueError:
        return "the data row's URL"
