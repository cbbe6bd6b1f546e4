"""Reads a model run back with the real labelbox SDK and measures its predictions against its labels."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

__all__ = ["Measure", "Score", "score"]

_SAME = 0.5
"""Overlap (intersection over union) from which a box or mask is the labelled one."""


class Measure(msgspec.Struct, frozen=True):
    """One figure: its name, its value in 0..1, and what it was measured on."""

    name: str
    value: float
    basis: str


class Score(msgspec.Struct, frozen=True):
    """What is in the model run.

    Attributes:
        rows: Data rows. ``predicted``: those with at least one prediction. ``annotations``: predictions in all.
        without_confidence: Predictions that came back without their confidence.
        measures: Figures against the labels.
    """

    rows: int
    predicted: int
    annotations: int
    without_confidence: int
    measures: tuple[Measure, ...]


def score(environment: dict[str, str], model_run_id: str, model_id: str) -> Score:
    """Export the model run with predictions and measure it.

    Args:
        environment: Of the sandbox (``SandboxConfig.environment``).
        model_run_id: The model run. ``model_id``: its model.
    """
    rows = predicted = annotations = bare = 0
    right = judged = 0
    boxes, masks, texts, words, messages = _Found(), _Found(), _Found(), _Found(), _Found()
    for row in _export(environment, model_run_id):
        run = row["experiments"][model_id]["runs"][model_run_id]
        predictions = [item for entry in run.get("predictions", ()) for item in _items(entry)]
        labels = [item for entry in run.get("labels", ()) for item in _items(entry)]
        rows += 1
        predicted += bool(predictions)
        annotations += len(predictions)
        bare += sum(1 for item in predictions if _confidence(item) is None)
        answers, truths = _answers(predictions), _answers(labels)
        if truths and str(run.get("data_split", "")).lower() == "test":
            judged += 1
            right += answers == truths
        told, meant = _about_messages(predictions), _about_messages(labels)
        messages.total += len(meant)
        messages.found += len(told & meant)
        for truth, best in _best(predictions, labels):
            boxes.add(found=best is not None)
            if best is not None and _text(truth) is not None:
                texts.add(found=_text(best) == _text(truth))
        headings = _words(labels)
        words.total += len(headings)
        words.found += len(headings & _words(predictions))
        masks.total += sum("mask" in item for item in labels)
        masks.found += _same_masks(predictions, labels)
    measures = []
    if judged:
        measures.append(Measure("accuracy", right / judged, f"{judged:,} labelled data rows of the test split"))
    if boxes.total:
        measures.append(boxes.measure("boxes found", f"labelled boxes, IoU >= {_SAME}"))
    if texts.total:
        measures.append(texts.measure("read exactly", "of those, to the character"))
    if words.total:
        measures.append(words.measure("words found", "labelled entities, token by token"))
    if messages.total:
        measures.append(messages.measure("messages right", "labelled messages"))
    if masks.total:
        measures.append(masks.measure("masks found", f"labelled masks, IoU >= {_SAME}"))
    return Score(rows, predicted, annotations, bare, tuple(measures))


@dataclass
class _Found:
    """How many of so many labels were found."""

    total: int = 0
    found: int = 0

    def add(self, *, found: bool) -> None:
        self.total += 1
        self.found += found

    def measure(self, name: str, of: str) -> Measure:
        return Measure(name, self.found / self.total, f"{self.found} of {self.total} {of}")


def _best(
    predictions: list[dict[str, Any]], labels: list[dict[str, Any]]
) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
    """Each labelled box with the predicted box of its feature that covers it best; None: none does well enough."""
    for truth in (item for item in labels if "bounding_box" in item):
        mine = [item for item in predictions if "bounding_box" in item and _place(item) == _place(truth)]
        best = max(mine, key=lambda box: _iou(box["bounding_box"], truth["bounding_box"]), default=None)
        good = best is not None and _iou(best["bounding_box"], truth["bounding_box"]) >= _SAME
        yield truth, best if good else None


def _place(box: dict[str, Any]) -> tuple[str, int | None]:
    """What two boxes must have in common to be of one thing: the feature, and the page of a document."""
    return box["name"], box.get("page_number")


def _same_masks(predictions: list[dict[str, Any]], labels: list[dict[str, Any]]) -> int:
    """How many labelled masks a predicted mask of the same feature covers well enough."""
    import numpy as np

    truths = [item for item in labels if "mask" in item]
    if not truths:
        return 0
    drawn = [(item["name"], _pixels(item["mask"]["url"])) for item in predictions if "mask" in item]
    count = 0
    for truth in truths:
        pixels = _pixels(truth["mask"]["url"])
        overlaps = [
            np.count_nonzero(mask & pixels) / np.count_nonzero(mask | pixels)
            for name, mask in drawn
            if name == truth["name"] and mask.shape == pixels.shape
        ]
        count += bool(max(overlaps, default=0.0) >= _SAME)
    return count


def _pixels(url: str) -> Any:
    """The pixels of an exported mask, height x width, from the sandbox's Labelbox."""
    import httpx2
    import numpy as np
    from PIL import Image

    answer = httpx2.get(url, timeout=60, trust_env=False)
    answer.raise_for_status()
    with Image.open(io.BytesIO(answer.content)) as image:
        return np.asarray(image.convert("L")) > 0


