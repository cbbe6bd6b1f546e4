"""One line of a model run's export -> ``DataRow`` and labels. Pure, and fast enough for the hot path.

Format: the "export v2" row of labelbox 7.17.0 with data row details and model run details. Only what is read is typed;
everything else is skipped without being decoded.
"""

from __future__ import annotations

from typing import Any

import msgspec

from vertex_model_inference.errors import RowError
from vertex_model_inference.rows import DataRow, MediaType, Split

__all__ = ["labels_of", "parse_export_row"]


class _Row(msgspec.Struct):
    id: str
    row_data: str | dict[str, Any]
    global_key: str | None = None
    external_id: str | None = None


class _Media(msgspec.Struct):
    height: float | None = None
    width: float | None = None
    mime_type: str | None = None
    asset_type: str | None = None
    frame_rate: float | None = None
    frame_count: float | None = None


class _Details(msgspec.Struct):
    data_split: str | None = None


class _Run(msgspec.Struct):
    data_split: str | None = None
    run_details: _Details | None = None
    model_run_details: _Details | None = None


class _Experiment(msgspec.Struct):
    runs: dict[str, _Run] | None = None


class _Line(msgspec.Struct):
    data_row: _Row
    media_attributes: _Media | None = None
    experiments: dict[str, _Experiment] | None = None


class _LabelledRun(msgspec.Struct):
    labels: list[dict[str, Any]] | None = None


class _LabelledExperiment(msgspec.Struct):
    runs: dict[str, _LabelledRun] | None = None


class _LabelledLine(msgspec.Struct):
    experiments: dict[str, _LabelledExperiment] | None = None


class _OnlyId(msgspec.Struct):
    id: msgspec.Raw


class _Named(msgspec.Struct):
    data_row: _OnlyId


_LINE = msgspec.json.Decoder(_Line)
_LABELS = msgspec.json.Decoder(_LabelledLine)
_NAMED = msgspec.json.Decoder(_Named)
_OBJECT: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])
_EMPTY = _Media()
_SPLITS = {
    "TRAINING": Split.TRAINING,
    "TRAIN": Split.TRAINING,
    "VALIDATION": Split.VALIDATION,
    "TEST": Split.TEST,
    "UNASSIGNED": Split.UNASSIGNED,
}
_MIMES = {
    "text/plain": MediaType.TEXT,
    "text/html": MediaType.HTML,
    "application/pdf": MediaType.DOCUMENT,
    "application/vnd.labelbox.conversational": MediaType.CONVERSATION,
    "application/vnd.labelbox.conversational+json": MediaType.CONVERSATION,
    "application/vnd.labelbox.conversational.model-chat-evaluation": MediaType.CONVERSATION,
    "application/vnd.labelbox.tms": MediaType.TILED_IMAGE,
}
_KINDS = {
    "image": MediaType.IMAGE,
    "text": MediaType.TEXT,
    "video": MediaType.VIDEO,
    "audio": MediaType.AUDIO,
    "html": MediaType.HTML,
    "document": MediaType.DOCUMENT,
    "pdf": MediaType.DOCUMENT,
    "conversational": MediaType.CONVERSATION,
    "conversation": MediaType.CONVERSATION,
    "tms_geo": MediaType.TILED_IMAGE,
    "geospatial_tile": MediaType.TILED_IMAGE,
    "tiled_image": MediaType.TILED_IMAGE,
}
# Where a row's data is an object (PDF with text layer, tiles), the key of the asset itself, and what that tells of it.
# Exports write the object itself or the same as a string (docs.labelbox.com/reference/import-document-data and
# import-tiled-imagery-data; the SDK's own tests of data rows).
_ASSET_KEYS = {
    "pdf_url": MediaType.DOCUMENT,
    "pdfUrl": MediaType.DOCUMENT,
    "tile_layer_url": MediaType.TILED_IMAGE,
    "tileLayerUrl": MediaType.TILED_IMAGE,
    "url": MediaType.UNKNOWN,
}
_TEXT_LAYER_KEYS = ("text_layer_url", "textLayerUrl")
_CONVERSATIONAL = "application/vnd.labelbox.conversational"


