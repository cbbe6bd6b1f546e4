from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from vertex_model_inference.errors import SettingsError
from vertex_model_inference.settings import Settings, is_loopback, load
from vertex_model_inference.settings_sections import ModelSection
from vertex_model_inference.settings_sources import MODEL_KEYS


def test_environment_beats_dotenv_beats_toml_beats_default(tmp_path: Path) -> None:
    (tmp_path / "vmi.toml").write_text(
        'region = "europe-west4"\nbucket = "from-toml"\nshard_rows = 10\nproject = "toml"\n'
    )
    (tmp_path / ".env").write_text("VMI_BUCKET=from-dotenv\nGOOGLE_CLOUD_PROJECT=dotenv\nOTHER=1\n")
    settings = load({"GOOGLE_CLOUD_PROJECT": "environment"}, tmp_path)
    assert (settings.project, settings.bucket, settings.region) == ("environment", "from-dotenv", "europe-west4")
    assert (settings.shard_rows, settings.job_rows) == (10, 50_000)
    sources = settings.sources()
    assert sources["project"] == "environment GOOGLE_CLOUD_PROJECT"
    assert sources["bucket"] == ".env VMI_BUCKET"
    assert sources["region"] == "vmi.toml region"
    assert sources["job_rows"] == "default"


def test_the_names_of_2022_are_aliases(tmp_path: Path) -> None:
    settings = load(
        {
            "lb_api_key": "k",
            "gcs_bucket": "bucket-1",
            "gcs_region": "us-east1",
            "google_project": "p",
            "model_name": "m",
            "etl_url": "https://etl.example/",
            "inference_url": "https://inf.example",
        },
        tmp_path,
    )
    assert settings.labelbox_api_key is not None
    assert settings.labelbox_api_key.get_secret_value() == "k"
    assert (settings.bucket, settings.region, settings.project) == ("bucket-1", "us-east1", "p")
    assert (settings.model_name, settings.etl_url, settings.inference_url) == (
        "m",
        "https://etl.example",
        "https://inf.example",
    )
    assert settings.sources()["labelbox_api_key"] == "environment lb_api_key"


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"VMI_BUCKT": "x"}, ["VMI_BUCKT", "Did you mean VMI_BUCKET?"]),
        ({"GOOGLE_CLOUD_PROJECT": "a", "google_project": "b"}, ["google_project", "differ"]),
        ({"VMI_BUCKET": "gs://bucket/folder"}, ["VMI_BUCKET", "match pattern"]),
        ({"VMI_SHARD_ROWS": "many"}, ["VMI_SHARD_ROWS", "integer"]),
        ({"VMI_SHARD_ROWS": "0"}, ["VMI_SHARD_ROWS", "greater than"]),
        ({"VMI_LABELBOX_URL": "ftp://x"}, ["VMI_LABELBOX_URL", "http"]),
        ({"VMI_VERTEX_URL": "https://me:pw@host"}, ["VMI_VERTEX_URL", "password"]),
        ({"VMI_REGION": "us", "VMI_BUCKET": "ok-bucket"}, ["VMI_REGION"]),
        (
            {"VMI_VERTEX_URL": "https://europe-west4-aiplatform.googleapis.com", "VMI_REGION": "us-central1"},
            ["europe-west4", "us-central1", "VMI_REGION"],
        ),
        ({"VMI_SHARD_ROWS": "100", "VMI_JOB_ROWS": "50"}, ["shard_rows", "job_rows"]),
        ({"VMI_DESTINATION": "moon"}, ["VMI_DESTINATION"]),
        ({"VMI_DESTINATION": ","}, ["VMI_DESTINATION", "at least one"]),
        ({"VMI_CONFIG": "nowhere.toml"}, ["VMI_CONFIG", "nowhere.toml"]),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, environ: dict[str, str], words: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load(environ, tmp_path)
    for word in words:
        assert word in str(caught.value)


def test_all_problems_are_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "vmi.toml").write_text(
        'buckte = "x"\n[models."A"]\nthreshhold = 0.5\n[models."B"]\nthreshold = 2\n'
        '[models."C"]\ncontainer = "http://127.0.0.1:1"\npredict = "batch"\n'
    )
    with pytest.raises(SettingsError) as caught:
        load({"VMI_REGON": "x"}, tmp_path)
    text = str(caught.value)
    assert "VMI_REGION?" in text
    assert "Did you mean bucket?" in text
    assert "Did you mean threshold?" in text
    assert '[models."B"] threshold' in text


@pytest.mark.parametrize("content", ["x = ", b"\xff\xfe", 'models = "x"', "[models]\na = 1"])
def test_a_bad_file_is_named(tmp_path: Path, content: str | bytes) -> None:
    (tmp_path / "vmi.toml").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SettingsError, match=r"vmi\.toml"):
        load({}, tmp_path)


def test_a_secret_is_nowhere_to_be_read(tmp_path: Path) -> None:
    secret = "s3cr3t-value"
    settings = load(
        {
            "LABELBOX_API_KEY": secret,
            "VMI_WEBHOOK_SECRET": secret,
            "VMI_GOOGLE_TOKEN": secret,
            "VMI_DATABASE_URL": f"postgresql://user:{secret}@db/vmi",
        },
        tmp_path,
    )
    assert secret not in repr(settings)
    assert secret not in str(settings)
    assert secret not in json.dumps(settings.shown())
    assert settings.shown()["database_url"] == "postgresql://user:********@db/vmi"
    with pytest.raises(SettingsError) as caught:
        load({"LABELBOX_API_KEY": secret, "lb_api_key": f"{secret}2"}, tmp_path)
    assert secret not in str(caught.value)


