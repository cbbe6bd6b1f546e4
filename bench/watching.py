"""Looks at a process while it works: its memory, the CPU of others beside it, and how far a run is."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path

import msgspec

__all__ = ["STEPS", "Sample", "Watch", "cpu_of_children", "memory"]

STEPS = ("export", "assets", "predict", "decode", "upload")
_LOOK_EVERY_S = 0.5
_NAMES = {"bench.container": "model", "bench.photos": "photographs"}


class Sample(msgspec.Struct, frozen=True):
    """The engine's process at one moment: seconds since its start, resident MB and the most so far, rows past steps."""

    at: float
    mb: float
    most_mb: float
    done: dict[str, int]


def memory(pid: int) -> tuple[float, float]:
    """Resident MB of a process, and the most so far; zeros when it is gone.

    Not ``ru_maxrss``: that begins with what the process had that it was forked from.
    """
    found = {"VmRSS:": 0.0, "VmHWM:": 0.0}
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            name, _, value = line.partition("\t")
            if name in found:
                found[name] = int(value.split()[0]) / 1000
    return found["VmRSS:"], found["VmHWM:"]


def cpu_of_children() -> dict[str, float]:
    """CPU seconds of this process's own children, by the last words of their command lines."""
    tick = os.sysconf("SC_CLK_TCK")
    found: dict[str, float] = {}
    for task in Path("/proc/self/task").iterdir():
        try:
            pids = (task / "children").read_text().split()
        except FileNotFoundError:
            continue  # a thread that has just ended
        for pid in pids:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            ours = next((word for word in ("bench.container", "bench.photos") if word in words), "")
            name = _NAMES.get(ours) or (words[4] if "-P" in words else "")
            if name:
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                found[name] = (int(fields[11]) + int(fields[12])) / tick
    return found


class Watch:
    """Looks at the engine's process and at the run's status file while the run goes on."""

    def __init__(self, pid: int, environment: dict[str, str], folder: Path) -> None:
        from vertex_model_inference.runs.surroundings import open_artifacts
        from vertex_model_inference.settings import load

        self.store = open_artifacts(load(environment, folder))
        self.samples: list[Sample] = []
        self._pid = pid
        self._start = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        from vertex_model_inference.runs.reading import all_runs

        while not self._stop.wait(_LOOK_EVERY_S):
            (mb, most), at = memory(self._pid), time.monotonic() - self._start
            runs = all_runs(self.store)
            done = {step: each.done for step, each in runs[0].steps.items()} if runs else dict.fromkeys(STEPS, 0)
            if mb:
                self.samples.append(Sample(round(at, 2), round(mb, 1), round(most, 1), done))

    def close(self) -> None:
        self._stop.set()
        self._thread.join(10)
