"""One run with a row for each way to fail: that row has exactly that outcome, and its neighbours are predicted."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.integration.fates.lab import Assets, Container, Done, Lab, Scene, eventually, picture, radio

GOOD = [f"good-{n}" for n in range(12)]
SPECIAL = {
    "empty",
    "model-says-error",
    "model-crashes",
    "missing-line",
    "twice-the-same",
    "twice-different",
    "corrupt-line",
    "unknown-class",
    "nonsense",
    "impossible-confidence",
    "removed-meanwhile",
}
PRIVATE = "http://10.1.2.3/private.png"

FATES: dict[str, tuple[str, str | None, str | None]] = {
    **dict.fromkeys(GOOD, ("predicted", None, None)),
    "gone": ("failed", "assets", "asset_not_found"),
    "never-there": ("failed", "assets", "asset_not_found"),
    "forbidden": ("failed", "assets", "asset_forbidden"),
    "corrupt": ("failed", "assets", "asset_corrupt"),
    "corrupt-from-the-start": ("failed", "assets", "asset_corrupt"),
    "nothing": ("failed", "assets", "asset_empty"),
    "huge": ("failed", "assets", "asset_too_large"),
    "private": ("failed", "assets", "asset_private_address"),
    "no-such-object": ("failed", "assets", "asset_not_found"),
    "no-such-bucket": ("failed", "assets", "asset_not_found"),
    "video": ("skipped", "assets", "unsupported_media"),
    "text": ("skipped", "assets", "unsupported_media"),
    "empty": ("empty", None, None),
    "model-says-error": ("failed", "predict", "model_error"),
    "model-crashes": ("failed", "predict", "model_error"),
    "missing-line": ("failed", "predict", "missing_answer"),
    "twice-the-same": ("predicted", None, None),
    "twice-different": ("failed", "predict", "duplicate_answer"),
    "corrupt-line": ("failed", "predict", "missing_answer"),
    "unknown-class": ("failed", "match", "unmapped"),
    "nonsense": ("failed", "decode", "decode"),
    "impossible-confidence": ("failed", "decode", "decode"),
    "removed-meanwhile": ("failed", "upload", "import_refused"),
}

WORDS = {  # what a person must be able to read in the message
    "gone": ["HTTP 404", "gone.png"],
    "never-there": ["HTTP 404", "never-there.png"],
    "forbidden": ["HTTP 403"],
    "corrupt": ["not a picture"],
    "corrupt-from-the-start": ["not a picture"],
    "nothing": ["empty"],
    "huge": ["larger than 0.05 MB", "VMI_MAX_ASSET_MB"],
    "private": ["private address", "VMI_ALLOW_HOSTS"],
    "no-such-object": ["gs://vmi-sandbox/nowhere.png does not exist"],
    "no-such-bucket": ["gs://no-such-bucket/x.png does not exist"],
    "video": ["video"],
    "text": ["takes images", "text"],
    "model-says-error": ["the lens was dirty"],
    "model-crashes": ["500", "out of luck"],
    "missing-line": ["no line for the row"],
    "twice-different": ["2 different predictions"],
    "corrupt-line": ["1 lines of its output could not be read"],
    "unknown-class": ["'zebra'", "vmi.toml"],
    "nonsense": ["not of the form"],
    "impossible-confidence": ["1.5"],
    "removed-meanwhile": ["Labelbox refused 1 of 1", "DataRowNotInModelRun"],
}


def noise() -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (300, 300), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


class Light:
    """Tells light pictures from dark ones, and does what a picture's name says."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def __call__(self, instance: dict[str, Any]) -> Any:
        name = instance["name"].rsplit("/", 1)[-1].removesuffix(".png")
        if name == "model-says-error":
            return {"error": {"code": 3, "message": "the lens was dirty"}}
        if name == "model-crashes":
            raise ValueError("out of luck")
        if name == "empty":
            return []
        if name == "nonsense":
            return {"what": 42}
        if name == "unknown-class":
            return [{"label": "zebra", "score": 0.9}]
        if name == "impossible-confidence":
            return [{"label": "light", "score": 1.5}]
        if name == "removed-meanwhile":
            self.scene.run.delete_model_run_data_rows([self.scene.ids["removed-meanwhile"]])
        with Image.open(io.BytesIO(base64.b64decode(instance["b64"]))) as image:
            light = image.convert("L").getpixel((0, 0)) / 255  # type: ignore[operator]  # one band: a number
        return [{"label": "light", "score": light}, {"label": "dark", "score": 1 - light}]


TOML = """
[models."fates"]
task = "image-classification"
instance = { b64 = "{b64}", name = "{url}" }
"""


