"""Batch prediction jobs of Vertex AI, by display name: submitting twice under one name attaches to the first.

The generated ``aiplatform_v1`` client over REST, since the high-level SDK hides ``instanceConfig.keyField``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from vertex_model_inference.errors import NotFoundError, VertexError, VmiError
from vertex_model_inference.fencing import may_go_on
from vertex_model_inference.models import ModelOption

__all__ = ["BatchJob", "BatchJobs", "display_name_of"]

T = TypeVar("T")

TIMEOUT_S = 60.0
"""Of one request: the generated client itself would wait for ever."""
_ENDED = frozenset(("SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED", "PARTIALLY_SUCCEEDED"))
_FILTER_SAFE = str.maketrans("", "", '"\\')


class BatchJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job as Vertex reports it.

    Attributes:
        name: ``projects/P/locations/L/batchPredictionJobs/ID``.
        state: Without the ``JOB_STATE_`` prefix: QUEUED, PENDING, RUNNING, SUCCEEDED, FAILED, CANCELLED, ...
        succeeded: Instances with a prediction so far; likewise ``failed`` and ``incomplete``; -1: Vertex does not say.
        output: ``gs://`` folder that the output is in, once it is known.
        error: Vertex's own message when the job failed.
        seconds: That its machine worked, start and end included, once it has ended; -1: Vertex does not say.
    """

    name: str
    state: str
    succeeded: int = -1
    failed: int = -1
    incomplete: int = -1
    output: str = ""
    error: str = ""
    seconds: float = -1.0

    @property
    def ended(self) -> bool:
        """Whether the job will not change any more."""
        return self.state in _ENDED

    @property
    def has_output(self) -> bool:
        """Whether there can be predictions to read: also a job that was stopped keeps the files it wrote."""
        return self.ended and bool(self.output)


def display_name_of(run_id: str, group: int) -> str:
    """The display name of the job of a run's group, by which it is found again."""
    return f"vmi-{run_id}-{group:05d}"


