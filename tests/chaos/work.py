"""One life of a run, in a process of its own: made ready, run to its end, and written down."""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2
import msgspec
from tests.chaos.cell import FOREVER_S, Cell
from tests.chaos.ledger import Book, read_book
from tests.chaos.stage import Stage, labelbox_client

__all__ = ["Scene", "caller_of", "hurry", "life", "preload"]

# Only what waits for an answer that never comes is made less patient, so that it fails within seconds.
_TIMEOUTS = {
    "vertex_model_inference.labelbox.connection:TIMEOUT_S": 3.0,
    "vertex_model_inference.labelbox.connection:FILE_TIMEOUT_S": 3.0,
    "vertex_model_inference.storage.store:TIMEOUT_S": 3.0,
    "vertex_model_inference.vertex.jobs:TIMEOUT_S": 3.0,
    "vertex_model_inference.vertex.online:TIMEOUT_S": 3.0,
    "vertex_model_inference.steps.fetch:TIMEOUT_S": 3.0,
}


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """A cell's own things in Labelbox.

    Attributes:
        model_run_id: Of the cell alone.
        numbers: Data row id -> number of its picture.
        began: ``time.time()`` of the first life.
    """

    model_run_id: str
    numbers: dict[str, int]
    began: float


def preload() -> None:
    """Import what a run needs, once, before any process is forked."""
    for name in (
        "aiohttp",
        "dbos",
        "google.cloud.aiplatform_v1",
        "labelbox",
        "obstore.store",
        "PIL.Image",
        "stamina",
        "uuid",
        "vertex_model_inference.labelbox.client",
        "vertex_model_inference.runs.service",
        "vertex_model_inference.settings",
    ):
        importlib.import_module(name)


def caller_of(cell: Cell) -> str:
    """The API key and token of the cell's run: what its faults are for."""
    return f"chaos-{cell.name}"


def _rules(stage: Stage, cell: Cell, scene: Scene, life: int) -> dict[str, list[dict[str, Any]]]:
    """Server -> the fault rules of this life, scoped so that they hit no other cell."""
    caller = caller_of(cell)
    found: dict[str, list[dict[str, Any]]] = {}
    given = list(cell.rules)
    if life < len(cell.holds):
        hold = cell.holds[life]
        wait = {"answer_after_s": FOREVER_S} if hold.happens else {"delay_s": FOREVER_S}
        given.insert(0, (hold.server, {"match": hold.match, **wait, **hold.more}))
    for server, rule in given:
        if server == "customer":
            scoped = [{**rule, "about": f"/pictures/{cell.name}/"}]
        elif server == "labelbox" and rule["match"].startswith("/files/"):
            scoped = [{**rule, "about": scene.model_run_id}]
        elif server == "labelbox" and rule["match"] == "*":
            scoped = [{**rule, "caller": caller}, {**rule, "match": "/files/*", "about": scene.model_run_id}]
        else:
            scoped = [{**rule, "caller": caller}]
        found.setdefault(server, []).extend(scoped)
    return found


def _calm(http: httpx2.Client, stage: Stage, cell: Cell, scene: Scene) -> int:
    """Take the cell's rules back; how many requests they have hit."""
    fired = 0
    for server in ("labelbox", "storage", "vertex", "customer"):
        url = f"{stage.url(server)}/_sandbox/faults"
        mine = {"caller": caller_of(cell)}, {"about": scene.model_run_id}, {"about": f"/pictures/{cell.name}/"}
        for rule in http.get(url).raise_for_status().json()["faults"]:
            if any(rule[name] == value for which in mine for name, value in which.items()):
                fired += rule["fired"]
        for which in mine:
            http.delete(url, params=which).raise_for_status()
    return fired


