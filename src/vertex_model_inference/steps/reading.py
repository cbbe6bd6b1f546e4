"""Reads small assets whole, wherever a data row says they are: texts, conversations, text layers."""

from __future__ import annotations

from vertex_model_inference.errors import AssetError, NotFoundError, StorageError
from vertex_model_inference.steps.fetch import Fetcher
from vertex_model_inference.steps.pressure import Limiter
from vertex_model_inference.storage.places import Buckets

__all__ = ["Reader"]


class Reader:
    """Reads ``gs://`` objects with our own rights, http(s) as a stranger (see ``Fetcher``).

    Args:
        buckets: Where ``gs://`` URIs are opened.
        fetcher: For http(s).
        limiter: Shared bound on requests under way.
    """

    def __init__(self, buckets: Buckets, fetcher: Fetcher, limiter: Limiter) -> None:
        self._buckets = buckets
        self._fetcher = fetcher
        self._limiter = limiter

    async def read(self, url: str, most: int) -> bytes:
        """All bytes of ``url``.

        Args:
            url: gs, http or https.
            most: Bytes; larger ones fail.

        Raises:
            AssetError: ``asset_not_found``, ``asset_forbidden``, ``asset_too_large``, or what ``Fetcher.fetch`` raises.
        """
        if not url.startswith("gs://"):
            with await self._fetcher.fetch(url, most) as asset:
                return asset.data
        try:
            store, path = self._buckets.of(url)
            async with self._limiter.slot():
                data, size = await store.ahead(path, most + 1)
        except NotFoundError:
            raise AssetError(
                f"{url} does not exist.", code="asset_not_found", hint="Check the data row's URL in Labelbox."
            ) from None
        except StorageError as error:
            raise AssetError(
                f"{url} cannot be read: {error.message}",
                code="asset_forbidden",
                hint="Give our service account storage.objectViewer on the bucket.",
                retryable=True,
            ) from None
        if size > most:
            raise AssetError(f"The text is larger than {most / 1e6:.0f} MB.", code="asset_too_large")
        return data
