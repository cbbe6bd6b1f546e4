"""Evaluation of model messages: which answer of a conversation is best."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from vertex_model_inference.sandbox.labelbox.validation.features import Feature
from vertex_model_inference.sandbox.labelbox.validation.problems import Problem, is_index

__all__ = ["check_message_task"]

_LISTS = {"message-multi-selection": "selectedMessages", "message-ranking": "rankedMessages"}


def check_message_task(task: Any, feature: Feature) -> Iterable[Problem]:
    """``{"format", "data"}`` in the format of the tool."""
    where = f"{feature.name!r}"
    if type(task) is not dict or set(task) != {"format", "data"} or type(task["data"]) is not dict:
        yield Problem("InvalidValue", f'messageEvaluationTask of {where} must be {{"format", "data"}}.')
        return
    if task["format"] != feature.kind:
        yield Problem(
            "AnnotationKindMismatch", f"{where} is a {feature.kind}; format {task['format']!r:.40} does not fit."
        )
        return
    data = task["data"]
    if not isinstance(data.get("parentMessageId"), str):
        yield Problem("MissingValue", f"{where} needs parentMessageId.")
    name = _LISTS.get(feature.kind)
    if name is None:
        messages = [data]
    elif isinstance(data.get(name), list) and data[name]:
        messages = data[name]
    else:
        yield Problem("MissingValue", f"{where} needs a non-empty list {name}.")
        return
    for message in messages:
        form = message if isinstance(message, dict) else {}
        if not isinstance(form.get("messageId"), str) or not isinstance(form.get("modelConfigName"), str):
            yield Problem("MissingValue", f"A message of {where} needs messageId and modelConfigName.")
        elif feature.kind == "message-ranking" and not is_index(form.get("order"), 1):
            yield Problem("InvalidValue", f"A ranked message of {where} needs its order, from 1.")
