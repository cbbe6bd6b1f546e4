"""``vmi check``: a model's classes against a model run's ontology, before anything is spent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NoReturn

import typer

from vertex_model_inference.cli.console import console

if TYPE_CHECKING:
    from vertex_model_inference.ontology import Ontology
    from vertex_model_inference.steps.preflight import Preflight
    from vertex_model_inference.vertex.classes import ClassList

__all__ = ["check"]


def check(
    model_run_id: str = typer.Argument(help="Labelbox's id of the model run."),
    model: str = typer.Option(..., "--model", "-m", help="Option of the Train Model menu; `vmi models` lists them."),
    classes: list[str] = typer.Option(
        [], "--class", "-c", help="A class of the model, where nobody else names them; may be given several times."
    ),
    json_: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Tell which classes of a model fit the model run's ontology, which do not, and what to write into vmi.toml.

    Nothing is exported, predicted or uploaded. The classes are those of `class_names` in vmi.toml, of the model's
    metadata, of its evaluation, or of `--class`.

    Exit code: 1 when the run, or the rows in which the model gives some class, would fail; else 0.

    Example: `vmi check cm1x9... --model "digits"`
    """
    from vertex_model_inference.cli import logs
    from vertex_model_inference.cli.run import must_exist, option_named
    from vertex_model_inference.decoders.finds import background, finds
    from vertex_model_inference.runs.surroundings import open_labelbox
    from vertex_model_inference.settings import load
    from vertex_model_inference.steps.preflight import preflight
    from vertex_model_inference.vertex.auth import GoogleAuth
    from vertex_model_inference.vertex.classes import ClassList, class_list
    from vertex_model_inference.webhook.wiring import catalog_of

    logs.to_stderr()
    settings = load()
    settings.require("labelbox_api_key")
    option = option_named(catalog_of(settings).refresh(), model)
    labelbox = open_labelbox(settings)
    try:
        must_exist(settings, labelbox, model_run_id)
        run = labelbox.model_run(model_run_id)
        ontology = labelbox.ontology(run.ontology_id)
    finally:
        labelbox.close()
    if option.gemini is not None:
        _asked(ontology, option.name, json_=json_)
    if classes:
        known = ClassList(tuple(classes), "--class")
    else:
        registered = option.model.class_names if option.model else ()
        known = class_list(
            option,
            endpoint=settings.vertex_url,
            headers=GoogleAuth(settings.google_token).headers,
            configured=option.class_names != registered,
        )
        empty = background(option)
        known = ClassList(tuple(name for name in known.names if name != empty), known.source)
    found = preflight(ontology, option.rules, known.names, option=option.name, finds=finds(option))
    if json_:
        _print_json(found, known, ontology.name)
    else:
        _print(found, known, ontology.name, option.name)
    raise typer.Exit(1 if found.fails else 0)


_MEDIA = {"pdf": "document", "conversational": "conversation", "tms_geo": "tiled_image"}
"""Labelbox's word for an ontology's media, where ours is another."""


def _asked(ontology: Ontology, option: str, *, json_: bool) -> NoReturn:
    """Tell what Gemini is asked: the ontology's own features, so that no class of its can fail to fit."""
    from vertex_model_inference.gemini.asked import asked_of
    from vertex_model_inference.rows import MediaType

    word = (ontology.media_type or "image").lower()
    word = _MEDIA.get(word, word)
    media = MediaType(word) if word in set(MediaType) else MediaType.UNKNOWN
    asked = asked_of(ontology, media)
    objects = [name for group in asked.objects for name in group.labels]
    questions = [question.title for question in asked.questions]
    if json_:
        value = {"ontology": ontology.name, "classes_from": "the ontology", "classes_known": True}
        value |= {"fails": asked.nothing, "objects": objects, "questions": questions, "not_asked": asked.left}
        typer.echo(json.dumps(value, indent=2, ensure_ascii=False))
    else:
        typer.echo(f"{option!r} is asked by the ontology {ontology.name!r} itself: there are no names to match.\n")
        for what, names in (("objects", objects), ("questions", questions), ("relations", list(asked.relations))):
            if names:
                typer.echo(f"asked for {what}: {', '.join(names)}")
        if asked.left:
            typer.echo(f"not asked on {word} rows: {', '.join(asked.left)}")
        if asked.nothing:
            typer.echo(f"The rows would be skipped: the ontology has nothing to ask about {word} rows.")
    raise typer.Exit(1 if asked.nothing else 0)


def _print_json(found: Preflight, known: ClassList, ontology: str) -> None:
    import msgspec

    value = {"ontology": ontology, "classes_from": known.source, "classes_known": bool(known.names)}
    value |= {"fails": found.fails, **msgspec.to_builtins(found)}
    typer.echo(msgspec.json.format(msgspec.json.encode(value)).decode())


def _print(found: Preflight, known: ClassList, ontology: str, option: str) -> None:
    from rich.table import Table
    from rich.text import Text

    from vertex_model_inference.steps.preflight import Verdict

    colours = {Verdict.MATCHED: "green", Verdict.UNMAPPED: "yellow"}
    out = console()
    if known.names:
        typer.echo(f"{len(known.names)} classes of {option!r}, from {known.source}, on the ontology {ontology!r}:\n")
        table = Table("Class", "", "Feature", box=None, pad_edge=False)
        for each in found.classes:
            features = "; ".join(f"{feature.path} ({feature.kind})".removesuffix(" ()") for feature in each.features)
            style = "red" if each.fails else colours.get(each.verdict, "yellow")
            what = features if each.verdict is Verdict.MATCHED else each.why
            table.add_row(Text(each.name), Text(each.verdict.value, style=style), Text(what))
        out.print(table)
    else:
        typer.echo(f"The classes of {option!r} are not known. Asked: {known.source}.")
        typer.echo("Give them with --class, or set class_names of the model in vmi.toml.")
    if found.unused and known.names:
        typer.echo()
        table = Table("Never given", "", box=None, pad_edge=False)
        for feature in found.unused:
            table.add_row(Text(feature.path), Text(feature.kind))
        out.print(table)
    for line in (*found.problems, *found.notes):
        typer.echo(f"\n{line}")
    if found.lines:
        typer.echo("\nFor vmi.toml, if you agree:\n")
        typer.echo("\n".join(found.lines))
    typer.echo()
    if found.fails:
        count = sum(each.fails for each in found.classes)
        some = "1 class fits" if count == 1 else f"{count} classes fit"
        typer.echo(f"Rows would fail: {some} no feature." if count else "The run would fail.")
    elif known.names:
        matched = sum(each.verdict is Verdict.MATCHED for each in found.classes)
        typer.echo(f"Nothing would fail: {matched} of {len(found.classes)} classes have a feature.")
