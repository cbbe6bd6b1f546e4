"""Models' containers: any HTTP server of this machine that speaks Vertex's custom container contract.

An image URI is either such a server's URL, or ``sandbox/NAME``: then ``python -m
vertex_model_inference.sandbox.containers.<name>`` is started when it is first needed, once per artifact, with the
environment that Vertex AI gives a container (``AIP_*``), and stopped with the server. A started container ends when its
stdin ends, so that even kill -9 leaves no orphan.
(https://docs.cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements)
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import ipaddress
import os
import re
import socket
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx2
import orjson

from vertex_model_inference.sandbox.vertex.wire import ApiError, invalid

__all__ = ["Container", "ContainerError", "Containers", "check_image"]

_PACKAGE = "vertex_model_inference.sandbox.containers"


class ContainerError(Exception):
    """A container answered an error, or not at all.

    Args:
        status: HTTP status, or 0 when there was no answer.
        message: The answer's text, or what went wrong.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def _module(image: str) -> str:
    return f"{_PACKAGE}.{image.removeprefix('sandbox/').partition(':')[0].replace('-', '_')}"


def check_image(image: str) -> None:
    """Check that a model's image can be served here.

    Raises:
        ApiError: Neither a URL of this machine nor the name of one of the sandbox's own containers.
    """
    if image.startswith("sandbox/"):
        name = image.removeprefix("sandbox/").partition(":")[0]
        if not re.fullmatch(r"[a-z][a-z0-9-]*", name) or importlib.util.find_spec(_module(image)) is None:
            raise invalid(f"Invalid image_uri {image!r}: the sandbox has no container of that name.")
        return
    parts = urlsplit(image)
    if parts.scheme != "http" or not parts.hostname:
        raise invalid(
            f"Invalid image_uri {image!r}: the sandbox serves no images; give the URL of a running server, such as "
            "http://127.0.0.1:9000, or sandbox/NAME."
        )
    try:
        loopback = parts.hostname == "localhost" or ipaddress.ip_address(parts.hostname).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise invalid(f"Invalid image_uri {image!r}: the sandbox calls containers on this machine only (127.0.0.1).")


