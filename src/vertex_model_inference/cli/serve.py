"""``vmi serve``: the server that Labelbox calls."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    import socket
    import threading
    from collections.abc import Callable

    from starlette.types import ASGIApp

    from vertex_model_inference.cli.engine_process import EngineProcess
    from vertex_model_inference.pages.lazy import LazyPages
    from vertex_model_inference.settings import Settings
    from vertex_model_inference.webhook.runs import Engine, LazyRuns

__all__ = ["listen", "serve"]

_DATABASE_PAUSE_S = 2.0


def serve(
    host: str = typer.Option("127.0.0.1", help="Address to listen on; others than loopback need VMI_WEBHOOK_SECRET."),
    port: int = typer.Option(8080, min=0, max=65535, help="Port; 0: a free one."),
    engine: bool = typer.Option(True, help="Also work on runs; without, `vmi worker` processes do."),
) -> None:
    """Serve Labelbox's two calls, `GET /models` and `POST /model_run`, and do the runs.

    Enter this server's URL in Labelbox under *Models > Settings > Model training*, with the secret of
    VMI_WEBHOOK_SECRET. Killing the server loses nothing: runs go on at the next start. With `--no-engine` it only
    takes Labelbox's calls, and `vmi worker` processes on any machine do the runs. Runs, their rows and figures are
    shown in a browser at `/`, to whom signs in with VMI_PAGES_TOKEN (on loopback: with the address that is printed).

    Example: `VMI_WEBHOOK_SECRET=... vmi serve --host 0.0.0.0 --port 8080`
    """
    from vertex_model_inference import settings as module
    from vertex_model_inference.cli import logs
    from vertex_model_inference.cli.leaving import leave

    logs.to_stderr()
    settings = module.load()
    settings.check_host(host)
    settings.require("labelbox_api_key")
    if not any(section.container for section in settings.models.values()):
        settings.require("project")
    with listen(host, port) as sock:
        _serve(settings, sock, engine=engine)
    leave(0)


def _desk(settings: Settings, process: EngineProcess | None, stopping: threading.Event) -> Engine:
    """The desk, imported in the background thread that calls this: it takes over a second.

    Waits for the engine's first start, where it has one, and for a database that is away.
    """
    import gc

    import dbos  # noqa: F401  # while the engine starts
    import structlog

    from vertex_model_inference.errors import DatabaseError
    from vertex_model_inference.runs.desk import RunDesk

    if process is not None:
        process.wait()
    while True:
        try:
            desk = RunDesk(settings)
            break
        except DatabaseError as error:
            if not error.retryable or stopping.is_set():
                raise
            structlog.get_logger("vmi.engine").warning("waiting for the database", cause=str(error))
            stopping.wait(_DATABASE_PAUSE_S)
    # A full collection stops every thread, so what stays for good is taken out of its sight.
    gc.collect()
    gc.freeze()
    return desk


def _pages(settings: Settings, sock: socket.socket, runs: LazyRuns) -> tuple[LazyPages | None, Callable[[str], str]]:
    """The pages, or None where nobody could sign in; and where they are, in words, given the server's address."""
    from vertex_model_inference.errors import SettingsError
    from vertex_model_inference.pages.lazy import LazyPages

    try:
        settings.check_pages_host(sock.getsockname()[0])
    except SettingsError as error:
        hint = error.hint or ""
        return None, lambda _: f"are not served: {hint}"
    token = settings.pages_token.get_secret_value() if settings.pages_token else None
    made = None
    if token is None and settings.pages_iap_audience is None:
        token = made = secrets.token_urlsafe(16)

    def make() -> ASGIApp:
        from functools import partial

        from vertex_model_inference.pages.actions import RunActions
        from vertex_model_inference.pages.wiring import access_of, pages_of
        from vertex_model_inference.runs.surroundings import open_labelbox

        connect = None if settings.labelbox_api_key is None else partial(open_labelbox, settings)
        return pages_of(settings, access_of(settings, token), actions=RunActions(settings, runs), connect=connect)

    # The part behind # is in no log of any server.
    return LazyPages(make), lambda address: f"at {address}/{f'login#{made}' if made else ''}"


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        ConflictError: The port is taken, or may not be used.
    """
    import socket

    from vertex_model_inference.errors import ConflictError

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise ConflictError(
            f"Port {port} on {host} cannot be used: {error.strerror}.",
            hint="Is vmi serve running already? Choose another with --port.",
        ) from None
    sock.listen(1024)
    return sock


def _serve(settings: Settings, sock: socket.socket, *, engine: bool) -> None:
    import contextlib
    import signal
    import threading
    from collections.abc import AsyncIterator, Iterator

    import uvicorn
    from anyio import to_thread
    from starlette.applications import Starlette

    from vertex_model_inference.cli.engine_process import EngineProcess
    from vertex_model_inference.labelbox.lookup import ModelRunLookup
    from vertex_model_inference.webhook.app import create_app
    from vertex_model_inference.webhook.runs import LazyRuns
    from vertex_model_inference.webhook.wiring import catalog_of

    catalog = catalog_of(settings)
    process = EngineProcess() if engine else None
    stopping = threading.Event()

    def interrupt() -> None:
        stopping.set()
        if process is not None:
            process.stop()

    runs = LazyRuns(lambda: _desk(settings, process, stopping), interrupt=interrupt)
    assert settings.labelbox_api_key is not None, "required by the command"
    lookup = ModelRunLookup(settings.labelbox_api_key, settings.labelbox_graphql)
    pages, shown = _pages(settings, sock, runs)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        catalog.start()
        if process is not None:
            process.start()
        runs.begin()
        name, port = sock.getsockname()[:2]
        address = f"http://{f'[{name}]' if ':' in name else name}:{port}"
        typer.echo(f"listening on {address}")
        typer.echo(f"pages {shown(address)}")
        yield
        await to_thread.run_sync(catalog.stop)
        await to_thread.run_sync(runs.stop)
        await lookup.close()

    class Server(uvicorn.Server):
        """Ends with exit code 0 when it is told to: uvicorn would raise the signal again once it has stopped."""

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, self.handle_exit)
            yield

    server = Server(
        uvicorn.Config(
            create_app(settings, catalog, runs, lookup, pages=pages, lifespan=lifespan),
            lifespan="on",
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=5,
        )
    )
    server.run(sockets=[sock])
