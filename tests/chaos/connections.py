"""Faults of a connection: each can hit any operation, once, now and then, or always."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from tests.chaos.cell import ALWAYS, FOREVER_S, Cell

__all__ = ["EVERYWHERE", "FAULTS", "OPERATIONS", "always", "fault_of", "now_and_then", "once"]

# -- faults of a connection: they can hit any operation ---------------------------------------------------------------

_PAGE = "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in to the network.</body></html>"
_HTML = {"Content-Type": "text/html; charset=utf-8"}


def _error(server: str, status: int, text: str) -> dict[str, Any]:
    """An error in the words of the service."""
    if server == "labelbox":
        return {"json": {"errors": [{"message": text}]}}
    if server == "vertex":
        kind = {429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE"}[status]
        return {"json": {"error": {"code": status, "message": text, "status": kind}}}
    return {"body": text}


def fault_of(name: str, server: str) -> dict[str, Any]:
    """The fields of a rule."""
    match name:
        case "429":
            return {"status": 429, **_error(server, 429, "Too many requests")}
        case "429, Retry-After":
            return {"status": 429, "headers": {"Retry-After": "1"}, **_error(server, 429, "Too many requests")}
        case "500":
            return {"status": 500, **_error(server, 500, "Internal Server Error")}
        case "503":
            return {"status": 503, **_error(server, 503, "Service Unavailable")}
        case "503, Retry-After":
            return {"status": 503, "headers": {"Retry-After": "1"}, **_error(server, 503, "Service Unavailable")}
        case "reset":
            return {"reset": True}
        case "no answer":
            return {"delay_s": FOREVER_S}
        case "answer lost":
            return {"answer_after_s": FOREVER_S}
        case "cut short":
            return {"truncate": 20}
        case "trickle":
            return {"trickle_s": 1.5}
        case "length too long":
            return {"claim": 7}
        case "length too short":
            return {"claim": -7}
        case "HTML, 200":
            return {"status": 200, "headers": _HTML, "body": _PAGE}
        case "HTML, 502":
            return {"status": 502, "headers": _HTML, "body": _PAGE}
    raise AssertionError(name)


_BROKEN_OFF = r"broke|cut|short|incomplete|bytes|body|disconnect|protocol|closed|payload|had \d+|cannot be reached|json"
_SYMPTOMS = {
    "429": r"429|rate limit|too many requests|resource.?exhausted",
    "429, Retry-After": r"429|rate limit|too many requests|resource.?exhausted",
    "500": r"500|internal server error|internal",
    "503": r"503|unavailable",
    "503, Retry-After": r"503|unavailable",
    "reset": r"reset|connect|did not answer|no answer|cannot be reached|closed|disconnect|sending request|error",
    "no answer": r"time|did not answer|no answer|cannot be reached|sending request",
    "answer lost": r"time|did not answer|no answer|cannot be reached|sending request",
    "cut short": _BROKEN_OFF,
    "trickle": r"slow|time",
    "length too long": _BROKEN_OFF,
    "length too short": r"json|not of|bytes|decod|broke|cut|had \d+|pars|form|line|syntax",
    "HTML, 200": r"html|json|not of|bytes|decod|had \d+|picture|pars|proxy",
    "HTML, 502": r"502|html|json",
}
FAULTS = tuple(_SYMPTOMS)

# -- the operations of a run ------------------------------------------------------------------------------------------


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a run asks of a service.

    Attributes:
        service: As the table names it. ``name``: likewise.
        server: Where the rule goes.
        match: Operation or path. ``more``: further fields of the rule.
        model: The kind of run that uses it.
        says: How messages name the service.
        optional: The run can do without: it must not fail for it.
    """

    service: str
    name: str
    server: str
    match: str
    more: dict[str, Any] = {}
    model: str = "batch"
    says: str
    optional: bool = False


def _labelbox(name: str, match: str, *, optional: bool = False, **more: Any) -> Operation:
    return Operation(
        service="Labelbox", name=name, server="labelbox", match=match, more=more, says="Labelbox", optional=optional
    )


def _storage(name: str, match: str, **more: Any) -> Operation:
    return Operation(service="Storage", name=name, server="storage", match=match, more=more, says="Storage|gs://")


def _vertex(name: str, match: str, model: str = "batch", says: str = "Vertex") -> Operation:
    return Operation(service="Vertex", name=name, server="vertex", match=match, model=model, says=says)


