"""What an evaluation says: the figures of one split, as they are written to ``evaluation.json`` and read by the pages.

All rates are 0..1. A rate that has nothing to be measured on is None, never 0 by default.
"""

from __future__ import annotations

import msgspec

from vertex_model_inference.evaluation.calibration import Calibration

__all__ = [
    "VERSION",
    "Averages",
    "BestThreshold",
    "ChoiceScore",
    "ClassScore",
    "Confusion",
    "Curve",
    "Evaluation",
    "LevelScore",
    "ObjectScore",
    "RowCounts",
    "SplitScore",
    "TextScore",
]

VERSION = 1
"""Of the form of ``evaluation.json`` and ``agreement/``."""


class Curve(msgspec.Struct, frozen=True):
    """At most 200 thresholds, falling, and what predictions of at least that confidence come to.

    Attributes:
        said: How many predictions that are; empty in files of earlier releases.
    """

    threshold: tuple[float, ...] = ()
    precision: tuple[float, ...] = ()
    recall: tuple[float, ...] = ()
    f1: tuple[float, ...] = ()
    said: tuple[int, ...] = ()


class BestThreshold(msgspec.Struct, frozen=True):
    """The threshold with the highest F1: keep what is at least as confident.

    Attributes:
        threshold: With as few digits as tell the predictions kept from those dropped.
    """

    threshold: float
    precision: float
    recall: float
    f1: float


class Averages(msgspec.Struct, frozen=True):
    """Precision, recall and F1: over everything, or the mean of the classes."""

    precision: float
    recall: float
    f1: float


class ClassScore(msgspec.Struct, frozen=True, kw_only=True):
    """One class: a tool, or an option of a question.

    Attributes:
        name: Its name in the ontology.
        labels: How often it is labelled. ``predictions``: how often it is predicted.
        right: Predictions that are right, at the chosen level.
        precision: None without predictions. ``recall``: None without labels. ``f1``: None without either.
        average_precision: Mean over the levels; None for what has no ranking, or without labels.
        average_precision_at: At the chosen level.
        mean_overlap: Of the matched pairs: IoU, or pixels of distance; None where nothing is matched.
        best: Threshold with the highest F1.
        curve: Over the whole range of confidence.
    """

    name: str
    labels: int
    predictions: int
    right: int
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    average_precision: float | None = None
    average_precision_at: float | None = None
    mean_overlap: float | None = None
    best: BestThreshold | None = None
    curve: Curve = Curve()


class Confusion(msgspec.Struct, frozen=True):
    """What was predicted in place of what was labelled.

    Attributes:
        classes: n names.
        counts: n + 1 rows, one a labelled class, the last: no label there ("false alarm"); n + 1 columns, one a
            predicted class, the last: nothing predicted ("missed").
    """

    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


class ChoiceScore(msgspec.Struct, frozen=True, kw_only=True):
    """A radio or checklist.

    Attributes:
        question: Its name; for questions about objects or answers the path to it, joined by ``/``.
        kind: ``radio`` or ``checklist``.
        answered: Labelled answers that are judged (for videos: frames).
        unlabelled: Predictions on labelled rows where the label leaves this question open: counted, not judged.
        missed: Labelled answers for which nothing was predicted.
        accuracy: Share of labelled answers that are predicted right, and for checklists whole.
        top_k: k -> share of labelled answers among the k best-scored; only where the model's scores are known.
        micro: Over all answers. ``macro``: mean of the classes. ``weighted``: mean weighted by labels.
        jaccard: Checklists: mean share of answers in common among those chosen by either.
        log_loss: Mean of -ln(score of the labelled class), natural logarithm, of rows with a whole distribution.
        log_loss_rows: How many those are.
        calibration: Of the confidence of the answers.
    """

    question: str
    kind: str
    answered: int
    unlabelled: int
    missed: int
    accuracy: float | None
    micro: Averages
    macro: Averages
    weighted: Averages
    classes: tuple[ClassScore, ...]
    confusion: Confusion
    top_k: dict[str, float] = {}
    jaccard: float | None = None
    log_loss: float | None = None
    log_loss_rows: int = 0
    calibration: Calibration | None = None


