"""The registry and the catalog against the sandbox's Vertex AI, whose models are uploaded with Google's client."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from vertex_model_inference.errors import SettingsError, VertexError
from vertex_model_inference.models import Predictor, Task
from vertex_model_inference.sandbox.child import run_in_thread
from vertex_model_inference.sandbox.config import SandboxConfig
from vertex_model_inference.sandbox.storage.app import create_app as create_storage
from vertex_model_inference.sandbox.vertex.app import create_app
from vertex_model_inference.settings import Settings, load
from vertex_model_inference.vertex.auth import GoogleAuth
from vertex_model_inference.vertex.catalog import Catalog
from vertex_model_inference.webhook.wiring import catalog_of

SCHEMA = "gs://google-cloud-aiplatform/schema"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxConfig]:
    state = tmp_path_factory.mktemp("vertex")
    with socket.socket() as vertex, socket.socket() as storage:
        for sock in (vertex, storage):
            sock.bind(("127.0.0.1", 0))
        config = SandboxConfig(
            state=state, labelbox_port=1, storage_port=storage.getsockname()[1], vertex_port=vertex.getsockname()[1]
        )
        for name in ("vertex", "storage"):
            (state / name).mkdir()
        with run_in_thread(create_storage(config), storage), run_in_thread(create_app(config), vertex):
            upload(config, "digits", "sandbox/automl-image-classification", labels={"owner": "x"}, automl=True)
            upload(config, "custom", "http://127.0.0.1:9", labels={"vmi-task": "text-classification"})
            yield config


@pytest.fixture(autouse=True)
def _no_faults_left(config: SandboxConfig) -> Iterator[None]:
    yield
    httpx2.delete(f"{config.vertex_url}/_sandbox/faults")


def upload(config: SandboxConfig, name: str, image: str, *, labels: dict[str, str], automl: bool = False) -> None:
    from google.cloud import aiplatform_v1 as v1
    from google.oauth2.credentials import Credentials

    model = v1.Model(display_name=name, labels=labels, container_spec=v1.ModelContainerSpec(image_uri=image))
    if automl:
        model.metadata_schema_uri = f"{SCHEMA}/model/metadata/automl_image_classification_1.0.0.yaml"
        model.predict_schemata = v1.PredictSchemata(
            instance_schema_uri=f"{SCHEMA}/predict/instance/image_classification_1.0.0.yaml",
            prediction_schema_uri=f"{SCHEMA}/predict/prediction/classification_1.0.0.yaml",
        )
    with v1.ModelServiceClient(
        transport="rest", credentials=Credentials("t"), client_options={"api_endpoint": config.vertex_url}
    ) as client:
        client.upload_model(parent="projects/sandbox/locations/us-central1", model=model).result(timeout=30)


def settings_for(config: SandboxConfig, folder: Path, **more: str) -> Settings:
    return load({**config.environment(), "VMI_DATA_DIR": str(folder), **more}, folder)


def fault(config: SandboxConfig, match: str, **rule: Any) -> None:
    httpx2.post(f"{config.vertex_url}/_sandbox/faults", json={"match": match, **rule}).raise_for_status()


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        threading.Event().wait(0.02)


def no_problem() -> str | None:
    return None


def test_the_registry_is_read_whole(config: SandboxConfig, tmp_path: Path) -> None:
    options = Catalog.of(settings_for(config, tmp_path), no_problem).refresh()
    digits, custom = options.find("digits"), options.find("custom")
    assert digits is not None
    assert digits.model is not None
    assert custom is not None
    assert custom.model is not None
    assert (digits.predictor, digits.task, digits.decoder) == (
        Predictor.BATCH,
        Task.IMAGE_CLASSIFICATION,
        "automl-classification",
    )
    assert digits.model.automl
    assert digits.model.version == "1"
    assert digits.model.labels == {"owner": "x"}
    assert digits.model.location == "us-central1"
    assert not custom.model.automl
    assert (custom.task, custom.decoder) == (Task.TEXT_CLASSIFICATION, None)
    assert custom.model.container_image == "http://127.0.0.1:9"


def test_pages_are_followed(config: SandboxConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("vertex_model_inference.vertex.registry._PAGE", 1)
    assert {"digits", "custom"} <= set(Catalog.of(settings_for(config, tmp_path), no_problem).refresh().names)


def test_a_restart_has_the_menu_without_asking(config: SandboxConfig, tmp_path: Path) -> None:
    settings = settings_for(config, tmp_path)
    names = Catalog.of(settings, no_problem).refresh().names
    fault(config, "/*", times=0, status=500)
    assert Catalog.of(settings, no_problem).options(0.0).names == names
    elsewhere = settings_for(config, tmp_path, VMI_REGION="europe-west4")
    assert Catalog.of(elsewhere, no_problem).options(0.0).names == ()


def test_a_broken_file_is_no_file(config: SandboxConfig, tmp_path: Path) -> None:
    (tmp_path / "catalog.json").write_bytes(b'{"at": 1, "snap')
    catalog = Catalog.of(settings_for(config, tmp_path), no_problem)
    assert catalog.age_s is None
    assert "digits" in catalog.refresh().names


def test_the_first_fill_is_waited_for_and_later_ones_are_not(config: SandboxConfig, tmp_path: Path) -> None:
    catalog = Catalog.of(settings_for(config, tmp_path), no_problem)
    catalog.start()
    try:
        assert "digits" in catalog.options(20.0).names
        assert catalog.age_s is not None
    finally:
        catalog.stop()


def test_a_silent_google_is_waited_for_only_so_long(config: SandboxConfig, tmp_path: Path) -> None:
    fault(config, "/v1/*", times=0, delay_s=2)
    catalog = Catalog.of(settings_for(config, tmp_path), no_problem)
    catalog.start()
    try:
        assert catalog.options(0.2).names == ()
        assert catalog.age_s is None
    finally:
        httpx2.delete(f"{config.vertex_url}/_sandbox/faults")
        catalog.stop(20)


def test_a_new_model_is_found_by_its_name(
    config: SandboxConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vertex_model_inference.vertex.catalog.RECHECK_S", 0.0)
    catalog = Catalog.of(settings_for(config, tmp_path), no_problem)
    catalog.start()
    try:
        assert catalog.options(20.0).find("late") is None
        upload(config, "late", "http://127.0.0.1:9", labels={})
        assert catalog.find("late", 20.0) is not None
        assert catalog.find("never", 20.0) is None
    finally:
        catalog.stop()


def test_what_is_known_outlives_trouble(config: SandboxConfig, tmp_path: Path) -> None:
    catalog = Catalog.of(settings_for(config, tmp_path), no_problem)
    names = catalog.refresh().names
    fault(config, "models.list", times=0, status=403, json={"error": {"code": 403, "message": "No."}})
    with pytest.raises(VertexError, match="did not list the models of project sandbox") as caught:
        catalog.refresh()
    assert "roles/aiplatform.user" in str(caught.value)
    assert catalog.options(0.0).names == names
    httpx2.delete(f"{config.vertex_url}/_sandbox/faults")
    catalog.refresh()
    assert catalog.problem is None


def test_nobody_there_is_said(tmp_path: Path) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        settings = load({"GOOGLE_CLOUD_PROJECT": "p", "VMI_GOOGLE_TOKEN": "t", "VMI_VERTEX_URL": url}, tmp_path)
        with pytest.raises(VertexError, match="did not answer") as caught:
            Catalog.of(settings).refresh()
        assert caught.value.retryable


def test_the_bucket_decides_about_batch_jobs(config: SandboxConfig, tmp_path: Path) -> None:
    for name, location in (("near", "US"), ("far", "EUROPE-WEST4")):
        httpx2.post(
            f"{config.storage_url}/storage/v1/b?project=sandbox",
            json={"name": f"bucket-{name}", "location": location},
            headers={"Authorization": "Bearer t"},
        ).raise_for_status()
    near = catalog_of(settings_for(config, tmp_path, VMI_BUCKET="bucket-near")).refresh()
    assert "digits" in near.names
    for bucket, words in (("bucket-far", "EUROPE-WEST4"), ("bucket-missing", "does not exist")):
        options = catalog_of(settings_for(config, tmp_path, VMI_BUCKET=bucket)).refresh()
        assert options.names == ()
        assert words in next(each.why for each in options.left_out if each.name == "digits")
    without = {name: text for name, text in config.environment().items() if name != "VMI_BUCKET"}
    options = catalog_of(load({**without, "VMI_DATA_DIR": str(tmp_path)}, tmp_path)).refresh()
    assert "VMI_BUCKET" in next(each.why for each in options.left_out if each.name == "digits")


def test_the_background_thread_ends_and_survives_surprises(config: SandboxConfig, tmp_path: Path) -> None:
    calls = []

    def surprise() -> str | None:
        calls.append(1)
        msg = "a bug"
        raise ValueError(msg)

    catalog = Catalog.of(settings_for(config, tmp_path), surprise)
    catalog.start()
    until(lambda: bool(calls) and catalog.problem is not None)
    catalog.start()
    catalog.stop()
    assert not any(thread.name == "vmi-catalog" for thread in threading.enumerate())


def test_no_credentials_is_a_setting_to_make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    with pytest.raises(SettingsError, match="VMI_GOOGLE_TOKEN") as caught:
        GoogleAuth(None).credentials()
    assert caught.value.error_code == "google_credentials"
    token = load({"VMI_GOOGLE_TOKEN": "static"}, tmp_path).google_token
    assert GoogleAuth(token)() == ("static", None)
    assert GoogleAuth(token).credentials().token == "static"
