"""A run stops at its model's budget: in order, with the rest skipped by name, and nothing sent beyond it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import labelbox as lb
import pytest
from tests.integration.fates.lab import Container, Done, Lab, Scene, radio

from vertex_model_inference.runs import inline
from vertex_model_inference.runs.progress import read_status
from vertex_model_inference.runs.reading import outcomes_of
from vertex_model_inference.runs.status import RunState
from vertex_model_inference.runs.surroundings import Surroundings
from vertex_model_inference.settings import load
from vertex_model_inference.webhook.wiring import catalog_of

ROWS = 240
SHARD = 60


def texts(lab: Lab, name: str, bad: int = 0) -> Scene:
    """Rows of which every ``bad``-th makes the model fail."""
    return lab.scene(
        {f"{name} {number}": "spoil" if bad and number % bad == 0 else f"text {number}" for number in range(ROWS)},
        classifications=[radio("tone", "kind", "rude")],
        media_type=lb.MediaType.Text,
    )


def answer(instance: dict[str, Any]) -> Any:
    if instance["text"] == "spoil":
        return {"error": {"message": "spoilt"}}
    return [{"label": "kind", "score": 1.0}]


def section(container: Container, *lines: str) -> str:
    usual = (f'container = "{container.url}/predict"', 'instance = {text = "{text}"}')
    return "\n".join(('[models."Dear"]', *usual, *lines))


def check(done: Done, scene: Scene, sent: int, words: str) -> None:
    """The run stopped in order: ``sent`` rows were done, the others say why not, and everybody is told the same."""
    assert done.finished.state == RunState.STOPPED
    assert words in done.finished.message
    fates = Counter((outcome.status.value, outcome.code) for outcome in done.outcomes.values())
    assert fates["skipped", "budget"] == ROWS - sent == done.finished.counts.skipped
    assert done.finished.counts.exported == len(done.outcomes) == ROWS
    assert all(outcome.retryable for outcome in done.outcomes.values() if outcome.code == "budget")
    glance = scene.glance()
    assert (glance["status"], glance["error_message"]) == ("FAILED", done.finished.message)


@pytest.mark.parametrize("canary", ["0", "20"])
def test_so_many_rows_and_not_one_more(lab: Lab, container: Container, tmp_path: Path, canary: str) -> None:
    scene = texts(lab, f"most {canary}")
    container.answer = answer
    toml = section(container, "max_rows = 100")
    more = {"VMI_CANARY_ROWS": canary, "VMI_SHARD_ROWS": str(SHARD)}
    done = lab.perform(scene, "Dear", tmp_path, toml, **more)
    check(done, scene, 100, "max_rows = 100")
    assert len(container.seen) == done.finished.counts.predicted == 100

    # The next run does the next hundred: what was done stays done, and costs nothing.
    again = lab.perform(scene, "Dear", tmp_path, toml, **more)
    assert len(container.seen) == 200
    assert (again.finished.state, again.finished.counts.predicted) == (RunState.STOPPED, 200)
    last = lab.perform(scene, "Dear", tmp_path, toml, **more)
    assert len(container.seen) == ROWS
    assert (last.finished.state, last.finished.counts.predicted) == (RunState.COMPLETE, ROWS)


def test_too_many_failures(lab: Lab, container: Container, tmp_path: Path) -> None:
    scene = texts(lab, "failures", bad=3)
    container.answer = answer
    toml = section(container, "max_failed_fraction = 0.2", "max_failed_from = 50")
    done = lab.perform(scene, "Dear", tmp_path, toml, VMI_CANARY_ROWS="0", VMI_SHARD_ROWS="20")
    sent = done.finished.counts.predicted + done.finished.counts.failed
    check(done, scene, sent, "max_failed_fraction = 0.2")
    assert 50 <= sent < ROWS
    assert "20 of the first 60 data rows that ended had failed (33%)" in done.finished.message
    # Few enough failures go through.
    toml = section(container, "max_failed_fraction = 0.4", "max_failed_from = 50", 'rerun = "all"')
    done = lab.perform(scene, "Dear", tmp_path, toml, VMI_CANARY_ROWS="0", VMI_SHARD_ROWS="20")
    assert done.finished.state == RunState.COMPLETE


def test_too_dear(lab: Lab, container: Container, tmp_path: Path) -> None:
    scene = texts(lab, "dollars")
    container.answer = answer
    toml = section(container, "max_cost = 15", "usd_per_1000_rows = 100")
    done = lab.perform(scene, "Dear", tmp_path, toml, VMI_CANARY_ROWS="0", VMI_SHARD_ROWS=str(SHARD))
    check(done, scene, 2 * SHARD, "max_cost = $15: 120 data rows came to about $12.00")
    assert len(container.seen) == 2 * SHARD


def test_a_price_that_nobody_knows(lab: Lab, container: Container, tmp_path: Path) -> None:
    """A limit that cannot be kept is refused before anything is spent."""
    scene = texts(lab, "unknown")
    container.answer = answer
    done = lab.perform(scene, "Dear", tmp_path, section(container, "max_cost = 15"))
    assert done.finished.state == RunState.FAILED
    assert "max_cost is set for Dear, but it cannot be kept" in done.finished.message
    assert "usd_per_1000_rows" in done.finished.message
    assert container.seen == []


def test_a_budget_of_cloud_functions(lab: Lab, container: Container, tmp_path: Path) -> None:
    scene = texts(lab, "functions")
    container.answer = answer
    (tmp_path / "vmi.toml").write_text(section(container, "max_rows = 100"))
    environment = {**lab.config.environment(), "VMI_DATA_DIR": str(tmp_path / "vmi"), "VMI_SHARD_ROWS": str(SHARD)}
    settings = load({**environment, "VMI_CANARY_ROWS": "0"}, tmp_path)
    option = catalog_of(settings).refresh().find("Dear")
    assert option is not None
    surroundings = Surroundings(settings)
    try:
        run_id = inline.begin(surroundings, scene.run.uid, option, None).run_id
        inline.extract(surroundings, run_id)
        finished = inline.infer(surroundings, run_id)
        status = read_status(surroundings.store, run_id)
        codes = Counter(item.code for item in outcomes_of(surroundings.store, run_id))
    finally:
        surroundings.close()
    assert (finished.state, finished.counts.predicted) == (RunState.STOPPED, 100)
    assert codes == {None: 100, "budget": ROWS - 100}
    assert status is not None
    assert status.state is RunState.STOPPED
    assert len(container.seen) == 100
