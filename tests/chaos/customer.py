"""The customer's side, in a process of its own: a web server with pictures, and a model's container.

Both can be broken as the sandbox's servers can (``POST /_sandbox/faults``). The picture ``/pictures/<any>/<n>.png`` is
one of a kind for each n, and on it the model finds n modulo 3 boxes, so that what a run must bring is known beforehand.
"""

from __future__ import annotations

import contextlib
import io
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from vertex_model_inference.sandbox.child import run_in_thread
from vertex_model_inference.sandbox.faults import FaultMiddleware

__all__ = ["boxes_on", "running"]


def boxes_on(number: int) -> int:
    """How many boxes the model finds on a picture."""
    return number % 3


def _number(url: str) -> int:
    return int(url.rsplit("/", 1)[-1].removesuffix(".png"))


def _answer(url: str) -> list[dict[str, Any]]:
    """Boxes in the form of Hugging Face's detection pipelines."""
    return [
        {"label": "thing", "score": 0.9, "box": {"xmin": 2 + i, "ymin": 3, "xmax": 12 + i, "ymax": 9}}
        for i in range(boxes_on(_number(url)))
    ]


async def _picture(request: Request) -> Response:
    number = _number(request.path_params["path"])
    out = io.BytesIO()
    Image.new("RGB", (40, 30), (number % 256, number // 256 % 256, 77)).save(out, "PNG")
    return Response(out.getvalue(), media_type="image/png")


async def _predict(request: Request) -> Response:
    instances = orjson.loads(await request.body())["instances"]
    return JSONResponse({"predictions": [_answer(instance["url"]) for instance in instances]})


async def _health(_: Request) -> Response:
    return PlainTextResponse("ok")


@contextlib.contextmanager
def running() -> Iterator[str]:
    """For the time of a ``with`` block; gives the base URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.customer"],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


def main() -> None:
    app = Starlette(
        routes=[
            Route("/pictures/{path:path}", _picture),
            Route("/predict", _predict, methods=["POST"]),
            Route("/health", _health),
        ]
    )
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        with run_in_thread(FaultMiddleware(app), sock):
            print(sock.getsockname()[1], flush=True)
            sys.stdin.read()  # until the parent is gone


if __name__ == "__main__":
    main()
