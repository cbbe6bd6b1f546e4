"""Which operation a request is: ``storage.objects.get`` and its handler, for both APIs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import unquote

from vertex_model_inference.sandbox.storage import json_buckets, json_objects, uploads, xml_api
from vertex_model_inference.sandbox.storage.wire import ApiError, Request, Response, Scope

__all__ = ["Route", "form_of", "operation", "route"]

Handler = Callable[..., Awaitable[Response]]
Route = tuple[str, Handler, tuple[str, ...]]

_BUCKETS = {"GET": ("list", json_buckets.listing), "POST": ("insert", json_buckets.insert)}
_BUCKET = {
    "GET": ("get", json_buckets.get),
    "PATCH": ("patch", json_buckets.patch),
    "PUT": ("update", json_buckets.patch),
    "DELETE": ("delete", json_buckets.delete),
}
_OBJECT = {
    "GET": ("get", json_objects.get),
    "PATCH": ("patch", json_objects.patch),
    "PUT": ("update", json_objects.update),
    "DELETE": ("delete", json_objects.delete),
}


def _unknown() -> ApiError:
    return ApiError(404, "Not Found", reason="notFound", code="NotFound")


def _not_allowed() -> ApiError:
    return ApiError(
        405, "The specified method is not allowed against this resource.", reason="methodNotAllowed",
        code="MethodNotAllowed",
    )  # fmt: skip


def route(request: Request) -> Route:
    """Operation name, handler and its arguments.

    Raises:
        ApiError: 404 or 405.
    """
    path = request.raw_path
    if path.startswith(("/storage/v1/", "/upload/", "/download/", "/resumable/")):
        segments = request.segments
        if segments[0] == "resumable":
            segments = segments[1:]
        if segments[0] == "upload":
            return _upload(request, segments)
        if segments[0] == "download":
            match segments:
                case ["download", "storage", "v1", "b", bucket, "o", name] if request.method in ("GET", "HEAD"):
                    return "storage.objects.get", json_objects.download, (bucket, name)
            raise _unknown()
        return _json(request, segments[2:])
    return _xml(request, path)


def _pick(kind: str, table: Mapping[str, tuple[str, Handler]], method: str, args: tuple[str, ...]) -> Route:
    found = table.get(method)
    if found is None:
        raise _not_allowed()
    return f"storage.{kind}.{found[0]}", found[1], args


def _json(request: Request, segments: list[str]) -> Route:
    method = request.method
    match segments:
        case ["b"]:
            return _pick("buckets", _BUCKETS, method, ())
        case ["b", bucket]:
            return _pick("buckets", _BUCKET, method, (bucket,))
        case ["b", bucket, "iam", "testPermissions"] if method == "GET":
            return "storage.buckets.testIamPermissions", json_buckets.test_permissions, (bucket,)
        case ["b", bucket, "storageLayout"] if method == "GET":
            return "storage.buckets.getStorageLayout", json_buckets.layout, (bucket,)
        case ["b", bucket, "o"]:
            return _pick("objects", {"GET": ("list", json_objects.listing)}, method, (bucket,))
        case ["b", bucket, "o", name]:
            return _pick("objects", _OBJECT, method, (bucket, name))
        case ["b", bucket, "o", name, "compose"] if method == "POST":
            return "storage.objects.compose", json_objects.compose, (bucket, name)
        case ["b", bucket, "o", name, "rewriteTo", "b", to_bucket, "o", to_name] if method == "POST":
            return "storage.objects.rewrite", json_objects.rewrite, (bucket, name, to_bucket, to_name)
        case ["b", bucket, "o", name, "copyTo", "b", to_bucket, "o", to_name] if method == "POST":
            return "storage.objects.copy", json_objects.copy, (bucket, name, to_bucket, to_name)
        case ["b", bucket, "o", name, "moveTo", "o", to_name] if method == "POST":
            return "storage.objects.move", json_objects.move, (bucket, name, to_name)
    raise _unknown()


def _upload(request: Request, segments: list[str]) -> Route:
    match segments:
        case ["upload", "storage", "v1", "b", bucket, "o"]:
            upload_id = request.query.get("upload_id")
            if upload_id is not None and request.method in ("PUT", "POST"):
                return "storage.objects.insert", uploads.continue_session, (upload_id,)
            if upload_id is not None and request.method == "DELETE":
                return "storage.objects.cancel", uploads.cancel, (upload_id,)
            if request.method == "POST":
                return "storage.objects.insert", uploads.upload, (bucket,)
            raise _not_allowed()
    raise _unknown()


def _xml(request: Request, path: str) -> Route:
    method = request.method
    bucket, slash, rest = path[1:].partition("/")
    bucket = unquote(bucket)
    if not bucket:
        if method == "GET":
            return "storage.buckets.list", xml_api.list_buckets, ()
        raise _not_allowed()
    if not slash or not rest:
        if method in ("GET", "HEAD"):
            kind = "objects.list" if method == "GET" and "location" not in request.query else "buckets.get"
            return f"storage.{kind}", xml_api.get_bucket, (bucket,)
        if method == "PUT":
            return "storage.buckets.insert", xml_api.create_bucket, (bucket,)
        if method == "DELETE":
            return "storage.buckets.delete", xml_api.delete_bucket, (bucket,)
        raise _not_allowed()
    name = unquote(rest) if "%" in rest else rest
    args = (bucket, name)
    if method in ("GET", "HEAD"):
        return "storage.objects.get", xml_api.get_object, args
    query = request.query
    if method == "PUT":
        if "partNumber" in query and "uploadId" in query:
            return "storage.objects.insert", xml_api.put_part, args
        if "upload_id" in query:
            return "storage.objects.insert", uploads.continue_session, (query["upload_id"],)
        if b"x-goog-copy-source" in request.headers:
            return "storage.objects.copy", xml_api.copy_object, args
        return "storage.objects.insert", xml_api.put_object, args
    if method == "POST":
        if "uploads" in query:
            return "storage.objects.insert", xml_api.start_multipart, args
        if "uploadId" in query:
            return "storage.objects.insert", xml_api.complete_multipart, args
        if request.header(b"x-goog-resumable") == "start":
            return "storage.objects.insert", xml_api.start_resumable, args
        raise _not_allowed()
    if method == "DELETE":
        if "uploadId" in query:
            return "storage.objects.cancel", xml_api.abort_multipart, args
        return "storage.objects.delete", xml_api.delete_object, args
    raise _not_allowed()


def form_of(path: str, query: dict[str, str]) -> str:
    """How errors of a path are written: ``json``, ``text`` (media of the JSON API) or ``xml``."""
    if path.startswith("/download/") or (query.get("alt") == "media" and path.startswith("/storage/")):
        return "text"
    return "json" if path.startswith(("/storage/", "/upload/", "/batch", "/resumable/")) else "xml"


def operation(scope: Scope, body: bytes) -> str | None:
    """The operation's name of an ASGI request, for fault rules; None when there is none."""
    del body
    path = scope["raw_path"].decode("latin-1")
    if path.startswith("/batch"):
        return "storage.batch"
    try:
        return route(Request(scope["method"], path, scope["query_string"], scope["headers"], _nothing))[0]
    except ApiError:
        return None


async def _nothing() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}
