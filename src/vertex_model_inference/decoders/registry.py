"""Which decoder reads a model's answers: by name, by the model's own metadata, or by the form of its first answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vertex_model_inference.decoders import own
from vertex_model_inference.decoders.automl_action_recognition import AutomlActionRecognition
from vertex_model_inference.decoders.automl_classification import AutomlClassification
from vertex_model_inference.decoders.automl_detection import AutomlDetection
from vertex_model_inference.decoders.automl_object_tracking import AutomlObjectTracking
from vertex_model_inference.decoders.automl_segmentation import AutomlSegmentation
from vertex_model_inference.decoders.automl_sentiment import AutomlSentiment
from vertex_model_inference.decoders.automl_text_extraction import AutomlTextExtraction
from vertex_model_inference.decoders.automl_video_classification import AutomlVideoClassification
from vertex_model_inference.decoders.base import Decoder, Fit, shortened
from vertex_model_inference.decoders.boxes_arrays import BoxesArrays
from vertex_model_inference.decoders.conversation import Conversation
from vertex_model_inference.decoders.displaynames import DisplayNames
from vertex_model_inference.decoders.document_pages import DocumentPages
from vertex_model_inference.decoders.frame_detections import FrameDetections
from vertex_model_inference.decoders.hf_classification import HfClassification
from vertex_model_inference.decoders.hf_detection import HfDetection
from vertex_model_inference.decoders.hf_segmentation import HfSegmentation
from vertex_model_inference.decoders.hf_token_classification import HfTokenClassification
from vertex_model_inference.decoders.keypoints import Keypoints
from vertex_model_inference.decoders.mapping import Mapping
from vertex_model_inference.decoders.owl_vit_v2 import OwlVitV2
from vertex_model_inference.decoders.paligemma import Paligemma
from vertex_model_inference.decoders.plain_label import PlainLabel
from vertex_model_inference.decoders.polygons import Polygons
from vertex_model_inference.decoders.rle_masks import RleMasks
from vertex_model_inference.decoders.sam_masks import SamMasks
from vertex_model_inference.decoders.spacy_entities import SpacyEntities
from vertex_model_inference.decoders.video_masks import VideoMasks
from vertex_model_inference.decoders.video_segments import VideoSegments
from vertex_model_inference.decoders.video_tracks import VideoTracks
from vertex_model_inference.errors import UnknownOutputError
from vertex_model_inference.models import MappingRules, ModelOption, Task

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
    "automl-segmentation": AutomlSegmentation,
    "automl-sentiment": AutomlSentiment,
    "automl-text-extraction": AutomlTextExtraction,
    "automl-video-classification": AutomlVideoClassification,
    "automl-object-tracking": AutomlObjectTracking,
    "automl-action-recognition": AutomlActionRecognition,
    "video-segments": VideoSegments,
    "video-tracks": VideoTracks,
    "frame-detections": FrameDetections,
    "video-masks": VideoMasks,
    "document-pages": DocumentPages,
    "conversation": Conversation,
    "hf-segmentation": HfSegmentation,
    "hf-token-classification": HfTokenClassification,
    "keypoints": Keypoints,
    "owl-vit-v2": OwlVitV2,
    "paligemma": Paligemma,
    "polygons": Polygons,
    "rle-masks": RleMasks,
    "sam-masks": SamMasks,
    "spacy-entities": SpacyEntities,
    "plain": PlainLabel,
}

_WITH_LAYOUT: dict[str, Callable[[Sequence[str], str], Decoder]] = {
    "boxes-arrays": BoxesArrays,
    "document-pages": DocumentPages,
    "video-segments": VideoSegments,
    "video-tracks": VideoTracks,
    "frame-detections": FrameDetections,
    "video-masks": VideoMasks,
}
"""Families whose name can go on behind a colon, with what their answers' numbers do not tell."""

_UNTOLD: dict[str, tuple[Callable[[bytes], Fit], Callable[[bytes], bool]]] = {
    "boxes-arrays": (BoxesArrays.fit, BoxesArrays.implies_layout),
    "video-tracks": (VideoTracks.fit, VideoTracks.implies_layout),
    "frame-detections": (FrameDetections.fit, FrameDetections.implies_layout),
}
"""Families whose boxes may be four bare numbers: whether an answer is of that form, whether it tells their order."""

_FITS: tuple[tuple[str, Callable[[bytes], Fit]], ...] = (  # the more particular form first
    ("automl-detection", AutomlDetection.fit),
    ("automl-text-extraction", AutomlTextExtraction.fit),
    ("automl-classification", AutomlClassification.fit),
    ("automl-segmentation", AutomlSegmentation.fit),
    ("automl-sentiment", AutomlSentiment.fit),
    ("automl-video-classification", AutomlVideoClassification.fit),
    ("automl-object-tracking", AutomlObjectTracking.fit),
    ("automl-action-recognition", AutomlActionRecognition.fit),
    ("video-masks", VideoMasks.fit),
    ("video-tracks", VideoTracks.fit),
    ("frame-detections", FrameDetections.fit),
    ("video-segments", VideoSegments.fit),
    ("document-pages", DocumentPages.fit),
    ("conversation", Conversation.fit),
    ("displaynames", DisplayNames.fit),
    ("hf-detection", HfDetection.fit),
    ("hf-segmentation", HfSegmentation.fit),
    ("hf-token-classification", HfTokenClassification.fit),
    ("rle-masks", RleMasks.fit),
    ("keypoints", Keypoints.fit),
    ("polygons", Polygons.fit),
    ("hf-classification", HfClassification.fit),
    ("boxes-arrays", BoxesArrays.fit),
    ("spacy-entities", SpacyEntities.fit),
    ("owl-vit-v2", OwlVitV2.fit),
    ("sam-masks", SamMasks.fit),
    ("paligemma", Paligemma.fit),
    ("plain", PlainLabel.fit),
)

