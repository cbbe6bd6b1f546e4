"""batchPredictionJobs: create, get, list, cancel, delete."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.cloud.aiplatform_v1 import types as t

from vertex_model_inference.sandbox.vertex import job_rules
from vertex_model_inference.sandbox.vertex.containers import ContainerError, Containers, unhealthy
from vertex_model_inference.sandbox.vertex.filters import ordered, predicate
from vertex_model_inference.sandbox.vertex.gemini import Gemini, GeminiWork, publisher_model
from vertex_model_inference.sandbox.vertex.knobs import JobPlan
from vertex_model_inference.sandbox.vertex.models import Models, automl_kind
from vertex_model_inference.sandbox.vertex.objects import Objects
from vertex_model_inference.sandbox.vertex.operations import Operations
from vertex_model_inference.sandbox.vertex.runner import ENDED, KIND, Record, Runner
from vertex_model_inference.sandbox.vertex.wire import (
    ApiError,
    Call,
    decode_body,
    failed_precondition,
    new_id,
    not_found,
    now,
    page_of,
    parse,
)
from vertex_model_inference.sandbox.vertex.work import ContainerWork, Work

__all__ = ["Jobs"]

_FILTERS = ("name", "displayName", "modelDisplayName", "state", "createTime", "updateTime", "labels")
_OUTPUT_ONLY = (
    "name",
    "outputInfo",
    "state",
    "error",
    "partialFailures",
    "resourcesConsumed",
    "completionStats",
    "createTime",
    "startTime",
    "endTime",
    "updateTime",
    "modelVersionId",
)


class Jobs:
    """The job service.

    Args:
        models: The registry. ``objects``: Cloud Storage. ``operations``: makes the long-running operations.
        containers: What answers. ``gemini``: what answers for publisher models.
        plan: Gives settings and mischief for a new job's display name; counts mischief down.
        runner: Set once made, as it needs :meth:`work`.
    """

    def __init__(
        self,
        models: Models,
        objects: Objects,
        operations: Operations,
        containers: Containers,
        gemini: Gemini,
        plan: Callable[[str], JobPlan],
    ) -> None:
        self.models = models
        self.objects = objects
        self.operations = operations
        self.containers = containers
        self.gemini = gemini
        self.plan = plan
        self.runner: Runner

    async def create(self, call: Call) -> dict[str, Any]:
        """``batchPredictionJobs.create``."""
        job = parse(t.BatchPredictionJob, decode_body(call.body), "batch_prediction_job")
        for field in _OUTPUT_ONLY:
            job.pop(field, None)
        job_rules.check_common(job)
        publisher = publisher_model(job["model"])
        model: dict[str, Any] = {}
        if publisher:
            job_rules.check_for_gemini(job)
        else:
            model = self.models.find(job["model"], field="batch_prediction_job.model")
            job_rules.check_for_model(job, model)
            if not model["name"].startswith(call.parent + "/"):
                raise failed_precondition(f"The Model {model['name']} is not in {call.parent}.")
        await job_rules.check_places(job, call.location, self.objects)
        plan = self.plan(job["displayName"])
        waiting = sum(record.state == "JOB_STATE_QUEUED" for record in self.runner.records.values())
        if (plan.mischief and plan.mischief.refuse) or waiting >= plan.settings.quota_waiting_jobs:
            raise ApiError(
                "RESOURCE_EXHAUSTED",
                "Quota exceeded for quota metric 'aiplatform.googleapis.com/batch_prediction_jobs' and limit "
                f"'Concurrent batch prediction jobs per region' of region {call.location}.",
            )
        id_ = new_id()
        moment = now()
        job |= {
            "name": f"{call.parent}/batchPredictionJobs/{id_}",
            "state": "JOB_STATE_QUEUED",
            "createTime": moment,
            "updateTime": moment,
        }
        if model:
            job |= {
                "model": model["name"],
                "modelVersionId": model["versionId"],
                "modelDisplayName": model["displayName"],
            }
        record = Record(
            parent=call.parent,
            id=id_,
            job=job,
            plan=plan,
            style="gemini" if publisher else plan.settings.naming or ("automl" if automl_kind(model) else "custom"),
            container=job["model"] if publisher else model["containerSpec"]["imageUri"],
        )
        self.runner.save(record)
        self.runner.start(record)
        return record.job

    async def work(self, record: Record) -> Work:
        """What a job that gets to run has to do.

        Raises:
            ApiError: The model is gone, its container does not come up, or an input cannot be listed.
        """
        job = record.job
        publisher = publisher_model(job["model"])
        if publisher:
            return GeminiWork(self.gemini, publisher, job["inputConfig"]["gcsSource"]["uris"][0])
        model = self.models.find(f"{job['model']}@{job['modelVersionId']}")
        uris = [found for uri in job["inputConfig"]["gcsSource"]["uris"] for found in await self.objects.expand(uri)]
        if not uris:
            raise ApiError("NOT_FOUND", "No object matches the job's input_config.gcs_source.uris.")
        try:
            container = await self.containers.of(model, start_s=record.plan.settings.container_start_s)
        except ContainerError as error:
            raise unhealthy(error) from None
        return ContainerWork(uris, job_rules.shape_of(job, model), self.objects, container, job.get("modelParameters"))

    def _record(self, call: Call) -> Record:
        record = self.runner.record(call.parent, call.ids["id"])
        if record is None:
            raise not_found("BatchPredictionJob", f"{call.parent}/batchPredictionJobs/{call.ids['id']}")
        return record

    async def get(self, call: Call) -> dict[str, Any]:
        """``batchPredictionJobs.get``."""
        return self._record(call).job

    async def list(self, call: Call) -> dict[str, Any]:
        """``batchPredictionJobs.list``."""
        test = predicate(call.query.get("filter", ""), _FILTERS)
        found = []
        for doc in self.runner.store.all(KIND, call.parent):
            job = doc["job"]
            if test(job):
                found.append(job)
        return page_of(ordered(found, call.query.get("orderBy", ""), _FILTERS), call, "batchPredictionJobs")

    async def cancel(self, call: Call) -> dict[str, Any]:
        """``batchPredictionJobs.cancel``: CANCELLING, then CANCELLED; files written so far stay."""
        record = self._record(call)
        if record.state in ENDED:
            raise failed_precondition(f"The job {record.job['name']} has ended as {record.state}.")
        if record.state != "JOB_STATE_CANCELLING":
            self.runner.cancel(record)
        return {}

    async def delete(self, call: Call) -> dict[str, Any]:
        """``batchPredictionJobs.delete``: of jobs that have ended."""
        record = self._record(call)
        if record.state not in ENDED:
            raise failed_precondition(f"The job {record.job['name']} is {record.state}; cancel it first.")
        self.runner.store.delete(KIND, call.parent, record.id)
        return self.operations.empty(record.job["name"])
