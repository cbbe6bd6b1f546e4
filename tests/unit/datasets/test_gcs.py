from __future__ import annotations

import pytest

from vertex_model_inference.sandbox.containers.gcs import bytes_of, url_of
from vertex_model_inference.sandbox.containers.serve import InstanceError, each


def test_gs_uris_lead_to_the_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9/")
    assert url_of("gs://b/a folder/ü#?.png") == "http://127.0.0.1:9/b/a%20folder/%C3%BC%23%3F.png"
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "127.0.0.1:9")
    assert url_of("gs://b/o") == "http://127.0.0.1:9/b/o"


def test_without_an_emulator_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    with pytest.raises(InstanceError, match="STORAGE_EMULATOR_HOST"):
        url_of("gs://b/o")


@pytest.mark.parametrize("url", ["http://127.0.0.1:5/x", "http://localhost/x", "http://[::1]:5/x"])
def test_this_machine_may_be_read(url: str) -> None:
    assert url_of(url) == url


@pytest.mark.parametrize(
    "uri",
    [
        "http://example.com/x",
        "https://169.254.169.254/x",
        "http://127.0.0.1.example.com/",
        "file:///etc/passwd",
        "gs://b",
    ],
)
def test_anything_else_may_not(uri: str) -> None:
    with pytest.raises(InstanceError, match=r"cannot be read|another machine|is not the URI"):
        url_of(uri)


def test_bytes_come_in_two_spellings() -> None:
    assert bytes_of("aGk=", "content") == bytes_of({"b64": "aGk="}, "image") == b"hi"


def test_each_keeps_order_and_isolates() -> None:
    assert each(lambda n: 6 // n, [1, 0, 3]) == [
        6,
        {"error": {"code": 13, "message": "The model failed on this instance: ZeroDivisionError: " + _zero()}},
        2,
    ]


def _zero() -> str:
    try:
        return str(1 // 0)
    except ZeroDivisionError as error:
        return str(error)