def parse_export_row(line: bytes, model_run_id: str) -> DataRow:
    """A line of the export of ``model_run_id`` -> the data row.

    The split is read from ``experiments.*.runs[model_run_id].data_split`` or from that run's details, in any case.

    Raises:
        RowError: ``export_row``, the line is not of the form expected; names the row where it has an id.
    """
    try:
        row = _LINE.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _bad(line, str(error)) from None
    data = row.data_row
    if not data.id:
        raise _bad(line, "data_row.id is empty")
    media = row.media_attributes or _EMPTY
    kind = _media_type(media)
    asset, text_layer = data.row_data, None
    if not isinstance(asset, str) or asset.startswith("{"):
        asset, text_layer, kind = _asset(asset, kind)
    return DataRow(
        id=data.id,
        row_data=asset,
        global_key=data.global_key,
        external_id=data.external_id,
        media_type=kind,
        mime_type=media.mime_type,
        width=_pixels(media.width),
        height=_pixels(media.height),
        split=_split(row.experiments, model_run_id),
        text_layer=text_layer,
        frame_rate=_rate(media.frame_rate),
        frame_count=_pixels(media.frame_count),
    )


def labels_of(line: bytes, model_run_id: str) -> tuple[dict[str, Any], ...]:
    """The labels of the row in that model run, as Labelbox exports them.

    Raises:
        RowError: As ``parse_export_row``.
    """
    try:
        row = _LABELS.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _bad(line, str(error)) from None
    for experiment in (row.experiments or {}).values():
        run = (experiment.runs or {}).get(model_run_id)
        if run is not None:
            return tuple(run.labels or ())
    return ()


def _bad(line: bytes, why: str) -> RowError:
    try:
        row_id = msgspec.json.decode(_NAMED.decode(line).data_row.id, type=str) or None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        row_id = None
    which = f"data row {row_id}" if row_id else "a data row without a readable id"
    return RowError(
        f"The export line of {which} is not of the form expected: {why}.",
        code="export_row",
        hint="Labelbox may have changed its export format; see the run's raw export.",
        data_row_id=row_id,
    )


def _asset(given: str | dict[str, Any], kind: MediaType) -> tuple[str, str | None, MediaType]:
    """The asset's URL (or its JSON itself), the URL of its text layer, and its kind where nothing else told it."""
    data: Any = given
    if isinstance(given, str):
        # A text may begin with a brace too; only what names an asset, or is of a kind that is JSON, is taken apart.
        if kind not in (MediaType.UNKNOWN, MediaType.DOCUMENT, MediaType.TILED_IMAGE):
            return given, None, kind
        try:
            data = _OBJECT.decode(given)
        except (msgspec.MsgspecError, RecursionError):
            return given, None, kind
    for key, told in _ASSET_KEYS.items():
        value = data.get(key)
        if isinstance(value, str):
            layer = next((data[name] for name in _TEXT_LAYER_KEYS if isinstance(data.get(name), str)), None)
            return value, layer or None, told if kind is MediaType.UNKNOWN else kind
    if kind is MediaType.UNKNOWN and str(data.get("type", "")).startswith(_CONVERSATIONAL):
        kind = MediaType.CONVERSATION
    return given if isinstance(given, str) else msgspec.json.encode(given).decode(), None, kind


def _pixels(value: float | None) -> int | None:
    return int(value) if value is not None and 0 < value < 2**31 else None


def _rate(value: float | None) -> float | None:
    return value if value is not None and 0 < value < 1e6 else None


def _media_type(media: _Media) -> MediaType:
    mime = media.mime_type
    if mime:
        found = _MIMES.get(mime)
        if found is not None:
            return found
        plain = mime.lower().partition(";")[0].strip()
        found = _MIMES.get(plain) or _KINDS.get(plain.partition("/")[0])
        if found is not None:
            return found
    if media.asset_type:
        found = _KINDS.get(media.asset_type.lower())
        if found is not None:
            return found
    if media.width and media.height:
        return MediaType.VIDEO if media.frame_rate else MediaType.IMAGE
    return MediaType.UNKNOWN


def _split(experiments: dict[str, _Experiment] | None, model_run_id: str) -> Split:
    for experiment in (experiments or {}).values():
        run = (experiment.runs or {}).get(model_run_id)
        if run is None:
            continue
        details = run.model_run_details or run.run_details
        word = run.data_split or (details.data_split if details else None)
        return _SPLITS.get(word.upper(), Split.UNASSIGNED) if word else Split.UNASSIGNED
    return Split.UNASSIGNED
