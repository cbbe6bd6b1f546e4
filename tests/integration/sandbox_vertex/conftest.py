"""Cloud Storage and Vertex AI of the sandbox in this process, with the real SDKs, and a tiny real model container."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
from google.cloud import aiplatform_v1 as v1
from google.oauth2.credentials import Credentials
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from vertex_model_inference.sandbox.child import run_in_thread
from vertex_model_inference.sandbox.config import LOCATION, PROJECT, SandboxConfig
from vertex_model_inference.sandbox.storage.app import create_app as create_storage
from vertex_model_inference.sandbox.vertex.app import create_app as create_vertex

PARENT = f"projects/{PROJECT}/locations/{LOCATION}"
BUCKET = "vmi-sandbox"
ENDED = {"SUCCEEDED", "FAILED", "CANCELLED", "PARTIALLY_SUCCEEDED", "EXPIRED"}


def _bound() -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    return sock


class Counter:
    """A custom container: how many characters and words a text has. ``seen`` counts what it was sent."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.seen: list[Any] = []
        self.requests = 0

    def one(self, instance: Any) -> Any:
        if isinstance(instance, list):
            return {"sum": sum(instance)}
        if "b64" in instance:
            return {"bytes": len(instance["b64"])}
        if "content" in instance:
            if "broken" in instance["content"]:
                return {"error": {"code": 3, "message": "the picture is corrupt"}}
            return {"ids": ["1", "2"], "displayNames": ["cat", "dog"], "confidences": [0.25, 0.75]}
        if "text" not in instance:
            raise KeyError("text")
        if instance["text"] == "bad":
            return {"error": {"code": 3, "message": "a bad text"}}
        return {"characters": len(instance["text"]), "words": len(instance["text"].split()), "fields": len(instance)}

    async def predict(self, request: Request) -> Response:
        body = orjson.loads(await request.body())
        self.requests += 1
        if any(isinstance(instance, dict) and instance.get("text") == "slow" for instance in body["instances"]):
            await asyncio.sleep(1)
        self.seen += body["instances"]
        try:
            return JSONResponse({"predictions": [self.one(instance) for instance in body["instances"]]})
        except KeyError as error:
            return JSONResponse({"error": f"no {error}"}, 500)


@pytest.fixture(scope="module")
def container() -> Iterator[Counter]:
    sock = _bound()
    counter = Counter(f"http://127.0.0.1:{sock.getsockname()[1]}")
    routes = [
        Route("/predict", counter.predict, methods=["POST"]),
        Route("/health", lambda _: PlainTextResponse("ok")),
    ]
    with sock, run_in_thread(Starlette(routes=routes), sock):
        yield counter


@contextlib.contextmanager
def serving(state: Path) -> Iterator[SandboxConfig]:
    """Storage and Vertex on ``state``."""
    with contextlib.ExitStack() as stack:
        storage, vertex = stack.enter_context(_bound()), stack.enter_context(_bound())
        config = SandboxConfig(
            state=state,
            labelbox_port=1,
            storage_port=storage.getsockname()[1],
            vertex_port=vertex.getsockname()[1],
        )
        stack.enter_context(run_in_thread(create_storage(config), storage))
        stack.enter_context(run_in_thread(create_vertex(config), vertex))
        yield config


