"""The sections of docs/models.md, each run as it stands: a real model of the sandbox in each family's form, end to end.

All runs go at once, in one engine, from the seeded data rows by a batch job to the predictions in the model run.
"""

from __future__ import annotations

import io
import json
import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import numpy as np
import pytest
from PIL import Image
from tests.integration.fates.lab import Lab
from tests.integration.kinds.video_cells import VIDEO_CELLS

from vertex_model_inference.decoders.registry import _BUILT_IN, by_name
from vertex_model_inference.models import ModelOption
from vertex_model_inference.outcomes import Outcome
from vertex_model_inference.rows import DataRow, MediaType
from vertex_model_inference.runs.reading import outcomes_of
from vertex_model_inference.runs.service import RunService
from vertex_model_inference.runs.surroundings import open_artifacts
from vertex_model_inference.sandbox.config import SandboxConfig
from vertex_model_inference.sandbox.containers.coins import coins_of, sizes_of
from vertex_model_inference.sandbox.containers.entities import pipeline, spans_of
from vertex_model_inference.sandbox.containers.forms.things import BitMask, Thing
from vertex_model_inference.sandbox.containers.motion import Asked, Asking, actions
from vertex_model_inference.sandbox.containers.movement import Movement, Seen, Track, watch
from vertex_model_inference.sandbox.containers.text_model import TextModel
from vertex_model_inference.sandbox.datasets.catalog import material
from vertex_model_inference.sandbox.datasets.material import Families, SeedRow
from vertex_model_inference.sandbox.datasets.seeding import Seeded, seed
from vertex_model_inference.sandbox.datasets.target import Target
from vertex_model_inference.settings import load
from vertex_model_inference.settings_sections import ModelSection
from vertex_model_inference.webhook.wiring import catalog_of

pytestmark = pytest.mark.xdist_group("sections")

DOCS = Path(__file__).parents[3] / "docs/models.md"
BLOCKS = re.findall(r"```toml\n(.*?)```", DOCS.read_text().partition("## A section for each family")[2], re.DOTALL)
TOML = "\n".join(block for block in BLOCKS if " as " in block)
SECTIONS: dict[str, dict[str, Any]] = tomllib.loads(TOML)["models"]
OTHERS: dict[str, dict[str, Any]] = {
    name: section
    for name, section in tomllib.loads("\n".join(block for block in BLOCKS if " as " not in block))["models"].items()
    if "decoder" in section or "mapping" in section
}
"""Sections whose models the sandbox does not have in that form."""

VIDEO = DataRow(
    id="row", row_data="gs://b/v.mp4", media_type=MediaType.VIDEO, width=48, height=32, frame_rate=10, frame_count=20
)
SAID: dict[str, Any] = {
    **{cell.family: cell.answer for cell in VIDEO_CELLS},
    "document-pages": lambda: {"pages": [{"detections": [{"label": "total", "score": 0.5, "box": [1, 2, 3, 4]}]}]},
    "conversation": lambda: {"messages": {"m1": {"label": "calm", "score": 0.5}}},
    "Berries": lambda: {"outputs": {"detections": [{"cls": "a", "conf": 0.5, "x1": 0, "y1": 0, "x2": 1, "y2": 1}]}},
    "Cars": lambda: {"things": [{"cls": "a", "box": [1, 2, 3, 4], "attributes": {}, "id": "1"}], "links": []},
}
"""Decoder, or the section of a mapping -> an answer of its form."""

ROWS = {"coins": 3, "entities": 12, "reviews": 12, "videos": 2}

Found = dict[str, list[dict[str, Any]]]
"""Global key -> what the model run holds as predictions."""


class Ended(msgspec.Struct):
    """A run that has ended: the rows' outcomes by global key, and the predictions exported."""

    option: ModelOption
    outcomes: dict[str, Outcome]
    found: Found


