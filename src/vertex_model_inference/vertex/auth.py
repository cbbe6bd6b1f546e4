"""Credentials for Google's APIs: a fixed token (sandboxes, tests) or application default credentials."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr

from vertex_model_inference.errors import SettingsError, VertexError

__all__ = ["GoogleAuth"]

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_HINT = (
    "Run `gcloud auth application-default login`, give the service an account, or set GOOGLE_APPLICATION_CREDENTIALS; "
    "for a sandbox set VMI_GOOGLE_TOKEN."
)


class GoogleAuth:
    """Gives credentials and tokens; nothing is imported or looked up before the first is asked for. Thread-safe.

    Calling it gives ``(token, expiry)``, expiry in UTC with time zone or None for ever, as the storage layer takes it.

    Args:
        token: A fixed access token; None: application default credentials.
    """

    def __init__(self, token: SecretStr | None) -> None:
        self._token = token
        self._lock = threading.Lock()
        self._credentials: Any = None

    def credentials(self) -> Any:
        """``google.auth`` credentials, always the same object.

        Raises:
            SettingsError: ``google_credentials``, there are none on this machine.
        """
        with self._lock:
            if self._credentials is None:
                self._credentials = self._find()
            return self._credentials

    def __call__(self) -> tuple[str, datetime | None]:
        """A token that is good now, and until when.

        Raises:
            SettingsError: There are no credentials.
            VertexError: ``google_auth``, Google does not give a token for them.
        """
        if self._token is not None:
            return self._token.get_secret_value(), None
        credentials = self.credentials()
        with self._lock:
            if not credentials.valid:
                from google.auth.exceptions import GoogleAuthError, RefreshError
                from google.auth.transport.requests import Request

                try:
                    credentials.refresh(Request())
                except GoogleAuthError as error:
                    raise VertexError(
                        f"Google gives no token for the credentials of this machine: {type(error).__name__}.",
                        code="google_auth",
                        hint=_HINT,
                        retryable=not isinstance(error, RefreshError),
                    ) from None
            expiry = credentials.expiry  # google.auth keeps it as naive UTC
            return str(credentials.token), expiry.replace(tzinfo=UTC) if expiry is not None else None

    def headers(self) -> dict[str, str]:
        """The headers that authorize a request now: the token, and the project that pays where credentials name one.

        Raises:
            SettingsError: There are no credentials.
            VertexError: Google does not give a token for them.
        """
        headers = {"Authorization": f"Bearer {self()[0]}"}
        # People's own credentials (gcloud) name a quota project; Google refuses some calls without it.
        quota = None if self._token is not None else getattr(self.credentials(), "quota_project_id", None)
        if quota:
            headers["X-Goog-User-Project"] = str(quota)
        return headers

    def _find(self) -> Any:
        if self._token is not None:
            from google.oauth2.credentials import Credentials

            return Credentials(self._token.get_secret_value())
        import google.auth
        from google.auth.exceptions import DefaultCredentialsError

        try:
            found, _ = google.auth.default(scopes=[_SCOPE])
        except DefaultCredentialsError:
            raise SettingsError(
                "There are no Google credentials on this machine.", code="google_credentials", hint=_HINT
            ) from None
        return found
