"""Upload a model by URL, run a batch job with keyField, predict online: by the real SDKs."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from google.api_core import exceptions
from google.cloud import aiplatform_v1 as v1

PARENT = "projects/sandbox/locations/us-central1"


def jsonl(rows: list[Any]) -> bytes:
    return b"".join(orjson.dumps(row) + b"\n" for row in rows)


def test_batch_with_key_field(vertex: Any, container: Any) -> None:
    model = vertex.upload(container.url)
    uri = vertex.put("in/keyed.jsonl", jsonl([{"id": f"k{i}", "text": "x" * i} for i in range(500)]))
    before = container.requests
    made = vertex.job(
        model,
        [uri],
        instance_config={"key_field": "id"},
        manual_batch_tuning_parameters={"batch_size": 50},
    )
    assert made.state == v1.JobState.JOB_STATE_QUEUED
    job = vertex.wait(made.name)
    assert job.state == v1.JobState.JOB_STATE_SUCCEEDED, job
    assert (job.completion_stats.successful_count, job.completion_stats.failed_count) == (500, 0)
    assert job.start_time
    assert job.end_time >= job.start_time
    assert container.requests - before == 10
    directory = job.output_info.gcs_output_directory
    assert directory.startswith("gs://vmi-sandbox/out/prediction-counter-")
    assert vertex.names(directory) == ["prediction.errors_stats-00000-of-00001"] + [
        f"prediction.results-0000{i}-of-00003" for i in range(3)
    ]
    good, bad = vertex.output(job)
    rows = [json.loads(line) for line in good]
    assert bad == []
    assert {row["key"]: row["prediction"]["characters"] for row in rows} == {f"k{i}": i for i in range(500)}
    assert all(set(row) == {"key", "prediction"} and row["prediction"]["fields"] == 1 for row in rows)
    assert [row["key"] for row in rows] != sorted((row["key"] for row in rows), key=lambda key: int(key[1:]))


def test_batch_without_key_gives_the_instance_back(vertex: Any, container: Any) -> None:
    model = vertex.upload(container.url)
    uri = vertex.put("in/plain.jsonl", jsonl([{"id": i, "text": "a b"} for i in range(5)]))
    job = vertex.wait(vertex.job(model, [uri]).name)
    good, _ = vertex.output(job)
    rows = sorted((json.loads(line) for line in good), key=lambda row: int(row["instance"]["id"]))
    prediction = {"characters": 3, "words": 2, "fields": 2}
    assert rows == [{"instance": {"id": i, "text": "a b"}, "prediction": prediction} for i in range(5)]


def test_list_get_filter_pages(vertex: Any, container: Any) -> None:
    names = {vertex.upload(container.url, f"paged-{i}", labels={"vmi-set": "paged"}) for i in range(5)}
    request = v1.ListModelsRequest(parent=PARENT, filter="labels.vmi-set=paged", page_size=2)
    pages = list(vertex.models.list_models(request=request).pages)
    assert [len(page.models) for page in pages] == [2, 2, 1]
    assert {model.name for page in pages for model in page.models} == names
    found = list(vertex.models.list_models(request={"parent": PARENT, "filter": 'display_name="paged-3"'}))
    assert [model.display_name for model in found] == ["paged-3"]
    model = vertex.models.get_model(name=found[0].name + "@1")
    assert model.version_id == "1"
    assert model.container_spec.image_uri == container.url
    assert model.supported_input_storage_formats == ["jsonl", "csv", "file-list"]
    with pytest.raises(exceptions.NotFound):
        vertex.models.get_model(name=PARENT + "/models/1")


def test_deploy_and_predict(vertex: Any, container: Any) -> None:
    model = vertex.upload(container.url, "online")
    endpoint = vertex.endpoints.create_endpoint(parent=PARENT, endpoint=v1.Endpoint(display_name="online")).result(
        timeout=30
    )
    with pytest.raises(exceptions.BadRequest):
        vertex.predictions.predict(endpoint=endpoint.name, instances=[{"text": "a"}])
    deployed = v1.DeployedModel(
        model=model,
        display_name="d",
        dedicated_resources={"machine_spec": {"machine_type": "n1-standard-2"}, "min_replica_count": 1},
    )
    vertex.endpoints.deploy_model(endpoint=endpoint.name, deployed_model=deployed, traffic_split={"0": 100}).result(
        timeout=30
    )
    answer = vertex.predictions.predict(endpoint=endpoint.name, instances=[{"text": "a"}, {"text": "b c"}])
    assert [dict(item)["characters"] for item in answer.predictions] == [1, 3]
    assert answer.model == model
    assert answer.model_display_name == "online"
    found = vertex.endpoints.get_endpoint(name=endpoint.name)
    assert [item.id for item in found.deployed_models] == [answer.deployed_model_id]
    raw = vertex.http.post(f"/v1/{endpoint.name}:rawPredict", json={"instances": [{"text": "abc"}]})
    assert raw.json() == {"predictions": [{"characters": 3, "words": 1, "fields": 1}]}
    assert raw.headers["X-Vertex-AI-Deployed-Model-Id"] == answer.deployed_model_id
    with pytest.raises(exceptions.BadRequest, match=r"exceeds 1.500MB limit"):
        vertex.predictions.predict(endpoint=endpoint.name, instances=[{"text": "a" * 1_500_000}])
    vertex.settings(predict_timeout_s=0.2)
    try:
        with pytest.raises(exceptions.GatewayTimeout, match=r"within 0.2 s"):
            vertex.predictions.predict(endpoint=endpoint.name, instances=[{"text": "slow"}], retry=None)
    finally:
        vertex.settings(predict_timeout_s=60.0)
    with pytest.raises(exceptions.InternalServerError, match="no 'text'"):
        vertex.predictions.predict(endpoint=endpoint.name, instances=[{"no": "a"}])
    with pytest.raises(exceptions.BadRequest):
        vertex.models.delete_model(name=model).result(timeout=30)
    vertex.endpoints.undeploy_model(endpoint=endpoint.name, deployed_model_id=answer.deployed_model_id).result(
        timeout=30
    )
    vertex.endpoints.delete_endpoint(name=endpoint.name).result(timeout=30)
    vertex.models.delete_model(name=model).result(timeout=30)


def test_needs_a_token(vertex: Any) -> None:
    answer = vertex.http.get(f"/v1/{PARENT}/models", headers={"Authorization": ""})
    assert answer.status_code == 401
    assert answer.json()["error"]["status"] == "UNAUTHENTICATED"
