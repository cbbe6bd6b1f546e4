"""How long ``vmi serve`` takes from nothing to its first answers, and ``vmi --help`` to its text."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from bench.figure import Figure, median
from bench.serve import environment_with, serving
from vertex_model_inference.sandbox.launcher import running

__all__ = ["run"]

ROUNDS = 5
_DEADLINE_S = 20.0


class First(NamedTuple):
    """Seconds from the start of the process to the first 200 of each."""

    healthz: float
    models: float


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _get(port: int, path: str, deadline: float) -> bytes:
    """The answer's body, asked again every few milliseconds until there is one."""
    request = f"GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n".encode()
    while time.perf_counter() < deadline:
        with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", port), 5) as sock:
            sock.sendall(request)
            answer = b"".join(iter(lambda: sock.recv(1 << 16), b""))
            if answer.startswith(b"HTTP/1.1 200"):
                return answer.partition(b"\r\n\r\n")[2]
        time.sleep(0.003)
    raise TimeoutError(f"{path} was not answered within {_DEADLINE_S:.0f} s")


def _cold(environment: dict[str, str], folder: Path) -> First:
    port = _free_port()
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "vertex_model_inference", "serve", "--port", str(port)],
        env=environment_with(environment),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _get(port, "/healthz", started + _DEADLINE_S)
        healthz = time.perf_counter() - started
        menu = _get(port, "/models", started + _DEADLINE_S)
        models = time.perf_counter() - started
        assert b"kept" in menu, menu
        return First(healthz, models)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _seconds(*arguments: str) -> float:
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=60
    )
    return time.perf_counter() - started


def run(rounds: int = ROUNDS) -> list[Figure]:
    """Measure all, in turns."""
    ways = {
        "pass": ("-c", "pass"),
        "labelbox": ("-c", "import labelbox"),
        "aiplatform": ("-c", "import google.cloud.aiplatform"),
        "help": ("-m", "vertex_model_inference", "--help"),
    }
    cold: list[First] = []
    taken: dict[str, list[float]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory(prefix="vmi-bench-") as name, running() as config:
        folder = Path(name)
        _register(config.environment())
        environment = {**config.environment(), "VMI_DATA_DIR": str(folder / "vmi")}
        _learn(environment, folder)
        for _ in range(rounds):
            cold.append(_cold(environment, folder))
            for way, arguments in ways.items():
                taken[way].append(_seconds(*arguments))
    other = {way: median(values) for way, values in taken.items()}
    healthz, models = median([each.healthz for each in cold]), median([each.models for each in cold])
    return [
        Figure.compared(
            "start: vmi serve to /healthz", "s", healthz, other["labelbox"], "import labelbox",
            more_is_better=False, most=1,
        ),
        Figure.compared(
            "start: vmi serve to /models", "s", models, other["aiplatform"], "import google.cloud.aiplatform",
            more_is_better=False, most=1,
        ),
        Figure.compared(
            "start: vmi serve to /models", "s", models, other["pass"], "python -c pass", more_is_better=False, most=1
        ),
        Figure.compared(
            "start: vmi --help", "s", other["help"], other["pass"], "python -c pass", more_is_better=False
        ),
    ]  # fmt: skip


def _register(environment: dict[str, str]) -> None:
    """A model for the menu."""
    import httpx2

    project, region = environment["GOOGLE_CLOUD_PROJECT"], environment["VMI_REGION"]
    answer = httpx2.post(
        f"{environment['VMI_VERTEX_URL']}/v1/projects/{project}/locations/{region}/models:upload",
        json={
            "model": {
                "displayName": "kept",
                "containerSpec": {"imageUri": "http://127.0.0.1:9", "predictRoute": "/p", "healthRoute": "/h"},
            }
        },
        headers={"Authorization": f"Bearer {environment['VMI_GOOGLE_TOKEN']}"},
        timeout=30,
        trust_env=False,
    )
    answer.raise_for_status()


def _learn(environment: dict[str, str], folder: Path) -> None:
    """Let a server read the registry once, so that the starts that are measured have its menu on disk."""
    import httpx2

    with serving(environment, folder) as url:
        deadline = time.monotonic() + _DEADLINE_S
        while "kept" not in (menu := httpx2.get(f"{url}/models", timeout=30, trust_env=False).json()):
            assert time.monotonic() < deadline, f"the menu has only {menu}"
            time.sleep(0.1)


def main() -> None:
    for figure in run():
        print(figure)


if __name__ == "__main__":
    main()
