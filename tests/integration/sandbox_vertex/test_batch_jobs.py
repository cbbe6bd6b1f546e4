"""Batch jobs: bad lines, AutoML's formats, naming styles, mischief, refusals, cancelling."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from typing import Any

import orjson
import pytest
from google.api_core import exceptions
from google.cloud import aiplatform_v1 as v1
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from vertex_model_inference.sandbox.child import run_in_thread

AUTOML = {
    "metadata_schema_uri": (
        "gs://google-cloud-aiplatform/schema/model/metadata/automl_image_classification_1.0.0.yaml"
    ),
    "predict_schemata": {
        "instance_schema_uri": "gs://google-cloud-aiplatform/schema/predict/instance/image_classification_1.0.0.yaml",
        "prediction_schema_uri": "gs://google-cloud-aiplatform/schema/predict/prediction/classification_1.0.0.yaml",
    },
}


def jsonl(rows: list[Any]) -> bytes:
    return b"".join(orjson.dumps(row) + b"\n" for row in rows)


def keyed(count: int) -> bytes:
    return jsonl([{"id": f"k{i}", "text": "x"} for i in range(count)])


def parsed(lines: list[bytes]) -> list[Any]:
    return [json.loads(line) for line in lines]


KEY = {"instance_config": {"key_field": "id"}}


def test_bad_lines_go_to_the_errors_file(vertex: Any, container: Any) -> None:
    model = vertex.upload(container.url)
    rows = [
        b'{"id": "good", "text": "fine"}',
        b"not json",
        b'{"text": "no key"}',
        b'{"id": "bad", "text": "bad"}',  # the model answers an error for it
        b'{"id": "500", "other": 1}',  # the container answers 500 to the whole batch
        b"",
        '{"id": "u", "text": "\u2028 a line separator is no end of line"}'.encode(),
    ]
    uri = vertex.put("in/bad.jsonl", b"\r\n".join(rows))
    job = vertex.wait(vertex.job(model, [uri], **KEY).name)
    good, bad = vertex.output(job)
    assert {row["key"] for row in parsed(good)} == {"good", "u"}
    errors = {json.dumps(row.get("key", row.get("instance"))): row["error"]["message"] for row in parsed(bad)}
    assert set(errors) == {'"not json"', '{"text": "no key"}', '"bad"', '"500"'}
    assert errors['"bad"'] == "a bad text"
    assert "status 500" in errors['"500"']
    assert job.state == v1.JobState.JOB_STATE_SUCCEEDED
    assert (job.completion_stats.successful_count, job.completion_stats.failed_count) == (2, 4)
    assert len(job.partial_failures) == 4


def test_all_failed_is_a_failed_job(vertex: Any, container: Any) -> None:
    uri = vertex.put("in/allbad.jsonl", b"x\ny\n")
    job = vertex.wait(vertex.job(vertex.upload(container.url), [uri]).name)
    assert job.state == v1.JobState.JOB_STATE_FAILED
    assert "not JSON" in job.error.message


def test_missing_input_fails_the_job(vertex: Any, container: Any) -> None:
    job = vertex.wait(vertex.job(vertex.upload(container.url), ["gs://vmi-sandbox/in/none.jsonl"]).name)
    assert job.state == v1.JobState.JOB_STATE_FAILED
    assert "in/none.jsonl does not exist" in job.error.message


@pytest.mark.parametrize("style", ["automl", "custom", "proto"])
def test_naming_styles(vertex: Any, container: Any, style: str) -> None:
    vertex.settings(naming=style, output_files=2)
    try:
        uri = vertex.put("in/naming.jsonl", keyed(20) + b"bad line\n")
        job = vertex.wait(vertex.job(vertex.upload(container.url), [uri], **KEY).name)
    finally:
        vertex.settings(naming=None, output_files=3)
    assert (
        vertex.names(job.output_info.gcs_output_directory)
        == {
            "automl": ["errors_00001.jsonl", "predictions_00001.jsonl", "predictions_00002.jsonl"],
            "proto": ["errors_0001.jsonl", "predictions_0001.jsonl", "predictions_0002.jsonl"],
            "custom": [
                "prediction.errors_stats-00000-of-00001",
                "prediction.results-00000-of-00002",
                "prediction.results-00001-of-00002",
            ],
        }[style]
    )
    good, bad = vertex.output(job)
    assert len(good) == 20
    assert len(bad) == 1


def test_automl_formats(vertex: Any, container: Any) -> None:
    model = vertex.upload(container.url, "cats", **AUTOML)
    found = vertex.models.get_model(name=model)
    assert found.model_source_info.source_type == v1.ModelSourceInfo.ModelSourceType.AUTOML
    assert found.supported_input_storage_formats == ["jsonl"]
    assert found.predict_schemata.prediction_schema_uri.endswith("classification_1.0.0.yaml")
    instances = [{"content": f"gs://vmi-sandbox/{i}.png", "mimeType": "image/png"} for i in range(3)]
    wrong = [{"content": "gs://vmi-sandbox/a.pdf", "mimeType": "application/pdf"}, {"text": "a"}]
    broken = {"content": "gs://vmi-sandbox/broken.png", "mimeType": "image/png"}
    uri = vertex.put("in/automl.jsonl", jsonl([*instances, *wrong, broken]))
    job = vertex.wait(vertex.job(model, [uri], model_parameters={"confidenceThreshold": 0.1, "maxPredictions": 1}).name)
    good, bad = vertex.output(job)
    assert sorted(parsed(good), key=lambda row: str(row["instance"]["content"])) == [
        {"instance": instance, "prediction": {"ids": ["2"], "displayNames": ["dog"], "confidences": [0.75]}}
        for instance in instances
    ]
    messages = sorted(row["error"]["message"] for row in parsed(bad))
    assert messages[2] == "the picture is corrupt"
    assert messages[0].startswith("Unknown field 'text'")
    assert messages[1].startswith("Unsupported mimeType 'application/pdf'")
    assert "predictions_00001.jsonl" in vertex.names(job.output_info.gcs_output_directory)
    with pytest.raises(exceptions.BadRequest, match="not supported for AutoML"):
        vertex.job(model, [uri], **KEY)
    with pytest.raises(exceptions.BadRequest, match="confidenceThreshold"):
        vertex.job(model, [uri], model_parameters={"confidenceThreshold": 2})


def test_fields_arrays_csv_and_file_lists(vertex: Any, container: Any) -> None:
    model = vertex.upload(container.url)
    uri = vertex.put("in/numbers.jsonl", jsonl([{"id": "a", "x": 1, "y": 2}, {"id": "b", "x": 3, "y": 4}]))
    config = {"key_field": "id", "included_fields": ["y", "x"], "instance_type": "array"}
    job = vertex.wait(vertex.job(model, [uri], instance_config=config).name)
    assert container.seen[-2:] == [[2, 1], [4, 3]]
    assert {row["key"]: row["prediction"]["sum"] for row in parsed(vertex.output(job)[0])} == {"a": 3, "b": 7}

    uri = vertex.put("in/numbers.csv", b"x,y\n1,2\n3,4.5\n")
    source = {"instances_format": "csv", "gcs_source": {"uris": [uri]}}
    job = vertex.wait(vertex.job(model, [], input_config=source).name)
    rows = parsed(vertex.output(job)[0])
    assert sorted(row["prediction"]["sum"] for row in rows) == [3, 7.5]
    assert [1, 2] in [row["instance"] for row in rows]

    vertex.put("in/file.bin", b"12345678")
    uri = vertex.put("in/list.txt", b"gs://vmi-sandbox/in/file.bin\ngs://vmi-sandbox/in/gone.bin\n")
    source = {"instances_format": "file-list", "gcs_source": {"uris": [uri]}}
    job = vertex.wait(vertex.job(model, [], input_config=source).name)
    good, bad = vertex.output(job)
    assert [row["prediction"]["bytes"] for row in parsed(good)] == [12]
    assert [row["instance"] for row in parsed(bad)] == ["gs://vmi-sandbox/in/gone.bin"]


def test_wildcards_and_several_inputs(vertex: Any, container: Any) -> None:
    for i in range(3):
        vertex.put(f"wild/part-{i}.jsonl", jsonl([{"id": f"{i}", "text": "x"}]))
    one = vertex.put("in/one.jsonl", jsonl([{"id": "one", "text": "x"}]))
    job = vertex.wait(vertex.job(vertex.upload(container.url), ["gs://vmi-sandbox/wild/*.jsonl", one], **KEY).name)
    assert {row["key"] for row in parsed(vertex.output(job)[0])} == {"0", "1", "2", "one"}


def test_refusals(vertex: Any, container: Any) -> None:
    model = vertex.upload(container.url)
    uri = vertex.put("in/r.jsonl", keyed(1))
    for location, allowed in {"US": True, "us-central1": True, "EU": False, "us-east1": False, "NAM4": True}.items():
        name = f"bucket-{location.lower()}"
        answer = vertex.storage.post(
            "/storage/v1/b", params={"project": "sandbox"}, json={"name": name, "location": location}
        )
        assert answer.status_code == 200
        there = vertex.put("r.jsonl", keyed(1), bucket=name)
        if allowed:
            vertex.wait(vertex.job(model, [there], **KEY).name)
            continue
        with pytest.raises(exceptions.BadRequest, match="same regional location as the service location"):
            vertex.job(model, [there], **KEY)
        target = {"predictions_format": "jsonl", "gcs_destination": {"output_uri_prefix": f"gs://{name}/out"}}
        with pytest.raises(exceptions.BadRequest, match="same regional location"):
            vertex.job(model, [uri], output_config=target)
    with pytest.raises(exceptions.BadRequest, match="does not exist"):
        vertex.job(model, ["gs://no-such-bucket/x.jsonl"])
    with pytest.raises(exceptions.NotFound):
        vertex.job(model[:-4] + "0000", [uri])
    with pytest.raises(exceptions.NotFound):
        vertex.job(model + "@7", [uri])
    with pytest.raises(exceptions.BadRequest, match="machine_type"):
        vertex.job(model, [uri], dedicated_resources=None)
    with pytest.raises(exceptions.BadRequest, match="must not both"):
        vertex.job(model, [uri], instance_config={"included_fields": ["a"], "excluded_fields": ["b"]})
    with pytest.raises(exceptions.BadRequest, match="instances_format"):
        vertex.job(model, [], input_config={"instances_format": "tf-record", "gcs_source": {"uris": [uri]}})
    with pytest.raises(exceptions.BadRequest, match="not a Google Cloud Storage URI"):
        vertex.job(model, ["http://127.0.0.1/x.jsonl"])
    with pytest.raises(exceptions.BadRequest, match="label"):
        vertex.job(model, [uri], labels={"Upper": "x"})
    parent = model.partition("/models/")[0]
    answer = vertex.http.post(f"/v1/{parent}/batchPredictionJobs", json={"displayName": "a", "modle": "b"})
    assert answer.json()["error"]["message"].startswith('Invalid JSON payload received. Unknown name "modle"')


def test_mischief_with_lines(vertex: Any, container: Any) -> None:
    vertex.mischief(job_display_name="mis*", drop_lines=[0, 1], duplicate=[2], corrupt=[3], unknown_keys=2)
    uri = vertex.put("in/m.jsonl", keyed(10))
    model = vertex.upload(container.url)
    good, _ = vertex.output(vertex.wait(vertex.job(model, [uri], display_name="mischief", **KEY).name))
    keys = []
    torn = 0
    for line in good:
        try:
            keys.append(json.loads(line)["key"])
        except json.JSONDecodeError:
            torn += 1
    assert torn == 1
    assert sorted(keys) == sorted(["k2", "k2", *[f"k{i}" for i in range(4, 10)], "unknown-0", "unknown-1"])
    again, _ = vertex.output(vertex.wait(vertex.job(model, [uri], display_name="mischief", **KEY).name))
    assert len(again) == 10


@pytest.mark.parametrize("state", ["FAILED", "PARTIALLY_SUCCEEDED", "EXPIRED"])
def test_mischief_with_the_end(vertex: Any, container: Any, state: str) -> None:
    vertex.mischief(end_state=state, stop_after=128, message="it was not to be")
    uri = vertex.put("in/m.jsonl", keyed(1000))
    job = vertex.wait(vertex.job(vertex.upload(container.url), [uri], **KEY).name)
    assert job.state.name == f"JOB_STATE_{state}"
    assert job.error.message == "it was not to be"
    assert job.completion_stats.incomplete_count == -1
    assert len(vertex.output(job)[0]) == 128


def test_quota_refusal(vertex: Any, container: Any) -> None:
    vertex.mischief(refuse=True)
    uri = vertex.put("in/q.jsonl", keyed(1))
    model = vertex.upload(container.url)
    with pytest.raises(exceptions.TooManyRequests):
        vertex.job(model, [uri], **KEY)
    assert vertex.job(model, [uri], **KEY).state == v1.JobState.JOB_STATE_QUEUED


def test_quota_queues_and_cancel_keeps_what_is_written(vertex: Any, container: Any) -> None:
    vertex.settings(quota_concurrent_jobs=1)
    try:
        vertex.mischief(job_display_name="stuck", stuck="RUNNING")
        uri = vertex.put("in/c.jsonl", keyed(10))
        model = vertex.upload(container.url)
        stuck = vertex.job(model, [uri], display_name="stuck", **KEY)
        vertex.wait(stuck.name, {"RUNNING"})
        second = vertex.job(model, [uri], **KEY)
        request = v1.ListBatchPredictionJobsRequest(
            parent=model.partition("/models/")[0], filter='state="JOB_STATE_QUEUED" AND display_name="job"'
        )
        assert [job.name for job in vertex.jobs.list_batch_prediction_jobs(request=request)] == [second.name]
        with pytest.raises(exceptions.BadRequest, match="cancel it first"):
            vertex.jobs.delete_batch_prediction_job(name=stuck.name)
        vertex.jobs.cancel_batch_prediction_job(name=stuck.name)
        assert vertex.wait(stuck.name).state == v1.JobState.JOB_STATE_CANCELLED
        assert vertex.wait(second.name).state == v1.JobState.JOB_STATE_SUCCEEDED
        with pytest.raises(exceptions.BadRequest, match="has ended"):
            vertex.jobs.cancel_batch_prediction_job(name=second.name)
        vertex.jobs.delete_batch_prediction_job(name=second.name).result(timeout=30)
        with pytest.raises(exceptions.NotFound):
            vertex.jobs.get_batch_prediction_job(name=second.name)
    finally:
        vertex.settings(quota_concurrent_jobs=8)


def test_error_stats_as_in_the_wild(vertex: Any, container: Any) -> None:
    vertex.settings(error_lines="stats")
    try:
        uri = vertex.put("in/s.jsonl", jsonl([{"id": "a", "text": "bad"}, {"id": "b", "text": "bad"}]) + keyed(1))
        job = vertex.wait(vertex.job(vertex.upload(container.url), [uri], **KEY).name)
    finally:
        vertex.settings(error_lines="instances")
    assert vertex.output(job)[1] == [b"('a bad text', 2)"]


def test_fault_rules_name_operations(vertex: Any) -> None:
    rule = {"match": "models.list", "status": 503, "json": {"error": {"code": 503, "status": "UNAVAILABLE"}}}
    vertex.http.post("/_sandbox/faults", json=rule).raise_for_status()
    answer = vertex.http.get("/v1/projects/sandbox/locations/us-central1/models")
    assert answer.status_code == 503
    assert vertex.http.get("/v1/projects/sandbox/locations/us-central1/models").status_code == 200
    vertex.http.delete("/_sandbox/faults").raise_for_status()


def test_storage_that_stumbles(vertex: Any, container: Any) -> None:
    uri = vertex.put("in/stumble.jsonl", keyed(30_000))
    model = vertex.upload(container.url)
    rules: list[dict[str, Any]] = [
        {"match": "/vmi-sandbox/in/stumble.jsonl", "method": "GET", "truncate": 300_000},
        {"match": "/vmi-sandbox/in/stumble.jsonl", "method": "GET", "status": 503, "json": {}},
        {"match": "/upload/storage/v1/b/*", "method": "POST", "reset": True},
    ]
    vertex.storage.post("/_sandbox/faults", json=rules).raise_for_status()
    try:
        job = vertex.wait(vertex.job(model, [uri], **KEY).name)
        fired = [rule["fired"] for rule in vertex.storage.get("/_sandbox/faults").json()["faults"]]
    finally:
        vertex.storage.delete("/_sandbox/faults").raise_for_status()
    assert job.state == v1.JobState.JOB_STATE_SUCCEEDED, job
    assert fired == [1, 1, 1]
    assert sorted(row["key"] for row in parsed(vertex.output(job)[0])) == sorted(f"k{i}" for i in range(30_000))


def test_a_container_that_dies(vertex: Any) -> None:
    """The job fails at once, and keeps what was predicted until then."""
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(socket.socket())
        sock.bind(("127.0.0.1", 0))
        served = threading.Event()

        async def predict(request: Request) -> Response:
            body = orjson.loads(await request.body())
            if served.is_set():
                request.scope["state"]["abort"]()
            served.set()
            return JSONResponse({"predictions": [1 for _ in body["instances"]]})

        async def health(_: Request) -> Response:
            return JSONResponse({}, 500 if served.is_set() else 200)

        app = Starlette(routes=[Route("/predict", predict, methods=["POST"]), Route("/health", health)])
        stack.enter_context(run_in_thread(app, sock))
        model = vertex.upload(f"http://127.0.0.1:{sock.getsockname()[1]}", "dies")
        vertex.settings(batches_in_flight=1)
        try:
            job = vertex.wait(vertex.job(model, [vertex.put("in/dies.jsonl", keyed(200))], **KEY).name)
        finally:
            vertex.settings(batches_in_flight=4)
    assert job.state == v1.JobState.JOB_STATE_FAILED
    assert "stopped answering" in job.error.message
    assert len(vertex.output(job)[0]) == 64
