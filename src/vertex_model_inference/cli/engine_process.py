"""The engine of ``vmi serve`` as a child process: started, watched, started again, stopped."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time

import structlog

from vertex_model_inference.errors import VmiError

__all__ = ["EngineProcess"]

log = structlog.get_logger("vmi.engine")

_COMMAND = (sys.executable, "-P", "-m", "vertex_model_inference", "engine")
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 30.0
_WELL_AFTER_S = 60.0  # who worked so long did not die of its start: the pauses begin anew
_STOP_S = 25.0  # on Postgres it hands its work back first


class EngineProcess:
    """``vmi engine`` in a process of its own, with this process's directory, environment and stderr.

    The child holds the other end of a pipe: when this process ends, however it ends, the child does too.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._decided = threading.Event()  # it works, it never will, or nobody wants it any more
        self._working = False
        self._problem: VmiError | None = None
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._watch, name="vmi-engine-process", daemon=True)

    def start(self) -> None:
        """Start the child and keep it alive, in a thread. To be called once."""
        self._thread.start()

    def wait(self) -> None:
        """Wait until the engine has worked for the first time, so that its database is there.

        Raises:
            VmiError: It cannot start (a setting, the database), or it was stopped before.
        """
        self._decided.wait()
        if self._problem is not None:
            raise self._problem
        if not self._working:
            raise VmiError("The engine was stopped before it worked.", code="engine_stopped")

    def stop(self) -> None:
        """Stop the child in order, by force after 25 seconds. A second call does nothing."""
        with self._lock:
            self._stopping.set()
            process = self._process
        self._decided.set()
        if process is not None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                log.warning("the engine did not stop in time; its runs go on at the next start")
                process.kill()
                process.wait()
        if self._thread.ident is not None:
            self._thread.join(_STOP_S)

    def _watch(self) -> None:
        pause = _FIRST_PAUSE_S
        while not self._stopping.is_set():
            began = time.monotonic()
            why = self._live()
            if self._stopping.is_set() or self._problem is not None:
                return
            if time.monotonic() - began > _WELL_AFTER_S:
                pause = _FIRST_PAUSE_S
            log.error("the engine ended and is started again", why=why, in_s=pause)
            self._stopping.wait(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)

    def _live(self) -> str:
        """One life of the child; returns why it ended."""
        with self._lock:
            if self._stopping.is_set():
                return "it was told to"
            try:
                process = self._process = subprocess.Popen(
                    _COMMAND,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    start_new_session=True,  # Ctrl-C reaches it through us, in order
                )
            except OSError as error:
                self._process = None
                return f"it could not be started: {error.strerror}"
        with process:
            assert process.stdout is not None
            problem = None
            for line in process.stdout:
                if line == "working\n":
                    self._working = True
                    self._decided.set()
                    log.info("the engine works", pid=process.pid)
                elif line.startswith("problem "):
                    said = json.loads(line.removeprefix("problem "))
                    problem = VmiError(said.pop("message"), **said)
            code = process.wait()
        if problem is None and not self._working and code in (1, 2):
            problem = VmiError(
                f"The engine could not be started (exit code {code}).",
                code="engine",
                hint="The server's log has the cause.",
            )
        if problem is not None and not self._working and not problem.retryable:
            self._problem = problem
            self._decided.set()
        if problem is not None:
            return str(problem)
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
