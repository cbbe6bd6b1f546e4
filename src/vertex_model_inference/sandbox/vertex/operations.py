"""Long-running operations: ``GET .../operations/ID`` (google.longrunning)."""

from __future__ import annotations

import time
from typing import Any

from vertex_model_inference.sandbox.vertex.knobs import Settings
from vertex_model_inference.sandbox.vertex.store import Store
from vertex_model_inference.sandbox.vertex.wire import ApiError, Call, new_id, not_found, now

__all__ = ["Operations"]

KIND = "operation"
_TYPE = "type.googleapis.com/google.cloud.aiplatform.v1."


class Operations:
    """Makes and shows operations.

    Args:
        store: Where they are kept.
        settings: The server's settings at the moment.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store = store
        self.settings = settings

    def begin(self, resource: str, metadata_type: str, pending: dict[str, Any] | None = None) -> dict[str, Any]:
        """A new operation that is not done.

        Args:
            resource: Name of what it works on, ``projects/.../models/ID``.
            metadata_type: ``@type`` of its metadata.
            pending: What is needed to go on with it after a restart; never shown.
        """
        moment = now()
        doc = {
            "name": f"{resource}/operations/{new_id()}",
            "metadata": {
                "@type": metadata_type,
                "genericMetadata": {"createTime": moment, "updateTime": moment},
            },
            "done": False,
            "_ready": time.time() + self.settings.operation_s,
            "_pending": pending,
        }
        self._put(doc)
        return doc

    def finish(self, doc: dict[str, Any], response: dict[str, Any] | ApiError) -> dict[str, Any]:
        """End it with a response (with ``@type``) or an error; gives what a client sees now."""
        if isinstance(response, ApiError):
            doc["error"] = response.rpc()
        else:
            doc["response"] = response
        doc["done"] = True
        doc["_pending"] = None
        doc["metadata"]["genericMetadata"]["updateTime"] = now()
        self._put(doc)
        return shown(doc)

    def done(self, resource: str, response: dict[str, Any], *, metadata_type: str) -> dict[str, Any]:
        """An operation whose result is there already; clients see it once ``operation_s`` has passed."""
        return self.finish(self.begin(resource, metadata_type), response)

    def empty(self, resource: str) -> dict[str, Any]:
        """A finished deletion."""
        return self.done(
            resource,
            {"@type": "type.googleapis.com/google.protobuf.Empty"},
            metadata_type=f"{_TYPE}DeleteOperationMetadata",
        )

    def unfinished(self) -> list[dict[str, Any]]:
        """Operations that a restart interrupted, with their ``_pending``."""
        return [doc for _, _, doc in self.store.everywhere(KIND) if not doc["done"]]

    def _put(self, doc: dict[str, Any]) -> None:
        self.store.put(KIND, "", doc["name"].rpartition("/")[2], doc)

    async def get(self, call: Call) -> dict[str, Any]:
        """``operations.get`` and ``operations.wait``."""
        doc = self.store.get(KIND, "", call.ids["operation"])
        if doc is None or not doc["name"].startswith(call.parent):
            raise not_found("Operation", f"{call.parent}/operations/{call.ids['operation']}")
        return shown(doc)

    async def cancel(self, _call: Call) -> dict[str, Any]:
        """``operations.cancel``: best effort, as the service says; here everything runs to its end."""
        return {}

    async def delete(self, call: Call) -> dict[str, Any]:
        """``operations.delete``: forget the result."""
        await self.get(call)
        self.store.delete(KIND, "", call.ids["operation"])
        return {}


def shown(doc: dict[str, Any]) -> dict[str, Any]:
    """What a client sees of an operation now."""
    visible = {key: value for key, value in doc.items() if not key.startswith("_")}
    if time.time() < doc["_ready"]:
        visible["done"] = False
        visible.pop("response", None)
        visible.pop("error", None)
    return visible
