"""When a row counts as the same: what the model was asked with, what its answers were read with, and the row itself.

Two fingerprints of a run: ``asked`` covers all that decides what the model answers (model and version, template,
parameters, prompt), ``judged`` all that decides what becomes of an answer (decoder, classes, thresholds, ontology). A
row's own is made of the first and of its content. A URL counts without its query, since signatures change with each
export: a row whose asset is replaced gets another URL from Labelbox. Neither fingerprint knows what stands behind an
address that stays the same: an asset overwritten in place, or a container that serves another model. For those there
is ``--again``.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec

from vertex_model_inference.errors import NotFoundError
from vertex_model_inference.models import ModelOption
from vertex_model_inference.rows import DataRow
from vertex_model_inference.spec import Files, RunSpec
from vertex_model_inference.steps.media import looks_like_url
from vertex_model_inference.storage.store import Store

__all__ = ["Fingerprints", "fingerprints", "mark", "row_fingerprint", "stored"]

_READING = 1
"""Raised when a release reads the same answers into other annotations, so that they are read again."""

_OWN = "file:"


class Fingerprints(msgspec.Struct, frozen=True):
    """Of a run: ``asked`` and ``judged``, 16 hexadecimal digits each."""

    asked: str
    judged: str


_DECODER = msgspec.json.Decoder(Fingerprints)
_SPEC = msgspec.json.Decoder(RunSpec)


def fingerprints(spec: RunSpec, ontology: bytes) -> Fingerprints:
    """The run's fingerprints. Pure but for a decoder of the user's own, whose file is read.

    Args:
        spec: The run.
        ontology: The content of its ``ontology.json``.
    """
    spec = _SPEC.decode(msgspec.json.encode(spec))  # as every run has it: 0 from vmi.toml is 0.0 there
    option = spec.option
    model = option.model
    asked: dict[str, Any] = {
        "model": None if model is None else (model.name, model.version),
        # Of a model in the registry the endpoint does not matter: the version answers the same everywhere.
        "address": (option.container, None if model is not None else option.endpoint),
        "instance": option.instance,
        "parameters": option.parameters,
        "task": option.task,
        "gemini": option.gemini,
        "ontology": None if option.gemini is None else ontology.decode(),  # its prompt is made of it
    }
    delivery = spec.delivery
    places = (*(delivery.destinations or ()), delivery.fallback)
    judged: dict[str, Any] = {
        "reading": _READING,
        "decoder": _decoder(option),
        "class_names": option.class_names,
        "mapping": option.mapping,
        "rules": option.rules,
        "exif": option.exif,
        "gemini": option.gemini,
        "ontology": ontology.decode(),
        "project": delivery.project if "project" in places else None,
    }
    return Fingerprints(_digest(asked), _digest(judged))


def stored(store: Store, files: Files) -> Fingerprints | None:
    """The fingerprints of a run as it wrote them; None: it is of a release that wrote none, or never came so far.

    Raises:
        StorageError: Storage did not answer.
    """
    try:
        return _DECODER.decode(store.get(files.fingerprints))
    except (NotFoundError, msgspec.MsgspecError):
        return None


def mark(row_id: str) -> int:
    """A row's id as 8 bytes: a million rows have two that are the same by a chance of 1 in 10**7."""
    return int.from_bytes(hashlib.blake2b(row_id.encode(), digest_size=8).digest(), "big")


def row_fingerprint(asked: str, row: DataRow) -> int:
    """What the model was asked about a row: 8 bytes of the run's ``asked``, the row's id, kind and content."""
    content = "\0".join((asked, row.id, row.media_type, _source(row.row_data), _source(row.text_layer or "")))
    return int.from_bytes(hashlib.blake2b(content.encode("utf-8", "replace"), digest_size=8).digest(), "big")


def _source(data: str) -> str:
    """A text as it is; a URL without user name, query and fragment, also after these were taken out of the file."""
    if not looks_like_url(data) or data.startswith("gs://"):
        return data
    scheme, _, rest = data.partition("#")[0].partition("?")[0].partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def _decoder(option: ModelOption) -> str | None:
    """The decoder's name; of a file of the user's own also what is in it."""
    name = option.decoder
    if name is None or not name.startswith(_OWN):
        return name
    path = Path(name.removeprefix(_OWN).rpartition(":")[0])
    try:
        return f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}"
    except OSError:
        return name  # the decoding itself says that there is no such file


def _digest(value: dict[str, Any]) -> str:
    return hashlib.blake2b(msgspec.json.encode(_plain(value), order="deterministic"), digest_size=8).hexdigest()


def _plain(value: Any) -> Any:
    """A value without what is at its default, so that a release with more settings has the same fingerprints."""
    if isinstance(value, msgspec.Struct):
        fields = msgspec.structs.fields(value)
        told = {field.name: (getattr(value, field.name), field.default) for field in fields}
        return {name: _plain(given) for name, (given, default) in told.items() if given != default}
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return value
