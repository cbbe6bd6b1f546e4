"""A run over videos, end to end: constant and varying rates, http and gs://, copied once, and what is no video."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

import labelbox as lb
import msgspec
import pytest
from tests.integration.fates.lab import Assets, Container, Done, Lab, Scene, eventually, picture
from tests.videos import video

from vertex_model_inference.runs.surroundings import open_artifacts
from vertex_model_inference.sandbox.datasets.bucket import Bucket
from vertex_model_inference.sandbox.datasets.target import Target
from vertex_model_inference.settings import load
from vertex_model_inference.spec import Staged

EVEN = tuple(40 * n for n in range(50))
UNEVEN = tuple(accumulate([33, 34, 33, 500, 10, 33, 41] * 7, initial=0))
TIMES = {"even": EVEN, "uneven": UNEVEN, "reordered": UNEVEN, "in-place": EVEN}
FATES = {
    **dict.fromkeys(TIMES, ("predicted", None, None)),
    "picture": ("skipped", "assets", "unsupported_media"),
    "no-film": ("failed", "assets", "asset_corrupt"),
    "playlist": ("failed", "assets", "asset_corrupt"),
    "cut-short": ("failed", "assets", "asset_corrupt"),
    "huge": ("failed", "assets", "asset_too_large"),
    "gone": ("failed", "assets", "asset_not_found"),
    "box": ("empty", None, None),
}
TOML = """
[models."{name}"]
task = "video-object-tracking"
decoder = "file:{decoder}:Follower"
simplify_px = 0
instance = {{ content = "{{uri}}", mime = "{{mime_type}}", name = "{{url}}" }}
"""
DECODER = """
import msgspec
from vertex_model_inference.decoders.video_tracks import VideoTracks
from vertex_model_inference.findings import FoundBox

class Follower:
    def __init__(self, class_names):
        self.tracks = VideoTracks(class_names)

    def decode(self, prediction, row):
        if prediction == b'"box"':
            return (FoundBox("thing", 1, 1, 5, 5, 0.5),)
        return self.tracks.decode(prediction, row)
"""
"""As a user writes one: a box by itself has no frame to be in."""


def _left(number: int) -> float:
    """Of the box in a frame (from 0): no three of them on one line."""
    return 5 + (number % 7) * 3 + (number % 2) * 11


def _tracks(times_ms: tuple[int, ...]) -> list[dict[str, Any]]:
    """A box in every third frame, at the frame's own time."""
    frames = [
        {"time": times_ms[n] / 1000, "box": {"x": _left(n), "y": 6, "width": 8, "height": 24}}
        for n in range(0, len(times_ms), 3)
    ]
    return [{"label": "thing", "score": 0.5, "frames": frames}]


class Story(msgspec.Struct):
    scene: Scene
    done: Done
    asked: list[dict[str, Any]]
    folder: Path
    staged: dict[str, Staged]