_ALIASES = {"grounding-dino": HfDetection.name, "owl-vit": HfDetection.name}
"""Models of the Model Garden whose containers answer one of the forms above."""

_SCHEMAS = (  # part of the file name of gs://google-cloud-aiplatform/schema/... -> decoder
    ("image_object_detection", "automl-detection"),
    ("image_segmentation", "automl-segmentation"),
    ("text_extraction", "automl-text-extraction"),
    ("text_sentiment", "automl-sentiment"),
    ("video_classification", "automl-video-classification"),
    ("video_object_tracking", "automl-object-tracking"),
    ("video_action_recognition", "automl-action-recognition"),
    ("image_classification", "automl-classification"),
    ("text_classification", "automl-classification"),
    ("/classification_1", "automl-classification"),
)

_DETECTORS = {"automl-detection", "hf-detection", "boxes-arrays", "owl-vit-v2"}
_OF_VIDEO = {"automl-video-classification", "automl-object-tracking", "automl-action-recognition", *_WITH_LAYOUT}
_OF_VIDEO -= {"boxes-arrays", "document-pages"}


def known_names() -> tuple[str, ...]:
    """Names of all decoders, built-in and installed; loads none of them."""
    return (*_BUILT_IN, *sorted(name for name in own.installed(GROUP) if name not in _BUILT_IN))


def by_name(name: str, class_names: Sequence[str] = (), mapping: MappingRules | None = None) -> Decoder:
    """The decoder called ``name``; what follows a colon is its layout (``boxes-arrays:xywh:relative``) or file.

    Args:
        name: Of a built-in or installed decoder, or ``file:PATH:CLASS`` of a user's own.
        class_names: What numbers stand for.
        mapping: Of the model's section; only ``mapping`` needs it.

    Raises:
        UnknownOutputError: There is none, or the user's own cannot be loaded.
    """
    base, _, layout = name.partition(":")
    if base in _WITH_LAYOUT:
        return _WITH_LAYOUT[base](class_names, layout)
    name = _ALIASES.get(name, name)
    if name == Mapping.name:
        if mapping is None:
            raise UnknownOutputError(
                "The decoder 'mapping' needs to be told where things stand in an answer.",
                hint='Set [models."...".mapping] in vmi.toml; docs/models.md shows how.',
                decoder=name,
            )
        return Mapping(mapping, class_names)
    if name in _BUILT_IN:
        return _BUILT_IN[name](class_names)
    if name.startswith(own.FILE):
        return own.from_file(name, class_names)
    point = own.installed(GROUP).get(name)
    if point is None:
        raise UnknownOutputError(
            f"There is no decoder {name!r}.", hint=f"Known are: {', '.join(known_names())}.", decoder=name
        )
    return own.made(name, point.value, point.load, class_names)


def recognise(samples: Sequence[bytes], option: ModelOption) -> Decoder:
    """The decoder for a model: the one that is set, else what its metadata says, else what its answers look like.

    A decoder must read most of the answers, not all: one that is broken is the failure of its own row.

    Args:
        samples: Raw JSON of the first answers (``prediction`` values).
        option: The menu's entry, with the Vertex model if there is one.

    Raises:
        UnknownOutputError: None fits, or several do; the message shows what the model answered.
    """
    named = option.decoder or (Mapping.name if option.mapping is not None else _by_metadata(option))
    if named:
        return by_name(named, option.class_names, option.mapping)
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
        with_content = [
            name
            for name, _ in fitting
            if (name in _DETECTORS) is detects and (name in _OF_VIDEO) is option.task.takes_video
        ]
    if not with_content:
        raise _not_known(samples, option, empty=bool(fitting))
    chosen = with_content[0]
    if chosen in _UNTOLD and not all(
        _UNTOLD[chosen][1](sample) for sample in samples if _UNTOLD[chosen][0](sample).form
    ):
        raise UnknownOutputError(
            f"The model {option.name!r} answers arrays of boxes, and nothing says in which order their four numbers "
            f"are. It answered: {shortened(samples[0])}",
            hint=f'Set decoder = "{chosen}:xyxy" (or xywh, cxcywh, yxyx; plus ":relative" for 0..1) in vmi.toml.',
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
        return label.replace("_", ":") if label.partition("_")[0] in _WITH_LAYOUT else label
    for uri in (model.prediction_schema_uri, model.metadata_schema_uri):
        # A custom model may point at schemas of its own, which say nothing to us.
        if model.automl or uri.startswith("gs://google-cloud-aiplatform/"):
            for part, name in _SCHEMAS:
                if part in uri:
                    return name
    return None
