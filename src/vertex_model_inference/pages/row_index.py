"""A run's rows in a small SQLite file beside the other caches, so that a gallery of 100,000 rows answers at once.

It holds nothing that is not in the run's files, and is built from them shard by shard: what has changed since is read
again, so a run is followed while it goes on. Losing it costs the seconds that building it takes.
"""

from __future__ import annotations

import sqlite3
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import structlog

from vertex_model_inference.errors import NotFoundError, VmiError
from vertex_model_inference.labelbox.vocabulary import Vocabulary
from vertex_model_inference.ontology import Ontology
from vertex_model_inference.outcomes import OutcomeStatus
from vertex_model_inference.pages.row_records import KINDS, Item, Place, Record, bucket_of, read_shard
from vertex_model_inference.spec import Files
from vertex_model_inference.storage.store import Store

__all__ = ["PLACED", "SHARD_BITS", "RowIndex", "places_of"]

log = structlog.get_logger("vmi.pages")

_FORM = "1"
"""Of the tables; a file of another form is made anew."""
SHARD_BITS = 20
"""A row's number is its shard's, shifted by so many bits, plus its place in the shard: the order of the export."""
PLACED = ("rows", "outcomes", "staged", "labels", "predictions", "agreement")
_PLACES = struct.Struct(f"<{2 * len(PLACED)}q")
_ONTOLOGY = msgspec.json.Decoder(Ontology)
_TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE shards (shard INTEGER PRIMARY KEY, stamp TEXT);
CREATE TABLE names (id INTEGER PRIMARY KEY, feature TEXT, name TEXT, UNIQUE (feature, name));
CREATE TABLE rows (
    n INTEGER PRIMARY KEY, id TEXT, key TEXT, media TEXT, split TEXT, outcome TEXT, step TEXT, code TEXT, message TEXT,
    retryable INTEGER, annotations INTEGER, judged INTEGER, error REAL, least REAL, trouble INTEGER, places BLOB
);
CREATE TABLE items (
    n INTEGER, place INTEGER, name INTEGER, verdict INTEGER, confidence REAL, instead INTEGER, PRIMARY KEY (n, place)
) WITHOUT ROWID;
CREATE TABLE sums (
    shard INTEGER, name INTEGER, split TEXT, verdict INTEGER, hundredth INTEGER, count INTEGER,
    PRIMARY KEY (shard, name, split, verdict, hundredth)
) WITHOUT ROWID;
CREATE TABLE ends (
    shard INTEGER, outcome TEXT, step TEXT, code TEXT, split TEXT, media TEXT, retryable INTEGER, count INTEGER,
    PRIMARY KEY (shard, outcome, step, code, split, media, retryable)
) WITHOUT ROWID;
CREATE INDEX rows_by_id ON rows (id);
CREATE INDEX rows_by_key ON rows (key);
CREATE INDEX rows_by_error ON rows (error, n);
CREATE INDEX rows_by_least ON rows (least, n);
CREATE INDEX rows_by_trouble ON rows (trouble, n);
CREATE INDEX rows_by_code ON rows (code, n) WHERE code != '';
CREATE INDEX items_by_name ON items (name, verdict, n);
"""


def places_of(blob: bytes) -> dict[str, Place]:
    """Where a row's lines are, by the kind of file; kinds in which it has none are left out."""
    numbers = _PLACES.unpack(blob)
    pairs = zip(PLACED, zip(numbers[::2], numbers[1::2], strict=True), strict=True)
    return {kind: place for kind, place in pairs if place[0] >= 0}