@pytest.fixture(scope="module")
def story(one_lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    lab, mark = one_lab, uuid.uuid4().hex[:8]
    folder = tmp_path_factory.mktemp("videos")
    (folder / "follower.py").write_text(DECODER)
    even, uneven = video(EVEN), video(UNEVEN)
    bucket = Bucket(Target.of(lab.config.environment()))
    bucket.put({f"films/{mark}/in-place.mp4": (video(EVEN, size=(640, 480)), "video/mp4")})
    with Assets.running() as assets, Container.running() as container:
        files: dict[str, bytes | int] = {
            "even.mp4": even,
            "uneven.mp4": uneven,
            "reordered.mp4": video(UNEVEN, "libx264"),  # frames are stored in another order than they are shown
            "picture.png": picture(99),
            "no-film.mp4": b"film",
            "playlist.mp4": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
            "cut-short.mp4": even[:2000],
            "huge.mp4": even + bytes(2_000_000),
            "gone.mp4": even,
            "box.mp4": even,
        }
        rows: dict[str, str | dict[str, Any]] = {
            f"{mark}-{path.partition('.')[0]}": assets.put(path, what) for path, what in files.items()
        }
        rows[f"{mark}-in-place"] = bucket.uri(f"films/{mark}/in-place.mp4")
        tool = {"tool": "rectangle", "name": "thing", "color": "#ff0000", "classifications": []}
        scene = lab.scene(rows, tools=[tool], media_type=lb.MediaType.Video)
        eventually(lambda: scene.export()[f"{mark}-gone"]["media_attributes"].get("frame_count"))
        assets.put("gone.mp4", 404)
        asked: list[dict[str, Any]] = []

        def answer(instance: dict[str, Any]) -> Any:
            asked.append(instance)
            name = str(instance["name"]).rsplit("/", 1)[-1].partition(".")[0]
            return "box" if name == "box" else _tracks(TIMES[name])

        container.answer = answer
        name = f"follower {mark}"
        lab.upload(container, name)
        toml = TOML.format(name=name, decoder=folder / "follower.py")
        done = lab.perform(scene, name, folder, toml, VMI_MAX_ASSET_MB="1.5", VMI_CANARY_ROWS="0")
        settings = load({**lab.config.environment(), "VMI_DATA_DIR": str(folder / "vmi")}, folder)
        store = open_artifacts(settings)
        keys = {row_id: key for key, row_id in scene.ids.items()}
        staged = [
            msgspec.json.decode(line, type=Staged)
            for entry in store.entries(f"runs/{done.run_id}/staged")
            for line in store.lines(entry.path)
        ]
        yield Story(
            scene,
            msgspec.structs.replace(done, outcomes={_short(key): value for key, value in done.outcomes.items()}),
            asked,
            folder,
            {_short(keys[each.data_row_id]): each for each in staged},
        )


def _short(key: str) -> str:
    return key.partition("-")[2]


@pytest.mark.parametrize("key", FATES)
def test_each_row_has_its_fate(story: Story, key: str) -> None:
    assert story.done.fate(key) == FATES[key], story.done.outcomes[key].message


def test_what_a_person_reads(story: Story) -> None:
    told = {key: str(outcome.message) for key, outcome in story.done.outcomes.items()}
    assert "takes videos; the row is image" in told["picture"]
    for key in ("no-film", "playlist"):
        assert "not a video that is known" in told[key]
        assert "passwd" not in told[key]
    assert "damaged video" in told["cut-short"]
    assert "VMI_MAX_ASSET_MB" in told["huge"]


@pytest.mark.parametrize("key", TIMES)
def test_boxes_are_in_the_frames_that_the_model_saw(story: Story, key: str) -> None:
    (row,) = [row for name, row in story.scene.export().items() if _short(name) == key]
    (entry,) = row["experiments"][story.scene.model.uid]["runs"][story.scene.run.uid]["predictions"]
    given = {
        int(number): item["bounding_box"]["left"]
        for number, frame in entry["annotations"]["frames"].items()
        for item in frame["objects"].values()
    }
    assert given == {number + 1: _left(number) for number in range(0, len(TIMES[key]), 3)}


def test_what_is_kept_of_them(story: Story) -> None:
    for key, times in TIMES.items():
        staged = story.staged[key]
        assert (staged.mime_type, staged.frame_count) == ("video/mp4", len(times))
        assert staged.frame_rate == pytest.approx((len(times) - 1) / times[-1] * 1000)
        assert (staged.frame_times is not None) is (times is UNEVEN)
    assert str(story.staged["in-place"].uri).endswith("in-place.mp4")
    assert (story.staged["in-place"].width, story.staged["in-place"].height) == (640, 480)
    # One file, three rows: copied once.
    assert story.staged["even"].uri == story.staged["box"].uri


def test_the_model_is_sent_uris(story: Story) -> None:
    assert {instance["mime"] for instance in story.asked} == {"video/mp4"}
    assert all(instance["content"].startswith("gs://") for instance in story.asked)
    assert len(story.asked) == len(TIMES) + 1


def test_a_box_has_no_frame_to_be_in(story: Story) -> None:
    outcome = story.done.outcomes["box"]
    assert outcome.dropped == {"thing": 1}
