"""What is known to go wrong in the Labelbox SDK's own way, each shown not to happen in ours.

Each test first names the hazard as labelbox 7.17.0 has it.
"""

from __future__ import annotations

import json
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest

from vertex_model_inference.labelbox import export_task, imports, retry
from vertex_model_inference.labelbox.client import LabelboxClient
from vertex_model_inference.labelbox.exports import parse_export_row
from vertex_model_inference.labelbox.gateway import ImportPlace, ImportState
from vertex_model_inference.labelbox.imports import Imports
from vertex_model_inference.sandbox.config import SandboxConfig
from vertex_model_inference.settings import load
from vertex_model_inference.waiting import Waits, noting

ROWS = 30
STRANGE = "one\u2028two\u2029three\u0085four\x0bfive\x1csix"
"""Every character that ``str.splitlines`` takes for the end of a line and JSON does not."""


class World(NamedTuple):
    url: str
    run_id: str
    ids: list[str]


@pytest.fixture(scope="module")
def world(sandbox: SandboxConfig) -> Iterator[World]:
    from labelbox import Client
    from labelbox.schema.media_type import MediaType

    url = sandbox.labelbox_url
    sdk = Client("any", f"{url}/graphql", enable_experimental=True, rest_endpoint=f"{url}/api/v1")
    mark = uuid.uuid4().hex[:8]
    keys = [f"hazard {mark} {number}" for number in range(ROWS)]
    dataset = sdk.create_dataset(name=f"hazards {mark}")
    rows = [{"row_data": f"{key} {STRANGE}", "global_key": key, "media_type": "TEXT"} for key in keys]
    task = dataset.create_data_rows(rows)
    task.wait_till_done()
    options = [{"label": label, "value": label} for label in ("good", "bad")]
    question = {"type": "radio", "name": "mood", "instructions": "mood", "required": False, "options": options}
    normalized = {"tools": [], "classifications": [question]}
    ontology = sdk.create_ontology(f"hazards {mark}", normalized, media_type=MediaType.Text)
    run = sdk.create_model(f"hazards {mark}", ontology.uid).create_model_run("run")
    run.upsert_data_rows(global_keys=keys)
    httpx2.put(f"{url}/_sandbox/settings", json={"export_lines_per_file": 5}).raise_for_status()
    sdk._request_client._connection.close()
    yield World(url, run.uid, [row["id"] for row in task.result])
    httpx2.put(f"{url}/_sandbox/settings", json={"export_lines_per_file": None}).raise_for_status()


