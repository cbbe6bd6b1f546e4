"""Before a run: what it would do; and ``vmi plan``, ``retry`` and ``gc`` as people call them."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import labelbox as lb
import msgspec
import pytest
from tests.integration.fates.lab import Assets, Container, Lab, Scene, picture, radio
from tests.integration.fates.serving import vmi

from vertex_model_inference.errors import NotFoundError, StorageError
from vertex_model_inference.models import ModelOption, Predictor, VertexModel
from vertex_model_inference.runs import plan as planning
from vertex_model_inference.runs.plan import Plan, plan_run
from vertex_model_inference.runs.surroundings import Surroundings
from vertex_model_inference.settings import load
from vertex_model_inference.webhook.wiring import catalog_of

OPTION = "planned model"


def _toml(container: Container, more: str = "") -> str:
    return f'[models."{OPTION}"]\ncontainer = "{container.url}/predict"\ntask = "image-classification"\n{more}\n'


def _plan(lab: Lab, scene: Scene, folder: Path, **more: Any) -> Plan:
    settings = load({**lab.config.environment(), "VMI_DATA_DIR": str(folder / "vmi")}, folder)
    option = catalog_of(settings).refresh().find(OPTION)
    assert option is not None
    surroundings = Surroundings(settings)
    try:
        return plan_run(surroundings, scene.run.uid, option, **more)
    finally:
        surroundings.close()


def test_what_a_run_would_do(lab: Lab, container: Container, assets: Assets, tmp_path: Path) -> None:
    container.answer = lambda _: [{"label": "kind", "score": 0.5}]
    bodies = [picture(n * 10) for n in range(12)]
    rows: dict[str, str | dict[str, Any]] = {
        f"plan {n}": assets.put(f"plan/{n}.png", body) for n, body in enumerate(bodies)
    }
    rows["plan text"] = "no picture"
    scene = lab.scene(rows, classifications=[radio("tone", "kind", "rude")])
    (tmp_path / "vmi.toml").write_text(_toml(container, "usd_per_1000_rows = 2.5"))
    before = _plan(lab, scene, tmp_path)
    assert (before.rows, before.media, before.to_model, before.as_they_were) == (13, {"image": 12, "text": 1}, 12, 0)
    assert list(before.not_taken.values()) == [1]
    copies = before.copies
    assert (copies.rows, copies.there, copies.asked) == (12, 0, 12)
    assert copies.bytes == pytest.approx(sum(map(len, bodies)), abs=12)
    assert before.seconds is None
    assert before.pace.startswith("unknown")
    assert before.cost.usd == pytest.approx(0.03)
    assert (before.problems, before.running) == ((), None)
    assert container.seen == [], "a plan asks the model nothing"

    done = lab.perform(scene, OPTION, tmp_path, _toml(container, "usd_per_1000_rows = 2.5"))
    after = _plan(lab, scene, tmp_path)
    assert (after.to_model, after.as_they_were, after.copies.rows, after.cost.usd) == (0, 12, 0, 0.0)
    again = _plan(lab, scene, tmp_path, rerun="all")
    assert (again.to_model, again.as_they_were) == (12, 0)
    assert (again.copies.rows, again.copies.there) == (0, 12)
    assert again.seconds is not None
    assert done.run_id in again.pace
    (tmp_path / "vmi.toml").write_text(_toml(container, "threshold = 0.9"))
    other = _plan(lab, scene, tmp_path)
    assert (other.to_model, other.read_again, other.as_they_were) == (0, 12, 0)


class _Regions:
    """``near`` is where the model is, ``far`` is not, ``gone`` does not exist."""

    def location(self, bucket: str) -> str:
        if bucket == "gone":
            raise NotFoundError("Bucket gone does not exist.")
        if bucket == "hidden":
            raise StorageError("Storage answered 403 for bucket hidden.")
        return "US" if bucket == "near" else "EUROPE-WEST4"

    def readable(self, bucket: str, region: str) -> bool:
        return bucket != "far"


@pytest.mark.parametrize(
    ("bucket", "region", "problem"),
    [
        ("near", "us-central1", None),
        ("far", "us-central1", "cannot read"),
        ("gone", "us-central1", "does not exist"),
        (None, "us-central1", "VMI_BUCKET"),
        ("near", "europe-west4", "VMI_REGION=us-central1"),
        ("hidden", "us-central1", None),
    ],
)
def test_regions_that_do_not_fit(bucket: str | None, region: str, problem: str | None) -> None:
    model = VertexModel(name="projects/p/locations/us-central1/models/1")
    option = ModelOption(name="m", predictor=Predictor.BATCH, model=model)
    context: Any = SimpleNamespace(
        spec=SimpleNamespace(option=option),
        settings=SimpleNamespace(region=region, bucket=bucket),
        regions=_Regions(),
    )
    found = planning._regions(context, Counter({"far": 3}))
    if problem is None:
        assert found.problems == []
    else:
        assert problem in found.problems[0]
    if bucket == "near":
        assert "3 rows are in the bucket far" in found.notes[0]


def test_as_people_call_them(lab: Lab, container: Container, tmp_path: Path) -> None:
    def answer(instance: dict[str, Any]) -> Any:
        bad = instance["text"] == "bad"
        return {"error": {"message": "no"}} if bad else [{"label": "kind", "score": 0.5}]

    container.answer = answer
    rows: dict[str, str | dict[str, Any]] = {f"called {n}": "good" for n in range(3)}
    rows["called bad"] = "bad"
    scene = lab.scene(rows, classifications=[radio("tone", "kind", "rude")], media_type=lb.MediaType.Text)
    (tmp_path / "vmi.toml").write_text(_toml(container).replace("image-", "text-"))
    settings = {**lab.config.environment(), "VMI_DATA_DIR": str(tmp_path / "vmi")}
    run_id = scene.run.uid
    assert vmi(tmp_path, settings, "run", run_id, "-m", OPTION, seconds=150).returncode == 3
    planned = vmi(tmp_path, settings, "plan", run_id, "-m", OPTION)
    assert planned.returncode == 0, planned.stderr
    assert "as they were  3" in planned.stdout
    container.answer = lambda _: [{"label": "kind", "score": 0.5}]
    listed = vmi(tmp_path, settings, "outcomes", run_id, "--failed", "--format", "csv").stdout
    assert [row["global_key"] for row in csv.DictReader(listed.splitlines())] == ["called bad"]
    (tmp_path / "rows.csv").write_text(listed)
    tried = vmi(tmp_path, settings, "retry", run_id, "--rows", "rows.csv", "--json")
    assert tried.returncode == 0, tried.stderr
    counts = json.loads(tried.stdout)["counts"]
    assert (counts["predicted"], counts["reused"], counts["failed"]) == (4, 3, 0)
    nothing = vmi(tmp_path, settings, "retry", run_id)
    assert nothing.returncode == 1
    assert "has failed" in nothing.stderr
    assert "Traceback" not in nothing.stderr
    wrong = vmi(tmp_path, settings, "retry", run_id, "--rows", "absent.csv")
    assert (wrong.returncode, "cannot be read" in wrong.stderr, "Traceback" in wrong.stderr) == (1, True, False)
    collected = vmi(tmp_path, settings, "gc", "--json")
    assert collected.returncode == 0, collected.stderr
    found = msgspec.json.decode(collected.stdout)
    assert (found["runs"], found["removed_files"]) == ([], 0)
