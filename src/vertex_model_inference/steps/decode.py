"""decode and match: a shard's answers become Labelbox annotations, or outcomes.

The bridge between the pure parts: a decoder reads the model's JSON, the matcher finds the ontology's features, and the
NDJSON that will be uploaded is written, its lines' uuids derived from run, row and position so that the same run gives
the same lines again.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple, cast

import msgspec

from vertex_model_inference.decoders.base import Decoder
from vertex_model_inference.decoders.registry import by_name, recognise
from vertex_model_inference.errors import NotFoundError, VmiError
from vertex_model_inference.findings import Finding
from vertex_model_inference.labelbox import ndjson
from vertex_model_inference.ontology import Ontology
from vertex_model_inference.outcomes import Outcome
from vertex_model_inference.rows import DataRow
from vertex_model_inference.spec import Answer, Decoded, Staged
from vertex_model_inference.steps import gemini_requests
from vertex_model_inference.steps.context import Context, failed, read_rows, read_structs, write_structs
from vertex_model_inference.steps.match import Matcher

__all__ = ["DecodeDone", "decode_shard", "decoder_of"]

_SAMPLES = 16
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
    if not telling and gemini is None:
        # Nothing was found in any row: no form is needed to know that, and none can be learnt.
        decoded = [_nothing(row) for row, _ in _with_real_size(context, shard, answers)]
    else:
        decoder = gemini or decoder_of(context, telling)
        ontology = _ONTOLOGY.decode(context.store.get(files.ontology))
        matcher = Matcher(ontology, context.spec.option.rules)
        for row, answer in _with_real_size(context, shard, answers):
            notes: tuple[str, ...] = ()
            try:
                if gemini is not None:
                    read = gemini.read(bytes(answer.prediction), row)
                    findings, notes = cast(tuple[Finding, ...], read.findings), read.notes
                else:
                    findings = decoder.decode(bytes(answer.prediction), row)
                matched = matcher.match(findings, row)
                made = ndjson.lines(matched.annotations, row, _uuids(context.spec.run_id, row.id))
            except VmiError as error:
                step = "match" if error.error_code.startswith(("match", "unmapped", "ambiguous")) else "decode"
                text = str(error)
                ended.append(failed(row.id, row.global_key, step, error.error_code, text, retryable=error.retryable))
                continue
            lines += made
            decoded.append(
                Decoded(
                    data_row_id=row.id,
                    global_key=row.global_key,
                    annotations=len(made),
                    dropped=matched.dropped,
                    notes=(*notes, *matched.notes),
                )
            )
    write_structs(context, files.ended("decode", shard), ended)
    context.store.put_lines(files.shard("predictions", shard, "ndjson"), lines)
    write_structs(context, files.shard("decoded", shard), decoded)
    annotated = sum(1 for item in decoded if item.annotations)
    context.tell("decode", len(answers))
    return DecodeDone(annotated, len(decoded) - annotated, len(ended), len(lines))


def _nothing(row: DataRow) -> Decoded:
    return Decoded(data_row_id=row.id, global_key=row.global_key, annotations=0)


class _uuids:  # noqa: N801  # reads as a function where it is used
    """uuid of the row's n-th annotation."""

    def __init__(self, run_id: str, row_id: str) -> None:
        self._run_id = run_id
        self._row_id = row_id

    def __call__(self, index: int) -> str:
        return ndjson.row_uuid(self._run_id, self._row_id, index)


def _with_real_size(context: Context, shard: int, answers: list[Answer]) -> Iterator[tuple[DataRow, Answer]]:
    """Rows with the size that the picture's header gave, where it was read: Labelbox's own may differ."""
    rows = {row.id: row for row in read_rows(context, shard)}
    staged = {item.data_row_id: item for item in read_structs(context, context.files.shard("staged", shard), Staged)}
    for answer in answers:
        row = rows[answer.data_row_id]
        real = staged[answer.data_row_id]
        if real.width and real.height:
            row = msgspec.structs.replace(row, width=real.width, height=real.height)
        yield row, answer
