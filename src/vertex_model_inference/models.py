"""What can be chosen in Labelbox's *Train Model* menu, and what the run needs to know about it."""

from __future__ import annotations

from enum import StrEnum

import msgspec

__all__ = [
    "BudgetRules",
    "DeliveryRules",
    "GeminiRules",
    "MappingRules",
    "MatchRules",
    "ModelOption",
    "Predictor",
    "PriceRules",
    "Task",
    "VertexModel",
]


class Predictor(StrEnum):
    """How rows reach the model."""

    BATCH = "batch"  # a Vertex batch prediction job
    ONLINE = "online"  # a Vertex endpoint
    CONTAINER = "container"  # a plain URL that speaks Vertex's custom container contract


class Task(StrEnum):
    """What the model does, where it is known."""

    IMAGE_CLASSIFICATION = "image-classification"
    IMAGE_OBJECT_DETECTION = "image-object-detection"
    IMAGE_SEGMENTATION = "image-segmentation"
    TEXT_CLASSIFICATION = "text-classification"
    TEXT_EXTRACTION = "text-extraction"
    TEXT_SENTIMENT = "text-sentiment"
    VIDEO_CLASSIFICATION = "video-classification"
    VIDEO_OBJECT_TRACKING = "video-object-tracking"
    VIDEO_ACTION_RECOGNITION = "video-action-recognition"

    @property
    def takes_text(self) -> bool:
        """Whether the model is sent texts."""
        return self in (Task.TEXT_CLASSIFICATION, Task.TEXT_EXTRACTION, Task.TEXT_SENTIMENT)

    @property
    def takes_video(self) -> bool:
        """Whether the model is sent videos; neither texts nor videos: it is sent pictures."""
        return self in (Task.VIDEO_CLASSIFICATION, Task.VIDEO_OBJECT_TRACKING, Task.VIDEO_ACTION_RECOGNITION)


