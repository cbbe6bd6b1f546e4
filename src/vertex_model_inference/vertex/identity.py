"""Who Google's Identity-Aware Proxy says is there.

The proxy adds ``X-Goog-IAP-JWT-Assertion`` to each request that it lets through: a JWT signed with ES256 by one of the
keys at ``https://www.gstatic.com/iap/verify/public_key``, for the audience of the backend service, issued by
``https://cloud.google.com/iap`` (cloud.google.com/iap/docs/signed-headers-howto).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

import structlog

__all__ = ["ISSUER", "KEYS_URL", "IapVerifier"]

KEYS_URL = "https://www.gstatic.com/iap/verify/public_key"
ISSUER = "https://cloud.google.com/iap"
_KEYS_FOR_S = 3600.0
_AGAIN_AFTER_S = 60.0

log = structlog.get_logger("vmi.identity")


class IapVerifier:
    """Checks the proxy's assertions: signature, audience, issuer and time.

    Args:
        audience: ``/projects/NUMBER/global/backendServices/ID``, as the console shows it.
        keys: Gives the proxy's public keys, id -> PEM; fetched from Google when None. May raise anything.
    """

    def __init__(self, audience: str, keys: Callable[[], Mapping[str, str]] | None = None) -> None:
        self._audience = audience
        self._fetch = keys or _google_keys
        self._keys: Mapping[str, str] = {}
        self._fetched = float("-inf")
        self._lock = threading.Lock()

    def __call__(self, assertion: str) -> str | None:
        """The address of who is there, e.g. ``ada@example.com``; None: the assertion is not good."""
        from google.auth import exceptions, jwt

        for again in (False, True):
            keys = self._known(refresh=again)
            try:
                claims = jwt.decode(assertion, certs=keys, audience=self._audience, clock_skew_in_seconds=30)
            except (exceptions.GoogleAuthError, ValueError) as error:
                # A key that is not known may be a new one: the keys are asked for once more, at most each minute.
                if not again and "not found" in str(error).lower():
                    continue
                log.warning("an assertion of Identity-Aware Proxy is not good", cause=type(error).__name__)
                return None
            if claims.get("iss") != ISSUER:
                log.warning("an assertion is not of Identity-Aware Proxy")
                return None
            return str(claims.get("email") or claims.get("sub") or "") or None
        return None

    def _known(self, *, refresh: bool) -> Mapping[str, str]:
        with self._lock:
            age = time.monotonic() - self._fetched
            if age > (_AGAIN_AFTER_S if refresh else _KEYS_FOR_S):
                try:
                    self._keys = dict(self._fetch())
                except Exception as error:  # noqa: BLE001  # whatever it is: nobody gets in by it
                    log.warning("the keys of Identity-Aware Proxy cannot be fetched", cause=type(error).__name__)
                self._fetched = time.monotonic()
            return self._keys


def _google_keys() -> Mapping[str, str]:
    import httpx2
    import msgspec

    response = httpx2.get(KEYS_URL, timeout=10)
    response.raise_for_status()
    return msgspec.json.decode(response.content, type=dict[str, str])
