"""``make conformance``: the Labelbox SDK's own, unmodified tests against the sandbox's Labelbox.

Makes an environment from ``conformance.lock``, downloads the SDK's source distributions (hashes pinned beside this
file; they hold the tests), serves a Labelbox on a free port, runs the tests and prints a table. The exit code is 0 when
every test that needs no internet has passed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from vertex_model_inference.sandbox.child import run_in_thread
from vertex_model_inference.sandbox.config import SandboxConfig
from vertex_model_inference.sandbox.labelbox.app import create_app

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

_IMPORTS = "tests/data/annotation_import"
SUITES = {
    "7.17.0": (
        "sdists.txt",
        (
            f"{_IMPORTS}/test_model.py",
            f"{_IMPORTS}/test_model_run.py",
            f"{_IMPORTS}/test_annotation_import_limit.py",
            f"{_IMPORTS}/test_mal_prediction_import.py",
            f"{_IMPORTS}/test_label_import.py",
            "tests/data/export/streamable/test_export_model_run_streamable.py",
        ),
    ),
    # Later releases skip these: Labelbox has deprecated prediction imports, which `--prediction-imports accept` keeps.
    "7.12.0": ("sdists-earlier.txt", (f"{_IMPORTS}/test_mea_prediction_import.py",)),
}

_STORAGE = "https://storage.googleapis.com"
IMAGES = (
    f"{_STORAGE}/lb-artifacts-testing-public/sdk_integration_test/potato.jpeg",
    "https://lb-test-data.s3.us-west-1.amazonaws.com/image-samples/sample-image-1.jpg",
)
NDJSON = f"{_STORAGE}/labelbox-public-bucket/predictions_test_v2.ndjson"
CONVERSATION = f"{_STORAGE}/lb-test-data/cataflow/media/sample-conversational-v2-4.json"


class Count(NamedTuple):
    """What became of one file's tests."""

    passed: int
    failed: int
    needs_internet: int
    skipped: int


def environment(folder: Path) -> Path:
    """The virtual environment with what the tests need; its Python. Made once for each ``conformance.lock``."""
    lock = ROOT / "conformance.lock"
    venv, stamp = folder / "venv", folder / "venv" / ".installed"
    python = venv / ("Scripts" if os.name == "nt" else "bin") / "python"
    if stamp.exists() and stamp.read_bytes() == lock.read_bytes():
        return python
    print(f"Installing what the SDK's tests need into {venv.relative_to(ROOT)} ...", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], check=True)
    command = [str(python), "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps", "-r", str(lock)]
    subprocess.run(command, check=True)
    stamp.write_bytes(lock.read_bytes())
    return python


def source(folder: Path, version: str, requirements: str) -> Path:
    """The unpacked source distribution of one SDK version."""
    target = folder / f"labelbox-{version}"
    if target.exists():
        return target
    print(f"Downloading the source of labelbox {version} ...", flush=True)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
        command += ["--no-build-isolation", "--require-hashes", "--dest", work, "-r", str(HERE / requirements)]
        subprocess.run(command, check=True)
        archive = next(Path(work).glob("*.tar.gz"))
        with tarfile.open(archive) as tar:
            tar.extractall(work, filter="data")
        shutil.move(Path(work) / f"labelbox-{version}", target)
    return target


def samples(folder: Path) -> dict[str, str]:
    """Stand-ins for what the tests fetch from the internet: URL -> file."""
    folder.mkdir(parents=True, exist_ok=True)
    picture = io.BytesIO()
    Image.radial_gradient("L").resize((640, 480)).convert("RGB").save(picture, "JPEG")
    bbox = {"top": 1.0, "left": 1.0, "height": 2.0, "width": 2.0}
    row = {"uuid": "00000000-0000-4000-8000-000000000000", "dataRow": {"globalKey": "x"}, "name": "bbox", "bbox": bbox}
    actors = {
        "person": {"role": "human"},
        "a": {"role": "model", "metadata": {"modelConfigName": "config a"}},
        "b": {"role": "model", "metadata": {"modelConfigName": "config b"}},
    }
    messages = {
        "question": {"actorId": "person", "content": "Which?", "childMessageIds": ["answer-a", "answer-b"]},
        "answer-a": {"actorId": "a", "content": "This one.", "childMessageIds": []},
        "answer-b": {"actorId": "b", "content": "That one.", "childMessageIds": []},
    }
    conversation = {
        "type": "application/vnd.labelbox.conversational.model-chat-evaluation",
        "version": 2,
        "actors": actors,
        "messages": messages,
        "rootMessageIds": ["question"],
    }
    files = {url: ("sample.jpg", picture.getvalue()) for url in IMAGES}
    files[NDJSON] = ("predictions.ndjson", json.dumps(row).encode() + b"\n")
    files[CONVERSATION] = ("conversation.json", json.dumps(conversation).encode())
    for name, content in files.values():
        (folder / name).write_bytes(content)
    return {url: str(folder / name) for url, (name, _) in files.items()}


