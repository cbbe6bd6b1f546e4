"""The classes that a model's metadata names, whoever wrote it.

Vertex AI says of a model's ``metadata`` only that its schema is the one at ``metadataSchemaUri``. Read here are, at any
depth of up to four: ``annotationSpecColors`` (``google/cloud/aiplatform/v1beta1/schema/annotation_spec_color.proto``:
``displayName`` and a ``color`` of ``red``, ``green``, ``blue`` from 0 to 1, absent where 0), as image segmentation has
it; ``id2label`` as Hugging Face's ``config.json`` has it; and lists of names under ``classNames``, ``classes``,
``labels``, ``labelNames`` or ``categories``. Where in AutoML segmentation's metadata the colours stand is written
nowhere that we found; hence the search.
"""

from __future__ import annotations

from typing import Any

__all__ = ["class_names_in"]

_LISTS = frozenset({"classnames", "classes", "labels", "labelnames", "categories", "displaynames"})
_DEPTH = 4
_MOST = 10_000
_LONGEST = 256


def class_names_in(metadata: Any) -> tuple[str, ...]:
    """The names of the classes, in the order of their numbers; with their colours (``road=#804080``) where it has some.

    Args:
        metadata: Any JSON value.

    Returns:
        Nothing where it names none, or more than 10,000.
    """
    found = _search(metadata, 0)
    sound = 0 < len(found) <= _MOST and all(0 < len(name) <= _LONGEST for name in found)
    return tuple(found) if sound and len(set(found)) == len(found) else ()


def _search(value: Any, depth: int) -> list[str]:
    if depth > _DEPTH or not isinstance(value, dict):
        return []
    for key, inner in value.items():
        found = _named(str(key).replace("_", "").replace("-", "").lower(), inner)
        if found:
            return found
    for inner in value.values():
        found = _search(inner, depth + 1)
        if found:
            return found
    return []


def _named(key: str, value: Any) -> list[str]:
    if key == "annotationspeccolors" and isinstance(value, list):
        made = [_coloured(entry) for entry in value]
        return [entry for entry in made if entry is not None] if None not in made else []
    if key in ("id2label", "idtolabel") and isinstance(value, dict):
        if not all(str(number).isdecimal() and isinstance(name, str) for number, name in value.items()):
            return []
        numbers = sorted(map(int, value))
        whole = numbers == list(range(len(numbers)))  # a gap would give all that follow another number
        return [name for _, name in sorted(value.items(), key=lambda item: int(item[0]))] if whole else []
    if key in _LISTS and isinstance(value, list) and value:
        names = [entry if isinstance(entry, str) else _name_of(entry) for entry in value]
        return [name for name in names if name] if all(names) else []
    return []


def _name_of(entry: Any) -> str | None:
    if not isinstance(entry, dict):
        return None
    return next((entry[key] for key in ("displayName", "name", "label") if isinstance(entry.get(key), str)), None)


def _coloured(entry: Any) -> str | None:
    if not isinstance(entry, dict):
        return None
    name = entry.get("displayName") or entry.get("annotationSpecDisplayName")
    colour = entry.get("color") or {}
    if not isinstance(name, str) or not isinstance(colour, dict):
        return None
    shares = [colour.get(part, 0.0) for part in ("red", "green", "blue")]
    if any(isinstance(each, bool) or not isinstance(each, int | float) or not 0 <= each <= 1 for each in shares):
        return None
    return f"{name}=#{''.join(f'{round(255 * each):02x}' for each in shares)}"
