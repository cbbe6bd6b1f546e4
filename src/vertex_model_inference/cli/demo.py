"""``vmi demo``: the main job on real data, from an empty machine to predictions in a model run."""

from __future__ import annotations

import secrets
import shlex
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from vertex_model_inference.cli.demo_serve import free_or_any, free_port, program, serving
from vertex_model_inference.errors import VmiError

if TYPE_CHECKING:
    from vertex_model_inference.cli.demo_score import Score
    from vertex_model_inference.cli.demo_story import Step, Story
    from vertex_model_inference.runs.status import RunStatus
    from vertex_model_inference.sandbox.config import SandboxConfig
    from vertex_model_inference.sandbox.datasets.seeding import Seeded

__all__ = ["demo"]

_TIMEOUT_S = 600.0
_MENU_S = 60.0
_SANDBOX_PORT, _WEBHOOK_PORT = 8700, 8080
_STATES = {
    "QUEUED": "queued",
    "EXPORTING_DATA": "exporting data",
    "PREPARING_DATA": "preparing data",
    "TRAINING_MODEL": "predicting",
}


def demo(
    name: str = typer.Argument(
        "digits", help="digits, documents, reviews, coins, entities, layout, pages, videos, conversations."
    ),
    rows: int | None = typer.Option(None, min=1, help="Fewer data rows than the data set has."),
    keep: bool = typer.Option(False, "--keep", help="Leave everything running afterwards, to look at, until Ctrl-C."),
    port_base: int | None = typer.Option(
        None, help="Ports of the sandbox; free ones by default, with --keep 8700 where that is free."
    ),
    json_: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Start the sandbox, seed real data, press Train Model as Labelbox does, and read the predictions back.

    Exit code 0 when every data row got an outcome and none failed. With `--keep` it ends by saying which two addresses
    to open: the model run in the sandbox's Labelbox, and the run as vmi sees it.

    Example: `vmi demo`, `vmi demo documents`, `vmi demo coins --keep`
    """
    from vertex_model_inference.cli.demo_story import Story
    from vertex_model_inference.sandbox.launcher import running

    story = Story(quiet=json_)
    # Ends like Ctrl-C, so that the servers that were started end too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if port_base is None:
        port_base = free_or_any(_SANDBOX_PORT, 3) if keep else 0
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vmi-demo-", ignore_cleanup_errors=True)))
        story.say("The whole job on this machine: no cloud account, nothing leaves it.\n")
        with story.step("Sandbox") as step:
            config = stack.enter_context(running(port_base=port_base, state=folder / "sandbox"))
            step.done("a Labelbox, a Cloud Storage and a Vertex AI, which the real SDKs talk to")
        port = free_port(_WEBHOOK_PORT if keep else 0)
        environment = {
            **config.environment(),
            "VMI_DATA_DIR": str(folder / "vmi"),
            "VMI_WEBHOOK_SECRET": secrets.token_hex(16),
            "VMI_PAGES_TOKEN": secrets.token_urlsafe(16),
            "VMI_PAGES_URL": f"http://127.0.0.1:{port}",
        }
        with story.step("Data") as step:
            seeded = _seed(name, environment, rows, step)
        with story.step("Serve") as step:
            webhook = stack.enter_context(serving(environment, port, folder / "serve.log"))
            _enter(config, webhook, environment["VMI_WEBHOOK_SECRET"])
            step.done(f"vmi serve on {webhook}, entered in Labelbox with its secret")
        with story.step("Button") as step:
            run_id = _press(config, seeded)
            step.done(f"Train Model, model “{seeded.display_name}”: run {run_id}")
        with story.step("Run") as step:
            status = _follow(environment, run_id, step)
        with story.step("Read back") as step:
            from vertex_model_inference.cli.demo_score import score

            result = score(environment, seeded.model_run_id, seeded.model_id)
            step.done(f"{result.annotations:,} annotations, by the labelbox SDK's export of the model run")
        good = _report(status, result, seeded, json_=json_)
        if keep:
            _look_and_wait(story, folder, config, environment, seeded, run_id)
        else:
            story.say(f"\nSee it in a browser: {program()} demo{'' if name == 'digits' else f' {name}'} --keep")
    if keep:
        story.say("Everything has ended.")
    raise typer.Exit(0 if good else 1)


def _seed(name: str, environment: dict[str, str], rows: int | None, step: Step) -> Seeded:
    from vertex_model_inference.sandbox.datasets.catalog import material
    from vertex_model_inference.sandbox.datasets.seeding import seed
    from vertex_model_inference.sandbox.datasets.target import Target

    chosen = material(name)
    step.note(chosen.title)
    seeded = seed(chosen, Target.of(environment), rows=rows, tell=step.note)
    labels = f", {seeded.labels:,} of them labelled" if seeded.labels else ", none of them labelled"
    step.done(f"{seeded.rows:,} data rows{labels if seeded.labels != seeded.rows else ' with labels'}: {chosen.title}")
    return seeded


def _enter(config: SandboxConfig, webhook: str, secret: str) -> None:
    """Enter the webhook in the sandbox's Labelbox."""
    import httpx2

    with httpx2.Client(base_url=config.labelbox_url, timeout=60, trust_env=False) as labelbox:
        _ok(labelbox.put("/_sandbox/webhook", json={"url": f"{webhook}/", "secret": secret}))


def _press(config: SandboxConfig, seeded: Seeded) -> str:
    """Open the menu in the sandbox's Labelbox, choose the model. Returns the run's id."""
    import httpx2

    with httpx2.Client(base_url=config.labelbox_url, timeout=60, trust_env=False) as labelbox:
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


def _follow(environment: dict[str, str], run_id: str, step: Step) -> RunStatus:
    """Show how far the run is until it has ended."""
    from vertex_model_inference.runs.progress import read_status
    from vertex_model_inference.runs.surroundings import open_artifacts
    from vertex_model_inference.settings import load

    store = open_artifacts(load(environ=environment, directory=Path(environment["VMI_DATA_DIR"])))
    deadline = time.monotonic() + _TIMEOUT_S
    while time.monotonic() < deadline:
        status = read_status(store, run_id)
        if status is not None:
            steps = "  ".join(f"{name} {progress.done:,}" for name, progress in status.steps.items())
            if status.state.ended:
                step.done(f"{status.state.value}: {steps}")
                return status
            step.note(f"{_STATES.get(status.state.value, status.state.value)}: {steps}")
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
    from rich.table import Table

    from vertex_model_inference.cli.console import console

    out = console()
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", min_width=12)
    table.add_column(justify="right")
    table.add_column(style="dim")
    table.add_row("data rows", f"{result.rows:,}", "in the model run")
    table.add_row("predicted", f"{result.predicted:,}", f"with {result.annotations:,} annotations")
    table.add_row("empty", f"{counts.empty:,}", "the model found nothing" if counts.empty else "")
    table.add_row("skipped", f"{counts.skipped:,}", "")
    table.add_row("failed", f"{counts.failed:,}", "")
    for line in result.measures:
        table.add_row(line.name, f"{line.value:.3f}", line.basis)
    out.print()
    out.print(table)
    out.print(f"\n{status.state.value}: {status.message}", highlight=False)
    if not good:
        out.print(
            "NOT well: a row failed, or the rows in Labelbox are not those of the run's own account.", style="bold red"
        )
    return good


def _look_and_wait(
    story: Story,
    folder: Path,
    config: SandboxConfig,
    environment: dict[str, str],
    seeded: Seeded,
    run_id: str,
) -> None:
    """Say what to open, and wait for Ctrl-C."""
    with story.step("Fresh run") as step:  # so that the button can be pressed by hand, with nothing there yet
        fresh = _seed(seeded.name, environment, seeded.rows, step)
        step.done("the same data rows in a second model run, without predictions")
    exports = folder / "env"
    exports.write_text(
        "".join(
            f"export {variable}={shlex.quote(value)}\n"
            for variable, value in environment.items()
            if variable not in ("VMI_WEBHOOK_SECRET", "VMI_PAGES_TOKEN")  # no command in another shell needs them
        )
    )
    base = f"{config.labelbox_url}/runs"
    story.say("\nOpen in a browser:")
    story.say(f"  Labelbox's side    {base}/{seeded.model_run_id}")
    # What stands behind # is sent to no server and so is in no log.
    token = environment["VMI_PAGES_TOKEN"]
    story.say(f"  vmi's side         {environment['VMI_PAGES_URL']}/login?to=/runs/{run_id}#{token}")
    story.say(f"\nPress Train Model yourself, on the fresh run:\n  {base}/{fresh.model_run_id}")
    story.say(f"\nFrom another shell:  . {exports} && {program()} status     (log: {folder / 'serve.log'})")
    story.say("Ctrl-C ends everything.")
    _until_interrupted()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave half of it running
    story.say("\nStopping ...")


def _until_interrupted() -> None:
    try:
        while True:
            signal.pause()
    except KeyboardInterrupt:
        return
