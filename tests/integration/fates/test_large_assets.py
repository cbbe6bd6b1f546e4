"""Assets of many megabytes, assets that lie, and a model that is busy: as whole runs."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import threading
import uuid
from pathlib import Path
from typing import Any

import httpx2
import labelbox as lb
import msgspec
from PIL import Image
from tests.integration.fates.lab import Assets, Container, Lab, picture, radio

from vertex_model_inference.runs.reading import status_of
from vertex_model_inference.runs.surroundings import open_artifacts
from vertex_model_inference.sandbox.config import PROJECT
from vertex_model_inference.settings import load
from vertex_model_inference.spec import Files, Staged


def _noise(side: int) -> bytes:
    """A PNG that does not shrink: about 3 bytes a pixel."""
    out = io.BytesIO()
    Image.frombytes("RGB", (side, side), os.urandom(side * side * 3)).save(out, "PNG", compress_level=0)
    return out.getvalue()


def test_large_assets_and_lies(lab: Lab, container: Container, assets: Assets, tmp_path: Path) -> None:
    mark = uuid.uuid4().hex[:6]
    large, over = _noise(1700), _noise(2200)
    assert 8_000_000 < len(large) < 10_000_000 < len(over)
    far = f"far-{mark}"
    bucket = {"name": far, "location": "europe-west4"}
    token = {"Authorization": "Bearer sandbox-token"}
    storage = lab.config.storage_url
    httpx2.post(f"{storage}/storage/v1/b?project={PROJECT}", json=bucket, headers=token).raise_for_status()
    httpx2.post(
        f"{storage}/upload/storage/v1/b/{far}/o?uploadType=media&name=large.png", content=large, headers=token
    ).raise_for_status()
    rows: dict[str, str | dict[str, Any]] = {
        "large": assets.put(f"{mark}/large", large),
        "large again": assets.put(f"{mark}/large-again", large),
        "over the limit": assets.put(f"{mark}/over", over),
        "web page": assets.put(f"{mark}/page.jpg", b"<html>please log in</html>"),
        "cut picture": assets.put(f"{mark}/cut.png", picture(7)[:20]),
        "compressed as a file": assets.put(f"{mark}/zip.png", gzip.compress(picture(7))),
        "far": f"gs://{far}/large.png",
        "other scheme": f"ftp://127.0.0.1/{mark}.png",
    }
    scene = lab.scene({f"{mark} {key}": data for key, data in rows.items()}, classifications=[radio("pet", "cat")])
    container.answer = lambda instance: [{"label": "cat", "score": len(instance["uri"]) / 1000}]
    toml = (
        f'[models."by uri"]\ncontainer = "{container.url}/predict"\ntask = "image-classification"\n'
        'instance = { uri = "{uri}" }\n'
    )
    done = lab.perform(scene, "by uri", tmp_path, toml, VMI_MAX_ASSET_MB="10")
    fates = {key.removeprefix(f"{mark} "): done.fate(key) for key in done.outcomes}
    assert fates == {
        "large": ("predicted", None, None),
        "large again": ("predicted", None, None),
        "far": ("predicted", None, None),
        "over the limit": ("failed", "assets", "asset_too_large"),
        "web page": ("failed", "assets", "asset_corrupt"),
        "cut picture": ("failed", "assets", "asset_corrupt"),
        "compressed as a file": ("failed", "assets", "asset_corrupt"),
        "other scheme": ("failed", "assets", "asset_url"),
    }
    copy = f"assets/{hashlib.sha256(large).hexdigest()[:2]}/{hashlib.sha256(large).hexdigest()}.png"
    store = open_artifacts(load({**lab.config.environment(), "VMI_DATA_DIR": str(tmp_path / "look")}, tmp_path))
    assert store.size(copy) == len(large)
    staged = {
        item.data_row_id: item
        for entry in store.entries(f"{Files(done.run_id).folder}/staged")
        for line in store.lines(entry.path)
        for item in [msgspec.json.decode(line, type=Staged)]
    }
    one = staged[scene.ids[f"{mark} large"]]
    assert (one.uri, one.width, one.height, one.size) == (store.uri(copy), 1700, 1700, len(large))
    assert staged[scene.ids[f"{mark} large again"]].uri == one.uri
    assert list((tmp_path / "vmi" / "tmp").iterdir()) == [], "files on the way have no names"


def test_time_spent_waiting_is_told(lab: Lab, container: Container, tmp_path: Path) -> None:
    mark = uuid.uuid4().hex[:6]
    lock = threading.Lock()
    asked: list[str] = []

    def busy_at_first(instance: dict[str, Any]) -> Any:
        with lock:
            asked.append(instance["text"])
            if len(asked) == 1:
                raise RuntimeError("503")
        return [{"label": "kind", "score": 0.5}]

    container.answer = busy_at_first
    scene = lab.scene(
        {f"{mark} {n}": f"text {n}" for n in range(3)},
        classifications=[radio("tone", "kind", "rude")],
        media_type=lb.MediaType.Text,
    )
    lab.fault(match="GetExportFileFromOffsetPyApi", status=429, body="slow", headers={"Retry-After": "0.4"})
    toml = f'[models."busy"]\ncontainer = "{container.url}/predict"\ntask = "text-classification"\n'
    done = lab.perform(scene, "busy", tmp_path, toml)
    assert done.finished.counts.predicted == 3
    store = open_artifacts(load({**lab.config.environment(), "VMI_DATA_DIR": str(tmp_path / "look")}, tmp_path))
    waited = status_of(store, done.run_id).waited
    assert set(waited) == {"labelbox: rate limit", "model: fault"}
    assert waited["labelbox: rate limit"] >= 0.4
    assert waited["model: fault"] >= 0.2
