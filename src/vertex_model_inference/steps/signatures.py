"""Signed URLs are keys: they are in a run's files only as long as the run needs them.

Labelbox exports an asset's URL with its signature. The steps read it from ``rows/``; when a shard has its outcomes,
what stands behind each ``=`` of the query is taken out of that file.
"""

from __future__ import annotations

import re

import msgspec

from vertex_model_inference.rows import DataRow
from vertex_model_inference.steps.context import Context, read_rows, write_structs
from vertex_model_inference.steps.media import looks_like_url

__all__ = ["strip_open_shards", "strip_shard", "unsigned"]

HIDDEN = "***"
_VALUE = re.compile(r"(?<==)[^&#]+")


def unsigned(url: str) -> str:
    """A URL with its query's values (all of them: names tell nothing of secrecy) as stars.

    A query without ``=`` becomes stars as a whole, and so does a user name or password. Texts, and ``gs://`` names,
    which have no query, are left as they are.
    """
    if not looks_like_url(url) or url.startswith("gs://"):
        return url
    base, mark, query = url.partition("?")
    scheme, _, rest = base.partition("://")
    host, slash, path = rest.partition("/")
    if "@" in host:
        base = f"{scheme}://{HIDDEN}@{host.rpartition('@')[2]}{slash}{path}"
    if not mark or not query:
        return f"{base}{mark}"
    return f"{base}?{_VALUE.sub(HIDDEN, query) if '=' in query else HIDDEN}"


def _stripped(row: DataRow) -> DataRow:
    layer = None if row.text_layer is None else unsigned(row.text_layer)
    return msgspec.structs.replace(row, row_data=unsigned(row.row_data), text_layer=layer)


def strip_shard(context: Context, shard: int, rows: list[DataRow] | None = None) -> None:
    """Take the signatures out of a shard's ``rows/``. Called again, it finds nothing to do.

    Args:
        context: The run.
        shard: Its number.
        rows: The file's content, when it is known.

    Raises:
        StorageError: It cannot be read or written.
    """
    rows = read_rows(context, shard) if rows is None else rows
    stripped = [_stripped(row) for row in rows]
    if stripped != rows:
        write_structs(context, context.files.shard("rows", shard), stripped)


def strip_open_shards(context: Context) -> None:
    """Likewise for shards that were exported and never came to an end, since the run ended before.

    Raises:
        StorageError: The run's files cannot be read or written.
    """
    ended = {entry.path.rsplit("/", 1)[-1] for entry in context.store.entries(context.files.outcomes_folder)}
    for entry in context.store.entries(f"{context.files.folder}/rows"):
        name = entry.path.rsplit("/", 1)[-1]
        if name not in ended:
            strip_shard(context, int(name.partition(".")[0]))
