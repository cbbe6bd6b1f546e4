"""decode and match: a shard's answers become Labelbox annotations, or outcomes.

The bridge between the pure parts: a decoder reads the model's JSON, the matcher finds the ontology's features, and the
NDJSON that will be uploaded is written, its lines' uuids derived from run, row and position so that the same run gives
the same lines again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import msgspec

from vertex_model_inference.decoders.base import Decoder
from vertex_model_inference.decoders.registry import by_name, recognise
from vertex_model_inference.errors import NotFoundError, VmiError
from vertex_model_inference.findings import Finding
from vertex_model_inference.gemini.decoder import GeminiDecoder
from vertex_model_inference.labelbox import ndjson
from vertex_model_inference.ontology import Ontology
from vertex_model_inference.outcomes import Outcome
from vertex_model_inference.rows import DataRow
from vertex_model_inference.sources import Source
from vertex_model_inference.spec import Answer, Decoded, Staged
from vertex_model_inference.steps import gemini_requests
from vertex_model_inference.steps.context import Context, failed, read_rows, read_structs, write_structs
from vertex_model_inference.steps.match import Matcher
from vertex_model_inference.steps.place import Placed, needs_placing, needs_source, place
from vertex_model_inference.steps.recall import Earlier, earlier_of
from vertex_model_inference.steps.resent import settle
from vertex_model_inference.steps.sources import sources_of
from vertex_model_inference.steps.turning import turned_back
from vertex_model_inference.steps.video_staging import with_real_frames

__all__ = ["DecodeDone", "decode_shard", "decoder_of"]

_SAMPLES = 16
_TOGETHER = 64
"""Rows whose texts are held in memory at once, where places must be found in them."""
_NOTHING = frozenset((b"[]", b"{}"))
"""Answers that are empty in every form."""
_ONTOLOGY = msgspec.json.Decoder(Ontology)


class DecodeDone(NamedTuple):
    """Rows with annotations to upload, rows with none, rows that failed here, and lines of NDJSON."""

    annotated: int
    empty: int
    ended: int
    lines: int


def decoder_of(context: Context, samples: list[bytes]) -> Decoder:
    """The run's decoder: chosen once, by the first answers that come in, and remembered in the run's folder.

    Raises:
        UnknownOutputError: Nothing recognises what the model answers.
    """
    path = f"{context.files.folder}/decoder.json"
    option = context.spec.option
    try:
        return by_name(msgspec.json.decode(context.store.get(path), type=str), option.class_names, option.mapping)
    except NotFoundError:
        decoder = recognise(samples, option)
        context.store.put(path, msgspec.json.encode(decoder.name))
        return decoder


def decode_shard(context: Context, shard: int) -> DecodeDone:
    """Decode and match one shard; writes ``predictions/``, ``decoded/`` and ``ended/decode-``.

    Raises:
        UnknownOutputError: Nothing recognises what the model answers.
        StorageError: The run's own files cannot be read or written.
    """
    files = context.files
    answers = read_structs(context, files.shard("answers", shard), Answer)
    lines: list[bytes] = []
    decoded: list[Decoded] = []
    ended: list[Outcome] = []
    raws = (bytes(answer.prediction) for answer in answers)
    telling = list(islice((raw for raw in raws if raw not in _NOTHING), _SAMPLES))
    gemini = None if context.spec.option.gemini is None else gemini_requests.decoder_of(context)
    earlier = earlier_of(context, shard)
    if not telling and gemini is None:
        # Nothing was found in any row: no form is needed to know that, and none can be learnt.
        decoded = [_nothing(row, earlier.get(row.id, ())) for row, _, _ in _with_real_size(context, shard, answers)]
    else:
        decoder = gemini or decoder_of(context, telling)
        ontology = _ONTOLOGY.decode(context.store.get(files.ontology))
        matcher = Matcher(ontology, context.spec.option.rules)
        for row, placed in _found(context, shard, decoder, answers):
            try:
                if isinstance(placed, VmiError):
                    raise placed
                matched = matcher.match(placed.findings, row)
                made = ndjson.lines(matched.annotations, row, _uuids(context.spec.run_id, row.id))
            except VmiError as error:
                step = "match" if error.error_code.startswith(("match", "unmapped", "ambiguous")) else "decode"
                text = str(error)
                ended.append(failed(row.id, row.global_key, step, error.error_code, text, retryable=error.retryable))
                continue
            settled = settle(made, earlier.get(row.id, ()))
            lines += settled.lines
            decoded.append(
                Decoded(
                    data_row_id=row.id,
                    global_key=row.global_key,
                    annotations=len(made),
                    dropped=_sum(matched.dropped, placed.dropped),
                    notes=matched.notes + placed.notes,
                    left=settled.left,
                )
            )
    write_structs(context, files.ended("decode", shard), ended)
    context.store.put_lines(files.shard("predictions", shard, "ndjson"), lines)
    write_structs(context, files.shard("decoded", shard), decoded)
    annotated = sum(1 for item in decoded if item.annotations)
    context.tell("decode", len(answers))
    return DecodeDone(annotated, len(decoded) - annotated, len(ended), len(lines))


def _nothing(row: DataRow, earlier: Sequence[Earlier]) -> Decoded:
    return Decoded(data_row_id=row.id, global_key=row.global_key, annotations=0, left=settle((), earlier).left)


class _uuids:  # noqa: N801  # reads as a function where it is used
    """uuid of the row's n-th annotation."""

    def __init__(self, run_id: str, row_id: str) -> None:
        self._run_id = run_id
        self._row_id = row_id

    def __call__(self, index: int) -> str:
        return ndjson.row_uuid(self._run_id, self._row_id, index)


