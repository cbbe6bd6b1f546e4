"""Organization, user, tasks, files."""

from __future__ import annotations

from typing import Any

from vertex_model_inference.sandbox.labelbox import wire
from vertex_model_inference.sandbox.labelbox.graphql import Call, GraphqlError, Operations, page_of

__all__ = ["operations"]

operations = Operations()


@operations("GetOrganization")
def _organization(call: Call) -> dict[str, Any]:
    return {"organization": wire.organization(call.store)}


@operations("GetUser")
def _user(call: Call) -> dict[str, Any]:
    return {"user": wire.user(call.store)}


@operations("GetUserOrganization")
def _user_organization(call: Call) -> dict[str, Any]:
    return {"user": {"organization": wire.organization(call.store)}}


@operations("GetUsers", "GetOrganizationUsers")
def _users(call: Call) -> dict[str, Any]:
    skip, _ = page_of(call.query)
    users = [wire.user(call.store)] if skip == 0 else []
    return {"users": users, "organization": {"users": users}}


@operations("getAllIntegrations")
def _integrations(_: Call) -> dict[str, Any]:
    return {"iamIntegrations": []}


@operations("GetMetadataOntologyBeta")
def _metadata_ontology(_: Call) -> dict[str, Any]:
    return {"customMetadataOntology": []}


@operations("GetUserCreatedTasks", "GetOrganizationTasks")
def _tasks(call: Call) -> dict[str, Any]:
    task_id = call.variables.get("param_0")
    if (task_id is not None and "param_1" in call.variables) or "createdTasks(where" in call.query:
        row = call.store.tasks.get(str(task_id))
        tasks = [wire.task(row)] if row is not None else []
    else:
        tasks = [wire.task(row) for row in call.store.tasks.page(*page_of(call.query))]
    return {"user": {"createdTasks": tasks}, "organization": {"tasks": tasks}}


@operations("UploadFile", "uploadFile")
def _upload(call: Call) -> dict[str, Any]:
    if call.upload is None:
        raise GraphqlError("uploadFile needs a file in a multipart request.", "MALFORMED_REQUEST")
    return {"uploadFile": {"url": call.store.files.url(call.upload), "filename": call.upload.name}}
