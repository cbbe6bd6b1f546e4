"""Which addresses an asset may not come from: everything that is not the open internet.

The form of an address does not matter: what decides is where a packet would go. So IPv4 written as one number, in
octal or in full-width digits, and IPv4 inside IPv6, count as the address they lead to.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Collection

import yarl
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from vertex_model_inference.errors import AssetError

__all__ = ["RefusedError", "Resolver", "check_url", "closed_error", "is_closed", "place_of"]

# Public by their number and yet a cloud's own door: Azure's wire server, Oracle's metadata (https://learn.microsoft.com/
# azure/virtual-network/what-is-ip-address-168-63-129-16; https://docs.oracle.com/iaas/Content/Compute/Tasks/gettingmetadata.htm).
_DOORS = frozenset(map(ipaddress.ip_address, ("168.63.129.16", "192.0.0.192")))
# RFC 6052 (NAT64, well-known and local prefix) and RFC 4291 2.5.5.1 (IPv4-compatible): the last 32 bits are IPv4.
_EMBEDDING = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "::/96")))
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9a-fA-F:.]+(%25[A-Za-z0-9._-]+)?")


class RefusedError(OSError):
    """The resolver found only addresses that must not be contacted."""


def is_closed(address: str) -> bool:
    """Whether an address is private, loopback, link-local, multicast, reserved or a cloud's metadata service.

    Args:
        address: IPv4 or IPv6, as the operating system writes it; a scope (``%eth0``) is ignored.

    Raises:
        ValueError: It is no address.
    """
    ip = ipaddress.ip_address(address.split("%", 1)[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and any(ip in network for network in _EMBEDDING):
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_closed(str(inner))
        if ip.is_site_local:
            return True
    return not ip.is_global or ip.is_multicast or ip in _DOORS


def check_url(url: str, allowed: Collection[str]) -> yarl.URL:
    """The URL as the HTTP client will use it: what is checked is what is asked, whatever two parsers make of a text.

    Args:
        url: From a data row or a redirect.
        allowed: Hosts, lower case, that may be anywhere.

    Raises:
        AssetError: ``asset_url``: not http(s), no host, or with a user name; ``asset_private_address``.
    """
    try:
        # Signed URLs must arrive as they were signed, so what needs no quoting is left as it is.
        plain = url.isascii() and url.isprintable() and not set(' <>"{}|\\^`') & set(url)
        target = yarl.URL(url, encoded=plain)
        host, raw_host = target.host, target.raw_host
        target.port  # noqa: B018  # raises for a bad one
    except ValueError:
        raise AssetError(f"{place_of(url)} is not a URL that can be fetched.", code="asset_url") from None
    if target.scheme not in ("http", "https") or not host or not _HOST.fullmatch(raw_host or ""):
        raise AssetError(f"{place_of(url)} is not an http(s) URL.", code="asset_url")
    if target.raw_user is not None or target.raw_password is not None:
        raise AssetError(
            f"{place_of(url)} has a user name or password in it.",
            code="asset_url",
            hint="Use a signed URL, or a Labelbox IAM integration.",
        )
    literal = _literal(host)
    # Literal addresses never reach the resolver.
    if literal is not None and host.lower() not in allowed and is_closed(literal):
        raise closed_error(url)
    return target


def _literal(host: str) -> str | None:
    """The address that a host is written as, in any form that a C library takes; None for names."""
    try:
        return str(ipaddress.ip_address(host.split("%", 1)[0]))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host))  # 2130706433, 0177.1, 0x7f.0.0.1
    except (OSError, ValueError):
        return None


class Resolver(AbstractResolver):
    """Names to addresses that may be contacted; asked for each connection, and its answer is what is connected to.

    Args:
        allowed: Hosts, lower case, that may be anywhere.
    """

    def __init__(self, allowed: Collection[str]) -> None:
        self._inner = ThreadedResolver()
        self._allowed = frozenset(allowed)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """As ``AbstractResolver``.

        Raises:
            RefusedError: All addresses of the host are closed to assets.
        """
        found = await self._inner.resolve(host, port, family)
        if host.lower() in self._allowed:
            return found
        open_ = [entry for entry in found if not is_closed(entry["host"])]
        if not open_:
            raise RefusedError(f"{host} has only private addresses")
        return open_

    async def close(self) -> None:
        """As ``AbstractResolver``."""
        await self._inner.close()


def closed_error(url: str) -> AssetError:
    """The error for a URL whose host is not on the open internet."""
    return AssetError(
        f"{place_of(url)} is a private address, which assets may not come from.",
        code="asset_private_address",
        hint="Name the host in VMI_ALLOW_HOSTS if it is yours.",
    )


def place_of(url: str) -> str:
    """The URL for messages, at most 200 characters: without query, credentials and fragment, which may be secrets."""
    scheme, separator, rest = url.partition("://")
    if not separator or not scheme.isalnum():
        return "the data row's URL"
    rest = rest.replace("\\", "/")
    for end in ("#", "?"):
        rest = rest.partition(end)[0]
    host, slash, path = rest.partition("/")
    shown = f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
    return "".join(each if each.isprintable() else "?" for each in shown)[:200]
