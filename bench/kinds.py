"""Annotations of each kind to NDJSON on one core, against the ``labelbox`` SDK: ``Label`` built and serialised.

Ours begins earlier, with the model's JSON (decode, match, write); the SDK is given the values. Both write the same rows
but for uuids. Run with ``python -m bench.kinds``; ``--profile KIND`` shows which functions take the time of ours.
"""

from __future__ import annotations

import argparse
import base64
import cProfile
import io
import json
import pstats
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.figure import Figure
from vertex_model_inference.decoders.registry import by_name
from vertex_model_inference.findings import Finding, FoundBox, FoundLabel, FoundText
from vertex_model_inference.geometry.runs import encode
from vertex_model_inference.labelbox.ndjson import lines, row_uuids
from vertex_model_inference.models import MatchRules
from vertex_model_inference.ontology import Classification, Ontology, Option, Tool
from vertex_model_inference.rows import DataRow
from vertex_model_inference.steps.match import Matcher

__all__ = ["KINDS", "profiled", "run"]

WIDTH, HEIGHT = 640, 480
RUN = "cm0modelrun00000000000001"
PER_ROW = 5
ROUNDS = 3
Mask = NDArray[np.uint8]


class Kind(msgspec.Struct):
    """One kind of annotation.

    Attributes:
        rows: Data rows of one round, each with ``PER_ROW`` annotations.
        answers: The model's JSON of each row. ``decoder``: that reads it.
        values: The same as the SDK is given it: of each row, (class, confidence, value) of each annotation.
        annotation: Makes the SDK's annotation of one.
        ready: Findings that are given in place of answers, where no family of output has this kind.
    """

    rows: int
    answers: list[bytes]
    decoder: str
    values: list[list[tuple[str, float, Any]]]
    annotation: Callable[[str, float, Any], Any]
    ready: list[list[Finding]] | None = None


def _id(what: str) -> str:
    return f"cm0{what:0<22}"[:25]


def _options(name: str, nested: tuple[Classification, ...] = ()) -> tuple[Option, ...]:
    return tuple(
        Option(name=word, label=word, feature_schema_id=_id(name + word), classifications=nested)
        for word in ("red", "green", "blue")
    )


SHADE = Classification(kind="radio", name="shade", feature_schema_id=_id("shade"), options=_options("shade"))
COLOUR = Classification(
    kind="radio", name="colour", feature_schema_id=_id("colour"), options=_options("colour", (SHADE,))
)
NOTE = Classification(kind="text", name="note", feature_schema_id=_id("note"))
ONTOLOGY = Ontology(
    id=_id("ontology"),
    name="bench",
    tools=(
        Tool(kind="rectangle", name="car", feature_schema_id=_id("car"), classifications=(COLOUR, NOTE)),
        Tool(kind="raster-segmentation", name="road", feature_schema_id=_id("road")),
        Tool(kind="named-entity", name="person", feature_schema_id=_id("person")),
    ),
)


def _boxes(dice: random.Random) -> list[tuple[int, int, int, int, float]]:
    found = []
    for _ in range(PER_ROW):
        left, top = dice.randrange(WIDTH - 60), dice.randrange(HEIGHT - 60)
        found.append((left, top, left + dice.randint(5, 50), top + dice.randint(5, 50), round(dice.random(), 6)))
    return found


def _sdk_box(name: str, confidence: float, value: Any) -> Any:
    from labelbox.data import annotation_types as sdk

    left, top, right, bottom, nested = value
    box = sdk.Rectangle(start=sdk.Point(x=left, y=top), end=sdk.Point(x=right, y=bottom))
    return sdk.ObjectAnnotation(name=name, value=box, confidence=confidence, classifications=nested(confidence))


def _no_answers(_: float) -> list[Any]:
    return []


def _note(confidence: float) -> list[Any]:
    from labelbox.data import annotation_types as sdk

    return [sdk.ClassificationAnnotation(name="note", value=sdk.Text(answer="AB-123", confidence=confidence))]