class Vertex:
    """The real gapic clients over REST, and plain HTTP."""

    def __init__(self, config: SandboxConfig) -> None:
        self.config = config
        options = {"api_endpoint": config.vertex_url}
        credentials = Credentials("sandbox-token")
        made = {"transport": "rest", "credentials": credentials, "client_options": options}
        self.models = v1.ModelServiceClient(**made)
        self.endpoints = v1.EndpointServiceClient(**made)
        self.jobs = v1.JobServiceClient(**made)
        self.predictions = v1.PredictionServiceClient(**made)
        self.http = httpx2.Client(
            base_url=config.vertex_url, headers={"Authorization": "Bearer token"}, timeout=60, trust_env=False
        )
        self.storage = httpx2.Client(base_url=config.storage_url, timeout=60, trust_env=False)

    def close(self) -> None:
        for client in (self.models, self.endpoints, self.jobs, self.predictions):
            client.transport.close()
        self.http.close()
        self.storage.close()

    def upload(self, url: str, name: str = "counter", **fields: Any) -> str:
        model = v1.Model(
            display_name=name,
            container_spec=v1.ModelContainerSpec(image_uri=url, predict_route="/predict", health_route="/health"),
            **fields,
        )
        operation = self.models.upload_model(parent=PARENT, model=model)
        return str(operation.result(timeout=60).model)

    def settings(self, **values: Any) -> None:
        self.http.put("/_sandbox/settings", json=values).raise_for_status()

    def mischief(self, **values: Any) -> None:
        self.http.post("/_sandbox/mischief", json=values).raise_for_status()

    def put(self, name: str, body: bytes, bucket: str = BUCKET) -> str:
        answer = self.storage.post(
            f"/upload/storage/v1/b/{bucket}/o", params={"uploadType": "media", "name": name}, content=body
        )
        answer.raise_for_status()
        return f"gs://{bucket}/{name}"

    def names(self, directory: str) -> list[str]:
        """Objects under a gs:// folder, without it."""
        bucket, _, prefix = directory.removeprefix("gs://").partition("/")
        found: list[str] = []
        token = ""
        while True:
            params = {"prefix": prefix + "/"} | ({"pageToken": token} if token else {})
            page = self.storage.get(f"/storage/v1/b/{bucket}/o", params=params).json()
            found += [item["name"].removeprefix(prefix + "/") for item in page.get("items", [])]
            token = page.get("nextPageToken", "")
            if not token:
                return sorted(found)

    def read(self, uri: str) -> bytes:
        answer = self.storage.get("/" + uri.removeprefix("gs://"))
        answer.raise_for_status()
        return answer.content

    def job(self, model: str, uris: list[str], **fields: Any) -> Any:
        """Create a job, by the real client, with what a custom model needs unless given."""
        values: dict[str, Any] = {
            "display_name": "job",
            "model": model,
            "input_config": {"instances_format": "jsonl", "gcs_source": {"uris": uris}},
            "output_config": {
                "predictions_format": "jsonl",
                "gcs_destination": {"output_uri_prefix": f"gs://{BUCKET}/out"},
            },
            "dedicated_resources": {"machine_spec": {"machine_type": "n1-standard-2"}, "starting_replica_count": 1},
            **fields,
        }
        return self.jobs.create_batch_prediction_job(parent=PARENT, batch_prediction_job=v1.BatchPredictionJob(values))

    def wait(self, name: str, states: set[str] = ENDED, seconds: float = 60) -> Any:
        """Poll until the job is in one of the states."""
        deadline = time.monotonic() + seconds
        while True:
            job = self.jobs.get_batch_prediction_job(name=name)
            if job.state.name.removeprefix("JOB_STATE_") in states:
                return job
            assert time.monotonic() < deadline, f"still {job.state.name}"
            time.sleep(0.02)

    def output(self, job: Any) -> tuple[list[bytes], list[bytes]]:
        """Lines of the prediction files and of the error files."""
        directory = job.output_info.gcs_output_directory
        good: list[bytes] = []
        bad: list[bytes] = []
        for name in self.names(directory):
            (bad if "error" in name else good).extend(self.read(f"{directory}/{name}").splitlines())
        return good, bad


@contextlib.contextmanager
def connected(config: SandboxConfig) -> Iterator[Vertex]:
    """The clients, closed at the end."""
    made = Vertex(config)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def connect() -> Callable[[SandboxConfig], contextlib.AbstractContextManager[Vertex]]:
    return connected


@pytest.fixture(scope="module")
def vertex(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vertex]:
    with serving(tmp_path_factory.mktemp("state")) as config, connected(config) as made:
        made.settings(pending_s=0.02)
        yield made
