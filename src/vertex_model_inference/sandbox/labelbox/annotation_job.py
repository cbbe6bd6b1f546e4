"""Annotation imports: NDJSON in, annotations and two report files out."""

from __future__ import annotations

import json
import threading
import uuid as uuids
from collections.abc import Iterator
from typing import Any, BinaryIO

import msgspec
import orjson

from vertex_model_inference.sandbox.labelbox import export_form, label_form
from vertex_model_inference.sandbox.labelbox.fetch import Fetcher, FetchError
from vertex_model_inference.sandbox.labelbox.ids import new_id
from vertex_model_inference.sandbox.labelbox.store import Row, Store
from vertex_model_inference.sandbox.labelbox.store.annotations import Annotation
from vertex_model_inference.sandbox.labelbox.validation import Asset, Checked, FeatureIndex, Kind, Problem, Rules, check

__all__ = ["run"]

_PIECE = 2_000  # lines a transaction
_PREDICTIONS = Rules("DataRowNotInModelRun", "the model run", both_allowed=False)
_PRE_LABELS = Rules("DataRowNotInProject", "a batch of the project", both_allowed=False)
_LABELS = Rules("DataRowNotInProject", "a batch of the project", both_allowed=True)


class _Line(msgspec.Struct):
    """One line on its way: decoded, checked."""

    number: int
    row: Any
    checked: Checked
    uuid: str | None


class _Import:
    """One import being processed."""

    def __init__(self, store: Store, row: Row, index: FeatureIndex, size: int) -> None:
        self.store = store
        self.row = row
        self.id: str = row["id"]
        self.kind: str = row["kind"]
        # A label import's annotations wait under its own id until they are put together as labels.
        self.owner: str = self.id if self.kind == "label" else row["parent_id"]
        self.index = index
        self.size = max(size, 1)
        self.rules = {"mea": _PREDICTIONS, "label": _LABELS}.get(self.kind, _PRE_LABELS)
        self.succeeded = 0
        self.failed = 0
        self.later: list[_Line] = []

    def assets(self, rows: list[Any]) -> dict[tuple[str, str], Asset]:
        """The data rows that lines name."""
        ids: set[str] = set()
        keys: set[str] = set()
        for row in rows:
            ref = row.get("dataRow") if type(row) is dict else None
            if type(ref) is dict:
                for name, found in (("id", ids), ("globalKey", keys)):
                    if type(ref.get(name)) is str:
                        found.add(ref[name])
        return self.store.annotations.assets(self.row["parent_id"], ids, keys, run=self.kind == "mea")

    def piece(self, lines: list[tuple[int, bytes]], statuses: BinaryIO, errors: BinaryIO) -> None:
        """Check, store and report some lines."""
        rows: list[Any] = []
        for _, raw in lines:
            try:
                rows.append(orjson.loads(raw))
            except orjson.JSONDecodeError as error:
                rows.append(error)
        assets = self.assets(rows)
        checked: list[_Line] = []
        for (number, raw), row in zip(lines, rows, strict=True):
            if isinstance(row, orjson.JSONDecodeError):
                text = raw[:60].decode("utf-8", "replace")
                problem = Problem("InvalidJson", f"Line {number} is not JSON ({row}): {text}")
                checked.append(_Line(number, {}, Checked((problem,)), None))
                continue
            result = check(row, self.index, assets, self.rules)
            given = row.get("uuid") if type(row) is dict else None
            checked.append(_Line(number, row, result, given if type(given) is str else None))
        now = [line for line in checked if line.checked.kind is not Kind.RELATIONSHIP or line.checked.problems]
        self.later += [line for line in checked if line.checked.kind is Kind.RELATIONSHIP and not line.checked.problems]
        self.settle(now, statuses, errors)

    def settle(
        self, lines: list[_Line], statuses: BinaryIO, errors: BinaryIO, ends: dict[str, str] | None = None
    ) -> None:
        """Store what is good; write each line's status."""
        with self.store.annotations.uuids:  # imports into one run go on at the same time
            self._settle(lines, statuses, errors, ends or {})

    def _settle(self, lines: list[_Line], statuses: BinaryIO, errors: BinaryIO, ends: dict[str, str]) -> None:
        given = [line.uuid.lower() for line in lines if line.uuid and not line.checked.problems]
        taken = set(self.store.annotations.known(self.owner, given)) if given else set()
        texts = self._texts(lines)
        new: list[Annotation] = []
        masks: list[tuple[str, str, str]] = []
        for line in lines:
            checked = line.checked
            problems = list(checked.problems)
            if not problems and line.uuid:
                key = line.uuid.lower()
                if key in taken:
                    problems.append(Problem("DuplicateUuid", f"uuid {line.uuid} is used already."))
                taken.add(key)
            if not problems:
                assert checked.asset is not None
                assert checked.kind is not None
                line.uuid = line.uuid or str(uuids.uuid4())
                new.append(self._annotation(line, checked.asset, checked.kind, ends, texts, masks))
                self.succeeded += 1
            else:
                self.failed += 1
            report = _report(line, problems)
            statuses.write(report)
            if problems:
                errors.write(report)
        self.store.annotations.add(new, masks)

    def _annotation(
        self,
        line: _Line,
        asset: Asset,
        kind: Kind,
        ends: dict[str, str],
        texts: dict[str, str],
        masks: list[tuple[str, str, str]],
    ) -> Annotation:
        feature_id = new_id()
        form = export_form.annotation_of(
            line.row,
            kind,
            line.checked.feature,
            asset,
            feature_id,
            scored=self.kind == "mea",
            mask_url=self.store.files.mask_url(feature_id),
            ends=ends,
        )
        if kind is Kind.ENTITY and asset.id in texts and "location" in form:
            where = form["location"]
            where["token"] = texts[asset.id][where["start"] : where["end"] + 1]
        if kind is Kind.MASK:
            masks.append((feature_id, self.id, orjson.dumps(line.row["mask"]).decode()))
        assert line.uuid is not None
        place = export_form.place_of(kind, line.row)
        return Annotation(
            self.owner, asset.id, line.uuid.lower(), self.id, place, feature_id, orjson.dumps(form).decode()
        )

    def _texts(self, lines: list[_Line]) -> dict[str, str]:
        ids = {line.checked.asset.id for line in lines if line.checked.kind is Kind.ENTITY and line.checked.asset}
        return self.store.annotations.inline_texts(ids) if ids else {}

    def relationships(self, statuses: BinaryIO, errors: BinaryIO) -> None:
        """Relationships come last: their ends may be anywhere in the file, or in an earlier import."""
        for start in range(0, len(self.later), _PIECE):
            lines = self.later[start : start + _PIECE]
            named = [str(line.row["relationship"][end]).lower() for line in lines for end in ("source", "target")]
            known = self.store.annotations.known(self.owner, named)
            ends: dict[str, str] = {}
            for line in lines:
                value, asset = line.row["relationship"], line.checked.asset
                assert asset is not None
                for end in ("source", "target"):
                    found = known.get(value[end].lower())
                    if found is None or found[1] != asset.id:
                        problem = Problem(
                            "InvalidRelationship",
                            f"The {end} {value[end]} is not an annotation of data row {asset.id} that was imported.",
                        )
                        line.checked = msgspec.structs.replace(line.checked, problems=(*line.checked.problems, problem))
                    else:
                        ends[value[end]] = found[0]
            self.settle(lines, statuses, errors, ends)


