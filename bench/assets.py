"""Bringing 400 photographs from a web server to Cloud Storage: ours, the original program's way, and the plainest way.

* ours: the ``assets`` step of a run as it is: header read, content hashed, copied under its hash, remembered;
* the original's: eight threads, each downloading, decoding, halving, encoding and uploading with google-cloud-storage;
* plain: aiohttp into obstore, 64 at a time, nothing looked at.

Each round writes into a bucket of its own in the sandbox's Cloud Storage; the rounds of the ways alternate.
"""

from __future__ import annotations

import asyncio
import io
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import msgspec

from bench.figure import Figure, median
from bench.photos import photographs, serving
from bench.watching import cpu_of_children
from vertex_model_inference.models import ModelOption, Predictor, Task, VertexModel
from vertex_model_inference.rows import DataRow, MediaType
from vertex_model_inference.runs.surroundings import Surroundings
from vertex_model_inference.sandbox.config import LOCATION, PROJECT, SandboxConfig
from vertex_model_inference.sandbox.launcher import running
from vertex_model_inference.settings import load
from vertex_model_inference.spec import Files, RunSpec
from vertex_model_inference.steps.assets import AssetsDone, stage_shard

__all__ = ["run"]

ROUNDS, ROUNDS_OF_THE_SLOW = 5, 2
PLAIN_AT_ONCE, ORIGINAL_THREADS = 64, 8

_MODEL = VertexModel(name=f"projects/{PROJECT}/locations/{LOCATION}/models/1", automl=True, display_name="bench")
_OPTION = ModelOption(name="bench", predictor=Predictor.BATCH, model=_MODEL, task=Task.IMAGE_CLASSIFICATION)


class Spent(NamedTuple):
    """Wall clock, CPU of this process and CPU of the servers of photographs and of the sandbox, in seconds."""

    wall: float
    cpu: float
    servers: float


def _measured(work: Callable[[], Any]) -> Spent:
    servers, wall, cpu = sum(cpu_of_children().values()), time.perf_counter(), time.process_time()
    work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Spent(wall, cpu, sum(cpu_of_children().values()) - servers)


class _Ours:
    """One round of the product: a fresh bucket, an index that knows nothing."""

    def __init__(self, config: SandboxConfig, bucket: str, folder: Path, urls: Sequence[str]) -> None:
        environment = {**config.environment(), "VMI_BUCKET": bucket, "VMI_DATA_DIR": str(folder / bucket)}
        self._surroundings = Surroundings(load(environment, folder))
        self._rows = [
            DataRow(id=f"cm0datarow{number:015d}", row_data=url, media_type=MediaType.IMAGE, mime_type="image/jpeg")
            for number, url in enumerate(urls)
        ]
        self.done: AssetsDone | None = None

    def stage(self, attempt: int = 0) -> Spent:
        spec = RunSpec(run_id=f"bench-{attempt}", model_run_id="bench", option=_OPTION, created_at="")
        context, _ = self._surroundings.of(spec)
        context.store.put_lines(Files(spec.run_id).shard("rows", 0), map(msgspec.json.encode, self._rows))

        def work() -> None:
            self.done = stage_shard(context, 0)

        spent = _measured(work)
        self._surroundings.forget(spec.run_id)
        return spent

    def close(self) -> None:
        self._surroundings.close()