def _with_real_size(context: Context, shard: int, answers: list[Answer]) -> Iterator[tuple[DataRow, Answer, Staged]]:
    """Rows with what was seen of the asset itself: the size that a picture's header gave (Labelbox's own may differ),
    the length of a text, the sizes of a document's pages."""
    rows = {row.id: row for row in read_rows(context, shard)}
    staged = {item.data_row_id: item for item in read_structs(context, context.files.shard("staged", shard), Staged)}
    for answer in answers:
        row = rows[answer.data_row_id]
        real = staged[answer.data_row_id]
        if real.width and real.height:
            row = with_real_frames(context, msgspec.structs.replace(row, width=real.width, height=real.height), real)
        elif real.text_length is not None or real.page_sizes:
            row = msgspec.structs.replace(row, text_length=real.text_length, page_sizes=real.page_sizes)
        yield row, answer, real


def _found(
    context: Context, shard: int, decoder: Decoder, answers: list[Answer]
) -> Iterator[tuple[DataRow, Placed | VmiError]]:
    """What the model found in each row, with its places; or why that cannot be told.

    Rows go through in groups, so that the texts which places are looked for in are read together and soon forgotten.
    """
    turning = context.spec.option.exif == "applied"
    left = _with_real_size(context, shard, answers)
    while part := list(islice(left, _TOGETHER)):
        found: dict[str, tuple[Finding, ...] | VmiError] = {}
        notes: dict[str, tuple[str, ...]] = {}
        wanting: list[DataRow] = []
        for row, answer, staged in part:
            try:
                if turning and staged.orientation is not None:
                    findings = turned_back(decoder, bytes(answer.prediction), row, staged.orientation)
                else:
                    findings = decoder.decode(bytes(answer.prediction), row)
            except VmiError as error:
                found[row.id] = error
                continue
            found[row.id] = findings
            notes[row.id] = staged.notes + (decoder.notes if isinstance(decoder, GeminiDecoder) else ())
            if needs_source(findings, row):
                wanting.append(row)
        sources = sources_of(context, wanting, {item.data_row_id: item for _, _, item in part}) if wanting else {}
        for row, _, _ in part:
            placed = _placed(row, found[row.id], sources.get(row.id))
            if isinstance(placed, Placed) and notes.get(row.id):
                placed = placed._replace(notes=notes[row.id] + placed.notes)
            yield row, placed


def _placed(row: DataRow, found: tuple[Finding, ...] | VmiError, source: Source | VmiError | None) -> Placed | VmiError:
    if isinstance(found, VmiError):
        return found
    if isinstance(source, VmiError):
        return source
    if not needs_placing(found, row):
        return Placed(found, {}, ())
    try:
        return place(found, row, source)
    except VmiError as error:
        return error


def _sum(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return {label: one.get(label, 0) + other.get(label, 0) for label in one | other} if other else one