OPERATIONS = (
    _labelbox("read the model run", "GetModelRunPyApi"),
    _labelbox("read the model", "GetModelPyApi"),
    _labelbox("read the ontology", "GetOntologyPyApi"),
    _labelbox("ask whether imports are taken", "createMEAPredictionImportByUrlPyApi", optional=True),
    _labelbox("start the export", "exportDataRowsInModelRunPyApi"),
    _labelbox("whose key it is", "GetUserPyApi"),
    _labelbox("look at the export", "GetUserCreatedTasksPyApi"),
    _labelbox("size of the export", "GetExportMetadataHeaderPyApi"),
    _labelbox("where the export's file is", "GetExportFileFromOffsetPyApi"),
    _labelbox("the export's file", "/files/*/export-*"),
    _labelbox("find an import", "getModelErrorAnalysisPredictionImportPyApi"),
    _labelbox("send an import", "createMEAPredictionImportByFilePyApi"),
    _labelbox("an import's statuses", "/files/*-statuses.ndjson"),
    _labelbox("tell the status", "setPipelineStatusPyApi", optional=True),
    _storage("write a run's file", "*/runs/*", method="PUT"),
    _storage("read a run's file", "*/runs/*", method="GET"),
    _storage("look at a run's file", "*/runs/*", method="HEAD"),
    _storage("write an asset's copy", "*/assets/*", method="PUT"),
    _storage("list a folder", "storage.objects.list"),
    _vertex("find a job", "batchPredictionJobs.list"),
    _vertex("create a job", "batchPredictionJobs.create"),
    _vertex("look at a job", "batchPredictionJobs.get"),
    _vertex("predict", "endpoints.predict", "endpoint", "model"),
    Operation(
        service="Container", name="predict", server="customer", match="/predict", model="container", says="model"
    ),
    Operation(
        service="Assets", name="fetch a picture", server="customer", match="/pictures/*", says="asset|http://|pictures"
    ),
)


def _cell(operation: Operation, fault: str, rate: str, **more: Any) -> Cell:
    rule = {"match": operation.match, **operation.more, **fault_of(fault, operation.server), **more.pop("rule", {})}
    hurry = {}
    if operation.match == "setPipelineStatusPyApi":
        hurry = {"vertex_model_inference.runs.ending:PATIENCE_S": 30.0}
    if operation.service == "Storage" and rate == "always":
        hurry = {"vertex_model_inference.runs.progress:PATIENCE_S": 2.0}
    return Cell(
        service=operation.service,
        operation=operation.name,
        fault=fault,
        rate=rate,
        model=operation.model,
        rules=((operation.server, rule),),
        own_pictures=operation.server == "customer" or "assets" in operation.match,
        words=(operation.says, _SYMPTOMS[fault]),
        hurry=hurry,
        untold=operation.match == "setPipelineStatusPyApi" and rate == "always",
        **more,
    )


def once() -> Iterator[Cell]:
    """The first request of each operation."""
    for operation in OPERATIONS:
        for fault in FAULTS:
            # A page with status 200 in a picture's place is what the customer has there, as far as can be told.
            page = operation.service == "Assets" and fault == "HTML, 200"
            yield _cell(operation, fault, "once", absorbed=not page)


def always() -> Iterator[Cell]:
    """Every request of each operation."""
    for operation in OPERATIONS:
        for fault in FAULTS:
            if fault.endswith("Retry-After"):
                continue  # for good, it is the same as without
            yield _cell(
                operation,
                fault,
                "always",
                rule={"times": ALWAYS},
                absorbed=operation.optional or fault == "trickle",
            )


EVERYWHERE = {
    "labelbox": ("Labelbox", "Labelbox", "batch"),
    "storage": ("Storage", "Storage|gs://", "batch"),
    "vertex": ("Vertex", "Vertex|model", "batch"),
    "customer": ("Container", "model|asset|http://|pictures", "container"),
}


def now_and_then() -> Iterator[Cell]:
    """One request in ten of a whole service."""
    for server, (service, says, model) in EVERYWHERE.items():
        for seed, fault in enumerate(FAULTS):
            few = server in ("vertex", "customer")  # a run has few requests for them
            chance = 0.25 if few else 0.1
            rule = {"match": "*", **fault_of(fault, server), "times": ALWAYS, "chance": chance, "seed": seed}
            yield Cell(
                service=service,
                operation="any",
                fault=fault,
                rate="25 %" if few else "10 %",
                model=model,
                rules=((server, rule),),
                rows=36,
                own_pictures=server == "customer",
                settings={"VMI_SHARD_ROWS": "6", "VMI_JOB_ROWS": "12"},
                words=(says, _SYMPTOMS[fault]),
                absorbed=True,
            )
    for seed, fault in enumerate(FAULTS):
        rules = tuple(
            (server, {"match": "*", **fault_of(fault, server), "times": ALWAYS, "chance": 0.05, "seed": seed})
            for server in EVERYWHERE
            if (server, fault) != ("customer", "HTML, 200")
        )
        yield Cell(
            service="All",
            operation="any",
            fault=fault,
            rate="5 % each",
            rules=rules,
            rows=36,
            own_pictures=True,
            settings={"VMI_SHARD_ROWS": "6", "VMI_JOB_ROWS": "12"},
            words=("", _SYMPTOMS[fault]),
            absorbed=True,
        )
