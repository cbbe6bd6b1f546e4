"""A cell of the table: one run under one fault."""

from __future__ import annotations

import re
from typing import Any

import msgspec

__all__ = ["ALWAYS", "FOREVER_S", "Cell", "Hold"]

FOREVER_S = 3600.0
ALWAYS = 0
"""``times`` of a fault rule that never ends."""


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """A request at which the process is killed: it is held open, and while it is, kill -9.

    Attributes:
        server: Of the sandbox.
        match: Operation or path.
        happens: The request is carried out and only its answer held back; else it never arrives.
        more: Further fields of the rule.
    """

    server: str
    match: str
    happens: bool = False
    more: dict[str, Any] = {}


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One run and what is done to it.

    Attributes:
        service: As the table names it.
        operation: Likewise. ``fault``: likewise.
        rate: ``once``, ``10 %`` or ``always``, or in words.
        model: ``batch``, ``endpoint`` or ``container``.
        rules: (server, fault rule) each; the runner adds whose requests they hit.
        mischief: For the batch job, ``Mischief`` of the sandbox's Vertex.
        holds: Where it is killed, one after the other.
        rows: Data rows of the model run.
        own_pictures: The rows' pictures are at addresses of their own, so that faults of the web server are the cell's.
        settings: Variables beside the sandbox's.
        hurry: ``module:NAME`` -> value for the time of this run: how long it is patient.
        absorbed: Every row must end as if nothing had been broken.
        words: What a failed row, or a failed run, must say: each a pattern. None needed when it is ``absorbed``.
        fates: Row's number -> code that it must end with, for faults that hit known rows and no others.
        cancel_s: Somebody cancels it so many seconds after its start; then it must end CANCELLED. 0: nobody does.
        untold: Labelbox need not know how the run ended: it could not be told.
        seconds: The run must have ended by then.
    """

    service: str
    operation: str
    fault: str
    rate: str
    model: str = "batch"
    rules: tuple[tuple[str, dict[str, Any]], ...] = ()
    mischief: dict[str, Any] | None = None
    holds: tuple[Hold, ...] = ()
    rows: int = 8
    own_pictures: bool = False
    settings: dict[str, str] = {}
    hurry: dict[str, float] = {}
    absorbed: bool = False
    words: tuple[str, ...] = ()
    fates: dict[int, str] = {}
    cancel_s: float = 0.0
    untold: bool = False
    seconds: float = 420.0

    @property
    def name(self) -> str:
        """For logs and folders."""
        text = f"{self.service} {self.operation} {self.fault} {self.rate} {self.model}"
        return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower()