class Container:
    """One container that can be asked.

    Args:
        base: Its base URL.
        health_route: Path of the health check. ``predict_route``: path of predictions.
        client: The connections used.
    """

    def __init__(self, base: str, health_route: str, predict_route: str, client: httpx2.AsyncClient) -> None:
        self.base = base
        self.health_route = health_route
        self.predict_route = predict_route
        self.client = client

    async def alive(self) -> bool:
        """Whether its health route answers 200 now; asked three times within about two seconds."""
        for attempt in range(3):
            try:
                answer = await self.client.get(self.base + self.health_route, timeout=10)
            except httpx2.HTTPError:
                await asyncio.sleep(0.2 * 4**attempt)
            else:
                return answer.status_code == 200
        return False

    async def post(self, body: bytes, *, timeout_s: float, content_type: str = "application/json") -> httpx2.Response:
        """Send a body to the predict route as it is.

        Raises:
            ContainerError: No answer.
        """
        try:
            return await self.client.post(
                self.base + self.predict_route, content=body, headers={"Content-Type": content_type}, timeout=timeout_s
            )
        except httpx2.TimeoutException:
            raise ContainerError(0, f"The model server did not answer within {timeout_s:g} s.") from None
        except httpx2.HTTPError as error:
            raise ContainerError(0, f"The model server could not be reached: {error!r}.") from None

    async def predict(self, instances: list[Any], parameters: Any, *, timeout_s: float = 600.0) -> list[Any]:
        """One prediction per instance, in order.

        Raises:
            ContainerError: An HTTP error, no answer, or an answer of another form or length.
        """
        request: dict[str, Any] = {"instances": instances}
        if parameters is not None:
            request["parameters"] = parameters
        answer = await self.post(orjson.dumps(request), timeout_s=timeout_s)
        if answer.status_code != 200:
            raise ContainerError(answer.status_code, answer.text[:2000])
        try:
            predictions = orjson.loads(answer.content)["predictions"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            raise ContainerError(500, f"Predictions are not in the response. Got: {answer.text[:500]}") from None
        if not isinstance(predictions, list) or len(predictions) != len(instances):
            count = len(predictions) if isinstance(predictions, list) else "no list of"
            raise ContainerError(500, f"There are {count} predictions for {len(instances)} instances.")
        return predictions


class _Running:
    def __init__(self, process: asyncio.subprocess.Process, base: str) -> None:
        self.process = process
        self.base = base


class Containers:
    """All containers in use.

    Args:
        storage_url: What started containers read ``gs://`` from.
    """

    def __init__(self, storage_url: str) -> None:
        self.storage_url = storage_url
        # Batch jobs keep several requests in flight to each container; the pool must not be what holds them back.
        self.client = httpx2.AsyncClient(
            timeout=600, limits=httpx2.Limits(max_connections=512, max_keepalive_connections=64), trust_env=False
        )
        self._running: dict[tuple[str, str, str], _Running] = {}
        self._healthy_urls: set[str] = set()
        self._locks: dict[tuple[str, str, str], asyncio.Lock] = {}

    async def of(self, model: Mapping[str, Any], *, start_s: float, fresh: bool = True) -> Container:
        """The container of a model version, started and healthy.

        Args:
            model: The model's JSON.
            start_s: How long its health route may take to answer 200, in seconds.
            fresh: Ask a URL's health again even if it was well before.

        Raises:
            ContainerError: It did not become healthy; status 0.
        """
        spec = model["containerSpec"]
        image = str(spec["imageUri"])
        health = str(spec.get("healthRoute") or "/health")
        route = str(spec.get("predictRoute") or "/predict")
        if not image.startswith("sandbox/"):
            base = image.rstrip("/")
            if fresh or base + health not in self._healthy_urls:
                await self._healthy(base + health, start_s, None)
                self._healthy_urls.add(base + health)
            return Container(base, health, route, self.client)
        environment = {item["name"]: item.get("value", "") for item in spec.get("env", [])}
        # Models whose routes differ only below /predict are one model in several forms, and share a container.
        base = "/predict" if route.startswith("/predict/") else route
        key = (image, str(model.get("artifactUri", "")), orjson.dumps([health, base, environment]).decode())
        async with self._locks.setdefault(key, asyncio.Lock()):
            running = self._running.get(key)
            if running is None or running.process.returncode is not None:
                running = await self._start(image, key[1], health, base, environment, model, start_s)
                self._running[key] = running
        return Container(running.base, health, route, self.client)

    async def _start(
        self,
        image: str,
        artifact: str,
        health: str,
        route: str,
        environment: Mapping[str, str],
        model: Mapping[str, Any],
        start_s: float,
    ) -> _Running:
        # The container inherits the bound socket: on a free port that is only named, another process could be first.
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            port = bound.getsockname()[1]
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # a file of the working folder must not stand in for a module
                "-m",
                _module(image),
                stdin=asyncio.subprocess.PIPE,
                pass_fds=(bound.fileno(),),
                env={
                    **os.environ,
                    "STORAGE_EMULATOR_HOST": self.storage_url,
                    "AIP_MODE": "PREDICTION",
                    "AIP_HTTP_PORT": str(port),
                    "AIP_HEALTH_ROUTE": health,
                    "AIP_PREDICT_ROUTE": route,
                    "AIP_STORAGE_URI": artifact,
                    "AIP_MODEL_NAME": str(model.get("name", "")).rpartition("/")[2],
                    "CONTAINER_SOCKET": str(bound.fileno()),
                    "OMP_NUM_THREADS": "1",  # a container's workers fill the cores; BLAS threads would only fight them
                    **environment,
                },
            )
        running = _Running(process, f"http://127.0.0.1:{port}")
        try:
            await self._healthy(running.base + health, start_s, process)
        except BaseException:
            await _stop(process)
            raise
        return running

    async def _healthy(self, url: str, start_s: float, process: asyncio.subprocess.Process | None) -> None:
        deadline = asyncio.get_running_loop().time() + start_s
        wait = 0.02
        while True:
            why = ""
            try:
                answer = await self.client.get(url, timeout=10)
                if answer.status_code == 200:
                    return
                why = f"status {answer.status_code}: {answer.text[:500]}"
                if b'"failed"' in answer.content:  # our own containers say that they never will
                    deadline = 0
            except httpx2.HTTPError as error:
                why = repr(error)
            if process is not None and process.returncode is not None:
                raise ContainerError(0, f"The model server exited with code {process.returncode} at its start.")
            if asyncio.get_running_loop().time() >= deadline:
                raise ContainerError(0, f"The model server's health check {url} failed: {why}")
            await asyncio.sleep(wait)
            wait = min(wait * 1.5, 0.5)

    async def close(self) -> None:
        """Stop the started ones and close all connections."""
        await self.client.aclose()
        await asyncio.gather(*(_stop(running.process) for running in self._running.values()))


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), 5)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def unhealthy(error: ContainerError) -> ApiError:
    """How the service reports a model whose container does not come up."""
    return ApiError("FAILED_PRECONDITION", f"Model server never became ready. {error.message}")
