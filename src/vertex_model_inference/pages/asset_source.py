"""Where the asset of a row is read from: only places that the run itself wrote down, and with the same caution.

In this order: the copy that the model read, the data row's own ``gs://`` object, its own http(s) address (fetched as a
stranger, never from a private address; see ``steps.addresses``). Signatures of addresses are not kept with a run, so a
row whose address was signed is shown from its copy, or not at all.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from vertex_model_inference.errors import AssetError, NotFoundError, StorageError
from vertex_model_inference.pages.row_files import RowFacts
from vertex_model_inference.runs.surroundings import artifacts_root
from vertex_model_inference.settings import Settings
from vertex_model_inference.steps.fetch import Fetcher
from vertex_model_inference.steps.media import is_url
from vertex_model_inference.steps.pressure import Limiter
from vertex_model_inference.steps.signatures import HIDDEN
from vertex_model_inference.storage.index import AssetIndex, source_key
from vertex_model_inference.storage.places import Buckets, open_bucket, open_store
from vertex_model_inference.storage.ranged import RangedFile
from vertex_model_inference.storage.store import Store
from vertex_model_inference.vertex.auth import GoogleAuth

__all__ = ["AssetSource"]

_PATIENCE_S = 20.0
"""For one asset from elsewhere: somebody is looking at an empty frame."""
_SMALL = 4 << 20
"""Texts and text layers, in bytes."""


class AssetSource:
    """Reads assets of rows.

    Args:
        settings: For credentials, limits and hosts.
        store: Where the runs are; copies of assets are beside them.
    """

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        auth = GoogleAuth(settings.google_token)
        self._buckets = Buckets(lambda name: open_bucket(name, endpoint=settings.storage_url, token=auth))
        self._most = int(settings.max_asset_mb * 1_000_000)
        self._index: AssetIndex | None = None

    def identity(self, facts: RowFacts) -> str:
        """What tells one asset from another: where it is read from, and its size where that is known."""
        staged = facts.staged
        if staged is not None and staged.uri and self._own(staged.uri) is not None:
            return f"{staged.uri} {staged.size}"
        return f"{facts.row.id} {facts.row.row_data} {staged.size if staged else None}"

    def text(self, facts: RowFacts) -> bytes:
        """The asset of a row of text, HTML or conversation, UTF-8.

        Raises:
            AssetError: As ``opened``.
        """
        staged, row = facts.staged, facts.row
        if not is_url(row.row_data) and not row.row_data.startswith("gs://"):
            return row.row_data.encode()
        if staged is not None and staged.text is not None and not staged.uri and not staged.messages:
            return staged.text.encode()
        with self.opened(facts, _SMALL) as file:
            return file.read()

    def text_layer(self, facts: RowFacts) -> bytes | None:
        """The text layer of a document; None: it has none.

        Raises:
            AssetError: As ``opened``.
        """
        address = facts.row.text_layer
        if address is None:
            return None
        with self._at(address, _SMALL * 4) as file:
            return file.read()

    @contextmanager
    def opened(self, facts: RowFacts, most: int | None = None) -> Iterator[IO[bytes]]:
        """The asset as a file: whole in memory, or read by pieces where it lies in storage.

        Args:
            facts: Of the row.
            most: Bytes; larger assets are refused. The settings' limit when None.

        Raises:
            AssetError: There is no place that it may be read from, or it is not there, or too large.
        """
        most = min(most or self._most, self._most)
        staged, row = facts.staged, facts.row
        place = self._own(staged.uri) if staged is not None and staged.uri else None
        place = place or self._copied(facts)
        if place is not None:
            yield self._whole(*place, most)
            return
        with self._at(row.row_data, most) as file:
            yield file

    @contextmanager
    def film(self, facts: RowFacts) -> Iterator[IO[bytes]]:
        """A video as a file that is read where it is looked at, however large it is; from elsewhere as ``opened``.

        Raises:
            AssetError: As ``opened``.
        """
        staged = facts.staged
        place = self._own(staged.uri) if staged is not None and staged.uri else None
        place = place or self._copied(facts) or self._own(facts.row.row_data)
        if place is None:
            with self.opened(facts) as file:
                yield file
            return
        try:
            yield cast(IO[bytes], _Film(RangedFile(*place)))
        except NotFoundError as error:
            raise AssetError(error.message, code="asset_not_found") from None
        except StorageError as error:
            raise AssetError(error.message, code="asset_forbidden") from None

    def _own(self, uri: str) -> tuple[Store, str] | None:
        """The store and path of a ``gs://`` object, or of a copy of ours in a folder of this machine; None: neither."""
        if uri.startswith("gs://"):
            inside = self._within(self._store, uri)
            return inside or self._buckets.of(uri)
        if not uri.startswith("/"):
            return None
        for store in (self._store, *self._artifacts()):
            inside = self._within(store, uri)
            # Of a folder, only copies of assets: nothing that a run's file names besides may be read by it.
            if inside is not None and inside[1].startswith("assets/") and ".." not in inside[1].split("/"):
                return inside
        return None

    @staticmethod
    def _within(store: Store, uri: str) -> tuple[Store, str] | None:
        return (store, uri[len(store.root) + 1 :]) if uri.startswith(f"{store.root}/") else None

    def _artifacts(self) -> tuple[Store, ...]:
        root = artifacts_root(self._settings)
        if root.startswith("gs://") or root == self._store.root or not Path(root).is_dir():
            return ()
        return (open_store(root, endpoint=None, token=GoogleAuth(self._settings.google_token)),)

    def _copied(self, facts: RowFacts) -> tuple[Store, str] | None:
        """The copy that another run made of the row's asset."""
        path = self._settings.data_dir / "assets.sqlite"
        if not is_url(facts.row.row_data) or not path.is_file():
            return None
        if self._index is None:
            self._index = AssetIndex(path, self._store.root)
        key = source_key(facts.row.id, facts.row.row_data)
        found = self._index.find([key]).get(key)
        return None if found is None else (self._store, found.path)

    @contextmanager
    def _at(self, address: str, most: int) -> Iterator[IO[bytes]]:
        if address.startswith("gs://"):
            place = self._own(address)
            assert place is not None, "a gs:// address is in some bucket"
            yield self._whole(*place, most)
            return
        if not is_url(address):
            raise AssetError("The row has no address of a file.", code="asset_url")
        if HIDDEN in address:
            raise AssetError(
                "The address of this asset was signed, and signatures are not kept with a run.",
                code="asset_signed",
                hint="Assets that a run copied to storage can be shown.",
            )
        yield io.BytesIO(asyncio.run(self._fetched(address, most)))

    def _whole(self, store: Store, path: str, most: int) -> IO[bytes]:
        try:
            size = store.size(path)
            if size is not None and size > most:
                raise AssetError(f"The asset has {size / 1e6:.1f} MB, too many to show.", code="asset_too_large")
            return io.BytesIO(store.get(path))
        except NotFoundError:
            raise AssetError("The asset is not in storage any more.", code="asset_not_found") from None
        except StorageError as error:
            raise AssetError(f"The asset cannot be read: {error.message}", code="asset_forbidden") from None

    async def _fetched(self, address: str, most: int) -> bytes:
        try:
            async with (
                asyncio.timeout(_PATIENCE_S),
                Fetcher(
                    Limiter(start=1, ceiling=1, service="assets"),
                    max_bytes=most,
                    allowed_hosts=self._settings.asset_hosts,
                    timeout_s=_PATIENCE_S,
                ) as fetcher,
            ):
                with await fetcher.fetch(address, most) as asset:
                    if asset.in_memory:
                        return asset.data
                    with asset.file() as file:
                        return file.read()
        except TimeoutError:
            raise AssetError("The asset's host did not answer in time.", code="asset_timeout") from None


class _Film(io.RawIOBase):
    """A ranged file as the standard library's, for who wants one."""

    def __init__(self, file: RangedFile) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, count: int = -1, /) -> bytes:
        return self._file.read(count)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()
