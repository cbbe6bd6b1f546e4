"""What comes from outside, changed in every way: no crash, no hang, and no error without a name.

``make fuzz`` tries ``VMI_TEST_FUZZ_EXAMPLES`` of each; a plain run a few hundred, the same ones each time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import tempfile
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vertex_model_inference import settings as product_settings
from vertex_model_inference.errors import DecodeError, LabelboxError, RequestError, RowError, SettingsError
from vertex_model_inference.labelbox.exports import labels_of, parse_export_row
from vertex_model_inference.labelbox.ontologies import parse_ontology
from vertex_model_inference.models import ModelOption, Predictor
from vertex_model_inference.runs.started import Started
from vertex_model_inference.steps.media import image_header
from vertex_model_inference.steps.output_lines import read_line
from vertex_model_inference.vertex.catalog import Catalog
from vertex_model_inference.vertex.online import Predictions
from vertex_model_inference.webhook.app import create_app, parse_call
from vertex_model_inference.webhook.signature import HEADER, sign

EXAMPLES = int(os.environ.get("VMI_TEST_FUZZ_EXAMPLES", "300"))
fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=EXAMPLES <= 300,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)

JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
        st.sampled_from((10**40, -(10**25), 1e308, "", "\u2028", "\ud800", "0", "1e999", "null", "\0")),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=12,
)  # fmt: skip
NASTY = (
    b"[" * 3_000, b'{"a":' * 1_500, b"\xff\xfe", b"\xc3\x28", b"\xed\xa0\x80", b"\\ud800", b"\\u0000", b"1e400", b"-0",
    b"NaN", b"Infinity", b"9" * 5000, b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\0", b"}", b'"', b",", b"null", b"{}", b"[]",
)  # fmt: skip


def changed(samples: list[Any]) -> st.SearchStrategy[bytes]:
    """Bytes: a sample with values replaced anywhere in it, or its text cut and sprinkled; or anything at all."""

    def put(sample: Any, choices: list[int], value: Any) -> Any:
        copy = json.loads(json.dumps(sample))
        place, steps = copy, list(choices)
        while isinstance(place, dict | list) and place:
            keys: list[Any] = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = keys[(steps.pop() if steps else 0) % len(keys)]
            if not steps or not isinstance(place[key], dict | list) or not place[key]:
                if value == "delete" and isinstance(place, dict):
                    del place[key]
                else:
                    place[key] = value
                return copy
            place = place[key]
        return value

    def edit(sample: Any, edits: list[tuple[int, int, bytes]]) -> bytes:
        raw = json.dumps(sample).encode()
        for at, length, new in edits:
            start = at % (len(raw) + 1)
            raw = raw[:start] + new + raw[start + length :]
        return raw

    sample = st.sampled_from(samples)
    replaced = st.builds(put, sample, st.lists(st.integers(0, 9), max_size=6), st.just("delete") | JSON)
    edits = st.tuples(st.integers(0, 5000), st.integers(0, 12), st.sampled_from(NASTY) | st.binary(max_size=4))
    return st.one_of(
        replaced.map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass")),
        st.builds(edit, sample, st.lists(edits, min_size=1, max_size=3)),
        st.binary(max_size=60),
    )


# -- the webhook ------------------------------------------------------------------------------------------------------

CALL = {"modelId": "cl123", "modelRunId": "cl456", "modelType": "Echo", "more": [1, {"a": None}]}


@fuzz
@given(changed([CALL]))
def test_webhook_bodies(body: bytes) -> None:
    with contextlib.suppress(RequestError):
        call = parse_call(body)
        assert call.model_run_id
        assert call.model_type


class _Runs:
    def start_run(self, model_run_id: str, option: ModelOption, *, model_id: str | None = None) -> Started:
        return Started(f"{model_run_id}-{option.name}-{model_id}", joined=False)


async def _exists(_: str) -> bool | None:
    return True


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("webhook")
    (folder / "vmi.toml").write_text('[models."Echo"]\ncontainer = "http://127.0.0.1:9/predict"\n')
    variables = {"LABELBOX_API_KEY": "key", "VMI_DATA_DIR": str(folder), "VMI_WEBHOOK_SECRET": "the secret"}
    loaded = product_settings.load(variables, folder)
    return create_app(loaded, Catalog.of(loaded), _Runs(), _exists)


def _ask(
    app: Any, method: str, path: str, headers: list[tuple[bytes, bytes]], chunks: list[bytes]
) -> tuple[int, bytes]:
    """The answer of an ASGI app to a request that no HTTP parser has tidied up."""
    status, body = 0, b""
    left = list(chunks)

    async def receive() -> MutableMapping[str, Any]:
        if left:
            return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal status, body
        status = message.get("status", status)
        body += message.get("body", b"")

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": path, "raw_path": path.encode("utf-8", "replace"), "query_string": b"", "root_path": "",
        "headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
    }  # fmt: skip
    asyncio.run(asyncio.wait_for(app(scope, receive, send), 20))
    return status, body


VALUES = st.binary(max_size=30) | st.sampled_from(
    (b"\xb2", b"9" * 5000, b"-1", b"1e9", b"", b"sha1=", b"sha1=\xff", b"chunked", b"application/json; charset=\xff")
)
NAMES = st.sampled_from(
    (b"content-length", b"x-hub-signature", b"content-type", b"host", b"transfer-encoding", b"cookie")
)


@fuzz
@given(
    method=st.sampled_from(("GET", "POST", "PUT", "HEAD", "OPTIONS", "\u00df")),
    path=st.sampled_from(("/models", "/model_run", "//model_run/", "/healthz")) | st.text(max_size=9).map("/".__add__),
    headers=st.lists(st.tuples(NAMES | st.binary(min_size=1, max_size=12), VALUES), max_size=6),
    body=changed([CALL]),
    cuts=st.lists(st.integers(0, 200), max_size=3),
    signed=st.booleans(),
)  # fmt: skip
def test_webhook_requests(
    app: Any, method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes, cuts: list[int], signed: bool
) -> None:
    marks = [0, *sorted(cuts), len(body)]
    chunks = [body[a:b] for a, b in zip(marks, [*marks[1:], len(body)], strict=True)]
    if signed:
        headers = [*headers, (HEADER.lower().encode(), sign("the secret", b"".join(chunks)).encode())]
    status, answer = _ask(app, method, path, headers, chunks or [b""])
    assert 200 <= status < 500, answer
    if status >= 400 and answer:
        error = json.loads(answer)["error"]
        assert error["code"]
        assert "Traceback" not in error["message"]


# -- Labelbox ---------------------------------------------------------------------------------------------------------

EXPORT_ROW = {
    "data_row": {
        "id": "cl0000000000000000000row1", "global_key": "gk", "external_id": "e", "row_data": "https://x/a.jpg",
        "details": {"dataset_id": "d", "created_at": "2023-03-15T14:46:58.000+00:00"},
    },
    "media_attributes": {"height": 1707, "width": 2560, "mime_type": "image/jpeg", "frame_rate": 25, "frame_count": 9},
    "attachments": [], "metadata_fields": [],
    "experiments": {"m": {"name": "M", "runs": {"run": {
        "data_split": "TRAINING", "labels": [{"id": "l", "annotations": {"objects": [{"name": "a"}]}}],
    }}}},
}  # fmt: skip
PDF_ROW = {
    "data_row": {"id": "r", "row_data": {"pdf_url": "https://x/a.pdf", "text_layer_url": "https://x/a.json"}},
    "media_attributes": {"mime_type": "application/pdf"},
}


@fuzz
@given(changed([EXPORT_ROW, PDF_ROW]))
def test_export_rows(line: bytes) -> None:
    with contextlib.suppress(RowError):
        assert parse_export_row(line, "run").id
    with contextlib.suppress(RowError):
        assert isinstance(labels_of(line, "run"), tuple)


ONTOLOGY = {
    "tools": [{
        "tool": "rectangle", "name": "line", "color": "#fff", "required": True, "featureSchemaId": "t" * 25,
        "classifications": [{"type": "text", "name": "n", "instructions": "said", "featureSchemaId": "c" * 25}],
    }],
    "classifications": [{
        "type": "radio", "name": "q", "instructions": "", "scope": "index",
        "options": [{"label": "A", "value": "a", "options": [{"type": "text", "name": "why"}]}, {"label": "B"}],
    }],
}  # fmt: skip


@fuzz
@given(changed([ONTOLOGY]))
def test_ontologies(raw: bytes) -> None:
    forms: list[Any] = [raw.decode("utf-8", "surrogateescape")]
    with contextlib.suppress(ValueError, RecursionError):
        forms.append(json.loads(raw))
    for form in forms:
        with contextlib.suppress(LabelboxError):
            parse_ontology({"id": "o", "name": "O", "normalized": form})


# -- vmi.toml ---------------------------------------------------------------------------------------------------------

TOML = (
    'region = "us-central1"\nshard_rows = 100\nallow_hosts = ["a", "b"]\n\n[models."M"]\npredict = "batch"\n'
    'threshold = 0.5\nclasses = { cat = "Katze" }\nthresholds = { cat = 0.1 }\ninstance = { text = "{text}" }\n'
    'parameters = { a = 1 }\ntop_k = 3\n'
)  # fmt: skip
TOML_NASTY = (
    b"[" * 3000, b"a = " + b"[" * 3000, b'"""', b"= = =", b"[models]\nM = 1\n", b"[[models]]\n", b"models = []\n",
    b"threshold = nan\n", b"threshold = inf\n", b"top_k = 9999999999999999999999\n", b"region = 1979-05-27\n",
    b"\xff", b"\0", b"shard_rows = -1\n", b"max_asset_mb = true\n", b"data_dir = \"\\u0000\"\n",
    b"models.M.M.M.M = 1\n",
    b'labelbox_url = "http://[::1"\n', b'database_url = "postgresql://u:p@[x"\n', b"a." * 3000 + b"b = 1\n",
    b"1" * 5000,
)  # fmt: skip


