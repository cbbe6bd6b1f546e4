"""Two jobs of one name, where two processes sent theirs at the same moment: the older one counts."""

from __future__ import annotations

from typing import Any

import pytest
from google.cloud import aiplatform_v1 as v1

from vertex_model_inference.fencing import fenced
from vertex_model_inference.models import ModelOption, Predictor, VertexModel
from vertex_model_inference.vertex.jobs import BatchJobs

NAME = "vmi-run-0-00000"


def job(name: str, seconds: int, state: str = "RUNNING") -> Any:
    return v1.BatchPredictionJob(
        name=name, display_name=NAME, create_time={"seconds": seconds}, state=f"JOB_STATE_{state}"
    )


class Vertex:
    """As much of the client as is called; `late` arrives while ours is being created."""

    def __init__(self, jobs: list[Any], late: Any = None) -> None:
        self.jobs = jobs
        self.late = late
        self.calls: list[str] = []

    def list_batch_prediction_jobs(self, **_: Any) -> list[Any]:
        return list(self.jobs)

    def create_batch_prediction_job(self, **_: Any) -> Any:
        self.calls.append("create")
        made = job("ours", 20)
        self.jobs += [made] if self.late is None else [made, self.late]
        return made

    def cancel_batch_prediction_job(self, name: str, **_: Any) -> None:
        self.calls.append(f"cancel {name}")


def submit(vertex: Vertex) -> str:
    jobs = BatchJobs(project="p", location="us-central1", endpoint="http://127.0.0.1:9", credentials=lambda: None)
    jobs._client = vertex
    model = VertexModel(name="projects/p/locations/us-central1/models/1", version="1", display_name="m")
    option = ModelOption(name="m", predictor=Predictor.BATCH, model=model)
    return jobs.submit(NAME, option, input_uri="gs://b/i", output_prefix="gs://b/o", key_field="vmi_key").name


@pytest.mark.parametrize(
    ("late", "name", "calls"),
    [
        (None, "ours", ["create"]),
        (job("theirs", 10), "theirs", ["create", "cancel ours"]),
        (job("theirs", 30), "ours", ["create"]),
        (job("theirs", 10, "CANCELLED"), "ours", ["create"]),
    ],
    ids=["alone", "theirs is older", "ours is older", "theirs was cancelled"],
)
def test_who_made_the_younger_one_cancels_it(late: Any, name: str, calls: list[str]) -> None:
    vertex = Vertex([], late)
    assert submit(vertex) == name
    assert vertex.calls == calls


def test_a_job_that_is_there_is_attached_to() -> None:
    vertex = Vertex([job("first", 10), job("second", 11)])
    assert submit(vertex) == "first"
    assert vertex.calls == []


def test_the_fence_is_asked_after_the_look_and_before_the_job() -> None:
    vertex = Vertex([])

    def check() -> None:
        assert vertex.calls == []
        vertex.calls.append("fence")

    with fenced(check):
        submit(vertex)
    assert vertex.calls == ["fence", "create"]
