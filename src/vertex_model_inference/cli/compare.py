"""``vmi compare``: two runs over the same rows, class by class and row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from vertex_model_inference.cli.console import console

if TYPE_CHECKING:
    from rich.console import Console

    from vertex_model_inference.evaluation.comparison import Comparison, Interval

__all__ = ["compare"]

_MOST_CLASSES = 20


def compare(
    first: str = typer.Argument(help="Run id or its beginning, a model run id, or the folder of a run."),
    second: str = typer.Argument(help="The run to compare with it."),
    split: str = typer.Option("all", help="Only rows of this split: training, validation, test or unassigned."),
    iou: float = typer.Option(0.5, help="Overlap (IoU) from which a box, polygon or mask is found.", min=0.01, max=1),
    distance: float = typer.Option(10.0, help="Pixels within which a point or line is found.", min=0.001),
    rows: int = typer.Option(10, help="So many rows that got better, and worse, are listed.", min=0),
    json_: bool = typer.Option(False, "--json", help="As JSON."),
) -> None:
    """Compare two runs on the rows that both have judged: what changed, and whether that can be chance.

    Example: `vmi compare cm1x9 cm2y4 --split test`
    """
    import msgspec

    from vertex_model_inference.runs.reading import open_run
    from vertex_model_inference.settings import load
    from vertex_model_inference.steps.compare import compare_runs

    settings = load()
    places = (open_run(settings, first), open_run(settings, second))
    found = compare_runs(*places, settings, split=split, iou=iou, distance_px=distance, most_rows=rows)
    if json_:
        typer.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
        return
    out = console()
    out.print(f"A  [bold]{found.first}[/bold]\nB  [bold]{found.second}[/bold]", highlight=False)
    left_out = f"; {found.only_first:,} judged only in A, {found.only_second:,} only in B"
    out.print(
        f"{found.rows:,} data rows of split {found.split} judged in both"
        + (left_out if found.only_first or found.only_second else ""),
        highlight=False,
    )
    out.print(
        f"mean error {found.mean_error[0]:.3f} -> {found.mean_error[1]:.3f}: "
        f"{found.better:,} rows better, {found.worse:,} worse\n",
        highlight=False,
    )
    for answers in found.answers:
        out.print(
            f"{answers.question!r}: right on {answers.accuracy[0]:.3f} -> {answers.accuracy[1]:.3f} of "
            f"{answers.rows:,} rows; only A right {answers.only_first:,}, only B right {answers.only_second:,}; "
            f"McNemar p = {answers.p_value:.3g}{_chance(answers.p_value < 0.05)}",
            highlight=False,
        )
    for objects in found.objects:
        out.print(
            f"{objects.kind} at {objects.at}: F1 {objects.f1[0]:.3f} -> {objects.f1[1]:.3f} {_told(objects.f1_change)}",
            highlight=False,
        )
        if objects.average_precision is not None and objects.average_precision_change is not None:
            a, b = objects.average_precision
            out.print(f"  mAP {a:.3f} -> {b:.3f} {_told(objects.average_precision_change)}", highlight=False)
    _classes(out, found)
    for title, listed in (("Most better", found.most_better), ("Most worse", found.most_worse)):
        if listed:
            out.print(f"\n[bold]{title}[/bold] (error in A, in B):", highlight=False)
            for row in listed:
                out.print(f"  {row.data_row_id}  {row.first:.3f}  {row.second:.3f}", highlight=False)


def _chance(telling: bool) -> str:
    return "" if telling else " (can be chance)"


def _told(change: Interval) -> str:
    telling = change.low > 0 or change.high < 0
    return f"({change.difference:+.3f}, 95 % {change.low:+.3f} .. {change.high:+.3f}){_chance(telling)}"


def _classes(out: Console, found: Comparison) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("class", overflow="fold")
    for column in ("labels", "F1 A", "F1 B", "change", "precision A", "B", "recall A", "B", "AP A", "B"):
        table.add_column(column, justify="right", no_wrap=True)

    def shown(pair: tuple[float | None, float | None]) -> tuple[str, str]:
        a, b = ("" if one is None else f"{one:.3f}" for one in pair)
        return a, b

    for one in found.classes[:_MOST_CLASSES]:
        change = (one.f1[1] or 0.0) - (one.f1[0] or 0.0)
        figures = (*shown(one.f1), f"{change:+.3f}")
        others = (*shown(one.precision), *shown(one.recall), *shown(one.average_precision))
        table.add_row(f"{one.feature}: {one.name}", f"{one.labels:,}", *figures, *others)
    out.print()
    out.print(table)
    if len(found.classes) > _MOST_CLASSES:
        out.print(f"... and {len(found.classes) - _MOST_CLASSES:,} classes that changed less: --json", highlight=False)