def test_there_is_a_section_for_each_family() -> None:
    decoders = {ModelSection(**section).decoder or "mapping" for section in (*SECTIONS.values(), *OTHERS.values())}
    assert {*_BUILT_IN, "mapping"} - {decoder.partition(":")[0] for decoder in decoders} == set()


@pytest.mark.parametrize("name", OTHERS)
def test_a_section_reads_an_answer_of_its_form(name: str) -> None:
    section = ModelSection(**OTHERS[name])
    mapping = None if section.mapping is None else section.mapping.rules()
    said = SAID[section.decoder or name]()
    decoder = by_name(section.decoder or "mapping", section.class_names, mapping)
    assert decoder.decode(json.dumps(said).encode(), VIDEO) != ()


def test_there_is_a_section_for_each_model_of_the_sandbox() -> None:
    made = {
        plan.display_name for name in ROWS if isinstance(data := material(name), Families) for plan in data.families()
    }
    assert made == set(SECTIONS)


@pytest.fixture(scope="module")
def lab(sandbox: SandboxConfig) -> Iterator[Lab]:
    lab = Lab(sandbox)
    lab.vertex.put("/_sandbox/settings", json={"pending_s": 0.02}).raise_for_status()
    yield lab
    lab.close()


def _exported(lab: Lab, seeded: Seeded, run: Any) -> Found:
    task = run.export(params={"predictions": True})
    task.wait_till_done()
    found: Found = {}
    for row in task.get_buffered_stream():
        entries = row.json["experiments"][seeded.model_id]["runs"][run.uid]["predictions"]
        found[row.json["data_row"]["global_key"]] = [item for entry in entries for item in _items(entry["annotations"])]
    return found


def _items(annotations: dict[str, Any]) -> list[dict[str, Any]]:
    """Objects and answers; of videos each with ``frames``: what it is in which frame, and ``segments``."""
    if "frames" not in annotations:
        return [*annotations["objects"], *annotations["classifications"]]
    made: dict[str, dict[str, Any]] = {}
    for number, frame in annotations["frames"].items():
        for item in (*frame["objects"].values(), *frame["classifications"]):
            key = item["feature_id"]
            whole = made.setdefault(key, {**item, "frames": {}, "segments": annotations["segments"][key]})
            whole["frames"][int(number)] = item
    return list(made.values())


@pytest.fixture(scope="module")
def ended(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ended]:
    """Each section's run, by the model's name."""
    folder = tmp_path_factory.mktemp("sections")
    target = Target.of(lab.config.environment())
    seeded = {name: seed(material(name), target, rows=rows, families=True) for name, rows in ROWS.items()}
    (folder / "vmi.toml").write_text(TOML)
    settings = load({**lab.config.environment(), "VMI_DATA_DIR": str(folder / "vmi")}, folder)
    options = catalog_of(settings).refresh()
    service = RunService(settings, role="run")
    service.start()
    runs: dict[str, tuple[Any, str, ModelOption]] = {}
    try:
        for name in SECTIONS:
            option = options.find(name)
            assert option is not None, options.left_out
            data = seeded[name.partition(" ")[0]]
            run = lab.client.get_model(data.model_id).create_model_run(name)
            run.upsert_data_rows(global_keys=[row.key for row in _rows(name)])
            runs[name] = (run, service.start_run(run.uid, option).run_id, option)
        for _, run_id, _ in runs.values():
            service.wait(run_id)
    finally:
        service.stop()
    store = open_artifacts(settings)
    return {
        name: Ended(
            option,
            {outcome.global_key or "": outcome for outcome in outcomes_of(store, run_id)},
            _exported(lab, seeded[name.partition(" ")[0]], run),
        )
        for name, (run, run_id, option) in runs.items()
    }


def _rows(section: str) -> list[SeedRow]:
    name = section.partition(" ")[0]
    return material(name).rows()[: ROWS[name]]


