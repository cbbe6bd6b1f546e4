"""``vmi demo``: the main job on real data, from an empty machine to predictions in a model run."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from vertex_model_inference.errors import VmiError

if TYPE_CHECKING:
    from vertex_model_inference.cli.demo_score import Score
    from vertex_model_inference.runs.status import RunStatus
    from vertex_model_inference.sandbox.config import SandboxConfig
    from vertex_model_inference.sandbox.datasets.seeding import Seeded

__all__ = ["demo"]

_TIMEOUT_S = 600.0
_MENU_S = 60.0


def demo(
    name: str = typer.Argument("digits", help="digits, documents, reviews, coins, entities or layout."),
    rows: int | None = typer.Option(None, min=1, help="Fewer data rows than the data set has."),
    keep: bool = typer.Option(False, "--keep", help="Leave everything running afterwards, to look at, until Ctrl-C."),
    port_base: int | None = typer.Option(None, help="Ports of the sandbox; free ones by default, 8700 with --keep."),
    json_: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Start the sandbox, seed real data, press Train Model as Labelbox does, and read the predictions back.

    Exit code 0 when every data row got an outcome and none failed.

    Example: `vmi demo`, `vmi demo documents`, `vmi demo coins --keep`
    """
    from vertex_model_inference.sandbox.launcher import running

    say = _Say(quiet=json_)
    # Ends like Ctrl-C, so that the servers that were started end too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    base = port_base if port_base is not None else (8700 if keep else 0)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vmi-demo-", ignore_cleanup_errors=True)))
        say(f"Starting a sandbox: Labelbox, Cloud Storage and Vertex AI on this machine ... ({folder})")
        config = stack.enter_context(running(port_base=base, state=folder / "sandbox"))
        environment = {
            **config.environment(),
            "VMI_DATA_DIR": str(folder / "vmi"),
            "VMI_WEBHOOK_SECRET": secrets.token_hex(16),
        }
        say(f"Seeding {name} ...")
        started = time.monotonic()
        seeded = _seed(name, environment, rows, say)
        say(f"  {seeded.rows:,} data rows, {seeded.labels:,} with labels, in {time.monotonic() - started:.1f} s")
        webhook = stack.enter_context(_serve(environment, 8080 if keep and port_base is None else 0))
        say(f"vmi serve answers at {webhook}; entering it in Labelbox, pressing Train Model ...")
        run_id = _press(config, seeded, webhook, environment["VMI_WEBHOOK_SECRET"])
        status = _follow(environment, run_id, say)
        say("Reading the predictions back with the labelbox SDK ...")
        from vertex_model_inference.cli.demo_score import score

        result = score(environment, seeded.model_run_id, seeded.model_id)
        good = _report(status, result, seeded, json_=json_)
        if keep:
            say(f"Labelbox (sandbox): {config.labelbox_url}/    webhook: {webhook}/models    Ctrl-C ends it all.")
            for variable, value in environment.items():
                if variable != "VMI_WEBHOOK_SECRET":  # entered already; nobody needs to see it
                    say(f"export {variable}={value}")
            _until_interrupted()
    raise typer.Exit(0 if good else 1)


