"""A run of an online model that is cancelled, or has used up a budget, while its rows are on their way."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import labelbox as lb
import pytest
from tests.integration.fates.lab import Container, Lab, Scene, radio

from vertex_model_inference.errors import VmiError
from vertex_model_inference.runs import flow, inline
from vertex_model_inference.runs.cancel import cancel_run
from vertex_model_inference.runs.progress import read_status
from vertex_model_inference.runs.reading import outcomes_of
from vertex_model_inference.runs.status import RunState
from vertex_model_inference.runs.surroundings import Surroundings, open_artifacts
from vertex_model_inference.settings import Settings, load
from vertex_model_inference.spec import run_id_of
from vertex_model_inference.webhook.wiring import catalog_of

ROWS = 240


class Model:
    """Answers ``free`` texts at once; whoever comes after is held until it is let go."""

    def __init__(self, free: int, then: Callable[[], None]) -> None:
        self._free = free
        self._then = then
        self._lock = threading.Lock()
        self.let_go = threading.Event()
        self.asked = 0

    def __call__(self, _: dict[str, Any]) -> Any:
        with self._lock:
            self.asked += 1
            number = self.asked
        if number == self._free + 1:
            self._then()
        if number > self._free:
            self.let_go.wait(60)
        return [{"label": "kind", "score": 1.0}]


def texts(lab: Lab, name: str, rows: int = ROWS) -> Scene:
    return lab.scene(
        {f"{name} {number}": f"text {number}" for number in range(rows)},
        classifications=[radio("tone", "kind", "rude")],
        media_type=lb.MediaType.Text,
    )


def section(container: Container, **more: str) -> str:
    lines = [f'container = "{container.url}/predict"', 'instance = {text = "{text}"}', "batch_size = 1"]
    return "\n".join(['[models."Slow"]', *lines, *(f"{key} = {value}" for key, value in more.items())])


def settings_of(lab: Lab, folder: Path, container: Container, **more: str) -> Settings:
    (folder / "vmi.toml").write_text(section(container, **more))
    environment = {**lab.config.environment(), "VMI_DATA_DIR": str(folder / "vmi"), "VMI_CANARY_ROWS": "0"}
    return load({**environment, "VMI_SHARD_ROWS": "60"}, folder)


def test_an_online_run_stops_sending(lab: Lab, container: Container, tmp_path: Path) -> None:
    """Rows that are answered by then are uploaded; requests that hang are not waited for; the rest is never sent."""
    scene = texts(lab, "slow")
    settings = settings_of(lab, tmp_path, container)
    run_id = run_id_of(scene.run.uid, "Slow", 0)

    model = container.answer = Model(100, lambda: said.append(cancel_run(settings, run_id, by="a test").words))
    said: list[str] = []
    try:
        done = lab.perform(scene, "Slow", tmp_path, section(container), VMI_CANARY_ROWS="0", VMI_SHARD_ROWS="60")
    finally:
        model.let_go.set()
    assert "is being cancelled" in said[0]
    assert done.run_id == run_id
    assert done.finished.state == RunState.CANCELLED
    assert "cancelled by a test" in done.finished.message
    counts = done.finished.counts
    fates = Counter((outcome.status.value, outcome.code) for outcome in done.outcomes.values())
    assert set(fates) == {("predicted", None), ("skipped", "cancelled")}
    assert fates["predicted", None] == counts.predicted == 100
    assert counts.predicted + counts.skipped == counts.exported == len(done.outcomes)
    assert model.asked < ROWS
    held = {key: found for key, found in scene.predictions().items() if found}
    assert sorted(held) == sorted(key for key, item in done.outcomes.items() if item.status == "predicted")
    glance = scene.glance()
    assert (glance["status"], glance["error_message"]) == ("FAILED", done.finished.message)


@pytest.mark.parametrize("half", ["extract", "between", "infer"])
def test_a_run_of_cloud_functions_is_cancelled(
    lab: Lab, container: Container, tmp_path: Path, half: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = texts(lab, f"function {half}")
    settings = settings_of(lab, tmp_path, container)
    option = catalog_of(settings).refresh().find("Slow")
    assert option is not None
    store = open_artifacts(settings)
    model = container.answer = Model(
        100 if half == "infer" else 10**9, lambda: said.append(cancel_run(settings, run_id, by="a test", store=store))
    )
    said: list[Any] = []
    surroundings = Surroundings(settings)
    try:
        started = inline.begin(surroundings, scene.run.uid, option, None)
        run_id = started.run_id
        if half == "extract":
            stage, staged = flow.stage_group, []

            def once(*arguments: Any) -> None:
                stage(*arguments)
                staged.append(arguments[3])
                if len(staged) == 2:
                    cancel_run(settings, run_id, by="a test", store=store)
                    assert arguments[1].halt.wait(30)

            monkeypatch.setattr(flow, "stage_group", once)
            with pytest.raises(VmiError, match="cancelled"):
                inline.extract(surroundings, run_id)
        else:
            assert inline.extract(surroundings, run_id) == ROWS // 60
            if half == "between":
                cancel_run(settings, run_id, by="a test", store=store)
            assert inline.infer(surroundings, run_id).state == RunState.CANCELLED
    finally:
        model.let_go.set()
        surroundings.close()
    status = read_status(store, run_id)
    assert status is not None
    outcomes = list(outcomes_of(store, run_id))
    predicted = {"extract": 0, "between": 0, "infer": 100}[half]
    assert (status.state, status.counts.predicted) == (RunState.CANCELLED, predicted)
    assert status.counts.predicted + status.counts.skipped == status.counts.exported == len(outcomes)
    assert {item.code for item in outcomes} <= {None, "cancelled"}
    assert (model.asked == 0) == (half != "infer")
    assert scene.glance()["status"] == "FAILED"
    # Asked again, it is another run.
    again = Surroundings(settings)
    try:
        assert inline.begin(again, scene.run.uid, option, None).run_id == run_id_of(scene.run.uid, "Slow", 1)
    finally:
        again.close()
