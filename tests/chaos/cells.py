"""What is broken, where and how often: a cell of the table is one run under one fault."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

__all__ = ["FAULTS", "OPERATIONS", "SERVICES", "Cell", "Hold", "all_cells", "fast_cells"]

FOREVER_S = 3600.0
ALWAYS = 0
"""``times`` of a fault rule that never ends."""


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """A request at which the process is killed: it is held open, and while it is, kill -9.

    Attributes:
        server: Of the sandbox.
        match: Operation or path.
        happens: The request is carried out and only its answer held back; else it never arrives.
        more: Further fields of the rule.
    """

    server: str
    match: str
    happens: bool = False
    more: dict[str, Any] = {}


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One run and what is done to it.

    Attributes:
        service: As the table names it.
        operation: Likewise. ``fault``: likewise.
        rate: ``once``, ``10 %`` or ``always``.
        model: ``batch``, ``endpoint`` or ``container``.
        rules: (server, fault rule) each; the runner adds whose requests they hit.
        mischief: For the batch job, ``Mischief`` of the sandbox's Vertex.
        holds: Where it is killed, one after the other.
        rows: Data rows of the model run.
        own_pictures: The rows' pictures are at addresses of their own, so that faults of the web server are the cell's.
        settings: Variables beside the sandbox's.
        hurry: ``module:NAME`` -> value for the time of this run: how long it is patient.
        absorbed: Every row must end as if nothing had been broken.
        words: What a failed row, or a failed run, must say: each a pattern. None needed when it is ``absorbed``.
        fates: Row's number -> code that it must end with, for faults that hit known rows and no others.
        rights: Rows that must end as if nothing had been broken, when others may fail; None: no such claim.
        untold: Labelbox need not know how the run ended: it could not be told.
        seconds: The run must have ended by then.
    """

    service: str
    operation: str
    fault: str
    rate: str
    model: str = "batch"
    rules: tuple[tuple[str, dict[str, Any]], ...] = ()
    mischief: dict[str, Any] | None = None
    holds: tuple[Hold, ...] = ()
    rows: int = 8
    own_pictures: bool = False
    settings: dict[str, str] = {}
    hurry: dict[str, float] = {}
    absorbed: bool = False
    words: tuple[str, ...] = ()
    fates: dict[int, str] = {}
    untold: bool = False
    seconds: float = 420.0

    @property
    def name(self) -> str:
        """For logs and folders."""
        text = f"{self.service} {self.operation} {self.fault} {self.rate} {self.model}"
        return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower()


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


def _fault(name: str, server: str) -> dict[str, Any]:
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
SERVICES = ("Labelbox", "Storage", "Vertex", "Container", "Assets")


def _cell(operation: Operation, fault: str, rate: str, **more: Any) -> Cell:
    rule = {"match": operation.match, **operation.more, **_fault(fault, operation.server), **more.pop("rule", {})}
    hurry = {}
    if operation.match == "setPipelineStatusPyApi":
        hurry = {"vertex_model_inference.runs.ending:PATIENCE_S": 30.0}
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


def _once() -> Iterator[Cell]:
    for operation in OPERATIONS:
        for fault in FAULTS:
            # A page with status 200 in a picture's place is what the customer has there, as far as can be told.
            page = operation.service == "Assets" and fault == "HTML, 200"
            yield _cell(operation, fault, "once", absorbed=not page)


def _always() -> Iterator[Cell]:
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


_EVERYWHERE = {
    "labelbox": ("Labelbox", "Labelbox", "batch"),
    "storage": ("Storage", "Storage|gs://", "batch"),
    "vertex": ("Vertex", "Vertex|model", "batch"),
    "customer": ("Container", "model|asset|http://|pictures", "container"),
}


def _tenth() -> Iterator[Cell]:
    """One request in ten of a whole service."""
    for server, (service, says, model) in _EVERYWHERE.items():
        for seed, fault in enumerate(FAULTS):
            few = server in ("vertex", "customer")  # a run has few requests for them
            chance = 0.25 if few else 0.1
            rule = {"match": "*", **_fault(fault, server), "times": ALWAYS, "chance": chance, "seed": seed}
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
            (server, {"match": "*", **_fault(fault, server), "times": ALWAYS, "chance": 0.05, "seed": seed})
            for server in _EVERYWHERE
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


# -- faults of meaning: the answer comes whole, and says something bad -------------------------------------------------