@fuzz
@given(
    st.lists(
        st.tuples(st.integers(0, 400), st.integers(0, 25), st.sampled_from(TOML_NASTY) | st.binary(max_size=6)),
        max_size=3,
    )
)
def test_vmi_toml(edits: list[tuple[int, int, bytes]]) -> None:
    raw = TOML.encode()
    for at, length, new in edits:
        start = at % (len(raw) + 1)
        raw = raw[:start] + new + raw[start + length :]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "vmi.toml").write_bytes(raw)
        with contextlib.suppress(SettingsError):
            product_settings.load({"LABELBOX_API_KEY": "k", "VMI_DATA_DIR": name}, folder).shown()


# -- what models answer -----------------------------------------------------------------------------------------------

OUTPUT_LINES = [
    {"key": "cl1", "instance": {"text": "a"}, "prediction": {"label": "x"}},
    {
        "instance": {"content": "gs://b/a.jpg", "mimeType": "image/jpeg"},
        "prediction": {"ids": ["1"], "confidences": [0.5]},
    },
    {"instance": {"vmi_key": "cl1"}, "error": {"code": 3, "message": "bad"}},
    {"key": 7, "status": "failed", "prediction": None},
]


@fuzz
@given(changed(OUTPUT_LINES), st.booleans())
def test_batch_output_lines(line: bytes, keyed: bool) -> None:
    with contextlib.suppress(DecodeError):
        name, said = read_line(line, keyed=keyed)
        assert isinstance(name, str)
        assert said.error is None or said.error


