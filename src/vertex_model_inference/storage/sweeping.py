"""Removing assets beside runs that begin: who removes says so first and then looks for runs; a run first shows that it
is there and then looks whether somebody removes. Whichever comes second sees the other, so that no run takes an asset
for copied that is removed the next moment.

``sweeping.json`` is there while assets are removed; its ``at`` is renewed, so that one left by a killed process is told
from one in use. ``swept.json`` holds the assets' generation, a new one after each removal: what an index remembers of
earlier ones is not believed.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import msgspec

from vertex_model_inference.errors import ConflictError, NotFoundError
from vertex_model_inference.storage.store import Store

__all__ = ["Sweep", "generation", "sweep", "wait_while_swept"]

_SWEEPING, _SWEPT = "sweeping.json", "swept.json"
STALE_S = 300.0
"""Who has not renewed its word for so long is taken to be dead."""
_RENEW_S = 30.0
_PATIENCE_S = 900.0


class _Word(msgspec.Struct):
    """Who removes assets, and when it last said so (RFC 3339)."""

    who: str
    at: str


_WORD = msgspec.json.Decoder(_Word)
_GENERATION = msgspec.json.Decoder(str)


def generation(store: Store) -> str:
    """The assets' generation; empty: none was ever removed.

    Raises:
        StorageError: Storage did not answer.
    """
    try:
        return _GENERATION.decode(store.get(_SWEPT))
    except NotFoundError:
        return ""


def _word(store: Store) -> _Word | None:
    """The word of who removes assets now; None: nobody, or nobody alive."""
    try:
        word = _WORD.decode(store.get(_SWEEPING))
    except NotFoundError:
        return None
    idle = (datetime.now(UTC) - datetime.fromisoformat(word.at)).total_seconds()
    return word if idle < STALE_S else None


def wait_while_swept(store: Store, patience_s: float = _PATIENCE_S) -> None:
    """Return when nobody removes assets. To be called when the run can be seen, before it looks at any asset.

    Raises:
        ConflictError: It takes longer than ``patience_s``.
        StorageError: Storage did not answer.
    """
    end = time.monotonic() + patience_s
    while (word := _word(store)) is not None:
        if time.monotonic() > end:
            raise ConflictError(
                f"Assets are being removed since long ({word.who}).",
                code="sweeping",
                hint="Wait for the end of `vmi gc`, then run again.",
                retryable=True,
            )
        time.sleep(0.5)


class Sweep:
    """A removal of assets that goes on.

    Args:
        store: Where they are.
        who: Its name.
    """

    def __init__(self, store: Store, who: str) -> None:
        self._store = store
        self._who = who
        self._said = time.monotonic()

    def go_on(self) -> None:
        """To be called between removals: renews the word, and makes sure that it is still ours.

        Raises:
            ConflictError: Another process took over, since this one was too slow.
            StorageError: Storage did not answer.
        """
        if time.monotonic() - self._said < _RENEW_S:
            return
        word = _word(self._store)
        if word is None or word.who != self._who:
            raise ConflictError(
                "The removal of assets was interrupted for too long; what is left stays.", hint="Run `vmi gc` again."
            )
        self._store.put(_SWEEPING, _said(self._who))
        self._said = time.monotonic()


def _said(who: str) -> bytes:
    return msgspec.json.encode(_Word(who, datetime.now(UTC).isoformat(timespec="milliseconds")))


@contextmanager
def sweep(store: Store) -> Iterator[Sweep]:
    """Say that assets are removed, for the time of a ``with`` block; afterwards they are of a new generation.

    Raises:
        ConflictError: Another process removes assets.
        StorageError: Storage did not answer.
    """
    who = uuid.uuid4().hex
    if _word(store) is not None:
        raise ConflictError("Another `vmi gc` removes assets.", hint="Wait for its end.")
    store.delete(_SWEEPING)  # a dead one's
    if not asyncio.run(store.aput_new(_SWEEPING, _said(who))):
        raise ConflictError("Another `vmi gc` began at the same moment.", hint="Wait for its end.")
    try:
        # Before anything is removed: also a process that is killed in the middle leaves a new generation.
        store.put(_SWEPT, msgspec.json.encode(uuid.uuid4().hex[:8]))
        yield Sweep(store, who)
    finally:
        word = _word(store)
        if word is not None and word.who == who:
            store.delete(_SWEEPING)