@pytest.fixture
def client(world: World, tmp_path: Path) -> Iterator[LabelboxClient]:
    settings = load({"LABELBOX_API_KEY": "any", "VMI_LABELBOX_URL": world.url, "VMI_DATA_DIR": str(tmp_path)}, tmp_path)
    with LabelboxClient(settings) as client:
        yield client
    httpx2.delete(f"{world.url}/_sandbox/faults")


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long our own code asked to sleep each time; a hundredth of it is slept."""
    asked: list[float] = []
    sleep = time.sleep

    def note(seconds: float) -> None:
        asked.append(seconds)
        sleep(seconds / 100)

    for module in (export_task, imports, retry):
        monkeypatch.setattr(module.time, "sleep", note)
    return asked


def fault(world: World, match: str, **rule: Any) -> None:
    httpx2.post(f"{world.url}/_sandbox/faults", json={"match": match, **rule}).raise_for_status()


def faults(world: World) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx2.get(f"{world.url}/_sandbox/faults").json()["faults"]
    return found


def predictions(world: World) -> bytes:
    lines = [
        {
            "uuid": str(uuid.uuid4()),
            "dataRow": {"id": row_id},
            "name": "mood",
            "answer": {"name": "good", "confidence": 0.5},
        }
        for row_id in world.ids
    ]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


@pytest.mark.parametrize(
    "rule",
    [{"status": 500}, {"status": 503, "body": "<html>busy</html>"}, {"truncate": 3}, {"reset": True}],
    ids=["500", "503", "lost answer", "reset"],
)
@pytest.mark.parametrize("times", [1, 2])
def test_a_retried_upload_is_not_empty(client: LabelboxClient, world: World, rule: dict[str, Any], times: int) -> None:
    """The SDK: a 5xx makes it send the file handle again, which is at its end: 0 rows, and all is well."""
    name = f"hazard {uuid.uuid4()}"
    fault(world, "createMEAPredictionImportByFilePyApi", times=times, **rule)
    ndjson = predictions(world)
    client.start_import(ImportPlace("model-run", world.run_id), name, ndjson)
    ended = client.wait_import(ImportPlace("model-run", world.run_id), name, 30)
    statuses = list(client.import_statuses(ended))
    assert sorted(row.uuid or "" for row in statuses) == sorted(
        json.loads(line)["uuid"] for line in ndjson.splitlines()
    )
    assert all(row.ok for row in statuses)


@pytest.mark.parametrize("answer", [{"json": {"message": "You have exceeded the limit"}}, {"body": "<html>429</html>"}])
@pytest.mark.parametrize(
    "operation",
    ["createMEAPredictionImportByFilePyApi", "exportDataRowsInModelRunPyApi", "GetExportFileFromOffsetPyApi"],
)
def test_429_is_tried_again_after_as_long_as_asked(
    client: LabelboxClient, world: World, slept: list[float], answer: dict[str, Any], operation: str
) -> None:
    """The SDK: a 429 is never tried again, and one that is not JSON is "Failed to parse response as JSON"."""
    waits = Waits()
    fault(world, operation, times=2, status=429, headers={"Retry-After": "7"}, **answer)
    with noting(waits):
        if operation.startswith("create"):
            client.start_import(ImportPlace("model-run", world.run_id), f"hazard {uuid.uuid4()}", predictions(world))
        else:
            task = client.start_export(world.run_id, "hazard")
            client.wait_export(task, 30)
            next(iter(client.export_chunks(task)))
    assert sum(rule["fired"] for rule in faults(world)) == 2
    long = [seconds for seconds in slept if seconds >= 7]
    assert len(long) == 2
    assert max(long) < 9


def test_no_end_is_looked_for_every_ten_seconds_only(client: LabelboxClient, world: World, slept: list[float]) -> None:
    """The SDK: 10 s between two looks at an import, 5 s at a registration, 2 s at an export."""
    httpx2.put(f"{world.url}/_sandbox/settings", json={"import_seconds": 0.2}).raise_for_status()
    try:
        name = f"hazard {uuid.uuid4()}"
        client.start_import(ImportPlace("model-run", world.run_id), name, predictions(world))
        assert client.wait_import(ImportPlace("model-run", world.run_id), name, 60).state == "FINISHED"
    finally:
        httpx2.put(f"{world.url}/_sandbox/settings", json={"import_seconds": 0}).raise_for_status()
    assert slept
    assert max(slept) < 1.0
    del slept[:]
    task = client.start_export(world.run_id, "hazard")
    client.wait_export(task, 30)
    assert max(slept, default=0.0) <= 2.0


def test_the_first_row_comes_before_the_rest_is_fetched_and_nothing_is_kept_on_disk(
    client: LabelboxClient, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK: every chunk goes to one temporary file before the first row is given; the file stays when one stops."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    task = client.start_export(world.run_id, "hazard")
    assert client.wait_export(task, 30).total_lines == ROWS
    fault(world, "/files/*", method="GET", times=0, after=10**9)  # counts
    lines = (line for chunk in client.export_chunks(task) for line in client.read_chunk(task, chunk))
    found = [parse_export_row(next(lines), world.run_id).id]
    assert faults(world)[0]["seen"] == 1, "one file of six"
    assert list(tmp_path.iterdir()) == []
    found += [parse_export_row(line, world.run_id).id for line in lines]
    assert sorted(found) == sorted(world.ids)
    assert faults(world)[0]["seen"] == ROWS / 5


def test_other_line_ends_than_n_are_no_line_ends(client: LabelboxClient, world: World) -> None:
    """The SDK: its NDJSON reader uses ``str.splitlines``: a raw U+2028 in a text becomes a comma."""
    task = client.start_export(world.run_id, "hazard")
    client.wait_export(task, 30)
    lines = [line for chunk in client.export_chunks(task) for line in client.read_chunk(task, chunk)]
    assert len(lines) == ROWS
    assert all(parse_export_row(line, world.run_id).row_data.endswith(STRANGE) for line in lines)


class _Raw:
    """A connection whose downloads are these bytes, in blocks of three."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw

    @contextmanager
    def download(self, url: str, what: str) -> Iterator[Iterator[bytes]]:
        assert url
        assert what
        yield (self.raw[start : start + 3] for start in range(0, len(self.raw), 3))


def test_statuses_with_raw_line_ends_inside_and_blank_lines_between() -> None:
    """The SDK: such a status is torn apart, and a blank line is a JSONDecodeError."""
    first = {"uuid": "a", "dataRow": {"id": "1"}, "status": "FAILURE", "errors": [{"name": "E", "message": STRANGE}]}
    second = {"uuid": "b", "dataRow": {"id": "2"}, "status": "SUCCESS"}
    texts = [json.dumps(each, ensure_ascii=False) for each in (first, second)]
    raw = "\r\n\n".join(texts).encode()
    connection: Any = _Raw(raw)
    state = ImportState(
        id="i", place=ImportPlace("model-run", "r"), name="n", state="FINISHED", status_url="https://x", error_url=None
    )
    found = list(Imports(connection).statuses(state))
    assert [(row.uuid, row.ok) for row in found] == [("a", False), ("b", True)]
    assert found[0].errors[0].message == STRANGE
