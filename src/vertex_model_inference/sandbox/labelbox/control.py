"""The sandbox's own API under ``/_sandbox``: settings, model runs at a glance, projects, and the Train Model button."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import httpx2
import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vertex_model_inference.sandbox.labelbox import wire
from vertex_model_inference.sandbox.labelbox.ids import now, wire_time

if TYPE_CHECKING:
    from vertex_model_inference.sandbox.labelbox.app import Server
    from vertex_model_inference.sandbox.labelbox.store import Row, Store

__all__ = ["last_press", "model_run", "press_train", "routes", "sign", "train_options"]

_TIMEOUT_S = 30.0
_SETTINGS: dict[str, Callable[[Any], bool]] = {
    "rate_limit_per_minute": lambda v: v is None or (type(v) is int and v > 0),
    "import_seconds": lambda v: v is None or (type(v) in (int, float) and 0 <= v <= 3600),
    "export_lines_per_file": lambda v: v is None or (type(v) is int and v > 0),
    "export_backwards": lambda v: v is None or type(v) is bool,
    "sign_assets_s": lambda v: v is None or (type(v) in (int, float) and v > 0),
    "import_fails_after": lambda v: v is None or (type(v) is int and v >= 0),
}


class ControlError(Exception):
    """A request that cannot be done.

    Args:
        status: HTTP status.
        message: One sentence.
        more: Further facts for the answer.
    """

    def __init__(self, status: int, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": message, **more}


def sign(secret: str, body: bytes) -> str:
    """Labelbox's ``X-Hub-Signature``: HMAC-SHA1 of the raw body (empty for GET)."""
    return "sha1=" + hmac.new(secret.encode(), body, hashlib.sha1).hexdigest()


def webhook(store: Store) -> dict[str, Any]:
    """The training service: ``url`` and ``secret``, both None until they are set."""
    found: dict[str, Any] = store.setting("webhook", {"url": None, "secret": None})
    return found


def set_webhook(store: Store, given: Any) -> dict[str, Any]:
    """Set URL and secret.

    Raises:
        ControlError: One is of the wrong form.
    """
    if not isinstance(given, dict) or not {"url", "secret"}.issuperset(given):
        raise ControlError(400, "Give an object with `url` and `secret`.")
    new = {**webhook(store), **given}
    url, secret = new["url"], new["secret"]
    if url is not None and not (isinstance(url, str) and url.startswith(("http://", "https://"))):
        raise ControlError(400, f"url must begin with http:// or https://, not {url!r:.80}.")
    if secret is not None and not isinstance(secret, str):
        raise ControlError(400, "secret must be a string.")
    store.set_setting("webhook", new)
    return new


def model_run(store: Store, row: Row) -> dict[str, Any]:
    """A model run at a glance: names, status, counts, imports."""
    model = store.runs.model(row["model_id"])
    imports = store.imports.of(row["id"], ["mea"])
    return {
        "id": row["id"],
        "name": row["name"],
        "model_id": row["model_id"],
        "model_name": None if model is None else model["name"],
        "ontology_id": None if model is None else model["ontology_id"],
        "created_at": wire_time(row["created_at"]),
        **{_snake(name): value for name, value in wire.pipeline(row).items()},
        "counts": store.runs.counts(row["id"]),
        "imports": [_import(store, item) for item in imports],
    }


def project(store: Store, row: Row) -> dict[str, Any]:
    """A project at a glance: its ontology, batches, imports and counts of pre-labels."""
    fields = orjson.loads(row["fields"])
    counts = store.runs.counts(row["id"])  # annotations are counted by their owner, which a project can be too
    return {
        "id": row["id"],
        "name": row["name"],
        "ontology_id": row["ontology_id"],
        "pre_labels_shown": bool(fields.get("showingPredictionsToLabelers")),
        "counts": {
            "data_rows": row["row_count"],
            "labels": store.projects.label_count(row["id"]),
            "pre_labels": counts["predictions"],
            "pre_labelled_data_rows": counts["predicted_data_rows"],
        },
        "batches": [
            {"id": each["id"], "name": each["name"], "size": each["size"]}
            for each in store.projects.batches(row["id"], None, 0, 1_000)
        ],
        "imports": [_import(store, item) for item in store.imports.of(row["id"], ["mal", "mea-to-mal"])],
    }


