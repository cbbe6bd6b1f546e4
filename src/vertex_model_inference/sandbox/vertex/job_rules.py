"""What a batch prediction job must be like to be accepted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vertex_model_inference.sandbox.vertex.automl import checked_parameters
from vertex_model_inference.sandbox.vertex.instances import Shape
from vertex_model_inference.sandbox.vertex.models import automl_kind
from vertex_model_inference.sandbox.vertex.objects import Objects
from vertex_model_inference.sandbox.vertex.wire import ApiError, bucket_and_name, invalid, validate_labels

__all__ = ["check_common", "check_for_gemini", "check_for_model", "check_places", "shape_of"]


def check_common(job: Mapping[str, Any]) -> None:
    """Rules that hold for all models.

    Raises:
        ApiError: A field is missing or malformed.
    """
    if not job.get("displayName"):
        raise invalid("Required field is not set: batch_prediction_job.display_name.")
    if len(job["displayName"]) > 128:
        raise invalid("Invalid batch_prediction_job.display_name: at most 128 characters are allowed.")
    validate_labels(job.get("labels", {}))
    if job.get("unmanagedContainerModel"):
        raise ApiError("UNIMPLEMENTED", "The sandbox serves registered models only, not unmanaged_container_model.")
    if not job.get("model"):
        raise invalid("Required field is not set: batch_prediction_job.model.")
    source = job.get("inputConfig", {})
    if not source.get("instancesFormat"):
        raise invalid("Required field is not set: batch_prediction_job.input_config.instances_format.")
    if "bigquerySource" in source or "bigqueryDestination" in job.get("outputConfig", {}):
        raise ApiError("UNIMPLEMENTED", "The sandbox reads and writes Cloud Storage only, not BigQuery.")
    uris = source.get("gcsSource", {}).get("uris", [])
    if not uris:
        raise invalid("Required field is not set: batch_prediction_job.input_config.gcs_source.uris.")
    for uri in uris:
        if not bucket_and_name(uri, "input_config.gcs_source.uris")[1]:
            raise invalid(f"Invalid input_config.gcs_source.uris: {uri!r} names no object.")
    target = job.get("outputConfig", {})
    if not target.get("predictionsFormat"):
        raise invalid("Required field is not set: batch_prediction_job.output_config.predictions_format.")
    prefix = target.get("gcsDestination", {}).get("outputUriPrefix")
    if not prefix:
        raise invalid(
            "Required field is not set: batch_prediction_job.output_config.gcs_destination.output_uri_prefix."
        )
    bucket_and_name(prefix, "output_config.gcs_destination.output_uri_prefix")


def check_for_model(job: Mapping[str, Any], model: Mapping[str, Any]) -> None:
    """Rules that depend on the model.

    Raises:
        ApiError: A format that the model does not support, a bad ``instanceConfig``, or resources missing.
    """
    given = job["inputConfig"]["instancesFormat"]
    if given not in model["supportedInputStorageFormats"]:
        raise invalid(
            f"Invalid input_config.instances_format {given!r}: model {model['name']} supports "
            f"{', '.join(model['supportedInputStorageFormats'])}."
        )
    wanted = job["outputConfig"]["predictionsFormat"]
    if wanted not in model["supportedOutputStorageFormats"]:
        raise invalid(
            f"Invalid output_config.predictions_format {wanted!r}: model {model['name']} supports "
            f"{', '.join(model['supportedOutputStorageFormats'])}."
        )
    config = job.get("instanceConfig", {})
    kind = automl_kind(model)
    if kind:
        if config:
            raise invalid(f"instance_config is not supported for AutoML models; {model['name']} is one.")
        checked_parameters(job.get("modelParameters"), kind)
        return
    if config.get("includedFields") and config.get("excludedFields"):
        raise invalid("Invalid instance_config: included_fields and excluded_fields must not both be set.")
    if config.get("instanceType", "object") not in ("object", "array", ""):
        raise invalid(f"Invalid instance_config.instance_type {config['instanceType']!r}: expected object or array.")
    key = config.get("keyField")
    if key and key in config.get("includedFields", []):
        raise invalid(f"Invalid instance_config: the key_field {key!r} must not be in included_fields.")
    if given == "file-list" and config:
        raise invalid("instance_config is not supported for instances_format file-list.")
    resources = job.get("dedicatedResources", {})
    if not resources.get("machineSpec", {}).get("machineType"):
        raise invalid(
            "Required field is not set: batch_prediction_job.dedicated_resources.machine_spec.machine_type "
            "(custom-trained models need dedicated resources)."
        )


def check_for_gemini(job: Mapping[str, Any]) -> None:
    """Rules of Gemini's batch jobs: one JSON Lines file, and nothing that is about machines or instances.

    Raises:
        ApiError: One is broken.
    """
    if len(job["inputConfig"]["gcsSource"]["uris"]) != 1 or "*" in job["inputConfig"]["gcsSource"]["uris"][0]:
        raise invalid("Invalid input_config.gcs_source.uris: a Gemini batch job takes exactly one file.")
    for config, field in (("inputConfig", "instancesFormat"), ("outputConfig", "predictionsFormat")):
        if job[config][field] != "jsonl":
            raise invalid(f"Invalid {field} {job[config][field]!r}: Gemini batch jobs take jsonl.")
    for field in ("instanceConfig", "dedicatedResources", "modelParameters"):
        if job.get(field):
            raise invalid(f"{field} is not supported for publisher models.")


def shape_of(job: Mapping[str, Any], model: Mapping[str, Any]) -> Shape:
    """How the job's input becomes instances; rows of CSV become arrays where the job does not say."""
    config = job.get("instanceConfig", {})
    given = job["inputConfig"]["instancesFormat"]
    kind = config.get("instanceType") or ("array" if given == "csv" else "object")
    return Shape(
        format=given,
        automl=automl_kind(model),
        key_field=config.get("keyField", ""),
        included=tuple(config.get("includedFields", [])),
        excluded=tuple(config.get("excludedFields", [])),
        array=kind == "array",
    )


async def check_places(job: Mapping[str, Any], region: str, objects: Objects) -> None:
    """Input and output must be in the region of the model, or in a multi-region that contains it.

    Raises:
        ApiError: A bucket is elsewhere or does not exist.
    """
    for uri in job["inputConfig"]["gcsSource"]["uris"]:
        await objects.check_region(uri, region, "input_config.gcs_source.uris")
    prefix = job["outputConfig"]["gcsDestination"]["outputUriPrefix"]
    await objects.check_region(prefix, region, "output_config.gcs_destination.output_uri_prefix")
