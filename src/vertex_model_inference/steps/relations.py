"""Relations between things found become relationships between the annotations made of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from vertex_model_inference.annotations import Relationship
from vertex_model_inference.findings import FoundRelation
from vertex_model_inference.models import MatchRules
from vertex_model_inference.rows import DataRow
from vertex_model_inference.steps.answers import is_below
from vertex_model_inference.steps.kinds import KIND_OF
from vertex_model_inference.steps.resolve import Resolver, settle
from vertex_model_inference.steps.tally import Tally, quoted

__all__ = ["relate"]


def relate(
    relations: Sequence[FoundRelation],
    findings: Sequence[Any],
    resolver: Resolver,
    rules: MatchRules,
    row: DataRow,
    tally: Tally,
) -> None:
    """Add the relationships, once all that they can relate is there.

    A relation whose end was left out, is not there, is twice there, or is its other end is dropped, with a note. Said
    twice, it is made once.

    Args:
        relations: Of the row.
        findings: All of the row, for the ids that they have.
        resolver: Looks the relation's class up among the relationship tools.
        rules: For the threshold.
        row: For messages.
        tally: ``places`` says where the annotation of an id is; several parts of one thing: the first, the largest.

    Raises:
        MatchError: A class is ambiguous, or fits no tool and is to fail the row.
    """
    ids = Counter(each.id for each in findings if getattr(each, "id", None) is not None)
    made: set[tuple[object, ...]] = set()
    for found in relations:
        if is_below(found.label, found.confidence, rules):
            tally.drop(found.label)
            continue
        tools = settle(resolver.tool(KIND_OF[FoundRelation], found.label), found.label, rules.unmapped, row, tally)
        if not tools:
            continue
        ends = _ends(found, ids, tally)
        if isinstance(ends, str):
            tally.drop(found.label)
            tally.note(f"A relation of class {quoted(found.label)} was left out: {ends}.")
            continue
        source, target = ends
        tally.extra += len(tools) - 1
        for tool in tools:
            # A relation that goes both ways is the same whichever end is named first.
            key = (tool, found.directed, ends if found.directed else frozenset(ends))
            if key in made:
                tally.outscored += 1
                continue
            made.add(key)
            tally.add(
                Relationship(
                    tool.name,
                    tool.feature_schema_id,
                    source,
                    target,
                    found.directed,
                    found.confidence,
                    tool.by_id,
                ),
                found.label,
            )


def _ends(found: FoundRelation, ids: Counter[str], tally: Tally) -> tuple[int, int] | str:
    """The annotations of both ends, or what is wrong with them."""
    if found.source == found.target:
        return f"it relates {quoted(found.source)} to itself"
    places: list[int] = []
    for which, name in (("source", found.source), ("target", found.target)):
        if not ids[name]:
            return f"the model gives nothing with the id {quoted(name)}, its {which}"
        if ids[name] > 1:
            return f"the model gives {ids[name]} things with the id {quoted(name)}, its {which}"
        place = tally.places.get(name)
        if place is None:
            return f"its {which} {quoted(name)} was left out"
        places.append(place)
    return places[0], places[1]
