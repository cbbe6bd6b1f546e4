"""``X-Hub-Signature``: ``sha1=`` and the HMAC-SHA1 of the raw body under the shared secret, in hexadecimal.

Labelbox's *Train Model* calls are signed so; a GET is signed over the empty body.
"""

from __future__ import annotations

import hmac

__all__ = ["HEADER", "sign", "verify"]

HEADER = "X-Hub-Signature"


def sign(secret: str, body: bytes) -> str:
    """The header's value for a body."""
    return f"sha1={hmac.new(secret.encode(), body, 'sha1').hexdigest()}"


def verify(secret: str, body: bytes, header: str | None) -> bool:
    """Whether the header signs the body; takes the same time whatever is wrong with it."""
    given = (header or "").strip().encode("latin-1", "replace")
    return hmac.compare_digest(sign(secret, body).encode(), given)
