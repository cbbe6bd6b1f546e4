"""Runs cells side by side, each in a process of its own that is forked, killed, and forked again."""

from __future__ import annotations

import contextlib
import faulthandler
import math
import os
import shutil
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2
import msgspec
from tests.chaos import work
from tests.chaos.cell import FOREVER_S, Cell
from tests.chaos.ledger import Book, Verdict, judge
from tests.chaos.stage import Stage

__all__ = ["Result", "forked", "perform"]

_BOOK = msgspec.json.Decoder(Book)
_SCENE = msgspec.json.Decoder(work.Scene)
_LOOK_S = 0.02


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a cell; ``book`` is None when the run never ended."""

    cell: Cell
    verdict: Verdict
    book: Book | None
    seconds: float
    lives: int


class _Lane:
    """A cell under way."""

    def __init__(self, stage: Stage, cell: Cell) -> None:
        self.stage = stage
        self.cell = cell
        self.folder = stage.folder / "cells" / cell.name
        self.folder.mkdir(parents=True)
        self.life = 0
        self.began = time.monotonic()
        self.pid = self._fork()
        self.hung = False

    def _fork(self) -> int:
        return fork(lambda: work.life(self.stage, self.cell, self.folder, self.life), self.folder / "log")

    def held(self, http: httpx2.Client) -> bool:
        """Whether the request at which this life is to be killed is being held."""
        if self.life >= len(self.cell.holds):
            return False
        hold = self.cell.holds[self.life]
        for rule in http.get(f"{self.stage.url(hold.server)}/_sandbox/faults").json()["faults"]:
            about = rule["caller"] == work.caller_of(self.cell) or rule["about"] == self._model_run()
            if about and rule["match"] == hold.match and FOREVER_S in (rule["delay_s"], rule["answer_after_s"]):
                return bool(rule["fired"])
        return False

    def _model_run(self) -> str:
        path = self.folder / "scene.json"
        return _SCENE.decode(path.read_bytes()).model_run_id if path.exists() else ""

    def kill(self) -> None:
        """kill -9, and the next life."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.life += 1
        self.pid = self._fork()

    def ended(self) -> bool:
        """Whether the process is gone; one that takes too long is made to say where it is, and gone."""
        if os.waitpid(self.pid, os.WNOHANG)[0]:
            return True
        if time.monotonic() - self.began > self.cell.seconds:
            self.hung = True
            os.kill(self.pid, signal.SIGABRT)
            os.waitpid(self.pid, 0)
            return True
        return False

    def result(self, keep: bool) -> Result:
        path = self.folder / "book.json"
        seconds = time.monotonic() - self.began
        if not path.exists():
            log = (self.folder / "log").read_text(errors="replace")
            why = f"it did not end within {self.cell.seconds:.0f} s" if self.hung else "the process died"
            verdict = Verdict(rows=self.cell.rows, wrong=[why], notes=[log[-3000:]])
            return Result(cell=self.cell, verdict=verdict, book=None, seconds=seconds, lives=self.life + 1)
        book = _BOOK.decode(path.read_bytes())
        scene = _SCENE.decode((self.folder / "scene.json").read_bytes())
        verdict = judge(self.cell, scene.numbers, book)
        if not book.fired and self.cell.rules:
            verdict.wrong.append("the fault hit nothing")
        if verdict.good and not keep:
            shutil.rmtree(self.folder)
        return Result(cell=self.cell, verdict=verdict, book=book, seconds=seconds, lives=self.life + 1)


def fork(function: Callable[[], Any], log: Path) -> int:
    """Call ``function`` in a child process, its output in ``log``; gives the process id."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setsid()
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(out, 2)
        faulthandler.enable(all_threads=True)
        function()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def forked(function: Callable[[], Any], path: Path, kind: type[Any]) -> Any:
    """What ``function`` gives, called in a child process, so that none of its threads are here."""
    log = path.with_suffix(".log")
    pid = fork(lambda: path.write_bytes(msgspec.json.encode(function(), enc_hook=str)), log)
    if os.waitpid(pid, 0)[1]:
        raise RuntimeError(log.read_text())
    return msgspec.json.decode(path.read_bytes(), type=kind, dec_hook=lambda _, text: Path(text))


def perform(
    stage: Stage, cells: Sequence[Cell], lanes: int, *, until: float = math.inf, keep: bool = False
) -> Iterator[Result]:
    """Run cells, ``lanes`` of them at a time, in their order; results come as they end.

    Args:
        stage: Prepared.
        cells: What to run.
        lanes: Processes at a time.
        until: No cell is begun after this moment of ``time.monotonic()``.
        keep: Leave the folders of good cells too.
    """
    left = deque(cells)
    under_way: list[_Lane] = []
    # A client of plain sockets; no thread, so that forking is safe.
    with httpx2.Client(timeout=60, trust_env=False) as http:
        try:
            while left or under_way:
                if time.monotonic() > until:
                    left.clear()
                while left and len(under_way) < lanes:
                    under_way.append(_Lane(stage, left.popleft()))
                for lane in list(under_way):
                    if lane.ended():
                        under_way.remove(lane)
                        yield lane.result(keep)
                    elif lane.held(http):
                        lane.kill()
                time.sleep(_LOOK_S)
        finally:
            for lane in under_way:
                with contextlib.suppress(ProcessLookupError, ChildProcessError):
                    os.kill(lane.pid, signal.SIGKILL)
                    os.waitpid(lane.pid, 0)
