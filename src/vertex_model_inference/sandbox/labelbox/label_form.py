"""Annotations of one data row, put together as a label (or as a run's prediction)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from vertex_model_inference.sandbox.labelbox.store import Store

__all__ = ["assemble", "put_together"]

_PIECE = 500


def assemble(items: Iterable[tuple[str, str]]) -> tuple[str, str]:
    """A label's ``label_kind`` and ``annotations`` (JSON) of annotations as (place, JSON).

    What is stored as JSON is joined, not decoded, except for video, whose annotations are spread over frames.
    """
    places: dict[str, list[str]] = {}
    for place, text in items:
        places.setdefault(place, []).append(text)
    lists = {name: ",".join(places.get(name, ())) for name in ("objects", "classifications", "relationships")}
    if "video" in places:
        return "Video", orjson.dumps(_video([orjson.loads(text) for text in places["video"]], lists)).decode()
    metrics = f',"metrics":[{",".join(places["metrics"])}]' if "metrics" in places else ""
    body = ",".join(f'"{name}":[{items}]' for name, items in lists.items())
    return "Default", f"{{{body}{metrics}}}"


def _video(items: list[dict[str, Any]], lists: dict[str, str]) -> dict[str, Any]:
    frames: dict[str, dict[str, Any]] = {}
    segments: dict[str, list[list[int]]] = {}
    key_frames: dict[str, list[int]] = {}

    def at(frame: int) -> dict[str, Any]:
        return frames.setdefault(str(frame), {"objects": {}, "classifications": []})

    for item in items:
        feature_id = item["feature_id"]
        if "segments" in item:
            head = {name: value for name, value in item.items() if name not in ("segments", "classifications")}
            for segment in item["segments"]:
                numbers = [keyframe["frame"] for keyframe in segment["keyframes"]]
                segments.setdefault(feature_id, []).append([numbers[0], numbers[-1]])
                key_frames.setdefault(feature_id, []).extend(numbers)
                for keyframe in segment["keyframes"]:
                    at(keyframe["frame"])["objects"][feature_id] = {**head, **_keyframe(keyframe)}
        elif "masks" in item:
            for mask in item["masks"]:
                own_id = mask["feature_id"]
                numbers = sorted(int(number) for number in mask["frames"])
                key_frames.setdefault(own_id, []).extend(numbers)
                segments.setdefault(own_id, []).extend(_runs(numbers))
                head = {name: value for name, value in mask.items() if name != "frames"}
                for number in numbers:
                    at(number)["objects"][own_id] = {**head, "mask": {"url": mask["frames"][str(number)]}}
        else:
            for span, plain in _spans(item):
                segments.setdefault(feature_id, []).append([span["start"], span["end"]])
                for number in dict.fromkeys((span["start"], span["end"])):
                    key_frames.setdefault(feature_id, []).append(number)
                    at(number)["classifications"].append(plain)
    return {
        "objects": orjson.loads(f"[{lists['objects']}]"),
        "classifications": orjson.loads(f"[{lists['classifications']}]"),
        "relationships": orjson.loads(f"[{lists['relationships']}]"),
        "frames": dict(sorted(frames.items(), key=lambda pair: int(pair[0]))),
        "segments": segments,
        "key_frame_feature_map": key_frames,
    }


def _runs(numbers: list[int]) -> list[list[int]]:
    """First and last of the frames that follow each other."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return runs


def _spans(item: dict[str, Any]) -> Iterator[tuple[dict[str, int], dict[str, Any]]]:
    """A framed classification, once for each range of frames, with what is answered there."""
    if "frames" in item:
        plain = {name: value for name, value in item.items() if name != "frames"}
        for span in item["frames"]:
            yield span, plain
        return
    for name, answer in item.items():
        if name.endswith("radio_answer"):
            parts: list[tuple[dict[str, Any], Any]] = [(answer, {k: v for k, v in answer.items() if k != "frames"})]
        elif name.endswith("checklist_answers"):
            parts = [(one, [{k: v for k, v in one.items() if k != "frames"}]) for one in answer]
        elif name.endswith("text_answer"):
            parts = [(one, {**answer, "content": one["value"]}) for one in answer["content"]]
        else:
            continue
        for framed, plain_answer in parts:
            for span in framed.get("frames") or ():
                yield span, {**item, name: plain_answer}


def _keyframe(keyframe: dict[str, Any]) -> dict[str, Any]:
    names = {"bbox": "bounding_box"}
    shape = {names.get(name, name): keyframe[name] for name in ("bbox", "point", "line") if name in keyframe}
    return {"classifications": keyframe.get("classifications") or [], **shape}


def put_together(store: Store, import_id: str, project_id: str) -> None:
    """Make a label of an import's annotations for each data row; the annotations themselves are then forgotten."""
    piece: list[tuple[str, str, str]] = []
    for data_row_id, found in store.annotations.by_data_row(import_id):
        piece.append((data_row_id, *assemble(found)))
        if len(piece) == _PIECE:
            store.annotations.make_labels(project_id, import_id, piece)
            piece = []
    store.annotations.make_labels(project_id, import_id, piece)
    store.annotations.forget(import_id)
