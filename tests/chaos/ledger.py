"""What came of a run, read from all sides, and whether it may be so."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import httpx2
import msgspec
from tests.chaos.cell import Cell
from tests.chaos.customer import boxes_on

from vertex_model_inference.outcomes import Counts, Outcome
from vertex_model_inference.rows import DataRow
from vertex_model_inference.runs.reading import outcomes_of
from vertex_model_inference.runs.status import RunState, RunStatus
from vertex_model_inference.runs.surroundings import open_artifacts
from vertex_model_inference.settings import Settings
from vertex_model_inference.spec import Files

__all__ = ["Book", "Verdict", "judge", "read_book"]

_ROW = msgspec.json.Decoder(DataRow)
_OUTCOME = msgspec.json.Decoder(Outcome)
_STATUS = msgspec.json.Decoder(RunStatus)


class Book(msgspec.Struct, frozen=True, kw_only=True):
    """A run as everybody has it.

    Attributes:
        run_id: Ours.
        state: As ``RunService.wait`` gave it; "" when that raised ``raised``.
        message: Likewise.
        counts: Likewise.
        raised: The error's type and words.
        status: ``status.json``.
        outcomes: Of ``outcomes/``, in order.
        exported: Data row ids in ``rows/`` and ``ended/export-``.
        held: Data row id -> uuids of the predictions that Labelbox holds in the model run.
        jobs: (display name, state, instances sent to the model) of the batch jobs.
        imports: (name, lines taken) of the imports.
        told: Labelbox's status of the model run, and its error message.
        fired: How many requests the faults have hit.
        seconds: From the start of the first process to the end of the last.
    """

    run_id: str
    state: str = ""
    message: str = ""
    counts: Counts = Counts()
    raised: str = ""
    status: RunStatus | None = None
    outcomes: list[Outcome] = []
    exported: list[str] = []
    held: dict[str, list[str]] = {}
    jobs: list[tuple[str, str, int]] = []
    imports: list[tuple[str, int]] = []
    told: tuple[str, str] = ("", "")
    fired: int = 0
    seconds: float = 0.0


def read_book(settings: Settings, run_id: str, model_run_id: str, **known: Any) -> Book:
    """Read a run from its files and from the sandbox.

    Args:
        settings: Of somebody whom no fault is for.
        run_id: Ours.
        model_run_id: Labelbox's.
        **known: Further fields of the book.
    """
    store = open_artifacts(settings)
    files = Files(run_id)
    exported: list[str] = []
    for entry in store.entries(f"{files.folder}/rows"):
        exported += [_ROW.decode(line).id for line in store.lines(entry.path)]
    for entry in store.entries(f"{files.folder}/ended"):
        if "/ended/export-" in entry.path:
            exported += [_OUTCOME.decode(line).data_row_id for line in store.lines(entry.path)]
    with httpx2.Client(timeout=60, trust_env=False) as http:

        def get(base: str | None, path: str) -> Any:
            return http.get(f"{base}/_sandbox/{path}").raise_for_status().json()

        run = get(settings.labelbox_url, f"model_runs/{model_run_id}")
        held: dict[str, list[str]] = {}
        for item in get(settings.labelbox_url, f"model_runs/{model_run_id}/predictions?first=10000")["predictions"]:
            held.setdefault(item["data_row_id"], []).append(item["uuid"])
        jobs = get(settings.vertex_url, "jobs")["jobs"]
    return Book(
        run_id=run_id,
        status=_STATUS.decode(store.get(files.status)) if store.exists(files.status) else None,
        outcomes=list(outcomes_of(store, run_id)),
        exported=exported,
        held=held,
        jobs=[(job["displayName"], job["state"], job["sent"]) for job in jobs if run_id in job["displayName"]],
        imports=[(item["name"], item["succeeded"]) for item in run["imports"]],
        told=(run["status"] or "", run["error_message"] or ""),
        **known,
    )


class Verdict(msgspec.Struct, kw_only=True):
    """What a cell came to.

    Attributes:
        rows: Of the model run. ``predicted``: rows that ended as if nothing had been broken, empty ones included.
        failed: Rows with the outcome failed. ``unexported``: rows that a failed run never came to.
        lost: Rows without an outcome that the run owed one, and rows told as predicted that Labelbox lacks.
        duplicated: Rows with two outcomes or too many predictions; jobs, instances and imports that came twice.
        unexplained: Failed rows and runs whose message does not name what was broken.
        wrong: Everything else that may not be, in words.
        notes: Words on the above, for whoever looks into it.
    """

    rows: int = 0
    predicted: int = 0
    failed: int = 0
    unexported: int = 0
    lost: int = 0
    duplicated: int = 0
    unexplained: int = 0
    wrong: list[str] = []
    notes: list[str] = []

    @property
    def good(self) -> bool:
        """Whether nothing is to be said against the run."""
        return not (self.lost or self.duplicated or self.unexplained or self.wrong)


def judge(cell: Cell, numbers: dict[str, int], book: Book) -> Verdict:
    """Hold a run against what must be true of it.

    Args:
        cell: What was done to it.
        numbers: Data row id -> number of its picture.
        book: What came of it.
    """
    verdict = Verdict(rows=len(numbers), wrong=[], notes=[])
    if book.raised:
        verdict.wrong.append(f"the run ended in an error: {book.raised}")
    if book.state not in (("CANCELLED",) if cell.cancel_s else ("COMPLETE", "FAILED")):
        verdict.wrong.append(f"the run ended as {book.state!r}")
    _rows(cell, numbers, book, verdict)
    _twice(cell, numbers, book, verdict)
    _sums(cell, book, verdict)
    if book.state in ("FAILED", "CANCELLED"):
        _explained(cell, "the run", book.message, verdict)
        if cell.absorbed:
            verdict.wrong.append(f"the run failed: {book.message}")
    return verdict


def _rows(cell: Cell, numbers: dict[str, int], book: Book, verdict: Verdict) -> None:
    outcomes = {outcome.data_row_id: outcome for outcome in book.outcomes}
    exported = set(book.exported)
    for row_id, number in numbers.items():
        outcome = outcomes.get(row_id)
        wanted = boxes_on(number)
        held = len(book.held.get(row_id, ()))
        if outcome is None:
            if book.state in ("FAILED", "CANCELLED") and (row_id not in exported or "Storage" in book.message):
                verdict.unexported += 1  # the run's own message is judged
            else:
                verdict.lost += 1
                verdict.notes.append(f"row {number} has no outcome")
            continue
        quiet = "predicted" if wanted else "empty"
        if outcome.status in ("predicted", "empty"):
            verdict.predicted += 1
            if (outcome.status, outcome.annotations) != (quiet, wanted):
                verdict.wrong.append(f"row {number} is {outcome.status} with {outcome.annotations} boxes, not {wanted}")
            if held < outcome.annotations:
                verdict.lost += 1
                verdict.notes.append(f"Labelbox lacks {outcome.annotations - held} predictions of row {number}")
        else:
            verdict.failed += 1
            _explained(cell, f"row {number}", f"{outcome.step} {outcome.code}: {outcome.message}", verdict)
        if number in cell.fates:
            if outcome.code != cell.fates[number]:
                verdict.wrong.append(f"row {number} ended with {outcome.code}, not {cell.fates[number]}")
        elif (cell.absorbed or cell.fates) and outcome.status != quiet:
            verdict.wrong.append(f"row {number} is {outcome.status} ({outcome.code}: {outcome.message})")


def _explained(cell: Cell, what: str, message: str, verdict: Verdict) -> None:
    missing = [words for words in cell.words if not re.search(words, message, re.IGNORECASE)]
    if missing or not cell.words or "fault of ours" in message:
        verdict.unexplained += 1
        verdict.notes.append(f"{what} does not say {' and '.join(missing)}: {message}")


def _twice(cell: Cell, numbers: dict[str, int], book: Book, verdict: Verdict) -> None:
    for row_id, count in Counter(outcome.data_row_id for outcome in book.outcomes).items():
        if count > 1 or row_id not in numbers:
            verdict.duplicated += 1
            verdict.notes.append(f"{count} outcomes of {row_id} ({numbers.get(row_id)})")
    for row_id, uuids in book.held.items():
        if len(uuids) > boxes_on(numbers[row_id]):
            verdict.duplicated += 1
            verdict.notes.append(f"Labelbox holds {len(uuids)} predictions of row {numbers[row_id]}")
    for name, count in Counter(name for name, _, _ in book.jobs).items():
        if count > 1:
            verdict.duplicated += 1
            verdict.notes.append(f"{count} jobs {name}")
    # A container that fails is asked again by Vertex itself.
    if sum(sent for _, _, sent in book.jobs) > len(numbers) and all(server != "customer" for server, _ in cell.rules):
        verdict.duplicated += 1
        verdict.notes.append("instances were sent to the model twice")
    for name, count in Counter(name for name, _ in book.imports).items():
        if count > 1:
            verdict.duplicated += 1
            verdict.notes.append(f"{count} imports {name}")


def _sums(cell: Cell, book: Book, verdict: Verdict) -> None:
    counts = Counts.of(book.outcomes)
    if book.counts != counts:
        verdict.wrong.append(f"the run counts {book.counts}, its outcomes are {counts}")
    if book.status is None:
        if cell.absorbed:
            verdict.wrong.append("there is no status.json")
    elif book.state and (book.status.state, book.status.counts) != (book.state, book.counts) and not _mute(cell):
        verdict.wrong.append(f"status.json says {book.status.state}, {book.status.counts}")
    going = [state for _, state, _ in book.jobs if state.removeprefix("JOB_STATE_") in ("QUEUED", "PENDING", "RUNNING")]
    if cell.cancel_s and going:
        verdict.wrong.append(f"{len(going)} jobs go on and cost")
    if not cell.untold and book.state and book.told[0] != RunState(book.state).pipeline:
        verdict.wrong.append(f"Labelbox shows {book.told[0]}, the run ended {book.state}")
    if book.state == "COMPLETE" and book.counts.exported != verdict.rows:
        verdict.wrong.append(f"{book.counts.exported} of {verdict.rows} rows were exported")


def _mute(cell: Cell) -> bool:
    """Whether the status file could not be written at all."""
    return cell.service == "Storage" and cell.rate == "always"
