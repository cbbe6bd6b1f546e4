"""The high-level ``google.cloud.aiplatform`` SDK, unpatched."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from google.oauth2.credentials import Credentials

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the SDK's own import warns
    from google.cloud import aiplatform


@pytest.fixture
def sdk(vertex: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", vertex.config.storage_url)
    aiplatform.init(
        project="sandbox",
        location="us-central1",
        credentials=Credentials("sandbox-token"),
        api_endpoint=vertex.config.vertex_url,
        api_transport="rest",
    )
    yield aiplatform
    aiplatform.initializer.global_config._credentials = None


def test_model_versions(sdk: Any, vertex: Any, container: Any) -> None:
    first = sdk.Model.upload(
        display_name="versions",
        serving_container_image_uri=container.url,
        serving_container_predict_route="/predict",
        serving_container_health_route="/health",
        labels={"team": "a"},
    )
    second = sdk.Model.upload(
        display_name="versions",
        parent_model=first.resource_name,
        is_default_version=False,
        version_aliases=["candidate"],
        serving_container_image_uri=container.url,
        serving_container_predict_route="/predict",
        serving_container_health_route="/health",
    )
    assert (first.version_id, second.version_id) == ("1", "2")
    assert sdk.Model(first.resource_name).version_id == "1"
    assert sdk.Model(first.resource_name + "@candidate").version_id == "2"
    registry = first.versioning_registry
    assert {(info.version_id, tuple(info.version_aliases)) for info in registry.list_versions()} == {
        ("1", ("default",)),
        ("2", ("candidate",)),
    }
    registry.add_version_aliases(["default"], version="2")
    assert sdk.Model(first.resource_name).version_id == "2"
    assert [model.resource_name for model in sdk.Model.list(filter="labels.team=a")] == []
    first.update(labels={"team": "b"}, description="seen")
    assert sdk.Model(first.resource_name + "@1").labels == {"team": "b"}
    first.delete()
    assert sdk.Model.list(filter='display_name="versions"') == []


def test_batch_predict_and_iter_outputs(sdk: Any, vertex: Any, container: Any) -> None:
    model = sdk.Model(vertex.upload(container.url, "outputs"))
    uri = vertex.put("in/high.jsonl", b"".join(orjson.dumps({"text": "x" * i}) + b"\n" for i in range(10)))
    job = sdk.BatchPredictionJob.submit(
        job_display_name="high",
        model_name=model.resource_name,
        instances_format="jsonl",
        predictions_format="jsonl",
        gcs_source=uri,
        gcs_destination_prefix="gs://vmi-sandbox/high",
        machine_type="n1-standard-2",
    )
    vertex.wait(job.resource_name)
    assert [item.resource_name for item in sdk.BatchPredictionJob.list(filter='display_name="high"')] == [
        job.resource_name
    ]
    assert job.state.name == "JOB_STATE_SUCCEEDED"  # fetches the job anew; wait() would look every 5 s only
    rows = [json.loads(line) for blob in job.iter_outputs() for line in blob.download_as_bytes().splitlines()]
    assert sorted(row["prediction"]["characters"] for row in rows) == list(range(10))


def test_endpoint(sdk: Any, vertex: Any, container: Any) -> None:
    model = sdk.Model(vertex.upload(container.url, "deployed"))
    endpoint = model.deploy(machine_type="n1-standard-2", min_replica_count=1)
    assert endpoint.predict(instances=[{"text": "abc"}]).predictions[0]["characters"] == 3
    assert endpoint.resource_name in [found.resource_name for found in sdk.Endpoint.list()]
    endpoint.undeploy_all()
    endpoint.delete()
