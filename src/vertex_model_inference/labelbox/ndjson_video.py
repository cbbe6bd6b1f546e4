"""What is said of videos, as ``ndjson`` writes it: tracks as segments of key frames, masks, and frames of answers.

The form is what the ``labelbox`` SDK 7.17.0 writes (``data/serialization/ndjson/{classification,objects,label}.py``).
Frames count from 1, ranges include both ends.

* Tracks have no confidence: the SDK and Labelbox's documentation have none for objects in frames, and the row would be
  refused. Answers about the object stand on each key frame (on those in which they hold, where they have frames).
* A mask is a picture for each frame, in it the object's pixels in one colour on black, named under ``instances``. Each
  object is a row of its own, so that objects may overlap.
* Frames of a radio, and of a checklist whose answers all have the same, stand on the row, as the SDK writes them; where
  the answers of a checklist have each their own they stand on the answers, as the documentation has it
  (docs.labelbox.com/reference/import-video-annotations).
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from math import floor
from typing import Any

from vertex_model_inference.annotations import Answer, Checklist, FreeText, Question, Radio, VideoBox, VideoMask
from vertex_model_inference.geometry.runs import decode

__all__ = ["COLOR", "frames_of", "ranges", "segments", "video_masks"]

COLOR = (255, 255, 255)
"""Of the object in the pictures of its masks; all else is black."""

Write = Callable[[Question], dict[str, Any]]


def segments(track: VideoBox, write: Write) -> dict[str, Any]:
    """The part of a track's row that tells where it is.

    Pixels are rounded to 1/100 as boxes are: opposite edges, not sizes.

    Args:
        track: With rising key frames.
        write: Writes a nested answer.
    """
    return {
        "classifications": [],
        "segments": [
            {
                "keyframes": [
                    {
                        "frame": key.frame,
                        "bbox": _box(key.left, key.top, key.left + key.width, key.top + key.height),
                        "classifications": [
                            write(question)
                            for one in track.classifications
                            if (question := _in_frame(one, key.frame)) is not None
                        ],
                    }
                    for key in segment
                ]
            }
            for segment in track.segments
        ],
    }


def _box(left: float, top: float, right: float, bottom: float) -> dict[str, float]:
    x0, y0 = floor(left * 100 + 0.5), floor(top * 100 + 0.5)
    x1, y1 = floor(right * 100 + 0.5), floor(bottom * 100 + 0.5)
    return {"top": y0 / 100, "left": x0 / 100, "height": (y1 - y0) / 100, "width": (x1 - x0) / 100}


def _in_frame(question: Question, frame: int) -> Question | None:
    """The question as it is answered in one frame; None: it is not."""
    if isinstance(question, FreeText):
        return question
    if isinstance(question, Radio):
        answer = _held(question.answer, frame)
        return None if answer is None else Radio(question.name, question.feature_schema_id, answer, question.by_id)
    held = tuple(one for each in question.answers if (one := _held(each, frame)) is not None)
    return Checklist(question.name, question.feature_schema_id, held, question.by_id) if held else None


def _held(answer: Answer, frame: int) -> Answer | None:
    if answer.frames and not any(first <= frame <= last for first, last in answer.frames):
        return None
    nested = tuple(one for each in answer.classifications if (one := _in_frame(each, frame)) is not None)
    return Answer(answer.name, answer.feature_schema_id, answer.confidence, answer.by_id, nested)


def video_masks(mask: VideoMask) -> dict[str, Any]:
    """The part of a row that has an object's masks.

    Raises:
        MalformedRunsError: The run lengths of a frame do not describe it; match gives none such.
    """
    instance: dict[str, Any] = {"name": mask.name}
    if mask.by_id:
        instance["featureSchemaId"] = mask.feature_schema_id
    instance["colorRGB"] = list(COLOR)
    frames = [
        {"index": frame.frame, "imBytes": base64.b64encode(_picture(frame.counts, mask.width, mask.height)).decode()}
        for frame in mask.frames
    ]
    return {"masks": {"frames": frames, "instances": [instance]}}


def _picture(counts: bytes, width: int, height: int) -> bytes:
    """A PNG of two colours, black and ``COLOR``; a palette, since that is a fraction of the size of three channels."""
    from PIL import Image

    image = Image.fromarray(decode(counts, width, height).astype("uint8"), "P")
    image.putpalette((0, 0, 0, *COLOR))
    out = io.BytesIO()
    image.save(out, "PNG", bits=1)
    return out.getvalue()


def frames_of(question: Question) -> tuple[list[dict[str, int]], bool]:
    """Where the frames of a question's answers are written.

    Returns:
        Ranges for the row (none: there are none), and whether the answers have ranges of their own instead.
    """
    if isinstance(question, Radio):
        return ranges(question.answer), False
    if not isinstance(question, Checklist) or not any(answer.frames for answer in question.answers):
        return [], False
    if all(answer.frames == question.answers[0].frames for answer in question.answers):
        return ranges(question.answers[0]), False
    return [], True


def ranges(answer: Answer) -> list[dict[str, int]]:
    """``[{"start", "end"}]`` of an answer."""
    return [{"start": first, "end": last} for first, last in answer.frames]
