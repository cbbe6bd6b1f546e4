"""Lines whose uuids an earlier run sent: a refusal for nothing but the uuid means that they are there."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from vertex_model_inference.labelbox.gateway import ImportedRow, ImportFailure, ImportPlace, ImportState
from vertex_model_inference.steps.delivery import deliver


class _Labelbox:
    """Refuses ``old`` and ``strange`` for their uuids, ``bad`` for another reason too."""

    def find_import(self, place: ImportPlace, name: str) -> None:
        return None

    def start_import(self, place: ImportPlace, name: str, ndjson: bytes) -> ImportState:
        return ImportState(id="i", place=place, name=name, state="FINISHED")

    def import_statuses(self, state: ImportState) -> Iterator[ImportedRow]:
        twice = ImportFailure("DuplicateUuid", "uuid is used already")
        yield ImportedRow(uuid="new", data_row_id="a", ok=True)
        yield ImportedRow(uuid="old", data_row_id="a", ok=False, errors=(twice,))
        yield ImportedRow(uuid="strange", data_row_id="a", ok=False, errors=(twice,))
        yield ImportedRow(uuid="bad", data_row_id="a", ok=False, errors=(twice, ImportFailure("Schema", "no")))


def test_only_for_uuids_that_were_sent() -> None:
    context: Any = SimpleNamespace(
        labelbox=_Labelbox(), spec=SimpleNamespace(run_id="r-1", model_run_id="r", follows=True), halt=_Halt()
    )
    found = deliver(context, "model-run", 0, 0, ["a"], b"", known={"old", "bad"})
    assert found is not None
    assert {uuid: row.ok for uuid, row in found.items()} == {"new": True, "old": True, "strange": False, "bad": False}


class _Halt:
    """Nobody stops the run."""

    def check(self) -> None:
        return None
