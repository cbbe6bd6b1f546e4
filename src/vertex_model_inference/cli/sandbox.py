"""``vmi sandbox``: a Labelbox, a Cloud Storage and a Vertex AI on this machine."""

from __future__ import annotations

from pathlib import Path

import typer

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=False,
    help="Serve a Labelbox, a Cloud Storage and a Vertex AI on loopback, for the real SDKs.",
)


@app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    port_base: int = typer.Option(8700, help="Ports N (Labelbox), N+1 (Cloud Storage), N+2 (Vertex AI); 0: free ones."),
    state: Path | None = typer.Option(None, help="Keep everything in this folder across restarts."),
    api_key: str | None = typer.Option(
        None, envvar="VMI_SANDBOX_API_KEY", help="The only API key accepted; any non-empty one otherwise."
    ),
    prediction_imports: str = typer.Option("accept", help="accept, or deprecated: refuse imports into model runs."),
) -> None:
    """Serve until Ctrl-C or SIGTERM; prints one `export NAME=value` a line, then `ready`.

    Example: `vmi sandbox --state ./sandbox-state`, and in another shell `eval "$(vmi sandbox env)"`.
    """
    if context.invoked_subcommand is not None:
        return
    from vertex_model_inference.sandbox.launcher import serve_until_stopped

    raise typer.Exit(
        serve_until_stopped(port_base=port_base, state=state, api_key=api_key, prediction_imports=prediction_imports)
    )