def _deep(confidence: float) -> list[Any]:
    from labelbox.data import annotation_types as sdk

    def radio(name: str, answer: str, nested: list[Any]) -> Any:
        chosen = sdk.ClassificationAnswer(name=answer, confidence=confidence, classifications=nested)
        return sdk.ClassificationAnnotation(name=name, value=sdk.Radio(answer=chosen))

    return [radio("colour", "red", [radio("shade", "green", [])]), *_note(confidence)]


def _box_kind(rows: int, nested: Callable[[float], list[Any]], dice: random.Random, text: str | None = None) -> Kind:
    answers, values, ready = [], [], []
    for _ in range(rows):
        boxes = _boxes(dice)
        said = [
            {"label": "car", "score": c, "box": {"xmin": x0, "ymin": y0, "xmax": x1, "ymax": y1}}
            | ({"text": text} if text else {})
            for x0, y0, x1, y1, c in boxes
        ]
        answers.append(json.dumps(said).encode())
        values.append([("car", c, (x0, y0, x1, y1, nested)) for x0, y0, x1, y1, c in boxes])
        findings: list[Finding] = [
            FoundBox(
                "car",
                x0,
                y0,
                x1 - x0,
                y1 - y0,
                c,
                answers=(
                    FoundLabel("red", c, "colour", (FoundLabel("green", c, "shade"),)),
                    FoundText("note", "AB-123", c),
                ),
            )
            for x0, y0, x1, y1, c in boxes
        ]
        ready.append(findings)
    return Kind(rows, answers, "hf-detection", values, _sdk_box, ready if nested is _deep else None)


def _mask_kind(rows: int, dice: random.Random) -> Kind:
    """Filled ellipses of a few thousand pixels, as instance segmentation gives them."""
    columns, lines_ = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    answers, values = [], []
    for _ in range(rows):
        said, mine = [], []
        for x0, y0, x1, y1, c in _boxes(dice):
            across, down = (columns - (x0 + x1) / 2) / (x1 - x0), (lines_ - (y0 + y1) / 2) / (y1 - y0)
            mask = across**2 + down**2 <= 1
            counts = encode(mask).decode()
            said.append({"label": "road", "score": c, "segmentation": {"size": [HEIGHT, WIDTH], "counts": counts}})
            mine.append(("road", c, mask.astype(np.uint8)))
        answers.append(json.dumps(said).encode())
        values.append(mine)
    return Kind(rows, answers, "rle-masks", values, _sdk_mask)


def _sdk_mask(name: str, confidence: float, value: Mask) -> Any:
    from labelbox.data import annotation_types as sdk

    mask = sdk.Mask(mask=sdk.MaskData.from_2D_arr(value), color=(1, 1, 1))
    return sdk.ObjectAnnotation(name=name, value=mask, confidence=confidence)


def _entity_kind(rows: int, dice: random.Random) -> Kind:
    answers, values = [], []
    for _ in range(rows):
        found = [(at * 40 + dice.randrange(20), round(dice.random(), 6)) for at in range(PER_ROW)]
        said = [{"entity_group": "person", "score": c, "word": "Ada", "start": at, "end": at + 9} for at, c in found]
        answers.append(json.dumps(said).encode())
        values.append([("person", c, (at, at + 8)) for at, c in found])
    return Kind(rows, answers, "hf-token-classification", values, _sdk_entity)


def _sdk_entity(name: str, confidence: float, value: tuple[int, int]) -> Any:
    from labelbox.data import annotation_types as sdk

    return sdk.ObjectAnnotation(name=name, value=sdk.TextEntity(start=value[0], end=value[1]), confidence=confidence)


