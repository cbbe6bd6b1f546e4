"""The promise: exactly one outcome for each exported data row."""

from __future__ import annotations

from enum import StrEnum

import msgspec

__all__ = ["Counts", "Outcome", "OutcomeStatus"]


class OutcomeStatus(StrEnum):
    """How a data row ended."""

    PREDICTED = "predicted"
    EMPTY = "empty"
    SKIPPED = "skipped"
    FAILED = "failed"


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """How one data row ended, and why.

    Attributes:
        data_row_id: Labelbox's data row id.
        status: One of the four ends.
        global_key: The customer's key, to find the row again.
        annotations: How many annotations Labelbox accepted for the row.
        step: Where it ended, for ``skipped`` and ``failed``: export, assets, canary, predict, decode, match or upload.
        code: Stable word for the cause (see ``errors.py``), for ``skipped`` and ``failed``.
        message: The cause in one plain sentence.
        retryable: Whether running the row again can help.
        dropped: Model class name -> number of findings that were not uploaded (unmapped or below the threshold).
        delivered: The destinations that took all annotations of the row, where there are several or others than were
            asked for; a row is ``predicted`` when every one did.
        reused: Nothing was done for the row in this run: it ended so in an earlier one, and nothing has changed.
        left: Annotations of earlier runs that Labelbox still has beside these; it takes none back.
    """

    data_row_id: str
    status: OutcomeStatus
    global_key: str | None = None
    annotations: int = 0
    step: str | None = None
    code: str | None = None
    message: str | None = None
    retryable: bool = False
    dropped: dict[str, int] = {}
    delivered: tuple[str, ...] = ()
    reused: bool = False
    left: int = 0


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows ended in which way; ``predicted + empty + skipped + failed == exported`` when a run has ended.

    ``reused`` of them (of any of the four) ended so in an earlier run, and nothing was done for them in this one.
    """

    exported: int = 0
    predicted: int = 0
    empty: int = 0
    skipped: int = 0
    failed: int = 0
    annotations: int = 0
    reused: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(**{f: getattr(self, f) + getattr(other, f) for f in self.__struct_fields__})

    @property
    def ended(self) -> int:
        """Rows that have an outcome."""
        return self.predicted + self.empty + self.skipped + self.failed

    @classmethod
    def of(cls, outcomes: list[Outcome]) -> Counts:
        """Count a shard's outcomes; ``exported`` is set to their number."""
        by = dict.fromkeys(OutcomeStatus, 0)
        for outcome in outcomes:
            by[outcome.status] += 1
        return cls(
            exported=len(outcomes),
            annotations=sum(outcome.annotations for outcome in outcomes),
            reused=sum(outcome.reused for outcome in outcomes),
            **{status.value: n for status, n in by.items()},
        )
