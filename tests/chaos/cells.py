"""The table: what is broken, where and how often."""

from __future__ import annotations

import re

from tests.chaos.cell import Cell
from tests.chaos.connections import always, now_and_then, once
from tests.chaos.meanings import cancelled, jobs, kills, labelbox_answers

__all__ = ["all_cells", "fast_cells"]


def all_cells() -> list[Cell]:
    """The whole table; what waits long is begun early, and beside it what keeps the machine busy."""
    waiting = sorted(always(), key=lambda cell: not cell.untold)
    busy = [*now_and_then(), *labelbox_answers(), *kills(), *jobs(), *cancelled(), *once()]
    mixed: list[Cell] = []
    while waiting or busy:
        mixed += [*waiting[:2], *busy[:3]]
        del waiting[:2], busy[:3]
    return mixed


_FAST = re.compile(
    r"labelbox-send-an-import-(answer-lost|cut-short|html-200)-once"
    r"|labelbox-the-export-s-file-(cut-short|length-too-long)-once"
    r"|labelbox-the-export-expired-in-the-middle-once|labelbox-an-import-vanished-once"
    r"|labelbox-an-import-s-statuses-html-200-once"
    r"|storage-(write|read)-a-run-s-file-cut-short-once|storage-list-a-folder-html-200-once"
    r"|vertex-create-a-job-(answer-lost|500)-once|vertex-predict-429-retry-after-once"
    r"|vertex-a-job-(all-of-these|ends-failed-half-done)-once|container-predict-html-200-once"
    r"|assets-fetch-a-picture-reset-once|kill-9-after-the-import-is-sent"
)


def fast_cells() -> list[Cell]:
    """Less than a minute's worth: one cell for each way to get over something."""
    return [cell for cell in all_cells() if _FAST.match(cell.name)]