class LevelScore(msgspec.Struct, frozen=True):
    """All classes together at one level of overlap: IoU, pixels of distance, or ``exact`` and ``overlap`` of spans.

    Attributes:
        mean_average_precision: Mean over the classes that have labels; None where none has.
    """

    level: str
    right: int
    precision: float | None
    recall: float | None
    f1: float | None
    mean_average_precision: float | None


class ObjectScore(msgspec.Struct, frozen=True, kw_only=True):
    """All tools of one kind.

    Attributes:
        kind: ``box``, ``polygon``, ``mask``, ``line``, ``point``, ``entity``, ``document_entity``, ``relationship``,
            ``video_box`` or ``video_mask`` (the last two: each frame counts as a picture).
        measure: ``iou``, ``distance`` (pixels), ``span`` or ``ends`` (of relationships).
        at: The chosen level, as in ``levels``.
        labels: Objects labelled. ``predictions``: objects predicted. Of videos: in each frame.
        mean_average_precision: Mean over classes and, of ``iou``, over the levels .5 to .95 (COCO's mAP).
        mean_overlap: Mean over the matched pairs: IoU, or pixels of distance.
        levels: Each level that was measured.
        confusion: At the chosen level; what no object of its own class fits may be taken by one of another class.
        micro: Over all objects. ``macro``: mean of the classes. Both at the chosen level.
    """

    kind: str
    measure: str
    at: str
    labels: int
    predictions: int
    mean_average_precision: float | None
    mean_overlap: float | None
    levels: tuple[LevelScore, ...]
    micro: Averages
    macro: Averages
    classes: tuple[ClassScore, ...]
    confusion: Confusion
    calibration: Calibration | None = None


class TextScore(msgspec.Struct, frozen=True, kw_only=True):
    """A free-text question.

    Attributes:
        question: Its name or path, as of ``ChoiceScore``.
        answered: Labelled texts. ``missed``: those for which nothing was predicted.
        unlabelled: As of ``ChoiceScore``.
        exact: Share that is predicted to the character.
        edit_distance: Mean of the edit distance over the length of the longer text, 0..1; 1 for a missed one.
        character_error_rate: All edits over all characters of the labels; can exceed 1.
    """

    question: str
    answered: int
    unlabelled: int
    missed: int
    exact: float | None
    edit_distance: float | None
    character_error_rate: float | None


class RowCounts(msgspec.Struct, frozen=True):
    """Rows of a split.

    Attributes:
        exported: All.
        labelled: With a label. ``unlabelled``: without; they are not judged.
        unanswered: Labelled, but failed or skipped, so that the model said nothing about them; not judged.
        judged: Labelled and answered, if only with nothing.
        several_labels: Labelled more than once; the first label is used.
        mean_error: Mean of the judged rows' ``error`` (see ``agreement.py``).
    """

    exported: int = 0
    labelled: int = 0
    unlabelled: int = 0
    unanswered: int = 0
    judged: int = 0
    several_labels: int = 0
    mean_error: float | None = None


class SplitScore(msgspec.Struct, frozen=True):
    """One split, or all rows (``all``)."""

    split: str
    rows: RowCounts
    choices: tuple[ChoiceScore, ...] = ()
    objects: tuple[ObjectScore, ...] = ()
    texts: tuple[TextScore, ...] = ()


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """``evaluation.json``.

    Attributes:
        run_id: The run. ``model_run_id``: Labelbox's. ``option``: the model.
        iou: Chosen level of boxes, polygons and masks.
        distance_px: Chosen level of lines and points.
        splits: ``all`` first, then those that have rows.
        without_confidence: Predictions that have none; they count as 1, as Labelbox takes them.
        unsupported: Kinds of labels that are not measured -> how many there are.
        thresholds: Lines for ``vmi.toml``: the best threshold of each class, by ``thresholds_from``.
        thresholds_from: The split they were found on; None: there is none to offer.
        version: Of this form.
    """

    run_id: str
    model_run_id: str
    option: str
    iou: float
    distance_px: float
    splits: tuple[SplitScore, ...]
    without_confidence: int = 0
    unsupported: dict[str, int] = {}
    thresholds: tuple[str, ...] = ()
    thresholds_from: str | None = None
    version: int = VERSION

    def split(self, name: str) -> SplitScore | None:
        """The figures of one split; None: it has no rows."""
        return next((one for one in self.splits if one.split == name), None)
