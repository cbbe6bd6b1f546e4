"""Signed addresses that die between a row's export and its turn: they are fetched again, as long as that helps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import labelbox as lb
import pytest
from tests.integration.fates.lab import Assets, Container, Lab, Scene, picture, radio

from vertex_model_inference.runs.surroundings import open_artifacts
from vertex_model_inference.settings import load
from vertex_model_inference.spec import Files

ROWS = 40
SHARD = 10


@pytest.fixture
def signing(lab: Lab) -> Iterator[Lab]:
    """Labelbox signs addresses anew in each export."""
    lab.labelbox.put("/_sandbox/settings", json={"sign_assets_s": 3600}).raise_for_status()
    yield lab
    lab.labelbox.put("/_sandbox/settings", json={"sign_assets_s": None}).raise_for_status()


def scene_of(lab: Lab, assets: Assets, name: str) -> Scene:
    return lab.scene(
        {f"{name} {n}": assets.put(f"{name}-{n}.png", picture(n, (40, 30 + n))) for n in range(ROWS)},
        classifications=[radio("tone", "kind", "rude")],
        media_type=lb.MediaType.Image,
    )


def perform(lab: Lab, container: Container, scene: Scene, folder: Path) -> Any:
    container.answer = lambda _: [{"label": "kind", "score": 1.0}]
    toml = f'[models."Pictures"]\ncontainer = "{container.url}/predict"\ninstance = {{image = "{{b64}}"}}\n'
    return lab.perform(
        scene,
        "Pictures",
        folder,
        toml,
        VMI_CANARY_ROWS="0",
        VMI_SHARD_ROWS=str(SHARD),
    )


def exports_of_rows(lab: Lab) -> int:
    [rule] = [
        rule
        for rule in lab.labelbox.get("/_sandbox/faults").json()["faults"]
        if rule["match"] == "exportDataRowsInCatalogPyApi"
    ]
    return int(rule["seen"])


def test_rows_are_exported_again_for_fresh_addresses(
    signing: Lab, container: Container, assets: Assets, tmp_path: Path
) -> None:
    scene = scene_of(signing, assets, "dying")
    first: dict[str, str] = {}

    def dead(path: str, query: Mapping[str, str]) -> bool:
        """Whatever the run's own export said is dead, of every second row; what comes later is good."""
        number = int(path.removesuffix(".png").rpartition("-")[2])
        return number % 2 == 0 and first.setdefault(path, query["Signature"]) == query["Signature"]

    signing.fault(match="exportDataRowsInCatalogPyApi", times=0, after=10**9)  # counts
    assets.refuses = dead
    try:
        done = perform(signing, container, scene, tmp_path)
    finally:
        assets.refuses = lambda _path, _query: False
    assert (done.finished.state, done.finished.counts.predicted) == ("COMPLETE", ROWS)
    assert len(first) == ROWS // 2
    assert exports_of_rows(signing) == ROWS // SHARD
    store = open_artifacts(load({**signing.config.environment(), "VMI_DATA_DIR": str(tmp_path / "vmi")}, tmp_path))
    kept = b"".join(store.get(entry.path) for entry in store.entries(Files(done.run_id).folder))
    assert b"dying-3.png" in kept
    for signature in first.values():
        assert signature.encode() not in kept, "signatures of rows that have ended are kept nowhere"


def test_addresses_that_stay_forbidden_are_not_asked_for_again_and_again(
    signing: Lab, container: Container, assets: Assets, tmp_path: Path
) -> None:
    scene = scene_of(signing, assets, "forbidden")
    signing.fault(match="exportDataRowsInCatalogPyApi", times=0, after=10**9)  # counts
    assets.refuses = lambda _path, _query: True
    try:
        done = perform(signing, container, scene, tmp_path)
    finally:
        assets.refuses = lambda _path, _query: False
    assert set(done.statuses().values()) == {"failed"}
    assert {outcome.code for outcome in done.outcomes.values()} == {"asset_forbidden"}
    # Up to four shards look at the same time, before any of them can tell the others.
    assert 1 <= exports_of_rows(signing) <= ROWS // SHARD


def test_an_export_that_fails_leaves_the_rows_as_they_were(
    signing: Lab, container: Container, assets: Assets, tmp_path: Path
) -> None:
    scene = scene_of(signing, assets, "unrenewed")
    refusal = {"errors": [{"message": "no", "extensions": {"code": "OPERATION_NOT_ALLOWED"}}], "data": None}
    signing.fault(match="exportDataRowsInCatalogPyApi", times=0, json=refusal)
    assets.refuses = lambda path, _query: path.endswith("-3.png")
    try:
        done = perform(signing, container, scene, tmp_path)
    finally:
        assets.refuses = lambda _path, _query: False
    assert done.finished.counts.predicted == ROWS - 1
    assert done.fate("unrenewed 3") == ("failed", "assets", "asset_forbidden")
