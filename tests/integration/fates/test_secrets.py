"""After a run in which most things fail: none of its secrets in anything that it leaves behind, says or shows."""

from __future__ import annotations

import base64
import binascii
import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tests.integration.fates.lab import Assets, Container, Lab, eventually, picture, radio
from tests.integration.fates.serving import Server, serving, vmi

from vertex_model_inference.runs.surroundings import open_artifacts
from vertex_model_inference.sandbox.config import SandboxConfig
from vertex_model_inference.settings import load

SECRETS = {
    "API key": "lbk-9f8e7d6c5b4a-key",
    "webhook secret": "whs-1a2b3c4d5e6f-hook",
    "Google token": "ya29.tok-0a9b8c7d6e5f",
    "signature of an asset": "sig-77e6d5c4b3a291807f6e",
    "password in an asset's URL": "pwd-5566778899aabb",
}
MODEL = "leaky model"


def forms(secret: str) -> list[bytes]:
    """A secret as it may be written: as it is, quoted, in hexadecimal, in base64 at each of the three alignments."""
    raw = secret.encode()
    found = [raw, quote(secret).encode(), binascii.hexlify(raw)]
    for shift in range(3):
        text = base64.b64encode(b"\0" * shift + raw)
        found.append(text[4 if shift else 0 : len(text) - 4])
    return found


def leaks(where: str, content: bytes) -> list[str]:
    return [f"{name} in {where}" for name, secret in SECRETS.items() for form in forms(secret) if form in content]


