"""The fates of rows that go to a model one request at a time: a Vertex endpoint, and a plain container."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from typing import Any

import labelbox as lb
import pytest
from tests.integration.fates.lab import Container, Lab, radio

FATES: dict[str, tuple[str, str | None, str | None]] = {
    **{f"good {n}": ("predicted", None, None) for n in range(20)},
    "nothing": ("empty", None, None),
    "busy": ("predicted", None, None),
    "crash": ("failed", "predict", "model_error"),
    "error": ("failed", "predict", "model_error"),
    "zebra": ("failed", "match", "unmapped"),
    "nonsense": ("failed", "decode", "decode"),
}


class Moody:
    """A classifier of texts that does what the text says; busy the first time it is asked so."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.lock = threading.Lock()

    def __call__(self, instance: dict[str, Any]) -> Any:
        text = instance["text"]
        with self.lock:
            self.asked[text] += 1
            times = self.asked[text]
        if text == "crash":
            raise ValueError("crashed")
        if text == "busy" and times == 1:
            raise BusyError
        other: dict[str, Any] = {
            "nothing": [],
            "error": {"error": {"code": 3, "message": "an unreadable text"}},
            "zebra": [{"label": "zebra", "score": 1.0}],
            "nonsense": 17,
        }
        score = (int(text.removeprefix("good ")) / 20) if text.startswith("good ") else 0.5
        return other.get(text, [{"label": "kind", "score": score}])


class BusyError(RuntimeError):
    """503: come again."""


@pytest.mark.parametrize("way", ["endpoint", "container"])
def test_each_fate_online(lab: Lab, container: Container, tmp_path: Path, way: str) -> None:
    rows: dict[str, str | dict[str, Any]] = {f"{way} {text}": text for text in FATES}
    scene = lab.scene(rows, classifications=[radio("tone", "kind", "rude")], media_type=lb.MediaType.Text)
    container.answer = Moody()
    toml = ""
    if way == "endpoint":
        endpoint = lab.upload(container, "moody").deploy(machine_type="n1-standard-2", min_replica_count=1)
        option = f"{endpoint.display_name} (endpoint)"
    else:
        option = "my own container"
        toml = f'[models."{option}"]\ncontainer = "{container.url}/predict"\ntask = "text-classification"\n'
    done = lab.perform(scene, option, tmp_path, toml)
    assert {key: done.fate(key) for key in done.outcomes} == {f"{way} {text}": fate for text, fate in FATES.items()}
    assert done.finished.state == "COMPLETE"
    assert "an unreadable text" in str(done.outcomes[f"{way} error"].message)
    assert "HTTP 500" in str(done.outcomes[f"{way} crash"].message)
    found = scene.predictions()
    for n in range(20):
        [answer] = found[f"{way} good {n}"]
        assert answer["radio_answer"]["confidence"] == n / 20


def test_a_container_that_is_down(lab: Lab, tmp_path: Path) -> None:
    scene = lab.scene(
        {f"down {n}": f"text {n}" for n in range(3)},
        classifications=[radio("tone", "kind", "rude")],
        media_type=lb.MediaType.Text,
    )
    with Container.running() as container:
        url = container.url
    toml = f'[models."down"]\ncontainer = "{url}/predict"\ntask = "text-classification"\n'
    done = lab.perform(scene, "down", tmp_path, toml)
    assert {done.fate(key) for key in done.outcomes} == {("failed", "predict", "model_unavailable")}
    assert all(outcome.retryable for outcome in done.outcomes.values())
    assert done.finished.state == "FAILED"
    assert "None of the 3 data rows" in scene.glance()["error_message"]
