"""``vmi demo --keep``: what a newcomer is told to open answers, and Ctrl-C ends everything that was started."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from tests.integration.fates.lab import eventually
from tests.integration.fates.serving import environment_of

pytestmark = pytest.mark.xdist_group("demos")


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def test_the_addresses_answer_until_ctrl_c(tmp_path: Path) -> None:
    out, said = tmp_path / "out", tmp_path / "err"
    with out.open("wb") as stdout, said.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "vertex_model_inference", "demo", "--rows", "100", "--keep", "--port-base", "0"],
            cwd=tmp_path,
            env=environment_of({"TMPDIR": str(tmp_path)}),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    try:
        eventually(lambda: "Ctrl-C ends everything." in said.read_text() or process.poll() is not None, 120)
        text = said.read_text()
        assert process.poll() is None, text
        addresses = re.findall(r"http://127\.0\.0\.1:\d+/\S+", text)
        ours = [
            found[1] for side in ("Labelbox's side", "vmi's side") if (found := re.search(rf"{side}\s+(\S+)", text))
        ]
        assert len(ours) == 2, text
        fresh = addresses[-1]
        with httpx2.Client(trust_env=False, follow_redirects=True) as http:
            for address in addresses:
                assert http.get(address).status_code == 200, address
            done, untouched = (http.get(address).text for address in (ours[0], fresh))
        assert "Complete" in done
        assert f'href="{ours[1].split("/login")[0]}/runs/' in done  # from Labelbox to vmi
        assert "Not started" in untouched
        exports = re.search(r"\. (\S+/env) &&", text)
        assert exports is not None
        written = Path(exports[1]).read_text()
        assert "LABELBOX_API_KEY=" in written
        assert "SECRET" not in written
        assert "VMI_PAGES_TOKEN" not in written
        ports = {urlsplit(address).port for address in re.findall(r"http://127\.0\.0\.1:\d+", text + written)}
        assert len(ports) >= 4  # Labelbox, Cloud Storage, Vertex AI, vmi serve
        assert all(_listens(port) for port in ports if port)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0, said.read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    assert "100 of 100 data rows predicted" in out.read_text()
    assert "Traceback" not in said.read_text()
    assert not any(_listens(port) for port in ports if port)
    assert list(tmp_path.glob("vmi-demo-*")) == []
