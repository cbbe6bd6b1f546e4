"""Whatever a model answers, a decoder gives sound findings or its own error. ``make fuzz`` tries 100,000 lines."""

from __future__ import annotations

import base64
import io
import json
import math
import os
import re
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from PIL import Image

from vertex_model_inference.decoders.registry import by_name, known_names, recognise
from vertex_model_inference.errors import DecodeError, UnknownOutputError
from vertex_model_inference.findings import (
    Finding,
    FoundBox,
    FoundEntity,
    FoundLabel,
    FoundLine,
    FoundMask,
    FoundPoint,
    FoundPolygon,
    FoundTrack,
    FoundVideoMask,
)
from vertex_model_inference.geometry import rle
from vertex_model_inference.geometry.runs import decode, encode
from vertex_model_inference.models import MappingRules, ModelOption, Predictor
from vertex_model_inference.rows import DataRow

LINES = int(os.environ.get("VMI_TEST_FUZZ_LINES", "400"))
SEED = int(os.environ.get("VMI_TEST_FUZZ_SEED", "1"))
calmly = settings(deadline=None, max_examples=50, suppress_health_check=list(HealthCheck))  # the machine may be busy
ROWS = (
    DataRow(
        id="cm0datarow000000000000001",
        row_data="gs://b/o.png",
        width=4,
        height=2,
        frame_rate=10,
        frame_count=30,
        page_sizes=((4, 2), (8, 4)),
    ),
    DataRow(id="cm0datarow000000000000002", row_data="gs://b/p.png"),
    DataRow(id="cm0datarow000000000000003", row_data="gs://b/v.mp4", width=4, height=2, frame_rate=29.97),
    DataRow(id="cm0datarow000000000000004", row_data="gs://b/w.mp4", width=4, height=2, frame_times=(0.0, 0.1, 0.7)),
)
NAMES: tuple[tuple[str, ...], ...] = ((), ("background", "cat", "dog"))
ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2,
    0.5,
    1e308,
    -1e-9,
    2**64,
    10**400,
    "",
    "1",
    "cat",
    "ü\u0000",
    [],
    {},
    [[]],
    [0],
)


