"""The sections of ``vmi.toml`` that tell about single models: what can be said there, and of what form."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from vertex_model_inference.models import BudgetRules, DeliveryRules, GeminiRules, MappingRules, PriceRules, Task

__all__ = ["MappingSection", "ModelSection", "http_url"]


def http_url(value: str) -> str:
    """The URL without a slash at its end; ``http://`` is put before a bare host.

    Raises:
        ValueError: Not an http(s) URL, or one with a user name or password.
    """
    text = value.strip().rstrip("/")
    parts = urlsplit(text if "://" in text else f"http://{text}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        msg = f"{value!r} is not an http(s) URL"
        raise ValueError(msg)
    if parts.username or parts.password:
        msg = "a URL must not carry a user name or password"
        raise ValueError(msg)
    return parts.geturl()


class MappingSection(BaseModel):
    """A ``[models."Name".mapping]`` section: where things stand in the model's JSON (see ``models.MappingRules``)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    items: str = ""
    label: str = "label"
    constant: Annotated[str, Field(min_length=1)] | None = None
    score: str | None = None
    percent: bool = False
    box: str | tuple[str, str, str, str] | None = None
    format: Literal["xyxy", "xywh", "cxcywh", "yxyx", "xxyy"] = "xyxy"
    normalised: bool = False
    text: str | None = None
    points: str | None = None
    mask: str | None = None
    mask_color: str | None = None
    start: str | None = None
    end: str | None = None
    end_inclusive: bool = False
    answers: dict[str, str] = {}
    texts: dict[str, str] = {}
    id: str | None = None
    relations: str | None = None
    relation: tuple[str, str, str] = ("label", "source", "target")

    @model_validator(mode="after")
    def _one_kind(self) -> MappingSection:
        if (self.start is None) is not (self.end is None):
            msg = "start and end go together"
            raise ValueError(msg)
        if sum(one is not None for one in (self.box, self.points, self.mask, self.start)) > 1:
            msg = "only one of box, points, mask, and start with end can be set"
            raise ValueError(msg)
        if self.text is not None and self.box is None:
            msg = "text is what is written in a box; set box too"
            raise ValueError(msg)
        if self.relations is not None and self.id is None:
            msg = "relations are between objects with an id; set id too"
            raise ValueError(msg)
        if self.mask_color is not None and self.mask is None:
            msg = "mask_color is the colour of a mask; set mask too"
            raise ValueError(msg)
        if self.id is not None and all(one is None for one in (self.box, self.points, self.mask, self.start)):
            msg = "id is the name of an object; set box, points, mask, or start with end too"
            raise ValueError(msg)
        return self

    def rules(self) -> MappingRules:
        """The same as the decoder takes it."""
        return MappingRules(**self.model_dump())


