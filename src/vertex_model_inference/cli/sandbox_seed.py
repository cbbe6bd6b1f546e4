"""``vmi sandbox seed``, ``datasets`` and ``env``: real data and models into a running sandbox."""

from __future__ import annotations

import os
import sys

import typer

from vertex_model_inference.cli.sandbox import app

__all__: list[str] = []


@app.command()
def seed(
    name: str = typer.Argument(help="digits, documents, reviews, coins, ...; see `vmi sandbox datasets`."),
    rows: int | None = typer.Option(None, min=1, help="How many data rows; the data set's own default otherwise."),
    families: bool = typer.Option(
        False, "--families", help="Also bring the model in the forms in which other model families answer."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print what was made as JSON."),
) -> None:
    """Bring a data set into the running sandbox: data rows, labels, splits, a fresh model run and the Vertex model.

    Example: `vmi sandbox seed digits`, `vmi sandbox seed coins --families`, or
    `vmi sandbox seed reviews --rows 200 --json`.
    """
    import orjson

    from vertex_model_inference.sandbox.datasets.catalog import material
    from vertex_model_inference.sandbox.datasets.seeding import seed as bring
    from vertex_model_inference.sandbox.datasets.target import Target

    chosen = material(name)
    target = Target.of(os.environ)
    seeded = bring(chosen, target, rows=rows, families=families, tell=lambda line: typer.echo(line, err=True))
    if as_json:
        fields = {field: getattr(seeded, field) for field in seeded.__struct_fields__}
        sys.stdout.write(orjson.dumps(fields, option=orjson.OPT_INDENT_2).decode() + "\n")
        return
    splits = ", ".join(f"{count} {split}" for split, count in seeded.splits.items())
    typer.echo(f"model run   {seeded.model_run_id}  ({seeded.model_run_name})")
    typer.echo(f"data rows   {seeded.rows}  ({splits}), {seeded.labels} with labels")
    typer.echo(f"model       {seeded.vertex_model}  ({seeded.display_name}, version {seeded.vertex_model_version})")
    for name in seeded.families:
        typer.echo(f"            {name}")


@app.command()
def datasets(as_json: bool = typer.Option(False, "--json", help="Print JSON.")) -> None:
    """List the data sets that can be seeded."""
    import orjson

    from vertex_model_inference.sandbox.datasets.catalog import MATERIALS

    if as_json:
        listed = [
            {"name": m.name, "title": m.title, "media_type": m.media_type.value, "default_rows": m.default_rows}
            for m in MATERIALS.values()
        ]
        sys.stdout.write(orjson.dumps(listed, option=orjson.OPT_INDENT_2).decode() + "\n")
        return
    for m in MATERIALS.values():
        typer.echo(f"{m.name:<11} {m.title}")


@app.command()
def env(
    port_base: int = typer.Option(8700, min=1, max=65533, help="The first of the sandbox's three ports."),
    api_key: str | None = typer.Option(None, envvar="VMI_SANDBOX_API_KEY", help="Its API key, if it asks for one."),
) -> None:
    """Print the `export NAME=value` lines of a running sandbox, for `eval "$(vmi sandbox env)"`."""
    from vertex_model_inference.sandbox.datasets.target import Target, defaults

    variables = defaults(port_base, api_key)
    Target.of(variables).check()
    for name, value in variables.items():
        typer.echo(f"export {name}={value}")
