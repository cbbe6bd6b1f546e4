"""What a person has around the product, made with the real SDKs: data rows, an ontology, a model run, a model."""

from __future__ import annotations

import contextlib
import io
import socket
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx2
import labelbox as lb
import msgspec
import orjson
from anyio import to_thread
from google.oauth2.credentials import Credentials
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from vertex_model_inference.errors import UnknownOptionError
from vertex_model_inference.models import ModelOption
from vertex_model_inference.outcomes import Outcome
from vertex_model_inference.runs.flow import Finished
from vertex_model_inference.runs.reading import outcomes_of
from vertex_model_inference.runs.service import RunService
from vertex_model_inference.runs.surroundings import open_artifacts
from vertex_model_inference.sandbox.child import run_in_thread
from vertex_model_inference.sandbox.config import LOCATION, PROJECT, SandboxConfig
from vertex_model_inference.settings import Settings, load
from vertex_model_inference.webhook.wiring import catalog_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the SDK's own import warns
    from google.cloud import aiplatform

__all__ = ["Assets", "Container", "Done", "Lab", "Scene", "eventually", "picture", "radio"]

Answer = Callable[[dict[str, Any]], Any]


def picture(brightness: int, size: tuple[int, int] = (40, 30)) -> bytes:
    """A PNG of one grey, 0..255."""
    out = io.BytesIO()
    Image.new("L", size, brightness).save(out, "PNG")
    return out.getvalue()


def radio(name: str, *options: str, kind: str = "radio") -> dict[str, Any]:
    """A question in Labelbox's normalized form."""
    choices = [{"label": option, "value": option} for option in options]
    return {"type": kind, "name": name, "instructions": name, "options": choices}


def eventually(look: Callable[[], Any], seconds: float = 60) -> Any:
    """Look until there is something, and give it."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


@contextlib.contextmanager
def _serving(routes: list[Route]) -> Iterator[str]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        with run_in_thread(Starlette(routes=routes), sock):
            yield f"http://127.0.0.1:{sock.getsockname()[1]}"


class Assets:
    """A customer's web server: path -> body, or an HTTP status."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.files: dict[str, bytes | int] = {}
        self.refuses: Callable[[str, Mapping[str, str]], bool] = lambda _path, _query: False
        self.asked: list[str] = []

    def put(self, path: str, what: bytes | int) -> str:
        """Serve ``what`` at ``path``; gives the URL."""
        self.files[path] = what
        return f"{self.url}/{path}"

    @classmethod
    @contextlib.contextmanager
    def running(cls) -> Iterator[Assets]:
        """For the time of a ``with`` block."""
        made: list[Assets] = []

        def get(request: Request) -> Response:
            path = request.path_params["path"]
            made[0].asked.append(path)
            what = made[0].files.get(path, 404)
            if made[0].refuses(path, request.query_params):
                return PlainTextResponse("<Code>ExpiredToken</Code>", 403)
            if isinstance(what, int):
                return PlainTextResponse("no", what)
            return Response(what, media_type="application/octet-stream")

        with _serving([Route("/{path:path}", get)]) as url:
            made.append(cls(url))
            yield made[0]


class Container:
    """A model server that speaks Vertex's custom container contract; ``answer`` is the model.

    A ValueError of it makes the whole request fail with HTTP 500, as a crashed handler does; a RuntimeError with 503.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.answer: Answer = lambda _: None
        self.seen: list[dict[str, Any]] = []
        self.lock = threading.Lock()

    def _predict(self, body: bytes) -> Response:
        instances = orjson.loads(body)["instances"]
        with self.lock:
            self.seen += instances
        try:
            predictions = [self.answer(instance) for instance in instances]
        except ValueError as error:
            return JSONResponse({"error": str(error)}, 500)
        except RuntimeError as error:
            return JSONResponse({"error": str(error)}, 503)
        return JSONResponse({"predictions": predictions})

    @classmethod
    @contextlib.contextmanager
    def running(cls) -> Iterator[Container]:
        """For the time of a ``with`` block."""
        made: list[Container] = []

        async def predict(request: Request) -> Response:
            return await to_thread.run_sync(made[0]._predict, await request.body())

        async def health(_: Request) -> Response:
            return PlainTextResponse("ok")

        routes = [Route("/predict", predict, methods=["POST"]), Route("/health", health)]
        with _serving(routes) as url:
            made.append(cls(url))
            yield made[0]


class Done(msgspec.Struct, frozen=True):
    """A run that has ended: how, each row's outcome by global key, and where its files are."""

    run_id: str
    finished: Finished
    outcomes: dict[str, Outcome]
    folder: Path

    def statuses(self) -> dict[str, str]:
        """Global key -> how the row ended."""
        return {key: outcome.status.value for key, outcome in self.outcomes.items()}

    def fate(self, key: str) -> tuple[str, str | None, str | None]:
        """(status, step, code) of a row."""
        outcome = self.outcomes[key]
        return outcome.status.value, outcome.step, outcome.code


class Scene(msgspec.Struct, frozen=True):
    """A model run and the names of its data rows."""

    lab: Lab
    model: Any
    run: Any
    keys: list[str]
    ids: dict[str, str]

    def glance(self) -> dict[str, Any]:
        """The sandbox's own view of the model run."""
        answer = self.lab.labelbox.get(f"/_sandbox/model_runs/{self.run.uid}")
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def export(self, **params: Any) -> dict[str, dict[str, Any]]:
        """The SDK's export, rows by global key, in its order."""
        task = self.run.export(params={"predictions": True, "model_run_details": True, **params})
        task.wait_till_done()
        assert task.status == "COMPLETE"
        return {row.json["data_row"]["global_key"]: row.json for row in task.get_buffered_stream()}

    def predictions(self) -> dict[str, list[dict[str, Any]]]:
        """Global key -> what the model run holds as predictions: objects, then classifications."""
        found = {}
        for key, row in self.export().items():
            run = row["experiments"][self.model.uid]["runs"][self.run.uid]
            items: list[dict[str, Any]] = []
            for entry in run.get("predictions", ()):
                items += [*entry["annotations"].get("objects", ()), *entry["annotations"].get("classifications", ())]
            found[key] = items
        return found


