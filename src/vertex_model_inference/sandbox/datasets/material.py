"""What a data set is, before any of it is in the sandbox."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

from vertex_model_inference.rows import MediaType, Split

__all__ = ["AUTOML", "Families", "Line", "Material", "ModelPlan", "SeedRow"]
__all__ += ["automl", "in_family", "in_seeding_order", "stratified_splits"]

AUTOML = "gs://google-cloud-aiplatform/schema"


@dataclass(frozen=True)
class Line:
    """A line of text: its upright box in pixels of the picture, origin top left, and what is written there."""

    left: float
    top: float
    width: float
    height: float
    text: str


@dataclass(frozen=True)
class SeedRow:
    """One data row to be.

    Attributes:
        key: Its global key.
        split: Its split in the model run; the same however many rows are seeded.
        text: The text, of inline text rows.
        data: The bytes of the asset, of rows that are files in a bucket.
        mime_type: Of ``data``.
        answer: The ground truth, an option of a radio; None where nobody knows it.
        lines: The ground truth, lines of text in a picture; empty where there is none or nobody knows it.
    """

    key: str
    split: Split
    text: str | None = None
    data: bytes | None = None
    mime_type: str = "text/plain"
    answer: str | None = None
    lines: tuple[Line, ...] = ()


@dataclass(frozen=True)
class ModelPlan:
    """The Vertex model of a data set.

    Attributes:
        display_name: Its name in the registry.
        description: What it is, for people, with what was measured.
        image: ``sandbox/NAME``, a module of ``sandbox/containers``.
        artifact: ``model.npz``, or None for a model that comes with its package.
        metadata_schema_uri: Of AutoML models.
        instance_schema_uri: ``predictSchemata.instanceSchemaUri``; likewise ``prediction_schema_uri``.
        labels: The model's labels in the registry.
        predict_route: Of the container; other forms of its answers are below it.
        measured: What was measured on rows the model was not trained on, e.g. ``{"test_accuracy": 0.98}``.
    """

    display_name: str
    description: str
    image: str
    artifact: bytes | None = None
    metadata_schema_uri: str = ""
    instance_schema_uri: str = ""
    prediction_schema_uri: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    predict_route: str = "/predict"
    measured: dict[str, float] = field(default_factory=dict)


class Material(Protocol):
    """One of the data sets that ``vmi sandbox seed`` knows.

    Attributes:
        name: What the command calls it.
        title: One line for people.
        media_type: Of its data rows.
        default_rows: How many rows are seeded unless told otherwise; None: all.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def title(self) -> str: ...  # noqa: D102
    @property
    def media_type(self) -> MediaType: ...  # noqa: D102
    @property
    def default_rows(self) -> int | None: ...  # noqa: D102

    def ontology(self) -> dict[str, Any]:
        """Labelbox's normalized form, without ids."""
        ...

    def rows(self) -> list[SeedRow]:
        """All rows, in the order in which they are seeded: the first N are a fair sample."""
        ...

    def truth(self, row: SeedRow) -> list[dict[str, Any]]:
        """The row's ground truth as NDJSON annotations without ``uuid`` and ``dataRow``; empty where there is none."""
        ...

    def model(self) -> ModelPlan:
        """The model, trained (on the training split only) if it needs to be."""
        ...


@runtime_checkable
class Families(Protocol):
    """A data set whose model can be had in the forms of other model families too."""

    def families(self) -> list[ModelPlan]:
        """The same real model, answering as each of those families does."""
        ...


def in_family(plan: ModelPlan, form: str) -> ModelPlan:
    """A plan's model, answering in another family's form; its name says so, as it is not that family's own model.

    Args:
        plan: The model.
        form: One that its container has below the predict route.
    """
    return replace(
        plan,
        display_name=f"{plan.display_name} as {form}",
        description=f"{plan.description} It answers in the form of {form}, and is no model of that family.",
        metadata_schema_uri="",
        instance_schema_uri="",
        prediction_schema_uri="",
        predict_route=f"{plan.predict_route}/{form}",
        measured={},
    )


def automl(plan: ModelPlan, kind: str, prediction: str | None = None) -> ModelPlan:
    """A plan with AutoML's schemas, for models that answer as AutoML's do.

    Args:
        plan: The model.
        kind: ``image_segmentation``, ``text_extraction`` and so on.
        prediction: The prediction schema's name where it is not the kind's.
    """
    return replace(
        plan,
        metadata_schema_uri=f"{AUTOML}/model/metadata/automl_{kind}_1.0.0.yaml",
        instance_schema_uri=f"{AUTOML}/predict/instance/{kind}_1.0.0.yaml",
        prediction_schema_uri=f"{AUTOML}/predict/prediction/{prediction or kind}_1.0.0.yaml",
    )


def _place(key: str, salt: str) -> bytes:
    return hashlib.sha256(f"{salt}\n{key}".encode()).digest()


def stratified_splits(keys: Sequence[str], answers: Sequence[str]) -> dict[str, Split]:
    """70 % training, 15 % validation and 15 % test of each class, decided by the keys alone, on every machine alike."""
    by_answer: dict[str, list[str]] = {}
    for key, answer in zip(keys, answers, strict=True):
        by_answer.setdefault(answer, []).append(key)
    splits = {}
    for members in by_answer.values():
        members.sort(key=lambda key: _place(key, "split"))
        test = round(len(members) * 0.15)
        for i, key in enumerate(members):
            splits[key] = Split.TEST if i < test else Split.VALIDATION if i < 2 * test else Split.TRAINING
    return splits


def in_seeding_order(rows: list[SeedRow]) -> list[SeedRow]:
    """Shuffled by the keys alone, so that the first N rows are a fair sample and stay the first N."""
    return sorted(rows, key=lambda row: _place(row.key, "order"))
