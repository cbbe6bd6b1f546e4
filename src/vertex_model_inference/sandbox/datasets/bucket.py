"""The sandbox's bucket, as seeding uses it: assets, models, and the record of what was seeded."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
import obstore
from obstore.exceptions import BaseError
from obstore.store import GCSStore

from vertex_model_inference.errors import StorageError
from vertex_model_inference.sandbox.datasets.target import Target

__all__ = ["Bucket", "SeedRecord"]

PUTS = 16  # uploads at the same time


class SeedRecord(msgspec.Struct, kw_only=True):
    """How far a data set has come in this sandbox, so that seeding again goes on instead of starting over.

    Attributes:
        dataset_id: Labelbox's dataset; likewise ``ontology_id``, ``project_id`` and ``model_id``;
            empty until they are made.
        created: The first so many rows of the seeding order are data rows.
        batched: ... are in the project. ``labelled``: ... have their labels there.
        runs: How many model runs were made.
        labels_run_id: A model run that has all labelled rows with their labels; empty when there is none.
    """

    dataset_id: str = ""
    ontology_id: str = ""
    project_id: str = ""
    model_id: str = ""
    created: int = 0
    batched: int = 0
    labelled: int = 0
    runs: int = 0
    labels_run_id: str = ""


class Bucket:
    """Reads and writes objects of the sandbox's bucket.

    Args:
        target: The sandbox.
    """

    def __init__(self, target: Target) -> None:
        self.name = target.bucket
        credential: Any = {"token": target.token, "expires_at": None}
        self._store = GCSStore(
            target.bucket,
            config={"base_url": target.storage_url},
            client_options={"allow_http": True},
            credential_provider=lambda: credential,
        )

    def uri(self, name: str) -> str:
        """``gs://`` URI of an object of this bucket."""
        return f"gs://{self.name}/{name}"

    def put(self, objects: Mapping[str, tuple[bytes, str]]) -> None:
        """Write objects, several at a time.

        Args:
            objects: Name -> (bytes, MIME type).

        Raises:
            StorageError: One could not be written.
        """

        async def all_of_them() -> None:
            free = asyncio.Semaphore(PUTS)

            async def one(name: str, data: bytes, mime_type: str) -> None:
                async with free:
                    await obstore.put_async(self._store, name, data, attributes={"Content-Type": mime_type})

            async with asyncio.TaskGroup() as group:
                for name, (data, mime_type) in objects.items():
                    group.create_task(one(name, data, mime_type))

        try:
            asyncio.run(all_of_them())
        except* BaseError as errors:
            first = errors.exceptions[0]
            raise StorageError(f"Objects could not be written to gs://{self.name}: {first}") from None

    def load(self, name: str) -> SeedRecord | None:
        """The record of the data set ``name``; None if it was never seeded here.

        Raises:
            StorageError: The storage does not answer, or the record is not one.
        """
        path = f"seeds/{name}.json"
        try:
            data = bytes(obstore.get(self._store, path).bytes())
            return msgspec.json.decode(data, type=SeedRecord)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as error:
            raise StorageError(f"{self.uri(path)} is not a record of seeding: {error}.", hint="Delete it.") from None
        except BaseError as error:
            raise StorageError(f"{self.uri(path)} could not be read: {error}") from None

    def save(self, name: str, record: SeedRecord) -> None:
        """Keep the record of the data set ``name``."""
        self.put({f"seeds/{name}.json": (msgspec.json.encode(record), "application/json")})
