"""Assets on their way: in memory while small, in a nameless file when large, the same to whoever reads them."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vertex_model_inference.steps.spool import Spool, Spooled
from vertex_model_inference.steps.unpacking import PackingError, Unpacker


@given(st.lists(st.binary(max_size=40), max_size=12), st.integers(1, 60))
def test_what_goes_in_comes_out(chunks: list[bytes], in_memory: int) -> None:
    whole = b"".join(chunks)
    spool = Spool(in_memory=in_memory)
    for chunk in chunks:
        spool.add(chunk)
    closed: list[bool] = []
    with spool.done("image/png", lambda: closed.append(True)) as asset:
        assert asset.in_memory == (len(whole) <= in_memory)
        assert (asset.size, asset.digest) == (len(whole), hashlib.sha256(whole).hexdigest())
        assert asset.data == whole
        assert asset.file().read() == whole
        assert asset.file().read() == whole
        assert asset.content_type == "image/png"
    asset.close()
    assert closed == [True]


def test_a_large_one_leaves_no_name_behind(tmp_path: Path) -> None:
    folder = tmp_path / "made when needed"
    spool = Spool(folder, in_memory=10)
    spool.add(b"x" * 10)
    assert not folder.exists()
    spool.add(b"y")
    assert folder.exists()
    assert list(folder.iterdir()) == []
    with spool.done() as asset:
        assert asset.data == b"x" * 10 + b"y"


def test_bytes_that_are_there_already() -> None:
    with Spooled.of(b"abc") as asset:
        assert asset.in_memory
        assert asset.digest == hashlib.sha256(b"abc").hexdigest()


def _raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": lambda data: gzip.compress(data[:7]) + gzip.compress(data[7:]),
    "deflate": zlib.compress,
    "Deflate": _raw_deflate,
    "identity": bytes,
}


def _unpacked(encoding: str, packed: bytes, step: int) -> bytes:
    unpacker = Unpacker(encoding)
    out = b"".join(
        piece for start in range(0, len(packed), step) for piece in unpacker.feed(packed[start : start + step])
    )
    unpacker.end()
    return out


@given(st.sampled_from(sorted(PACKERS)), st.binary(max_size=200), st.integers(1, 40))
def test_an_encoding_is_undone_whatever_the_chunks(encoding: str, data: bytes, step: int) -> None:
    assert _unpacked(encoding, PACKERS[encoding](data), step) == data


@given(st.sampled_from(("gzip", "deflate")), st.binary(min_size=1, max_size=200), st.integers(1, 6))
def test_what_ends_in_the_middle_is_no_asset(encoding: str, data: bytes, missing: int) -> None:
    with pytest.raises(PackingError):
        _unpacked(encoding, PACKERS[encoding](data)[:-missing], 7)


@given(st.binary(max_size=60), st.sampled_from(("gzip", "deflate")))
def test_any_bytes_are_unpacked_or_refused(data: bytes, encoding: str) -> None:
    with contextlib.suppress(PackingError):
        _unpacked(encoding, data, 5)


def test_pieces_are_small_however_much_a_chunk_stands_for() -> None:
    unpacker = Unpacker("gzip")
    sizes = [len(piece) for piece in unpacker.feed(gzip.compress(b"\0" * (20 << 20)))]
    assert sum(sizes) == 20 << 20
    assert max(sizes) <= 1 << 20


def test_an_encoding_that_was_not_asked_for() -> None:
    with pytest.raises(PackingError, match="br"):
        Unpacker("br")
