"""The file that stops a run: written once, by whoever cancels it, or by the run itself when a budget is used up."""

from __future__ import annotations

import msgspec

from vertex_model_inference.errors import NotFoundError
from vertex_model_inference.outcomes import OutcomeStatus
from vertex_model_inference.spec import Files
from vertex_model_inference.steps.halting import BUDGET, CANCELLED, Stop
from vertex_model_inference.storage.store import Store

__all__ = ["CancelMark", "read_mark", "stop_of", "write_mark"]


class CancelMark(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What ``cancel.json`` holds.

    Attributes:
        by: Who stops the run, for people: a user and a machine, an operator's name, or ``vmi`` for a budget.
        at: When, RFC 3339, UTC.
        why: In a person's words, or the sentence that names the budget.
        code: ``cancelled`` or ``budget``: of the outcomes of rows that are left.
    """

    by: str
    at: str
    why: str = ""
    code: str = CANCELLED


_MARK = msgspec.json.Decoder(CancelMark)
_ENCODER = msgspec.json.Encoder()


def read_mark(store: Store, run_id: str) -> CancelMark | None:
    """The run's mark; None while nobody stops it. One that cannot be read stops it as well: somebody wrote it.

    Raises:
        StorageError: Storage did not answer.
    """
    try:
        raw = store.get(Files(run_id).cancel)
    except NotFoundError:
        return None
    try:
        return _MARK.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return CancelMark(by="somebody", at="a time unknown", why="cancel.json of the run cannot be read")


def write_mark(store: Store, run_id: str, mark: CancelMark) -> CancelMark | None:
    """Stop the run. The first mark stays.

    Returns:
        The mark that was there before; None: this one was written.

    Raises:
        StorageError: Storage did not answer.
    """
    if store.put_new(Files(run_id).cancel, _ENCODER.encode(mark)):
        return None
    return read_mark(store, run_id)


def stop_of(mark: CancelMark) -> Stop:
    """What the mark means for the run's rows and for people."""
    if mark.code == BUDGET:
        return Stop(
            "budget",
            BUDGET,
            "Not done: the run stopped at a budget of its model.",
            mark.why,
            status=OutcomeStatus.SKIPPED,
        )
    why = f": {mark.why.rstrip('.')}" if mark.why else ""
    return Stop(
        "cancel",
        CANCELLED,
        "Not done: the run was cancelled.",
        f"The run was cancelled by {mark.by} at {mark.at}{why}.",
        status=OutcomeStatus.SKIPPED,
    )
