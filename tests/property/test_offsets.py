"""Offsets of entities count code points, whatever the text is made of."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from vertex_model_inference.findings import FoundEntity
from vertex_model_inference.labelbox.ndjson import lines, row_uuids
from vertex_model_inference.models import MatchRules
from vertex_model_inference.ontology import Ontology, Tool
from vertex_model_inference.rows import DataRow
from vertex_model_inference.steps.match import Matcher

ONTOLOGY = Ontology(id="o", name="o", tools=(Tool(kind="named-entity", name="place", feature_schema_id="t"),))
pieces = st.text(min_size=1, max_size=12) | st.sampled_from(["e\u0301", "👩‍👩‍👧", "\r\n", "\u2028", "ﬁ"])


@given(before=pieces, span=pieces, after=pieces)
def test_the_span_read_back_is_the_span_found(before: str, span: str, after: str) -> None:
    text = before + span + after
    row = DataRow(id="r", row_data=text)
    found = FoundEntity("Place", len(before), len(before) + len(span) - 1, 0.0)
    matched = Matcher(ONTOLOGY, MatchRules()).match([found], row)
    (line,) = lines(matched.annotations, row, row_uuids("run", row.id))
    value = json.loads(line)
    assert text[value["location"]["start"] : value["location"]["end"] + 1] == span
    assert value["confidence"] == 0.0