def of_database(path: Path) -> Iterator[tuple[str, bytes]]:
    """Every value of every table; what is base64 (as DBOS keeps results), also as what it stands for."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
        for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in db.execute(f'SELECT * FROM "{table}"'):  # its own names
                for value in row:
                    raw = value if isinstance(value, bytes) else str(value).encode()
                    yield f"{path.name}, table {table}", raw
                    try:
                        yield f"{path.name}, table {table}, decoded", base64.b64decode(raw, validate=True)
                    except binascii.Error:
                        continue


def of_processes(leader: int) -> Iterator[tuple[str, bytes]]:
    """Command lines of a process and its children, as anybody on the machine can list them."""
    wanted, seen = [leader], set()
    while wanted:
        pid = wanted.pop()
        if pid in seen:
            continue
        seen.add(pid)
        yield f"the command line of process {pid}", Path(f"/proc/{pid}/cmdline").read_bytes()
        for task in Path(f"/proc/{pid}/task").iterdir():
            wanted += map(int, (task / "children").read_text().split())


def answer(instance: dict[str, Any]) -> Any:
    """The model: fails for some pictures, answers nonsense for others."""
    raw = base64.b64decode(instance["image"]["b64"])
    level = len(raw) % 3
    if level == 0:
        raise ValueError(f"crashed; the request had Authorization: Bearer {SECRETS['Google token']}")
    return 17 if level == 1 else [{"label": "cat", "score": 0.5}]


@pytest.fixture
def environment(sandbox: SandboxConfig) -> dict[str, str]:
    given = dict(sandbox.environment())
    given["LABELBOX_API_KEY"] = SECRETS["API key"]
    given["VMI_GOOGLE_TOKEN"] = SECRETS["Google token"]
    return given


def test_no_secret_is_left_anywhere(
    lab: Lab, container: Container, assets: Assets, environment: dict[str, str], tmp_path: Path
) -> None:
    container.answer = answer
    mark = uuid.uuid4().hex[:6]
    model = lab.upload(container, f"{MODEL} {mark}")
    endpoint = model.deploy(deployed_model_display_name=MODEL, machine_type="n1-standard-2", min_replica_count=1)
    endpoint.update(display_name=f"{MODEL} {mark}")
    query = f"X-Goog-Algorithm=GOOG4&X-Goog-Signature={SECRETS['signature of an asset']}"
    things: list[bytes | int] = [picture(n * 9, (20 + n, 20 + 2 * n)) for n in range(9)]
    things += [404, 403, 500, 302, b"no picture", b""]
    urls = [assets.put(f"{mark}/{n}.png", what) + f"?{query}" for n, what in enumerate(things)]
    password = SECRETS["password in an asset's URL"]
    urls += [
        f"{urls[0]}&x=1",
        f"http://user:{password}@127.0.0.1:9/a.png?{query}",
        f"http://10.0.0.1/a.png?{query}",
        f"ftp://127.0.0.1/a.png?{query}",
        f"http://127.0.0.1:1/refused.png?{query}",
    ]
    scene = lab.scene({f"{mark} {n}": {"row_data": url, "media_type": "IMAGE"} for n, url in enumerate(urls)},
                      classifications=[radio("pet", "cat", "dog")])  # fmt: skip
    # Labelbox repeats what it was sent, as error pages of proxies do.
    echo = {"errors": [{"message": f"bad key {SECRETS['API key']}", "extensions": {"code": "INTERNAL_SERVER_ERROR"}}]}
    lab.fault(match="createMEAPredictionImportByFilePyApi", times=0, status=400, json=echo)
    shown: list[tuple[str, bytes]] = []
    with serving(tmp_path, environment, SECRETS["webhook secret"]) as server:
        _press(server, scene, f"{MODEL} {mark}", shown)
        shown += of_processes(server.process.pid)
        for arguments in (["status", "--json"], ["outcomes", scene.run.uid], ["outcomes", scene.run.uid, "--json"]):
            said = vmi(tmp_path, environment, *arguments)
            assert said.returncode == 0, said.stderr
            shown.append((f"vmi {' '.join(arguments)}", (said.stdout + said.stderr).encode()))
        said = vmi(tmp_path, {**environment, "VMI_WEBHOOK_SECRET": SECRETS["webhook secret"]}, "settings")
        shown.append(("vmi settings", (said.stdout + said.stderr).encode()))
    outcomes = next(text for where, text in shown if where.endswith("--json") and "outcomes" in where)
    assert outcomes.count(b'"failed"') >= 12, outcomes.decode()

    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        shown.append((str(path.relative_to(tmp_path)), path.read_bytes()))
        if path.suffix == ".sqlite":
            shown += of_database(path)
    store = open_artifacts(load({**environment, "VMI_DATA_DIR": str(tmp_path / "other")}, tmp_path))
    artifacts = [entry.path for entry in store.entries("runs") if scene.run.uid in entry.path]
    assert any("/rows/" in path for path in artifacts)
    shown += [(path, store.get(path)) for path in artifacts]
    pipeline = lab.labelbox.get(f"/_sandbox/model_runs/{scene.run.uid}").content
    shown.append(("Labelbox's model run", pipeline))

    assert {"serve.log", "serve.out"} <= {where for where, _ in shown}
    found = sorted({leak for where, content in shown for leak in leaks(where, content)})
    assert found == []


def _press(server: Server, scene: Any, option: str, shown: list[tuple[str, bytes]]) -> None:
    """Press the button, also in every wrong way, and wait for the end of the run."""
    names = server.menu()
    wanted = next(name for name in names if name.startswith(option) and "endpoint" in name)
    for headers, body in (
        ({"X-Hub-Signature": "sha1=00"}, b"{}"),
        (server.signed(b"{"), b"{"),
        (server.signed(b'{"modelRunId": "x", "modelType": "none"}'), b'{"modelRunId": "x", "modelType": "none"}'),
    ):
        refused = server.http.post("/model_run", content=body, headers=headers)
        assert 400 <= refused.status_code < 500
        shown.append(("a refusal", refused.content + repr(refused.headers).encode()))
    started = server.press(scene.model.uid, scene.run.uid, wanted)
    assert started.status_code == 200, started.text
    shown += [("an answer", started.content), ("the health page", server.http.get("/healthz").content)]
    ended = eventually(lambda: scene.glance().get("status") in ("COMPLETE", "FAILED"), 90)
    assert ended


@pytest.mark.parametrize("secret", list(SECRETS.values()))
def test_the_search_finds_a_secret_in_every_form(secret: str) -> None:
    raw = secret.encode()
    for content in (raw, binascii.hexlify(raw), *(base64.b64encode(b"x" * n + raw + b"yz") for n in range(6))):
        assert leaks("here", b"before " + content + b" after"), content
    assert not leaks("here", b"nothing to see")