REPLIES: list[Any] = [
    {"predictions": ["a", {"error": {"message": "no"}}]},
    {"predictions": [[], 1]},
    {"error": {"message": "x"}},
]


async def _one_answer(status: bytes, headers: bytes, raw: bytes) -> Any:
    """What our client makes of one answer of a container."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 " + status + b"\r\nConnection: close\r\n" + headers + b"\r\n" + raw)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/predict"
        option = ModelOption(name="c", predictor=Predictor.CONTAINER, container=url)
        async with Predictions(endpoint=url, token=str).session(option, timeout_s=5) as session:
            return await session.predict([{"text": "a"}, {"text": "b"}])


@fuzz
@given(
    st.sampled_from((b"200 OK", b"429 Slow", b"500 Oh", b"503 Busy", b"404 No", b"999 ?", b"abc", b"")),
    st.sampled_from((b"", b"Retry-After: \xb2\r\n", b"Retry-After: 9e999\r\n", b"Content-Encoding: gzip\r\n",
                     b"\xff\r\n", b"Retry-After: -3\r\n", b"Content-Length: -1\r\n", b"Content-Length: 7\r\n")),
    changed(REPLIES),
)  # fmt: skip
def test_answers_of_containers(status: bytes, headers: bytes, raw: bytes) -> None:
    reply = asyncio.run(asyncio.wait_for(_one_answer(status, headers, raw), 20))
    if reply.predictions is None:
        assert reply.message or reply.status >= 400
        assert reply.retry_after is None or 0 <= reply.retry_after < float("inf")
    else:
        assert len(reply.predictions) == 2


# -- pictures ---------------------------------------------------------------------------------------------------------


def _pictures() -> list[bytes]:
    import io

    from PIL import Image

    made = []
    for kind in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "ICO", "JPEG2000", "PPM"):
        out = io.BytesIO()
        Image.new("RGB", (16, 16), (9, 99, 199)).save(out, kind)
        made.append(out.getvalue())
    return made


PICTURES = _pictures()


@fuzz
@given(
    st.sampled_from(PICTURES),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 4), st.binary(max_size=6)), max_size=4),
    st.booleans(),
)
def test_headers_of_pictures(picture: bytes, edits: list[tuple[int, int, bytes]], whole: bool) -> None:
    from vertex_model_inference.errors import AssetError

    raw = picture
    for at, length, new in edits:
        start = at % (len(raw) + 1)
        raw = raw[:start] + new + raw[start + length :]
    with contextlib.suppress(AssetError):
        header = image_header(raw, whole=whole, name="row", claimed="text/html")
        assert header.width >= 0
        assert header.mime_type.startswith("image/")
