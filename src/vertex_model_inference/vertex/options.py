"""Registry + ``vmi.toml`` -> the options of the *Train Model* menu, and what is left out of it and why. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from vertex_model_inference.models import MatchRules, ModelOption, Predictor, Task, VertexModel
from vertex_model_inference.settings_sections import ModelSection
from vertex_model_inference.vertex.registry import Snapshot, VertexEndpoint

__all__ = ["LeftOut", "Options", "build_options"]

# Last part of metadataSchemaUri and predictionSchemaUri (vertex.md 2.2), without version: what the model does and how
# it answers.
_SCHEMAS: dict[str, tuple[Task | None, str | None]] = {
    "automl_image_classification": (Task.IMAGE_CLASSIFICATION, "automl-classification"),
    "automl_image_object_detection": (Task.IMAGE_OBJECT_DETECTION, "automl-detection"),
    "automl_text_classification": (Task.TEXT_CLASSIFICATION, "automl-classification"),
    "automl_image_segmentation": (Task.IMAGE_SEGMENTATION, "automl-segmentation"),
    "automl_text_extraction": (Task.TEXT_EXTRACTION, "automl-text-extraction"),
    "automl_text_sentiment": (Task.TEXT_SENTIMENT, "automl-sentiment"),
    "automl_video_classification": (Task.VIDEO_CLASSIFICATION, "automl-video-classification"),
    "automl_video_object_tracking": (Task.VIDEO_OBJECT_TRACKING, "automl-object-tracking"),
    "automl_video_action_recognition": (Task.VIDEO_ACTION_RECOGNITION, "automl-action-recognition"),
}
_PREDICTIONS: dict[str, tuple[Task | None, str | None]] = {
    "classification": (None, "automl-classification"),
    "image_object_detection": (Task.IMAGE_OBJECT_DETECTION, "automl-detection"),
    "video_classification": (Task.VIDEO_CLASSIFICATION, "automl-video-classification"),
    "video_object_tracking": (Task.VIDEO_OBJECT_TRACKING, "automl-object-tracking"),
    "video_action_recognition": (Task.VIDEO_ACTION_RECOGNITION, "automl-action-recognition"),
}
_INSTANCES = {"image_classification": Task.IMAGE_CLASSIFICATION, "text_classification": Task.TEXT_CLASSIFICATION}
_NO_SECTION = ModelSection()
# What AutoML can also be, and no task of ours can run: said by name.
_OTHER_AUTOML = {
    "automl_tabular": "tabular data",
    "automl_forecasting": "forecasting",
    "automl_time_series_forecasting": "forecasting",
}


class LeftOut(msgspec.Struct, frozen=True):
    """A model, endpoint or section that is no option, and why, in one sentence."""

    name: str
    why: str


class Options(msgspec.Struct, frozen=True):
    """What can be chosen, sorted by name, and what cannot."""

    available: tuple[ModelOption, ...] = ()
    left_out: tuple[LeftOut, ...] = ()

    def find(self, name: str) -> ModelOption | None:
        """The option of exactly that name."""
        return next((option for option in self.available if option.name == name), None)

    @property
    def names(self) -> tuple[str, ...]:
        """The menu."""
        return tuple(option.name for option in self.available)


class _Candidate(msgspec.Struct, frozen=True):
    """An option before names are made unique. ``keys``: what a section of ``vmi.toml`` may call it."""

    option: ModelOption
    keys: frozenset[str]
    id: str


class _Kind(msgspec.Struct, frozen=True):
    """What a model does and how it answers, as far as its metadata says; ``why_not``: nothing here can run it."""

    task: Task | None = None
    decoder: str | None = None
    why_not: str | None = None


def build_options(
    snapshot: Snapshot | None,
    sections: Mapping[str, ModelSection],
    *,
    only: str | None = None,
    batch_problem: str | None = None,
) -> Options:
    """The menu.

    Args:
        snapshot: The registry; None when it is not known (yet): then only the containers of ``vmi.toml`` are there.
        sections: ``[models."Name"]`` of ``vmi.toml``.
        only: Offer only the model of this display name or id (``VMI_MODEL_NAME``).
        batch_problem: Why no batch job can run at all (bucket missing or in the wrong region), one sentence; None when
            they can.
    """
    left_out: list[LeftOut] = []
    kept: list[_Candidate] = []
    seen: set[str] = set()
    for name, keys, identity, made in _registered(snapshot, sections, batch_problem):
        seen |= keys
        section = _section(keys, sections)
        if section.hide:
            left_out.append(LeftOut(name, "vmi.toml hides it."))
        elif isinstance(made, str):
            left_out.append(LeftOut(name, made))
        elif section.predict is not None and section.predict != made.predictor:
            left_out.append(LeftOut(name, f"vmi.toml wants it by {section.predict}."))
        else:
            kept.append(_Candidate(_configured(made, section), keys, identity))
    for name, section in sections.items():
        if section.hide and name not in seen and (section.container or section.gemini):
            left_out.append(LeftOut(name, "vmi.toml hides it."))
        elif section.gemini:
            if batch_problem and section.mode != "online":
                left_out.append(LeftOut(name, f'{batch_problem} Or set mode = "online" in vmi.toml.'))
            else:
                kept.append(_gemini(name, section))
        elif section.container:
            kept.append(_container(name, section))
        elif snapshot is not None and name not in seen:
            where = f"project {snapshot.project} has no such model or endpoint in {snapshot.region}"
            left_out.append(LeftOut(name, f"vmi.toml names it, but {where}."))
    if only:
        left_out += [
            LeftOut(each.option.name, f"VMI_MODEL_NAME offers only {only}.") for each in kept if only not in each.keys
        ]
        kept = [each for each in kept if only in each.keys]
    options = sorted(_unique(kept), key=lambda option: (option.name.casefold(), option.name))
    return Options(tuple(options), tuple(sorted(left_out, key=lambda each: (each.name.casefold(), each.why))))


def _registered(
    snapshot: Snapshot | None, sections: Mapping[str, ModelSection], batch_problem: str | None
) -> Iterator[tuple[str, frozenset[str], str, ModelOption | str]]:
    """Name, keys, id, and the option or why there is none, for everything in the registry."""
    if snapshot is None:
        return
    for model in snapshot.models:
        keys = frozenset(filter(None, (model.display_name, model.id, model.name)))
        name = model.display_name.strip() or model.id
        made = _batch(model, name, _section(keys, sections), batch_problem)
        if isinstance(made, ModelOption):
            made = msgspec.structs.replace(made, endpoint=_answering(model, snapshot.endpoints))
        yield name, keys, model.id, made
    models = {_resource(model.name): model for model in snapshot.models}
    for endpoint in snapshot.endpoints:
        base = endpoint.display_name.strip() or endpoint.id
        name = f"{base} (endpoint)"
        keys = frozenset(filter(None, (endpoint.display_name, endpoint.id, endpoint.name, name)))
        yield name, keys, endpoint.id, _online(endpoint, name, _section(keys, sections), models)


def _section(keys: frozenset[str], sections: Mapping[str, ModelSection]) -> ModelSection:
    """The section that means this thing: the longest name wins, so an id beats a display name that others share."""
    own = (name for name in sections if not (sections[name].container or sections[name].gemini))
    names = sorted((name for name in own if name in keys), key=len)
    return sections[names[-1]] if names else _NO_SECTION


def _batch(model: VertexModel, name: str, section: ModelSection, problem: str | None) -> ModelOption | str:
    kind = _kind(model, section)
    if kind.why_not:
        return kind.why_not
    if "jsonl" not in model.input_formats:
        formats = ", ".join(model.input_formats)
        return (
            f"It takes no JSON Lines in batch jobs, only {formats}."
            if formats
            else "It cannot run in batch jobs; deploy it to an endpoint to use it."
        )
    if problem:
        return problem
    return ModelOption(
        name=name,
        predictor=Predictor.BATCH,
        model=model,
        task=kind.task,
        decoder=kind.decoder,
        class_names=model.class_names,
    )


def _online(
    endpoint: VertexEndpoint, name: str, section: ModelSection, models: Mapping[str, VertexModel]
) -> ModelOption | str:
    if not endpoint.deployed:
        return "No model is deployed on it."
    if endpoint.own_host:
        return "It is dedicated or private, with a host name of its own; only shared public endpoints can be used."
    deployed = max(endpoint.deployed, key=lambda each: each.traffic)
    known = models.get(_resource(deployed.model))
    if known is None:
        model = VertexModel(name=deployed.model, version=deployed.version, display_name=deployed.display_name)
    else:
        model = msgspec.structs.replace(known, version=deployed.version)
    labelled = msgspec.structs.replace(model, labels={**model.labels, **endpoint.labels})
    kind = _kind(labelled, section)
    if kind.why_not:
        return kind.why_not
    if model.automl and kind.task is not None and kind.task.takes_video:
        return "Vertex runs AutoML's video models in batch jobs only; choose the model itself."
    return ModelOption(
        name=name,
        predictor=Predictor.ONLINE,
        model=model,
        endpoint=endpoint.name,
        task=kind.task,
        decoder=kind.decoder,
        class_names=model.class_names,
    )


def _answering(model: VertexModel, endpoints: Sequence[VertexEndpoint]) -> str | None:
    """An endpoint whose every request this very version of the model answers; None when there is none."""
    for endpoint in endpoints:
        busy = [each for each in endpoint.deployed if each.traffic]
        if (
            not endpoint.own_host
            and busy
            and all(_resource(each.model) == _resource(model.name) and each.version == model.version for each in busy)
        ):
            return endpoint.name
    return None


def _kind(model: VertexModel, section: ModelSection) -> _Kind:
    """What to believe, strongest first: ``vmi.toml``, the labels ``vmi-task`` and ``vmi-decoder``, the schemas."""
    task, decoder, why_not = None, None, None
    metadata = _schema(model.metadata_schema_uri)
    prediction = _schema(model.prediction_schema_uri)
    if metadata in _SCHEMAS:
        task, decoder = _SCHEMAS[metadata]
    elif prediction in _PREDICTIONS:
        task, decoder = _PREDICTIONS[prediction]
        task = task or _INSTANCES.get(_schema(model.instance_schema_uri))
    elif model.automl:
        what = _OTHER_AUTOML.get(metadata) or (metadata or prediction).replace("_", " ") or "an unknown kind"
        why_not = f"It is an AutoML model for {what}, which cannot be run here."
    label = model.labels.get("vmi-task")
    if label:
        try:
            task, why_not = Task(label), None
        except ValueError:
            known = ", ".join(Task)
            return _Kind(why_not=f"Its label vmi-task is {label!r}; it must be one of {known}.")
    labelled = model.labels.get("vmi-decoder")
    if labelled and labelled.startswith("file:"):  # which code runs here, only vmi.toml says
        return _Kind(why_not="Its label vmi-decoder names a file. Set it as decoder in vmi.toml instead.")
    decoder = section.decoder or ("mapping" if section.mapping is not None else labelled or decoder)
    if section.task is not None or section.decoder is not None or section.mapping is not None:
        why_not = None
    return _Kind(section.task or task, decoder, why_not)


def _schema(uri: str) -> str:
    """``gs://.../automl_image_classification_1.0.0.yaml`` -> ``automl_image_classification``."""
    return re.sub(r"(_\d+(\.\d+)*)?(\.yaml)?$", "", uri.rsplit("/", 1)[-1])