def _jobs() -> Iterator[Cell]:
    """Output lines and ends of batch jobs; a job of all eight rows."""
    common: dict[str, Any] = {
        "service": "Vertex",
        "operation": "a job",
        "rate": "once",
        "settings": {"VMI_SHARD_ROWS": "8", "VMI_JOB_ROWS": "8"},
    }
    yield Cell(fault="lines missing", mischief={"drop_lines": [1, 4]}, words=("no line",),
               fates=dict.fromkeys((1, 4), "missing_answer"), **common)  # fmt: skip
    yield Cell(fault="lines twice", mischief={"duplicate": 1.0}, absorbed=True, **common)
    yield Cell(fault="lines contradict", mischief={"contradict": [1, 2]}, words=("different predictions",),
               fates=dict.fromkeys((1, 2), "duplicate_answer"), **common)  # fmt: skip
    yield Cell(fault="lines corrupt", mischief={"corrupt": [0, 5]}, words=("could not be read",),
               fates=dict.fromkeys((0, 5), "missing_answer"), **common)  # fmt: skip
    yield Cell(fault="lines of nobody", mischief={"unknown_keys": 9}, absorbed=True, **common)
    yield Cell(fault="all of these", words=("no line|different predictions",),
               mischief={"drop_lines": [0], "duplicate": [1, 2], "contradict": [3], "corrupt": [4], "unknown_keys": 3},
               fates={0: "missing_answer", 3: "duplicate_answer", 4: "missing_answer"}, **common)  # fmt: skip
    yield Cell(fault="create refused, quota", mischief={"refuse": True}, absorbed=True, **common)
    told = "Replica workers exited with a non-zero status."
    for state in ("FAILED", "EXPIRED", "PARTIALLY_SUCCEEDED"):
        yield Cell(
            fault=f"ends {state}, half done",
            mischief={"end_state": state, "stop_after": 4, "message": told},
            words=(state, "Replica workers exited"),
            fates=dict.fromkeys(range(4, 8), "job_failed"),
            **common,
        )
    for state in ("QUEUED", "PENDING", "RUNNING"):
        rule = {
            "match": "batchPredictionJobs.get",
            "replace": {"JOB_STATE_SUCCEEDED": f"JOB_STATE_{state}"},
            "times": 8,
        }
        yield Cell(fault=f"{state} for long", rules=(("vertex", rule),), absorbed=True, **common)


_EXPORT_S = "vertex_model_inference.steps.export:EXPORT_TIMEOUT_S"
_IMPORT_S = "vertex_model_inference.steps.delivery:IMPORT_TIMEOUT_S"
_EXPIRED = {"json": {"data": {"task": {"exportFileFromOffset": None}}}}


def _labelbox_meanings() -> Iterator[Cell]:
    tasks, file = "GetUserCreatedTasksPyApi", "GetExportFileFromOffsetPyApi"
    found, send = "getModelErrorAnalysisPredictionImportPyApi", "createMEAPredictionImportByFilePyApi"
    stuck = {"replace": {'"FINISHED"': '"RUNNING"'}}
    exports: tuple[tuple[str, str, dict[str, Any], dict[str, Any]], ...] = (
        ("task FAILED", "always", {"match": tasks, "replace": {"COMPLETE": "FAILED"}},
         {"words": ("export task", "FAILED")}),
        ("task stuck", "always", {"match": tasks, "replace": {"COMPLETE": "IN_PROGRESS"}},
         {"words": ("export task", "not done after"), "hurry": {_EXPORT_S: 4.0}}),
        ("task slow", "8 looks", {"match": tasks, "replace": {"COMPLETE": "IN_PROGRESS"}, "times": 8},
         {"absorbed": True}),
        ("task unknown", "once", {"match": tasks, "json": {"data": {"user": {"createdTasks": []}}}, "times": 1},
         {"absorbed": True}),
        ("expired", "once", {"match": file, **_EXPIRED, "times": 1}, {"absorbed": True}),
        ("expired in the middle", "once", {"match": file, **_EXPIRED, "times": 1, "after": 2},
         {"absorbed": True}),
        ("expired", "always", {"match": file, **_EXPIRED}, {"words": ("export", "expired")}),
        ("signed URL expired", "once", {"match": "/files/*/export-*", "status": 403, "body": "ExpiredToken",
         "times": 1}, {"absorbed": True}),
        ("signed URL expired", "always", {"match": "/files/*/export-*", "status": 403, "body": "ExpiredToken"},
         {"words": ("export", "403")}),
        ("the key is taken away", "always", {"match": tasks, "status": 401, "json": {"errors": [{"message":
         "Invalid API key", "extensions": {"code": "AUTHENTICATION_ERROR"}}]}}, {"words": ("API key",)}),
        ("no such model run", "always", {"match": "GetModelRunPyApi", "json": {"data": {"modelRun": None}}},
         {"words": ("no model run",)}),
    )  # fmt: skip
    for fault, rate, rule, more in exports:
        yield Cell(
            service="Labelbox", operation="the export", fault=fault, rate=rate,
            rules=(("labelbox", {"times": ALWAYS, **rule}),), rows=24, settings={"VMI_SHARD_ROWS": "5"}, **more,
        )  # fmt: skip
    imports: tuple[tuple[str, str, dict[str, Any], dict[str, Any]], ...] = (
        ("stuck RUNNING", "always", {"match": found, **stuck},
         {"words": ("import", "not done after"), "hurry": {_IMPORT_S: 4.0}}),
        ("RUNNING for long", "8 looks", {"match": found, **stuck, "times": 8}, {"absorbed": True}),
        ("FAILED", "always", {"match": found, "replace": {'"FINISHED"': '"FAILED"'}},
         {"words": ("gave up", "import")}),
        ("vanished", "once", {"match": found, "after": 1, "times": 1,
         "json": {"data": {"modelErrorAnalysisPredictionImport": None}}}, {"absorbed": True}),
        ("refused for good", "always", {"match": send, "json": {"errors": [{"message":
         "9 FAILED_PRECONDITION: MEA prediction import has been deprecated"}]}}, {"words": ("Labelbox", "deprecated")}),
        ("signed URL expired", "once", {"match": "/files/*-statuses.ndjson", "status": 403, "body": "ExpiredToken",
         "times": 1}, {"absorbed": True}),
        ("signed URL expired", "always", {"match": "/files/*-statuses.ndjson", "status": 403, "body": "ExpiredToken"},
         {"words": ("Labelbox", "403")}),
    )  # fmt: skip
    for fault, rate, rule, more in imports:
        yield Cell(
            service="Labelbox", operation="an import", fault=fault, rate=rate,
            rules=(("labelbox", {"times": ALWAYS, **rule}),), **more,
        )  # fmt: skip