@pytest.fixture(scope="module")
def story(one_lab: Lab, assets: Assets, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The run, done once; each test looks at one side of it."""
    lab = one_lab
    with Container.running() as container:
        rows: dict[str, str | dict[str, Any]] = {}
        for n, key in enumerate(GOOD):
            rows[key] = assets.put(f"{key}.png", picture(0 if n == 0 else 20 * n))
        for n, key in enumerate(sorted(SPECIAL)):
            rows[key] = assets.put(f"{key}.png", picture(100 + n))
        for key in ("gone", "forbidden", "corrupt", "nothing", "huge"):
            rows[key] = assets.put(f"{key}.png", picture(99))
        rows["never-there"] = f"{assets.url}/never-there.png"
        rows["corrupt-from-the-start"] = assets.put("corrupt-from-the-start.png", b"\x89PNG\r\n\x1a\n but no more")
        rows["private"] = PRIVATE
        rows["no-such-object"] = "gs://vmi-sandbox/nowhere.png"
        rows["no-such-bucket"] = "gs://no-such-bucket/x.png"
        rows["video"] = assets.put("film.mp4", b"film")
        rows["text"] = "a text among pictures"
        assert set(rows) == set(FATES)
        # Labelbox itself has seen this one, in a network of its own.
        lab.labelbox.put("/_sandbox/mirrors", json={PRIVATE: assets.put("inside.png", picture(1))}).raise_for_status()
        scene = lab.scene(rows, classifications=[radio("tone", "light", "dark")])
        # Labelbox looks at assets in its own time; those that change below must have been seen as they were.
        readable = [*GOOD, *SPECIAL, "gone", "forbidden", "corrupt", "nothing", "huge", "private"]

        def seen() -> bool:
            exported = scene.export()
            return all(exported[key]["media_attributes"].get("width") == 40 for key in readable)

        eventually(seen)
        assets.put("gone.png", 404)
        assets.put("forbidden.png", 403)
        assets.put("corrupt.png", b"<html>Please sign in</html>")
        assets.put("nothing.png", b"")
        assets.put("huge.png", noise())
        container.answer = Light(scene)
        lab.upload(container, "fates")
        sent = [key for key in scene.export() if FATES[key][1] != "assets"]
        lab.mischief(
            drop_lines=[sent.index("missing-line")],
            duplicate=[sent.index("twice-the-same")],
            contradict=[sent.index("twice-different")],
            corrupt=[sent.index("corrupt-line")],
            unknown_keys=2,
        )
        done = lab.perform(
            scene, "fates", tmp_path_factory.mktemp("fates"), TOML, VMI_MAX_ASSET_MB="0.05", VMI_CANARY_ROWS="0"
        )
        yield scene, done
        lab.calm()


@pytest.mark.parametrize("key", [key for key in FATES if key not in GOOD])
def test_the_row_has_exactly_that_outcome(story: tuple[Scene, Done], key: str) -> None:
    _, done = story
    outcome = done.outcomes[key]
    assert done.fate(key) == FATES[key], outcome.message
    for words in WORDS.get(key, []):
        assert words in str(outcome.message)
    assert "Traceback" not in str(outcome.message)


def test_its_neighbours_are_predicted(story: tuple[Scene, Done]) -> None:
    scene, done = story
    assert {key: done.fate(key) for key in done.outcomes} == FATES
    predictions = scene.predictions()
    for n, key in enumerate(GOOD):
        [answer] = predictions[key]
        light = (0 if n == 0 else 20 * n) / 255
        wanted = ("light", light) if light > 0.5 else ("dark", 1 - light)
        assert (answer["radio_answer"]["name"], answer["radio_answer"]["confidence"]) == pytest.approx(wanted)
    assert {key for key, found in predictions.items() if found} == {*GOOD, "twice-the-same"}


def test_the_run_is_complete_and_says_how_many_failed(story: tuple[Scene, Done]) -> None:
    scene, done = story
    counts = done.finished.counts
    assert done.finished.state == "COMPLETE"
    statuses = list(done.statuses().values())
    assert (counts.predicted, counts.empty, counts.skipped, counts.failed) == (
        statuses.count("predicted"),
        statuses.count("empty"),
        statuses.count("skipped"),
        statuses.count("failed"),
    )
    assert counts.ended == counts.exported == len(FATES)
    glance = scene.glance()
    assert glance["status"] == "COMPLETE"
    message = glance["error_message"]
    assert f"{counts.predicted} of {len(FATES)} data rows predicted" in message
    assert f"{counts.failed} failed" in message
    metadata = glance["metadata"]
    assert metadata["vmi_outcomes"] == {
        "predicted": counts.predicted,
        "empty": 1,
        "skipped": 2,
        "failed": counts.failed,
    }
    assert done.run_id in metadata["vmi_run_url"]
