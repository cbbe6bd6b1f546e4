"""Where buckets are: Vertex reads input only from its own region or a multi-region that contains it."""

from __future__ import annotations

import threading
from typing import Any

import httpx2

from vertex_model_inference.errors import NotFoundError, StorageError
from vertex_model_inference.storage.places import TokenSource

__all__ = ["Regions", "contains"]

# https://cloud.google.com/storage/docs/locations: multi-regions and the prefixes of the regions in them.
_MULTI = {"US": ("us-", "northamerica-"), "EU": ("europe-",), "ASIA": ("asia-",)}


def contains(location: str, region: str) -> bool:
    """Whether a bucket at ``location`` (``US-CENTRAL1``, ``US``) can feed a job in ``region`` (``us-central1``)."""
    if location.lower() == region.lower():
        return True
    return region.lower().startswith(_MULTI.get(location.upper(), ()))


class Regions:
    """Looks up bucket locations once each, over the JSON API.

    Args:
        endpoint: Base URL of the storage service; None: Google's.
        token: Where bearer tokens come from.
    """

    def __init__(self, *, endpoint: str | None, token: TokenSource) -> None:
        self._endpoint = (endpoint or "https://storage.googleapis.com").rstrip("/")
        self._token = token
        self._known: dict[str, str] = {}
        self._lock = threading.Lock()

    def location(self, bucket: str) -> str:
        """The bucket's location, upper case as Google gives it.

        Raises:
            NotFoundError: No such bucket.
            StorageError: Storage refused or did not answer.
        """
        with self._lock:
            known = self._known.get(bucket)
            if known is None:
                known = self._known[bucket] = self._look_up(bucket)
            return known

    def readable(self, bucket: str, region: str) -> bool:
        """Whether a job in ``region`` can read from the bucket; True where we may not see the bucket's location.

        Metadata of a bucket needs a permission that reading its objects does not; the job itself is the judge then.
        """
        try:
            return contains(self.location(bucket), region)
        except NotFoundError:
            return True  # reading the object will say so with the row's name
        except StorageError:
            return True

    def _look_up(self, bucket: str) -> str:
        url = f"{self._endpoint}/storage/v1/b/{bucket}"
        try:
            answer = httpx2.get(
                url, params={"fields": "location"}, headers={"Authorization": f"Bearer {self._token()[0]}"}, timeout=20
            )
        except httpx2.HTTPError as error:
            raise StorageError(
                f"Storage did not answer for bucket {bucket} ({type(error).__name__}).", retryable=True
            ) from None
        if answer.status_code == 404:
            raise NotFoundError(f"Bucket {bucket} does not exist.", hint="Create it, or set VMI_BUCKET.")
        if answer.status_code != 200:
            raise StorageError(f"Storage answered {answer.status_code} for bucket {bucket}.", bucket=bucket)
        body: Any = answer.json()
        return str(body.get("location", "")).upper()