class Lab:
    """A sandbox and the SDKs that talk to it.

    Args:
        config: The sandbox.
    """

    def __init__(self, config: SandboxConfig) -> None:
        self.config = config
        self.client: Any = lb.Client(
            api_key=config.api_key or "any",
            endpoint=f"{config.labelbox_url}/graphql",
            rest_endpoint=f"{config.labelbox_url}/api/v1",
            enable_experimental=True,
        )
        self.labelbox = httpx2.Client(base_url=config.labelbox_url, timeout=60, trust_env=False)
        self.vertex = httpx2.Client(base_url=config.vertex_url, timeout=60, trust_env=False)
        self._global = aiplatform.initializer.global_config
        self._before = dict(vars(self._global))
        aiplatform.init(
            project=PROJECT,
            location=LOCATION,
            credentials=Credentials("sandbox-token"),
            api_endpoint=config.vertex_url,
            api_transport="rest",
        )

    def close(self) -> None:
        """Close the connections; the SDK's global state is another lab's again, or nobody's."""
        self.labelbox.close()
        self.vertex.close()
        self.client._request_client._connection.close()
        vars(self._global).clear()
        vars(self._global).update(self._before)

    def upload(self, container: Container, name: str, **fields: Any) -> Any:
        """A custom model of Vertex's registry that is served by ``container``."""
        return aiplatform.Model.upload(
            display_name=name,
            serving_container_image_uri=container.url,
            serving_container_predict_route="/predict",
            serving_container_health_route="/health",
            **fields,
        )

    def scene(
        self,
        rows: Mapping[str, str | dict[str, Any]],
        *,
        classifications: Sequence[dict[str, Any]] = (),
        tools: Sequence[dict[str, Any]] = (),
        media_type: Any = lb.MediaType.Image,
    ) -> Scene:
        """A model run with these rows.

        Args:
            rows: Global key -> row data, or more of ``create_data_rows``' item.
            classifications: Of the ontology. ``tools``: likewise.
            media_type: Of the ontology.
        """
        mark = uuid.uuid4().hex[:8]
        normalized = {"tools": list(tools), "classifications": list(classifications)}
        ontology = self.client.create_ontology(f"ontology {mark}", normalized, media_type)
        model = self.client.create_model(f"model {mark}", ontology.uid)
        run = model.create_model_run(f"run {mark}")
        ids: dict[str, str] = {}
        if rows:
            dataset = self.client.create_dataset(name=f"data {mark}")
            items = [
                {"global_key": key, **(data if isinstance(data, dict) else {"row_data": data})}
                for key, data in rows.items()
            ]
            task = dataset.create_data_rows(items)
            task.wait_till_done()
            assert task.errors is None, task.errors
            ids = {row["global_key"]: row["id"] for row in task.result}
            run.upsert_data_rows(global_keys=list(rows))
        return Scene(self, model, run, list(rows), ids)

    def mischief(self, **values: Any) -> None:
        """Tell Vertex what to do to the next job."""
        self.vertex.post("/_sandbox/mischief", json=values).raise_for_status()

    def fault(self, **rule: Any) -> None:
        """Tell Labelbox what to break."""
        self.labelbox.post("/_sandbox/faults", json=rule).raise_for_status()

    def calm(self) -> None:
        """Take all faults and mischief back."""
        self.labelbox.delete("/_sandbox/faults").raise_for_status()
        self.vertex.delete("/_sandbox/mischief").raise_for_status()

    def perform(self, scene: Scene, option: str, folder: Path, toml: str = "", **more: str) -> Done:
        """Run an option over a scene's rows in this process.

        Args:
            scene: The model run.
            option: Of the menu.
            folder: For ``vmi.toml`` and the data directory.
            toml: Content of ``vmi.toml``.
            **more: Variables beside the sandbox's own.
        """

        def start(service: RunService, _: Settings, chosen: ModelOption) -> str:
            return service.start_run(scene.run.uid, chosen).run_id

        return self.perform_as(start, scene, option, folder, toml, **more)

    def perform_as(
        self,
        start: Callable[[RunService, Settings, ModelOption], str],
        scene: Scene,
        option: str,
        folder: Path,
        toml: str = "",
        **more: str,
    ) -> Done:
        """As ``perform``, with a run that ``start`` begins; it gives its id."""
        (folder / "vmi.toml").write_text(toml)
        settings = load({**self.config.environment(), "VMI_DATA_DIR": str(folder / "vmi"), **more}, folder)
        options = catalog_of(settings).refresh()
        chosen = options.find(option)
        if chosen is None:
            raise UnknownOptionError(f"{option!r} is none of {options.names}; left out: {options.left_out}")
        service = RunService(settings, role="run")
        service.start()
        try:
            run_id = start(service, settings, chosen)
            finished = service.wait(run_id)
        finally:
            service.stop()
        outcomes = list(outcomes_of(open_artifacts(settings), run_id))
        keys = {row_id: key for key, row_id in scene.ids.items()}
        by_key = {keys[outcome.data_row_id]: outcome for outcome in outcomes}
        assert len(by_key) == len(outcomes), "a row has two outcomes"
        return Done(run_id, finished, by_key, folder)
