"""What a run is asked to do, and the names of the files that it writes.

Everything under ``runs/<run id>/`` is written once under a deterministic name, one file per shard and step, so that a
step whose file exists is done, and anyone can read a run with ``ls`` and ``jq``::

    runs/<run id>/
        spec.json                 RunSpec
        status.json               RunStatus, rewritten while the run goes on
        ontology.json             the ontology that predictions are matched to
        rows/00000.jsonl          DataRow a line: the shard as exported (once it has ended: without URLs' signatures)
        labels/00000.jsonl        {"data_row_id", "labels"} a line, for rows that have labels
        staged/00000.jsonl        Staged a line: what the model will read for the row
        frames/<data row id>.json seconds of each frame, of videos whose rate varies
        jobs/00000.instances.jsonl, jobs/00000.json   one batch prediction job for a group of shards
        jobs/00000.output/...     what Vertex wrote
        answers/00000.jsonl       Answer a line: what the model said about the row
        predictions/00000.ndjson  what is uploaded
        decoded/00000.jsonl       Decoded a line: how many annotations of the row are in the file above
        ended/<step>-00000.jsonl  Outcome a line: rows of the shard that ended at that step
        outcomes/00000.jsonl      Outcome a line: exactly one for each row of the shard
        label_masks/00000.jsonl   masks of labels, fetched once; predicted_masks/ of predictions that link to theirs
        agreement/00000.jsonl     RowAgreement a line, for rows that are labelled and answered
        metrics/00000.ndjson      custom metrics of the rows, where the model asks for them
        evaluation.json           Evaluation: predictions against labels, where there are labels
        refused.json              why Labelbox takes no predictions into the model run, where it does not
        batches/00000.json        the project's batch that rows of shards were put into, for the destination project
        cancel.json               CancelMark: the run is to stop; written once, by whoever stops it
        verdict.json              how the run ended, written before Labelbox is told
        end.json                  RunStatus: the last one, which no late write of status.json can hide
        fingerprints.json         Fingerprints: what the model was asked with, and what its answers were read with

    of a run that follows an earlier one of the same model run and option:

        named.txt                 ids and global keys of the rows that were asked for, one a line, where some were
        before.npy, before.json   what earlier runs know of each row (``steps/memory.py``)
        origins/00000.jsonl       Origin a line: where what is known of the shard's rows lies
        earlier/00000.jsonl       Earlier a line: annotations that earlier runs have sent to Labelbox
"""

from __future__ import annotations

import hashlib
import re

import msgspec

from vertex_model_inference.errors import ConflictError
from vertex_model_inference.models import DeliveryRules, ModelOption
from vertex_model_inference.sources import Message

__all__ = [
    "ARTIFACTS_VERSION",
    "OLDEST_ARTIFACTS",
    "Answer",
    "Decoded",
    "Files",
    "RunSpec",
    "Staged",
    "read_spec",
    "run_id_of",
]

ARTIFACTS_VERSION = 1
"""Of the files of runs that this release begins. Raised when an older release could not go on with them."""

OLDEST_ARTIFACTS = 1
"""Runs with older files are not carried on by this release."""


class RunSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for, frozen when the run starts.

    Attributes:
        run_id: Ours; see ``run_id_of``.
        model_run_id: Labelbox's.
        option: The model, as the menu and ``vmi.toml`` had it at that moment.
        created_at: RFC 3339, UTC.
        model_id: Labelbox's model, as the webhook named it, if it did.
        shard_rows: Data rows in a shard. ``job_rows``: in a batch job. Frozen, since a run that is carried on after a
            restart must cut its export as it began to.
        delivery: Where predictions go, and the canary, as the model's option and the settings had it.
        artifacts_version: Of the run's files; runs that were begun before there was one have the first.
        run_groups: Groups of the run that are under way at once, whoever works on them. Frozen, since the order in
            which groups are begun and waited for must come out the same when the run is carried on.
        rerun: Which rows are done, after an earlier run of the same model run and option: ``changed`` (those that are
            new, failed or changed), ``all``, or of those known only the ``failed``, the ``retryable`` (failed rows that
            running again can help) or the ``named``. ``none``: of a release that knew nothing of earlier runs.
    """

    run_id: str
    model_run_id: str
    option: ModelOption
    created_at: str
    model_id: str | None = None
    shard_rows: int = 1000
    job_rows: int = 50_000
    delivery: DeliveryRules = DeliveryRules(destinations=("model-run",), canary_rows=0, canary_empty="stop")
    artifacts_version: int = 1
    run_groups: int = 4
    rerun: str = "none"

    @property
    def attempt(self) -> int:
        """0 for the first run of its model run and option, 1 for the next, and so on."""
        number = self.run_id.rpartition("-")[2]
        return int(number) if number.isdigit() else 0

    @property
    def follows(self) -> bool:
        """Whether there are earlier runs to look at."""
        return self.rerun != "none" and self.attempt > 0


class _Head(msgspec.Struct):
    """What every release, older or newer, can read of a spec."""

    run_id: str = ""
    artifacts_version: int = 1


_HEAD = msgspec.json.Decoder(_Head)
_SPEC = msgspec.json.Decoder(RunSpec)


def read_spec(raw: bytes | str) -> RunSpec:
    """A run's ``spec.json``, for one that is to go on with the run or with its files.

    Raises:
        ConflictError: ``newer_release`` or ``older_release``, the files are of another release's form;
            ``unreadable_spec``, they are nobody's.
    """
    try:
        head = _HEAD.decode(raw)
        if OLDEST_ARTIFACTS <= head.artifacts_version <= ARTIFACTS_VERSION:
            return _SPEC.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConflictError(
            f"spec.json of the run cannot be read: {error}.",
            code="unreadable_spec",
            hint="Run the model on the model run again.",
        ) from None
    if head.artifacts_version > ARTIFACTS_VERSION:
        raise ConflictError(
            f"Run {head.run_id} was begun by a newer release of vmi: its files have version {head.artifacts_version}, "
            f"and this release knows {ARTIFACTS_VERSION}.",
            code="newer_release",
            hint="Go on with the newer release, or run the model on the model run again once the run has ended.",
        )
    raise ConflictError(
        f"Run {head.run_id} was begun by an older release of vmi: its files have version {head.artifacts_version}, and "
        f"this release goes on with {OLDEST_ARTIFACTS} and later.",
        code="older_release",
        hint="Run the model on the model run again.",
    )


def run_id_of(model_run_id: str, option: str, attempt: int) -> str:
    """The run's id: the same model run, option and attempt always give the same id, so that a request that is delivered
    fifty times starts one run.

    Args:
        model_run_id: Labelbox's id; anything but letters, digits, ``-`` and ``_`` becomes ``-``.
        option: Name of the menu's entry.
        attempt: 0 for the first run of the pair, 1 for the run after that has ended, and so on.
    """
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", model_run_id)[:40]
    digest = hashlib.sha256(f"{model_run_id}\n{option}".encode()).hexdigest()[:8]
    return f"{safe}-{digest}-{attempt}"


class Staged(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What the model will read for a row.

    Attributes:
        data_row_id: The row.
        uri: ``gs://`` URI that the model can read, where it reads URIs; for plain containers the asset's own URL.
        text: The text itself, where the model takes text inline.
        mime_type: Of the asset, as its bytes say.
        width: Real width in pixels as the picture's header says; likewise ``height``. None: not a picture.
        size: Bytes of the asset.
        text_length: Characters (Unicode code points) of a text.
        messages: Of a conversation, where the model takes them one by one.
        page_sizes: Width and height in points of a document's pages, first page first.
        orientation: Of a picture, as EXIF counts them, 2 to 8; None: it is not turned (1), or not a picture.
        frame_rate: Of a video, frames per second, as its header says; the mean where it varies.
        frame_count: Frames of a video, as its header says.
        frame_times: Where the rate varies: path of the file with the seconds of each frame.
        notes: What a reader of the row's outcome should know, one sentence each.
    """

    data_row_id: str
    uri: str | None = None
    text: str | None = None
    mime_type: str | None = None
    width: int | None = None
    height: int | None = None
    size: int | None = None
    text_length: int | None = None
    messages: tuple[Message, ...] = ()
    page_sizes: tuple[tuple[float, float], ...] = ()
    orientation: int | None = None
    frame_rate: float | None = None
    frame_count: int | None = None
    frame_times: str | None = None
    notes: tuple[str, ...] = ()


class Answer(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What the model said about a row: the raw JSON of the ``prediction`` value."""

    data_row_id: str
    prediction: msgspec.Raw


class Decoded(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """How many lines of the shard's NDJSON are the row's, and what was left out.

    ``left``: annotations of earlier runs that Labelbox still has and that are not among the lines.
    """

    data_row_id: str
    annotations: int
    global_key: str | None = None
    dropped: dict[str, int] = {}
    notes: tuple[str, ...] = ()
    left: int = 0


class Files:
    """Names of a run's files, relative to the root of the artifacts.

    Args:
        run_id: The run.
        folder: Where they are, when not in ``runs/<run id>``: a copy of a run.
    """

    def __init__(self, run_id: str, folder: str | None = None) -> None:
        self.folder = f"runs/{run_id}" if folder is None else folder
        self.spec = f"{self.folder}/spec.json"
        self.status = f"{self.folder}/status.json"
        self.ontology = f"{self.folder}/ontology.json"
        self.verdict = f"{self.folder}/verdict.json"
        self.end = f"{self.folder}/end.json"
        self.cancel = f"{self.folder}/cancel.json"
        self.jobs_folder = f"{self.folder}/jobs"
        self.evaluation = f"{self.folder}/evaluation.json"
        self.rows_folder = f"{self.folder}/rows"
        self.labels_folder = f"{self.folder}/labels"
        self.refused = f"{self.folder}/refused.json"
        self.fingerprints = f"{self.folder}/fingerprints.json"
        self.named = f"{self.folder}/named.txt"
        self.before = f"{self.folder}/before"
        self.predictions_folder = f"{self.folder}/predictions"
        self.outcomes_folder = f"{self.folder}/outcomes"

    def shard(self, kind: str, shard: int, suffix: str = "jsonl") -> str:
        """``<kind>/<shard>.<suffix>``, e.g. ``rows/00000.jsonl``."""
        return f"{self.folder}/{kind}/{shard:05d}.{suffix}"

    def ended(self, step: str, shard: int) -> str:
        """Rows of the shard that ended at ``step``."""
        return f"{self.folder}/ended/{step}-{shard:05d}.jsonl"

    def job(self, group: int, suffix: str) -> str:
        """A file of the batch job of a group, e.g. ``json``, ``instances.jsonl`` or ``output``."""
        return f"{self.folder}/jobs/{group:05d}.{suffix}"
