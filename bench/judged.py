"""A whole run judged from its files, as ``vmi evaluate`` does: rows a second, and memory however many rows there are.

The run's files are synthetic: a radio of 10 classes with the model's scores, and 5 labelled and 5 predicted boxes, in
every row. Some shards are made, the others are the same files under other names; so a run of any size takes little
disk, and confidences still take more than 100,000 different values.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from bench.figure import Figure
from vertex_model_inference.models import ModelOption, Predictor
from vertex_model_inference.ontology import Classification, Ontology, Option, Tool
from vertex_model_inference.spec import Files, RunSpec

__all__ = ["main", "make_run", "run"]

SHARD, MADE = 1_000, 40
ROWS, MORE_ROWS = 20_000, 200_000
MOST_MB = 400
CLASSES = tuple(f"class {number}" for number in range(10))
TOOLS = tuple(f"tool {number}" for number in range(4))
RUN = "bench-judged-0"


def _id(kind: str, number: int) -> str:
    return f"cm0{kind}".ljust(25 - len(str(number)), "0") + str(number)


def _ontology() -> Ontology:
    options = tuple(
        Option(name=name, label=name, feature_schema_id=_id("option", number)) for number, name in enumerate(CLASSES)
    )
    question = Classification(kind="radio", name="kind", feature_schema_id=_id("question", 0), options=options)
    tools = tuple(
        Tool(kind="rectangle", name=name, feature_schema_id=_id("tool", number)) for number, name in enumerate(TOOLS)
    )
    return Ontology(id=_id("ontology", 0), name="bench", tools=tools, classifications=(question,))


def _shard(number: int) -> dict[str, bytes]:
    """The files of one shard, by folder."""
    dice = random.Random(number)
    lines: dict[str, list[str]] = {kind: [] for kind in ("rows", "labels", "answers", "decoded", "predictions")}
    for row in range(SHARD):
        row_id = _id("row", number * SHARD + row)
        lines["rows"].append(json.dumps({"id": row_id, "row_data": f"gs://bench/{row_id}.jpg", "split": "test"}))
        scores = [dice.random() ** 4 for _ in CLASSES]
        shares = [score / sum(scores) for score in scores]
        best = max(range(len(CLASSES)), key=shares.__getitem__)
        truth = best if dice.random() < 0.8 else dice.randrange(len(CLASSES))
        objects, said = [], []
        for place in range(5):
            tool = dice.randrange(len(TOOLS))
            left, top = round(dice.random() * 900, 2), round(dice.random() * 700, 2)
            box = {"left": left, "top": top, "width": 80.0, "height": 60.0}
            named = {"name": TOOLS[tool], "feature_schema_id": _id("tool", tool)}
            objects.append({**named, "annotation_kind": "ImageBoundingBox", "bounding_box": box, "classifications": []})
            moved = {**box, "left": round(left + dice.gauss(0, 12), 2)}
            said.append(
                {
                    "uuid": f"00000000-0000-5000-8000-{number:06d}{row:05d}{place}",
                    "dataRow": {"id": row_id},
                    "name": TOOLS[tool] if dice.random() < 0.9 else TOOLS[0],
                    "confidence": round(dice.random(), 6),
                    "classifications": [],
                    "bbox": moved,
                }
            )
        answer = {"name": CLASSES[best], "confidence": round(shares[best], 6)}
        said.append({"uuid": "", "dataRow": {"id": row_id}, "name": "kind", "answer": answer})
        chosen = {"name": CLASSES[truth], "value": CLASSES[truth], "feature_schema_id": _id("option", truth)}
        asked = {"name": "kind", "feature_schema_id": _id("question", 0), "radio_answer": chosen}
        label = {"annotations": {"objects": objects, "classifications": [asked], "relationships": []}}
        lines["labels"].append(json.dumps({"data_row_id": row_id, "labels": [label]}))
        prediction = [{"label": name, "score": share} for name, share in zip(CLASSES, shares, strict=True)]
        lines["answers"].append(json.dumps({"data_row_id": row_id, "prediction": prediction}))
        lines["decoded"].append(json.dumps({"data_row_id": row_id, "annotations": len(said)}))
        lines["predictions"] += [json.dumps(one) for one in said]
    return {kind: "\n".join(each).encode() + b"\n" for kind, each in lines.items()}


def make_run(root: Path, rows: int) -> Files:
    """Write the files of a run of that many rows below ``root``.

    Args:
        root: An empty folder.
        rows: A multiple of 1,000.
    """
    files = Files(RUN)
    option = ModelOption(name="bench", predictor=Predictor.ONLINE)
    spec = RunSpec(run_id=RUN, model_run_id="bench", option=option, created_at="2024-01-01T00:00:00Z")
    (root / files.folder).mkdir(parents=True)
    (root / files.spec).write_bytes(msgspec.json.encode(spec))
    (root / files.ontology).write_bytes(msgspec.json.encode(_ontology()))
    (root / files.folder / "decoder.json").write_bytes(b'"hf-classification"')
    for number in range(rows // SHARD):
        for kind, data in (_shard(number) if number < MADE else dict.fromkeys(_FOLDERS, b"")).items():
            suffix = "ndjson" if kind == "predictions" else "jsonl"
            path = root / files.shard(kind, number, suffix)
            path.parent.mkdir(exist_ok=True)
            if number < MADE:
                path.write_bytes(data)
            else:
                path.hardlink_to(root / files.shard(kind, number % MADE, suffix))
    return files


_FOLDERS = ("rows", "labels", "answers", "decoded", "predictions")


class Judged(msgspec.Struct, frozen=True):
    """What judging a run took.

    Attributes:
        rows: Data rows. ``seconds``: of the whole; ``scores_s``: of these, for the figures at the end. ``cpu_s``: CPU.
        start_mb: Most resident memory before. ``counted_mb``: when all rows were counted. ``peak_mb``: at the end.
    """

    rows: int
    seconds: float
    cpu_s: float
    start_mb: float
    counted_mb: float
    peak_mb: float
    scores_s: float


def measure(rows: int) -> Judged:
    """Judge a run of that many rows in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="vmi-bench-") as folder:
        make_run(Path(folder), rows)
        done = subprocess.run(  # this very module
            [sys.executable, "-m", "bench.judged", "--judge", folder], check=True, capture_output=True, timeout=3600
        )
    return msgspec.json.decode(done.stdout, type=Judged)


