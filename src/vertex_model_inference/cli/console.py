"""One console for tables: as wide as the terminal, or wide enough for whole lines where there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["console"]

_PIPE_COLUMNS = 200


def console() -> Console:
    """A rich console on stdout."""
    import sys

    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=_PIPE_COLUMNS)
