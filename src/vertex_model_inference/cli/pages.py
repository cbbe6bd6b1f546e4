"""``vmi pages``: look at runs in a browser."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    import socket

    from vertex_model_inference.settings import Settings

__all__ = ["pages"]


def pages(
    folder: Path | None = typer.Argument(
        None, help="A folder of runs, or of one run; the runs that the settings name when left out."
    ),
    host: str = typer.Option("127.0.0.1", help="Address to listen on; others than loopback need VMI_PAGES_TOKEN."),
    port: int = typer.Option(8081, min=0, max=65535, help="Port; 0: a free one."),
) -> None:
    """Show runs, their rows and their figures in a browser. Reads only.

    Example: `vmi pages`, `vmi pages runs-of-may/`
    """
    from vertex_model_inference import settings as module
    from vertex_model_inference.cli import logs
    from vertex_model_inference.cli.serve import listen

    logs.to_stderr()
    settings = module.load()
    settings.check_pages_host(host)
    with listen(host, port) as sock:
        _serve(settings, folder, sock)


def _serve(settings: Settings, folder: Path | None, sock: socket.socket) -> None:
    import uvicorn

    from vertex_model_inference.pages.wiring import access_of, pages_of

    given = settings.pages_token is not None
    token = settings.pages_token.get_secret_value() if settings.pages_token else secrets.token_urlsafe(16)
    app = pages_of(settings, access_of(settings, token), folder)
    name, port = sock.getsockname()[:2]
    address = f"http://{f'[{name}]' if ':' in name else name}:{port}"
    # Behind the # so that it is in no log of any server.
    typer.echo(f"listening on {address}{'' if given else f'/login#{token}'}")
    config = uvicorn.Config(
        app, lifespan="off", log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=3
    )
    uvicorn.Server(config).run(sockets=[sock])