@contextlib.contextmanager
def labelbox(sample_files: dict[str, str]) -> Iterator[SandboxConfig]:
    """A Labelbox on a free port that reads the samples in place of the internet."""
    with tempfile.TemporaryDirectory(prefix="vmi-conformance-") as state, socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        config = SandboxConfig(state=Path(state), labelbox_port=sock.getsockname()[1], storage_port=1, vertex_port=1)
        app = create_app(config)
        store = app.app.state.server.store  # type: ignore[attr-defined]  # Starlette's, below the fault middleware
        mirrors = {}
        for url, path in sample_files.items():
            mirrors[url] = store.files.url(store.files.add(Path(path).name, Path(path).read_bytes()))
        store.set_setting("mirrors", mirrors)
        # The tests look at an import right after they have made it and want it RUNNING, as it is at Labelbox.
        store.set_setting("settings", {"import_seconds": 1.0})
        with run_in_thread(app, sock):
            yield config


def run_suite(
    python: Path, sdk: Path, files: tuple[str, ...], config: SandboxConfig, sample_files: dict[str, str], jobs: int
) -> dict[str, Count]:
    """Run one SDK's test files; counts by file."""
    report = sdk.parent / f"{sdk.name}.xml"
    report.unlink(missing_ok=True)
    settings = sdk.parent / "pytest.ini"  # else pytest would find this project's settings, further up
    settings.write_text("[pytest]\njunit_family = xunit1\n")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("LABELBOX_", "PYTEST_"))}
    env = {
        **inherited,
        "PYTHONPATH": os.pathsep.join((str(sdk / "src"), str(HERE))),
        "VMI_CONFORMANCE_SAMPLES": json.dumps(sample_files),
        "LABELBOX_TEST_ENVIRON": "custom",
        "LABELBOX_TEST_API_KEY": "conformance",
        "LABELBOX_TEST_GRAPHQL_API_ENDPOINT": f"{config.labelbox_url}/graphql",
        "LABELBOX_TEST_REST_API_ENDPOINT": f"{config.labelbox_url}/api/v1",
    }
    command = [str(python), "-m", "pytest", "-p", "plugin", "-p", "no:cacheprovider", "--import-mode=importlib"]
    command += ["-q", "--no-header", "--tb=short", "--disable-warnings", "--timeout=150", "-n", str(jobs)]
    command += ["-c", str(settings), "--rootdir", str(sdk), f"--junitxml={report}", *files]
    code = subprocess.run(command, cwd=sdk, env=env, check=False).returncode
    if not report.exists():
        sys.exit(f"pytest ended with exit code {code} before any test; its own message is above.")
    return count(report, files)


def count(report: Path, files: tuple[str, ...]) -> dict[str, Count]:
    """Read a JUnit file. A test whose setup, call or teardown broke counts as failed, once."""
    found = {name: [0, 0, 0, 0] for name in files}
    names: dict[tuple[str, str], int] = {}
    for case in ET.parse(report).getroot().iter("testcase"):
        name = case.get("file") or ""
        if case.find("skipped") is not None:
            outcome = 3
        elif case.find("failure") is None and case.find("error") is None:
            outcome = 0
        elif any(p.get("name") == "needs-internet" for p in case.iter("property")):
            outcome = 2
        else:
            outcome = 1
        key = (name, case.get("name") or "")
        names[key] = max(names.get(key, 0), outcome)
    for (name, _), outcome in names.items():
        found.setdefault(name, [0, 0, 0, 0])[outcome] += 1
    return {name: Count(*numbers) for name, numbers in found.items()}


def table(rows: list[tuple[str, str, Count]]) -> None:
    """Print the result."""
    width = max(len(name) for _, name, _ in rows)
    print(f"\n{'SDK':8}{'file':{width}}  passed  failed  needs internet  skipped")
    for version, name, c in rows:
        print(f"{version:8}{name:{width}}  {c.passed:6}  {c.failed:6}  {c.needs_internet:14}  {c.skipped:7}")


def main() -> int:
    """Run everything; returns the exit code."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / ".conformance", help="Where to keep what is downloaded.")
    parser.add_argument("--jobs", type=int, default=6, help="Test processes; they mostly sleep.")
    arguments = parser.parse_args()
    folder: Path = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    python = environment(folder)
    sources = {version: source(folder, version, pins) for version, (pins, _) in SUITES.items()}
    sample_files = samples(folder / "samples")
    rows: list[tuple[str, str, Count]] = []
    with labelbox(sample_files) as config:
        for version, (_, files) in SUITES.items():
            print(f"\nlabelbox {version} against {config.labelbox_url}", flush=True)
            counts = run_suite(python, sources[version], files, config, sample_files, arguments.jobs)
            rows += [(version, Path(name).name, c) for name, c in counts.items()]
    table(rows)
    print("\nAnswered from this machine in place of the internet:")
    for url in sample_files:
        print(f"  {url}")
    total = Count(*(sum(c[i] for _, _, c in rows) for i in range(4)))
    empty = [name for _, name, c in rows if not sum(c)]
    if empty:
        print(f"No tests ran in {', '.join(empty)}.")
    print(f"{total.needs_internet} need the internet, {total.skipped} skipped, {time.monotonic() - started:.0f} s")
    print(f"{total.passed} passed, {total.failed} failed")
    return 1 if total.failed or empty else 0


if __name__ == "__main__":
    sys.exit(main())
