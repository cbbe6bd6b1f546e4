"""Fetches rows' addresses again: a signed URL that was good when the row was exported can be dead when its turn comes.

Labelbox signs addresses anew in each export, so the rows in question, and no others, are exported once more.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec
import structlog

from vertex_model_inference.errors import RowError, VmiError
from vertex_model_inference.labelbox.exports import parse_export_row
from vertex_model_inference.outcomes import Outcome, OutcomeStatus
from vertex_model_inference.rows import DataRow

if TYPE_CHECKING:
    from vertex_model_inference.spec import Staged
    from vertex_model_inference.steps.context import Context

__all__ = ["Renewals", "may_have_expired", "renew"]

log = structlog.get_logger()

_ROWS = 2_000
"""The SDK's SEARCH_LIMIT_PER_EXPORT_V2."""
_TIMEOUT_S = 600.0
_IN_VAIN = 2
"""After so many shards in which fresh addresses were refused like the old ones, it is not expiry that refuses them."""


class Renewals:
    """Whether fetching addresses again has helped; one for a process's part of a run, safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_vain = 0

    @property
    def worth(self) -> bool:
        """Whether it is worth another try."""
        return self._in_vain < _IN_VAIN

    def helped(self, helped: bool) -> None:
        """What became of one."""
        with self._lock:
            self._in_vain = 0 if helped else self._in_vain + 1


def may_have_expired(row: DataRow, result: Staged | Outcome) -> bool:
    """Whether the row failed since its asset may not be read, and its address has something that can expire."""
    return (
        isinstance(result, Outcome)
        and result.status is OutcomeStatus.FAILED
        and result.code == "asset_forbidden"
        and row.row_data.startswith(("http://", "https://"))
        and bool(urlsplit(row.row_data).query)
    )


def renew(context: Context, rows: Sequence[DataRow]) -> dict[str, DataRow]:
    """The rows as Labelbox exports them now; those whose addresses are as they were are left out.

    An export that fails leaves all out, and is logged: the rows fail by what was wrong with their assets.

    Args:
        context: The run.
        rows: At most as many as a shard has.

    Returns:
        Data row id -> the row, with fresh addresses and all else as it was.
    """
    old = {row.id: row for row in rows}
    fresh: dict[str, DataRow] = {}
    ids = list(old)
    try:
        for start in range(0, len(ids), _ROWS):
            task = context.labelbox.start_rows_export(ids[start : start + _ROWS], f"vmi-{context.spec.run_id} again")
            context.labelbox.wait_export(task, _TIMEOUT_S, sleep=context.halt.wait)
            for chunk in context.labelbox.export_chunks(task):
                for line in context.labelbox.read_chunk(task, chunk):
                    try:
                        row = parse_export_row(line, context.spec.model_run_id)
                    except RowError:
                        continue
                    before = old.get(row.id)
                    if before is not None and (row.row_data, row.text_layer) != (before.row_data, before.text_layer):
                        fresh[row.id] = msgspec.structs.replace(
                            before, row_data=row.row_data, text_layer=row.text_layer
                        )
    except VmiError as error:
        log.warning("addresses not fetched again", run_id=context.spec.run_id, cause=str(error))
    log.info("addresses fetched again", run_id=context.spec.run_id, rows=len(rows), changed=len(fresh))
    return fresh
