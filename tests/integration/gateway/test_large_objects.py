"""Objects of many megabytes through our store: a bucket as strict about parts as Cloud Storage, and a folder."""

from __future__ import annotations

import asyncio
import hashlib
import io
import uuid
from pathlib import Path

import pytest

from vertex_model_inference.errors import NotFoundError
from vertex_model_inference.sandbox.config import SandboxConfig
from vertex_model_inference.storage.places import open_store
from vertex_model_inference.storage.store import Store


@pytest.fixture(params=["bucket", "folder"])
def store(request: pytest.FixtureRequest, sandbox: SandboxConfig, tmp_path: Path) -> Store:
    root = f"gs://vmi-sandbox/large-{uuid.uuid4().hex[:8]}" if request.param == "bucket" else str(tmp_path)
    return open_store(root, endpoint=sandbox.storage_url, token=lambda: ("sandbox-token", None))


def test_lines_without_end_are_written_and_read_as_a_stream(store: Store) -> None:
    """The instances of one batch job: 26 MB, four parts."""
    line = b'{"text": "' + b"x" * 488 + b'"}'
    with store.line_writer("jobs/00000.instances.jsonl") as out:
        for _ in range(52_000):
            out.write(line)
    assert out.count == 52_000
    assert store.size("jobs/00000.instances.jsonl") == 52_000 * (len(line) + 1)
    assert sum(each == line for each in store.lines("jobs/00000.instances.jsonl")) == 52_000


def test_lines_appear_whole_or_not_at_all(store: Store) -> None:
    def half_way() -> None:
        with store.line_writer("broken") as out:
            for _ in range(30_000):
                out.write(b"x" * 500)
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        half_way()
    assert not store.exists("broken")


@pytest.mark.parametrize("size", [0, 1, 8 << 20, (8 << 20) + 1, 21_000_000])
def test_a_file_is_written_once(store: Store, size: int) -> None:
    data = bytes(range(250)) * (size // 250) + b"y" * (size % 250)

    async def scenario() -> None:
        assert await store.aput_new_file("asset.bin", io.BytesIO(data))
        assert not await store.aput_new_file("asset.bin", io.BytesIO(b"another"))
        told, chunks = await store.astream("asset.bin")
        digest = hashlib.sha256()
        most = 0
        async for chunk in chunks:
            digest.update(chunk)
            most = max(most, len(chunk))
        assert told == size
        assert digest.digest() == hashlib.sha256(data).digest()
        assert most <= 8 << 20

    asyncio.run(scenario())


def test_what_is_not_there_is_named(store: Store) -> None:
    with pytest.raises(NotFoundError, match="nothing does not exist"):
        asyncio.run(store.astream("nothing"))