# -- kill -9 ----------------------------------------------------------------------------------------------------------

_MOMENTS = {
    "starting the export": Hold(server="labelbox", match="exportDataRowsInModelRunPyApi"),
    "reading the export": Hold(server="labelbox", match="GetExportFileFromOffsetPyApi"),
    "copying assets": Hold(server="storage", match="*/staged/00001.jsonl", more={"method": "PUT"}),
    "writing instances": Hold(server="storage", match="*/00000.instances.jsonl", more={"method": "PUT"}),
    "before the job is created": Hold(server="vertex", match="batchPredictionJobs.create"),
    "after the job is created": Hold(server="vertex", match="batchPredictionJobs.create", happens=True),
    "while the job runs": Hold(server="vertex", match="batchPredictionJobs.get"),
    "collecting": Hold(server="storage", match="*/answers/00001.jsonl", more={"method": "PUT"}),
    "decoding": Hold(server="storage", match="*/predictions/00001.ndjson", more={"method": "PUT"}),
    "before the import is sent": Hold(server="labelbox", match="createMEAPredictionImportByFilePyApi"),
    "after the import is sent": Hold(server="labelbox", match="createMEAPredictionImportByFilePyApi", happens=True),
    "reading statuses": Hold(server="labelbox", match="/files/*-statuses.ndjson"),
    "writing outcomes": Hold(server="storage", match="*/outcomes/00001.jsonl", more={"method": "PUT"}),
    "after the last word": Hold(
        server="labelbox", match="setPipelineStatusPyApi", happens=True, more={"contains": '"COMPLETE"'}
    ),
}


def _kills() -> Iterator[Cell]:
    for name, hold in _MOMENTS.items():
        yield Cell(service="kill -9", operation=name, fault="kill -9", rate="once", holds=(hold,), absorbed=True)
    yield Cell(
        service="kill -9", operation="each of these in turn", fault="kill -9", rate=f"{len(_MOMENTS)} times",
        holds=tuple(_MOMENTS.values()), absorbed=True,
    )  # fmt: skip
    for server, (service, says, _) in list(_EVERYWHERE.items())[:3]:
        rule = {"match": "*", **_fault("500", server), "times": ALWAYS, "chance": 0.1, "seed": 1}
        names = ("writing instances", "after the job is created", "after the import is sent")
        yield Cell(
            service="kill -9", operation=f"while {service} answers 500", fault="kill -9, 500", rate="3 times, 10 %",
            rules=((server, rule),), holds=tuple(_MOMENTS[name] for name in names), words=(says, "500|internal"),
            absorbed=True,
        )  # fmt: skip


def all_cells() -> list[Cell]:
    """The whole table; what waits long is begun early, and beside it what keeps the machine busy."""
    waiting = sorted(_always(), key=lambda cell: not cell.untold)
    busy = [*_tenth(), *_labelbox_meanings(), *_kills(), *_jobs(), *_once()]
    mixed: list[Cell] = []
    while waiting or busy:
        mixed += [*waiting[:2], *busy[:3]]
        del waiting[:2], busy[:3]
    return mixed


_FAST = re.compile(
    r"labelbox-send-an-import-(answer-lost|cut-short|html-200)-once"
    r"|labelbox-the-export-s-file-(cut-short|length-too-long)-once"
    r"|labelbox-the-export-expired-in-the-middle-once|labelbox-an-import-vanished-once"
    r"|labelbox-an-import-s-statuses-html-200-once"
    r"|storage-(write|read)-a-run-s-file-cut-short-once|storage-list-a-folder-html-200-once"
    r"|vertex-create-a-job-(answer-lost|500)-once|vertex-predict-429-retry-after-once"
    r"|vertex-a-job-(all-of-these|ends-failed-half-done)-once|container-predict-html-200-once"
    r"|assets-fetch-a-picture-reset-once|kill-9-after-the-import-is-sent"
)


def fast_cells() -> list[Cell]:
    """Less than a minute's worth: one cell for each way to get over something."""
    return [cell for cell in all_cells() if _FAST.match(cell.name)]