def _most_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def _judge(root: Path) -> Judged:
    from vertex_model_inference.evaluation.evaluator import Evaluator
    from vertex_model_inference.evaluation.scores import SplitScore
    from vertex_model_inference.steps.evaluate import evaluate
    from vertex_model_inference.storage.places import open_store

    store = open_store(str(root), endpoint=None, token=lambda: ("", None))

    class Counted(Evaluator):
        """Notes when the counting is over."""

        def scores(self) -> tuple[SplitScore, ...]:
            noted.append((_most_mb(), time.perf_counter()))
            return super().scores()

    noted: list[tuple[float, float]] = []
    before, start = _most_mb(), time.perf_counter()
    found = evaluate(store, Files(RUN), None, keep=Counted())
    end = time.perf_counter()
    [(counted, since)] = noted
    rows = found.splits[0].rows
    assert rows.judged == rows.exported
    return Judged(rows.judged, end - start, time.process_time(), before, counted, _most_mb(), end - since)


def run() -> list[Figure]:
    """All figures."""
    few, many = measure(ROWS), measure(MORE_ROWS)
    growth = (many.peak_mb - few.peak_mb) / (many.rows - few.rows)
    million = many.peak_mb + growth * (1_000_000 - many.rows)
    return [
        Figure.alone("a run judged from its files, radio and 5 boxes v 5", "rows/s", many.rows / many.seconds),
        Figure.alone(f"memory of judging {few.rows:,} rows", "MB", few.peak_mb),
        Figure.alone(f"memory of judging {many.rows:,} rows", "MB", many.peak_mb),
        Figure.alone(
            "memory of judging 1,000,000 rows, by that growth", "MB", million, target=f"< {MOST_MB} MB",
            met=million < MOST_MB,
        ),
    ]  # fmt: skip


def main() -> None:
    """``python -m bench.judged --rows N``: one run of that size."""
    parser = argparse.ArgumentParser(prog="python -m bench.judged", description="A run judged from its files.")
    parser.add_argument("--rows", type=int, default=MORE_ROWS)
    parser.add_argument("--judge", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    found = measure(arguments.rows) if arguments.judge is None else _judge(arguments.judge)
    sys.stdout.write(msgspec.json.encode(found).decode() + os.linesep)


if __name__ == "__main__":
    main()
