"""Starts the three servers of a sandbox, each in its own process, and stops them cleanly."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec

from vertex_model_inference.errors import ConflictError, SettingsError
from vertex_model_inference.sandbox.config import SandboxConfig

__all__ = ["SERVERS", "running", "serve_until_stopped"]

SERVERS = ("labelbox", "storage", "vertex")


def _bind(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(("127.0.0.1", port))
    except OSError as error:
        sock.close()
        raise ConflictError(
            f"Port {port} on 127.0.0.1 cannot be used: {error.strerror}.",
            hint="Is a sandbox running already? Choose others with --port-base, or 0 for free ones.",
        ) from None
    sock.listen(1024)
    return sock


@contextlib.contextmanager
def running(
    *, port_base: int = 0, state: Path | None = None, api_key: str | None = None, prediction_imports: str = "accept"
) -> Iterator[SandboxConfig]:
    """The three servers, answering, for the time of a ``with`` block.

    Args:
        port_base: First of three consecutive ports on 127.0.0.1; 0 takes any free ones.
        state: Folder to keep everything in; None: a temporary one, removed at the end.
        api_key: The only Labelbox API key accepted; None: any non-empty one.
        prediction_imports: ``accept`` or ``deprecated``.

    Raises:
        ConflictError: A port is taken.
        SettingsError: ``prediction_imports`` is neither of the two words, or a server does not start.
    """
    if prediction_imports not in ("accept", "deprecated"):
        raise SettingsError(f"--prediction-imports is {prediction_imports!r}; it must be accept or deprecated.")
    with contextlib.ExitStack() as stack:
        if state is None:
            state = Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="vmi-sandbox-", ignore_cleanup_errors=True))
            )
        state = state.resolve()
        socks = [stack.enter_context(_bind(port_base + i if port_base else 0)) for i in range(len(SERVERS))]
        labelbox_port, storage_port, vertex_port = (sock.getsockname()[1] for sock in socks)
        config = SandboxConfig(
            state=state,
            labelbox_port=labelbox_port,
            storage_port=storage_port,
            vertex_port=vertex_port,
            api_key=api_key,
            prediction_imports=prediction_imports,
        )
        children = []
        for name, sock in zip(SERVERS, socks, strict=True):
            (state / name).mkdir(parents=True, exist_ok=True)
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", "vertex_model_inference.sandbox.child", name, str(sock.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=[sock.fileno()],
                start_new_session=True,  # Ctrl-C reaches only us; we stop the children in order
                env={**os.environ, **config.environment()},
            )
            children.append(child)
            assert child.stdin is not None
            child.stdin.write(msgspec.json.encode(config, enc_hook=str) + b"\n")
            child.stdin.flush()
            stack.callback(_stop, child)
        for name, child in zip(SERVERS, children, strict=True):
            assert child.stdout is not None
            if child.stdout.readline() != b"listening\n":
                raise SettingsError(f"The sandbox's {name} server did not start; its own message is above.")
        yield config


def _stop(child: subprocess.Popen[bytes]) -> None:
    assert child.stdin is not None
    assert child.stdout is not None
    with contextlib.suppress(OSError):
        child.stdin.close()
    try:
        child.wait(10)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    child.stdout.close()


def serve_until_stopped(*, port_base: int, state: Path | None, api_key: str | None, prediction_imports: str) -> int:
    """``vmi sandbox``: print the exports and ``ready``, then wait for Ctrl-C or SIGTERM. Returns the exit code."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with running(port_base=port_base, state=state, api_key=api_key, prediction_imports=prediction_imports) as config:
        for name, value in config.environment().items():
            sys.stdout.write(f"export {name}={value}\n")
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        stop.wait()
    return 0
