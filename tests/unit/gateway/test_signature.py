from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vertex_model_inference.webhook.signature import sign, verify


def test_the_form_is_that_of_rfc_2202() -> None:
    # RFC 2202, test case 2 of HMAC-SHA1.
    assert sign("Jefe", b"what do ya want for nothing?") == "sha1=effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"
    assert sign("", b"") == "sha1=fbdb1d1b18aa6c08324b7d64b71fb76370690e1d"


@given(st.text(min_size=1), st.binary())
def test_a_signature_signs_its_body_and_secret_only(secret: str, body: bytes) -> None:
    header = sign(secret, body)
    assert verify(secret, body, header)
    assert verify(secret, body, f" {header} ")
    assert not verify(secret, body + b" ", header)
    # HMAC pads keys with zero bytes, so another first byte it is.
    assert not verify("~" + secret, body, header)


@pytest.mark.parametrize("header", [None, "", "sha1=", "sha256=00", "é" * 45, "\ud800"])
def test_nonsense_signs_nothing(header: str | None) -> None:
    assert not verify("secret", b"", header)


@given(st.text())
def test_no_header_breaks_it(header: str) -> None:
    assert not verify("secret", b"body", header)