class BatchJobs:
    """Creates, finds, watches and cancels batch prediction jobs of one project and region.

    Args:
        project: Google Cloud project id.
        location: Region, e.g. ``us-central1``.
        endpoint: Base URL of Vertex AI.
        credentials: Makes ``google.auth`` credentials; called once, when first needed.
    """

    def __init__(self, *, project: str, location: str, endpoint: str, credentials: Callable[[], Any]) -> None:
        self.parent = f"projects/{project}/locations/{location}"
        self._endpoint = endpoint
        self._credentials = credentials
        self._lock = threading.Lock()
        self._client: Any = None

    def _jobs(self) -> Any:
        with self._lock:
            if self._client is None:
                from google.cloud import aiplatform_v1  # 1.2 s: paid by runs, not by the command line

                self._client = aiplatform_v1.JobServiceClient(
                    transport="rest",
                    credentials=self._credentials(),
                    client_options={"api_endpoint": self._endpoint},
                )
            return self._client

    def submit(
        self, display_name: str, option: ModelOption, *, input_uri: str, output_prefix: str, key_field: str | None
    ) -> BatchJob:
        """Submit a job, or attach to the one that has this display name already.

        Args:
            display_name: Unique for the run and group of shards; at most 128 characters.
            option: The model; its ``machine_type``, ``batch_size`` and ``parameters``.
            input_uri: ``gs://`` JSON Lines file with one instance a line.
            output_prefix: ``gs://`` folder for the output.
            key_field: Field of the instances that carries the row's id; None where the model takes none (AutoML).

        Raises:
            VertexError: Vertex refused the job.
        """
        import stamina

        def torn(error: Exception) -> bool:
            return isinstance(error, VertexError) and error.context.get("torn") is True

        # A create whose answer was lost may have happened: look for the job before asking again.
        for attempt in stamina.retry_context(on=torn, attempts=4, timeout=120, wait_initial=0.5, wait_max=10):
            with attempt:
                found = self.find(display_name)
                if found is not None:
                    return found
                may_go_on()
                made = self._call(
                    "create a batch prediction job",
                    lambda: self._create(display_name, option, input_uri, output_prefix, key_field),
                )
                return self._only_one(display_name, made)
        raise AssertionError("the retry loop returns or raises")  # pragma: no cover

    def _create(
        self, display_name: str, option: ModelOption, input_uri: str, output_prefix: str, key_field: str | None
    ) -> BatchJob:
        from google.cloud import aiplatform_v1 as v1
        from google.protobuf import json_format, struct_pb2

        model = option.model
        if option.gemini is not None:
            name = f"publishers/google/models/{option.gemini.model}"
        else:
            assert model is not None, "a batch option has a model"
            name = f"{model.name}@{model.version}"
        job = v1.BatchPredictionJob(
            display_name=display_name,
            model=name,
            input_config=v1.BatchPredictionJob.InputConfig(
                instances_format="jsonl", gcs_source=v1.GcsSource(uris=[input_uri])
            ),
            output_config=v1.BatchPredictionJob.OutputConfig(
                predictions_format="jsonl", gcs_destination=v1.GcsDestination(output_uri_prefix=output_prefix)
            ),
            labels={"vmi": "run"},
        )
        if option.parameters:
            job.model_parameters = json_format.ParseDict(dict(option.parameters), struct_pb2.Value())
        if key_field is not None:
            job.instance_config = v1.BatchPredictionJob.InstanceConfig(instance_type="object", key_field=key_field)
        if model is not None and not model.automl:
            job.dedicated_resources = v1.BatchDedicatedResources(
                machine_spec=v1.MachineSpec(machine_type=option.machine_type),
                starting_replica_count=1,
                max_replica_count=1,
            )
            if option.batch_size:
                job.manual_batch_tuning_parameters = v1.ManualBatchTuningParameters(batch_size=option.batch_size)
        # The client must not retry by itself: a create that timed out may have happened. find() tells, on the next try.
        created = self._jobs().create_batch_prediction_job(
            parent=self.parent, batch_prediction_job=job, retry=None, timeout=TIMEOUT_S
        )
        return _job(created)

    def _only_one(self, display_name: str, made: BatchJob) -> BatchJob:
        """The job to go on with, after one was made: of two that were made at the same moment the older one.

        Vertex has no request ids. A request that a process sent just before it was frozen or cut off can arrive when
        another has already taken over its work; whoever made the younger job finds the older one here and cancels.
        """
        found = self.find(display_name)
        if found is None or found.name == made.name:
            return made  # the list may lag behind
        self.cancel(made.name)
        return found

    def find(self, display_name: str) -> BatchJob | None:
        """The job of this display name, if there is one: the oldest that was not cancelled, else the newest.

        Raises:
            VertexError: Vertex did not answer.
        """
        wanted = f'display_name="{display_name.translate(_FILTER_SAFE)}"'
        found = self._call(
            "list batch prediction jobs",
            lambda: list(
                self._jobs().list_batch_prediction_jobs(
                    request={"parent": self.parent, "filter": wanted}, timeout=TIMEOUT_S
                )
            ),
        )
        ours = sorted(
            (job for job in found if job.display_name == display_name), key=lambda job: (job.create_time, job.name)
        )
        if not ours:
            return None
        return next((job for job in map(_job, ours) if "CANCEL" not in job.state), _job(ours[-1]))

    def get(self, name: str) -> BatchJob:
        """The job's present state.

        Raises:
            NotFoundError: The job was deleted.
            VertexError: Vertex did not answer.
        """
        return self._call(
            "look at a batch prediction job",
            lambda: _job(self._jobs().get_batch_prediction_job(name=name, timeout=TIMEOUT_S)),
        )

    def cancel(self, name: str) -> None:
        """Ask Vertex to stop the job; files that are written stay."""
        self._call(
            "cancel a batch prediction job",
            lambda: self._jobs().cancel_batch_prediction_job(name=name, timeout=TIMEOUT_S),
        )

    def _call(self, what: str, call: Callable[[], T]) -> T:
        import stamina
        from google.api_core import exceptions as google
        from google.auth.exceptions import GoogleAuthError
        from google.protobuf.json_format import ParseError

        creates = what.startswith("create")

        def again(error: Exception) -> bool:
            return isinstance(error, VmiError) and error.retryable

        for attempt in stamina.retry_context(on=again, attempts=6, timeout=180, wait_initial=0.3, wait_max=20):
            with attempt:
                try:
                    return call()
                except google.NotFound as error:
                    raise NotFoundError(f"Vertex does not know it: {error.message}", what=what) from None
                except google.GoogleAPICallError as error:
                    # Of a create, only these two say that it has not happened.
                    unclear = creates and error.code in (500, 502, 504)
                    raise VertexError(
                        f"Vertex would not {what}: {_words(error.message)} (HTTP {error.code})",
                        code="quota" if error.code == 429 else "vertex",
                        hint=_hint(error.code),
                        retryable=error.code in (429, 500, 502, 503, 504) and not unclear,
                        status=error.code,
                        torn=unclear,
                    ) from None
                except GoogleAuthError as error:
                    raise VertexError(
                        f"Google's credentials do not work to {what}: {error}",
                        code="credentials",
                        hint="Run `gcloud auth application-default login`, or give this machine a service account.",
                    ) from None
                except OSError as error:
                    raise VertexError(
                        f"Vertex cannot be reached to {what} ({type(error).__name__}).",
                        code="vertex_unreachable",
                        retryable=not creates,
                        torn=creates,
                    ) from None
                except (ParseError, ValueError) as error:
                    raise VertexError(
                        f"What came back when Vertex was asked to {what} is not its JSON ({type(error).__name__}).",
                        code="vertex_form",
                        hint="Is there a proxy in between that answers with pages of its own?",
                        retryable=not creates,
                        torn=creates,
                    ) from None
        raise AssertionError("the retry loop returns or raises")  # pragma: no cover


def _words(message: object) -> str:
    """What Vertex said, or the beginning of a page that somebody else put in its place."""
    text = " ".join(str(message).split())
    return text if len(text) <= 300 else f"{text[:300]}..."


def _hint(code: int | None) -> str | None:
    if code == 403:
        return "Give our service account roles/aiplatform.user in the project."
    if code == 429:
        return "Ask for more quota, or run fewer jobs at once."
    return None


def _job(job: Any) -> BatchJob:
    stats = job.completion_stats if "completion_stats" in job else None
    return BatchJob(
        name=job.name,
        state=job.state.name.removeprefix("JOB_STATE_"),
        succeeded=int(stats.successful_count) if stats else -1,
        failed=int(stats.failed_count) if stats else -1,
        incomplete=int(stats.incomplete_count) if stats else -1,
        output=job.output_info.gcs_output_directory,
        error=job.error.message,
        seconds=(job.end_time - job.start_time).total_seconds() if job.start_time and job.end_time else -1.0,
    )
