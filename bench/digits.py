"""The whole ``digits`` job by ``vmi run``: time by step, rows a second, memory; and the plain SDK's way with the data.

The SDK's way is measured too, not computed: export the model run, then ``add_predictions`` with as many predictions and
``wait_till_done`` as it comes. It does no inference at all, so the comparison is in the SDK's favour.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

from bench.figure import Figure
from bench.serve import environment_with
from vertex_model_inference.sandbox.datasets.catalog import material
from vertex_model_inference.sandbox.datasets.seeding import Seeded, seed
from vertex_model_inference.sandbox.datasets.target import Target
from vertex_model_inference.sandbox.launcher import running

__all__ = ["run"]

QUESTION = "digit"


def _vmi_run(environment: dict[str, str], seeded: Seeded, folder: Path) -> tuple[dict[str, Any], float, float]:
    """The status, seconds of wall clock, and the most memory that the process held (resident, MB)."""
    with (folder / "status.json").open("wb") as out, (folder / "log").open("wb") as log:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "vertex_model_inference", "run", seeded.model_run_id]  # noqa: RUF005 - two lines
            + ["--model", seeded.display_name, "--json"],
            env=environment_with(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=log,
        )
        _, code, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(code)
    assert process.returncode == 0, (folder / "log").read_text()[-2000:]
    status = json.loads((folder / "status.json").read_bytes())
    assert status["counts"]["predicted"] == seeded.rows, status
    return status, seconds, usage.ru_maxrss / 1000


def _sdk_way(environment: dict[str, str], seeded: Seeded) -> tuple[float, float]:
    """Seconds of the export, and of the upload until it is seen as finished."""
    import labelbox

    url = environment["VMI_LABELBOX_URL"]
    client: Any = labelbox.Client(
        api_key=environment["LABELBOX_API_KEY"], endpoint=f"{url}/graphql", rest_endpoint=f"{url}/api/v1"
    )
    model_run = client.get_model_run(seeded.model_run_id)
    started = time.perf_counter()
    task = model_run.export()
    task.wait_till_done()
    ids = [line.json["data_row"]["id"] for line in task.get_buffered_stream()]
    exported = time.perf_counter()
    assert len(ids) == seeded.rows
    lines = [
        {
            "uuid": str(uuid.uuid4()),
            "dataRow": {"id": each},
            "name": QUESTION,
            "answer": {"name": "1", "confidence": 0.5},
        }
        for each in ids
    ]
    job = model_run.add_predictions(f"bench {uuid.uuid4()}", lines)
    job.wait_till_done()
    uploaded = time.perf_counter()
    refused = [status for status in job.statuses if status["status"] != "SUCCESS"]
    assert not refused, refused[0]
    return exported - started, uploaded - exported


def run() -> list[Figure]:
    """Measure both; raises AssertionError when a row is not predicted."""
    with tempfile.TemporaryDirectory(prefix="vmi-bench-") as name, running() as config:
        folder = Path(name)
        environment = {**config.environment(), "VMI_DATA_DIR": str(folder / "vmi")}
        seeded = seed(material("digits"), Target.of(environment))
        status, seconds, megabytes = _vmi_run(environment, seeded, folder)
        export_s, upload_s = _sdk_way(environment, seeded)
    steps = {step: each["seconds"] for step, each in status["steps"].items()}
    figures = [
        Figure.compared(
            f"digits: {seeded.rows:,} rows, process start to end", "s", seconds, export_s + upload_s,
            "SDK: only export + upload", more_is_better=False,
        ),
        Figure.alone("digits: whole job", "rows/s", seeded.rows / seconds),
    ]  # fmt: skip
    figures += [Figure.alone(f"digits: {step}", "s", taken) for step, taken in steps.items()]
    figures += [
        Figure.compared(
            "digits: export", "s", steps["export"], export_s, "SDK: export, wait, read", more_is_better=False
        ),
        Figure.compared(
            "digits: upload until seen as finished", "s", steps["upload"], upload_s,
            "SDK: add_predictions, wait (10 s looks)", more_is_better=False, most=1,
        ),
        Figure.alone("digits: peak memory of vmi run", "MB", megabytes, target="< 400 MB", met=megabytes < 400),
    ]  # fmt: skip
    return figures


def main() -> None:
    for figure in run():
        print(figure)


if __name__ == "__main__":
    main()