def test_a_server_that_others_reach_needs_a_secret(tmp_path: Path) -> None:
    open_ = load({}, tmp_path)
    open_.check_host("127.0.0.1")
    open_.check_host("::1")
    for host in ("0.0.0.0", "::", "10.0.0.1", "example.com"):
        with pytest.raises(SettingsError, match="VMI_WEBHOOK_SECRET"):
            open_.check_host(host)
    load({"VMI_WEBHOOK_SECRET": "s"}, tmp_path).check_host("0.0.0.0")


def test_loopback_assets_are_for_sandboxes_only(tmp_path: Path) -> None:
    assert load({}, tmp_path).asset_hosts == frozenset()
    assert load({"VMI_ALLOW_HOSTS": "NAS.local, 10.0.0.7"}, tmp_path).asset_hosts == {"nas.local", "10.0.0.7"}
    assert "127.0.0.1" in load({"VMI_LABELBOX_URL": "http://127.0.0.1:8700"}, tmp_path).asset_hosts


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("127.8.8.8", True),
        ("http://127.0.0.1:1/x", True),
        ("http://[::1]:1", True),
        ("http://localhost.evil.com", False),
        ("0.0.0.0", False),
        ("", False),
    ],
)
def test_is_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_derived_values_and_overrides(tmp_path: Path) -> None:
    settings = load(
        {"VMI_LABELBOX_URL": "https://api.eu.labelbox.com/graphql", "STORAGE_EMULATOR_HOST": "127.0.0.1:9"},
        tmp_path,
        {"region": "europe-west4", "bucket": None},
    )
    assert settings.labelbox_graphql == "https://api.eu.labelbox.com/graphql"
    assert settings.labelbox_rest == "https://api.eu.labelbox.com/api/v1"
    assert settings.vertex_url == "https://europe-west4-aiplatform.googleapis.com"
    assert settings.storage_url == "http://127.0.0.1:9"
    assert settings.database_url.startswith("sqlite:////")
    assert settings.sources()["region"] == "command line"
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_what_a_command_needs_is_asked_for_by_its_variable(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="LABELBOX_API_KEY and VMI_BUCKET must be set"):
        load({"VMI_REGION": "us-east1"}, tmp_path).require("labelbox_api_key", "bucket", "region")


def test_settings_alone_read_nothing_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BUCKET", "surprise")
    monkeypatch.setenv("VMI_BUCKET", "surprise")
    monkeypatch.chdir(tmp_path)
    assert Settings().bucket is None


def test_the_command_line_imports_no_heavy_package() -> None:
    code = (
        "import sys; import vertex_model_inference.cli;"
        "heavy = {'labelbox', 'dbos', 'google.cloud.aiplatform_v1', 'pydantic', 'starlette', 'obstore', 'httpx2'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_rules_of_a_model_reach_its_option(tmp_path: Path) -> None:
    (tmp_path / "vmi.toml").write_text(
        '[models."m"]\nclasses = { dog = ["cat", "pet"], cow = "pet" }\nthresholds = { dog = 0.3 }\ntop_k = 3\n'
        "nms_iou = 0.5\nnms_agnostic = true\nmin_size_px = 2\nsimplify_px = 0\nmax_annotations = 10\n"
    )
    section = load({}, tmp_path).models["m"]
    assert section.classes == {"dog": ("cat", "pet"), "cow": "pet"}
    assert (section.thresholds, section.top_k, section.max_annotations) == ({"dog": 0.3}, 3, 10)
    assert (section.nms_iou, section.nms_agnostic, section.min_size_px, section.simplify_px) == (0.5, True, 2, 0)


def test_every_key_of_a_model_section_can_be_written() -> None:
    assert set(MODEL_KEYS) == set(ModelSection.model_fields)


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("postgres://vmi@db/vmi", "postgresql://vmi@db/vmi"),
        ("postgresql+psycopg://vmi@db/vmi", "postgresql://vmi@db/vmi"),
        ("postgresql://vmi@db/vmi?sslmode=verify-full", "postgresql://vmi@db/vmi?sslmode=verify-full"),
        ("sqlite:////var/vmi.sqlite", "sqlite:////var/vmi.sqlite"),
    ],
)
def test_databases_as_people_write_them(given: str, taken: str, tmp_path: Path) -> None:
    settings = load({"VMI_DATABASE_URL": given}, tmp_path)
    assert settings.database_url == taken
    assert settings.shared_database is taken.startswith("postgresql")


@pytest.mark.parametrize("url", ["mysql://u:pa55@db/vmi", "pa55", "postgresql:vmi:pa55"])
def test_another_database_is_refused_and_its_password_not_repeated(url: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="begins with sqlite:/// or postgresql://") as caught:
        load({"VMI_DATABASE_URL": url}, tmp_path)
    assert "pa55" not in str(caught.value)


def test_a_password_among_the_options_of_a_url_is_masked(tmp_path: Path) -> None:
    settings = load({"VMI_DATABASE_URL": "postgresql://db/vmi?user=vmi&password=pa55&sslmode=require"}, tmp_path)
    assert settings.shown()["database_url"] == "postgresql://db/vmi?user=vmi&password=********&sslmode=require"


def test_limits_of_workers_that_contradict_each_other(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="Set VMI_WORKER_GROUPS to at most VMI_TOTAL_GROUPS"):
        load({"VMI_WORKER_GROUPS": "5", "VMI_TOTAL_GROUPS": "4"}, tmp_path)