def _scene(stage: Stage, cell: Cell, folder: Path) -> Scene:
    """The cell's model run; that of an earlier life where there was one."""
    path = folder / "scene.json"
    if path.exists():
        return msgspec.json.decode(path.read_bytes(), type=Scene)
    client = labelbox_client(stage)
    model = client.get_model(stage.model_id)
    run = model.create_model_run(cell.name)
    keys = stage.keys[: cell.rows]
    if cell.own_pictures:
        keys = tuple(f"{cell.name}-{n}" for n in range(cell.rows))
        task = client.get_dataset(stage.dataset_id).create_data_rows(
            [
                {"global_key": key, "row_data": f"{stage.customer_url}/pictures/{cell.name}/{n}.png"}
                for n, key in enumerate(keys)
            ]
        )
        task.wait_till_done()
        assert task.errors is None, task.errors
    run.upsert_data_rows(global_keys=list(keys))
    ids = client.get_data_row_ids_for_global_keys(list(keys))["results"]
    scene = Scene(model_run_id=run.uid, numbers={row_id: n for n, row_id in enumerate(ids)}, began=time.time())
    path.write_bytes(msgspec.json.encode(scene))
    return scene


def hurry(more: Mapping[str, float]) -> None:
    """Make this process less patient.

    Args:
        more: As ``Cell.hurry``.
    """
    for place, value in {**_TIMEOUTS, **more}.items():
        module, _, name = place.partition(":")
        found = importlib.import_module(module)
        assert hasattr(found, name), place
        setattr(found, name, value)


def life(stage: Stage, cell: Cell, folder: Path, number: int) -> None:
    """Run the cell, or carry on with it; writes ``book.json`` when the run has ended.

    Args:
        stage: The servers.
        cell: What is broken.
        folder: Of the cell.
        number: 0 for the first process, 1 for the one after the first kill, and so on.
    """
    from vertex_model_inference.runs.cancel import cancel_run
    from vertex_model_inference.runs.service import RunService
    from vertex_model_inference.settings import load
    from vertex_model_inference.spec import run_id_of

    scene = _scene(stage, cell, folder)
    option = stage.options[cell.model]
    run_id = run_id_of(scene.model_run_id, option.name, 0)
    common = {
        **stage.sandbox.environment(),
        "VMI_DATA_DIR": str(folder / "vmi"),
        "VMI_SHARD_ROWS": "3",
        "VMI_JOB_ROWS": "6",
        "VMI_CANARY_ROWS": "0",
        **cell.settings,
    }
    caller = caller_of(cell)
    (folder / "vmi.toml").touch()
    settings = load({**common, "LABELBOX_API_KEY": caller, "VMI_GOOGLE_TOKEN": caller}, folder)
    quiet = load(common, folder)
    hurry(cell.hurry)
    with httpx2.Client(timeout=60, trust_env=False) as http:
        _calm(http, stage, cell, scene)
        if cell.mischief is not None:
            mischief = {"job_display_name": f"vmi-{run_id}-*", **cell.mischief}
            http.post(f"{stage.sandbox.vertex_url}/_sandbox/mischief", json=mischief).raise_for_status()
        for server, rules in _rules(stage, cell, scene, number).items():
            http.post(f"{stage.url(server)}/_sandbox/faults", json=rules).raise_for_status()
        known: dict[str, Any] = {}
        service = RunService(settings, role="run")
        try:
            service.start()
            started = service.start_run(scene.model_run_id, option)
            assert started.run_id == run_id, (started, run_id)
            if cell.cancel_s:
                threading.Timer(cell.cancel_s, lambda: cancel_run(quiet, run_id, by="the chaos suite")).start()
            finished = service.wait(run_id)
            known = {"state": finished.state, "message": finished.message, "counts": finished.counts}
        except Exception as error:
            known = {"raised": f"{type(error).__name__}: {error}"}
        finally:
            service.stop()
        fired = _calm(http, stage, cell, scene)
    book: Book = read_book(quiet, run_id, scene.model_run_id, fired=fired, seconds=time.time() - scene.began, **known)
    making = folder / "book.making"
    making.write_bytes(msgspec.json.encode(book))
    making.replace(folder / "book.json")
