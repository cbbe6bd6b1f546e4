"""Who may look at the pages: tokens, sessions, forms, and what Identity-Aware Proxy vouches for."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.auth import crypt, jwt
from hypothesis import given
from hypothesis import strategies as st

from vertex_model_inference.pages.access import Access
from vertex_model_inference.pages.login import local_path
from vertex_model_inference.vertex.identity import ISSUER, IapVerifier

_TOKEN = "a-token-of-enough-letters"
_AUDIENCE = "/projects/1/global/backendServices/2"


def test_a_session_is_good_until_its_end_and_only_with_its_token() -> None:
    now = 1_000_000.0
    access = Access(_TOKEN, clock=lambda: now)
    session = access.session()
    visitor = access.of_session(session)
    assert visitor is not None
    assert visitor.signed_in
    assert Access(_TOKEN, clock=lambda: now).of_session(session) == visitor  # a restart keeps it
    assert Access("another-token-of-letters", clock=lambda: now).of_session(session) is None
    assert Access(_TOKEN, clock=lambda: now + 13 * 3600).of_session(session) is None


@pytest.mark.parametrize("cookie", ["", ".", "..", "9999999999.x.", "9999999999.x.00", "x.y.z", "٣.x.y"])
def test_what_is_no_session_lets_nobody_in(cookie: str) -> None:
    assert Access(_TOKEN).of_session(cookie) is None


@given(st.text(max_size=60))
def test_no_text_is_a_session_or_a_token(text: str) -> None:
    access = Access(_TOKEN)
    assert access.of_session(text) is None
    assert access.right(text) == (text == _TOKEN)


def test_a_session_cannot_be_made_longer_and_its_form_word_is_no_session() -> None:
    access = Access(_TOKEN)
    end, nonce, mark = access.session().split(".")
    assert access.of_session(f"{int(end) + 1}.{nonce}.{mark}") is None
    visitor = access.of_session(f"{end}.{nonce}.{mark}")
    assert visitor is not None
    assert access.of_session(f"{end}.{nonce}.{visitor.csrf}") is None


def test_without_a_token_nobody_signs_in_and_sessions_of_no_token_differ() -> None:
    one, other = Access(None), Access(None)
    assert not one.right("")
    assert not one.by_token
    assert other.of_session(one.session()) is None


@pytest.mark.parametrize(
    ("given_", "path"),
    [
        ("/runs/a?b=c", "/runs/a?b=c"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("", "/"),
        ("/a\r\nSet-Cookie: x", "/"),
    ],
)
def test_after_the_login_nothing_leads_elsewhere(given_: str, path: str) -> None:
    assert local_path(given_) == path


class _Proxy:
    """Identity-Aware Proxy's keys, and assertions that it signs."""

    def __init__(self) -> None:
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.asked = 0
        self.names = {"k1"}

    def keys(self) -> Mapping[str, str]:
        self.asked += 1
        public = self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return dict.fromkeys(self.names, public.decode())

    def assertion(self, key: str = "k1", claims: Mapping[str, object] | None = None) -> str:
        pem = self.private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        now = int(time.time())
        usual = {"iss": ISSUER, "aud": _AUDIENCE, "iat": now, "exp": now + 600, "email": "ada@example.com"}
        signer = crypt.EsSigner.from_string(pem, key)
        made: bytes = jwt.encode(signer, {**usual, **(claims or {})})
        return made.decode()


@pytest.fixture(scope="module")
def proxy() -> _Proxy:
    return _Proxy()


def test_an_assertion_of_the_proxy_names_who_is_there(proxy: _Proxy) -> None:
    verifier = IapVerifier(_AUDIENCE, proxy.keys)
    assert verifier(proxy.assertion()) == "ada@example.com"
    visitor = Access(None, verifier).of_assertion(proxy.assertion())
    assert visitor is not None
    assert (visitor.name, visitor.signed_in) == ("ada@example.com", False)


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "/projects/1/global/backendServices/3"},
        {"iss": "https://accounts.google.com"},
        {"exp": 1_600_000_000, "iat": 1_599_999_000},
        {"email": "", "sub": ""},
    ],
)
def test_an_assertion_for_somebody_else_is_worth_nothing(proxy: _Proxy, claims: dict[str, object]) -> None:
    assert IapVerifier(_AUDIENCE, proxy.keys)(proxy.assertion(claims=claims)) is None


def test_an_assertion_that_another_key_signed_is_worth_nothing(proxy: _Proxy) -> None:
    verifier = IapVerifier(_AUDIENCE, proxy.keys)
    assert verifier(_Proxy().assertion()) is None
    assert verifier("no.such.thing") is None
    assert verifier("") is None
    head, body, _ = proxy.assertion().split(".")
    assert verifier(f"{head}.{body}.") is None


def test_keys_are_fetched_once_and_when_there_are_new_ones_at_most_each_minute(proxy: _Proxy) -> None:
    other = _Proxy()
    verifier = IapVerifier(_AUDIENCE, other.keys)
    for _ in range(3):
        assert verifier(other.assertion()) == "ada@example.com"
    assert other.asked == 1
    for _ in range(3):
        assert verifier(other.assertion("k2")) is None
    assert other.asked == 1  # within the minute an unknown key costs no question
    verifier._fetched -= 61
    other.names = {"k1", "k2"}
    assert verifier(other.assertion("k2")) == "ada@example.com"
    assert other.asked == 2


def test_keys_that_cannot_be_fetched_let_nobody_in(proxy: _Proxy) -> None:
    def broken() -> Mapping[str, str]:
        raise OSError("no network")

    assert IapVerifier(_AUDIENCE, broken)(proxy.assertion()) is None