def _report(line: _Line, problems: list[Problem]) -> bytes:
    asset = line.checked.asset
    ref = line.row.get("dataRow") if type(line.row) is dict else None
    data_row: dict[str, Any] = {"id": asset.id if asset is not None else None}
    if asset is None and type(ref) is dict:
        data_row.update({name: ref[name] for name in ("id", "globalKey") if isinstance(ref.get(name), str)})
    report: dict[str, Any] = {
        "uuid": line.uuid,
        "dataRow": data_row,
        "status": "FAILURE" if problems else "SUCCESS",
        "errors": [{"name": p.name, "message": p.message, "additional_info": {"line": line.number}} for p in problems],
    }
    text = orjson.dumps(report)
    # ASCII only: the SDK's reader takes a raw U+2028 or U+0085 for the end of a line.
    return (text if text.isascii() else json.dumps(report, ensure_ascii=True).encode()) + b"\n"


def _lines(file: BinaryIO) -> Iterator[list[tuple[int, bytes]]]:
    piece: list[tuple[int, bytes]] = []
    for number, raw in enumerate(file, 1):
        if raw.strip():
            piece.append((number, raw))
            if len(piece) == _PIECE:
                yield piece
                piece = []
    if piece:
        yield piece


def run(store: Store, fetcher: Fetcher, row: Row, stopping: threading.Event) -> None:
    """Process one import from the start; what an interrupted attempt has left is forgotten first.

    Raises:
        InterruptedError: The server is stopping.
    """
    import_id: str = row["id"]
    store.imports.begin(import_id)
    index = _index(store, row)
    if index is None:
        store.imports.fail(import_id, "The model run or project has no ontology.")
        return
    entry = store.files.get(row["input_file"]) if row["input_file"] else None
    if entry is None:
        try:
            content = fetcher.read(row["input_url"])
        except FetchError as error:
            store.imports.fail(import_id, str(error))
            return
        entry = store.files.add(f"{import_id}.ndjson", content, "application/x-ndjson")
        store.imports.set_input_file(import_id, entry.id)
    work = _Import(store, row, index, entry.size)
    status_id, status_path = store.files.new_path()
    error_id, error_path = store.files.new_path()
    most = store.setting("settings", {}).get("import_fails_after")
    if most is not None:
        store.set_setting("settings", {**store.setting("settings", {}), "import_fails_after": None})
    with entry.path.open("rb") as file, status_path.open("wb") as statuses, error_path.open("wb") as errors:
        for piece in _lines(file):
            if stopping.is_set():
                raise InterruptedError
            work.piece(piece if most is None else piece[:most], statuses, errors)
            if most is not None:
                store.imports.give_up(import_id, f"Told to fail after {most} lines.")
                return
            store.imports.set_progress(import_id, min(99, 100 * file.tell() // work.size) if file.seekable() else 50)
        work.relationships(statuses, errors)
    if work.succeeded + work.failed == 0:
        store.imports.fail(import_id, "The file has no lines.")
        return
    if work.kind == "label":
        label_form.put_together(store, import_id, row["parent_id"])
    for file_id, name in ((status_id, "statuses"), (error_id, "errors")):
        store.files.adopt(file_id, f"{import_id}-{name}.ndjson", "application/x-ndjson; charset=utf-8")
    store.imports.finish(import_id, work.succeeded, work.failed, status_id, error_id)


def _index(store: Store, row: Row) -> FeatureIndex | None:
    ontology_id: str | None = None
    if row["kind"] == "mea":
        run_row = store.runs.get(row["parent_id"])
        model = store.runs.model(run_row["model_id"]) if run_row is not None else None
        ontology_id = model["ontology_id"] if model is not None else None
    else:
        project = store.projects.get(row["parent_id"])
        ontology_id = project["ontology_id"] if project is not None else None
    ontology = store.projects.ontology(ontology_id) if ontology_id else None
    return None if ontology is None else FeatureIndex.of(orjson.loads(ontology["normalized"]))