KINDS: dict[str, Callable[[int], Kind]] = {
    "boxes": lambda rows: _box_kind(rows, _no_answers, random.Random(1)),
    "boxes with a text": lambda rows: _box_kind(rows, _note, random.Random(2), "AB-123"),
    "boxes with answers two deep": lambda rows: _box_kind(rows, _deep, random.Random(3)),
    "masks": lambda rows: _mask_kind(max(rows // 20, 2), random.Random(4)),
    "entities": lambda rows: _entity_kind(rows, random.Random(5)),
}
"""What is measured; masks are larger, so there are fewer."""


def _rows(kind: Kind) -> list[DataRow]:
    width, height = (None, None) if kind.decoder == "hf-token-classification" else (WIDTH, HEIGHT)
    return [
        DataRow(id=f"cm0datarow{number:015d}", row_data="x", width=width, height=height) for number in range(kind.rows)
    ]


def ours(kind: Kind, rows: Sequence[DataRow]) -> list[bytes]:
    """The product's own functions, put together as a run does."""
    decoder, matcher = by_name(kind.decoder), Matcher(ONTOLOGY, MatchRules())
    made: list[bytes] = []
    for number, row in enumerate(rows):
        findings = decoder.decode(kind.answers[number], row) if kind.ready is None else kind.ready[number]
        made += lines(matcher.match(findings, row).annotations, row, row_uuids(RUN, row.id))
    return made


def theirs(kind: Kind, rows: Sequence[DataRow]) -> list[bytes]:
    """The SDK: annotations, a ``Label`` of each row, ``NDJsonConverter``, and JSON of what it gives."""
    from labelbox.data import annotation_types as sdk
    from labelbox.data.serialization import NDJsonConverter

    labels = [
        sdk.Label(
            data=sdk.GenericDataRowData(uid=row.id),
            annotations=[kind.annotation(name, confidence, value) for name, confidence, value in kind.values[number]],
        )
        for number, row in enumerate(rows)
    ]
    return [json.dumps(value).encode() for value in NDJsonConverter.serialize(labels)]


def _comparable(line: bytes) -> Any:
    value = json.loads(line)
    value.pop("uuid")
    if "mask" in value:  # two PNGs of the same pixels need not be the same bytes
        with Image.open(io.BytesIO(base64.b64decode(value["mask"]["png"]))) as image:
            value["mask"] = encode(np.asarray(image) > 0).decode()
    return value


def _seconds(work: Callable[[Kind, Sequence[DataRow]], list[bytes]], kind: Kind, rows: Sequence[DataRow]) -> float:
    """CPU seconds of one round."""
    before = time.process_time()
    work(kind, rows)
    return time.process_time() - before


def run(rows: int = 2000, rounds: int = ROUNDS) -> list[Figure]:
    """Measure all kinds.

    Raises:
        AssertionError: The two do not write the same rows.
    """
    figures = []
    for name, make in KINDS.items():
        kind = make(rows)
        all_rows = _rows(kind)
        mine = [_comparable(line) for line in ours(kind, all_rows[:20])]
        assert mine == [_comparable(line) for line in theirs(kind, all_rows[:20])], name
        annotations = kind.rows * PER_ROW
        # In turns, and the quickest of each: others share the machine.
        taken = [(_seconds(ours, kind, all_rows), _seconds(theirs, kind, all_rows)) for _ in range(rounds)]
        best, other = (annotations / min(each) for each in zip(*taken, strict=True))
        what = f"convert: {name} to NDJSON"
        figures.append(
            Figure.compared(what, "annotations/s", best, other, "SDK: build, serialise", more_is_better=True)
        )
    return figures


def profiled(name: str, rows: int = 2000, functions: int = 12) -> str:
    """Which functions take the time of ours: a table of the first ones by their own time."""
    kind = KINDS[name](rows)
    all_rows = _rows(kind)
    ours(kind, all_rows)
    profile = cProfile.Profile()
    profile.enable()
    ours(kind, all_rows)
    profile.disable()
    out = io.StringIO()
    pstats.Stats(profile, stream=out).strip_dirs().sort_stats("tottime").print_stats(functions)
    return out.getvalue()


def main() -> None:
    """The figures, or a profile."""
    parser = argparse.ArgumentParser(prog="python -m bench.kinds")
    parser.add_argument("--profile", choices=KINDS, help="which functions take the time of ours")
    chosen = parser.parse_args().profile
    if chosen:
        print(profiled(chosen))
        return
    for figure in run():
        print(f"{figure.name:<52} {figure.ours:>10,.0f} {figure.other or 0:>10,.0f} {figure.ratio or 0:>6.1f}x")


if __name__ == "__main__":
    main()
