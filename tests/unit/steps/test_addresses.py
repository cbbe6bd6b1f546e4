"""Where assets may come from: the open internet, and nothing that only looks like it."""

from __future__ import annotations

import asyncio
import ipaddress
import socket

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given
from hypothesis import strategies as st

from vertex_model_inference.errors import AssetError
from vertex_model_inference.steps.addresses import RefusedError, Resolver, check_url, is_closed, place_of

CLOSED = (
    "127.0.0.1", "127.255.0.3", "0.0.0.0", "0.1.2.3", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254",
    "100.100.100.200", "168.63.129.16", "192.0.0.192", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a00:1", "2002:7f00:1::", "2002:a9fe:a9fe::", "fe80::1", "fe80::1%lo", "fec0::1", "fc00::1",
    "fd00:ec2::254", "ff02::1", "2001:db8::1",
)  # fmt: skip
OPEN = ("8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::")


@pytest.mark.parametrize("address", CLOSED)
def test_closed(address: str) -> None:
    assert is_closed(address)


@pytest.mark.parametrize("address", OPEN)
def test_open(address: str) -> None:
    assert not is_closed(address)


def _forms(address: ipaddress.IPv4Address) -> list[str]:
    """An IPv4 address in every form that some C library or URL parser takes for it."""
    a, b, c, d = address.packed
    wide = str(address).translate({ord("0") + n: 0xFF10 + n for n in range(10)})
    return [
        str(address), str(int(address)), hex(int(address)), f"0{int(address):o}", f"{a}.{(b << 16) + (c << 8) + d}",
        f"{a}.{b}.{(c << 8) + d}", f"0{a:o}.0{b:o}.0{c:o}.0{d:o}", f"0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}", wide,
        wide.replace(".", "\u3002"), f"[::ffff:{address}]", f"[::{address}]", f"[64:ff9b::{address}]",
        f"[2002:{(a << 8) + b:x}:{(c << 8) + d:x}::]",
    ]  # fmt: skip


PRIVATE = st.one_of(
    *(st.ip_addresses(v=4, network=network) for network in ("127.0.0.0/8", "10.0.0.0/8", "192.168.0.0/16")),
    *(st.ip_addresses(v=4, network=network) for network in ("172.16.0.0/12", "169.254.0.0/16", "0.0.0.0/8")),
)


@given(PRIVATE)
def test_no_way_to_write_a_private_address_is_let_through(address: ipaddress.IPv4Address) -> None:
    for form in _forms(address):
        with pytest.raises(AssetError) as caught:
            check_url(f"http://{form}:8080/latest/meta-data", ())
        assert caught.value.error_code in ("asset_private_address", "asset_url"), form


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/a", "file:///etc/passwd", "gopher://example.com/", "http://", "http:///a", "//example.com/a",
        "http://[::1", "http://example.com:99999/", "http://example.com:x/", "javascript:alert(1)", "", "http://a b/",
        "https://user:password@example.com/a", "https://user@example.com/a", "http://8.8.8.8@127.0.0.1/",
    ],
)  # fmt: skip
def test_what_is_no_url_for_assets(url: str) -> None:
    with pytest.raises(AssetError) as caught:
        check_url(url, ())
    assert caught.value.error_code == "asset_url"
    assert "password" not in str(caught.value).replace("user name or password", "")


def test_allowed_hosts_may_be_anywhere_and_only_by_that_name() -> None:
    assert check_url("http://127.0.0.1:8080/a", {"127.0.0.1"}).host == "127.0.0.1"
    assert check_url("http://[::1]/a", {"::1"}).host == "::1"
    for url in ("http://127.0.0.2/a", "http://2130706433/a", "http://127.1/a"):
        with pytest.raises(AssetError):
            check_url(url, {"127.0.0.1"})


def test_a_signed_url_is_asked_for_as_it_was_signed() -> None:
    signed = "https://bucket.example.com/a%2Fb/../c%7e.jpg?X-Sig=a%2Fb%3D%2B%7e&x=a+b&empty="
    assert str(check_url(signed, ())) == signed
    assert check_url(signed, ()).raw_path_qs == signed.removeprefix("https://bucket.example.com")


def test_a_url_with_letters_of_its_own_is_quoted() -> None:
    target = check_url("https://bücher.example/größe 1.jpg", ())
    assert target.raw_host == "xn--bcher-kva.example"
    assert target.raw_path == "/gr%C3%B6%C3%9Fe%201.jpg"


@given(st.text(max_size=80))
def test_any_text_is_a_url_or_an_error_with_a_name(text: str) -> None:
    for url in (text, f"http://{text}", f"https://example.com/{text}", f"http://[{text}]/"):
        try:
            target = check_url(url, ())
        except AssetError:
            continue
        assert target.scheme in ("http", "https")
        assert target.host


@given(st.text(max_size=60), st.text(alphabet="abcXYZ019", min_size=6, max_size=20))
def test_messages_never_show_credentials_or_queries(text: str, secret: str) -> None:
    for url in (f"https://u:S{secret}S@example.com/{text}", f"https://example.com/a?{text}&token=S{secret}S"):
        shown = place_of(url)
        assert f"S{secret}S" not in shown
        assert len(shown) <= 200
        assert shown.isprintable()


class _Dns(AbstractResolver):
    """Answers what it is told, another time something else."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = self.answers.pop(0)
        return [
            ResolveResult(hostname=host, host=each, port=port, family=int(family), proto=0, flags=0) for each in found
        ]

    async def close(self) -> None:
        return


def test_a_name_that_resolves_to_another_address_later_gains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        resolver = Resolver(("mine.example",))
        dns = _Dns(["8.8.8.8"], ["127.0.0.1"], ["169.254.169.254", "8.8.4.4"], ["10.0.0.1"])
        monkeypatch.setattr(resolver, "_inner", dns)
        assert [each["host"] for each in await resolver.resolve("rebinding.example", 80)] == ["8.8.8.8"]
        with pytest.raises(RefusedError):
            await resolver.resolve("rebinding.example", 80)
        assert [each["host"] for each in await resolver.resolve("mixed.example", 80)] == ["8.8.4.4"]
        assert [each["host"] for each in await resolver.resolve("MINE.example", 80)] == ["10.0.0.1"]

    asyncio.run(scenario())
