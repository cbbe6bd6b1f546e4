"""Rows of earlier runs come into shards by where they come from, whatever the order of the export."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from vertex_model_inference.rows import DataRow
from vertex_model_inference.spec import Files
from vertex_model_inference.steps.choosing import Choice, Way
from vertex_model_inference.steps.export import _Sink
from vertex_model_inference.steps.memory import Origin
from vertex_model_inference.storage.places import open_store
from vertex_model_inference.storage.store import Store
from vertex_model_inference.vertex.auth import GoogleAuth


class _Chooser:
    """Row ``n`` comes from shard ``n // 10`` of ten rows; each seventh is to be done."""

    def choose(self, row: DataRow) -> Choice:
        number = int(row.id)
        if number % 7 == 0:
            return Choice(Way.WORK)
        way = Way.AGAIN if number >= 500 else Way.CARRIED
        return Choice(way, Origin(row.id, "before", number // 10))

    def whole(self, origin: Origin, rows: int) -> bool:
        return rows == 10


@pytest.mark.parametrize("shuffled", [False, True])
def test_each_row_once_and_by_origin(tmp_path: Path, shuffled: bool) -> None:
    store: Store = open_store(str(tmp_path), endpoint=None, token=GoogleAuth(None))
    files = Files("now-1")
    option = SimpleNamespace(task=None)
    spec = SimpleNamespace(model_run_id="m", shard_rows=10, option=option)
    context: Any = SimpleNamespace(spec=spec, store=store, files=files, tell=lambda step, done: None)
    chooser: Any = _Chooser()
    sink = _Sink(context, 0, 4, chooser)
    numbers = list(range(1000))
    if shuffled:
        random.Random(1).shuffle(numbers)
    for number in numbers:
        line = {"data_row": {"id": str(number), "row_data": f"text {number}"}, "experiments": {}}
        sink.add(msgspec.json.encode(line))
    sink.flush()
    assert sum(sink.rows) == 1000
    seen: list[str] = []
    read = 0
    for shard, way in enumerate(sink.ways):
        rows = [msgspec.json.decode(line)["id"] for line in store.lines(files.shard("rows", shard))]
        assert len(rows) == sink.rows[shard] <= 10
        seen += rows
        assert {chooser.choose(DataRow(id=row, row_data="")).way for row in rows} == {way}
        if way is not Way.WORK:
            origins = [msgspec.json.decode(line, type=Origin) for line in store.lines(files.shard("origins", shard))]
            assert [origin.data_row_id for origin in origins] == rows
            read += len({origin.shard for origin in origins})
    assert sorted(map(int, seen)) == list(range(1000))
    first = next(number for number, way in enumerate(sink.ways) if way is not Way.CARRIED)
    assert sink.rows[first] <= 4, "the canary"
    # 200 rows are held at a time: shuffled, each of the 100 shards is read about once for each of five lots.
    assert read < (650 if shuffled else 220)
