"""Which decoder reads a model's answers: by name, by the model's own metadata, or by the form of its first answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points

import msgspec

from vertex_model_inference.decoders.automl_classification import AutomlClassification
from vertex_model_inference.decoders.automl_detection import AutomlDetection
from vertex_model_inference.decoders.base import Decoder, Fit, clip, refuse, shortened
from vertex_model_inference.decoders.boxes_arrays import BoxesArrays
from vertex_model_inference.decoders.displaynames import DisplayNames
from vertex_model_inference.decoders.hf_classification import HfClassification
from vertex_model_inference.decoders.hf_detection import HfDetection
from vertex_model_inference.decoders.plain_label import PlainLabel
from vertex_model_inference.errors import DecodeError, UnknownOutputError
from vertex_model_inference.findings import Finding, FoundBox, FoundLabel, FoundText
from vertex_model_inference.models import ModelOption, Task
from vertex_model_inference.rows import DataRow

__all__ = ["GROUP", "LABEL", "by_name", "known_names", "recognise"]

GROUP = "vertex_model_inference.decoders"
"""Entry-point group of users' own decoders: name -> class (or function) taking the class names."""

LABEL = "vmi-decoder"
"""Label of a Vertex model that names its decoder; as labels allow no colon: ``boxes-arrays_xyxy_relative``."""

_BUILT_IN: dict[str, Callable[[Sequence[str]], Decoder]] = {
    "automl-classification": AutomlClassification,
    "automl-detection": AutomlDetection,
    "displaynames": DisplayNames,
    "hf-detection": HfDetection,
    "hf-classification": HfClassification,
    "boxes-arrays": BoxesArrays,
    "plain": PlainLabel,
}

_FITS: tuple[tuple[str, Callable[[bytes], Fit]], ...] = (  # the more particular form first
    ("automl-detection", AutomlDetection.fit),
    ("automl-classification", AutomlClassification.fit),
    ("displaynames", DisplayNames.fit),
    ("hf-detection", HfDetection.fit),
    ("hf-classification", HfClassification.fit),
    ("boxes-arrays", BoxesArrays.fit),
    ("plain", PlainLabel.fit),
)

_SCHEMAS = (  # part of the file name of gs://google-cloud-aiplatform/schema/... -> decoder
    ("image_object_detection", "automl-detection"),
    ("image_classification", "automl-classification"),
    ("text_classification", "automl-classification"),
    ("/classification_1", "automl-classification"),
)

_DETECTORS = {"automl-detection", "hf-detection", "boxes-arrays"}


def _plugins() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def known_names() -> tuple[str, ...]:
    """Names of all decoders, built-in and installed; loads none of them."""
    return (*_BUILT_IN, *sorted(name for name in _plugins() if name not in _BUILT_IN))


def by_name(name: str, class_names: Sequence[str] = ()) -> Decoder:
    """The decoder called ``name``; what follows a colon is its layout (``boxes-arrays:xywh:relative``).

    Raises:
        UnknownOutputError: There is none, or the user's own cannot be loaded.
    """
    base, _, layout = name.partition(":")
    if base == "boxes-arrays":
        return BoxesArrays(class_names, layout)
    if name in _BUILT_IN:
        return _BUILT_IN[name](class_names)
    point = _plugins().get(name)
    if point is None:
        raise UnknownOutputError(
            f"There is no decoder {name!r}.", hint=f"Known are: {', '.join(known_names())}.", decoder=name
        )
    try:
        made = point.load()(class_names)
    except Exception as error:
        raise UnknownOutputError(
            f"The decoder {name!r} ({point.value}) cannot be loaded: {type(error).__name__}: {error}.",
            hint="It must be a class that takes one argument, the sequence of class names.",
            decoder=name,
        ) from error
    if not callable(getattr(made, "decode", None)):
        raise UnknownOutputError(
            f"The decoder {name!r} ({point.value}) gives a {type(made).__name__} without a method decode.",
            hint="It needs decode(prediction: bytes, row: DataRow) -> tuple of findings.",
            decoder=name,
        )
    return _Checked(name, made)


