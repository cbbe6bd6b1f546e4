"""Four hundred photographs as JPEG, of the size that COCO's have, and a plain fast server for them.

They are crops of the photographs inside the scikit-image and scikit-learn wheels. The server runs in a process of its
own (``python -m bench.photos``, photographs on stdin) so that its work is not counted as the client's.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import msgspec
from PIL import Image

__all__ = ["COUNT", "photographs", "serving"]

COUNT = 400
_SIZE = (640, 480)
_QUALITY = 95
_SKIMAGE = (
    "astronaut.png", "brick.png", "chelsea.png", "coffee.png", "grass.png", "gravel.png", "hubble_deep_field.jpg",
    "ihc.png", "motorcycle_left.png", "motorcycle_right.png", "rocket.jpg",
)  # fmt: skip
_SKLEARN = ("china.jpg", "flower.jpg")


def _originals() -> list[Image.Image]:
    import skimage
    import sklearn

    folder = Path(skimage.__file__).parent / "data"
    images = Path(sklearn.__file__).parent / "datasets" / "images"
    paths = [folder / name for name in _SKIMAGE] + [images / name for name in _SKLEARN]
    opened = []
    for path in paths:
        with Image.open(path) as image:
            opened.append(image.convert("RGB"))
    return opened


def photographs(count: int = COUNT) -> list[bytes]:
    """JPEG files of 640 x 480 pixels, all different, the same each time."""
    originals = _originals()
    dice = random.Random(11)
    made = []
    for number in range(count):
        original = originals[number % len(originals)]
        share = 0.5 + dice.random() * 0.5
        width = min(original.width, original.height * 4 / 3) * share
        height = width * 3 / 4
        left, top = dice.random() * (original.width - width), dice.random() * (original.height - height)
        crop = original.resize(_SIZE, Image.Resampling.BICUBIC, box=(left, top, left + width, top + height))
        file = io.BytesIO()
        crop.save(file, "JPEG", quality=_QUALITY)
        made.append(file.getvalue())
    return made


class _Protocol(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, GET only: ``/<number>.jpg``, one write an answer."""

    def __init__(self, photos: list[bytes]) -> None:
        self._photos = photos
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        *requests, self._rest = (self._rest + data).split(b"\r\n\r\n")
        for request in requests:
            path = request.split(b" ", 2)[1]
            photo = self._photos[int(path[1:].partition(b".")[0])]
            head = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(photo)
            self._transport.write(head + photo)


async def _serve(photos: list[bytes]) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Protocol(photos), "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.buffer.read)  # until the parent is gone
    server.close()


@contextlib.contextmanager
def serving(photos: list[bytes]) -> Iterator[list[str]]:
    """A server of the photographs in its own process; gives their URLs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.photos"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        packed = msgspec.msgpack.encode(photos)
        process.stdin.write(len(packed).to_bytes(8, "big") + packed)
        process.stdin.flush()
        port = int(process.stdout.readline())
        yield [f"http://127.0.0.1:{port}/{number}.jpg" for number in range(len(photos))]
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


def main() -> None:
    size = int.from_bytes(sys.stdin.buffer.read(8), "big")
    photos = msgspec.msgpack.decode(sys.stdin.buffer.read(size), type=list[bytes])
    with contextlib.suppress(ImportError):
        import uvloop

        uvloop.install()
    asyncio.run(_serve(photos))


if __name__ == "__main__":
    main()