@pytest.mark.parametrize("name", SECTIONS)
def test_no_row_fails(ended: dict[str, Ended], name: str) -> None:
    run = ended[name]
    assert {outcome.global_key for outcome in run.outcomes.values()} == {row.key for row in _rows(name)}
    odd = [outcome for outcome in run.outcomes.values() if outcome.status.value not in ("predicted", "empty")]
    assert odd == []


def _coins(row: SeedRow) -> list[Thing]:
    with Image.open(io.BytesIO(row.data or b"")) as image:
        return coins_of(np.asarray(image.convert("L")))


def _of(decoder: str) -> list[str]:
    return [name for name in SECTIONS if name.startswith("coins") and name.endswith(decoder)]


BOXES = [name for name in SECTIONS if re.search(r"detection$|dino|owl|paligemma|boxes|mapping", name)]


@pytest.mark.parametrize("name", BOXES)
def test_boxes_are_those_of_the_coins(ended: dict[str, Ended], name: str) -> None:
    total = 0
    for row in _rows(name):
        given = sorted((_edges(item["bounding_box"]), item) for item in ended[name].found[row.key])
        wanted = sorted(((coin.left, coin.top, coin.right, coin.bottom), coin.score) for coin in _coins(row))
        assert len(given) == len(wanted)
        rough = name.endswith("paligemma")
        for (edges, item), (right, score) in zip(_paired(given), _paired(wanted), strict=True):
            assert edges == pytest.approx(right, abs=0.5 if rough else 0.011)
            if not rough:
                assert item["confidence"] == pytest.approx(score, abs=1e-6)
        total += len(given)
    assert total > 20


def _paired(items: Sequence[tuple[tuple[float, ...], Any]]) -> list[tuple[tuple[float, ...], Any]]:
    """By rounded places, so that what a form rounds changes no order."""
    return sorted(items, key=lambda item: [round(edge / 8) for edge in item[0]])


def _edges(box: dict[str, float]) -> tuple[float, ...]:
    return box["left"], box["top"], box["left"] + box["width"], box["top"] + box["height"]


def _pixels(item: dict[str, Any]) -> BitMask:
    answer = httpx2.get(item["mask"]["url"], trust_env=False)
    with Image.open(io.BytesIO(answer.content)) as image:
        drawn: BitMask = np.asarray(image.convert("L")) == 255
        return drawn


@pytest.mark.parametrize("name", [*_of("hf-segmentation"), *_of("rle-masks"), *_of("sam-masks")])
def test_masks_are_those_of_the_coins(ended: dict[str, Ended], name: str) -> None:
    for row in _rows(name):
        wanted = {coin.mask.tobytes(): coin.score for coin in _coins(row) if coin.mask is not None}
        given = {_pixels(item).tobytes(): item["confidence"] for item in ended[name].found[row.key]}
        assert given == {pixels: pytest.approx(score, abs=1e-6) for pixels, score in wanted.items()}


def test_a_segmentation_is_one_mask_of_all_coins(ended: dict[str, Ended]) -> None:
    (name,) = _of("automl-segmentation")
    for row in _rows(name):
        coins = _coins(row)
        given = ended[name].found[row.key]
        assert len(given) == bool(coins)
        for item in given:
            assert np.array_equal(
                _pixels(item), np.any(np.array([coin.mask for coin in coins], dtype=np.bool_), axis=0)
            )


@pytest.mark.parametrize("name", [*_of("polygons"), *_of("plain")])
def test_each_coin_has_its_outline(ended: dict[str, Ended], name: str) -> None:
    for row in _rows(name):
        given = ended[name].found[row.key]
        assert all(item["name"] == "coin outline" for item in given)
        found = [_around([(p["x"], p["y"]) for p in item["polygon"]]) for item in given]
        wanted = [(c.left, c.top, c.right, c.bottom) for c in _coins(row)]
        assert len(found) == len(wanted)
        for one in wanted:  # OpenCV's outlines run through the centres of the border's pixels
            assert any(all(abs(a - b) <= 1 for a, b in zip(one, other, strict=True)) for other in found)


