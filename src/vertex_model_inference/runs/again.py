"""Trying rows again: a new run after one that has ended, limited to rows that failed or that are named.

All other rows keep the outcome that they have. Free of the command line, so that pages can offer the same.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import msgspec

from vertex_model_inference.errors import ConflictError, NotFoundError, RequestError
from vertex_model_inference.models import ModelOption
from vertex_model_inference.runs.progress import read_status
from vertex_model_inference.runs.reading import status_of
from vertex_model_inference.runs.started import Started
from vertex_model_inference.runs.status import RunStatus
from vertex_model_inference.spec import Files, read_spec, run_id_of
from vertex_model_inference.storage.store import Store

__all__ = ["Asker", "option_of", "read_names", "retry_run", "to_retry"]

_COLUMNS = ("data_row_id", "global_key", "id", "key")


class Asker(Protocol):
    """Who starts runs: ``RunService`` or ``RunDesk``."""

    def start_run(
        self,
        model_run_id: str,
        option: ModelOption,
        *,
        model_id: str | None = None,
        rerun: str | None = None,
        before: Callable[[str], None] | None = None,
    ) -> Started:
        """Start a run, or join the one of this model run and option that is under way."""


def to_retry(store: Store, run: str) -> RunStatus:
    """The run that is to be tried again.

    Args:
        store: The artifacts.
        run: As of ``status_of``.

    Raises:
        NotFoundError: No run of that name.
        ConflictError: It is going on, or another run of the same model run and model came after it.
        StorageError: Storage did not answer.
    """
    status = status_of(store, run)
    if not status.state.ended:
        raise ConflictError(
            f"Run {status.run_id} is still going on.", hint="Wait for its end, or stop it with `vmi cancel`."
        )
    attempt = status.run_id.rpartition("-")[2]
    if attempt.isdigit():
        later = run_id_of(status.model_run_id, status.option, int(attempt) + 1)
        if read_status(store, later) is not None:
            raise ConflictError(
                f"Run {status.run_id} was followed by {later}, which knows better what failed.",
                hint=f"Try again the rows of {later}, or of the newest: `vmi status` lists them.",
            )
    return status


def option_of(store: Store, run_id: str) -> ModelOption:
    """The model as a run had it.

    Raises:
        NotFoundError: The run's spec is gone.
        StorageError: Storage did not answer.
    """
    try:
        return read_spec(store.get(Files(run_id).spec)).option
    except NotFoundError:
        raise NotFoundError(
            f"What run {run_id} was is not known any more: its spec.json is gone.", hint="Run the model again."
        ) from None


def retry_run(
    asker: Asker,
    store: Store,
    run: str,
    *,
    option: ModelOption | None = None,
    only: str = "failed",
    names: Sequence[str] | None = None,
) -> Started:
    """Begin a run that does the failed rows of an ended one again, or the named ones; all others keep their outcome.

    A failed row whose model answered is not sent to the model again, as long as nothing has changed that decides the
    answer: its answer is read again. Named rows go the whole way.

    Args:
        asker: Who starts runs.
        store: The artifacts.
        run: As of ``status_of``.
        option: The model as it is now, with what was corrected; None: as the run had it.
        only: ``failed``, or ``retryable``: failed rows of which the run itself said that trying again can help.
        names: Data row ids or global keys; then ``only`` does not count.

    Returns:
        The new run.

    Raises:
        NotFoundError: No run of that name.
        ConflictError: It goes on, or was followed by another.
        RequestError: Nothing is named, or no row has failed.
        StorageError: Storage did not answer.
    """
    status = to_retry(store, run)
    if names is not None and not names:
        raise RequestError("No data row is named.", code="nothing_named", hint="Give ids or global keys, one a line.")
    if names is None and not status.counts.failed:
        raise RequestError(
            f"No data row of run {status.run_id} has failed.",
            code="nothing_failed",
            hint="Name rows with --rows, or run the model again to do what is new or changed.",
        )
    chosen = option if option is not None else option_of(store, status.run_id)
    rows = names

    def write(run_id: str) -> None:
        if rows is not None:
            store.put_lines(Files(run_id).named, (name.encode() for name in dict.fromkeys(rows)))

    started = asker.start_run(status.model_run_id, chosen, rerun="named" if names is not None else only, before=write)
    if started.joined:
        raise ConflictError(
            f"Run {started.run_id} of the same model run and model has begun meanwhile.",
            hint="Wait for its end, then try again.",
        )
    return started


def read_names(text: str) -> list[str]:
    """Data row ids or global keys out of a file: one a line, or CSV or JSON with ``data_row_id`` or ``global_key``.

    What ``vmi outcomes --format csv`` or ``json`` prints is such a file. Of a row with both, the id counts.

    Args:
        text: The file's content.

    Raises:
        RequestError: It is neither.
    """
    stripped = text.lstrip("\ufeff \t\r\n")
    if stripped[:1] in ("[", "{"):
        return list(dict.fromkeys(_of_json(stripped)))
    lines = [line for line in stripped.splitlines() if line.strip()]
    head = [cell.strip().strip('"') for cell in lines[0].split(",")] if lines else []
    if any(name in head for name in _COLUMNS):
        return list(dict.fromkeys(_of_csv(stripped)))
    return list(dict.fromkeys(line.strip() for line in lines))


def _of_csv(text: str) -> Iterator[str]:
    for number, row in enumerate(csv.DictReader(io.StringIO(text)), start=2):
        yield _name(row, f"line {number}")


def _of_json(text: str) -> Iterator[str]:
    values: Iterable[Any]
    try:
        whole = msgspec.json.decode(text)
        values = whole if isinstance(whole, list) else [whole]
    except msgspec.MsgspecError:
        values = _json_lines(text)
    for number, value in enumerate(values, start=1):
        yield value if isinstance(value, str) and value else _name(value, f"item {number}")


def _json_lines(text: str) -> Iterator[Any]:
    for number, line in enumerate(filter(str.strip, text.split("\n")), start=1):
        try:
            yield msgspec.json.decode(line)
        except msgspec.MsgspecError as error:
            raise RequestError(
                f"Line {number} of the rows is not JSON: {error}.",
                code="bad_rows",
                hint="Give one id or global key a line, CSV, a JSON list, or JSON lines.",
            ) from None


def _name(row: object, where: str) -> str:
    if isinstance(row, dict):
        for column in _COLUMNS:
            value = row.get(column)
            if isinstance(value, str) and value.strip():
                return value.strip()
    raise RequestError(
        f"The rows' {where} names no data row.",
        code="bad_rows",
        hint=f"Give each one of {', '.join(_COLUMNS)}.",
    )
