"""The normalized form of an ontology: checked when it comes in, and completed with ids."""

from __future__ import annotations

from typing import Any

from vertex_model_inference.sandbox.labelbox.ids import new_id

__all__ = ["CLASSIFICATIONS", "TOOLS", "OntologyFormError", "complete", "complete_feature"]

TOOLS = frozenset(
    {
        "rectangle",
        "polygon",
        "line",
        "point",
        "superpixel",
        "raster-segmentation",
        "named-entity",
        "edge",
        "marker",
        "cuboid",
        "3point",
        "message-single-selection",
        "message-multi-selection",
        "message-ranking",
        "fact-checking",
        "step-reasoning",
        "prompt-issue",
    }
)
CLASSIFICATIONS = frozenset(
    {"radio", "checklist", "text", "group", "date", "prompt", "response-radio", "response-checklist", "response-text"}
)
_WITH_OPTIONS = frozenset({"radio", "checklist", "response-radio", "response-checklist"})
_COLORS = ("#1CE6FF", "#FF34FF", "#FF4A46", "#008941", "#006FA6", "#A30059", "#7A4900", "#0000A6")


class OntologyFormError(ValueError):
    """The form is not one that Labelbox would take."""


def complete(form: Any) -> dict[str, Any]:
    """A copy of ``form`` in which every tool, classification and option, at every depth, has 25-character ids.

    Raises:
        OntologyFormError: It is not an ontology.
    """
    if not isinstance(form, dict):
        raise OntologyFormError("An ontology is an object with `tools` and `classifications`.")
    tools, questions = form.get("tools") or [], form.get("classifications") or []
    if not isinstance(tools, list) or not isinstance(questions, list):
        raise OntologyFormError("`tools` and `classifications` must be lists.")
    result = {
        **form,
        "tools": [_tool(tool, position) for position, tool in enumerate(tools)],
        "classifications": [_question(question, "") for question in questions],
    }
    _unique([tool["name"] for tool in result["tools"]], "tool", "the ontology")
    _unique([question["name"] for question in result["classifications"]], "classification", "the ontology")
    return result


def complete_feature(form: Any) -> dict[str, Any]:
    """Likewise for one tool or classification.

    Raises:
        OntologyFormError: It is neither.
    """
    if isinstance(form, dict) and "tool" in form:
        return _tool(form, 0)
    return _question(form, "")


def _ids(form: dict[str, Any]) -> dict[str, Any]:
    return {
        "schemaNodeId": form.get("schemaNodeId") or new_id(),
        "featureSchemaId": form.get("featureSchemaId") or new_id(),
    }


def _tool(form: Any, position: int) -> dict[str, Any]:
    if not isinstance(form, dict) or not isinstance(form.get("name"), str) or not form["name"]:
        raise OntologyFormError(f"Tool {position + 1} has no name.")
    if form.get("tool") not in TOOLS:
        raise OntologyFormError(f"Tool {form['name']!r} is of unknown kind {form.get('tool')!r}.")
    questions = [_question(question, form["name"]) for question in form.get("classifications") or []]
    _unique([question["name"] for question in questions], "classification", f"tool {form['name']!r}")
    return {
        **form,
        "required": bool(form.get("required")),
        "color": form.get("color") or _COLORS[position % len(_COLORS)],
        "classifications": questions,
        **_ids(form),
    }


def _question(form: Any, where: str) -> dict[str, Any]:
    name = isinstance(form, dict) and (form.get("instructions") or form.get("name"))
    if not name or not isinstance(name, str):
        raise OntologyFormError(f"A classification{f' of {where!r}' if where else ''} has no name.")
    if form.get("type") not in CLASSIFICATIONS:
        raise OntologyFormError(f"Classification {name!r} is of unknown type {form.get('type')!r}.")
    options = [_option(option, name, position) for position, option in enumerate(form.get("options") or [])]
    _unique([option["value"] for option in options], "option", f"classification {name!r}")
    if form["type"] in _WITH_OPTIONS and not options:
        raise OntologyFormError(f"Classification {name!r} ({form['type']}) has no options.")
    return {
        **form,
        "name": form.get("name") or name,
        "instructions": name,
        "required": bool(form.get("required")),
        "options": options,
        **_ids(form),
    }


def _option(form: Any, question: str, position: int) -> dict[str, Any]:
    value = isinstance(form, dict) and (form.get("value") or form.get("label"))
    if not value or not isinstance(value, str):
        raise OntologyFormError(f"Option {position + 1} of classification {question!r} has no value.")
    nested = [_question(item, f"{question}/{value}") for item in form.get("options") or []]
    return {
        **form,
        "label": form.get("label") or value,
        "value": value,
        "position": form.get("position", position),
        "options": nested,
        **_ids(form),
    }


def _unique(names: list[str], what: str, where: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise OntologyFormError(f"There are two {what}s named {name!r} in {where}.")
        seen.add(name)