def png(pixels: list[list[int]]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(np.array(pixels, dtype=np.uint8)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


MASK = png([[0, 255, 2, 0], [0, 1, 200, 2]])
BOXES = {"boxes": [[0, 0, 2, 1]], "scores": [0.5], "labels": [1]}
BOX = {"xmin": 0, "ymin": 0, "xmax": 2, "ymax": 1}
RUNS = {"size": [2, 4], "counts": [2, 3, 3]}
STRETCH = {"displayName": "cat", "timeSegmentStart": "0.2s", "timeSegmentEnd": "1.200s", "confidence": 0.5}
SOUND: dict[str, Any] = {
    "automl-video-classification": [
        {**STRETCH, "id": "1", "type": "shot-classification"},
        {**STRETCH, "type": "segment-classification", "timeSegmentStart": "0s", "timeSegmentEnd": "Infinity"},
    ],
    "automl-object-tracking": [
        {
            **STRETCH,
            "frames": [
                {"timeOffset": "0.2s", "xMin": 0.1, "xMax": 0.5, "yMax": 1},
                {"timeOffset": {"seconds": "1", "nanos": 2e8}, "xMin": 0.1, "xMax": 0.5, "yMin": 0, "yMax": 1},
            ],
        }
    ],
    "automl-action-recognition": [{**STRETCH, "id": "1"}],
    "video-segments:from-1": [
        {"label": "cat", "score": 0.5, "start": 0.1, "end": 1.5},
        {"label": 1, "start_frame": 1, "end_frame": 30},
    ],
    "video-tracks:xywh": {
        "tracks": [
            {"id": 1, "label": "cat", "frames": [{"frame": 0, "box": BOX}, {"frame": 9, "bbox": [0, 0, 2, 1]}]},
            {"track_id": "x", "class": 1, "score": 0.5, "frames": [{"time": 0.5, "box": BOX, "score": 0.1}]},
        ]
    },
    "frame-detections:relative:xyxy": {
        "frames": {
            "0": [{"label": "cat", "score": 0.5, "box": [0, 0, 0.5, 1], "id": 1}],
            "1.2": [{"label": 1, "box": BOX}],
        }
    },
    "video-masks": [
        {"label": 1, "score": 0.5, "frames": [{"frame": 0, "segmentation": RUNS}, {"time": "0.3s", "rle": RUNS}]},
        {"category_id": 1, "segmentations": [RUNS, None, {"size": [2, 4], "counts": rle.pack([5, 1, 2]).decode()}]},
    ],
    "automl-classification": {"ids": ["1"], "displayNames": ["cat"], "confidences": [0.5]},
    "automl-detection": {"displayNames": ["cat"], "confidences": [0.5], "bboxes": [[0, 1, 0, 1]]},
    "automl-segmentation": {"categoryMask": png([[0, 1, 2, 0], [0, 1, 1, 2]]), "confidenceMask": MASK},
    "automl-sentiment": {"sentiment": 2},
    "automl-text-extraction": {
        "displayNames": ["x"],
        "textSegmentStartOffsets": ["1"],
        "textSegmentEndOffsets": ["3"],
        "confidences": [0.5],
    },
    "boxes-arrays:xyxy": BOXES,
    "conversation": {
        "messages": {
            "m1": [{"label": "cat", "score": 0.5}, {"label": 1, "start": 0, "end": 2}, {"label": "a", "quote": "b"}],
            "m2": {"label": "q", "text": "an answer"},
        }
    },
    "document-pages": {
        "pages": [
            {"width": 40, "height": 20, "detections": [{"label": "cat", "score": 0.5, "box": [0, 0, 20, 10]}]},
            {
                "page": 2,
                "detections": [{"label": 1, "box": {"xmin": 0, "ymin": 0, "xmax": 2, "ymax": 1}, "text": "a"}],
                "entities": [{"label": "name", "text": "Ada", "occurrence": 1}],
            },
        ],
        "labels": [{"label": "dog", "score": 0.5}],
    },
    "document-pages:relative": {"pages": [{"page": 1, "detections": [{"label": "cat", "box": [0, 0, 0.5, 1]}]}]},
    "displaynames": [{"displayName": "cat", "confidence": 0.5}],
    "hf-classification": [{"label": "cat", "score": 0.5}],
    "hf-detection": [{"label": "cat", "score": 0.5, "box": {"xmin": 0, "ymin": 0, "xmax": 2, "ymax": 1}}],
    "hf-segmentation": [{"label": "cat", "score": 0.5, "mask": MASK}],
    "hf-token-classification": [
        {"entity": "B-X", "score": 0.5, "start": 0, "end": 2},
        {"entity": "I-X", "score": 0.5, "start": 2, "end": 4},
    ],
    "keypoints": [{"score": 0.5, "keypoints": [1, 1, 2, 3, 1, 1]}, {"keypoints": [[0, 0, 0]], "names": ["a"]}],
    "owl-vit-v2": {"predicted_boxes": [[0, 0, 0.3, 0.5]], "instance_logits_image": [[-1, 0.5]]},
    "paligemma": {"response": "<loc0000><loc0100><loc0500><loc1000> cat ; <loc0000><loc0001><loc0002><loc0003> dog"},
    "plain": "cat",
    "polygons": [
        {"label": "cat", "points": [[0, 0], [5, 0], [3, 3]]},
        {"category_id": 1, "segmentation": [[-1, 0, 4, 0, 4, 2]]},
    ],
    "rle-masks": [
        {"label": 1, "segmentation": {"size": [2, 4], "counts": [2, 3, 3]}},
        {"label": "dog", "size": [2, 4], "counts": rle.pack([5, 1, 1, 1]).decode()},
    ],
    "sam-masks": {"masks": [[[True, False, 0, 1], [0, 0, 0, 0]]], "scores": [0.5]},
    "spacy-entities": {"text": "Ada lived", "ents": [{"start": 0, "end": 3, "label": "PERSON"}]},
}
MAPPINGS = (
    (
        MappingRules(items="a.b", label="c", score="s", box=("x", "y", "w", "h"), format="xywh", normalised=True),
        {"a": {"b": [{"c": 1, "s": 0.5, "x": 0, "y": 0, "w": 0.5, "h": 1}]}},
    ),
    (MappingRules(items="boxes", constant="cat", box="", format="cxcywh"), BOXES),
    (MappingRules(items="d", label="l", percent=True, points="p"), {"d": [{"l": 1, "p": [0, 0, 3, 0, 3, 1]}]}),
    (MappingRules(items="d", label="l", start="s.0", end="s.1"), {"d": [{"l": "x", "s": [0, 2]}]}),
)


def sound(finding: Finding, row: DataRow) -> bool:
    """Coordinates are numbers within the asset, confidences from 0 to 1, masks decode."""
    if finding.confidence is not None and not 0 <= finding.confidence <= 1:
        return False
    most = row.frame_count or len(row.frame_times) or math.inf
    wide, high = (row.width or math.inf) * (1 + 1e-9), (row.height or math.inf) * (1 + 1e-9)
    match finding:
        case FoundBox():
            if finding.page is not None:
                assert finding.page >= 1
                wide, high = row.page_sizes[finding.page - 1] if row.page_sizes else (math.inf, math.inf)
                wide, high = wide * (1 + 1e-9), high * (1 + 1e-9)
            points: tuple[tuple[float, float], ...] = (
                (finding.left, finding.top),
                (finding.left + finding.width, finding.top + finding.height),
            )
        case FoundPolygon() | FoundLine():
            points = finding.points
        case FoundPoint():
            points = ((finding.x, finding.y),)
        case FoundMask():
            return bool(decode(finding.counts, finding.width, finding.height).any())
        case FoundLabel():
            frames = [frame for pair in finding.frames for frame in pair]
            return all(a <= b for a, b in finding.frames) and all(1 <= frame <= most for frame in frames)
        case FoundTrack():
            numbers = [[box.frame for box in segment] for segment in finding.segments]
            assert all(segment and segment == sorted(set(segment)) for segment in numbers), numbers
            assert all(1 <= frame <= most for segment in numbers for frame in segment), numbers
            boxes = [box for segment in finding.segments for box in segment]
            points = tuple((box.left, box.top) for box in boxes)
            points += tuple((box.left + box.width, box.top + box.height) for box in boxes)
        case FoundVideoMask():
            shown = [mask.frame for mask in finding.frames]
            assert shown, finding
            assert shown == sorted(set(shown)), shown
            assert 1 <= shown[0] <= shown[-1] <= most, shown
            assert all(decode(mask.counts, finding.width, finding.height).any() for mask in finding.frames)
            points = ((finding.width, finding.height),)
        case FoundEntity():
            return 0 <= finding.start <= finding.end
        case _:
            points = ()
    return all(math.isfinite(x) and math.isfinite(y) and 0 <= x <= wide and 0 <= y <= high for x, y in points)


def mutated(value: Any, random: Random) -> Any:
    """A sound answer with one part changed, left out, doubled or replaced."""
    if isinstance(value, (dict, list)) and value and random.random() < 0.85:
        copy: Any = value.copy()
        key = random.choice(list(copy)) if isinstance(copy, dict) else random.randrange(len(copy))
        kind = random.random()
        if kind < 0.1:
            del copy[key]
        elif kind < 0.2 and isinstance(copy, list):
            copy.append(copy[key])
        elif kind < 0.25 and isinstance(copy, dict):
            copy[str(key) + "x"] = copy.pop(key)
        else:
            copy[key] = mutated(copy[key], random)
        return copy
    if isinstance(value, str) and value and random.random() < 0.6:
        at = random.randrange(len(value))
        return value[:at] + random.choice(["", "A", "0", "=", "<", "~", "é", value[at] * 3]) + value[at + 1 :]
    if isinstance(value, (int, float)) and not isinstance(value, bool) and random.random() < 0.5:
        return random.choice(
            [value + 1, value - 1, -value, value * 1000, value * 0.3 if abs(value) < 1e300 else 0.3, math.nan, math.inf]
        )
    return random.choice(ODD)


def lines(sound_answer: Any, random: Random, count: int) -> list[bytes]:
    """``count`` lines with one to three changes, some with a broken byte."""
    made = []
    for _ in range(count):
        value = sound_answer
        for _ in range(random.randint(1, 3)):
            value = mutated(value, random)
        line = json.dumps(value, ensure_ascii=random.random() < 0.5).encode()
        if random.random() < 0.1:
            at = random.randrange(len(line) + 1)
            line = line[:at] + bytes([random.randrange(256)]) + line[at + 1 :]
        made.append(line)
    return made


def check(name: str, line: bytes, random: Random, mapping: MappingRules | None = None) -> bool:
    """Whether the line was read; fails when it gave something unsound or another error than the decoder's own."""
    row = random.choice(ROWS)
    try:
        findings = by_name(name, random.choice(NAMES), mapping).decode(line, row)
    except DecodeError as error:
        told = str(error)
        assert row.id in told, told
        return False
    assert all(sound(finding, row) for finding in findings), (line, findings)
    json.dumps([finding.label for finding in findings], ensure_ascii=False).encode()
    return True


def test_every_family_is_tried() -> None:
    assert {name.partition(":")[0] for name in SOUND} >= set(known_names()) - {"mapping"}


@pytest.mark.parametrize("name", SOUND)
def test_mutated_answers_give_sound_findings_or_a_decode_error(name: str) -> None:
    random = Random(f"{SEED} {name}")
    by_name(name, NAMES[1]).decode(json.dumps(SOUND[name]).encode(), ROWS[0])
    read = sum(check(name, line, random) for line in lines(SOUND[name], random, LINES))
    assert 0 < read < LINES  # some changes do no harm, some do: the tries are near the form


@pytest.mark.parametrize(("rules", "answer"), MAPPINGS)
def test_mutated_answers_of_a_mapping(rules: MappingRules, answer: Any) -> None:
    random = Random(SEED)
    for line in lines(answer, random, LINES):
        check("mapping", line, random, rules)


def test_recognising_mutated_answers_gives_a_decoder_or_its_own_error() -> None:
    random = Random(SEED)
    for answer in SOUND.values():
        for line in lines(answer, random, max(LINES // 10, 20)):
            try:
                recognise([line], ModelOption(name="m", predictor=Predictor.BATCH))
            except UnknownOutputError:
                continue


scalars = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=6)
KEYS = sorted(set(re.findall(r'"(\w+)":', json.dumps(list(SOUND.values())))))
keys = st.sampled_from(KEYS) | st.text(max_size=4)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=15
)


@pytest.mark.parametrize("name", SOUND)
@calmly
@given(answer=anything.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=40), seed=st.integers(0, 3))
def test_arbitrary_json(name: str, answer: bytes, seed: int) -> None:
    check(name, answer, Random(seed))
    for rules, _ in MAPPINGS:
        check("mapping", answer, Random(seed), rules)


@calmly
@given(mask=arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=20)))
def test_run_lengths_come_back(mask: NDArray[np.bool_]) -> None:
    height, width = mask.shape
    counts = encode(mask)
    assert (decode(counts, width, height) == mask).all()
    assert rle.area(rle.unpack(counts)) == mask.sum()
    assert rle.pack(rle.unpack(counts)) == counts


@calmly
@given(counts=st.binary(max_size=30) | st.text("0123456789PQ`aoO", max_size=20).map(str.encode))
def test_foreign_run_lengths_are_refused(counts: bytes) -> None:
    try:
        runs = rle.unpack(counts)
    except ValueError:
        return
    assert all(run >= 0 for run in runs)
