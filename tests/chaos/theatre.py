"""A process that has imported everything and forks engines and callers on request: ``python -m tests.chaos.theatre``.

Commands and answers are JSON, a line each, on stdin and stdout. So a test can start, kill -9 and start again what a
person would run as ``vmi serve`` in a tenth of a second each, and it has no threads of its own that a fork could harm.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.chaos import work
from tests.chaos.pool import fork, forked
from tests.chaos.stage import Stage, labelbox_client, prepared, standing

__all__ = ["SETTINGS"]

SETTINGS = {"VMI_SHARD_ROWS": "3", "VMI_JOB_ROWS": "6", "VMI_CANARY_ROWS": "0"}
_START_S = 60.0


def _settings(stage: Stage, folder: Path, caller: str) -> Any:
    from vertex_model_inference.settings import load

    environment = {
        **stage.sandbox.environment(),
        **SETTINGS,
        "VMI_DATA_DIR": str(folder / "vmi"),
        "LABELBOX_API_KEY": caller,
        "VMI_GOOGLE_TOKEN": caller,
    }
    (folder / "vmi.toml").touch()
    return load(environment, folder)


def _engine(stage: Stage, folder: Path, caller: str, ready: Path) -> None:
    """What ``vmi serve``'s engine does."""
    from vertex_model_inference.runs.service import RunService

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    work.hurry({})
    service = RunService(_settings(stage, folder, caller))
    service.start()
    ready.touch()
    stop.wait()
    service.stop()


def _scene(stage: Stage, name: str, rows: int) -> Any:
    run = labelbox_client(stage).get_model(stage.model_id).create_model_run(name)
    keys = list(stage.keys[:rows])
    run.upsert_data_rows(global_keys=keys)
    ids = labelbox_client(stage).get_data_row_ids_for_global_keys(keys)["results"]
    return {"model_run_id": run.uid, "numbers": {row_id: n for n, row_id in enumerate(ids)}}


def _press(stage: Stage, folder: Path, caller: str, model_run_id: str, times: int) -> Any:
    """What the webhook does, ``times`` of it at once."""
    from concurrent.futures import ThreadPoolExecutor

    from vertex_model_inference.runs.desk import RunDesk

    desk = RunDesk(_settings(stage, folder, caller))
    try:
        with ThreadPoolExecutor(times) as pool:
            option = stage.options["batch"]
            found = list(pool.map(lambda _: desk.start_run(model_run_id, option), range(times)))
    finally:
        desk.stop()
    return {"run_ids": [each.run_id for each in found], "joined": [each.joined for each in found]}


def _cancel(stage: Stage, folder: Path, run_id: str) -> Any:
    from vertex_model_inference.runs.cancel import cancel_run

    done = cancel_run(_settings(stage, folder, "chaos-admin"), run_id, by="the chaos suite")
    return {"asked": done.asked, "state": done.state and done.state.value}


def _retry(stage: Stage, folder: Path, run_id: str) -> Any:
    from vertex_model_inference.errors import VmiError
    from vertex_model_inference.runs.again import retry_run
    from vertex_model_inference.runs.desk import RunDesk
    from vertex_model_inference.runs.surroundings import open_artifacts

    settings = _settings(stage, folder, "chaos-admin")
    desk = RunDesk(settings)
    try:
        return {"run_id": retry_run(desk, open_artifacts(settings), run_id).run_id, "refused": ""}
    except VmiError as error:
        return {"run_id": "", "refused": error.error_code}
    finally:
        desk.stop()


class _Theatre:
    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.engines: list[int] = []
        self.calls = 0

    def answer(self, given: dict[str, Any]) -> Any:
        do = given.pop("do")
        stage = self.stage
        folder = Path(given.pop("folder")) if "folder" in given else stage.folder
        match do:
            case "engine":
                return self._start(folder, given["caller"])
            case "kill" | "stop":
                return self._end(signal.SIGKILL if do == "kill" else signal.SIGTERM)
            case "scene":
                return self._call(lambda: _scene(stage, **given))
            case "press":
                return self._call(lambda: _press(stage, folder, **given))
            case "cancel":
                return self._call(lambda: _cancel(stage, folder, **given))
            case "retry":
                return self._call(lambda: _retry(stage, folder, **given))
        raise ValueError(do)

    def _call(self, function: Callable[[], Any]) -> Any:
        self.calls += 1
        return forked(function, self.stage.folder / f"call-{self.calls}.json", dict[str, Any])

    def _start(self, folder: Path, caller: str) -> Any:
        self.calls += 1
        ready = folder / f"ready-{self.calls}"
        log = folder / f"engine-{self.calls}.log"
        pid = fork(lambda: _engine(self.stage, folder, caller, ready), log)
        end = time.monotonic() + _START_S
        while not ready.exists():
            if os.waitpid(pid, os.WNOHANG)[0] or time.monotonic() > end:
                raise RuntimeError(log.read_text())
            time.sleep(0.02)
        self.engines.append(pid)
        return {"engines": len(self.engines)}

    def _end(self, number: signal.Signals) -> Any:
        if self.engines:
            pid = self.engines.pop(0)
            os.kill(pid, number)
            os.waitpid(pid, 0)
        return {"engines": len(self.engines)}

    def close(self) -> None:
        for pid in self.engines:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory(prefix="vmi-chaos-") as made, standing(Path(made)) as bare:
        work.preload()
        stage: Stage = forked(lambda: prepared(bare), Path(made) / "stage.json", Stage)
        theatre = _Theatre(stage)
        print(json.dumps({"stage": (Path(made) / "stage.json").read_text()}), flush=True)
        try:
            for line in sys.stdin:
                try:
                    told = theatre.answer(json.loads(line))
                except Exception as error:
                    told = {"error": f"{type(error).__name__}: {error}"}
                print(json.dumps(told), flush=True)
        finally:
            theatre.close()


if __name__ == "__main__":
    main()