def _around(points: list[tuple[float, float]]) -> tuple[float, float, float, float]:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return min(xs), min(ys), max(xs), max(ys)


def test_each_coin_has_its_points(ended: dict[str, Ended]) -> None:
    (name,) = _of("keypoints")
    for row in _rows(name):
        coins = _coins(row)
        given = ended[name].found[row.key]
        assert sorted(item["name"] for item in given) == sorted(["coin centre", "coin top"] * len(coins))
        tops = sorted(item["point"]["y"] for item in given if item["name"] == "coin top")
        assert tops == sorted(coin.top for coin in coins)


ENOUGH: dict[str, Callable[[str, float], bool]] = {
    "coins as automl-classification": lambda _, score: score >= 0.9,
    "coins as displaynames": lambda _, score: score >= 0.5,
    # A checklist takes classes without a threshold of their own from 0.5 up.
    "coins as hf-classification": lambda size, score: score >= (0.95 if size == "large" else 0.5),
}


@pytest.mark.parametrize("name", ENOUGH)
def test_a_checklist_has_the_sizes_above_their_threshold(ended: dict[str, Ended], name: str) -> None:
    for row in _rows(name):
        wanted = {size: score for size, score in sizes_of(_coins(row)) if ENOUGH[name](size, score)}
        given = [answer for item in ended[name].found[row.key] for answer in item["checklist_answers"]]
        assert {answer["name"]: answer["confidence"] for answer in given} == pytest.approx(wanted, abs=1e-6)


def test_entities_are_those_that_spacy_finds(ended: dict[str, Ended]) -> None:
    names = [name for name in SECTIONS if name.startswith("entities")]
    rows = _rows(names[0])
    said = spans_of(pipeline(), [row.text or "" for row in rows])
    assert sum(map(len, said)) > len(rows) / 2
    for row, spans in zip(rows, said, strict=True):
        wanted = {
            (s.start, s.end - 1, s.label.replace("_", " ").lower()): pytest.approx(s.score, abs=1e-6) for s in spans
        }
        for name in names:
            given = {
                (item["location"]["start"], item["location"]["end"], item["name"]): item["confidence"]
                for item in ended[name].found[row.key]
            }
            assert given == wanted, (name, row.text)


def test_sentiments_are_those_of_the_classifier(ended: dict[str, Ended]) -> None:
    model = TextModel.from_bytes(material("reviews").model().artifact or b"")
    names = [name for name in SECTIONS if name.startswith("reviews")]
    rows = _rows(names[0])
    for row, scores in zip(rows, model.probabilities([row.text or "" for row in rows]), strict=True):
        best = model.labels[int(scores.argmax())]
        for name in names:
            (item,) = ended[name].found[row.key]
            assert item["radio_answer"]["name"] == best, (name, row.text)
            scored = name.endswith("classification")
            wanted = pytest.approx(float(scores.max()), abs=1e-6) if scored else None
            assert item["radio_answer"].get("confidence") == wanted


VIDEOS = {name.partition(" as ")[2]: name for name in SECTIONS if name.startswith("videos")}
RATES = {"videos-carphone": 30000 / 1001, "videos-bikes": 25}


@pytest.fixture(scope="module")
def movements() -> dict[str, Movement]:
    return {row.key: watch(row.data or b"") for row in material("videos").rows()}


def _box(seen: Seen, movement: Movement) -> tuple[float, ...]:
    wide, high = movement.width, movement.height
    return seen.box[0] * wide, seen.box[1] * high, seen.box[2] * wide, seen.box[3] * high


def _between(item: dict[str, Any], frame: int) -> tuple[float, ...]:
    """Where a player of the video draws an object: on straight lines between its key frames."""
    keys = sorted(item["frames"])
    before = max(key for key in keys if key <= frame)
    after = min(key for key in keys if key >= frame)
    one, other = (_edges(item["frames"][key]["bounding_box"]) for key in (before, after))
    share = (frame - before) / (after - before) if after > before else 0.0
    return tuple(a + share * (b - a) for a, b in zip(one, other, strict=True))


