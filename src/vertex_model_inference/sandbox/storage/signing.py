"""Signed URLs, V4 and V2: their form and their time. The signature itself needs the signer's key, which no sandbox has.

Source: https://cloud.google.com/storage/docs/authentication/signatures
"""

from __future__ import annotations

import datetime as dt
import re
import time
from collections.abc import Mapping

from vertex_model_inference.sandbox.storage.wire import ApiError, Request

__all__ = ["check_signed_url"]

_WEEK = 604_800
_ALGORITHMS = ("GOOG4-RSA-SHA256", "GOOG4-HMAC-SHA256")
_CREDENTIAL = re.compile(r"(?P<who>[^/]+)/(?P<date>\d{8})/[a-z0-9-]+/storage/goog4_request")
_HEX = re.compile(r"[0-9a-fA-F]{64,2048}")


def _malformed(message: str, details: str = "") -> ApiError:
    return ApiError(400, message, reason="invalid", code="MalformedSecurityHeader", details=details)


def _expired(moment: float) -> ApiError:
    when = dt.datetime.fromtimestamp(moment, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")
    return ApiError(
        400,
        "Invalid argument.",
        reason="invalid",
        code="ExpiredToken",
        details=f"The provided token has expired. Request signature expired at: {when}",
    )


def check_signed_url(request: Request) -> None:
    """Nothing for a request without a signature in its URL; else whether it may be answered.

    Raises:
        ApiError: 400 when it is malformed or expired, 403 when it cannot be a signature.
    """
    query = request.query
    if "X-Goog-Algorithm" in query or "X-Goog-Signature" in query:
        _check_v4(request, query)
    elif "GoogleAccessId" in query:
        _check_v2(query)


def _check_v4(request: Request, query: Mapping[str, str]) -> None:
    for name in ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature"):
        if not query.get(f"X-Goog-{name}"):
            raise _malformed("Your request has a malformed header.", f"Missing query parameter X-Goog-{name}")
    if query["X-Goog-Algorithm"] not in _ALGORITHMS:
        raise _malformed("Your request has a malformed header.", f"Algorithm {query['X-Goog-Algorithm']} is unknown.")
    credential = _CREDENTIAL.fullmatch(query["X-Goog-Credential"])
    if credential is None:
        raise _malformed("Your request has a malformed header.", f"Credential {query['X-Goog-Credential']} is invalid.")
    try:
        parsed = dt.datetime.strptime(query["X-Goog-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC)
        signed_at = parsed.timestamp()
    except ValueError:
        raise _malformed("Your request has a malformed header.", "X-Goog-Date must be YYYYMMDD'T'HHMMSS'Z'.") from None
    if credential["date"] != query["X-Goog-Date"][:8]:
        raise _malformed("Your request has a malformed header.", "The credential's date is not X-Goog-Date's.")
    expires = query["X-Goog-Expires"]
    if not expires.isdigit() or not 0 < int(expires) <= _WEEK:
        raise _malformed("Your request has a malformed header.", "X-Goog-Expires must be between 1 and 604800 seconds.")
    signed = query["X-Goog-SignedHeaders"].split(";")
    if "host" not in signed:
        raise _malformed("Your request has a malformed header.", "The host header must be signed.")
    missing = [name for name in signed if name.lower().encode() not in request.headers]
    if missing:
        raise _malformed("Header was included in signedheaders, but not in the request.", ", ".join(missing))
    if not _HEX.fullmatch(query["X-Goog-Signature"]):
        raise ApiError(
            403,
            "The request signature we calculated does not match the signature you provided.",
            reason="forbidden",
            code="SignatureDoesNotMatch",
        )
    now = time.time()
    if now > signed_at + int(expires):
        raise _expired(signed_at + int(expires))
    if signed_at > now + 900:
        raise ApiError(403, "The signature is not valid yet.", reason="forbidden", code="RequestTimeTooSkewed")


def _check_v2(query: Mapping[str, str]) -> None:
    expires = query.get("Expires", "")
    if not expires.isdigit() or not query.get("Signature"):
        raise _malformed("Your request has a malformed header.", "A V2 signed URL has Expires and Signature.")
    if time.time() > int(expires):
        raise _expired(float(expires))
