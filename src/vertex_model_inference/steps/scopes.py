"""Questions about a whole video and questions asked frame by frame: Labelbox's scopes ``global`` and ``index``."""

from __future__ import annotations

from dataclasses import replace

from vertex_model_inference.errors import MatchError
from vertex_model_inference.rows import DataRow, MediaType
from vertex_model_inference.steps.answers import Claim
from vertex_model_inference.steps.features import QuestionFeature, chain
from vertex_model_inference.steps.tally import Tally, quoted

__all__ = ["scoped"]


def scoped(claim: Claim, row: DataRow, tally: Tally) -> Claim:
    """A claim about a video, as its question asks.

    What holds everywhere holds, for a question asked frame by frame, in all frames. What holds in some frames is, for a
    question about the whole video, an answer among others: the one with the highest confidence stands, and the reader
    of the outcome is told.

    Raises:
        MatchError: The question is asked frame by frame, and how many frames the video has is not known.
    """
    if row.media_type is not MediaType.VIDEO:
        return claim
    root = chain(claim.feature)[0]
    assert isinstance(root, QuestionFeature)
    if root.scope == "index":
        if claim.frames:
            return claim
        if not row.frame_count:
            raise MatchError(
                f"The question {root.name!r} is asked frame by frame, the model says {quoted(claim.label)} of all of "
                f"the video, and how many frames data row {row.id} has is not known.",
                hint="Install vertex-model-inference[video], which reads it from the file.",
                data_row_id=row.id,
            )
        return replace(claim, frames=((1, row.frame_count),))
    if not claim.frames:
        return claim
    tally.note(
        f"The question {root.name!r} is about the whole video, so that it has the best answer of all frames; make its "
        "scope index in the ontology to have answers frame by frame."
    )
    return replace(claim, frames=())
