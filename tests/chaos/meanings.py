"""Faults of meaning: the answer comes whole, and says something bad. And kill -9."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.chaos.cell import ALWAYS, Cell, Hold
from tests.chaos.connections import EVERYWHERE, fault_of

__all__ = ["cancelled", "jobs", "kills", "labelbox_answers"]


def jobs() -> Iterator[Cell]:
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


def cancelled() -> Iterator[Cell]:
    """What would never end, and is cancelled."""
    for state in ("QUEUED", "PENDING", "RUNNING"):
        yield Cell(
            service="Vertex", operation="a job", fault=f"stuck {state}, cancelled", rate="always",
            mischief={"stuck": state, "times": 0}, cancel_s=3.0, words=("cancelled",),
        )  # fmt: skip
    rule = {"match": "GetUserCreatedTasksPyApi", "replace": {"COMPLETE": "IN_PROGRESS"}, "times": ALWAYS}
    yield Cell(
        service="Labelbox", operation="the export", fault="stuck, cancelled", rate="always",
        rules=(("labelbox", rule),), cancel_s=3.0, words=("cancelled",),
    )  # fmt: skip


_EXPORT_S = "vertex_model_inference.steps.export:EXPORT_TIMEOUT_S"
_IMPORT_S = "vertex_model_inference.steps.delivery:IMPORT_TIMEOUT_S"
_EXPIRED = {"json": {"data": {"task": {"exportFileFromOffset": None}}}}


def labelbox_answers() -> Iterator[Cell]:
    """Exports and imports of which Labelbox says something bad, or nothing new."""
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


def kills() -> Iterator[Cell]:
    """kill -9 at each moment, at all of them, and while services fail."""
    for name, hold in _MOMENTS.items():
        yield Cell(service="kill -9", operation=name, fault="kill -9", rate="once", holds=(hold,), absorbed=True)
    yield Cell(
        service="kill -9", operation="each of these in turn", fault="kill -9", rate=f"{len(_MOMENTS)} times",
        holds=tuple(_MOMENTS.values()), absorbed=True,
    )  # fmt: skip
    for server, (service, says, _) in list(EVERYWHERE.items())[:3]:
        rule = {"match": "*", **fault_of("500", server), "times": ALWAYS, "chance": 0.1, "seed": 1}
        names = ("writing instances", "after the job is created", "after the import is sent")
        yield Cell(
            service="kill -9", operation=f"while {service} answers 500", fault="kill -9, 500", rate="3 times, 10 %",
            rules=((server, rule),), holds=tuple(_MOMENTS[name] for name in names), words=(says, "500|internal"),
            absorbed=True,
        )  # fmt: skip