class ModelSection(BaseModel):
    """A ``[models."Name"]`` section of ``vmi.toml``: what differs from what the registry says.

    The name is an option's name, a model's or endpoint's display name, or its resource id.

    Attributes:
        rename: The name shown in the menu instead.
        hide: Leave the model out of the menu.
        predict: ``batch`` or ``online``; by default an option for each that can be.
        container: URL of a container's predict route (Vertex's custom-container contract); makes an option of its own.
        task: What the model does.
        decoder: Name of the decoder of its output, or ``file:PATH:CLASS`` of your own.
        mapping: Where things stand in its JSON, where no decoder reads it (a section of its own).
        threshold: Findings with a lower confidence (0..1) are dropped.
        thresholds: The model's class name -> threshold of that class instead.
        classes: The model's class name -> feature name (or ``Question/Option``), or a list of them.
        class_names: Class names in the order of the numbers that the model answers.
        unmapped: ``fail``, ``drop`` or ``report`` a class that fits no feature.
        text_feature: The nested free-text question that takes a box's text.
        top_k: Of the scored answers to one question only so many, the best.
        nms_iou: Of boxes, outlines or masks of one feature that overlap by more than this (0..1) only the best is kept.
        nms_agnostic: Those of different features take each other away too.
        min_size_px: Boxes, polygons and masks narrower or lower than this many pixels are dropped.
        simplify_px: Pixels that polygons of masks and a track's box between key frames may be off; 0: exact; default 1.
        max_annotations: Of one feature on one row at most so many, the best; default 5000, Labelbox's limit.
        instance: Template of an instance (see ``ModelOption.instance``).
        parameters: Sent along with each request.
        machine_type: Of batch jobs.
        batch_size: Instances that a batch job sends the container at once; 0: Vertex's default.
        gemini: A publisher model, e.g. ``gemini-2.5-flash``; makes an option of its own, asked by the ontology.
        mode: ``batch`` (half the price, the default) or ``online``, of Gemini.
        instructions: Put before what the ontology asks Gemini.
        temperature: Of Gemini, 0 to 2; default 0.
        max_output_tokens: Of one answer of Gemini, thoughts included; default the model's own limit.
        thinking_budget: Tokens that Gemini may think for at most; default the model's own choice.
        confidence: ``asked`` (Gemini gives one beside each answer), ``logprobs`` (of the tokens) or ``none``.
        metrics: Upload mean IoU and confusion matrix of each feature and labelled row as custom metrics.
        exif: ``applied`` when the model turns pictures as their EXIF orientation says (Hugging Face pipelines and
            OpenCV do); by default it is taken to read them as they are stored, which is how Labelbox shows them.
        destination: Where predictions go: a list of ``model-run``, ``project``, ``files``.
        project: Labelbox's id of the project that gets pre-labels.
        fallback: ``project`` or ``files``, when Labelbox refuses predictions in model runs.
        canary_rows: So many rows go the whole way before the rest is launched; 0: none.
        canary_empty: ``stop`` or ``go`` when the model finds nothing in any canary row.
        rerun: Run again, does ``changed`` only what is new, failed or changed (the default), ``all`` every row.
        max_rows: Stop a run before it sends the model more data rows than this.
        max_cost: Stop a run before it costs more US dollars than this, as far as its price is known (see `vmi plan`).
        max_failed_fraction: Stop a run when more of the rows that have ended (0..1) failed.
        max_failed_from: So many rows have ended before that is judged.
        usd_per_1000_rows: Your own price of 1,000 rows, all in all, for ``vmi plan`` and budgets.
        usd_per_node_hour: Your own price of an hour of one machine of the model's batch jobs.
        usd_per_million_tokens: Your own prices of Gemini's tokens, ``[in, out]``, as you pay them for this mode.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rename: Annotated[str, Field(min_length=1)] | None = None
    hide: bool = False
    predict: Literal["batch", "online"] | None = None
    container: str | None = None
    task: Task | None = None
    decoder: str | None = None
    mapping: MappingSection | None = None
    threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    thresholds: dict[str, Annotated[float, Field(ge=0, le=1)]] = {}
    classes: dict[str, str | tuple[str, ...]] = {}
    class_names: tuple[str, ...] = ()
    unmapped: Literal["fail", "drop", "report"] = "fail"
    text_feature: str | None = None
    top_k: Annotated[int, Field(ge=1)] | None = None
    nms_iou: Annotated[float, Field(ge=0, le=1)] | None = None
    nms_agnostic: bool = False
    min_size_px: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0
    simplify_px: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1
    max_annotations: Annotated[int, Field(ge=1, le=5000)] = 5000
    instance: dict[str, str] = {}
    parameters: dict[str, bool | int | float | str] = {}
    machine_type: str | None = None
    batch_size: Annotated[int, Field(ge=0, le=100_000)] = 0
    gemini: str | None = None
    mode: Literal["batch", "online"] | None = None
    instructions: Annotated[str, Field(max_length=100_000)] = ""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    max_output_tokens: Annotated[int, Field(ge=1, le=65_535)] | None = None
    thinking_budget: Annotated[int, Field(ge=-1, le=65_535)] | None = None
    confidence: Literal["asked", "logprobs", "none"] | None = None
    metrics: bool = False
    exif: Literal["ignored", "applied"] = "ignored"
    destination: tuple[Literal["model-run", "project", "files"], ...] | None = None
    project: Annotated[str, Field(min_length=1)] | None = None
    fallback: Literal["project", "files"] | None = None
    canary_rows: Annotated[int, Field(ge=0, le=1000)] | None = None
    canary_empty: Literal["stop", "go"] | None = None
    rerun: Literal["changed", "all"] = "changed"
    max_rows: Annotated[int, Field(ge=1)] | None = None
    max_cost: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    max_failed_fraction: Annotated[float, Field(ge=0, lt=1)] | None = None
    max_failed_from: Annotated[int, Field(ge=1)] | None = None
    usd_per_1000_rows: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    usd_per_node_hour: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    usd_per_million_tokens: (
        tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], Annotated[float, Field(ge=0, allow_inf_nan=False)]]
        | None
    ) = None

    @field_validator("container")
    @classmethod
    def _container_url(cls, value: str | None) -> str | None:
        return None if value is None else http_url(value)

    @field_validator("gemini")
    @classmethod
    def _gemini_model(cls, value: str | None) -> str | None:
        if value is None:
            return None
        name = value.removeprefix("publishers/google/models/")
        if not re.fullmatch(r"gemini-[a-z0-9.-]+(@[a-z0-9.-]+)?", name):
            msg = f'{value!r} is not the name of a Gemini model, e.g. "gemini-2.5-flash"'
            raise ValueError(msg)
        return name

    @model_validator(mode="after")
    def _gemini_alone(self) -> ModelSection:
        if self.gemini is None:
            mine = ("mode", "instructions", "temperature", "max_output_tokens", "thinking_budget", "confidence")
            alone = [name for name in mine if getattr(self, name) not in (None, "")]
            if alone:
                msg = f'{alone[0]} is a setting of Gemini; set gemini = "gemini-2.5-flash" too, or remove it'
                raise ValueError(msg)
            return self
        others = ("predict", "container", "task", "decoder", "mapping", "class_names", "instance", "parameters")
        for name in (*others, "machine_type", "batch_size", "text_feature"):
            if getattr(self, name):
                hint = "; use mode" if name == "predict" else ""
                msg = f"gemini and {name} do not go together: Gemini is asked by the ontology{hint}"
                raise ValueError(msg)
        return self

    def gemini_rules(self) -> GeminiRules:
        """How Gemini is asked, as the run takes it; only where ``gemini`` is set."""
        return GeminiRules(
            model=self.gemini or "",
            instructions=self.instructions,
            temperature=self.temperature or 0.0,
            max_output_tokens=self.max_output_tokens,
            thinking_budget=self.thinking_budget,
            confidence=self.confidence or "asked",
        )

    @field_validator("destination", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("destination")
    @classmethod
    def _has_destination(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value is None:
            return None
        if not value:
            msg = "at least one of model-run, project, files is needed"
            raise ValueError(msg)
        return tuple(dict.fromkeys(value))

    @model_validator(mode="after")
    def _fraction_of_what(self) -> ModelSection:
        if self.max_failed_from is not None and self.max_failed_fraction is None:
            msg = "max_failed_from says when max_failed_fraction is judged; set that too"
            raise ValueError(msg)
        return self

    def budget(self) -> BudgetRules:
        """What a run may use at most, as the run takes it."""
        return BudgetRules(
            max_rows=self.max_rows,
            max_cost=self.max_cost,
            max_failed_fraction=self.max_failed_fraction,
            failed_from=100 if self.max_failed_from is None else self.max_failed_from,
        )

    def price(self) -> PriceRules:
        """Your own prices, as the run takes them."""
        return PriceRules(
            per_1000_rows=self.usd_per_1000_rows,
            per_node_hour=self.usd_per_node_hour,
            per_million_tokens=self.usd_per_million_tokens,
        )

    def delivery(self) -> DeliveryRules:
        """The same as the run takes it."""
        return DeliveryRules(
            destinations=self.destination,
            project=self.project,
            fallback=self.fallback,
            canary_rows=self.canary_rows,
            canary_empty=self.canary_empty,
        )
