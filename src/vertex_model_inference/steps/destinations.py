"""Where predictions go: checked before anything is spent, and another place when Labelbox takes none in model runs.

Labelbox may answer every import into a model run with ``9 FAILED_PRECONDITION: MEA prediction import has been
deprecated``. Whether it does is asked before the export, by an import into a model run that does not exist: that can
have no effect. Where it says nothing, the canary's own upload tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from vertex_model_inference.errors import NotFoundError, SettingsError, UploadRefusedError
from vertex_model_inference.ontology import Classification, Ontology
from vertex_model_inference.steps.context import Context

__all__ = ["check_destinations", "fall_back", "in_force", "missing_features", "refusal"]

_MOST_NAMED = 8
_WORDS = msgspec.json.Decoder(str)
_ONTOLOGY = msgspec.json.Decoder(Ontology)


def check_destinations(context: Context, ontology: Ontology) -> None:
    """See to it that every destination can take predictions, as far as that can be known before there are any.

    Args:
        context: The run.
        ontology: Of the model run.

    Raises:
        UploadRefusedError: Labelbox takes no predictions in model runs, and there is no fallback.
        SettingsError: The project's ontology lacks features of the model's, or no project is named.
        NotFoundError: There is no such project.
        LabelboxError: Labelbox did not answer.
    """
    if "model-run" in in_force(context):
        refused = context.labelbox.import_refusal()
        if refused is not None and context.spec.delivery.fallback is None:
            raise refused
        if refused is not None:
            _note(context, refused)
    if "project" in in_force(context):
        _check_project(context, ontology)


def in_force(context: Context) -> tuple[str, ...]:
    """The destinations: as asked for, with the fallback in place of the model run once that is known to be refused.

    Raises:
        StorageError: The run's own files cannot be read.
    """
    rules = context.spec.delivery
    asked = rules.destinations or ("model-run",)
    if "model-run" not in asked or rules.fallback is None or refusal(context) is None:
        return asked
    return tuple(dict.fromkeys(rules.fallback if name == "model-run" else name for name in asked))


def refusal(context: Context) -> str | None:
    """What Labelbox said when it refused predictions in the model run; None: it has not.

    Raises:
        StorageError: The run's own files cannot be read.
    """
    try:
        return _WORDS.decode(context.store.get(context.files.refused))
    except NotFoundError:
        return None


def fall_back(context: Context, refused: UploadRefusedError) -> None:
    """From now on the fallback is in force.

    Raises:
        SettingsError, NotFoundError, LabelboxError: The fallback's project cannot take predictions.
        StorageError: The run's own files cannot be written.
    """
    if context.spec.delivery.fallback == "project":
        _check_project(context, _ONTOLOGY.decode(context.store.get(context.files.ontology)))
    _note(context, refused)


def _note(context: Context, refused: UploadRefusedError) -> None:
    context.store.put(context.files.refused, msgspec.json.encode(refused.message))


def _check_project(context: Context, ontology: Ontology) -> None:
    project_id = context.spec.delivery.project
    if not project_id:
        raise SettingsError(
            "Predictions are to go to a project and none is named.",
            code="settings_missing",
            hint="Set VMI_LABELBOX_PROJECT to the project's id, or project in the model's section of vmi.toml.",
        )
    project = context.labelbox.project(project_id)
    if project.ontology is None:
        raise SettingsError(
            f"The project {project.name!r} ({project_id}) has no ontology, so it can take no pre-labels.",
            code="project_ontology",
            hint="Connect the model's ontology to the project in Labelbox.",
        )
    if project.ontology.id != ontology.id and (missing := missing_features(ontology, project.ontology)):
        more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
        raise SettingsError(
            f"The ontology {project.ontology.name!r} of project {project.name!r} ({project_id}) lacks "
            f"{', '.join(missing[:_MOST_NAMED])}{more}, which the model's ontology {ontology.name!r} has.",
            code="project_ontology",
            hint="Pre-labels are matched by these names: connect the model's ontology to the project, or add them.",
        )
    context.labelbox.show_pre_labels(project_id)


def missing_features(wanted: Ontology, there: Ontology) -> list[str]:
    """Features of ``wanted`` that ``there`` lacks by kind, name and place, in words; a parent stands for what is in it.

    Labelbox finds a feature by its exact name among those of its parent, so no other likeness counts.
    """
    known = set(_paths(there))
    missing: list[tuple[str, ...]] = []
    for path in _paths(wanted):
        if path not in known and not any(path[: len(parent)] == parent for parent in missing):
            missing.append(path)
    return [" / ".join(path) for path in missing]


def _paths(ontology: Ontology) -> Iterator[tuple[str, ...]]:
    for tool in ontology.tools:
        path = (f"{tool.kind} {tool.name!r}",)
        yield path
        yield from _questions(tool.classifications, path)
    yield from _questions(ontology.classifications, ())


def _questions(questions: Sequence[Classification], parent: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for question in questions:
        path = (*parent, f"{question.kind} {question.name!r}")
        yield path
        for option in question.options:
            answer = (*path, f"{option.name!r}")
            yield answer
            yield from _questions(option.classifications, answer)
