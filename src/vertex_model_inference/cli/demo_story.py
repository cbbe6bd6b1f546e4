"""What ``vmi demo`` tells while it works: one line for each step, with its time, and what goes on meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status
    from rich.table import Table

__all__ = ["Step", "Story"]

_MOST_COLUMNS = 100
_TITLE_COLUMNS = 10


class Step:
    """One step under way.

    Args:
        title: A word or two.
        spinner: Shows what goes on, where there is a terminal.
    """

    def __init__(self, title: str, spinner: Status | None) -> None:
        self._title = title
        self._spinner = spinner
        self.text = ""

    def note(self, text: str) -> None:
        """What goes on now; shown on a terminal only, until the next note."""
        if self._spinner is not None:
            self._spinner.update(f"[bold]{self._title:<{_TITLE_COLUMNS}}[/] [dim]{_plain(text)}[/]")

    def done(self, text: str) -> None:
        """What came of it: what stays on the page."""
        self.text = text


class Story:
    """Tells on stderr, so that results on stdout stay clean.

    Args:
        quiet: Say nothing at all.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        from rich.console import Console

        terminal = Console(stderr=True, highlight=False)
        self._console: Console = (
            terminal if terminal.is_terminal else Console(stderr=True, highlight=False, width=_MOST_COLUMNS)
        )
        self._quiet = quiet

    def say(self, text: str = "") -> None:
        """A line of its own."""
        if not self._quiet:
            self._console.print(_plain(text), soft_wrap=True)

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """A step; its line with its time is printed when the block ends well."""
        started = time.monotonic()
        if self._quiet or not self._console.is_terminal:
            step = Step(title, None)
            yield step
        else:
            with self._console.status(f"[bold]{title}[/]", spinner="dots") as spinner:
                step = Step(title, spinner)
                yield step
        if not self._quiet:
            self._console.print(self._line(title, step.text, time.monotonic() - started))

    def _line(self, title: str, text: str, seconds: float) -> Table:
        from rich.table import Table

        table = Table.grid(padding=(0, 1))
        table.width = min(self._console.width, _MOST_COLUMNS)
        table.add_column(style="green", width=1)
        table.add_column(style="bold", width=_TITLE_COLUMNS)
        table.add_column(ratio=1)
        table.add_column(style="dim", justify="right", no_wrap=True)
        table.add_row("✓" if self._console.encoding.startswith("utf") else "*", title, _plain(text), f"{seconds:.1f} s")
        return table


def _plain(text: str) -> str:
    """A text in which square brackets mean themselves."""
    from rich.markup import escape

    return escape(text)