class _Checked:
    """A user's own decoder, held to what the built-in ones promise: sound findings or a DecodeError."""

    def __init__(self, name: str, inner: Decoder) -> None:
        self.name = name
        self._inner = inner

    def decode(self, prediction: bytes, row: DataRow) -> tuple[Finding, ...]:
        try:
            findings = tuple(self._inner.decode(prediction, row))
        except DecodeError:
            raise
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise DecodeError(
                f"The decoder {self.name!r} failed on data row {row.id}: {what}.", decoder=self.name
            ) from error
        return tuple([self._checked(finding, f"finding {index}", row) for index, finding in enumerate(findings)])

    def _checked(self, finding: Finding, where: str, row: DataRow) -> Finding:
        wrong = _unsound(finding)
        if wrong:
            refuse(self.name, row, f"{where} {wrong}", "That is to be mended in the decoder.")
        if not isinstance(finding, FoundBox):
            return finding
        right, bottom = finding.left + finding.width, finding.top + finding.height
        left, top, width, height = clip(finding.left, finding.top, right, bottom, row, self.name, where)
        return msgspec.structs.replace(finding, left=left, top=top, width=width, height=height)


def _unsound(finding: object) -> str | None:
    """What is wrong with a finding of foreign code; None: nothing."""
    if not isinstance(finding, (FoundLabel, FoundBox, FoundText)):
        return f"is a {type(finding).__name__}, not a FoundLabel, FoundBox or FoundText"
    try:
        msgspec.convert(msgspec.to_builtins(finding), type(finding))
        for text in (finding.label, getattr(finding, "text", None)):
            (text or "").encode()
    except (ValueError, TypeError) as error:  # also a lone surrogate, which no JSON can carry
        return f"is not valid: {error}"
    if finding.confidence is not None and not 0.0 <= finding.confidence <= 1.0:
        return f"has the confidence {finding.confidence!r}, it must be from 0 to 1"
    return None


def recognise(samples: Sequence[bytes], option: ModelOption) -> Decoder:
    """The decoder for a model: the one that is set, else what its metadata says, else what its answers look like.

    A decoder must read most of the answers, not all: one that is broken is the failure of its own row.

    Args:
        samples: Raw JSON of the first answers (``prediction`` values).
        option: The menu's entry, with the Vertex model if there is one.

    Raises:
        UnknownOutputError: None fits, or several do; the message shows what the model answered.
    """
    named = option.decoder or _by_metadata(option)
    if named:
        return by_name(named, option.class_names)
    if not samples:
        raise UnknownOutputError(
            f"The model {option.name!r} has given no answer by which to know its form.", hint=_HINT, option=option.name
        )
    votes = []
    for name, fit in _FITS:
        fits = [fit(sample) for sample in samples]
        read = sum(one.form for one in fits)
        if read > len(samples) / 2:
            votes.append((read, name, any(one.content for one in fits)))
    most = max((read for read, _, _ in votes), default=0)
    fitting = [(name, content) for read, name, content in votes if read == most]
    with_content = [name for name, content in fitting if content]
    if len(fitting) == 1:  # also without content: no other form is like it
        with_content = [fitting[0][0]]
    if not with_content and option.task is not None:  # all answers are empty: the task can still decide
        detects = option.task is Task.IMAGE_OBJECT_DETECTION
        with_content = [name for name, _ in fitting if (name in _DETECTORS) is detects]
    if not with_content:
        raise _not_known(samples, option, empty=bool(fitting))
    chosen = with_content[0]
    if chosen == "boxes-arrays" and not all(
        BoxesArrays.implies_layout(sample) for sample in samples if BoxesArrays.fit(sample).form
    ):
        raise UnknownOutputError(
            f"The model {option.name!r} answers arrays of boxes, and nothing says in which order their four numbers "
            f"are. It answered: {shortened(samples[0])}",
            hint='Set decoder = "boxes-arrays:xyxy" (or xywh, cxcywh, yxyx; plus ":relative" for 0..1) in vmi.toml.',
            option=option.name,
        )
    return by_name(chosen, option.class_names)


_HINT = "Set decoder of the model in vmi.toml."


def _not_known(samples: Sequence[bytes], option: ModelOption, *, empty: bool) -> UnknownOutputError:
    shown = "; ".join(dict.fromkeys(shortened(sample) for sample in samples[:3]))
    why = "All its first answers are empty" if empty else "No decoder reads most of its first answers"
    return UnknownOutputError(
        f"How the model {option.name!r} answers is not known. {why}. It answered: {shown}",
        hint=f"{_HINT} Known are: {', '.join(known_names())}.",
        option=option.name,
    )


def _by_metadata(option: ModelOption) -> str | None:
    model = option.model
    if model is None:
        return None
    label = model.labels.get(LABEL) or model.labels.get(LABEL.replace("-", "_"))
    if label:
        return label.replace("_", ":") if label.startswith("boxes-arrays_") else label
    for uri in (model.prediction_schema_uri, model.metadata_schema_uri):
        # A custom model may point at schemas of its own, which say nothing to us.
        if model.automl or uri.startswith("gs://google-cloud-aiplatform/"):
            for part, name in _SCHEMAS:
                if part in uri:
                    return name
    return None
