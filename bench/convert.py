"""Vertex output lines -> findings -> annotations -> NDJSON on one core, against the same work with ``json`` and dicts.

Run with ``python -m bench.convert``; ``run()`` gives the figures to ``make bench``.
"""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Callable

import msgspec

from vertex_model_inference.decoders.registry import by_name
from vertex_model_inference.labelbox.ndjson import lines, row_uuids
from vertex_model_inference.models import MatchRules
from vertex_model_inference.ontology import Ontology, Tool
from vertex_model_inference.rows import DataRow
from vertex_model_inference.steps.match import Matcher

ROWS, BOXES, ROUNDS = 20_000, 5, 5
CLASSES = tuple(f"class {number:02d}" for number in range(20))
RUN = "cm0modelrun00000000000001"
WIDTH, HEIGHT = 1920, 1080


class OutputLine(msgspec.Struct):
    """A line of a batch job's output, with the prediction left as it is."""

    key: str
    prediction: msgspec.Raw


def output_lines(rows: int = ROWS, boxes: int = BOXES) -> tuple[list[bytes], dict[str, DataRow]]:
    """Lines as AutoML detection writes them, and the data rows that they are about; the same each time."""
    dice = random.Random(7)
    made, data_rows = [], {}
    for number in range(rows):
        key = f"cm0datarow{number:015d}"
        data_rows[key] = DataRow(id=key, row_data=f"gs://bucket/{key}.jpg", width=WIDTH, height=HEIGHT)
        corners = []
        for _ in range(boxes):
            left, top = dice.random() * 0.8, dice.random() * 0.8
            corners.append([left, left + 0.01 + dice.random() * 0.19, top, top + 0.01 + dice.random() * 0.19])
        chosen = [dice.randrange(len(CLASSES)) for _ in range(boxes)]
        prediction = {
            "ids": [str(number) for number in chosen],
            "displayNames": [CLASSES[number] for number in chosen],
            "confidences": [dice.random() for _ in range(boxes)],
            "bboxes": corners,
        }
        made.append(json.dumps({"key": key, "prediction": prediction}).encode())
    return made, data_rows


def ontology() -> Ontology:
    """A rectangle tool for each class, named as people name them."""
    tools = [
        Tool(kind="rectangle", name=name.title(), feature_schema_id=f"cm0tool{index:018d}")
        for index, name in enumerate(CLASSES)
    ]
    return Ontology(id="cm0ontology00000000000001", name="bench", tools=tuple(tools))


def ours(source: list[bytes], data_rows: dict[str, DataRow]) -> bytes:
    """The product's own functions, put together as a run does."""
    decoder = by_name("automl-detection")
    matcher = Matcher(ontology(), MatchRules())
    envelope = msgspec.json.Decoder(OutputLine)
    made: list[bytes] = []
    for line in source:
        output = envelope.decode(line)
        row = data_rows[output.key]
        matched = matcher.match(decoder.decode(bytes(output.prediction), row), row)
        made += lines(matched.annotations, row, row_uuids(RUN, row.id))
    return b"\n".join(made)


def plain(source: list[bytes], data_rows: dict[str, DataRow]) -> bytes:
    """The same rows with the standard library and dicts, checked no more than it takes to be right."""
    tools = {tool.name.lower(): tool.name for tool in ontology().tools}
    namespace = uuid.uuid5(uuid.UUID("8f0b8d0e-5f6f-5d8c-9a1b-6c1f5f0f7d21"), RUN)
    made = []
    for line in source:
        output = json.loads(line)
        row, prediction = data_rows[output["key"]], output["prediction"]
        assert row.width
        assert row.height
        found = zip(prediction["displayNames"], prediction["confidences"], prediction["bboxes"], strict=True)
        for index, (label, confidence, (x0, x1, y0, y1)) in enumerate(found):
            if not (0 <= confidence <= 1 and 0 <= x0 <= x1 <= 1 and 0 <= y0 <= y1 <= 1):
                raise ValueError(line)
            left, top = round(x0 * row.width, 2), round(y0 * row.height, 2)
            value = {
                "confidence": round(confidence, 6),
                "uuid": str(uuid.uuid5(namespace, f"{row.id}/{index}")),
                "dataRow": {"id": row.id},
                "name": tools[label.lower()],
                "classifications": [],
                "bbox": {
                    "top": top,
                    "left": left,
                    "height": round(round(y1 * row.height, 2) - top, 2),
                    "width": round(round(x1 * row.width, 2) - left, 2),
                },
            }
            made.append(json.dumps(value, separators=(",", ":")))
    return "\n".join(made).encode()


Work = Callable[[list[bytes], dict[str, DataRow]], bytes]


def _best(work: Work, source: list[bytes], data_rows: dict[str, DataRow], rounds: int) -> float:
    """CPU seconds of the quickest round: others share the machine."""
    taken = []
    for _ in range(rounds):
        before = time.process_time()
        work(source, data_rows)
        taken.append(time.process_time() - before)
    return min(taken)


def run(rows: int = ROWS, rounds: int = ROUNDS) -> dict[str, float]:
    """Measure both; raises AssertionError when they do not write the same rows."""
    source, data_rows = output_lines(rows)
    expected, got = plain(source[:100], data_rows), ours(source[:100], data_rows)
    for one, other in zip(expected.splitlines(), got.splitlines(), strict=True):
        _same(json.loads(one), json.loads(other))
    megabytes = sum(map(len, source)) / 1e6
    plain_s = _best(plain, source, data_rows, max(1, rounds // 2))
    ours_s = _best(ours, source, data_rows, rounds)
    return {
        "data_rows": float(rows),
        "box_rows": float(rows * BOXES),
        "ours_box_rows_per_s": rows * BOXES / ours_s,
        "ours_megabytes_in_per_s": megabytes / ours_s,
        "plain_box_rows_per_s": rows * BOXES / plain_s,
        "ratio_to_plain_json": plain_s / ours_s,
    }


def _same(one: dict[str, object], other: dict[str, object]) -> None:
    """Equal but for how a half is rounded in the last digit."""
    assert list(one) == list(other)
    box, other_box = one.pop("bbox"), other.pop("bbox")
    confidence, other_confidence = one.pop("confidence"), other.pop("confidence")
    assert one == other
    assert isinstance(box, dict)
    assert isinstance(other_box, dict)
    assert all(abs(box[side] - other_box[side]) < 0.011 for side in ("top", "left", "height", "width"))
    assert isinstance(confidence, float)
    assert isinstance(other_confidence, float)
    assert abs(confidence - other_confidence) < 1.1e-6


def main() -> None:
    for name, figure in run().items():
        print(f"convert {name:<26} {figure:>12,.1f}")


if __name__ == "__main__":
    main()
