"""The parts of the sandbox's Vertex AI, put together, and its ``/_sandbox/`` JSON."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import orjson

from vertex_model_inference.sandbox.config import SandboxConfig
from vertex_model_inference.sandbox.vertex.containers import Containers
from vertex_model_inference.sandbox.vertex.endpoints import Endpoints
from vertex_model_inference.sandbox.vertex.evaluations import Evaluations
from vertex_model_inference.sandbox.vertex.gemini import Gemini
from vertex_model_inference.sandbox.vertex.jobs import Jobs
from vertex_model_inference.sandbox.vertex.knobs import JobPlan, Mischief, Settings
from vertex_model_inference.sandbox.vertex.models import Models
from vertex_model_inference.sandbox.vertex.objects import Objects
from vertex_model_inference.sandbox.vertex.online import Online
from vertex_model_inference.sandbox.vertex.operations import Operations
from vertex_model_inference.sandbox.vertex.runner import ENDED, Runner
from vertex_model_inference.sandbox.vertex.store import Store
from vertex_model_inference.sandbox.vertex.tricks import Trick
from vertex_model_inference.sandbox.vertex.wire import Answer, ApiError, Call, decode_body, invalid

__all__ = ["Service"]

Handler = Callable[[Call], Awaitable[dict[str, Any] | Answer]]


class Service:
    """One running Vertex AI.

    Args:
        config: Of the sandbox.
    """

    def __init__(self, config: SandboxConfig) -> None:
        folder = config.state / "vertex"
        folder.mkdir(parents=True, exist_ok=True)
        making = folder / "outputs"
        shutil.rmtree(making, ignore_errors=True)  # jobs that a crash interrupted begin their files anew
        self.store = Store(folder / "vertex.sqlite3")
        self.settings = msgspec.convert(self.store.get("settings", "", "settings") or {}, Settings)
        self.mischief = [msgspec.convert(doc, Mischief) for _, _, doc in self.store.everywhere("mischief")]
        self.objects = Objects(config.storage_url)
        self.containers = Containers(config.storage_url)
        self.operations = Operations(self.store, self.settings)
        self.models = Models(self.store, self.operations)
        self.evaluations = Evaluations(self.store, self.models)
        self.endpoints = Endpoints(self.store, self.models, self.containers, self.operations)
        self.online = Online(self.endpoints, self.containers, self.settings)
        self.gemini = Gemini(self.objects)
        self.jobs = Jobs(self.models, self.objects, self.operations, self.containers, self.gemini, self._plan)
        self.runner = Runner(self.store, self.settings, self.objects, making, self.jobs.work)
        self.jobs.runner = self.runner
        self._handlers: dict[str, Handler] = {
            "models.list": self.models.list,
            "models.upload": self.models.upload,
            "models.get": self.models.get,
            "models.listVersions": self.models.list_versions,
            "models.patch": self.models.patch,
            "models.delete": self.models.delete,
            "models.deleteVersion": self.models.delete_version,
            "models.mergeVersionAliases": self.models.merge_aliases,
            "models.evaluations.import": self.evaluations.add,
            "models.evaluations.list": self.evaluations.list,
            "models.evaluations.slices.batchImport": self.evaluations.add_slices,
            "models.evaluations.slices.list": self.evaluations.list_slices,
            "endpoints.list": self.endpoints.list,
            "endpoints.create": self.endpoints.create,
            "endpoints.get": self.endpoints.get,
            "endpoints.patch": self.endpoints.patch,
            "endpoints.delete": self.endpoints.delete,
            "endpoints.deployModel": self.endpoints.deploy,
            "endpoints.undeployModel": self.endpoints.undeploy,
            "endpoints.predict": self.online.predict,
            "endpoints.rawPredict": self.online.raw_predict,
            "batchPredictionJobs.list": self.jobs.list,
            "batchPredictionJobs.create": self.jobs.create,
            "batchPredictionJobs.get": self.jobs.get,
            "batchPredictionJobs.cancel": self.jobs.cancel,
            "batchPredictionJobs.delete": self.jobs.delete,
            "publishers.models.list": self.gemini.list,
            "publishers.models.get": self.gemini.get,
            "publishers.models.generateContent": self.gemini.generate,
            "publishers.models.streamGenerateContent": self.gemini.stream,
            "publishers.models.countTokens": self.gemini.count,
            "operations.get": self.operations.get,
            "operations.wait": self.operations.get,
            "operations.cancel": self.operations.cancel,
            "operations.delete": self.operations.delete,
        }

    def start(self) -> None:
        """Go on with what a restart interrupted; called in the event loop."""
        self.endpoints.resume()
        self.runner.resume()

    async def close(self) -> None:
        """Stop everything; unfinished jobs stay as they are in the store."""
        await self.runner.close()
        await self.endpoints.close()
        self.gemini.close()
        await self.containers.close()
        await self.objects.close()
        self.store.close()

    def handler(self, operation: str) -> Handler | None:
        """What answers an operation; None when it is known but not served here."""
        return self._handlers.get(operation)

    def _plan(self, display_name: str) -> JobPlan:
        for number, mischief in enumerate(self.mischief):
            if mischief.take(display_name):
                self.store.put("mischief", "", str(number), msgspec.to_builtins(mischief))
                return JobPlan(settings=self.settings, mischief=mischief)
        return JobPlan(settings=self.settings)

    async def sandbox(self, method: str, path: str, body: bytes) -> dict[str, Any] | Answer:
        """The sandbox's own JSON: ``health``, ``jobs``, ``settings``, ``mischief``, ``gemini`` (tricks).

        Raises:
            ApiError: Unknown path, or a body that is none.
        """
        match method, path:
            case "GET", "health":
                return {"status": "ok"}
            case "GET", "jobs":
                return {"jobs": self._jobs(), "containers": self._counts()}
            case "GET", "settings":
                return _plain(self.settings)
            case "PUT", "settings":
                # Those not named stay as they are.
                self._set(_struct(orjson.dumps({**_plain(self.settings), **decode_body(body)}), Settings))
                await self.runner.wake()
                return _plain(self.settings)
            case "GET", "mischief":
                return {"mischief": [_plain(item) for item in self.mischief]}
            case "POST", "mischief":
                self.mischief.append(_struct(body, Mischief))
                self.store.put("mischief", "", str(len(self.mischief) - 1), _plain(self.mischief[-1]))
                return {"mischief": [_plain(item) for item in self.mischief]}
            case "DELETE", "mischief":
                for number in range(len(self.mischief)):
                    self.store.delete("mischief", "", str(number))
                self.mischief.clear()
                return {"mischief": []}
            case "GET", "gemini":
                return {"tricks": [_plain(item) for item in self.gemini.tricks.all]}
            case "POST", "gemini":
                self.gemini.tricks.all.append(_struct(body, Trick))
                return {"tricks": [_plain(item) for item in self.gemini.tricks.all]}
            case "DELETE", "gemini":
                self.gemini.tricks.all.clear()
                return {"tricks": []}
        raise ApiError("NOT_FOUND", f"{method} /_sandbox/{path} is not served here.")

    def _set(self, settings: Settings) -> None:
        self.settings = settings
        for part in (self.operations, self.online, self.runner):
            part.settings = settings
        self.store.put("settings", "", "settings", _plain(settings))

    def _jobs(self) -> list[dict[str, Any]]:
        return [
            {
                "name": record.job["name"],
                "displayName": record.job["displayName"],
                "state": record.state,
                "ended": record.state in ENDED,
                "container": record.container,
                "lines": record.lines,
                "sent": record.sent,
                "succeeded": record.succeeded,
                "failed": record.failed,
                "attempts": record.attempts,
            }
            for record in self.runner.all_records()
        ]

    def _counts(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for record in self.runner.all_records():
            counts[record.container] = counts.get(record.container, 0) + record.sent
        return counts


def _plain(value: msgspec.Struct) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(value)
    return plain


def _struct(body: bytes, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise invalid(f"Invalid body: {error}.") from None
