"""What survives kill -9: everything that was answered, and nothing that is not whole."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from vertex_model_inference.sandbox.config import SandboxConfig

_QUANTUM = 256 * 1024


def _put(http: httpx2.Client, session: str, text: str, data: bytes = b"") -> httpx2.Response:
    return http.put(session, content=data, headers={"Content-Range": text})


@contextlib.contextmanager
def _child(state: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(64)
        config = SandboxConfig(state=state, labelbox_port=1, storage_port=sock.getsockname()[1], vertex_port=2)
        child = subprocess.Popen(
            [sys.executable, "-m", "vertex_model_inference.sandbox.child", "storage", str(sock.fileno())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[sock.fileno()],
        )
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(msgspec.json.encode(config, enc_hook=str) + b"\n")
            child.stdin.flush()
            assert child.stdout.readline() == b"listening\n"
            yield config.storage_url, child
        finally:
            child.kill()
            child.wait()
            child.stdin.close()
            child.stdout.close()


def test_everything_answered_survives_kill_9(tmp_path: Path, google_client: Any, obstore_client: Any) -> None:
    small, large = os.urandom(9_000), os.urandom(2_000_000)
    chunk = os.urandom(_QUANTUM)
    with _child(tmp_path) as (url, child), httpx2.Client(base_url=url) as http, google_client(url) as client:
        client.create_bucket("kept", location="us-west1")
        store = obstore_client(url, "kept")
        for i in range(50):
            store.put(f"small/{i}", small)
        store.put("large", large, use_multipart=False)
        store.put("large", large[::-1], use_multipart=False)
        store.put("gone", large, use_multipart=False)
        store.delete("gone")
        session = http.post("/upload/storage/v1/b/kept/o?uploadType=resumable&name=r", json={}).headers["location"]
        assert _put(http, session, f"bytes 0-{_QUANTUM - 1}/*", chunk).status_code == 308
        upload = re.findall("<UploadId>(.*?)<", http.post("/kept/parts?uploads").text)[0]
        tag = http.put("/kept/parts", params={"partNumber": 1, "uploadId": upload}, content=b"p1").headers["etag"]
        path = session.partition("127.0.0.1:")[2].partition("/")[2]
        child.kill()
        child.wait()
    with _child(tmp_path) as (url, _), httpx2.Client(base_url=url) as http, google_client(url) as client:
        assert client.get_bucket("kept").location == "US-WEST1"
        store = obstore_client(url, "kept")
        assert len(store.list().collect()) == 51
        assert all(bytes(store.get(f"small/{i}").bytes()) == small for i in range(50))
        assert client.bucket("kept").blob("large").download_as_bytes() == large[::-1]
        answer = _put(http, f"/{path}", "bytes */*")
        assert answer.headers["range"] == f"bytes=0-{_QUANTUM - 1}"
        assert _put(http, f"/{path}", f"bytes {_QUANTUM}-{_QUANTUM}/{_QUANTUM + 1}", b"!").status_code == 200
        assert http.get("/kept/r").content == chunk + b"!"
        body = f"<X><Part><PartNumber>1</PartNumber><ETag>{tag}</ETag></Part></X>"
        assert http.post("/kept/parts", params={"uploadId": upload}, content=body.encode()).status_code == 200
        assert http.get("/kept/parts").content == b"p1"
    files = [path for path in (tmp_path / "storage" / "bodies").rglob("*") if path.is_file()]
    assert len(files) == 3  # large, r, parts: nothing replaced or deleted is left behind
    assert list((tmp_path / "storage" / "uploads").iterdir()) == []


def test_a_kill_in_the_middle_of_writes_leaves_whole_objects_only(tmp_path: Path, obstore_client: Any) -> None:
    answered: list[str] = []
    sizes = (500, 60_000, 1_500_000)
    with _child(tmp_path) as (url, child), httpx2.Client(base_url=url) as http:
        stop = threading.Event()

        def write(worker: int) -> None:
            for i in itertools.count():
                name = f"{worker}-{i}"
                content = name.encode() * (sizes[i % 3] // len(name))
                try:
                    http.put(f"/vmi-sandbox/{name}", content=content).raise_for_status()
                except httpx2.TransportError:
                    return
                answered.append(name)
                if len(answered) > 150:
                    stop.set()

        workers = [threading.Thread(target=write, args=(n,)) for n in range(6)]
        for worker in workers:
            worker.start()
        assert stop.wait(60)
        child.kill()
        for worker in workers:
            worker.join(30)
    with _child(tmp_path) as (url, _):
        store = obstore_client(url, "vmi-sandbox")
        listed = {entry["path"]: entry["e_tag"] for entry in store.list().collect()}
        assert set(answered) <= set(listed)
        for name, e_tag in listed.items():
            content = bytes(store.get(name).bytes())
            assert content == name.encode() * (len(content) // len(name))
            assert e_tag == f'"{hashlib.md5(content).hexdigest()}"'
