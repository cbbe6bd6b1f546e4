"""Endpoints and the models deployed to them."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
from typing import Any

from google.cloud.aiplatform_v1 import types as t

from vertex_model_inference.sandbox.vertex.containers import ContainerError, Containers, unhealthy
from vertex_model_inference.sandbox.vertex.filters import ordered, predicate
from vertex_model_inference.sandbox.vertex.models import Models
from vertex_model_inference.sandbox.vertex.operations import Operations, shown
from vertex_model_inference.sandbox.vertex.store import Store
from vertex_model_inference.sandbox.vertex.wire import (
    ApiError,
    Call,
    decode_body,
    failed_precondition,
    invalid,
    new_id,
    not_found,
    now,
    page_of,
    parse,
    validate_labels,
)

__all__ = ["Endpoints"]

KIND = "endpoint"
_TYPE = "type.googleapis.com/google.cloud.aiplatform.v1."
_FILTERS = ("name", "endpoint", "displayName", "labels", "createTime", "updateTime")


class Endpoints:
    """Endpoints; deploying starts the model's container and waits for its health.

    Args:
        store: Where they are kept.
        models: The registry. ``containers``: what serves them. ``operations``: makes the long-running operations.
    """

    def __init__(self, store: Store, models: Models, containers: Containers, operations: Operations) -> None:
        self.store = store
        self.models = models
        self.containers = containers
        self.operations = operations
        self.tasks: set[asyncio.Task[None]] = set()

    def resume(self) -> None:
        """Go on with deployments that a restart interrupted."""
        for doc in self.operations.unfinished():
            if doc["_pending"]:
                self._spawn(doc)

    async def close(self) -> None:
        """Stop waiting for containers."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def doc(self, parent: str, id_: str) -> dict[str, Any]:
        """An endpoint's JSON.

        Raises:
            ApiError: NOT_FOUND.
        """
        found = self.store.get(KIND, parent, id_)
        if found is None:
            raise not_found("Endpoint", f"{parent}/endpoints/{id_}")
        return found

    async def create(self, call: Call) -> dict[str, Any]:
        """``endpoints.create``."""
        endpoint = parse(t.Endpoint, decode_body(call.body), "endpoint")
        _check(endpoint)
        id_ = call.query.get("endpointId") or new_id()
        if not re.fullmatch(r"[a-z0-9-]{1,63}", id_):
            raise invalid(f"Invalid endpoint_id {id_!r}.")
        if self.store.get(KIND, call.parent, id_):
            raise ApiError("ALREADY_EXISTS", f"The Endpoint {call.parent}/endpoints/{id_} exists already.")
        name = f"{call.parent}/endpoints/{id_}"
        moment = now()
        for field in ("deployedModels", "trafficSplit", "dedicatedEndpointDns"):
            endpoint.pop(field, None)
        endpoint |= {"name": name, "createTime": moment, "updateTime": moment, "etag": "AMEw9yN1"}
        if endpoint.get("dedicatedEndpointEnabled"):
            # The real one is https://ID.REGION-NUMBER.prediction.vertexai.goog; here the same server takes its paths.
            endpoint["dedicatedEndpointDns"] = call.base.partition("://")[2]
        self.store.put(KIND, call.parent, id_, endpoint)
        return self.operations.done(
            name,
            {"@type": f"{_TYPE}Endpoint", **endpoint},
            metadata_type=f"{_TYPE}CreateEndpointOperationMetadata",
        )

    async def get(self, call: Call) -> dict[str, Any]:
        """``endpoints.get``."""
        return self.doc(call.parent, call.ids["id"])

    async def list(self, call: Call) -> dict[str, Any]:
        """``endpoints.list``."""
        test = predicate(call.query.get("filter", ""), _FILTERS)
        found = [
            doc
            for doc in self.store.all(KIND, call.parent)
            if test({**doc, "endpoint": doc["name"].rpartition("/")[2]})
        ]
        return page_of(ordered(found, call.query.get("orderBy", ""), _FILTERS), call, "endpoints")

    async def patch(self, call: Call) -> dict[str, Any]:
        """``endpoints.patch``: display name, description, labels and traffic split."""
        changes = parse(t.Endpoint, decode_body(call.body), "endpoint")
        doc = self.doc(call.parent, call.ids["id"])
        names = {"display_name": "displayName", "traffic_split": "trafficSplit"}
        for part in filter(None, (call.query.get("updateMask") or call.query.get("update_mask") or "").split(",")):
            field = names.get(part, part)
            if field not in ("displayName", "description", "labels", "trafficSplit"):
                raise invalid(f"Invalid update_mask: {field!r} cannot be updated.")
            doc[field] = changes.get(field, {} if field in ("labels", "trafficSplit") else "")
        _check(doc)
        if doc.get("trafficSplit"):
            _check_split(doc["trafficSplit"], {item["id"] for item in doc.get("deployedModels", [])})
        doc["updateTime"] = now()
        self.store.put(KIND, call.parent, call.ids["id"], doc)
        return doc

    async def delete(self, call: Call) -> dict[str, Any]:
        """``endpoints.delete``: refused while a model is deployed."""
        doc = self.doc(call.parent, call.ids["id"])
        if doc.get("deployedModels"):
            raise failed_precondition(
                f"The Endpoint {doc['name']} has {len(doc['deployedModels'])} deployed models; undeploy them first."
            )
        self.store.delete(KIND, call.parent, call.ids["id"])
        return self.operations.empty(doc["name"])

    async def deploy(self, call: Call) -> dict[str, Any]:
        """``endpoints.deployModel``: done when the container is healthy."""
        doc = self.doc(call.parent, call.ids["id"])
        request = parse(t.DeployModelRequest, decode_body(call.body), "deploy_model_request")
        deployed = request.get("deployedModel") or {}
        if not deployed.get("model"):
            raise invalid("Required field is not set: deployed_model.model.")
        model = self.models.find(deployed["model"], field="deployed_model.model")
        kinds = {"DEDICATED_RESOURCES": "dedicatedResources", "AUTOMATIC_RESOURCES": "automaticResources"}
        given = [kind for kind, field in kinds.items() if field in deployed]
        supported = model["supportedDeploymentResourcesTypes"]
        if not supported:
            raise invalid(f"Model {model['name']} does not support online predictions; it cannot be deployed.")
        if given != supported:
            raise invalid(
                f"Model {model['name']} supports prediction resources of type {', '.join(supported)}; "
                f"given: {', '.join(given) or 'none'}."
            )
        if "dedicatedResources" in deployed:
            resources = deployed["dedicatedResources"]
            if not resources.get("machineSpec", {}).get("machineType"):
                raise invalid(
                    "Required field is not set: deployed_model.dedicated_resources.machine_spec.machine_type."
                )
            if int(resources.get("minReplicaCount", 0)) < 1:
                raise invalid("Invalid deployed_model.dedicated_resources.min_replica_count: it must be at least 1.")
        id_ = deployed.get("id") or new_id()
        if any(item["id"] == id_ for item in doc.get("deployedModels", [])):
            raise ApiError("ALREADY_EXISTS", f"There is a DeployedModel {id_} at {doc['name']} already.")
        split = {key if key != "0" else id_: value for key, value in request.get("trafficSplit", {}).items()}
        if split:
            _check_split(split, {id_, *(item["id"] for item in doc.get("deployedModels", []))})
        operation = self.operations.begin(
            doc["name"],
            f"{_TYPE}DeployModelOperationMetadata",
            {
                "parent": call.parent,
                "endpoint": call.ids["id"],
                "split": split,
                "deployed": {
                    **deployed,
                    "id": id_,
                    "model": model["name"],
                    "modelVersionId": model["versionId"],
                    "displayName": deployed.get("displayName") or model["displayName"],
                },
            },
        )
        task = self._spawn(operation)
        with contextlib.suppress(TimeoutError):  # one that is up already answers at once
            await asyncio.wait_for(asyncio.shield(task), 0.2)
        return shown(operation)

    def _spawn(self, operation: dict[str, Any]) -> asyncio.Task[None]:
        task = asyncio.create_task(self._deploy(operation))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def _deploy(self, operation: dict[str, Any]) -> None:
        plan = operation["_pending"]
        deployed = {**plan["deployed"], "createTime": now()}
        try:
            model = self.models.find(f"{deployed['model']}@{deployed['modelVersionId']}")
            await self.containers.of(model, start_s=self.operations.settings.container_start_s)
            doc = self.doc(plan["parent"], plan["endpoint"])
        except ApiError as error:
            self.operations.finish(operation, error)
            return
        except ContainerError as error:
            self.operations.finish(operation, unhealthy(error))
            return
        doc["deployedModels"] = [*doc.get("deployedModels", []), deployed]
        # Without a split the first model takes all traffic and a further one none.
        doc["trafficSplit"] = plan["split"] or doc.get("trafficSplit") or {deployed["id"]: 100}
        doc["updateTime"] = now()
        self.store.put(KIND, plan["parent"], plan["endpoint"], doc)
        self.operations.finish(operation, {"@type": f"{_TYPE}DeployModelResponse", "deployedModel": deployed})

    async def undeploy(self, call: Call) -> dict[str, Any]:
        """``endpoints.undeployModel``."""
        doc = self.doc(call.parent, call.ids["id"])
        request = parse(t.UndeployModelRequest, decode_body(call.body), "undeploy_model_request")
        id_ = request.get("deployedModelId", "")
        left = [item for item in doc.get("deployedModels", []) if item["id"] != id_]
        if len(left) == len(doc.get("deployedModels", [])):
            raise not_found("DeployedModel", f"{id_} at {doc['name']}")
        split = request.get("trafficSplit") or {
            key: value for key, value in doc.get("trafficSplit", {}).items() if key != id_
        }
        if left and any(split.values()):
            _check_split(split, {item["id"] for item in left})
        doc |= {"deployedModels": left, "trafficSplit": split if left else {}, "updateTime": now()}
        self.store.put(KIND, call.parent, call.ids["id"], doc)
        return self.operations.done(
            doc["name"],
            {"@type": f"{_TYPE}UndeployModelResponse"},
            metadata_type=f"{_TYPE}UndeployModelOperationMetadata",
        )

    def choose(self, doc: dict[str, Any], deployed_id: str | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
        """The deployed model and its model that one request goes to, by the traffic split.

        Raises:
            ApiError: Nothing is deployed.
        """
        deployed = {item["id"]: item for item in doc.get("deployedModels", [])}
        split = {key: int(value) for key, value in doc.get("trafficSplit", {}).items() if int(value) > 0}
        if deployed_id is not None and deployed_id not in deployed:
            raise not_found("DeployedModel", f"{deployed_id} at {doc['name']}")
        if not deployed or (deployed_id is None and not split):
            raise failed_precondition(f"Endpoint {doc['name']} doesn't have traffic_split.")
        id_ = deployed_id or random.choices(list(split), weights=list(split.values()))[0]  # noqa: S311
        chosen = deployed[id_]
        return chosen, self.models.find(f"{chosen['model']}@{chosen['modelVersionId']}")


def _check(endpoint: dict[str, Any]) -> None:
    if not endpoint.get("displayName"):
        raise invalid("Required field is not set: endpoint.display_name.")
    if len(endpoint["displayName"]) > 128:
        raise invalid("Invalid endpoint.display_name: at most 128 characters are allowed.")
    validate_labels(endpoint.get("labels", {}))


def _check_split(split: dict[str, int], known: set[str]) -> None:
    unknown = set(split) - known
    if unknown:
        raise invalid(f"Invalid traffic_split: there is no DeployedModel {', '.join(sorted(unknown))}.")
    if sum(split.values()) != 100:
        raise invalid(f"Invalid traffic_split: the percentages add up to {sum(split.values())}, not to 100.")
