"""The model run that ``bench scale`` measures: its rows, its model and the sandbox's ports."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import httpx2

from bench import container
from vertex_model_inference.sandbox.config import LOCATION, PROJECT, SandboxConfig
from vertex_model_inference.sandbox.labelbox.ids import new_id, now
from vertex_model_inference.sandbox.labelbox.normalized import complete
from vertex_model_inference.sandbox.labelbox.store import Store

__all__ = ["OPTION", "port_base", "register", "rows_of", "seed", "toml"]

OPTION = "scale"
"""Name of the model in the menu."""

_PIECE = 20_000
_WORDS = ("green", "small", "loud", "river", "table", "letter", "window", "runs", "never", "always", "stood", "fell")


def port_base() -> int:
    """Three consecutive ports that are free now."""
    for _ in range(200):
        with socket.socket() as first:
            first.bind(("127.0.0.1", 0))
            base: int = first.getsockname()[1]
        try:
            for port in (base, base + 1, base + 2):
                with socket.socket() as each:
                    each.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            continue
        return base
    raise OSError("no three free ports in a row")


def _texts(rows: int) -> Iterator[str]:
    for number in range(rows):
        words = [_WORDS[(number * 7 + i * (3 + number % 5)) % len(_WORDS)] for i in range(12 + number % 20)]
        yield f"{number}: {' '.join(words)}."


def rows_of(rows: int, pictures: str, asset_bytes: int) -> Iterator[tuple[str, str, str, int | None]]:
    """(row data, media type, media attributes as JSON, length of the text) of each row."""
    if asset_bytes:
        for number in range(rows):
            url = f"{pictures}/{number}-{asset_bytes}.jpg"
            yield url, "IMAGE", '{"mime_type":"image/jpeg","width":256,"height":256}', None
        return
    for text in _texts(rows):
        yield text, "TEXT", '{"mime_type":"text/plain"}', len(text)


def seed(state: Path, url: str, rows: Iterator[tuple[str, str, str, int | None]]) -> str:
    """Write the model run; its id."""
    store = Store(state / "labelbox", url)
    try:
        options = [{"label": label, "value": label} for label in (container.ANSWER, "no")]
        question = {"type": "radio", "name": "answer", "instructions": "answer", "options": options}
        ontology = store.projects.create_ontology(
            "scale", "TEXT", complete({"tools": [], "classifications": [question]})
        )
        model = store.runs.create_model("scale", ontology["id"])
        run_id: str = store.runs.create(model["id"], "scale", None)["id"]
        dataset_id = store.data_rows.create_dataset("scale", None)["id"]
        at = now()
        numbered = enumerate(rows)
        while piece := list(islice(numbered, _PIECE)):
            ids = [new_id() for _ in piece]
            store.database.many(
                "INSERT INTO data_rows(id, dataset_id, global_key, row_data, is_object, media_type, media_attributes,"
                " text_length, processed, created_at, updated_at) VALUES(?,?,?,?,0,?,?,?,1,?,?)",
                [
                    (row_id, dataset_id, f"scale-{number}", *row, at, at)
                    for row_id, (number, row) in zip(ids, piece, strict=True)
                ],
            )
            store.runs.add_rows(run_id, ids)
        return run_id
    finally:
        store.close()


def toml(models: str, predictor: str, asset_bytes: int) -> str:
    task = "image-classification" if asset_bytes else "text-classification"
    section = f'[models."{OPTION}"]\ntask = "{task}"\ndecoder = "plain"\n'
    if predictor == "batch":
        return f'{section}predict = "batch"\n'
    return f'{section}container = "{models}/fast"\nbatch_size = 64\n'


def register(config: SandboxConfig, models: str) -> None:
    """The container as a model of the sandbox's registry, for batch prediction."""
    httpx2.post(
        f"{config.vertex_url}/v1/projects/{PROJECT}/locations/{LOCATION}/models:upload",
        json={
            "model": {
                "displayName": OPTION,
                "containerSpec": {"imageUri": models, "predictRoute": "/fast", "healthRoute": "/health"},
            }
        },
        headers={"Authorization": "Bearer sandbox-token"},
        timeout=30,
        trust_env=False,
    ).raise_for_status()
