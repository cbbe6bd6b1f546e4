"""The gallery over a run of 100,000 rows: how long its index takes, and how long pages, filters and pictures take.

``python -m bench.gallery --rows 100000``. The run's folder is synthetic (boxes on pictures, labels for all but a few,
some rows failed) and evaluated by the product itself; the pages are the real app, asked in this process.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from PIL import Image
from starlette.testclient import TestClient

from bench.figure import median
from vertex_model_inference.models import ModelOption, Predictor
from vertex_model_inference.ontology import Ontology, Tool
from vertex_model_inference.outcomes import Counts, Outcome, OutcomeStatus
from vertex_model_inference.pages.access import Access
from vertex_model_inference.pages.wiring import pages_of
from vertex_model_inference.rows import DataRow, MediaType, Split
from vertex_model_inference.runs.status import STEPS, RunState, RunStatus, StepProgress
from vertex_model_inference.settings import load
from vertex_model_inference.spec import Decoded, Files, RunSpec, Staged
from vertex_model_inference.steps.evaluate import evaluate
from vertex_model_inference.storage.places import open_store
from vertex_model_inference.storage.store import Store

__all__ = ["CLASSES", "RUN", "write_run"]

RUN = "crun-0a1b2c3d-0"
CLASSES = ("cat", "dog", "bird", "horse")
_SIZE = (320, 240)
_SCHEMA = {name: f"c{name:x<24}" for name in CLASSES}
_encode = msgspec.json.Encoder().encode


def write_run(root: Path, rows: int, *, shard_rows: int = 1000, pictures: int = 50, seed: int = 1) -> Counts:
    """A run's folder under ``root/runs``, and copies of assets under ``root/assets``; the same for the same seed."""
    chance = random.Random(seed)
    store = open_store(str(root), endpoint=None, token=lambda: ("", None))
    files = Files(RUN)
    option = ModelOption(name="animals", predictor=Predictor.BATCH)
    spec = RunSpec(run_id=RUN, model_run_id="crun", option=option, created_at="2026-01-01T00:00:00.000Z")
    store.put(files.spec, _encode(spec))
    store.put(files.ontology, _encode(_ontology()))
    uris = [_picture(store, chance) for _ in range(pictures)]
    counts = Counts()
    for shard in range(-(-rows // shard_rows)):
        numbers = range(shard * shard_rows, min((shard + 1) * shard_rows, rows))
        counts += _shard(store, files, shard, numbers, uris, chance)
    evaluate(store, files, None, write=True)
    status = RunStatus(
        run_id=RUN,
        model_run_id="crun",
        option=option.name,
        state=RunState.COMPLETE,
        created_at=spec.created_at,
        updated_at="2026-01-01T00:10:00.000Z",
        ended_at="2026-01-01T00:10:00.000Z",
        rows=rows,
        export_complete=True,
        steps={step: StepProgress(done=rows, seconds=60.0) for step in STEPS},
        counts=counts,
        message=f"{counts.predicted:,} of {rows:,} data rows predicted.",
    )
    store.put(files.status, _encode(status))
    return counts


def _ontology() -> Ontology:
    tools = tuple(Tool(kind="rectangle", name=name, feature_schema_id=_SCHEMA[name]) for name in CLASSES)
    return Ontology(id="o1", name="animals", tools=tools)


def _picture(store: Store, chance: random.Random) -> tuple[str, int]:
    picture = Image.new("RGB", _SIZE, tuple(chance.randrange(40, 200) for _ in range(3)))
    for _ in range(12):
        left, top = chance.randrange(_SIZE[0] - 60), chance.randrange(_SIZE[1] - 60)
        colour = tuple(chance.randrange(256) for _ in range(3))
        picture.paste(colour, (left, top, left + chance.randrange(10, 60), top + chance.randrange(10, 60)))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=85)
    digest = hashlib.sha256(out.getvalue()).hexdigest()
    path = f"assets/{digest[:2]}/{digest}.jpg"
    store.put(path, out.getvalue())
    return store.uri(path), len(out.getvalue())


def _boxes(chance: random.Random) -> Iterator[tuple[str, float, float, float, float]]:
    for _ in range(chance.randrange(1, 5)):
        width, height = chance.uniform(20, 120), chance.uniform(20, 100)
        yield (
            chance.choice(CLASSES),
            chance.uniform(0, _SIZE[0] - width),
            chance.uniform(0, _SIZE[1] - height),
            width,
            height,
        )


def _shard(
    store: Store, files: Files, shard: int, numbers: range, uris: list[tuple[str, int]], chance: random.Random
) -> Counts:
    lines: dict[str, list[bytes]] = {
        kind: [] for kind in ("rows", "staged", "labels", "predictions", "decoded", "outcomes")
    }
    outcomes: list[Outcome] = []
    for number in numbers:
        row_id, key = f"crow{number:021d}", f"animal-{number:06d}"
        uri, size = chance.choice(uris)
        split = chance.choice((Split.TRAINING, Split.TRAINING, Split.VALIDATION, Split.TEST))
        row = DataRow(
            id=row_id, row_data=f"https://pictures.example.com/{number}.jpg", global_key=key,
            media_type=MediaType.IMAGE, mime_type="image/jpeg", width=_SIZE[0], height=_SIZE[1], split=split,
        )  # fmt: skip
        lines["rows"].append(_encode(row))
        labels = list(_boxes(chance))
        if chance.random() < 0.95:
            lines["labels"].append(_encode({"data_row_id": row_id, "labels": [_label(labels)]}))
        if chance.random() < 0.05:
            outcomes.append(_unsuccessful(row_id, key, chance))
            continue
        lines["staged"].append(
            _encode(
                Staged(data_row_id=row_id, uri=uri, mime_type="image/jpeg", width=_SIZE[0], height=_SIZE[1], size=size)
            )
        )
        said = _predictions(labels, chance)
        lines["predictions"] += [_prediction(row_id, place, *one) for place, one in enumerate(said)]
        lines["decoded"].append(_encode(Decoded(data_row_id=row_id, annotations=len(said), global_key=key)))
        state = OutcomeStatus.PREDICTED if said else OutcomeStatus.EMPTY
        outcomes.append(Outcome(data_row_id=row_id, status=state, global_key=key, annotations=len(said)))
    lines["outcomes"] = [_encode(outcome) for outcome in outcomes]
    for kind, found in lines.items():
        store.put_lines(files.shard(kind, shard, "ndjson" if kind == "predictions" else "jsonl"), found)
    return Counts.of(outcomes)


def _unsuccessful(row_id: str, key: str, chance: random.Random) -> Outcome:
    if chance.random() < 0.3:
        return Outcome(
            data_row_id=row_id, status=OutcomeStatus.SKIPPED, global_key=key, step="assets", code="unsupported_type",
            message="The picture is image/tiff; the model takes jpeg, png.",
        )  # fmt: skip
    return Outcome(
        data_row_id=row_id, status=OutcomeStatus.FAILED, global_key=key, step="assets", code="asset_not_found",
        message="The asset is not at https://pictures.example.com any more (HTTP 404).", retryable=True,
    )  # fmt: skip


def _label(boxes: list[tuple[str, float, float, float, float]]) -> dict[str, Any]:
    objects = [
        {
            "name": name, "value": name, "feature_schema_id": _SCHEMA[name], "annotation_kind": "ImageBoundingBox",
            "bounding_box": {"left": left, "top": top, "width": width, "height": height},
        }
        for name, left, top, width, height in boxes
    ]  # fmt: skip
    return {"annotations": {"objects": objects, "classifications": []}}


def _predictions(
    labels: list[tuple[str, float, float, float, float]], chance: random.Random
) -> list[tuple[str, float, float, float, float, float]]:
    found = []
    for name, left, top, width, height in labels:
        luck = chance.random()
        if luck < 0.1:
            continue  # missed
        said = chance.choice(CLASSES) if luck < 0.2 else name
        confidence = chance.betavariate(6, 2) if said == name else chance.betavariate(2, 3)
        found.append((said, left + chance.gauss(0, 2), top + chance.gauss(0, 2), width, height, confidence))
    if chance.random() < 0.2:
        found.append((chance.choice(CLASSES), 5.0, 5.0, 40.0, 40.0, chance.betavariate(2, 5)))
    return found


def _prediction(
    row_id: str, place: int, name: str, left: float, top: float, width: float, height: float, confidence: float
) -> bytes:
    box = {"left": round(left, 2), "top": round(top, 2), "width": round(width, 2), "height": round(height, 2)}
    about = {"uuid": f"{row_id}-{place}", "dataRow": {"id": row_id}, "name": name}
    return _encode({**about, "confidence": round(confidence, 6), "bbox": box})


_VIEWS = {
    "first page": "",
    "one class": "?class=cat",
    "missed": "?agreement=missed&class=dog",
    "taken for": "?class=cat&as=bird",
    "confidence": "?low=.4&high=.6",
    "failed": "?outcome=failed",
    "most wrong": "?order=wrong",
    "least sure, test": "?order=unsure&split=test",
    "no row fits": "?q=nothing",
}


def measure(rows: int) -> dict[str, Any]:
    """Everything, over a run of that many rows, in a folder that goes afterwards."""
    with tempfile.TemporaryDirectory(prefix="vmi-bench-gallery-") as folder:
        root = Path(folder)
        started = time.perf_counter()
        write_run(root / "files", rows)
        made = time.perf_counter() - started
        settings = load({"VMI_DATA_DIR": str(root / "data")}, root)
        app = pages_of(settings, Access("0123456789abcdef"), root / "files")
        found: dict[str, Any] = {"rows": rows, "files_written_s": round(made, 1)}
        with TestClient(app, base_url="http://127.0.0.1") as client:
            client.post("/login", data={"token": "0123456789abcdef"})
            started = time.perf_counter()
            first = client.get(f"/runs/{RUN}/rows")
            found["first_look_s"] = round(time.perf_counter() - started, 2)
            while "are done." in first.text:
                time.sleep(0.2)
                first = client.get(f"/runs/{RUN}/rows")
            found["index_s"] = round(time.perf_counter() - started, 1)
            indexes = (root / "data" / "pages" / "rows").glob("*")
            found["index_mb"] = round(sum(path.stat().st_size for path in indexes) / 1e6, 1)
            found["views_ms"] = {name: _asked(client, f"/runs/{RUN}/rows{view}") for name, view in _VIEWS.items()}
            after = first.text.split('rel="next"')[0].rpartition('href="')[2].split('"')[0].replace("&amp;", "&")
            found["views_ms"]["next page"] = _asked(client, after)
            row = first.text.split('data-row="')[1].split('"')[0]
            found["views_ms"]["a row"] = _asked(client, f"/runs/{RUN}/rows/{row}")
            found["views_ms"]["runs"] = _asked(client, "/")
            found["views_ms"]["run"] = _asked(client, f"/runs/{RUN}")
            found["page_kb"] = round(len(first.content) / 1000, 1)
            started = time.perf_counter()
            client.get(f"/runs/{RUN}/pictures/{row}?size=card")
            found["picture_first_ms"] = round(1000 * (time.perf_counter() - started), 1)
            found["picture_again_ms"] = _asked(client, f"/runs/{RUN}/pictures/{row}?size=card")
            started = time.perf_counter()
            size = len(client.get(f"/runs/{RUN}/rows.csv").content)
            found["csv_s"], found["csv_mb"] = round(time.perf_counter() - started, 2), round(size / 1e6, 1)
        found["most_memory_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return found


def _asked(client: TestClient, address: str) -> float:
    times = []
    for _ in range(5):
        started = time.perf_counter()
        response = client.get(address)
        times.append(1000 * (time.perf_counter() - started))
        assert response.status_code == 200, (address, response.status_code)
    return round(median(times), 1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    print(json.dumps(measure(parser.parse_args().rows), indent=2))
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", file=sys.stderr)


if __name__ == "__main__":
    main()
