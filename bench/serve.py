"""A ``vmi serve`` of the bench's own, in its own process."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

__all__ = ["environment_with", "serving"]


def environment_with(environment: Mapping[str, str]) -> dict[str, str]:
    """The process's environment and these variables; settings of the person who measures stay out."""
    ours = ("VMI_", "LABELBOX_", "GOOGLE_CLOUD_", "STORAGE_EMULATOR_HOST")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | dict(environment)


@contextlib.contextmanager
def serving(environment: Mapping[str, str], folder: Path) -> Iterator[str]:
    """A server that answers; gives its URL, stops it at the end.

    Args:
        environment: Its settings.
        folder: Where it runs, with or without a ``vmi.toml``; its log goes to a file that is shown when it fails.
    """
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "vertex_model_inference", "serve", "--port", "0"],
            env=environment_with(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        try:
            line = process.stdout.readline().strip()
            if not line.startswith("listening on "):
                raise RuntimeError("vmi serve did not start")
            yield line.removeprefix("listening on ")
        except Exception:
            log.seek(0)
            sys.stderr.write(f"vmi serve (exit code {process.poll()}) said:\n{log.read().decode()[-40000:]}\n")
            raise
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
