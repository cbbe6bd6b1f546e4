"""Buckets of the JSON API (https://cloud.google.com/storage/docs/json_api/v1/buckets)."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs

import msgspec

from vertex_model_inference.sandbox.storage.conditions import Preconditions, precondition_failed
from vertex_model_inference.sandbox.storage.objects import require_bucket
from vertex_model_inference.sandbox.storage.resources import Bucket, bucket_resource
from vertex_model_inference.sandbox.storage.store import Store
from vertex_model_inference.sandbox.storage.wire import ApiError, Request, Response, json_response

__all__ = ["create_bucket", "delete", "get", "insert", "listing", "patch", "remove_bucket"]

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")
#: Fields that the server owns.
_OURS = frozenset(
    {"kind", "id", "name", "selfLink", "projectNumber", "metageneration", "location", "locationType", "storageClass",
     "timeCreated", "updated", "etag"}
)  # fmt: skip
_CLASSES = ("STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE")


def _invalid(message: str, code: str = "InvalidArgument") -> ApiError:
    return ApiError(400, message, reason="invalid", code=code)


def _check_name(name: str) -> None:
    # https://cloud.google.com/storage/docs/buckets#naming
    valid = _NAME.fullmatch(name) and not _ADDRESS.fullmatch(name) and ".." not in name and "google" not in name
    if not valid or name.startswith("goog") or any(len(part) > 63 for part in name.split(".")):
        raise _invalid(f"Invalid bucket name: '{name}'", "InvalidBucketName")


def create_bucket(
    store: Store, name: str, location: str, *, project: str, storage_class: str, settings: dict[str, Any]
) -> Bucket:
    """A new bucket, not committed yet.

    Raises:
        ApiError: 400 for a bad name, 409 if it exists.
    """
    _check_name(name)
    location = location.upper()
    if not re.fullmatch(r"[A-Z]+(-?[A-Z0-9]+)*", location):
        raise _invalid(f"The specified location constraint is not valid: {location}", "InvalidLocationConstraint")
    if storage_class.upper() not in _CLASSES:
        raise _invalid(f"Invalid argument: storage class {storage_class}", "InvalidStorageClass")
    if store.bucket(name) is not None:
        raise ApiError(
            409,
            "Your previous request to create the named bucket succeeded and you already own it.",
            reason="conflict",
            code="BucketAlreadyOwnedByYou",
        )
    now = store.now()
    bucket = Bucket(
        name=name, project=project, location=location, storage_class=storage_class.upper(), created=now, updated=now,
        settings=settings,
    )  # fmt: skip
    store.save_bucket(bucket)
    return bucket


def remove_bucket(store: Store, name: str) -> None:
    """Delete an empty bucket, not committed yet.

    Raises:
        ApiError: 404, or 409 while it holds objects.
    """
    require_bucket(store, name)
    if next(iter(store.seek(name, "", None, 1)), None) is not None:
        raise ApiError(409, "The bucket you tried to delete is not empty.", reason="conflict", code="BucketNotEmpty")
    store.drop_bucket(name)


async def insert(store: Store, request: Request) -> Response:
    """``buckets.insert``."""
    if not request.query.get("project"):
        raise ApiError(400, "Required parameter: project", reason="required", code="InvalidArgument")
    resource = await request.json()
    name = resource.get("name")
    if not isinstance(name, str) or not name:
        raise ApiError(400, "Required parameter: name", reason="required", code="InvalidArgument")
    bucket = create_bucket(
        store,
        name,
        str(resource.get("location") or "US"),
        project=request.query["project"],
        storage_class=str(resource.get("storageClass") or "STANDARD"),
        settings={key: value for key, value in resource.items() if key not in _OURS and value is not None},
    )
    await store.committed()
    return json_response(bucket_resource(bucket, request.base_url))


async def listing(store: Store, request: Request) -> Response:
    """``buckets.list`` of a project."""
    query = request.query
    if not query.get("project"):
        raise ApiError(400, "Required parameter: project", reason="required", code="InvalidArgument")
    try:
        limit = min(int(query.get("maxResults") or 1000), 1000)
    except ValueError:
        raise _invalid(f"Invalid value for maxResults: {query['maxResults']}") from None
    prefix, after = query.get("prefix", ""), query.get("pageToken", "")
    found = [
        bucket
        for bucket in store.buckets()
        if bucket.project == query["project"] and bucket.name.startswith(prefix) and bucket.name > after
    ]
    value: dict[str, Any] = {
        "kind": "storage#buckets",
        "items": [bucket_resource(bucket, request.base_url) for bucket in found[:limit]],
    }
    if len(found) > limit:
        value["nextPageToken"] = found[limit - 1].name
    return json_response(value)


def _check_conditions(bucket: Bucket, request: Request) -> None:
    conditions = Preconditions.from_query(request.query)
    if conditions.metageneration not in (None, bucket.metageneration):
        raise precondition_failed()
    if conditions.metageneration_not == bucket.metageneration:
        raise precondition_failed()


async def get(store: Store, request: Request, name: str) -> Response:
    """``buckets.get``."""
    bucket = require_bucket(store, name)
    _check_conditions(bucket, request)
    return json_response(bucket_resource(bucket, request.base_url))


async def patch(store: Store, request: Request, name: str) -> Response:
    """``buckets.patch`` (and update): named fields change, maps are merged, null removes; the location never does."""
    changes = await request.json()
    bucket = require_bucket(store, name)
    _check_conditions(bucket, request)
    settings = {} if request.method == "PUT" else dict(bucket.settings)
    for key, value in changes.items():
        if key in _OURS:
            continue
        if value is None:
            settings.pop(key, None)
        elif isinstance(value, dict) and isinstance(settings.get(key), dict):
            merged = {**settings[key], **value}
            settings[key] = {name_: item for name_, item in merged.items() if item is not None}
        else:
            settings[key] = value
    changed = msgspec.structs.replace(
        bucket, settings=settings, updated=store.now(), metageneration=bucket.metageneration + 1
    )
    store.save_bucket(changed)
    await store.committed()
    return json_response(bucket_resource(changed, request.base_url))


async def delete(store: Store, request: Request, name: str) -> Response:
    """``buckets.delete``."""
    _check_conditions(require_bucket(store, name), request)
    remove_bucket(store, name)
    await store.committed()
    return Response(204)


async def layout(store: Store, request: Request, name: str) -> Response:
    """``buckets.getStorageLayout``: where the bucket is, for callers that may only read objects."""
    bucket = require_bucket(store, name)
    resource = bucket_resource(bucket, request.base_url)
    value = {"kind": "storage#storageLayout", "bucket": name, "location": resource["location"]}
    return json_response({**value, "locationType": resource["locationType"]})


async def test_permissions(store: Store, request: Request, name: str) -> Response:
    """``buckets.testIamPermissions``: the sandbox's caller may do everything."""
    require_bucket(store, name)
    asked = parse_qs(request.query_string.decode("latin-1")).get("permissions", [])
    return json_response({"kind": "storage#testIamPermissionsResponse", "permissions": asked})
