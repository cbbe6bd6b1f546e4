"""Does a model run exist? A light question for the webhook, which must answer in milliseconds and without the SDK."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Any

import httpx2
import msgspec
from pydantic import SecretStr

__all__ = ["ModelRunLookup"]

_QUERY = (
    "query GetModelRunPyApi($param_0: ID!){modelRun(where: {id: $param_0})"
    "{createdAt createdBy modelAppId modelId name trainingMetadata id updatedAt}}"
)
TIMEOUT_S = 2.0
KNOWN_FOR_S = 600.0
_MOST_KNOWN = 10_000


class ModelRunLookup:
    """Asks Labelbox, and remembers the runs that exist for ten minutes. For one event loop.

    Args:
        api_key: Of Labelbox.
        graphql_url: E.g. ``https://api.labelbox.com/graphql``.
    """

    def __init__(self, api_key: SecretStr, graphql_url: str) -> None:
        self._api_key = api_key
        self._url = graphql_url
        self._client: httpx2.AsyncClient | None = None
        self._known: OrderedDict[str, float] = OrderedDict()

    async def __call__(self, model_run_id: str) -> bool | None:
        """True: it exists. False: Labelbox says that it does not. None: Labelbox did not say within two seconds."""
        until = self._known.get(model_run_id)
        if until is not None and until > time.monotonic():
            return True
        if self._client is None:
            self._client = httpx2.AsyncClient(timeout=TIMEOUT_S)
        try:
            response = await self._client.post(
                self._url,
                json={"query": _QUERY, "variables": {"param_0": model_run_id}},
                headers={"Authorization": f"Bearer {self._api_key.get_secret_value()}"},
            )
            answer: Any = msgspec.json.decode(response.content)
        except (httpx2.HTTPError, msgspec.MsgspecError, UnicodeDecodeError):
            return None
        exists = _exists(answer)
        if exists:
            self._known[model_run_id] = time.monotonic() + KNOWN_FOR_S
            self._known.move_to_end(model_run_id)
            while len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)
        return exists

    async def close(self) -> None:
        """Close connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None


def _exists(answer: Any) -> bool | None:
    if not isinstance(answer, dict):
        return None
    data = answer.get("data")
    if isinstance(data, dict) and isinstance(data.get("modelRun"), dict):
        return True
    errors = answer.get("errors")
    if isinstance(errors, list) and errors:
        codes = [e.get("extensions", {}).get("code") for e in errors if isinstance(e, dict)]
        return False if "RESOURCE_NOT_FOUND" in codes else None  # anything else is Labelbox's trouble, or the key's
    return False if isinstance(data, dict) and "modelRun" in data else None