class RowIndex:
    """The rows of one run.

    Args:
        path: SQLite file; made when missing, made anew when it is of another form or broken.
        store: Where the run is. ``files``: its files.

    Attributes:
        total: Shards of the run when it was last looked at. ``done``: of them in the index.
        problem: Why the index could not be brought up to date, in words; empty when it could.
    """

    def __init__(self, path: Path, store: Store, files: Files) -> None:
        self.path = path
        self.store = store
        self.files = files
        self.total = 0
        self.done = 0
        self.problem = ""
        self._looked = float("-inf")
        self._working = threading.Lock()
        self._idle = threading.Event()
        self._idle.set()
        self._opened = False

    # -- reading --------------------------------------------------------------------------------------------------

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that only reads; one snapshot."""
        self._open()
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=10)) as db:
            db.execute("PRAGMA mmap_size=268435456")
            db.execute("BEGIN")
            yield db

    @property
    def version(self) -> str:
        """Changes whenever the index does."""
        with self.reading() as db:
            row = db.execute("SELECT value FROM facts WHERE name = 'version'").fetchone()
        return row[0] if row else ""

    # -- keeping up -----------------------------------------------------------------------------------------------

    def keep_up(self, *, every_s: float, wait_s: float = 1.0) -> bool:
        """Bring the index up to date, in a thread, when it was not within ``every_s``; waits for that a moment.

        Args:
            every_s: So old it may be; 0: it is known to be too old.
            wait_s: How long to wait for a new index, or one that is too old.

        Returns:
            Whether it is up to date now, as far as is known.
        """
        if time.monotonic() - self._looked >= every_s and self._idle.is_set():
            self._idle.clear()
            threading.Thread(target=self._refresh_quietly, name="vmi-pages-index", daemon=True).start()
        # One that has been built shows what it has and catches up; a new one is worth a moment.
        return self._idle.wait(wait_s if self.done < self.total or not self.total or not every_s else 0.15)

    def _refresh_quietly(self) -> None:
        try:
            self.refresh()
            self.problem = ""
        except (VmiError, msgspec.MsgspecError, sqlite3.Error, OSError) as error:
            self.problem = error.message if isinstance(error, VmiError) else f"{type(error).__name__}: {error}"[:300]
            log.warning("the index of a run's rows is not up to date", run=self.files.folder, cause=self.problem)
        finally:
            self._looked = time.monotonic()
            self._idle.set()

    def refresh(self) -> int:
        """Read the shards that have changed; returns how many.

        Raises:
            StorageError: The run's files cannot be read.
            msgspec.MsgspecError: A file is not of its form.
        """
        with self._working:
            self._open()
            stamps = self._stamps()
            with closing(sqlite3.connect(self.path, timeout=30, isolation_level=None)) as db:
                db.execute("PRAGMA synchronous=OFF")  # a cache: after a power cut it is built again
                known = dict(db.execute("SELECT shard, stamp FROM shards"))
                changed = [shard for shard, stamp in sorted(stamps.items()) if known.get(shard) != stamp]
                gone = [shard for shard in known if shard not in stamps]
                self.total, self.done = len(stamps), len(stamps) - len(changed)
                names = self._names() if changed else Vocabulary(None)
                for shard in gone:
                    self._write(db, shard, None, ())
                for shard in changed:
                    self._write(db, shard, stamps[shard], read_shard(self.store, self.files, shard, names))
                    self.done += 1
            return len(changed) + len(gone)

    def _names(self) -> Vocabulary:
        try:
            return Vocabulary(_ONTOLOGY.decode(self.store.get(self.files.ontology)))
        except (NotFoundError, msgspec.MsgspecError):
            return Vocabulary(None)

    def _stamps(self) -> dict[int, str]:
        """Shard -> size and time of each of its files that the index is made of."""
        parts: dict[int, list[str]] = {}
        for kind in KINDS:
            for entry in self.store.entries(f"{self.files.folder}/{kind}"):
                name, _, suffix = entry.path.rsplit("/", 1)[-1].partition(".")
                if name.isascii() and name.isdigit() and suffix == KINDS[kind]:
                    parts.setdefault(int(name), []).append(f"{kind} {entry.size} {entry.modified}")
        return {shard: ";".join(found) for shard, found in parts.items() if any(p.startswith("rows ") for p in found)}

    # -- writing --------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        if self._opened and self.path.exists():
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with closing(sqlite3.connect(self.path, timeout=30)) as db:
                row = db.execute("SELECT value FROM facts WHERE name = 'form'").fetchone()
            sound = row is not None and row[0] == _FORM
        except sqlite3.Error:
            sound = False
        if not sound:
            for suffix in ("", "-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
            with closing(sqlite3.connect(self.path, timeout=30)) as db:
                db.execute("PRAGMA journal_mode=WAL")
                db.executescript(_TABLES)
                db.execute("INSERT INTO facts VALUES ('form', ?), ('version', '0')", (_FORM,))
                db.commit()
        self._opened = True

    def _write(self, db: sqlite3.Connection, shard: int, stamp: str | None, records: Iterable[Record]) -> None:
        """Replace one shard, in one transaction."""
        first, beyond = shard << SHARD_BITS, (shard + 1) << SHARD_BITS
        db.execute("BEGIN IMMEDIATE")
        try:
            db.execute("DELETE FROM rows WHERE n >= ? AND n < ?", (first, beyond))
            db.execute("DELETE FROM items WHERE n >= ? AND n < ?", (first, beyond))
            for table in ("sums", "ends", "shards"):
                db.execute(f"DELETE FROM {table} WHERE shard = ?", (shard,))  # noqa: S608  # our own names
            sums: Counter[tuple[int, str, int, int]] = Counter()
            ends: Counter[tuple[str, str, str, str, str, int]] = Counter()
            names: dict[tuple[str, str], int] = {
                (feature, name): number for number, feature, name in db.execute("SELECT id, feature, name FROM names")
            }
            rows: list[tuple[object, ...]] = []
            items: list[tuple[object, ...]] = []
            for place, record in enumerate(records):
                n = first + place
                rows.append(_row(n, record))
                ends[_end(record)] += 1
                for number, item in enumerate(record.items):
                    name = _number(db, names, item.feature, item.name)
                    instead = None if item.instead is None else _number(db, names, item.feature, item.instead)
                    items.append((n, number, name, item.verdict, item.confidence, instead))
                    sums[(name, record.split, item.verdict, bucket_of(item.confidence))] += 1
            db.executemany("INSERT INTO rows VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)", rows)
            db.executemany("INSERT INTO items VALUES (?,?,?,?,?,?)", items)
            db.executemany("INSERT INTO sums VALUES (?,?,?,?,?,?)", ((shard, *key, n) for key, n in sums.items()))
            db.executemany("INSERT INTO ends VALUES (?,?,?,?,?,?,?,?)", ((shard, *key, n) for key, n in ends.items()))
            if stamp is not None:
                db.execute("INSERT INTO shards VALUES (?,?)", (shard, stamp))
            db.execute("UPDATE facts SET value = CAST(value AS INTEGER) + 1 WHERE name = 'version'")
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise


def _number(db: sqlite3.Connection, names: dict[tuple[str, str], int], feature: str, name: str) -> int:
    found = names.get((feature, name))
    if found is None:
        found = names[(feature, name)] = int(
            db.execute("INSERT INTO names (feature, name) VALUES (?,?)", (feature, name)).lastrowid or 0
        )
    return found


def _row(n: int, record: Record) -> tuple[object, ...]:
    outcome = record.outcome
    said = [item for item in record.items if item.verdict <= 3]
    unsuccessful = outcome is not None and outcome.status in (OutcomeStatus.FAILED, OutcomeStatus.SKIPPED)
    return (
        n,
        record.id,
        record.key,
        record.media,
        record.split,
        "pending" if outcome is None else outcome.status.value,
        "" if outcome is None else outcome.step or "",
        "" if outcome is None else outcome.code or "",
        outcome.message if outcome is not None and unsuccessful else None,
        int(outcome is not None and outcome.retryable),
        0 if outcome is None else outcome.annotations,
        int(record.judged),
        record.error,
        min((1.0 if item.confidence is None else item.confidence for item in said), default=None),
        _trouble(record.items) if record.judged else None,
        _PLACES.pack(*(number for place in record.places for number in place)),
    )


def _trouble(items: list[Item]) -> int:
    """How much is wrong: confused and unfounded predictions, and missed labels."""
    return sum(1 for item in items if item.verdict in (1, 2, 6))


def _end(record: Record) -> tuple[str, str, str, str, str, int]:
    outcome = record.outcome
    if outcome is None:
        return "pending", "", "", record.split, record.media, 0
    retryable = int(outcome.retryable)
    return outcome.status.value, outcome.step or "", outcome.code or "", record.split, record.media, retryable
