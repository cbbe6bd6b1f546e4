"""A run at a glance: status, progress, counts. What the page shows at its top and asks for each second."""

from __future__ import annotations

import datetime as dt
import hashlib
import threading
import time
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

if TYPE_CHECKING:
    from vertex_model_inference.sandbox.labelbox.app import Server
    from vertex_model_inference.sandbox.labelbox.store import Row

__all__ = ["Counts", "CountsCache", "ImportView", "RunView", "run_view"]

_MOST_FACTS = 40
_MOST_VALUE = 300
_MOST_IMPORTS = 20

#: Labelbox's pipeline states in order, and what they mean to people.
STAGES = (
    ("EXPORTING_DATA", "Exporting"),
    ("PREPARING_DATA", "Preparing"),
    ("TRAINING_MODEL", "Predicting"),
    ("COMPLETE", "Complete"),
)
_RUNNING = ("EXPORTING_DATA", "PREPARING_DATA", "TRAINING_MODEL")


class Counts(msgspec.Struct, frozen=True):
    """Of a run: rows, labels, predictions (annotations), rows with predictions, rows by split."""

    data_rows: int
    labels: int
    predictions: int
    predicted_data_rows: int
    splits: dict[str, int]


class CountsCache:
    """Counting a run of 100,000 rows takes a moment, so the counts are kept for a multiple of that moment."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[float, str, Counts]] = {}
        self._lock = threading.Lock()

    def get(self, server: Server, run_id: str) -> Counts:
        """The counts, at most a second old, or twenty times as old as they take to make."""
        now = time.monotonic()
        with self._lock:
            kept = self._kept.get(run_id)
            if kept is not None and now < kept[0]:
                return kept[2]
        found = server.store.runs.counts(run_id)
        rows = server.store.database.all(
            "SELECT split, COUNT(*) AS n FROM run_rows WHERE run_id = ? GROUP BY split", run_id
        )
        splits = {row["split"]: row["n"] for row in rows}
        counts = Counts(found["data_rows"], found["labels"], found["predictions"], found["predicted_data_rows"], splits)
        end = time.monotonic()
        with self._lock:
            if len(self._kept) > 1_000:
                self._kept.clear()
            self._kept[run_id] = (end + max(0.5, 20 * (end - now)), run_id, counts)
        return counts


class ImportView(msgspec.Struct, frozen=True):
    """A prediction import: its rows by SUCCESS and FAILURE, and where Labelbox's report is."""

    name: str
    state: str
    succeeded: int
    failed: int
    error: str
    report: str | None


class RunView(msgspec.Struct, frozen=True):
    """A run for the templates.

    Attributes:
        stage: Index into ``STAGES`` of the present state; -1 before the first.
        facts: The status's metadata as (name, value) in words; bounded.
        progress: Share of predicted rows while running, 0..1, where the metadata tells it.
        link: The run's page at the webhook, if its metadata names one.
        stamp: Changes when anything here changes.
    """

    id: str
    name: str
    model_name: str
    created: str
    status: str
    running: bool
    stage: int
    error: str
    facts: list[tuple[str, str]]
    progress: float | None
    link: str | None
    counts: Counts
    imports: list[ImportView]
    hidden_imports: int
    stamp: str = ""


def when(seconds: float) -> str:
    """``2026-01-31 12:00`` (UTC)."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%d %H:%M")


def run_view(server: Server, cache: CountsCache, row: Row, model_name: str, *, imports: bool = True) -> RunView:
    """Everything about a run but its rows; ``imports=False`` leaves the imports out, for lists."""
    metadata: dict[str, Any] = orjson.loads(row["metadata"]) if row["metadata"] else {}
    status: str = row["status"] or ""
    names = [name for name, _ in STAGES]
    items = server.store.imports.of(row["id"], ["mea"]) if imports else []
    views = [
        ImportView(
            str(item["name"])[:200],
            item["state"],
            item["succeeded"],
            item["failed"],
            str(item["error"] or "")[:_MOST_VALUE],
            server.store.files.url_of(item["status_file"]) if item["status_file"] else None,
        )
        for item in items[-_MOST_IMPORTS:]
    ]
    link = metadata.get("vmi_run_url")
    view = RunView(
        id=row["id"],
        name=row["name"],
        model_name=model_name,
        created=when(row["created_at"]),
        status=status,
        running=status in _RUNNING,
        stage=names.index(status) if status in names else -1,
        error=str(row["error_message"] or "")[:2_000],
        facts=_facts(metadata),
        progress=_progress(metadata) if status in _RUNNING else None,
        link=link if isinstance(link, str) and link.startswith(("http://", "https://")) else None,
        counts=cache.get(server, row["id"]),
        imports=views[::-1],
        hidden_imports=len(items) - len(views),
    )
    stamp = hashlib.blake2b(msgspec.json.encode(view), digest_size=8).hexdigest()
    return msgspec.structs.replace(view, stamp=stamp)


def _progress(metadata: dict[str, Any]) -> float | None:
    rows, steps = metadata.get("vmi_rows"), metadata.get("vmi_progress")
    if not isinstance(rows, int) or rows <= 0 or not isinstance(steps, dict):
        return None
    done = [value for value in steps.values() if isinstance(value, int)]
    return min(sum(done) / (rows * len(done)), 1.0) if done else None


def _facts(metadata: dict[str, Any]) -> list[tuple[str, str]]:
    facts: list[tuple[str, str]] = []
    for name, value in metadata.items():
        if name == "vmi_run_url":
            continue  # it is the link
        label = name.removeprefix("vmi_").replace("_", " ").capitalize()
        if isinstance(value, dict) and all(isinstance(item, (int, float, str)) for item in value.values()):
            text = " · ".join(f"{key} {_word(item)}" for key, item in value.items())
        else:
            text = _word(value)
        facts.append((label[:80], text[:_MOST_VALUE]))
        if len(facts) == _MOST_FACTS:
            break
    return facts


def _word(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    return value if isinstance(value, str) else orjson.dumps(value).decode()
