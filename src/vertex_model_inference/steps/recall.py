"""recall: what earlier runs have of a shard's rows becomes this run's own, so that every run can be read by itself.

A shard that is all of an earlier one is copied by the store, without its bytes passing through here; of others the
rows' lines are picked out. What cannot be found any more fails its row and no other.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from vertex_model_inference.errors import NotFoundError
from vertex_model_inference.outcomes import Counts, Outcome, OutcomeStatus
from vertex_model_inference.spec import Decoded, Files, RunSpec
from vertex_model_inference.steps.choosing import Way
from vertex_model_inference.steps.context import Context, failed, read_rows, read_structs, write_structs
from vertex_model_inference.steps.memory import Origin, place_names
from vertex_model_inference.steps.signatures import strip_shard

__all__ = ["Earlier", "carry_shards", "earlier_of", "recall_shards"]

_AT_ONCE = 16
_COPIED = (("staged", "jsonl"), ("answers", "jsonl"), ("decoded", "jsonl"), ("predictions", "ndjson"))
_SPEC = msgspec.json.Decoder(RunSpec)
_ORIGIN = msgspec.json.Decoder(Origin)
_OUTCOME = msgspec.json.Decoder(Outcome)
_DECODED = msgspec.json.Decoder(Decoded)
_ENCODER = msgspec.json.Encoder()


class Earlier(msgspec.Struct, frozen=True, omit_defaults=True):
    """An annotation that an earlier run sent.

    Attributes:
        data_row_id: Its row.
        line: The NDJSON as it was sent.
        at: Places that took it (``model-run``, ``files``, ``project:<id>``); it may be in others too, where the row
            failed at the upload.
    """

    data_row_id: str
    line: msgspec.Raw
    at: tuple[str, ...] = ()


class _Id(msgspec.Struct):
    data_row_id: str


class _Uuid(msgspec.Struct):
    uuid: str = ""


_EARLIER = msgspec.json.Decoder(Earlier)
_ID = msgspec.json.Decoder(_Id)
_UUID = msgspec.json.Decoder(_Uuid)


class _Source:
    """One shard of an earlier run, by row; what it lacks is empty."""

    def __init__(self, context: Context, run: str, shard: int) -> None:
        self._context = context
        self._files = Files(run)
        self._shard = shard
        spec: RunSpec = _SPEC.decode(context.store.get(self._files.spec))
        self.spec = spec
        self.outcomes = {outcome.data_row_id: outcome for outcome in map(_OUTCOME.decode, self.lines("outcomes"))}
        self.usual = place_names(spec, spec.delivery.destinations or ("model-run",))
        self._by: dict[str, dict[str, bytes]] = {}
        self._predictions: dict[str, list[bytes]] | None = None
        self._earlier: dict[str, list[Earlier]] | None = None

    def lines(self, kind: str, suffix: str = "jsonl") -> Iterable[bytes]:
        try:
            yield from self._context.store.lines(self._files.shard(kind, self._shard, suffix))
        except NotFoundError:
            return

    def line(self, kind: str, row_id: str) -> bytes | None:
        """The row's line of ``staged``, ``answers`` or ``decoded``."""
        if kind not in self._by:
            self._by[kind] = {_ID.decode(line).data_row_id: line for line in self.lines(kind)}
        return self._by[kind].get(row_id)

    def predictions(self, row_id: str) -> list[bytes]:
        """The row's NDJSON lines."""
        if self._predictions is None:
            lines = iter(self.lines("predictions", "ndjson"))
            self._predictions = {}
            for decoded in map(_DECODED.decode, self.lines("decoded")):
                mine = [next(lines, b"") for _ in range(decoded.annotations)]
                self._predictions[decoded.data_row_id] = [line for line in mine if line]
        return self._predictions.get(row_id, [])

    def sent(self, row_id: str) -> list[Earlier]:
        """All annotations of the row that were ever sent: the run's own, and those of runs before it."""
        if self._earlier is None:
            self._earlier = {}
            for each in map(_EARLIER.decode, self.lines("earlier")):
                self._earlier.setdefault(each.data_row_id, []).append(each)
        outcome = self.outcomes.get(row_id)
        at: tuple[str, ...] = ()
        if outcome is not None:
            good = outcome.status is OutcomeStatus.PREDICTED
            at = place_names(self.spec, outcome.delivered) or (self.usual if good else ())
        before = self._earlier.get(row_id, [])
        places = {_UUID.decode(each.line).uuid: each.at for each in before}
        found = []
        for line in self.predictions(row_id):
            also = places.pop(_UUID.decode(line).uuid, ())
            found.append(Earlier(row_id, msgspec.Raw(line), tuple(dict.fromkeys((*at, *also)))))
        return found + [each for each in before if _UUID.decode(each.line).uuid in places]


