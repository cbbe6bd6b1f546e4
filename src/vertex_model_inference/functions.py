"""Entry points for Google Cloud Functions (Cloud Run functions): the original four, by their original names.

``models`` and ``model_run`` are what Labelbox calls; ``model_run`` calls ``etl_function`` (export, assets), which calls
``inference_function`` (predict, upload). They keep nothing between calls but the run's files in the bucket. API keys
stay in each function's own environment and never travel in a request; requests between the functions are signed with
``VMI_WEBHOOK_SECRET``.

Run one here: ``functions-framework --source src/vertex_model_inference/functions.py --target models --port 8081``.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import httpx2
import orjson
import structlog

from vertex_model_inference.errors import NotFoundError, RequestError, SettingsError, SignatureError, VmiError
from vertex_model_inference.settings import Settings, load
from vertex_model_inference.vertex.catalog import Catalog
from vertex_model_inference.webhook.app import parse_call, unknown_option
from vertex_model_inference.webhook.refusals import TooLargeError, refusal
from vertex_model_inference.webhook.signature import HEADER, sign, verify
from vertex_model_inference.webhook.wiring import catalog_of

__all__ = ["etl_function", "inference_function", "model_run", "models"]

log = structlog.get_logger("vmi.functions")

Answer = tuple[bytes, int, dict[str, str]]

_HANDED_OVER_S = 2.0
"""How long the caller of a long function waits: long enough for a refusal, not for the work."""


def _answer(value: object, status: int = 200) -> Answer:
    return orjson.dumps(value), status, {"Content-Type": "application/json"}


@functools.cache
def _settings() -> Settings:
    settings = load()
    if os.environ.get("K_SERVICE") and settings.webhook_secret is None:
        raise SettingsError(
            "VMI_WEBHOOK_SECRET is not set, and this function can be reached by others, who could start runs.",
            code="settings_secret",
            hint="Set it to the secret entered in Labelbox, best from Secret Manager.",
        )
    return settings


@functools.cache
def _catalog() -> Catalog:
    return catalog_of(_settings())


def _served(method: str) -> Callable[[Callable[[bytes], Answer]], Callable[[Any], Answer]]:
    """Check method, size and signature, and turn our errors into answers; nothing else gets out."""

    def wrap(handle: Callable[[bytes], Answer]) -> Callable[[Any], Answer]:
        @functools.wraps(handle)
        def serve(request: Any) -> Answer:
            try:
                if request.method != method:
                    return _answer({"error": {"code": "method", "message": f"Only {method} is possible here."}}, 405)
                return handle(_body(request))
            except VmiError as error:
                status, body = refusal(error)
                if status >= 500:
                    log.error("a call could not be served", error=error.message, code=error.error_code)  # noqa: TRY400
                return _answer(body, status)
            except Exception:
                log.exception("a call failed unexpectedly")
                return _answer({"error": {"code": "internal", "message": "Something went wrong; see the log."}}, 500)

        return serve

    return wrap


def _body(request: Any) -> bytes:
    settings = _settings()
    if (request.content_length or 0) > settings.body_limit:
        raise TooLargeError(f"The body is larger than {settings.body_limit} bytes.")
    body: bytes = request.stream.read(settings.body_limit + 1)
    if len(body) > settings.body_limit:
        raise TooLargeError(f"The body is larger than {settings.body_limit} bytes.")
    secret = settings.webhook_secret
    if secret is not None and not verify(secret.get_secret_value(), body, request.headers.get(HEADER)):
        raise SignatureError(
            f"The header {HEADER} is missing or not the signature of this body.",
            hint="The secret entered in Labelbox must be the one in VMI_WEBHOOK_SECRET.",
        )
    return body


def _hand_over(url: str | None, variable: str, value: dict[str, Any]) -> None:
    """Call the next function and do not wait for its work; a refusal within two seconds is ours too.

    Raises:
        SettingsError: There is no next function.
        RequestError: It refuses the call.
    """
    settings = _settings()
    if url is None:
        raise SettingsError(f"{variable} is not set, so there is no function to hand the run to.", hint="Set it.")
    raw = orjson.dumps(value)
    headers = {"Content-Type": "application/json"}
    if settings.webhook_secret is not None:
        headers[HEADER] = sign(settings.webhook_secret.get_secret_value(), raw)
    timeout = httpx2.Timeout(30.0, read=_HANDED_OVER_S)
    try:
        answer = httpx2.post(url, content=raw, headers=headers, timeout=timeout)
    except httpx2.ReadTimeout:
        return  # it works
    except httpx2.HTTPError as error:
        raise VmiError(
            f"The function at {variable} cannot be reached ({type(error).__name__}).",
            code="function_unreachable",
            retryable=True,
        ) from None
    if answer.status_code >= 400:
        raise RequestError(f"The function at {variable} refused the run: HTTP {answer.status_code}.", code="refused")


@_served("GET")
def models(_: bytes) -> Answer:
    """``GET``: what can be chosen, ``{option: {}}``."""
    catalog = _catalog()
    options = catalog.refresh() if catalog.age_s is None or catalog.age_s > 60 else catalog.options(0.0)
    return _answer({name: {} for name in options.names})


@_served("POST")
def model_run(body: bytes) -> Answer:
    """``POST {"modelRunId", "modelType"}``: check the request and hand it to ``etl_function``."""
    from vertex_model_inference.runs.surroundings import open_labelbox

    call = parse_call(body)
    options = _catalog().refresh()
    if options.find(call.model_type) is None:
        raise unknown_option(call.model_type, options.names)
    labelbox = open_labelbox(_settings())
    try:
        labelbox.model_run(call.model_run_id)
    finally:
        labelbox.close()
    value = {"modelRunId": call.model_run_id, "modelType": call.model_type, "modelId": call.model_id}
    _hand_over(_settings().etl_url, "etl_url", value)
    return _answer({"modelRunId": call.model_run_id, "accepted": True})


@_served("POST")
def etl_function(body: bytes) -> Answer:
    """``POST {"modelRunId", "modelType"}``: export and assets, then hand the run to ``inference_function``."""
    from vertex_model_inference.runs import inline
    from vertex_model_inference.runs.surroundings import Surroundings

    call = parse_call(body)
    option = _catalog().refresh().find(call.model_type)
    if option is None:
        raise unknown_option(call.model_type, _catalog().options(0.0).names)
    surroundings = Surroundings(_settings())
    try:
        started = inline.begin(surroundings, call.model_run_id, option, call.model_id)
        if not started.joined:
            inline.extract(surroundings, started.run_id)
            _hand_over(_settings().inference_url, "inference_url", {"runId": started.run_id})
    finally:
        surroundings.close()
    return _answer({"runId": started.run_id, "joined": started.joined})


@_served("POST")
def inference_function(body: bytes) -> Answer:
    """``POST {"runId"}``: predict, decode, match, upload, and the run's end."""
    from vertex_model_inference.runs import inline
    from vertex_model_inference.runs.surroundings import Surroundings

    try:
        value = orjson.loads(body)
        run_id = value["runId"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise RequestError('The body must be {"runId": ...}.', code="missing_key") from None
    if not isinstance(run_id, str) or not run_id or "/" in run_id:
        raise NotFoundError("runId is not the id of a run.")
    surroundings = Surroundings(_settings())
    try:
        finished = inline.infer(surroundings, run_id)
    finally:
        surroundings.close()
    counts = {name: getattr(finished.counts, name) for name in finished.counts.__struct_fields__}
    return _answer({"runId": run_id, "state": finished.state, "message": finished.message, "counts": counts})
