"""Rows of a run into a Labelbox project, for people to label: those that the project lacks, as one batch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from vertex_model_inference.errors import LabelboxError, NotFoundError, RequestError
from vertex_model_inference.labelbox.gateway import BATCH_PRIORITY, BATCH_ROWS, Labelbox

__all__ = ["Sent", "batch_name", "send_rows"]


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What became of rows that were sent to a project.

    Attributes:
        project: The project's name, or its id where it has none.
        batch: Name of the batch; None: nothing was to be sent.
        added: Rows that are in the project now and were not before.
        already: Rows that were there before, in whatever batch.
        absent: Rows that Labelbox took without a word and does not list in the project.
    """

    project: str
    batch: str | None
    added: int
    already: int
    absent: int = 0

    @property
    def words(self) -> str:
        """One to three sentences for people."""
        if self.batch is None:
            there = "The row is" if self.already == 1 else f"All {self.already:,} rows are"
            return f"{there} in project {self.project} already: nothing was sent."
        said = f"{_rows(self.added)} sent to project {self.project} as batch {self.batch}."
        if self.already:
            said += f" {_rows(self.already)} there already."
        if self.absent:
            said += (
                f" {_rows(self.absent)} not listed by the project: deleted from Labelbox, of another kind of data "
                "than the project's, or listed late; sending again does no harm."
            )
        return said


def batch_name(run_id: str, data_row_ids: Sequence[str]) -> str:
    """The name of the batch of these rows of a run: the same for the same rows in whatever order, so it is found again.

    Args:
        run_id: Of the run.
        data_row_ids: All rows that are meant, also those that the project has already.
    """
    digest = hashlib.sha256("\n".join(sorted(data_row_ids)).encode()).hexdigest()
    return f"vmi-{run_id}-rows-{digest[:16]}"


def send_rows(labelbox: Labelbox, run_id: str, project_id: str, data_row_ids: Sequence[str]) -> Sent:
    """Put rows into a project's queue, with the lowest priority. Again, or side by side, it does the same once.

    Args:
        labelbox: The gateway.
        run_id: Of the run that the rows are of.
        project_id: Labelbox's id of the project.
        data_row_ids: Labelbox's ids; 1 to ``BATCH_ROWS``.

    Raises:
        RequestError: ``no_rows`` or ``too_many``.
        NotFoundError: Labelbox knows no such project, or the API key may not see it.
        LabelboxError: Labelbox refused (``batch_failed``: it did not put the rows in), or did not answer.
    """
    wanted = list(dict.fromkeys(data_row_ids))
    if not wanted:
        raise RequestError("No row is chosen, so there is nothing to send.", code="no_rows")
    if len(wanted) > BATCH_ROWS:
        raise RequestError(
            f"A batch takes at most {BATCH_ROWS:,} rows, not {len(wanted):,}.",
            code="too_many",
            hint="Narrow the filters, or send the rows in parts.",
        )
    try:
        found = labelbox.project(project_id)
    except NotFoundError as error:
        raise NotFoundError(
            error.message,
            hint="The id is in the project's address in Labelbox, behind /projects/; LABELBOX_API_KEY must be of "
            "somebody who may see the project.",
            kind="project",
            id=project_id,
        ) from None
    project = found.name or project_id
    had = labelbox.rows_in_project(project_id, wanted)
    lacking = [row_id for row_id in wanted if row_id not in had]
    if not lacking:
        return Sent(project=project, batch=None, added=0, already=len(wanted))
    name = batch_name(run_id, wanted)
    try:
        labelbox.fill_batch(project_id, labelbox.batch(project_id, name), lacking, BATCH_PRIORITY)
    except LabelboxError as error:
        if error.error_code != "batch_failed":
            raise
        raise LabelboxError(
            error.message,
            code=error.error_code,
            hint="Somebody may have put some of the rows into another batch meanwhile, or the project is for another "
            "kind of data. Send them again: what is there already is left out.",
            retryable=True,
            project_id=project_id,
        ) from None
    # Labelbox says nothing of rows that it leaves out, so it is asked what it has.
    added = len(labelbox.rows_in_project(project_id, lacking))
    return Sent(project=project, batch=name, added=added, already=len(had), absent=len(lacking) - added)


def _rows(number: int) -> str:
    return "1 row is" if number == 1 else f"{number:,} rows are"
