"""A PostgreSQL server of its own for tests, where the server's binaries are found; it can be frozen and restarted."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["Postgres", "binaries", "postgres"]

_HINT = "install Debian's `postgresql`, or put initdb and postgres on the PATH"


def binaries() -> Path | None:
    """The folder of `initdb` and `postgres`; Debian keeps them off the PATH."""
    found = shutil.which("postgres")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: -float(path.parent.name))
    return next((path for path in folders if (path / "initdb").exists() and (path / "postgres").exists()), None)


class Postgres:
    """One server on a free port of 127.0.0.1, with a database `vmi` and the role `vmi`, whose password is known.

    Attributes:
        url: Of the database, as `VMI_DATABASE_URL` takes it.
        password: Of the role.
    """

    def __init__(self, folder: Path, bin_: Path) -> None:
        self._folder = folder
        self._bin = bin_
        self._data = folder / "data"
        self._log = folder / "log"
        self._user = self._demoted()
        self._process: subprocess.Popen[bytes] | None = None
        self.password = secrets.token_hex(12)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = self.url_at("127.0.0.1", self.port)

    def url_at(self, host: str, port: int, database: str = "vmi") -> str:
        return f"postgresql://vmi:{self.password}@{host}:{port}/{database}"

    @staticmethod
    def _demoted() -> int | None:
        """The server refuses to run as root: then as `postgres` or `nobody`."""
        if os.getuid() != 0:
            return None
        for name in ("postgres", "nobody"):
            try:
                return pwd.getpwnam(name).pw_uid
            except KeyError:
                continue
        raise AssertionError("no user to run the server as")

    def make(self) -> None:
        if self._user is not None:
            os.chown(self._folder, self._user, -1)
        secret = self._folder / "secret"
        secret.write_text(self.password)
        secret.chmod(0o644)
        arguments = ("--username", "vmi", "--pwfile", str(secret), "--auth", "scram-sha-256", "--no-sync")
        subprocess.run(
            [self._bin / "initdb", "--pgdata", self._data, *arguments, "--encoding", "UTF8", "--locale", "C.UTF-8"],
            user=self._user,
            cwd=self._folder,
            check=True,
            capture_output=True,
        )
        self.start()
        import psycopg

        with psycopg.connect(self.url_at("127.0.0.1", self.port, "postgres"), autocommit=True) as connection:
            connection.execute("CREATE DATABASE vmi")

    def start(self) -> None:
        """Start the server; returns when it takes connections."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(self._bin / "postgres", "-D", self._data, "-p", str(self.port)),
                    *("-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self._folder}"),
                    *("-c", "fsync=off", "-c", "max_connections=200"),
                ],
                user=self._user,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        import psycopg

        deadline = time.monotonic() + 60
        while True:
            assert self._process.poll() is None, self._log.read_text()
            try:
                psycopg.connect(self.url_at("127.0.0.1", self.port, "postgres"), connect_timeout=5).close()
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, self._log.read_text()
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """End the server at once, as a fast shutdown does: every connection is closed."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(60)

    def crash(self) -> None:
        """kill -9 of the server and of all its processes."""
        assert self._process is not None
        self._signal(signal.SIGKILL)
        self._process.wait(60)

    def freeze(self) -> None:
        """Stop the server and all its processes in the middle of whatever they do: connections stay, nobody answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        parent = self._process.pid
        # The parent first: it would start the others again.
        os.kill(parent, number)
        for task in Path(f"/proc/{parent}/task").iterdir():
            for child in (task / "children").read_text().split():
                try:
                    os.kill(int(child), number)
                except ProcessLookupError:
                    continue


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A server for the block. Skips the test aloud where there are no binaries; VMI_TEST_REQUIRE_POSTGRES=1: fails."""
    bin_ = binaries()
    if bin_ is None:
        if os.environ.get("VMI_TEST_REQUIRE_POSTGRES") == "1":
            pytest.fail(f"PostgreSQL is required here and was not found: {_HINT}")
        pytest.skip(f"no PostgreSQL server was found: {_HINT}")
    with tempfile.TemporaryDirectory(prefix="vmi-postgres-", ignore_cleanup_errors=True) as folder:
        server = Postgres(Path(folder), bin_)
        try:
            server.make()
            yield server
        finally:
            server.stop()
