"""``vmi evaluate``: how good the predictions of a run are, against the labels of its model run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from vertex_model_inference.cli.console import console

if TYPE_CHECKING:
    from rich.console import Console

    from vertex_model_inference.evaluation.scores import (
        ChoiceScore,
        ClassScore,
        Confusion,
        Evaluation,
        ObjectScore,
        SplitScore,
        TextScore,
    )

__all__ = ["evaluate", "percent"]

_MOST_CLASSES = 30


def evaluate(
    run: str = typer.Argument(help="Run id or its beginning, a model run id, or the folder of a run (also gs://)."),
    split: str | None = typer.Option(None, help="Only training, validation, test or unassigned rows; or all."),
    iou: float = typer.Option(0.5, help="Overlap (IoU) from which a box, polygon or mask is found.", min=0.01, max=1),
    distance: float = typer.Option(10.0, help="Pixels within which a point or line is found.", min=0.001),
    json_: bool = typer.Option(False, "--json", help="As JSON, with all curves."),
    thresholds: bool = typer.Option(False, "--thresholds", help="Only the lines for vmi.toml."),
) -> None:
    """Measure a run's predictions against the labels of its model run, by split and over the whole range of confidence.

    Example: `vmi evaluate cm1x9 --split test`, `vmi evaluate cm1x9 --thresholds >> vmi.toml`
    """
    import msgspec

    from vertex_model_inference.errors import NotFoundError
    from vertex_model_inference.runs.reading import open_run
    from vertex_model_inference.settings import load
    from vertex_model_inference.steps import evaluate as step

    settings = load()
    store, files = open_run(settings, run)
    found = step.stored(store, files)
    if found is None or (found.iou, found.distance_px) != (iou, distance):
        found = step.evaluate(store, files, settings, iou=iou, distance_px=distance)
    if split is not None:
        chosen = found.split(split)
        if chosen is None:
            known = ", ".join(one.split for one in found.splits)
            raise NotFoundError(f"The run has no rows of the split {split!r}.", hint=f"It has: {known}.")
        found = msgspec.structs.replace(found, splits=(chosen,))
    if json_:
        typer.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
        return
    if not found.splits[0].rows.labelled:
        raise NotFoundError(
            f"No data row of the run {found.run_id} is labelled, so there is nothing to measure it by.",
            hint="Add labels to the model run in Labelbox (upsert_labels), then run again.",
        )
    if thresholds:
        for line in found.thresholds:
            typer.echo(line)
        return
    out = console()
    _head(out, found)
    # Of all splits only the first is shown class by class, or the one that was asked for.
    detailed = split or _telling(found)
    for one in found.splits:
        if one.rows.judged or one.split == split:
            _split(out, one, detailed=one.split == detailed)
    if found.thresholds and split is None:
        out.print(f"\n[bold]Best thresholds[/bold], found on {found.thresholds_from}; for vmi.toml:", highlight=False)
        for line in found.thresholds[: _MOST_CLASSES + 1]:
            out.print(line, highlight=False, markup=False)
        if len(found.thresholds) > _MOST_CLASSES + 1:
            out.print("... all of them: --thresholds", highlight=False)


def percent(value: float | None) -> str:
    """A rate with three decimals; nothing where there is none."""
    return "" if value is None else f"{value:.3f}"


def _telling(found: Evaluation) -> str:
    """The split to show in detail: that which the thresholds are from, or all."""
    return found.thresholds_from or "all"


def _head(out: Console, found: Evaluation) -> None:
    out.print(f"[bold]{found.run_id}[/bold]  model {found.option}", highlight=False)
    if found.without_confidence:
        out.print(f"{found.without_confidence:,} predictions have no confidence; they count as 1.", highlight=False)
    for kind, count in found.unsupported.items():
        out.print(f"Not measured: {count:,} x {kind}.", highlight=False)


def _split(out: Console, one: SplitScore, *, detailed: bool) -> None:
    rows = one.rows
    parts = [f"{rows.judged:,} judged"]
    parts += [f"{rows.unlabelled:,} without a label"] if rows.unlabelled else []
    parts += [f"{rows.unanswered:,} labelled but not answered"] if rows.unanswered else []
    parts += [f"{rows.several_labels:,} with several labels (the first is used)"] if rows.several_labels else []
    out.print(f"\n[bold]{one.split}[/bold]: {rows.exported:,} data rows, {', '.join(parts)}", highlight=False)
    for choice in one.choices:
        _choice(out, choice, detailed=detailed)
    for objects in one.objects:
        _objects(out, objects, detailed=detailed)
    for text in one.texts:
        _text(out, text)


def _choice(out: Console, one: ChoiceScore, *, detailed: bool) -> None:
    figures = [f"accuracy {percent(one.accuracy)}", f"macro F1 {one.macro.f1:.3f}"]
    figures += [f"weighted F1 {one.weighted.f1:.3f}", f"micro F1 {one.micro.f1:.3f}"]
    figures += [f"top-{k} {value:.3f}" for k, value in one.top_k.items() if k != "1"]
    if one.jaccard is not None:
        figures.append(f"jaccard {one.jaccard:.3f}")
    if one.log_loss is not None:
        figures.append(f"log loss {one.log_loss:.3f}")
    if one.calibration is not None:
        figures.append(f"calibration error {one.calibration.expected_error:.3f}")
    out.print(
        f"  {one.kind} {one.question!r}: {', '.join(figures)}; {one.answered:,} labelled, {one.missed:,} missed"
        + (f", {one.unlabelled:,} left open by the label" if one.unlabelled else ""),
        highlight=False,
    )
    if detailed:
        _classes(out, one.classes, ranked=False)
        _confusions(out, one.confusion)


def _objects(out: Console, one: ObjectScore, *, detailed: bool) -> None:
    at = {"iou": f"IoU {one.at}", "distance": f"{one.at} px", "span": one.at}.get(one.measure, one.at)
    level = one.levels[0]
    figures = [f"precision {percent(level.precision)}", f"recall {percent(level.recall)}", f"F1 {percent(level.f1)}"]
    if one.measure == "iou":
        half = next((each.mean_average_precision for each in one.levels if each.level == "0.5"), None)
        figures += [f"mAP@.5 {percent(half)}", f"mAP@[.5:.95] {percent(one.mean_average_precision)}"]
        figures += [f"mean IoU {percent(one.mean_overlap)}"]
    elif one.measure == "distance":
        figures += [f"mean distance {one.mean_overlap:.2f} px"] if one.mean_overlap is not None else []
    elif one.measure == "span":
        figures += [f"overlapping F1 {percent(one.levels[1].f1)}"]
    name = one.kind.replace("_", " ")
    out.print(f"  {name} at {at}: {', '.join(figures)}; {one.labels:,} labelled, {one.predictions:,} predicted")
    if detailed:
        _classes(out, one.classes, ranked=True)
        _confusions(out, one.confusion)


def _text(out: Console, one: TextScore) -> None:
    out.print(
        f"  text {one.question!r}: exact {percent(one.exact)}, edit distance {percent(one.edit_distance)}, "
        f"character errors {percent(one.character_error_rate)}; {one.answered:,} labelled, {one.missed:,} missed",
        highlight=False,
    )


def _classes(out: Console, classes: tuple[ClassScore, ...], *, ranked: bool) -> None:
    from rich.padding import Padding
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("class", overflow="fold")
    columns = (
        "labels",
        "predicted",
        "right",
        "precision",
        "recall",
        "F1",
        *(("AP",) if ranked else ()),
        "best at",
        "F1",
    )
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    shown = sorted(classes, key=lambda one: -one.labels)[:_MOST_CLASSES]
    for one in shown:
        best = (
            ("", "")
            if one.best is None
            else (f"{one.best.threshold:.7g}" if one.best.threshold else "any", f"{one.best.f1:.3f}")
        )
        table.add_row(
            one.name,
            *(f"{count:,}" for count in (one.labels, one.predictions, one.right)),
            *(percent(rate) for rate in (one.precision, one.recall, one.f1)),
            *((percent(one.average_precision),) if ranked else ()),
            *best,
        )
    out.print(Padding(table, (0, 0, 0, 4)))
    if len(classes) > len(shown):
        out.print(f"    ... and {len(classes) - len(shown):,} rarer classes: --json", highlight=False)


def _confusions(out: Console, confusion: Confusion) -> None:
    """The worst cells of the matrix."""
    names = confusion.classes
    cells = sorted(
        (
            (count, truth, said)
            for truth, row in enumerate(confusion.counts)
            for said, count in enumerate(row)
            if truth != said and count
        ),
        key=lambda cell: -cell[0],
    )
    words = []
    for count, truth, said in cells[:5]:
        if truth == len(names):
            words.append(f"{names[said]!r} where there is none ({count:,})")
        elif said == len(names):
            words.append(f"{names[truth]!r} missed ({count:,})")
        else:
            words.append(f"{names[truth]!r} taken for {names[said]!r} ({count:,})")
    if words:
        out.print(f"    most frequent errors: {', '.join(words)}", highlight=False, markup=False)
