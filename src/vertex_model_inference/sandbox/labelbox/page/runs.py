"""A run at a glance: status, progress, counts. What the page shows at its top and asks for each second."""

from __future__ import annotations

import datetime as dt
import hashlib
import threading
import time
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from vertex_model_inference.sandbox.labelbox.control import last_press
from vertex_model_inference.sandbox.labelbox.page.annotated import Owner

if TYPE_CHECKING:
    from vertex_model_inference.sandbox.labelbox.app import Server
    from vertex_model_inference.sandbox.labelbox.store import Row, Store

__all__ = ["Counts", "CountsCache", "ImportView", "PressView", "RunView", "imports_of", "run_view", "when"]

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
    """Of a run or project: rows, labels, predictions (annotations), rows with predictions, rows by split."""

    data_rows: int
    labels: int
    predictions: int
    predicted_data_rows: int
    splits: dict[str, int]


class CountsCache:
    """Counting a run of 100,000 rows takes a moment, so the counts are kept for a multiple of that moment."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[float, Counts]] = {}
        self._lock = threading.Lock()

    def get(self, store: Store, owner: Owner) -> Counts:
        """The counts, at most half a second old, or twenty times as old as they take to make."""
        now = time.monotonic()
        with self._lock:
            kept = self._kept.get(owner.id)
            if kept is not None and now < kept[0]:
                return kept[1]
        counts = _count(store, owner)
        end = time.monotonic()
        with self._lock:
            if len(self._kept) > 1_000:
                self._kept.clear()
            self._kept[owner.id] = (end + max(0.5, 20 * (end - now)), counts)
        return counts


def _count(store: Store, owner: Owner) -> Counts:
    found = store.runs.counts(owner.id)  # predictions are counted by their owner, which a project can be too
    if owner.project:
        row = store.projects.get(owner.id)
        rows = 0 if row is None else row["row_count"]
        labels = store.projects.label_count(owner.id)
        return Counts(rows, labels, found["predictions"], found["predicted_data_rows"], {})
    by_split = store.database.all("SELECT split, COUNT(*) AS n FROM run_rows WHERE run_id = ? GROUP BY split", owner.id)
    splits = {row["split"]: row["n"] for row in by_split}
    return Counts(found["data_rows"], found["labels"], found["predictions"], found["predicted_data_rows"], splits)


class ImportView(msgspec.Struct, frozen=True):
    """A prediction import: its rows by SUCCESS and FAILURE, and where Labelbox's report is."""

    name: str
    state: str
    succeeded: int
    failed: int
    error: str
    report: str | None


class PressView(msgspec.Struct, frozen=True):
    """The last time that Train Model was pressed.

    Attributes:
        at: ``12:00:01`` (UTC).
        option: The menu's entry that was chosen.
        answer: What the training service answered, in a few words.
        good: It took the run.
    """

    at: str
    option: str
    answer: str
    good: bool


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
    press: PressView | None = None
    stamp: str = ""


def when(seconds: float) -> str:
    """``2026-01-31 12:00`` (UTC)."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%d %H:%M")


def run_view(server: Server, cache: CountsCache, row: Row, model_name: str, *, imports: bool = True) -> RunView:
    """Everything about a run but its rows; ``imports=False`` leaves the imports out, for lists."""
    metadata: dict[str, Any] = orjson.loads(row["metadata"]) if row["metadata"] else {}
    status: str = row["status"] or ""
    names = [name for name, _ in STAGES]
    views, hidden = imports_of(server.store, row["id"], ["mea"]) if imports else ([], 0)
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
        counts=cache.get(server.store, Owner(row["id"])),
        imports=views,
        hidden_imports=hidden,
        press=_press(server, row["id"]) if imports else None,
    )
    stamp = hashlib.blake2b(msgspec.json.encode(view), digest_size=8).hexdigest()
    return msgspec.structs.replace(view, stamp=stamp)


def imports_of(store: Store, owner_id: str, kinds: list[str]) -> tuple[list[ImportView], int]:
    """The imports of a run or project, newest first, and how many older ones there are."""
    items = store.imports.of(owner_id, kinds)
    views = [
        ImportView(
            str(item["name"])[:200],
            item["state"],
            item["succeeded"],
            item["failed"],
            str(item["error"] or "")[:_MOST_VALUE],
            store.files.url_of(item["status_file"]) if item["status_file"] else None,
        )
        for item in items[-_MOST_IMPORTS:]
    ]
    return views[::-1], len(items) - len(views)


def _press(server: Server, run_id: str) -> PressView | None:
    found = last_press(server.store, run_id)
    if found is None:
        return None
    answer = found["answer"]
    if found["problem"] is not None:
        said = answer.get("error") if isinstance(answer, dict) else None
        message = said.get("message") if isinstance(said, dict) else said
        text = f"{found['problem']} {message if isinstance(message, str) else ''}"
    elif isinstance(answer, dict) and all(isinstance(value, (str, int, float)) for value in answer.values()):
        text = "200: " + ", ".join(f"{name} {_word(value)}" for name, value in answer.items())
    else:
        text = f"200: {_word(answer)}"
    at = dt.datetime.fromtimestamp(found["at"], dt.UTC).strftime("%H:%M:%S")
    return PressView(at, str(found["model_type"])[:_MOST_VALUE], text.strip()[:_MOST_VALUE], found["problem"] is None)


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
