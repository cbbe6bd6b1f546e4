"""What a model used in earlier runs, measured from their files: tokens, seconds of jobs, rows a second."""

from __future__ import annotations

from datetime import datetime
from itertools import islice

import msgspec

from vertex_model_inference.errors import NotFoundError
from vertex_model_inference.prices import Figures
from vertex_model_inference.runs.reading import all_runs
from vertex_model_inference.runs.status import RunState, RunStatus
from vertex_model_inference.spec import Answer, Files
from vertex_model_inference.storage.store import Store

__all__ = ["Pace", "figures_of", "last_pace", "pace_of", "rows_sent"]

_SAMPLE = 200
_LEAST_ROWS = 10
"""Runs of fewer rows tell nothing: most of their time is the start of things."""


class Pace(msgspec.Struct, frozen=True):
    """How fast a run was. ``run_id``: which; ``rows``: done in it; ``seconds``: from its request to its end."""

    run_id: str
    rows: int
    seconds: float
    figures: Figures


class _Usage(msgspec.Struct, rename="camel"):
    prompt_token_count: int = 0
    candidates_token_count: int = 0
    thoughts_token_count: int = 0


class _Response(msgspec.Struct, rename="camel"):
    usage_metadata: _Usage | None = None


_ANSWER = msgspec.json.Decoder(Answer)
_RESPONSE = msgspec.json.Decoder(_Response)


def last_pace(store: Store, option: str) -> Pace | None:
    """The pace of the newest run of a model that ended well and did enough rows; None: there is none.

    Raises:
        StorageError: Storage did not answer.
    """
    for status in all_runs(store):
        if status.option == option and status.state is RunState.COMPLETE:
            found = pace_of(store, status)
            if found is not None:
                return found
    return None


def pace_of(store: Store, status: RunStatus) -> Pace | None:
    """How fast a run was that has ended, and what its model used; None: it did too few rows to tell."""
    done = rows_sent(status)
    if done < _LEAST_ROWS or not status.created_at or not status.ended_at:
        return None
    begun, ended = datetime.fromisoformat(status.created_at), datetime.fromisoformat(status.ended_at)
    return Pace(status.run_id, done, (ended - begun).total_seconds(), figures_of(store, status))


def rows_sent(status: RunStatus) -> int:
    """How many rows the model was sent so far; those that are read again never come there."""
    predict = status.steps.get("predict")
    return 0 if predict is None else max(predict.done - status.counts.reused, 0)


def figures_of(store: Store, status: RunStatus, files: Files | None = None) -> Figures:
    """What the model used for a row of a run, as far as its files tell.

    Args:
        store: The artifacts.
        status: Of the run, which may go on still.
        files: Names of its files; None: where runs are usually.

    Raises:
        StorageError: Storage did not answer.
    """
    predict = status.steps.get("predict")
    rows = rows_sent(status)
    seconds = predict.seconds / rows if predict is not None and rows > 0 and predict.seconds > 0 else None
    used: list[tuple[int, int]] = []
    for entry in sorted(store.entries(f"{(files or Files(status.run_id)).folder}/answers")):
        try:
            for line in islice(store.lines(entry.path), _SAMPLE - len(used)):
                usage = _usage(line)
                if usage is not None:
                    used.append(usage)
        except NotFoundError:
            continue
        if len(used) >= _SAMPLE or not used:
            break
    if not used:
        return Figures(rows=rows, node_seconds=seconds)
    return Figures(
        rows=len(used),
        input_tokens=sum(one for one, _ in used) / len(used),
        output_tokens=sum(other for _, other in used) / len(used),
        node_seconds=seconds,
    )


def _usage(line: bytes) -> tuple[int, int] | None:
    try:
        said = _RESPONSE.decode(_ANSWER.decode(line).prediction).usage_metadata
    except msgspec.MsgspecError:
        return None  # not Gemini's
    return None if said is None else (said.prompt_token_count, said.candidates_token_count + said.thoughts_token_count)
