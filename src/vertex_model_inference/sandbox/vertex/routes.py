"""Paths of the Vertex AI REST API (``services/*/transports/rest_base.py`` of google-cloud-aiplatform 2.7)."""

from __future__ import annotations

import re
from urllib.parse import unquote

import msgspec

__all__ = ["Route", "route"]


class Route(msgspec.Struct, frozen=True):
    """What a path asks for.

    Attributes:
        operation: E.g. ``models.list``; also the name that fault rules match.
        parent: ``projects/P/locations/L``, or empty. ``location``: ``L``, or empty.
        ids: Other names in the path.
    """

    operation: str
    parent: str
    location: str
    ids: dict[str, str]


_ID = r"(?P<id>[^/:@]+)"
_VERSIONED = _ID + r"(?:@(?P<version>[^/:]+))?"
_OPERATION = r"(?:(?:models|endpoints|batchPredictionJobs)/[^/:]+/)?operations/(?P<operation>[^/:]+)"
_PUBLISHER = r"publishers/(?P<publisher>[^/]+)/models"
_EVALUATION = rf"models/{_VERSIONED}/evaluations/(?P<evaluation>[^/:]+)"
_DEPLOYED = rf"endpoints/{_ID}/deployedModels/(?P<deployed>[^/:]+)"

_TABLE = [
    ("GET", "models", "models.list"),
    ("POST", "models:upload", "models.upload"),
    ("GET", f"models/{_VERSIONED}", "models.get"),
    ("GET", f"models/{_VERSIONED}:listVersions", "models.listVersions"),
    ("PATCH", f"models/{_VERSIONED}", "models.patch"),
    ("DELETE", f"models/{_ID}", "models.delete"),
    ("DELETE", f"models/{_VERSIONED}:deleteVersion", "models.deleteVersion"),
    ("POST", f"models/{_VERSIONED}:mergeVersionAliases", "models.mergeVersionAliases"),
    ("POST", f"models/{_VERSIONED}/evaluations:import", "models.evaluations.import"),
    ("GET", f"models/{_VERSIONED}/evaluations", "models.evaluations.list"),
    ("POST", f"{_EVALUATION}/slices:batchImport", "models.evaluations.slices.batchImport"),
    ("GET", f"{_EVALUATION}/slices", "models.evaluations.slices.list"),
    ("GET", "endpoints", "endpoints.list"),
    ("POST", "endpoints", "endpoints.create"),
    ("GET", f"endpoints/{_ID}", "endpoints.get"),
    ("PATCH", f"endpoints/{_ID}", "endpoints.patch"),
    ("DELETE", f"endpoints/{_ID}", "endpoints.delete"),
    ("POST", f"endpoints/{_ID}:deployModel", "endpoints.deployModel"),
    ("POST", f"endpoints/{_ID}:undeployModel", "endpoints.undeployModel"),
    ("POST", f"endpoints/{_ID}:predict", "endpoints.predict"),
    ("POST", f"endpoints/{_ID}:(?:rawPredict|streamRawPredict)", "endpoints.rawPredict"),
    ("POST", f"endpoints/{_ID}:(?:directPredict|directRawPredict|explain|serverStreamingPredict)", "endpoints.other"),
    ("POST", f"{_DEPLOYED}:predict", "endpoints.predict"),
    ("POST", f"{_DEPLOYED}:rawPredict", "endpoints.rawPredict"),
    ("GET", "batchPredictionJobs", "batchPredictionJobs.list"),
    ("POST", "batchPredictionJobs", "batchPredictionJobs.create"),
    ("GET", f"batchPredictionJobs/{_ID}", "batchPredictionJobs.get"),
    ("DELETE", f"batchPredictionJobs/{_ID}", "batchPredictionJobs.delete"),
    ("POST", f"batchPredictionJobs/{_ID}:cancel", "batchPredictionJobs.cancel"),
    ("GET", _OPERATION, "operations.get"),
    ("POST", f"{_OPERATION}:wait", "operations.wait"),
    ("POST", f"{_OPERATION}:cancel", "operations.cancel"),
    ("DELETE", _OPERATION, "operations.delete"),
    ("GET", _PUBLISHER, "publishers.models.list"),
    ("GET", rf"{_PUBLISHER}/{_ID}", "publishers.models.get"),
    ("POST", rf"{_PUBLISHER}/{_VERSIONED}:generateContent", "publishers.models.generateContent"),
    ("POST", rf"{_PUBLISHER}/{_VERSIONED}:streamGenerateContent", "publishers.models.streamGenerateContent"),
    ("POST", rf"{_PUBLISHER}/{_VERSIONED}:countTokens", "publishers.models.countTokens"),
]
_ROUTES = [(method, re.compile(pattern), operation) for method, pattern, operation in _TABLE]
# The generated clients ask for operations under /ui/, the first binding in their table.
_PREFIX = re.compile(r"/(?:v1|v1beta1|ui)/(?:(projects/[^/]+/locations/([^/]+))/)?(.*)", re.DOTALL)


def route(method: str, path: str) -> Route | None:
    """What a request asks for, or None when there is no such method.

    Args:
        method: HTTP method.
        path: Decoded URL path.
    """
    match = _PREFIX.fullmatch(unquote(path))
    if not match:
        return None
    parent, location, rest = match[1] or "", match[2] or "", match[3]
    for verb, pattern, operation in _ROUTES:
        if verb != method:
            continue
        found = pattern.fullmatch(rest)
        if found and (parent or operation.startswith("publishers.")):
            ids = {name: value for name, value in found.groupdict().items() if value is not None}
            return Route(operation, parent, location, ids)
    return None
