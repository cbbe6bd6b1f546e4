"""Models and their versions: upload, get, list, patch, delete."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from google.cloud.aiplatform_v1 import types as t

from vertex_model_inference.sandbox.vertex.containers import check_image
from vertex_model_inference.sandbox.vertex.filters import ordered, predicate
from vertex_model_inference.sandbox.vertex.operations import Operations
from vertex_model_inference.sandbox.vertex.store import Store
from vertex_model_inference.sandbox.vertex.wire import (
    Call,
    bucket_and_name,
    decode_body,
    failed_precondition,
    invalid,
    new_id,
    not_found,
    now,
    page_of,
    parse,
    validate_labels,
)

__all__ = ["Models", "automl_kind"]

KIND = "model"
_TYPE = "type.googleapis.com/google.cloud.aiplatform.v1."
_FILTERS = ("name", "model", "displayName", "labels", "createTime", "updateTime", "baseModelName")
_BASE = {"displayName", "description", "labels"}  # the same for all versions
_OF_VERSION = {"versionDescription", "metadata", "explanationSpec"}
_ALIAS = re.compile(r"[a-z][a-zA-Z0-9-]{0,126}[a-z0-9]\Z")
_AUTOML = re.compile(r".*/schema/model/metadata/automl_(\w+?)_\d+\.\d+\.\d+\.yaml\Z")


def automl_kind(model: Mapping[str, Any]) -> str | None:
    """``image_classification``, ``image_object_detection`` and so on for AutoML-style models, else None.

    AutoML models cannot be uploaded to the real service; here, an AutoML metadata schema makes a model one.
    """
    match = _AUTOML.match(str(model.get("metadataSchemaUri", "")))
    return match[1] if match else None


class Models:
    """The model registry.

    Args:
        store: Where they are kept: one document per model, ``{"default": version, "versions": {version: Model}}``.
        operations: Makes the long-running operations.
    """

    def __init__(self, store: Store, operations: Operations) -> None:
        self.store = store
        self.operations = operations

    # What other parts need

    def find(self, name: str, *, field: str = "model") -> dict[str, Any]:
        """A model version by resource name, perhaps with ``@version`` or ``@alias``; the default version without.

        Raises:
            ApiError: Not a model's name, or NOT_FOUND.
        """
        match = re.fullmatch(r"(projects/[^/]+/locations/[^/]+)/models/([^/@]+)(?:@([^/]+))?", name)
        if not match:
            raise invalid(f"Invalid {field}: {name!r} is not a model's resource name.")
        return self.version(match[1], match[2], match[3])

    def version(self, parent: str, id_: str, wanted: str | None) -> dict[str, Any]:
        """A model version by version id or alias, or the default one.

        Raises:
            ApiError: NOT_FOUND.
        """
        doc = self._doc(parent, id_)
        for version_id, model in doc["versions"].items():
            if wanted in (version_id, *model["versionAliases"]) or (wanted is None and version_id == doc["default"]):
                found: dict[str, Any] = model
                return found
        raise not_found("Model version", f"{parent}/models/{id_}@{wanted}")

    def _doc(self, parent: str, id_: str) -> dict[str, Any]:
        doc = self.store.get(KIND, parent, id_)
        if doc is None:
            raise not_found("Model", f"{parent}/models/{id_}")
        return doc

    # Calls

    async def upload(self, call: Call) -> dict[str, Any]:
        """``models.upload``: a new model, or with ``parentModel`` a new version."""
        request = parse(t.UploadModelRequest, decode_body(call.body), "upload_model_request")
        model = request.get("model")
        if not model:
            raise invalid("Required field is not set: model.")
        _check(model)
        moment = now()
        if request.get("parentModel"):
            parent_name = request["parentModel"].partition("@")[0]
            id_ = parent_name.rpartition("/")[2]
            if parent_name != f"{call.parent}/models/{id_}":
                raise invalid(f"Invalid parent_model {request['parentModel']!r}: it must be in {call.parent}.")
            doc = self._doc(call.parent, id_)
        else:
            id_ = request.get("modelId") or new_id()
            if not re.fullmatch(r"[a-z0-9_-]{1,63}", id_):
                raise invalid(f"Invalid model_id {id_!r}: up to 63 lower-case letters, digits, underscores and dashes.")
            if self.store.get(KIND, call.parent, id_):
                raise failed_precondition(f"The Model {call.parent}/models/{id_} exists already.")
            doc = {"default": "1", "versions": {}, "created": moment}
        version = str(max(map(int, doc["versions"]), default=0) + 1)
        aliases = list(model.pop("versionAliases", []))
        if not doc["versions"] and "default" not in aliases:
            aliases.append("default")
        for alias in aliases:
            _check_alias(alias)
        doc["versions"][version] = {
            **_without_outputs(model),
            **_outputs(model),
            "name": f"{call.parent}/models/{id_}",
            "versionId": version,
            "versionAliases": [],
            "createTime": doc["created"],
            "updateTime": moment,
            "versionCreateTime": moment,
            "versionUpdateTime": moment,
            "etag": f"AMEw9yM{version}",
        }
        _give_aliases(doc, version, aliases)
        self.store.put(KIND, call.parent, id_, doc)
        return self.operations.done(
            f"{call.parent}/models/{id_}",
            {
                "@type": f"{_TYPE}UploadModelResponse",
                "model": f"{call.parent}/models/{id_}",
                "modelVersionId": version,
            },
            metadata_type=f"{_TYPE}UploadModelOperationMetadata",
        )

    async def get(self, call: Call) -> dict[str, Any]:
        """``models.get``."""
        model = self.version(call.parent, call.ids["id"], call.ids.get("version"))
        return self._shown(model)

    def _shown(self, model: dict[str, Any]) -> dict[str, Any]:
        deployed = []
        for _, _, endpoint in self.store.everywhere("endpoint"):
            deployed += [
                {"endpoint": endpoint["name"], "deployedModelId": item["id"]}
                for item in endpoint.get("deployedModels", [])
                if item["model"] == model["name"] and item["modelVersionId"] == model["versionId"]
            ]
        return {**model, "deployedModels": deployed} if deployed else model

    async def list(self, call: Call) -> dict[str, Any]:
        """``models.list``: the default version of each model."""
        test = predicate(call.query.get("filter", ""), _FILTERS)
        models = []
        for doc in self.store.all(KIND, call.parent):
            model = doc["versions"][doc["default"]]
            if test({**model, "model": model["name"].rpartition("/")[2]}):
                models.append(model)
        return page_of(ordered(models, call.query.get("orderBy", ""), _FILTERS), call, "models")

    async def list_versions(self, call: Call) -> dict[str, Any]:
        """``models.listVersions``: names carry ``@version``."""
        test = predicate(call.query.get("filter", ""), _FILTERS)
        doc = self._doc(call.parent, call.ids["id"])
        versions = [
            {**model, "name": f"{model['name']}@{model['versionId']}"}
            for _, model in sorted(doc["versions"].items(), key=lambda item: -int(item[0]))
            if test(model)
        ]
        return page_of(versions, call, "models")

    async def patch(self, call: Call) -> dict[str, Any]:
        """``models.patch`` with an update mask."""
        changes = parse(t.Model, decode_body(call.body), "model")
        wanted = self.version(call.parent, call.ids["id"], call.ids.get("version"))["versionId"]
        mask = [
            re.sub(r"_(\w)", lambda match: match[1].upper(), part)
            for part in (call.query.get("updateMask") or call.query.get("update_mask") or "").split(",")
            if part
        ]
        if not mask:
            raise invalid("Required field is not set: update_mask.")
        doc = self._doc(call.parent, call.ids["id"])
        moment = now()
        for field in mask:
            if field not in _BASE | _OF_VERSION:
                raise invalid(f"Invalid update_mask: {field!r} cannot be updated.")
            if field in _BASE and "version" in call.ids:
                raise invalid(f"Invalid update_mask: {field!r} belongs to the model; name it without a version.")
        for id_, version in doc["versions"].items():
            for field in _BASE.intersection(mask) | (_OF_VERSION.intersection(mask) if id_ == wanted else set()):
                version.pop(field, None)
                if field in changes:
                    version[field] = changes[field]
            _check(version)
            version["updateTime"] = moment
        doc["versions"][wanted]["versionUpdateTime"] = moment
        self.store.put(KIND, call.parent, call.ids["id"], doc)
        patched: dict[str, Any] = doc["versions"][wanted]
        return patched

    async def delete(self, call: Call) -> dict[str, Any]:
        """``models.delete``: refused while a version is deployed."""
        doc = self._doc(call.parent, call.ids["id"])
        for model in doc["versions"].values():
            self._refuse_deployed(model)
        self.store.delete(KIND, call.parent, call.ids["id"])
        return self.operations.empty(f"{call.parent}/models/{call.ids['id']}")

    async def delete_version(self, call: Call) -> dict[str, Any]:
        """``models.deleteVersion``: not the default one."""
        doc = self._doc(call.parent, call.ids["id"])
        model = self.version(call.parent, call.ids["id"], call.ids.get("version"))
        if model["versionId"] == doc["default"]:
            raise failed_precondition("The default version cannot be deleted; delete the model, or move the alias.")
        self._refuse_deployed(model)
        del doc["versions"][model["versionId"]]
        self.store.put(KIND, call.parent, call.ids["id"], doc)
        return self.operations.empty(f"{call.parent}/models/{call.ids['id']}")

    def _refuse_deployed(self, model: dict[str, Any]) -> None:
        if self._shown(model).get("deployedModels"):
            raise failed_precondition(f"The Model {model['name']} is deployed to an endpoint; undeploy it first.")

    async def merge_aliases(self, call: Call) -> dict[str, Any]:
        """``models.mergeVersionAliases``: adds aliases, removes those with a dash before them."""
        aliases = decode_body(call.body).get("versionAliases") or []
        doc = self._doc(call.parent, call.ids["id"])
        version = self.version(call.parent, call.ids["id"], call.ids.get("version"))["versionId"]
        for alias in aliases:
            _check_alias(str(alias).removeprefix("-"))
            if alias == "-default":
                raise invalid("The alias default cannot be removed, only given to another version.")
        gone = {alias[1:] for alias in aliases if alias.startswith("-")}
        model = doc["versions"][version]
        model["versionAliases"] = [alias for alias in model["versionAliases"] if alias not in gone]
        _give_aliases(doc, version, [alias for alias in aliases if not alias.startswith("-")])
        model["versionUpdateTime"] = now()
        self.store.put(KIND, call.parent, call.ids["id"], doc)
        shown: dict[str, Any] = model
        return shown


def _check_alias(alias: str) -> None:
    if not _ALIAS.match(alias):
        raise invalid(f"Invalid version alias {alias!r}: expected [a-z][a-zA-Z0-9-]{{0,126}}[a-z0-9].")


def _give_aliases(doc: dict[str, Any], version: str, aliases: list[str]) -> None:
    for model in doc["versions"].values():
        model["versionAliases"] = [alias for alias in model["versionAliases"] if alias not in aliases]
    doc["versions"][version]["versionAliases"] += aliases
    if "default" in aliases:
        doc["default"] = version


def _check(model: Mapping[str, Any]) -> None:
    display_name = model.get("displayName", "")
    if not display_name:
        raise invalid("Required field is not set: model.display_name.")
    if len(display_name) > 128:
        raise invalid(f"Invalid model.display_name: it has {len(display_name)} characters; at most 128 are allowed.")
    validate_labels(model.get("labels", {}))
    spec = model.get("containerSpec")
    if not spec or not spec.get("imageUri"):
        raise invalid("Required field is not set: model.container_spec.image_uri.")
    check_image(spec["imageUri"])
    for field in ("predictRoute", "healthRoute"):
        if spec.get(field) and not spec[field].startswith("/"):
            raise invalid(f"Invalid model.container_spec.{field}: {spec[field]!r} must start with a slash.")
    if model.get("artifactUri"):
        bucket_and_name(model["artifactUri"], "model.artifact_uri")


_OUTPUT_ONLY = (
    "name",
    "versionCreateTime",
    "versionUpdateTime",
    "supportedExportFormats",
    "trainingPipeline",
    "deployedModels",
    "originalModelInfo",
    "metadataArtifact",
    "satisfiesPzs",
    "satisfiesPzi",
)


def _without_outputs(model: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in model.items() if key not in _OUTPUT_ONLY}


def _outputs(model: Mapping[str, Any]) -> dict[str, Any]:
    """Output-only fields, as far as they follow from what was uploaded."""
    kind = automl_kind(model)
    if kind:
        return {
            "modelSourceInfo": {"sourceType": "AUTOML"},
            # "AutoML video models do not support online predictions."
            "supportedDeploymentResourcesTypes": [] if kind.startswith("video_") else ["AUTOMATIC_RESOURCES"],
            "supportedInputStorageFormats": ["jsonl"],
            "supportedOutputStorageFormats": ["jsonl"],
        }
    return {
        "modelSourceInfo": {"sourceType": "CUSTOM"},
        "supportedDeploymentResourcesTypes": ["DEDICATED_RESOURCES"],
        # Those of the service's formats that the sandbox reads and writes.
        "supportedInputStorageFormats": ["jsonl", "csv", "file-list"],
        "supportedOutputStorageFormats": ["jsonl"],
    }
