from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest
from google.cloud import aiplatform_v1 as v1
from google.oauth2.credentials import Credentials
from google.protobuf import json_format, struct_pb2
from labelbox import Client

from vertex_model_inference.errors import RequestError, SettingsError
from vertex_model_inference.sandbox.config import SandboxConfig
from vertex_model_inference.sandbox.datasets.catalog import material
from vertex_model_inference.sandbox.datasets.material import SeedRow
from vertex_model_inference.sandbox.datasets.seeding import Seeded, seed
from vertex_model_inference.sandbox.datasets.target import Target

pytestmark = pytest.mark.xdist_group("seeding")


VMI = "from vertex_model_inference.cli import main; main()"


def _client(target: Target) -> Any:
    return Client(
        api_key=target.api_key,
        endpoint=f"{target.labelbox_url}/graphql",
        rest_endpoint=f"{target.labelbox_url}/api/v1",
        enable_experimental=True,
    )


def _vertex(service: Any, target: Target) -> Any:
    return service(
        transport="rest", credentials=Credentials(target.token), client_options={"api_endpoint": target.vertex_url}
    )


def _exported(target: Target, seeded: Seeded) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Global key -> (the export's row, its part about the model run)."""
    run = _client(target).get_model_run(seeded.model_run_id)
    task = run.export("seeding", params={"model_run_details": True, "data_row_details": True})
    task.wait_till_done()
    rows = [output.json for output in task.get_buffered_stream()]
    assert len({row["data_row"]["global_key"] for row in rows}) == len(rows)
    return {
        row["data_row"]["global_key"]: (row, row["experiments"][seeded.model_id]["runs"][seeded.model_run_id])
        for row in rows
    }


def _check_run(target: Target, seeded: Seeded, rows: list[SeedRow]) -> None:
    """The run has exactly these rows, with their labels, splits and assets."""
    exported = _exported(target, seeded)
    assert exported.keys() == {row.key for row in rows}
    by_key = {
        row.data_row().global_key: row
        for row in _client(target).get_model_run(seeded.model_run_id).model_run_data_rows()
    }
    for row in rows:
        whole, run = exported[row.key]
        assert by_key[row.key].data_split.value.lower() == row.split.value
        (label,) = run["labels"]
        (answer,) = label["annotations"]["classifications"]
        assert answer["radio_answer"]["value"] == row.answer
        row_data = whole["data_row"]["row_data"]
        assert row_data == row.text if row.text is not None else row_data.startswith("gs://vmi-sandbox/datasets/")


@pytest.fixture(scope="module")
def digits(target: Target) -> Seeded:
    return seed(material("digits"), target, rows=200)


def test_digits_are_a_model_run_with_rows_labels_and_splits(target: Target, digits: Seeded) -> None:
    rows = material("digits").rows()[:200]
    assert (digits.rows, digits.labels) == (200, 200)
    assert digits.splits == Counter(row.split.value for row in rows)
    assert digits.measured["test_accuracy"] >= 0.97
    _check_run(target, digits, rows)


def test_pictures_have_their_size(target: Target, digits: Seeded) -> None:
    for whole, _ in _exported(target, digits).values():
        assert whole["media_attributes"]["width"] == whole["media_attributes"]["height"] == 64


def test_seeding_again_makes_a_fresh_run_and_nothing_twice(target: Target, digits: Seeded) -> None:
    again = seed(material("digits"), target, rows=200)
    assert again.model_run_id != digits.model_run_id
    for same in ("dataset_id", "project_id", "ontology_id", "model_id", "vertex_model", "vertex_model_version"):
        assert getattr(again, same) == getattr(digits, same)
    _check_run(target, again, material("digits").rows()[:200])
    models = list(_vertex(v1.ModelServiceClient, target).list_models(parent="projects/sandbox/locations/us-central1"))
    assert [model.display_name for model in models].count("digits") == 1


def test_seeding_more_goes_on_and_seeding_fewer_takes_a_part(target: Target, digits: Seeded) -> None:
    more = seed(material("digits"), target, rows=230)
    _check_run(target, more, material("digits").rows()[:230])
    fewer = seed(material("digits"), target, rows=50)
    _check_run(target, fewer, material("digits").rows()[:50])
    assert more.dataset_id == fewer.dataset_id == digits.dataset_id


def test_the_vertex_model_is_an_automl_image_classifier(target: Target, digits: Seeded) -> None:
    model = _vertex(v1.ModelServiceClient, target).get_model(name=digits.vertex_model)
    assert model.metadata_schema_uri.endswith("/schema/model/metadata/automl_image_classification_1.0.0.yaml")
    assert model.predict_schemata.prediction_schema_uri.endswith("/prediction/classification_1.0.0.yaml")
    assert model.model_source_info.source_type == v1.ModelSourceInfo.ModelSourceType.AUTOML


def _deployed(target: Target, seeded: Seeded) -> str:
    client = _vertex(v1.EndpointServiceClient, target)
    parent = seeded.vertex_model.partition("/models/")[0]
    endpoint = client.create_endpoint(parent=parent, endpoint=v1.Endpoint(display_name=seeded.name)).result(timeout=60)
    deployed = v1.DeployedModel(
        model=seeded.vertex_model,
        display_name=seeded.name,
        dedicated_resources=v1.DedicatedResources(
            machine_spec=v1.MachineSpec(machine_type="n1-standard-2"), min_replica_count=1
        ),
    )
    if seeded.name == "digits":  # AutoML models bring their own machines
        deployed = v1.DeployedModel(
            model=seeded.vertex_model,
            display_name=seeded.name,
            automatic_resources=v1.AutomaticResources(min_replica_count=1, max_replica_count=1),
        )
    request = v1.DeployModelRequest(endpoint=endpoint.name, deployed_model=deployed, traffic_split={"0": 100})
    client.deploy_model(request).result(timeout=60)
    name: str = endpoint.name
    return name


def _predict(target: Target, endpoint: str, instances: list[Any]) -> list[Any]:
    client = _vertex(v1.PredictionServiceClient, target)
    values = [json_format.ParseDict(instance, struct_pb2.Value()) for instance in instances]
    answer = client.predict(endpoint=endpoint, instances=values, timeout=60)
    return [json_format.MessageToDict(value) for value in type(answer).pb(answer).predictions]


def test_the_vertex_model_answers(target: Target, digits: Seeded) -> None:
    rows = [row for row in material("digits").rows() if row.split.value == "test"][:40]
    instances = [{"content": base64.b64encode(row.data or b"").decode()} for row in rows]
    predictions = _predict(target, _deployed(target, digits), instances)
    right = [p["displayNames"][0] == row.answer for p, row in zip(predictions, rows, strict=True)]
    assert sum(right) >= 37


def test_reviews_from_the_command_line(target: Target, seeding_sandbox: SandboxConfig) -> None:
    done = subprocess.run(
        [sys.executable, "-c", VMI, "sandbox", "seed", "reviews", "--rows", "200", "--json"],
        env={**os.environ, **seeding_sandbox.environment()},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    seeded = Seeded(**printed)
    rows = material("reviews").rows()[:200]
    assert (seeded.rows, seeded.labels) == (200, 200)
    _check_run(target, seeded, rows)
    test = [row for row in rows if row.split.value == "test"]
    predictions = _predict(target, _deployed(target, seeded), [{"text": row.text} for row in test])
    right = [p["displayNames"][0] == row.answer for p, row in zip(predictions, test, strict=True)]
    assert sum(right) / len(right) > 0.55


def test_documents_have_boxes_with_transcriptions(target: Target) -> None:
    seeded = seed(material("documents"), target)
    exported = _exported(target, seeded)
    for row in material("documents").rows():
        _, run = exported[row.key]
        drawn = [box for label in run["labels"] for box in label["annotations"]["objects"]]
        written = {(box["bounding_box"]["top"], box["classifications"][0]["text_answer"]["content"]) for box in drawn}
        assert written == {(line.top, line.text) for line in row.lines}


def test_only_as_many_rows_as_there_are(target: Target) -> None:
    with pytest.raises(RequestError, match="1 to 1797"):
        seed(material("digits"), target, rows=1798)


def test_only_a_running_sandbox_is_seeded(target: Target) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    gone = Target.of({"VMI_LABELBOX_URL": url, "VMI_STORAGE_URL": target.storage_url})
    with pytest.raises(SettingsError, match=r"No sandbox Labelbox answers.*vmi sandbox"):
        seed(material("digits"), gone, rows=1)
