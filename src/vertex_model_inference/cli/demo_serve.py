"""The ``vmi serve`` of the demo: a process of its own, its log in a file."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vertex_model_inference.errors import VmiError

__all__ = ["free_or_any", "free_port", "program", "serving"]

_STOP_S = 30.0
_SHOWN_LINES = 10


def free_or_any(port: int, count: int = 1) -> int:
    """``port`` if it and the ``count - 1`` behind it are free on 127.0.0.1; else 0, which stands for any free ones."""
    return port if all(_free(number) for number in range(port, port + count)) else 0


def free_port(wanted: int) -> int:
    """``wanted`` if it is free on 127.0.0.1 and not 0, else another that is."""
    return _free(wanted) or _free(0)


def _free(port: int) -> int:
    """The port (of 0: any free one), or 0 when it is taken."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return 0
        return int(sock.getsockname()[1])


@contextmanager
def serving(environment: dict[str, str], port: int, log: Path) -> Iterator[str]:
    """A ``vmi serve`` of our own for the time of a ``with`` block; gives its URL.

    Args:
        environment: Of the sandbox and the run's folder; the person's own environment is beneath it.
        port: Where; a free one.
        log: Where its log goes.

    Raises:
        VmiError: ``serve``: it did not start; the end of its log is told.
    """
    with log.open("ab") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "vertex_model_inference", "serve", "--port", str(port)],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,  # Ctrl-C reaches only us; we end it when its work is no longer needed
        )
    assert process.stdout is not None
    try:
        line = process.stdout.readline().strip()
        if not line.startswith("listening on "):
            said = "\n".join(log.read_text("utf-8", "replace").splitlines()[-_SHOWN_LINES:])
            raise VmiError(f"vmi serve did not start. The end of its log:\n{said}", code="serve")
        yield line.removeprefix("listening on ")
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def program() -> str:
    """How this command can be called again from where the person stands: ``vmi``, ``.venv/bin/vmi``, ..."""
    import shlex
    import shutil

    called = Path(sys.argv[0])
    if called.name != "vmi":
        return f"{shlex.quote(sys.executable)} -m vertex_model_inference"
    found = shutil.which("vmi")
    if found is not None and called.exists() and Path(found).samefile(called):
        return "vmi"
    whole, here = called.absolute(), Path.cwd()
    return shlex.quote(str(whole.relative_to(here) if whole.is_relative_to(here) else whole))