class _Say:
    """Tells the story on stderr, so that ``--json`` leaves stdout clean."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet

    def __call__(self, line: str) -> None:
        if not self._quiet:
            typer.echo(line, err=True)


def _seed(name: str, environment: dict[str, str], rows: int | None, say: _Say) -> Seeded:
    from vertex_model_inference.sandbox.datasets.catalog import material
    from vertex_model_inference.sandbox.datasets.seeding import seed
    from vertex_model_inference.sandbox.datasets.target import Target

    return seed(material(name), Target.of(environment), rows=rows, tell=lambda line: say(f"  {line}"))


@contextmanager
def _serve(environment: dict[str, str], port: int) -> Iterator[str]:
    """A ``vmi serve`` of our own; gives its URL."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "vertex_model_inference", "serve", "--port", str(port)],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline().strip()
        if not line.startswith("listening on "):
            raise VmiError("vmi serve did not start; its own message is above.", code="serve")
        yield line.removeprefix("listening on ")
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _press(config: SandboxConfig, seeded: Seeded, webhook: str, secret: str) -> str:
    """Enter the webhook in the sandbox's Labelbox, open the menu, choose the model. Returns the run's id."""
    import httpx2

    with httpx2.Client(base_url=config.labelbox_url, timeout=60, trust_env=False) as labelbox:
        _ok(labelbox.put("/_sandbox/webhook", json={"url": f"{webhook}/", "secret": secret}))
        options = _ok(labelbox.get("/_sandbox/train_options"))
        deadline = time.monotonic() + _MENU_S
        while seeded.display_name not in options and time.monotonic() < deadline:
            # The menu never waits long for Google; on a slow machine its first answer may be empty.
            time.sleep(0.5)
            options = _ok(labelbox.get("/_sandbox/train_options"))
        if seeded.display_name not in options:
            raise VmiError(
                f"The menu has no {seeded.display_name!r}; it has {', '.join(options) or 'nothing'}.", code="demo"
            )
        answer = _ok(
            labelbox.post(f"/_sandbox/model_runs/{seeded.model_run_id}/train", json={"modelType": seeded.display_name})
        )
    return str(answer["answer"]["runId"])


def _ok(response: Any) -> Any:
    if response.status_code != 200:
        raise VmiError(f"The sandbox's Labelbox answered {response.status_code}: {response.text[:300]}", code="demo")
    return response.json()


def _follow(environment: dict[str, str], run_id: str, say: _Say) -> RunStatus:
    """Show how far the run is until it has ended."""
    from vertex_model_inference.runs.progress import read_status
    from vertex_model_inference.runs.surroundings import open_artifacts
    from vertex_model_inference.settings import load

    store = open_artifacts(load(environ=environment, directory=Path(environment["VMI_DATA_DIR"])))
    deadline = time.monotonic() + _TIMEOUT_S
    shown = ""
    while time.monotonic() < deadline:
        status = read_status(store, run_id)
        if status is not None:
            steps = "  ".join(f"{step} {progress.done:,}" for step, progress in status.steps.items())
            line = f"  {status.state.value:<15} {steps}"
            if line != shown:
                say(line)
                shown = line
            if status.state.ended:
                return status
        time.sleep(0.2)
    raise VmiError(f"The run {run_id} did not end within {_TIMEOUT_S:.0f} s.", code="demo")


def _report(status: RunStatus, result: Score, seeded: Seeded, *, json_: bool) -> bool:
    """Print what came of it; whether all is well."""
    counts = status.counts
    whole = counts.ended == counts.exported == seeded.rows == result.rows
    good = status.state.value == "COMPLETE" and whole and not counts.failed and result.predicted == counts.predicted
    if json_:
        import msgspec

        value = {"good": good, "status": status, "read_back": result, "seeded": seeded}
        typer.echo(msgspec.json.format(msgspec.json.encode(value)).decode())
        return good
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column(style="dim")
    table.add_row("data rows", f"{result.rows:,}", "in the model run, by the SDK's export")
    table.add_row("predicted", f"{result.predicted:,}", f"{result.annotations:,} annotations")
    table.add_row("empty", f"{counts.empty:,}", "the model found nothing")
    table.add_row("skipped", f"{counts.skipped:,}", "")
    table.add_row("failed", f"{counts.failed:,}", "")
    for line in result.measures:
        table.add_row(line.name, f"{line.value:.3f}", line.basis)
    for step, progress in status.steps.items():
        rate = f"{progress.done / progress.seconds:,.0f} rows/s" if progress.seconds > 0.01 else ""
        table.add_row(f"  {step}", f"{progress.seconds:.2f} s", rate)
    console.print()
    console.print(table)
    console.print(f"\n{status.state.value}: {status.message}", highlight=False)
    console.print(f"All well: {'yes' if good else 'NO'}", highlight=False)
    console.print(
        f"Look yourself: vmi demo {seeded.name} --keep, then open the sandbox's Labelbox in a browser.",
        highlight=False,
    )
    return good


def _until_interrupted() -> None:
    try:
        while True:
            signal.pause()
    except KeyboardInterrupt:
        return