def _resource(name: str) -> str:
    """``projects/P/locations/L/models/ID`` -> ``L/ID``: the project stands there by id or by number."""
    parts = name.split("/")
    return f"{parts[3]}/{parts[5]}" if len(parts) > 5 else name


def _configured(option: ModelOption, section: ModelSection) -> ModelOption:
    """The option with what its section says."""
    if section is _NO_SECTION:
        return option
    name = option.name
    if section.rename:
        name = f"{section.rename} (endpoint)" if option.predictor is Predictor.ONLINE else section.rename
    return msgspec.structs.replace(
        option,
        name=name,
        class_names=section.class_names or option.class_names,
        instance=section.instance,
        parameters=section.parameters,
        mapping=None if section.mapping is None else section.mapping.rules(),
        machine_type=section.machine_type or option.machine_type,
        batch_size=section.batch_size,
        metrics=section.metrics,
        exif=section.exif,
        delivery=section.delivery(),
        rerun=section.rerun,
        price=section.price(),
        budget=section.budget(),
        rules=MatchRules(
            threshold=section.threshold,
            classes=section.classes,
            unmapped=section.unmapped,
            text_feature=section.text_feature,
            thresholds=section.thresholds,
            top_k=section.top_k,
            nms_iou=section.nms_iou,
            nms_agnostic=section.nms_agnostic,
            min_size_px=section.min_size_px,
            simplify_px=section.simplify_px,
            max_annotations=section.max_annotations,
        ),
    )


def _container(name: str, section: ModelSection) -> _Candidate:
    option = ModelOption(
        name=name,
        predictor=Predictor.CONTAINER,
        container=section.container,
        task=section.task,
        decoder=section.decoder or ("mapping" if section.mapping is not None else None),
    )
    return _Candidate(_configured(option, section), frozenset((name,)), "vmi.toml")


def _gemini(name: str, section: ModelSection) -> _Candidate:
    option = ModelOption(
        name=name,
        predictor=Predictor.ONLINE if section.mode == "online" else Predictor.BATCH,
        decoder="gemini",
        gemini=section.gemini_rules(),
    )
    configured = msgspec.structs.replace(_configured(option, section), name=section.rename or name)
    return _Candidate(configured, frozenset((name,)), "vmi.toml")


def _unique(kept: Sequence[_Candidate]) -> list[ModelOption]:
    """Names made unique by the resource's id, so that they stay the same whatever order the registry lists in."""
    times = Counter(each.option.name for each in kept)
    return [
        each.option
        if times[each.option.name] == 1
        else msgspec.structs.replace(each.option, name=f"{each.option.name} [{each.id}]")
        for each in kept
    ]
