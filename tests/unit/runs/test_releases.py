"""Specs of other releases are refused in words; those of this one are read, and so are those from before versions."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from vertex_model_inference import spec
from vertex_model_inference.errors import ConflictError
from vertex_model_inference.models import ModelOption, Predictor
from vertex_model_inference.runs.asking import spec_of
from vertex_model_inference.runs.database import WORKFLOW_VERSION
from vertex_model_inference.settings import load
from vertex_model_inference.spec import ARTIFACTS_VERSION, OLDEST_ARTIFACTS, RunSpec, read_spec

SPEC = RunSpec(
    run_id="r-0", model_run_id="r", option=ModelOption(name="m", predictor=Predictor.BATCH), created_at="2026-01-01"
)


def doctored(**changes: Any) -> bytes:
    value = msgspec.to_builtins(SPEC)
    value.update(changes)
    return msgspec.json.encode({key: each for key, each in value.items() if each is not ...})


def test_specs_that_this_release_reads() -> None:
    assert read_spec(doctored()) == SPEC
    assert read_spec(doctored().decode()) == SPEC
    assert read_spec(doctored(artifacts_version=...)) == SPEC, "from before there were versions"
    assert read_spec(doctored(what_a_later_patch_adds={"x": 1})) == SPEC


def test_a_new_run_says_its_version(tmp_path: Any) -> None:
    settings = load({"VMI_DATA_DIR": str(tmp_path)}, tmp_path)
    made = spec_of(settings, "r-0", "r", SPEC.option)
    assert made.artifacts_version == ARTIFACTS_VERSION
    assert msgspec.json.decode(msgspec.json.encode(made))["artifacts_version"] == ARTIFACTS_VERSION
    assert WORKFLOW_VERSION.endswith(f".{ARTIFACTS_VERSION}"), "the engine leaves other artifacts alone too"


def test_a_newer_release_s_run_is_refused_though_its_form_is_unknown() -> None:
    raw = doctored(artifacts_version=ARTIFACTS_VERSION + 1, option="no object any more", shard_rows="many")
    with pytest.raises(ConflictError, match=r"r-0 was begun by a newer release of vmi") as raised:
        read_spec(raw)
    assert raised.value.error_code == "newer_release"
    assert f"version {ARTIFACTS_VERSION + 1}" in raised.value.message


def test_an_older_release_s_run_is_refused_once_its_files_are_not_read_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spec, "ARTIFACTS_VERSION", ARTIFACTS_VERSION + 2)
    monkeypatch.setattr(spec, "OLDEST_ARTIFACTS", OLDEST_ARTIFACTS + 1)
    with pytest.raises(ConflictError, match="older release") as raised:
        read_spec(doctored(artifacts_version=OLDEST_ARTIFACTS))
    assert raised.value.error_code == "older_release"
    assert read_spec(doctored(artifacts_version=OLDEST_ARTIFACTS + 1)).run_id == "r-0"


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b"\xff", b'{"artifacts_version": "one"}', b"[" * 100_000])
def test_what_is_no_spec(raw: bytes) -> None:
    with pytest.raises(ConflictError) as raised:
        read_spec(raw)
    assert raised.value.error_code == "unreadable_spec"
