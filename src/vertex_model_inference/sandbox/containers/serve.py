"""Vertex's custom container contract, for a model that is a Python function.

A container is started with ``AIP_HTTP_PORT``, ``AIP_HEALTH_ROUTE``, ``AIP_PREDICT_ROUTE`` and ``AIP_STORAGE_URI`` in
its environment. It answers ``GET <health>`` with 200 once the model is loaded (503 before), and ``POST <predict>`` with
``{"instances": [...], "parameters": {...}}`` by ``{"predictions": [...]}`` of the same length and order.
(https://docs.cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements)

Ours differ from a real container in three ways, all on purpose: they bind 127.0.0.1 only; they end when their stdin
ends, so that none outlives the sandbox, whatever happens to it; and ``CONTAINER_SOCKET`` may name a bound socket that
they inherit, so that nobody else can be on their port.

A row that cannot be predicted becomes ``{"error": {"code", "message"}}`` in its place, with a google.rpc code, and
never fails its neighbours.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

__all__ = ["INTERNAL", "INVALID_ARGUMENT", "NOT_FOUND", "UNAVAILABLE", "InstanceError"]
__all__ += ["Forms", "Load", "Parameters", "Predict", "create_app", "each", "main"]

# google.rpc.Code
INVALID_ARGUMENT = 3
NOT_FOUND = 5
INTERNAL = 13
UNAVAILABLE = 14

MAX_BODY_BYTES = 128 * 1024 * 1024
MAX_WAITING = 256  # requests that wait for a worker before more are refused with 503

Parameters = dict[str, Any] | None
Predict = Callable[[list[Any], Parameters], list[Any]]


@dataclass(frozen=True)
class Forms:
    """A model that can answer in the forms of several families.

    Attributes:
        usual: Its own, at the predict route.
        others: Name -> predictions in that family's form, at ``<predict route>/<name>``.
    """

    usual: Predict
    others: Mapping[str, Predict]


Load = Callable[[str], Predict | Forms]

_log = logging.getLogger(__name__)


class InstanceError(Exception):
    """One instance cannot be predicted.

    Args:
        message: What is wrong with the instance, and what was expected.
        code: A google.rpc code, by default INVALID_ARGUMENT.
    """

    def __init__(self, message: str, code: int = INVALID_ARGUMENT) -> None:
        super().__init__(message)
        self.message = message
        self.code = code

    def prediction(self) -> dict[str, Any]:
        """What stands in the instance's place among the predictions."""
        return {"error": {"code": self.code, "message": self.message}}


def each(function: Callable[[Any], Any], instances: Iterable[Any]) -> list[Any]:
    """Apply ``function`` to each instance; a failure becomes that instance's error and nobody else's."""
    predictions = []
    for instance in instances:
        try:
            predictions.append(function(instance))
        except InstanceError as error:
            predictions.append(error.prediction())
        except Exception as error:  # noqa: BLE001  # whatever a model trips over is this instance's own failure
            _log.warning("instance failed: %r", error)
            text = f"The model failed on this instance: {type(error).__name__}: {error}"
            predictions.append(InstanceError(text, INTERNAL).prediction())
    return predictions


class _Model:
    """The model once it is loaded, and the threads that run it."""

    def __init__(self, workers: int) -> None:
        self.predict: Predict | None = None
        self.others: Mapping[str, Predict] = {}
        self.executor = ThreadPoolExecutor(workers, thread_name_prefix="predict")
        self.waiting = 0

    def load(self, load: Load, artifact_uri: str) -> None:
        made = load(artifact_uri)
        self.predict, self.others = (made.usual, made.others) if isinstance(made, Forms) else (made, {})

    async def run(self, predict: Predict, instances: list[Any], parameters: Parameters) -> list[Any]:
        self.waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self.executor, predict, instances, parameters)
        finally:
            self.waiting -= 1


class _Refusal(Exception):  # noqa: N818  # an HTTP answer, raised where it is known
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(
        orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY),
        status_code=status,
        media_type="application/json",
        headers=headers,
    )


