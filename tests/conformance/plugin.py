"""A pytest plugin for the Labelbox SDK's own tests: their samples on the internet are answered from this machine.

Loaded with ``-p plugin``. Only the network below ``requests`` is replaced; the SDK's code and assertions stay as they
are.
``VMI_CONFORMANCE_SAMPLES`` is a JSON object: URL -> file to answer with. Any other address that is not loopback is
refused, and the test that asked for it is reported as needing the internet.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from requests.adapters import HTTPAdapter

_SAMPLES: dict[str, str] = json.loads(os.environ.get("VMI_CONFORMANCE_SAMPLES", "{}"))
_send = HTTPAdapter.send
_refused: list[str] = []


def _answered_here(self: HTTPAdapter, request: Any, *arguments: Any, **options: Any) -> Any:
    path = _SAMPLES.get(request.url)
    if path is not None:
        response = requests.Response()
        response.status_code = 200
        response.url = request.url
        response.request = request
        content = b"" if request.method == "HEAD" else Path(path).read_bytes()
        response.raw = io.BytesIO(content)
        response._content = content
        return response
    if urlsplit(request.url).hostname not in ("127.0.0.1", "localhost"):
        _refused.append(request.url)
        msg = f"conformance runs without the internet; {request.url} was asked for"
        raise requests.ConnectionError(msg)
    return _send(self, request, *arguments, **options)


HTTPAdapter.send = _answered_here  # type: ignore[method-assign]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Note at the test what it has asked of the internet, its fixtures included."""
    _refused.clear()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Carry the note into the JUnit file."""
    report = yield
    if _refused and not any(name == "needs-internet" for name, _ in item.user_properties):
        item.user_properties.append(("needs-internet", _refused[0]))
        report.user_properties.append(("needs-internet", _refused[0]))
    return report
