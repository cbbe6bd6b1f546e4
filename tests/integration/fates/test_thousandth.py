"""The thousandth bad row is told as plainly as the first."""

from __future__ import annotations

import base64
import io
from collections import Counter
from pathlib import Path
from typing import Any

from PIL import Image
from tests.integration.fates.lab import Assets, Container, Lab, picture, radio

GOOD, EACH = 500, 125
BAD = {
    "gone": ("failed", "assets", "asset_not_found"),
    "corrupt": ("failed", "assets", "asset_corrupt"),
    "private": ("failed", "assets", "asset_private_address"),
    "video": ("skipped", "assets", "unsupported_media"),
    "error": ("failed", "predict", "model_error"),
    "crash": ("failed", "predict", "model_error"),
    "unknown": ("failed", "match", "unmapped"),
    "nonsense": ("failed", "decode", "decode"),
}
TOML = (
    '[models."thousand"]\ntask = "image-classification"\ninstance = { b64 = "{b64}", url = "{url}" }\nbatch_size = 8\n'
)


def answer(instance: dict[str, Any]) -> Any:
    kind = instance["url"].rsplit("/", 1)[-1].partition("-")[0]
    if kind == "error":
        return {"error": "not today"}
    if kind == "crash":
        raise ValueError("crashed")
    if kind == "unknown":
        return [{"label": "zebra", "score": 1.0}]
    if kind == "nonsense":
        return "?" * 3 + "!"
    with Image.open(io.BytesIO(base64.b64decode(instance["b64"]))) as image:
        return [{"label": "light", "score": image.getpixel((0, 0)) / 255}]  # type: ignore[operator]  # one band


def test_a_thousand_bad_rows_among_fifteen_hundred(
    lab: Lab, assets: Assets, container: Container, tmp_path: Path
) -> None:
    rows: dict[str, str | dict[str, Any]] = {}
    wanted: dict[str, tuple[str, str | None, str | None]] = {}
    for n in range(EACH):
        for m in range(GOOD // EACH):
            key = f"good-{n}-{m}"
            rows[key] = assets.put(f"{key}.png", picture(n, (8, 8 + m)))
            wanted[key] = ("predicted", None, None)
        for kind, fate in BAD.items():
            key = f"{kind}-{n}"
            wanted[key] = fate
            if kind == "private":
                rows[key] = {"row_data": f"http://192.168.0.{n}/{key}.png"}
            elif kind == "video":
                rows[key] = f"{assets.url}/{key}.mp4"
            else:
                special: dict[str, bytes | int] = {"gone": 404, "corrupt": b"never a picture"}
                rows[key] = assets.put(f"{key}.png", special.get(kind, picture(n, (9, 9))))
    inside = assets.put("inside.png", picture(0))
    mirrors = {row["row_data"]: inside for row in rows.values() if isinstance(row, dict)}
    lab.labelbox.put("/_sandbox/mirrors", json=mirrors).raise_for_status()
    scene = lab.scene(rows, classifications=[radio("tone", "light", "dark")])
    container.answer = answer
    lab.upload(container, "thousand")
    done = lab.perform(scene, "thousand", tmp_path, TOML, VMI_SHARD_ROWS="200", VMI_JOB_ROWS="400", VMI_CANARY_ROWS="0")

    assert {key: done.fate(key) for key in done.outcomes} == wanted
    counts = done.finished.counts
    assert (counts.exported, counts.predicted, counts.skipped, counts.failed) == (1500, GOOD, EACH, 1000 - EACH)
    assert done.finished.state == "COMPLETE"
    # No message is worn down by the many before it: each names what it is about.
    messages = [outcome.message for key, outcome in done.outcomes.items() if key.startswith("gone-")]
    assert len(set(messages)) == EACH
    glance = scene.glance()
    assert glance["status"] == "COMPLETE"
    message = glance["error_message"]
    assert message.startswith("500 of 1,500 data rows predicted, 125 skipped, 875 failed (")
    assert "model_error 250" in message
    assert sum(sent["succeeded"] for sent in glance["imports"]) == GOOD
    assert sum(sent["failed"] for sent in glance["imports"]) == 0
    held = Counter(key.partition("-")[0] for key, found in scene.predictions().items() if found)
    assert held == {"good": GOOD}