class VertexModel(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A model in Vertex AI's registry, the part that decides how to run it and how to read its output.

    Attributes:
        name: ``projects/P/locations/L/models/ID`` (no version).
        version: Version id that will run, e.g. ``"1"``.
        display_name: As shown in the console.
        automl: Made by AutoML (``modelSourceInfo.sourceType``, or its metadata schema says so).
        metadata_schema_uri: ``metadataSchemaUri`` of the model.
        instance_schema_uri: ``predictSchemata.instanceSchemaUri``.
        prediction_schema_uri: ``predictSchemata.predictionSchemaUri``.
        labels: The model's labels (lower-case key and value).
        container_image: ``containerSpec.imageUri`` of custom models.
        input_formats: ``supportedInputStorageFormats`` (jsonl, csv, file-list, ...); empty when it cannot run in batch.
        update_time: RFC 3339; a change means the model changed.
        class_names: Its classes, where its metadata names them (see ``vertex/metadata.py``).
    """

    name: str
    version: str = "1"
    display_name: str = ""
    automl: bool = False
    metadata_schema_uri: str = ""
    instance_schema_uri: str = ""
    prediction_schema_uri: str = ""
    labels: dict[str, str] = {}
    container_image: str = ""
    input_formats: tuple[str, ...] = ()
    update_time: str = ""
    class_names: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The last part of the resource name."""
        return self.name.rsplit("/", 1)[-1]

    @property
    def location(self) -> str:
        """The region in the resource name, e.g. ``us-central1``."""
        parts = self.name.split("/")
        return parts[3] if len(parts) > 3 else ""


class MatchRules(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How findings become annotations (``vmi.toml``, section of the model).

    Attributes:
        threshold: Findings with a lower confidence are dropped (and counted). None: no threshold for boxes and radios;
            a checklist takes answers from 0.5 up.
        thresholds: Model class name -> threshold of that class, in place of ``threshold``.
        classes: Model class name -> feature name (or ``Question/Option`` path) or several, where the names differ.
        unmapped: What to do with a class that fits no feature: ``"fail"`` the row, ``"drop"`` it and count it,
            or ``"report"`` (drop, count, and say so in the row's message).
        text_feature: Name of the nested free-text classification that takes a box's text; None: the tool's only one.
        top_k: Of the scored answers to one question only so many, the best, are kept. None: all.
        nms_iou: Of boxes (likewise of outlines, and of masks) of one feature that overlap by more than this
            (intersection over union, 0..1) only the best is kept. None: all.
        nms_agnostic: Let those of different features take each other away too.
        min_size_px: Boxes, polygons and masks narrower or lower than this many pixels are dropped (and counted).
        simplify_px: Pixels that the corners of a mask's outline may be off where a polygon is wanted, and the edges of
            a track's box in each frame that the model gave, between those that are uploaded; 0: exact.
        max_annotations: Of one feature on one row at most so many, the best; the others are dropped (and counted).
            Labelbox takes 5,000.
    """

    threshold: float | None = None
    thresholds: dict[str, float] = {}
    classes: dict[str, str | tuple[str, ...]] = {}
    unmapped: str = "fail"
    text_feature: str | None = None
    top_k: int | None = None
    nms_iou: float | None = None
    nms_agnostic: bool = False
    min_size_px: float = 0.0
    simplify_px: float = 1.0
    max_annotations: int = 5000


class MappingRules(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where things stand in a model's own JSON (``[models."...".mapping]`` of ``vmi.toml``).

    A path is keys and list positions joined by dots (``"outputs.detections"``, ``"0.name"``); empty: the value itself.
    At most one of ``box``, ``points``, ``mask``, ``start`` with ``end`` is set; none of them: the items are classes.

    Attributes:
        items: Path of the list of things found in the answer; an object counts as a list of one, null as an empty one.
        label: Path of the class, a name or a number, in an item.
        constant: The class of all items, where the model gives none (then ``label`` is not read).
        score: Path of the confidence in an item.
        percent: Scores go from 0 to 100.
        box: Path of a list of four numbers in an item, or four paths.
        format: Order of the four numbers: ``xyxy``, ``xywh``, ``cxcywh``, ``yxyx``, ``xxyy``.
        normalised: Coordinates go from 0 to 1.
        text: Path of what is written in a box.
        points: Path of an outline in an item, in any spelling of the decoder ``polygons``.
        mask: Path of the address (http, https, gs) of a picture of the mask, which Labelbox fetches.
        mask_color: Path of red, green and blue (0 to 255) of the object's pixels in it; white without one.
        start: Path of an entity's first character, from 0; ``end``: of its last.
        end_inclusive: ``end`` is the last character; else the one after it.
        answers: Name of a question about the object, or about the class -> path in an item of the class, or list of
            classes, that answers it. Null or nothing there: it is not answered.
        texts: Likewise of free-text questions, paths of texts.
        id: Path of the model's own name of the object in an item, for relations.
        relations: Path of the list of relations between objects in the answer.
        relation: Paths in such a relation of its class, and of the ids of the object it starts from and the one it
            leads to.
    """

    items: str = ""
    label: str = "label"
    constant: str | None = None
    score: str | None = None
    percent: bool = False
    box: str | tuple[str, str, str, str] | None = None
    format: str = "xyxy"
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


class GeminiRules(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How Gemini is asked (``vmi.toml``, section of the model).

    Attributes:
        model: Publisher model, e.g. ``gemini-2.5-flash``.
        instructions: The user's own, put before what the ontology asks.
        temperature: 0..2; 0: the most likely answer each time.
        max_output_tokens: Of one answer, thoughts included; None: the model's own limit.
        thinking_budget: Tokens for thoughts at most; 0: none, None: the model's own choice.
        confidence: ``asked``: the model gives one beside each answer; ``logprobs``: the geometric mean of the
            probabilities of the tokens that the answer is written with; ``none``.
    """

    model: str
    instructions: str = ""
    temperature: float = 0.0
    max_output_tokens: int | None = None
    thinking_budget: int | None = None
    confidence: str = "asked"


class DeliveryRules(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where predictions go, and how much is tried before all of it is. None: as the settings have it for all models.

    Attributes:
        destinations: Of ``model-run``, ``project`` and ``files``; together they must all take a row.
        project: Labelbox's id of the project that gets pre-labels.
        fallback: ``project`` or ``files``, in place of the model run when Labelbox takes no predictions there any more.
        canary_rows: So many rows go the whole way before the rest is launched; 0: none.
        canary_empty: ``stop`` or ``go`` when the model finds nothing in any of them.
    """

    destinations: tuple[str, ...] | None = None
    project: str | None = None
    fallback: str | None = None
    canary_rows: int | None = None
    canary_empty: str | None = None

    def over(self, usual: DeliveryRules) -> DeliveryRules:
        """These, and ``usual`` where they say nothing."""
        return DeliveryRules(
            **{name: getattr(usual if getattr(self, name) is None else self, name) for name in self.__struct_fields__}
        )


class PriceRules(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The operator's own prices in US dollars (``vmi.toml``, section of the model); None: the table's, if any.

    Attributes:
        per_1000_rows: All in all, for 1,000 rows that the model is sent.
        per_node_hour: Of one machine of a batch job.
        per_million_tokens: Of Gemini: in and out, as they are charged (in batch: already halved).
    """

    per_1000_rows: float | None = None
    per_node_hour: float | None = None
    per_million_tokens: tuple[float, float] | None = None


class BudgetRules(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a run may use at most; what goes beyond stops it. None: no limit.

    Attributes:
        max_rows: Data rows that are sent to the model.
        max_cost: US dollars, by ``prices.cost_of``.
        max_failed_fraction: Failed rows of those that have ended (0..1), once there are ``failed_from`` of these.
        failed_from: See there.
    """

    max_rows: int | None = None
    max_cost: float | None = None
    max_failed_fraction: float | None = None
    failed_from: int = 100


class ModelOption(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry of the menu: everything that a run needs to know of the model, frozen when the run starts.

    Attributes:
        name: Unique and stable; shown by Labelbox and sent back as ``modelType``.
        predictor: How rows reach the model.
        model: The Vertex model; None for a plain container.
        endpoint: ``projects/P/locations/L/endpoints/ID`` for ``online``. For ``batch``: where this very version of the
            model answers all requests too, so that a canary needs no job.
        container: Base URL and predict route of a plain container, e.g. ``http://127.0.0.1:9000/predict``.
        task: What the model does, where it is known.
        decoder: Name of the decoder; None: chosen by the model's metadata, then by its first answers.
        class_names: Names of the classes where the model answers numbers.
        instance: Template of an instance: field -> text with ``{uri}``, ``{b64}``, ``{text}``, ``{mime_type}``,
            ``{url}``, ``{key}``, ``{messages}``; nested by dots (``image.b64``). Empty: the default of the kind.
        parameters: Sent along with each request (``modelParameters``).
        machine_type: Of batch jobs of custom models.
        batch_size: Instances that a batch job sends the container at once; 0: Vertex's own (64).
        metrics: Upload custom metrics of the labelled rows.
        rules: How findings become annotations.
        mapping: Where things stand in its answers, for the decoder ``mapping``.
        gemini: How Gemini is asked, where it is the model; then there is no ``model`` and no ``endpoint``.
        exif: ``"ignored"``: the model measures pictures as they are stored, as Labelbox does; ``"applied"``: it turns
            them first as their EXIF orientation says, so that what it finds must be turned back.
        delivery: Where predictions go, and the canary.
        job_instances: An endpoint is sent the instances that a batch job of the model would be.
        rerun: What a run does after an earlier one of the same model run: only what is new, failed or ``changed``, or
            ``all`` rows again.
        price: The operator's own prices.
        budget: What a run may use at most.
    """

    name: str
    predictor: Predictor
    model: VertexModel | None = None
    endpoint: str | None = None
    container: str | None = None
    task: Task | None = None
    decoder: str | None = None
    class_names: tuple[str, ...] = ()
    instance: dict[str, str] = {}
    parameters: dict[str, float | int | str | bool] = {}
    machine_type: str = "n1-standard-4"
    batch_size: int = 0
    rules: MatchRules = MatchRules()
    mapping: MappingRules | None = None
    gemini: GeminiRules | None = None
    exif: str = "ignored"
    delivery: DeliveryRules = DeliveryRules()
    job_instances: bool = False
    metrics: bool = False
    rerun: str = "changed"
    price: PriceRules = PriceRules()
    budget: BudgetRules = BudgetRules()