def _import(store: Store, item: Row) -> dict[str, Any]:
    return {
        "id": item["id"],
        "name": item["name"],
        "state": item["state"],
        "progress": item["progress"],
        "succeeded": item["succeeded"],
        "failed": item["failed"],
        "error": item["error"],
        "status_file_url": store.files.url_of(item["status_file"]) if item["status_file"] else None,
    }


def _project(store: Store, project_id: str) -> Row:
    row = store.projects.get(project_id)
    if row is None:
        raise ControlError(404, f"There is no project {project_id}.")
    return row


def _held(store: Store, owner_id: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
    """A page of the annotations that a model run (as predictions) or a project (as pre-labels) holds."""
    skip, first = (query.get(name, usual) for name, usual in (("skip", "0"), ("first", "100")))
    if not (skip.isdigit() and first.isdigit()):
        raise ControlError(400, "skip and first must be whole numbers.")
    rows = store.projects.pre_labels(owner_id, int(skip), min(int(first), 10_000))
    names = ("data_row_id", "global_key", "uuid")
    return [{**{name: row[name] for name in names}, "annotation": orjson.loads(row["annotation"])} for row in rows]


def _snake(name: str) -> str:
    return "error_message" if name == "errorMessage" else name


def _run(store: Store, run_id: str) -> Row:
    row = store.runs.get(run_id)
    if row is None:
        raise ControlError(404, f"There is no model run {run_id}.")
    return row


async def _call(store: Store, method: str, path: str, body: bytes) -> Any:
    """A signed call to the training service.

    Raises:
        ControlError: 409: no URL is set. 502: it cannot be reached, or answers other than 2xx or not JSON.
    """
    hook = webhook(store)
    if not hook["url"]:
        raise ControlError(409, "No training service is set. PUT its URL and secret to /_sandbox/webhook.")
    target = hook["url"].rstrip("/") + path
    headers = {"Content-Type": "application/json"} if body else {}
    if hook["secret"]:
        headers["X-Hub-Signature"] = sign(hook["secret"], body)
    try:
        async with httpx2.AsyncClient(timeout=_TIMEOUT_S, trust_env=False) as client:
            response = await client.request(method, target, content=body, headers=headers)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        reason = str(error) or type(error).__name__
        raise ControlError(502, f"The training service does not answer: {method} {target}: {reason}") from None
    text = response.text
    try:
        value = orjson.loads(text) if text else None
    except orjson.JSONDecodeError:
        value = text
    if not response.is_success:
        raise ControlError(
            502,
            f"The training service refused: {method} {target} answered {response.status_code}.",
            answer_status=response.status_code,
            answer=value,
        )
    return value


async def train_options(store: Store) -> dict[str, Any]:
    """What Labelbox shows in the Train Model dialog: the keys of the service's ``GET /models``.

    Raises:
        ControlError: The service cannot be asked, or answers something else than an object.
    """
    value = await _call(store, "GET", "/models", b"")
    if not isinstance(value, dict):
        raise ControlError(502, "The training service's /models did not answer a JSON object.", answer=value)
    return value


async def press_train(store: Store, row: Row, model_type: str) -> Any:
    """The Train Model button: ``POST /model_run``, signed, as Labelbox sends it.

    Raises:
        ControlError: The service cannot be reached or refuses.
    """
    body = {"modelId": row["model_id"], "modelRunId": row["id"], "modelType": model_type}
    return await _call(store, "POST", "/model_run", orjson.dumps(body))


def _note_press(store: Store, run_id: str, model_type: str, answer: Any, problem: str | None) -> None:
    value = {"at": now(), "model_type": model_type, "answer": answer, "problem": problem}
    store.set_setting(f"pressed {run_id}", value)


def last_press(store: Store, run_id: str) -> dict[str, Any] | None:
    """The last time that Train Model was pressed: ``at`` (seconds since 1970), ``model_type``, and what the training
    service answered: ``answer`` (its JSON), ``problem`` (one sentence, None when it took the run)."""
    found: dict[str, Any] | None = store.setting(f"pressed {run_id}", None)
    return found


Handler = Callable[[Request], Awaitable[Any]]


def _route(path: str, methods: list[str], handler: Handler) -> Route:
    async def endpoint(request: Request) -> Response:
        status, value = 200, None
        try:
            value = await handler(request)
        except ControlError as error:
            status, value = error.status, error.body
        except orjson.JSONDecodeError as error:
            status, value = 400, {"error": f"The body is not JSON: {error}"}
        return Response(orjson.dumps(value), status, media_type="application/json")

    return Route(f"/_sandbox/{path}", endpoint, methods=methods)


def routes(server: Server) -> list[Route]:
    """The routes, for the server's app. They need no key: they are on loopback, and no part of Labelbox."""
    store = server.store

    async def health(_: Request) -> Any:
        return {"status": "ok", "server": "labelbox"}

    async def settings(request: Request) -> Any:
        if request.method == "PUT":
            given = orjson.loads(await request.body())
            if not isinstance(given, dict):
                raise ControlError(400, "Give an object of settings.")
            for name, value in given.items():
                if name not in _SETTINGS:
                    raise ControlError(400, f"Unknown setting {name!r}; there are {', '.join(_SETTINGS)}.")
                if not _SETTINGS[name](value):
                    raise ControlError(400, f"Setting {name} cannot be {value!r:.60}.")
            new = {**store.setting("settings", {}), **given}
            await server.in_thread(store.set_setting, "settings", new)
            server.limit.per_minute = new.get("rate_limit_per_minute")
        found = await server.in_thread(store.setting, "settings", {})
        return {**dict.fromkeys(_SETTINGS), **found}

    async def mirrors(request: Request) -> Any:
        if request.method == "PUT":
            given = orjson.loads(await request.body())
            if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
                raise ControlError(400, "Give an object: URL -> the URL to read in its place.")
            await server.in_thread(store.set_setting, "mirrors", given)
        return await server.in_thread(store.setting, "mirrors", {})

    async def hook(request: Request) -> Any:
        if request.method == "PUT":
            return await server.in_thread(set_webhook, store, orjson.loads(await request.body()))
        return await server.in_thread(webhook, store)

    async def runs(_: Request) -> Any:
        def read() -> list[Any]:
            return [model_run(store, row) for row in store.runs.page(0, 1_000)]

        return {"model_runs": await server.in_thread(read)}

    async def run(request: Request) -> Any:
        return await server.in_thread(lambda: model_run(store, _run(store, request.path_params["run_id"])))

    async def projects(_: Request) -> Any:
        return {
            "projects": await server.in_thread(lambda: [project(store, row) for row in store.projects.page(0, 1_000)])
        }

    async def one_project(request: Request) -> Any:
        return await server.in_thread(lambda: project(store, _project(store, request.path_params["project_id"])))

    async def pre_labels(request: Request) -> Any:
        def read() -> Any:
            project_id = _project(store, request.path_params["project_id"])["id"]
            return {"pre_labels": _held(store, project_id, request.query_params)}

        return await server.in_thread(read)

    async def predictions(request: Request) -> Any:
        def read() -> Any:
            run_id = _run(store, request.path_params["run_id"])["id"]
            return {"predictions": _held(store, run_id, request.query_params)}

        return await server.in_thread(read)

    async def train(request: Request) -> Any:
        row = await server.in_thread(_run, store, request.path_params["run_id"])
        given = orjson.loads(await request.body())
        model_type = given.get("modelType") if isinstance(given, dict) else None
        if not isinstance(model_type, str) or not model_type:
            raise ControlError(400, 'Give {"modelType": ...}, one of GET /_sandbox/train_options.')
        try:
            answer = await press_train(store, row, model_type)
        except ControlError as error:
            await server.in_thread(_note_press, store, row["id"], model_type, error.body.get("answer"), str(error))
            raise
        await server.in_thread(_note_press, store, row["id"], model_type, answer, None)
        return {"answer": answer}

    async def options(_: Request) -> Any:
        return await train_options(store)

    return [
        _route("health", ["GET"], health),
        _route("settings", ["GET", "PUT"], settings),
        _route("mirrors", ["GET", "PUT"], mirrors),
        _route("webhook", ["GET", "PUT"], hook),
        _route("model_runs", ["GET"], runs),
        _route("model_runs/{run_id}", ["GET"], run),
        _route("model_runs/{run_id}/predictions", ["GET"], predictions),
        _route("projects", ["GET"], projects),
        _route("projects/{project_id}", ["GET"], one_project),
        _route("projects/{project_id}/pre_labels", ["GET"], pre_labels),
        _route("model_runs/{run_id}/train", ["POST"], train),
        _route("train_options", ["GET"], options),
    ]
