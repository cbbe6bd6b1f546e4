"""Words of a document become an annotation; words whose place was not found do not."""

from __future__ import annotations

from collections.abc import Sequence

from vertex_model_inference.annotations import DocumentEntity, Selection
from vertex_model_inference.errors import MatchError
from vertex_model_inference.findings import FoundQuote, FoundTokens
from vertex_model_inference.steps.features import ToolFeature
from vertex_model_inference.steps.shapes import About, LeftOut

__all__ = ["quotation", "words"]


def words(found: FoundTokens, tool: ToolFeature, about: About) -> Sequence[DocumentEntity] | LeftOut:
    """The words, named as the document's text layer names them.

    Raises:
        MatchError: A selection of no words, or on a page before the first.
    """
    if not found.selections or any(page < 1 or not tokens for page, _, tokens in found.selections):
        raise MatchError(
            f"The words of class {found.label!r:.80} on data row {about.row.id} name no tokens, or a page before 1.",
            hint="Correct what the model answers, or the decoder that reads it.",
            data_row_id=about.row.id,
        )
    selections = tuple(Selection(tokens, group, page) for page, group, tokens in found.selections)
    name, schema_id = tool.name, tool.feature_schema_id
    return (DocumentEntity(name, schema_id, selections, found.confidence, by_id=tool.by_id),)


def quotation(found: FoundQuote, tool: ToolFeature, about: About) -> Sequence[DocumentEntity] | LeftOut:  # noqa: ARG001
    """Nothing: quotations that were found are spans or words by now (``place``)."""
    return LeftOut("could not be found in the row and was left out")
