"""Who is alive: each process that works on runs has an executor id and holds a lock on a file of that name.

The operating system frees the lock when the process ends, however it ends, so a lock that can be taken means that
nobody works on that executor's runs any more. For processes on one machine (SQLite).
"""

from __future__ import annotations

import fcntl
import re
from pathlib import Path
from typing import IO

from vertex_model_inference.errors import ConflictError

__all__ = ["Executor", "anyone_alive", "dead_executors"]


class Executor:
    """This process's executor id, held until ``release`` or the end of the process.

    Args:
        folder: Of the lock files, shared by all processes on one database.
        name: Wanted id; with ``numbered``, ``-0``, ``-1``, ... is appended: the first that is free, so that a process
            that starts again takes over its predecessor's id and with it the runs it left.
        numbered: See ``name``.

    Raises:
        ConflictError: Another process holds the id.
    """

    def __init__(self, folder: Path, name: str, *, numbered: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        safe = re.sub(r"[^A-Za-z0-9_.-]+", "-", name)[:120]
        candidates = [f"{safe}-{number}" for number in range(1000)] if numbered else [safe]
        for candidate in candidates:
            held = _take(folder / f"{candidate}.lock")
            if held is not None:
                self.id = candidate
                self._file = held
                return
        raise ConflictError(
            f"Another process works under the name {safe}.", hint="Wait for it, or look at it with `vmi status`."
        )

    def release(self) -> None:
        """Give the id up."""
        self._file.close()


def _take(path: Path) -> IO[bytes] | None:
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def anyone_alive(folder: Path, name: str) -> bool:
    """Whether a process holds one of the numbered ids of ``name``."""
    for path in folder.glob(f"{name}-*.lock"):
        held = _take(path)
        if held is None:
            return True
        held.close()
    return False


def dead_executors(folder: Path, own: str) -> list[tuple[str, Executor]]:
    """Executors whose process has ended, each held by us from now on: whoever holds it may recover its runs."""
    found = []
    for path in sorted(folder.glob("*.lock")):
        if path.stem == own:
            continue
        try:
            found.append((path.stem, Executor(folder, path.stem)))
        except ConflictError:
            continue
    return found