async def _request(request: Request) -> tuple[list[Any], Parameters]:
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise _Refusal(413, f"The request is longer than {MAX_BODY_BYTES} bytes; send fewer instances at once.")
        chunks.append(chunk)
    try:
        body = msgspec.json.decode(b"".join(chunks))
    except msgspec.DecodeError as error:
        raise _Refusal(400, f"The request is not JSON: {error}.") from None
    if not isinstance(body, dict) or not isinstance(body.get("instances"), list):
        raise _Refusal(400, 'The request must be an object with "instances", a list.')
    if not body["instances"]:
        raise _Refusal(400, '"instances" is empty; send at least one instance.')
    parameters = body.get("parameters")
    if parameters is not None and not isinstance(parameters, dict):
        raise _Refusal(400, '"parameters" must be an object when it is given.')
    return body["instances"], parameters


def create_app(
    load: Load, artifact_uri: str, *, predict_route: str = "/predict", health_route: str = "/health", workers: int = 2
) -> Starlette:
    """The container as an ASGI app; the model is loaded in the background once the app has started.

    Args:
        load: Makes the predict function from the artifact's URI; runs once, in a thread.
        artifact_uri: ``AIP_STORAGE_URI``, a ``gs://`` folder, or empty.
        predict_route: Path of predictions. ``health_route``: path of the health check.
        workers: How many requests are predicted at the same time; the others wait.
    """
    model = _Model(workers)
    failure: list[str] = []

    async def load_model() -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(model.executor, model.load, load, artifact_uri)
        except Exception as error:  # noqa: BLE001  # told by the health check and by every prediction
            failure.append(f"The model could not be loaded from {artifact_uri or '(nothing)'}: {error}")
            _log.error("%s", failure[0], exc_info=_log.isEnabledFor(logging.DEBUG))

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(load_model())
        try:
            yield
        finally:
            task.cancel()
            model.executor.shutdown(wait=False, cancel_futures=True)

    async def health(_: Request) -> Response:
        if model.predict is not None:
            return _json({"status": "ok"})
        return _json({"status": "failed" if failure else "loading", "message": "".join(failure)}, 503)

    async def predict(request: Request) -> Response:
        try:
            instances, parameters = await _request(request)
            if model.predict is None:
                raise _Refusal(503, failure[0] if failure else "The model is still being loaded.")
            if model.waiting >= MAX_WAITING:
                raise _Refusal(503, f"{MAX_WAITING} requests are waiting already.")
            form = request.path_params.get("form")
            function = model.predict if form is None else model.others.get(form)
            if function is None:
                known = ", ".join(sorted(model.others)) or "none"
                raise _Refusal(404, f"This model does not answer as {form!r}; the forms there are: {known}.")
            predictions = await model.run(function, instances, parameters)
            if len(predictions) != len(instances):
                raise _Refusal(500, f"The model gave {len(predictions)} predictions for {len(instances)} instances.")
        except ClientDisconnect:
            return _json({"error": "The client has gone."}, 400)
        except InstanceError as error:  # raised outside any instance: the parameters are wrong
            return _json({"error": error.message}, 400)
        except _Refusal as error:
            return _json({"error": str(error)}, error.status, {"Retry-After": "1"} if error.status == 503 else None)
        return _json({"predictions": predictions})

    return Starlette(
        routes=[
            Route(health_route, health, methods=["GET"]),
            Route(predict_route, predict, methods=["POST"]),
            Route(predict_route.rstrip("/") + "/{form}", predict, methods=["POST"]),
        ],
        lifespan=lifespan,
    )


def main(load: Load, *, workers: int = 2) -> None:
    """Serve as the environment says (``AIP_*``), on 127.0.0.1, until stdin ends or a signal comes."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    app = create_app(
        load,
        os.environ.get("AIP_STORAGE_URI", ""),
        predict_route=os.environ.get("AIP_PREDICT_ROUTE", "/predict"),
        health_route=os.environ.get("AIP_HEALTH_ROUTE", "/health"),
        workers=workers,
    )
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host="127.0.0.1",
            port=int(os.environ.get("AIP_HTTP_PORT", "8080")),
            log_level="warning",
            access_log=False,
            lifespan="on",
            timeout_graceful_shutdown=2,
            server_header=False,
        )
    )

    def watch() -> None:
        # Whoever started us holds the other end of stdin; when it ends, even by kill -9, so do we.
        while sys.stdin.buffer.read(65536):
            pass
        server.should_exit = True

    threading.Thread(target=watch, daemon=True).start()
    inherited = os.environ.get("CONTAINER_SOCKET")
    server.run(sockets=[socket.socket(fileno=int(inherited))] if inherited else None)
