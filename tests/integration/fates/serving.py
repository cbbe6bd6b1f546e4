"""``vmi`` as people start it: a process of its own, its output in files."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import orjson
from tests.integration.fates.lab import eventually

__all__ = ["Server", "environment_of", "serving", "vmi"]

_OURS = ("VMI_", "LABELBOX_", "GOOGLE_CLOUD_", "STORAGE_EMULATOR_HOST")


def environment_of(settings: dict[str, str]) -> dict[str, str]:
    """The person's own environment without any setting of ours, and these settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return {**kept, **settings}


def vmi(folder: Path, settings: dict[str, str], *arguments: str, seconds: float = 90) -> Any:
    """Run a command to its end in ``folder``; ``returncode``, ``stdout`` and ``stderr`` as text."""
    return subprocess.run(
        [sys.executable, "-m", "vertex_model_inference", *arguments],
        cwd=folder,
        env=environment_of(settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


class Server:
    """A ``vmi serve`` that answers.

    Args:
        process: It.
        url: Where it answers.
        secret: It was started with; "" for none.
        log: Its stderr.
    """

    def __init__(self, process: subprocess.Popen[bytes], url: str, secret: str, log: Path) -> None:
        self.process = process
        self.secret = secret
        self.log = log
        self.http = httpx2.Client(base_url=url, timeout=30, trust_env=False)

    def signed(self, body: bytes) -> dict[str, str]:
        """The header that Labelbox sends along, made by its documentation and not by our code."""
        digest = hmac.new(self.secret.encode(), body, hashlib.sha1).hexdigest()
        return {"X-Hub-Signature": f"sha1={digest}", "Content-Type": "application/json"}

    def menu(self) -> list[str]:
        """``GET /models``, as Labelbox asks."""
        answer = self.http.get("/models", headers=self.signed(b""))
        assert answer.status_code == 200, answer.text
        return list(answer.json())

    def press(self, model_id: str, model_run_id: str, model_type: str) -> Any:
        """``POST /model_run``, as Labelbox sends it."""
        body = orjson.dumps({"modelId": model_id, "modelRunId": model_run_id, "modelType": model_type})
        return self.http.post("/model_run", content=body, headers=self.signed(body))


@contextlib.contextmanager
def serving(folder: Path, settings: dict[str, str], secret: str = "a secret") -> Iterator[Server]:
    """``vmi serve`` in ``folder`` on a free port, ended by SIGTERM."""
    given = {**settings, **({"VMI_WEBHOOK_SECRET": secret} if secret else {})}
    out, log = folder / "serve.out", folder / "serve.log"
    with out.open("wb") as stdout, log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "vertex_model_inference", "serve", "--port", "0"],
            cwd=folder,
            env=environment_of(given),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    try:
        eventually(lambda: "\n" in out.read_text() or process.poll() is not None, 30)
        line = out.read_text().partition("\n")[0]
        assert line.startswith("listening on "), log.read_text()
        server = Server(process, line.removeprefix("listening on "), secret, log)
        with server.http:
            yield server
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
