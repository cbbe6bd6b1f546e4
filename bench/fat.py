"""A server of JPEG files of any size, all different: ``/<number>-<bytes>.jpg``. In its own process, nothing kept.

Each is one small photograph with zeros behind its end, which readers of JPEG do not look at, and its number at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import subprocess
import sys
from collections.abc import Iterator

from PIL import Image

__all__ = ["serving"]

_BLOCK = 1 << 16


def _photograph() -> bytes:
    out = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(out, "JPEG")
    return out.getvalue()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, photo: bytes) -> None:
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while True:
            request = await reader.readuntil(b"\r\n\r\n")
            number, _, size = request.split(b" ", 2)[1][1:].partition(b".")[0].partition(b"-")
            length = max(int(size), len(photo) + 20)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % length)
            writer.write(photo)
            left = length - len(photo) - 20
            zeros = bytes(_BLOCK)
            while left > 0:
                writer.write(zeros[: min(left, _BLOCK)])
                left -= _BLOCK
                await writer.drain()
            writer.write(number.rjust(20))
            await writer.drain()
    writer.close()


async def _serve() -> None:
    photo = _photograph()
    server = await asyncio.start_server(lambda r, w: _answer(r, w, photo), "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.buffer.read)  # until the parent is gone
    server.close()


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """The server; gives its base URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.fat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


if __name__ == "__main__":
    asyncio.run(_serve())