def _export(environment: dict[str, str], model_run_id: str) -> Iterator[dict[str, Any]]:
    from labelbox import Client

    base = environment["VMI_LABELBOX_URL"]
    client = Client(
        api_key=environment["LABELBOX_API_KEY"],
        endpoint=f"{base}/graphql",
        rest_endpoint=f"{base}/api/v1",
        enable_experimental=True,
    )
    task = client.get_model_run(model_run_id).export(params={"predictions": True, "model_run_details": True})
    task.wait_till_done()
    for output in task.get_buffered_stream():
        yield output.json


def _items(entry: dict[str, Any]) -> list[dict[str, Any]]:
    annotations = entry["annotations"]
    found = [*annotations.get("objects", ()), *annotations.get("classifications", ())]
    by_frame: dict[str, dict[str, Any]] = {}  # of videos: each thing once, as in the first frame that has it
    for frame in annotations.get("frames", {}).values():
        for item in (*frame["objects"].values(), *frame["classifications"]):
            by_frame.setdefault(item["feature_id"], item)
    return [*found, *by_frame.values()]


def _confidence(item: dict[str, Any]) -> float | None:
    answer = item.get("radio_answer") or item.get("conversational_radio_answer")
    if answer is None and item.get("checklist_answers"):
        answer = item["checklist_answers"][0]
    value = (answer or item).get("confidence")
    return float(value) if value is not None else None


def _answers(items: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(item["name"], item["radio_answer"]["name"]) for item in items if "radio_answer" in item}


def _about_messages(items: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    """Answers about messages of a conversation: question, message and option."""
    key = "conversational_radio_answer"
    return {(item["name"], item["message_id"], item[key]["name"]) for item in items if key in item}


def _words(items: list[dict[str, Any]]) -> set[tuple[Any, ...]]:
    """Entities of documents: their feature, and the tokens of each group on its page."""
    return {
        (item["name"], *((group["page_number"], group["id"], *group["tokens"]) for group in item["location"]["groups"]))
        for item in items
        if "groups" in item.get("location", {})
    }


def _text(item: dict[str, Any]) -> str | None:
    for nested in item.get("classifications", ()):
        if "text_answer" in nested:
            return str(nested["text_answer"]["content"])
    return None


def _iou(a: dict[str, float], b: dict[str, float]) -> float:
    width = min(a["left"] + a["width"], b["left"] + b["width"]) - max(a["left"], b["left"])
    height = min(a["top"] + a["height"], b["top"] + b["height"]) - max(a["top"], b["top"])
    if width <= 0 or height <= 0:
        return 0.0
    inner = width * height
    return inner / (a["width"] * a["height"] + b["width"] * b["height"] - inner)