class _Sources:
    """Earlier shards, the few that were used last."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._open: OrderedDict[tuple[str, int], _Source] = OrderedDict()

    def of(self, origin: Origin) -> _Source:
        key = (origin.run, origin.shard)
        found = self._open.get(key)
        if found is None:
            found = self._open[key] = _Source(self._context, *key)
            while len(self._open) > 4:
                self._open.popitem(last=False)
        else:
            self._open.move_to_end(key)
        return found


def _origins(context: Context, shard: int) -> list[Origin]:
    try:
        return [_ORIGIN.decode(line) for line in context.store.lines(context.files.shard("origins", shard))]
    except NotFoundError:
        return []


def _each(function: object, context: Context, shards: Sequence[int]) -> list[object]:
    """One shard after the other, several at the same time: almost all of it is waiting for storage."""
    assert callable(function)
    with ThreadPoolExecutor(min(_AT_ONCE, max(1, len(shards))), thread_name_prefix="recall") as pool:
        return list(pool.map(lambda shard: function(context, shard), shards))


# -- rows for which nothing is done ------------------------------------------------------------------------------------


def carry_shards(context: Context, shards: Sequence[int]) -> Counts:
    """Carry the outcomes of shards over, and with them all that the run before has of their rows.

    Args:
        context: The run.
        shards: Numbers of shards whose rows are as they were.

    Raises:
        StorageError: Files cannot be read or written.
    """
    total = Counts()
    for counts in _each(_carry, context, shards):
        assert isinstance(counts, Counts)
        total += counts
    return total


def _carry(context: Context, shard: int) -> Counts:
    rows = read_rows(context, shard)
    ended = read_structs(context, context.files.ended("export", shard), Outcome)
    origins = {origin.data_row_id: origin for origin in _origins(context, shard)}
    sources = _Sources(context)
    places = list(dict.fromkeys((origin.run, origin.shard) for origin in origins.values()))
    first = next(iter(origins.values()), None)
    if first is not None and len(places) == 1 and set(sources.of(first).outcomes) == set(origins):
        before, here = Files(first.run), context.files
        for kind, suffix in (*_COPIED, ("earlier", "jsonl")):
            context.store.copy(before.shard(kind, first.shard, suffix), here.shard(kind, shard, suffix))
    else:
        _pick(context, shard, list(origins.values()), sources)
    outcomes = []
    for row in rows:
        origin = origins[row.id]
        source = sources.of(origin)
        found = source.outcomes.get(row.id)
        if found is None:
            text = f"The outcome of run {origin.run}, which was to be carried over, is gone."
            outcomes.append(failed(row.id, row.global_key, "export", "outcome_gone", text, retryable=True))
            continue
        delivered = found.delivered
        same = source.usual == place_names(context.spec, context.spec.delivery.destinations or ("model-run",))
        if found.status is OutcomeStatus.PREDICTED and not delivered and not same:
            delivered = source.spec.delivery.destinations or ("model-run",)
        outcomes.append(msgspec.structs.replace(found, global_key=row.global_key, delivered=delivered, reused=True))
    outcomes = ended + outcomes
    write_structs(context, context.files.shard("outcomes", shard), outcomes)
    strip_shard(context, shard, rows)
    return Counts.of(outcomes)


def _pick(context: Context, shard: int, origins: Sequence[Origin], sources: _Sources) -> None:
    """The rows' lines out of several earlier shards, row by row in their order there."""
    picked: dict[str, list[bytes]] = {kind: [] for kind, _ in _COPIED}
    earlier: list[Earlier] = []
    for origin in sorted(origins, key=lambda each: (each.run, each.shard)):
        source = sources.of(origin)
        row_id = origin.data_row_id
        for kind in ("staged", "answers", "decoded"):
            line = source.line(kind, row_id)
            if line is not None:
                picked[kind].append(line)
        picked["predictions"] += source.predictions(row_id)
        own = set(source.predictions(row_id))
        earlier += [each for each in source.sent(row_id) if bytes(each.line) not in own]
    for kind, suffix in _COPIED:
        context.store.put_lines(context.files.shard(kind, shard, suffix), picked[kind])
    if earlier:
        write_structs(context, context.files.shard("earlier", shard), earlier)


# -- rows that are done again ------------------------------------------------------------------------------------------


def recall_shards(context: Context, shards: Sequence[int], way: str) -> int:
    """What is needed of earlier runs for shards that are done again.

    Args:
        context: The run.
        shards: Their numbers.
        way: ``again``: their answers are kept and read again. ``work``: only what was sent of them counts.

    Returns:
        Rows whose answers were found.

    Raises:
        StorageError: Files cannot be read or written.
    """

    def one(context: Context, shard: int) -> int:
        return _recall(context, shard, answers=way == Way.AGAIN)

    return sum(found for found in _each(one, context, shards) if isinstance(found, int))


def _recall(context: Context, shard: int, *, answers: bool) -> int:
    sources = _Sources(context)
    picked: dict[str, list[bytes]] = {"staged": [], "answers": []}
    earlier: list[Earlier] = []
    gone: list[Outcome] = []
    for origin in sorted(_origins(context, shard), key=lambda each: (each.run, each.shard)):
        source = sources.of(origin)
        earlier += source.sent(origin.data_row_id)
        if not answers:
            continue
        found = {kind: source.line(kind, origin.data_row_id) for kind in picked}
        if None in found.values():
            text = f"The model's answer in run {origin.run}, which was to be read again, is gone."
            gone.append(failed(origin.data_row_id, None, "predict", "answer_gone", text, retryable=True))
            continue
        for kind, line in found.items():
            picked[kind].append(line or b"")
    if answers:
        write_structs(context, context.files.ended("predict", shard), gone)
        for kind, lines in picked.items():
            context.store.put_lines(context.files.shard(kind, shard), lines)
    if earlier:
        write_structs(context, context.files.shard("earlier", shard), earlier)
    return len(picked["answers"])


def earlier_of(context: Context, shard: int) -> dict[str, list[Earlier]]:
    """Row id -> annotations that earlier runs have sent of it; empty in a first run.

    Raises:
        StorageError: The run's own files cannot be read.
    """
    found: dict[str, list[Earlier]] = {}
    if context.spec.follows:
        try:
            for line in context.store.lines(context.files.shard("earlier", shard)):
                each = _EARLIER.decode(line)
                found.setdefault(each.data_row_id, []).append(each)
        except NotFoundError:
            pass
    return found
