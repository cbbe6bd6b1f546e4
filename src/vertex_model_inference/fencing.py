"""Asks, just before something that cannot be taken back, whether this process may still do it.

A process that was frozen, or cut off from the engine's database, may have been taken for dead, and another does its
work by now. The steps are repeatable, so nothing breaks when two do the same; but a job that is submitted twice costs
twice. Where it costs or shows, the gateways ask here first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["fenced", "may_go_on"]

_current: ContextVar[Callable[[], None] | None] = ContextVar("fence", default=None)


@contextmanager
def fenced(check: Callable[[], None]) -> Iterator[None]:
    """Within the block (and the asyncio tasks begun in it), ``may_go_on`` calls ``check``.

    Args:
        check: Returns when this process may go on; waits until it may; never returns when it may not any more.
    """
    token = _current.set(check)
    try:
        yield
    finally:
        _current.reset(token)


def may_go_on() -> None:
    """Return when this process may do what cannot be taken back; at once where nobody fences."""
    check = _current.get()
    if check is not None:
        check()