def _original(config: SandboxConfig, bucket_name: str, urls: Sequence[str]) -> Spent:
    import requests
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage
    from PIL import Image

    client = storage.Client(
        project=PROJECT, credentials=AnonymousCredentials(), client_options={"api_endpoint": config.storage_url}
    )
    bucket = client.bucket(bucket_name)

    def bring(number: int, url: str) -> None:
        with Image.open(io.BytesIO(requests.get(url, timeout=30).content)) as image:
            half = image.resize((image.width // 2, image.height // 2))
            file = io.BytesIO()
            half.save(file, "JPEG")
        file.seek(0)
        bucket.blob(f"{number}.jpg").upload_from_file(file, content_type="image/jpeg")

    def work() -> None:
        with ThreadPoolExecutor(ORIGINAL_THREADS) as pool:
            for _ in pool.map(bring, range(len(urls)), urls):
                pass

    spent = _measured(work)
    client.close()
    return spent


def _plain(config: SandboxConfig, bucket: str, urls: Sequence[str]) -> Spent:
    import aiohttp
    import obstore
    from obstore.store import GCSStore

    # A token of the sandbox: without one, obstore would ask the machine's metadata server.
    credential: Any = {"token": "sandbox-token", "expires_at": None}
    store = GCSStore(
        bucket,
        config={"base_url": config.storage_url},
        client_options={"allow_http": True},
        credential_provider=lambda: credential,
    )

    async def bring() -> None:
        free = asyncio.Semaphore(PLAIN_AT_ONCE)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

            async def one(number: int, url: str) -> None:
                async with free:
                    async with session.get(url) as response:
                        data = await response.read()
                    await obstore.put_async(store, f"{number}.jpg", data)

            await asyncio.gather(*(one(number, url) for number, url in enumerate(urls)))

    return _measured(lambda: asyncio.run(bring()))


def _bucket(config: SandboxConfig, name: str) -> str:
    answer = httpx2.post(
        f"{config.storage_url}/storage/v1/b",
        params={"project": PROJECT},
        json={"name": name, "location": LOCATION},
        headers={"Authorization": "Bearer sandbox-token"},
        timeout=30,
        trust_env=False,
    )
    answer.raise_for_status()
    return name


def _objects(config: SandboxConfig, bucket: str) -> int:
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    client = storage.Client(
        project=PROJECT, credentials=AnonymousCredentials(), client_options={"api_endpoint": config.storage_url}
    )
    count = sum(1 for blob in client.list_blobs(bucket) if blob.name.endswith(".jpg"))
    client.close()
    return count


def run(rounds: int = ROUNDS, rounds_of_the_slow: int = ROUNDS_OF_THE_SLOW) -> list[Figure]:
    """Measure all; raises AssertionError when a way did not bring every photograph."""
    photos = photographs()
    count = len(photos)
    spent: dict[str, list[Spent]] = {"ours": [], "again": [], "plain": [], "original": []}
    copied_again = 0

    def check(bucket: str) -> None:
        assert _objects(config, bucket) == count, f"{bucket} does not have {count} photographs"

    def ours(number: int) -> None:
        nonlocal copied_again
        bucket = _bucket(config, f"bench-ours-{number}")
        way = _Ours(config, bucket, folder, urls)
        try:
            spent["ours"].append(way.stage())
            assert way.done == AssetsDone(count, 0, count, 0), way.done
            check(bucket)
            spent["again"].append(way.stage(attempt=1))
            assert way.done is not None
            copied_again += way.done.copied
        finally:
            way.close()

    def plain(number: int) -> None:
        bucket = _bucket(config, f"bench-plain-{number}")
        spent["plain"].append(_plain(config, bucket, urls))
        check(bucket)

    with (
        tempfile.TemporaryDirectory(prefix="vmi-bench-") as name,
        running() as config,
        serving(photos) as urls,
    ):
        folder = Path(name)
        for way in (ours, plain):
            way(-1)  # connections, code and caches warm on both sides
        for values in spent.values():
            values.clear()
        for number in range(rounds):
            for way in (ours, plain) if number % 2 else (plain, ours):
                way(number)
        for number in range(rounds_of_the_slow):
            bucket = _bucket(config, f"bench-original-{number}")
            spent["original"].append(_original(config, bucket, urls))
            check(bucket)
    rate = {way: count / median([each.wall for each in values]) for way, values in spent.items()}
    cpu = {way: median([each.cpu for each in values]) / count * 1000 for way, values in spent.items()}
    step = f"assets: {count} photographs to storage"
    cores = os.cpu_count() or 1
    # Were no core ever idle: what limits every way here is that the servers share the machine.
    limit = {way: cores * count / median([each.cpu + each.servers for each in spent[way]]) for way in ("ours", "plain")}
    return [
        Figure.compared(
            step, "objects/s", rate["ours"], rate["original"], "the original's way", more_is_better=True,
            least_ratio=10,
        ),
        Figure.compared(
            step, "objects/s", rate["ours"], rate["plain"], "plain async copy", more_is_better=True, least_ratio=0.8
        ),
        Figure.compared(
            step, "objects/s", rate["ours"], limit["ours"], f"what {cores} cores can do, servers included",
            more_is_better=True,
        ),
        Figure.compared(
            "assets: most that the plain copy could do here", "objects/s", limit["plain"], rate["original"],
            "the original's way", more_is_better=True,
        ),
        Figure.compared(
            "assets: client CPU", "ms/object", cpu["ours"], cpu["original"], "the original's way", more_is_better=False
        ),
        Figure.compared(
            "assets: client CPU", "ms/object", cpu["ours"], cpu["plain"], "plain async copy", more_is_better=False
        ),
        Figure.compared(
            "assets: all there already", "objects/s", rate["again"], rate["ours"], "the first time",
            more_is_better=True,
        ),
        Figure.alone(
            "assets: copied again", "objects", float(copied_again), target="0 objects", met=copied_again == 0
        ),
    ]  # fmt: skip


def main() -> None:
    for figure in run():
        print(figure)


if __name__ == "__main__":
    main()
