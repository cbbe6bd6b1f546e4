"""The list of a model's classes, from whoever knows it; nothing is predicted for it, so nothing is paid for.

In this order: ``class_names`` of ``vmi.toml``; the model's metadata in the registry (``vertex/metadata.py``); its
evaluation, whose slices along ``annotationSpec`` are its classes
(https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.models.evaluations.slices), as AutoML
makes one of each model it trains; of plain containers their ``/info`` and ``/metadata`` next to the predict route,
where a Hugging Face server tells its ``id2label``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx2
import msgspec

from vertex_model_inference.models import ModelOption, VertexModel
from vertex_model_inference.vertex.metadata import class_names_in

__all__ = ["ClassList", "class_list"]

_TIMEOUT = httpx2.Timeout(10.0, connect=3.0)
_LARGEST = 4_000_000
"""Bytes of an answer that is read; more is no list of classes."""
_PAGES = 100
_ANY = msgspec.json.Decoder()


class ClassList(msgspec.Struct, frozen=True):
    """Classes and where they stand.

    Attributes:
        names: As the model gives them, in its order; none: nobody knows them.
        source: Who named them, e.g. ``the model's evaluation``; without names: who was asked in vain.
    """

    names: tuple[str, ...]
    source: str


def class_list(
    option: ModelOption, *, endpoint: str, headers: Callable[[], Mapping[str, str]], configured: bool = False
) -> ClassList:
    """The classes of an option's model. Never raises: who does not answer does not know.

    Args:
        option: Of the menu.
        endpoint: Base URL of Vertex AI.
        headers: Makes the headers that authorize a request to it.
        configured: The option's class names stand in ``vmi.toml``.
    """
    if option.class_names:
        names = tuple(_bare(name) for name in option.class_names)
        return ClassList(names, "class_names in vmi.toml" if configured else "the model's metadata")
    asked = ["class_names in vmi.toml"]
    if option.model is not None:
        asked += ["the model's metadata", "its evaluation"]
        with httpx2.Client(headers=dict(headers()), timeout=_TIMEOUT, follow_redirects=False) as client:
            names = _evaluated(client, endpoint, option.model)
        if names:
            return ClassList(names, "the model's evaluation")
    if option.container is not None:
        with httpx2.Client(timeout=_TIMEOUT, follow_redirects=False, trust_env=False) as client:
            for url in _beside(option.container):
                asked.append(url)
                names = tuple(map(_bare, class_names_in(_read(client, url, {}))))
                if names:
                    return ClassList(names, url)
    return ClassList((), ", ".join(asked))


def _bare(name: str) -> str:
    """``road=#804080`` -> ``road``: the colour is for the decoder."""
    label, equals, colour = name.rpartition("=#")
    return label if equals and len(colour) == 6 else name


def _evaluated(client: httpx2.Client, endpoint: str, model: VertexModel) -> tuple[str, ...]:
    """The classes that the newest evaluation with such slices was made for."""
    base = f"{endpoint}/v1/{model.name}@{model.version}"
    for place in (base, f"{endpoint}/v1/{model.name}"):
        for evaluation in _listed(client, f"{place}/evaluations", "modelEvaluations"):
            name = evaluation.get("name")
            if not isinstance(name, str):
                continue
            names: dict[str, None] = {}
            for each in _listed(client, f"{endpoint}/v1/{name}/slices", "modelEvaluationSlices"):
                where = each.get("slice")
                if isinstance(where, dict) and where.get("dimension") == "annotationSpec" and where.get("value"):
                    names[str(where["value"])] = None
            if names:
                return tuple(sorted(names))  # listed in no order that means anything
    return ()


def _listed(client: httpx2.Client, url: str, what: str) -> Iterator[dict[str, Any]]:
    token = ""
    for _ in range(_PAGES):
        page = _read(client, url, {"pageSize": "100", **({"pageToken": token} if token else {})})
        if not isinstance(page, dict):
            return
        items = page.get(what)
        yield from (item for item in (items if isinstance(items, list) else ()) if isinstance(item, dict))
        token = page.get("nextPageToken") or ""
        if not isinstance(token, str) or not token:
            return


def _beside(container: str) -> tuple[str, str]:
    """Where a container may tell about itself."""
    parts = urlsplit(container)
    folder = parts.path.rstrip("/").rpartition("/")[0]
    info, metadata = (urlunsplit((parts.scheme, parts.netloc, f"{folder}/{name}", "", "")) for name in _TELLING)
    return info, metadata


_TELLING = ("info", "metadata")


def _read(client: httpx2.Client, url: str, query: Mapping[str, str]) -> Any:
    """The JSON there; None for anything else."""
    try:
        with client.stream("GET", url, params=dict(query)) as response:
            if response.status_code != 200:
                return None
            body = b""
            for piece in response.iter_bytes():
                body += piece
                if len(body) > _LARGEST:
                    return None
        return _ANY.decode(body)
    except (httpx2.HTTPError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
