"""Folders of runs as a run leaves them, made by hand: pictures with boxes, texts with answers, rows that failed."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from PIL import Image, ImageDraw

from vertex_model_inference.models import ModelOption, Predictor
from vertex_model_inference.outcomes import Counts, Outcome, OutcomeStatus
from vertex_model_inference.rows import DataRow, MediaType, Split
from vertex_model_inference.runs.status import RunState, RunStatus, StepProgress
from vertex_model_inference.spec import Decoded, Files, RunSpec, Staged
from vertex_model_inference.steps.evaluate import evaluate
from vertex_model_inference.storage.places import open_store
from vertex_model_inference.storage.store import Store

__all__ = ["SIZE", "Boxes", "store_of", "write_run"]

SIZE = (160, 120)
_OPTION = ModelOption(name="shapes & colours", predictor=Predictor.BATCH)
_MOMENT = "2026-05-04T10:20:30.000Z"

Boxes = Sequence[tuple[str, tuple[float, float, float, float], float | None]]
"""Class, left, top, width and height, confidence (None: it has none, as labels have)."""


def store_of(folder: Path) -> Store:
    """The store of runs in a folder."""
    return open_store(str(folder), endpoint=None, token=lambda: ("", None))


def write_run(
    folder: Path,
    run_id: str = "run-1",
    *,
    pictures: Sequence[tuple[Boxes, Boxes | None]] = (),
    texts: Sequence[tuple[str, tuple[str, float], str | None]] = (),
    failed: Sequence[tuple[str, str, str]] = (),
    option: ModelOption = _OPTION,
    judge: bool = True,
    ids: str = "row",
) -> Files:
    """Write a run that has ended, and its evaluation.

    Args:
        folder: Of the store.
        run_id: Its id.
        pictures: Of each picture what is predicted, and what is labelled (None: nothing is).
        texts: Each text, its answer to ``mood`` with the confidence, and the labelled one (None: it has no label).
        failed: Step, code and message of each row that failed.
        option: What ran.
        judge: Evaluate it.
        ids: What ids of rows begin with.
    """
    folder.mkdir(parents=True, exist_ok=True)
    store, files = store_of(folder), Files(run_id)
    rows: list[DataRow] = []
    staged: list[Staged] = []
    outcomes: list[Outcome] = []
    lines: dict[str, list[bytes]] = {"predictions": [], "decoded": [], "labels": []}

    def add(row: DataRow, ready: Staged | None, said: list[Any], label: dict[str, Any] | None) -> None:
        rows.append(row)
        if ready is not None:
            staged.append(ready)
        lines["predictions"] += [json.dumps({"dataRow": {"id": row.id}, **one}).encode() for one in said]
        lines["decoded"].append(msgspec.json.encode(Decoded(data_row_id=row.id, annotations=len(said))))
        if label is not None:
            form = {"data_row_id": row.id, "labels": [{"annotations": label}]}
            lines["labels"].append(json.dumps(form).encode())
        status = OutcomeStatus.PREDICTED if said else OutcomeStatus.EMPTY
        outcomes.append(Outcome(data_row_id=row.id, status=status, global_key=row.global_key, annotations=len(said)))

    for predicted, labelled in pictures:
        number = len(rows)
        path = f"assets/{run_id}-{number}.png"
        store.put(path, _picture(labelled or ()))
        row = DataRow(
            id=f"{ids}{number:022d}", row_data="https://example.test/picture.png?signature=***",
            global_key=f"picture <{number}>", media_type=MediaType.IMAGE, split=_split(number),
        )  # fmt: skip
        ready = Staged(data_row_id=row.id, uri=f"{store.root}/{path}", width=SIZE[0], height=SIZE[1])
        said = [{"name": name, "bbox": _box(box), "confidence": sure} for name, box, sure in predicted]
        drawn = [
            {"name": name, "annotation_kind": "ImageBoundingBox", "bounding_box": _box(box)}
            for name, box, _ in labelled or ()
        ]
        add(row, ready, said, None if labelled is None else {"objects": drawn})
    for text, (answer, sure), meant in texts:
        number = len(rows)
        row = DataRow(
            id=f"{ids}{number:022d}", row_data=text, global_key=f"text-{number}", media_type=MediaType.TEXT,
            split=_split(number),
        )  # fmt: skip
        answered = [{"name": "mood", "answer": {"name": answer, "confidence": sure}}]
        label = {"classifications": [{"name": "mood", "radio_answer": {"name": meant}}]}
        add(row, Staged(data_row_id=row.id, text=text), answered, None if meant is None else label)
    for step, code, message in failed:
        row = DataRow(id=f"{ids}{len(rows):022d}", row_data="https://example.test/a.png", media_type=MediaType.IMAGE)
        rows.append(row)
        outcomes.append(Outcome(data_row_id=row.id, status=OutcomeStatus.FAILED, step=step, code=code, message=message))
    store.put_lines(files.shard("rows", 0), [msgspec.json.encode(row) for row in rows])
    store.put_lines(files.shard("staged", 0), [msgspec.json.encode(one) for one in staged])
    store.put_lines(files.shard("outcomes", 0), [msgspec.json.encode(one) for one in outcomes])
    store.put_lines(files.shard("predictions", 0, "ndjson"), lines["predictions"])
    store.put_lines(files.shard("decoded", 0), lines["decoded"])
    if lines["labels"]:
        store.put_lines(files.shard("labels", 0), lines["labels"])
    spec = RunSpec(run_id=run_id, model_run_id="modelrun", option=option, created_at=_MOMENT)
    status = RunStatus(
        run_id=run_id,
        model_run_id="modelrun",
        option=option.name,
        state=RunState.COMPLETE,
        created_at=_MOMENT,
        updated_at=_MOMENT,
        ended_at=_MOMENT,
        rows=len(rows),
        export_complete=True,
        steps={"export": StepProgress(done=len(rows), seconds=0.5), "predict": StepProgress(done=len(rows), seconds=2)},
        counts=Counts.of(outcomes),
        message="The run has ended.",
    )
    store.put(files.spec, msgspec.json.encode(spec))
    store.put(files.status, msgspec.json.encode(status))
    if judge:
        evaluate(store, files, None, write=True)
    return files


def _split(number: int) -> Split:
    return Split.TEST if number % 4 == 3 else Split.VALIDATION


def _box(box: tuple[float, float, float, float]) -> dict[str, float]:
    return dict(zip(("left", "top", "width", "height"), box, strict=True))


def _picture(boxes: Boxes) -> bytes:
    image = Image.new("RGB", SIZE, "#23455f")
    pen = ImageDraw.Draw(image)
    for name, (left, top, width, height), _ in boxes:
        colour = "#d9b13c" if name == "square" else "#b8543f"
        pen.rectangle((left, top, left + width - 1, top + height - 1), fill=colour)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()