def _wanted(movement: Movement, form: str) -> list[Track]:
    """The tracks that a family's section leaves."""
    if form == "automl-object-tracking":
        return [
            track
            for track in movement.tracks
            if track.confidence >= 0.5
            and any(min(s.box[2] - s.box[0], s.box[3] - s.box[1]) >= 0.05 for s in track.seen)
        ]
    if form == "frame-detections":
        edges = [[_box(seen, movement) for seen in track.seen] for track in movement.tracks]
        return [
            t for t, e in zip(movement.tracks, edges, strict=True) if any(min(r - a, b - c) >= 8 for a, c, r, b in e)
        ]
    return movement.tracks


@pytest.mark.parametrize(
    ("form", "off"), [("automl-object-tracking", 0.0), ("video-tracks", 2.0), ("frame-detections", 1.0)]
)
def test_tracks_are_those_of_what_moves(
    ended: dict[str, Ended], movements: dict[str, Movement], form: str, off: float
) -> None:
    frames = keys = 0
    for key, movement in movements.items():
        given = ended[VIDEOS[form]].found[key]
        wanted = _wanted(movement, form)
        assert len(given) == len(wanted) > 0
        for item, track in zip(given, wanted, strict=True):
            assert item["segments"][0][0] == track.seen[0].frame + 1
            assert item["segments"][-1][1] == track.seen[-1].frame + 1
            for seen in track.seen:  # also the frames that were not uploaded are where the model saw the object
                assert _between(item, seen.frame + 1) == pytest.approx(_box(seen, movement), abs=off + 0.011)
            frames += len(track.seen)
            keys += len(item["frames"])
    assert keys <= frames
    if off:
        assert keys < frames


def test_seconds_are_classified_frame_by_frame(ended: dict[str, Ended], movements: dict[str, Movement]) -> None:
    for form in ("automl-video-classification", "video-segments"):
        for key, movement in movements.items():
            stated: dict[int, str] = {}
            for item in ended[VIDEOS[form]].found[key]:
                for first, last in item["segments"]:
                    name = item["frames"][first]["radio_answer"]["name"]
                    stated |= dict.fromkeys(range(first, last + 1), name)
            for seconds, _ in movement.moving:
                scores = [score for at, score in movement.moving if int(at) == int(seconds)]
                moving = sum(scores) / len(scores)
                frame = round(seconds * RATES[key]) + 1
                assert stated[frame] == ("moving" if moving >= 0.5 else "still"), (form, key, seconds)


def test_actions_are_the_moments_of_change(ended: dict[str, Ended], movements: dict[str, Movement]) -> None:
    asking = Asking("0s", "Infinity", 0, float("inf"))
    total = 0
    for key, movement in movements.items():
        wanted = {
            (round(float(one["timeSegmentStart"][:-1]) * RATES[key]) + 1, one["displayName"])
            for one in actions(movement, asking, Asked(threshold=0.5))
        }
        given = {
            (first, answer["name"])
            for item in ended[VIDEOS["automl-action-recognition"]].found[key]
            for first, _ in item["segments"]
            for answer in item["frames"][first]["checklist_answers"]
        }
        assert given == wanted
        total += len(wanted)
    assert total > 3


def test_masks_are_what_moves_in_each_frame(ended: dict[str, Ended], movements: dict[str, Movement]) -> None:
    movement = movements["videos-carphone"]
    given = ended[VIDEOS["video-masks"]].found["videos-carphone"]
    assert len(given) == len(movement.tracks)
    for item, track in zip(given, movement.tracks, strict=True):
        assert item["name"] == "moving pixels"
        assert item["confidence"] == pytest.approx(track.confidence, abs=1e-6)
        for seen in track.seen:
            assert np.array_equal(_pixels(item["frames"][seen.frame + 1]), seen.mask)
