"""A network namespace at the end of a virtual cable that can be cut: no goodbye arrives, as with a real one.

What the worker in it needs is on this machine's loopback, so there are two relays: one in the namespace, on its own
loopback, and one at this end of the cable. The database is spoken to over the cable itself.
"""

from __future__ import annotations

import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import pytest

_RELAY = r"""
import asyncio, sys

async def pipe(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()

async def main(host, target, ports):
    def serve(port):
        async def client(reader, writer):
            try:
                theirs, ours = await asyncio.open_connection(target, port)
            except OSError:
                writer.close()
                return
            await asyncio.gather(pipe(reader, ours), pipe(theirs, writer))
        return asyncio.start_server(client, host, port)
    for port in ports:
        await serve(port)
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main(sys.argv[1], sys.argv[2], [int(port) for port in sys.argv[3:]]))
"""


class Cable:
    """The namespace and its cable.

    Attributes:
        name: Of the namespace; `ip netns exec NAME` runs a command in it.
        here: Address of this end.
    """

    def __init__(self, name: str, here: str) -> None:
        self.name = name
        self.here = here

    def cut(self) -> None:
        _ip("link", "set", f"{self.name}a", "down")

    def mend(self) -> None:
        _ip("link", "set", f"{self.name}a", "up")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=30)


@contextmanager
def cable(ports: Sequence[int]) -> Iterator[Cable]:
    """A namespace from which the given ports of 127.0.0.1 can be reached; skips aloud where none can be made."""
    if shutil.which("ip") is None:
        pytest.skip("no network namespace can be made: the command `ip` (Debian's iproute2) is missing")
    name = f"vmi{secrets.token_hex(3)}"
    net = f"10.{secrets.randbelow(100) + 100}.{secrets.randbelow(250)}"
    here, there = f"{net}.1", f"{net}.2"
    try:
        _ip("netns", "add", name)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespace can be made here: {error.stderr.decode().strip()}")
    with ExitStack() as stack:
        stack.callback(subprocess.run, ["ip", "netns", "del", name], check=False, capture_output=True)
        try:
            _ip("link", "add", f"{name}a", "type", "veth", "peer", "name", f"{name}b")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no virtual cable can be made here: {error.stderr.decode().strip()}")
        stack.callback(subprocess.run, ["ip", "link", "del", f"{name}a"], check=False, capture_output=True)
        _ip("link", "set", f"{name}b", "netns", name)
        _ip("addr", "add", f"{here}/30", "dev", f"{name}a")
        _ip("link", "set", f"{name}a", "up")
        _ip("-n", name, "addr", "add", f"{there}/30", "dev", f"{name}b")
        _ip("-n", name, "link", "set", f"{name}b", "up")
        _ip("-n", name, "link", "set", "lo", "up")
        inside = ["ip", "netns", "exec", name]
        for command in (
            [sys.executable, "-c", _RELAY, here, "127.0.0.1"],
            [*inside, sys.executable, "-c", _RELAY, "127.0.0.1", here],
        ):
            relay = subprocess.Popen(
                [*command, *map(str, ports)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
            )
            stack.callback(_end, relay)
            assert relay.stdout is not None
            assert relay.stdout.readline() == "ready\n"
        yield Cable(name, here)


def _end(relay: subprocess.Popen[str]) -> None:
    relay.kill()
    relay.wait(30)
    if relay.stdout is not None:
        relay.stdout.close()
