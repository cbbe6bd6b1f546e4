"""Match loses nothing: whatever a model says is used, counted with a reason, or an error that names the row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vertex_model_inference.annotations import (
    Annotation,
    Answer,
    Box,
    Checklist,
    FreeText,
    Question,
    Radio,
    Relationship,
    VideoMask,
)
from vertex_model_inference.errors import MatchError
from vertex_model_inference.findings import (
    Finding,
    FoundBox,
    FoundEntity,
    FoundFrame,
    FoundFrameMask,
    FoundLabel,
    FoundLine,
    FoundMask,
    FoundMaskLink,
    FoundPoint,
    FoundPolygon,
    FoundQuote,
    FoundRelation,
    FoundText,
    FoundTokens,
    FoundTrack,
    FoundVideoMask,
)
from vertex_model_inference.geometry.runs import encode
from vertex_model_inference.labelbox.ndjson import lines, row_uuids
from vertex_model_inference.models import MatchRules
from vertex_model_inference.ontology import Classification, Ontology, Option, Tool
from vertex_model_inference.rows import DataRow
from vertex_model_inference.steps.match import Matched, Matcher

calmly = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=300)
ROW = DataRow(id="cm0datarow000000000000001", row_data="gs://b/o.jpg", width=640, height=480)


def _question(kind: str, name: str, *options: Option | str) -> Classification:
    made = tuple(
        o if isinstance(o, Option) else Option(name=o, label=o.upper(), feature_schema_id=f"{name}.{o}")
        for o in options
    )
    return Classification(kind=kind, name=name, feature_schema_id=name, options=made)


def _option(name: str, *asked: Classification) -> Option:
    return Option(name=name, label=name, feature_schema_id=f"o.{name}", classifications=asked)


MOOD = _question(
    "radio", "mood", "calm", _option("wild", _question("checklist", "signs", "furry", "loud"), _question("text", "why"))
)
ONTOLOGY = Ontology(
    id="o",
    name="o",
    tools=(
        Tool(kind="rectangle", name="cat", feature_schema_id="t1", classifications=(_question("text", "read"), MOOD)),
        Tool(
            kind="rectangle",
            name="line",
            feature_schema_id="t2",
            classifications=(_question("text", "one"), _question("text", "two")),
        ),
        Tool(kind="rectangle", name="twin", feature_schema_id="t3"),
        Tool(kind="rectangle", name="twin", feature_schema_id="t4"),
        Tool(kind="polygon", name="dog", feature_schema_id="t5", classifications=(MOOD,)),
        Tool(kind="raster-segmentation", name="cat", feature_schema_id="t6"),
        Tool(kind="superpixel", name="lamp", feature_schema_id="t6b", classifications=(MOOD,)),
        Tool(kind="line", name="line", feature_schema_id="t7"),
        Tool(kind="point", name="loud", feature_schema_id="t8", classifications=(MOOD,)),
        Tool(kind="named-entity", name="furry", feature_schema_id="t9", classifications=(MOOD,)),
        Tool(kind="edge", name="owns", feature_schema_id="t10"),
    ),
    classifications=(
        _question("radio", "animal", "cat", _option("dog", MOOD), "both"),
        _question("checklist", "traits", "furry", "loud", _option("both", _question("radio", "which", "one", "other"))),
        _question("text", "caption"),
    ),
)
WORDS = ["cat", "dog", "furry", "loud", "both", "twin", "line", "caption", "lamp", "calm", "wild", "why", "one", "read"]
labels = st.sampled_from([*WORDS, "Cat", "FURRY", "animal/both", "mood/calm"]) | st.text(max_size=8)
confidences = st.none() | st.sampled_from([0.0, 0.5, 1.0]) | st.floats(0, 1)
sides = st.just(0.0) | st.floats(0, 5_000)
texts = st.text(max_size=8) | st.sampled_from(["\u2028", "a\u0085b\u2029", "\n", "é😀"])
places = st.tuples(sides, sides)
ids = st.sampled_from([None, "a", "b", "c"])
frames = st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), max_size=2).map(tuple)
questions = st.sampled_from([None, None, "animal", "mood", "traits", "signs"])
_SPOTS = np.zeros((ROW.height or 1, ROW.width or 1), dtype=np.bool_)
_SPOTS[2:6, 1:5] = _SPOTS[8:10, 7:9] = True
counts = st.sampled_from([encode(_SPOTS), encode(~_SPOTS), encode(_SPOTS & False)]) | st.binary(max_size=9)
written = st.builds(FoundText, labels, texts, confidences)
answers: st.SearchStrategy[tuple[FoundLabel | FoundText, ...]] = st.recursive(
    st.lists(written | st.builds(FoundLabel, labels, confidences, questions), max_size=3).map(tuple),
    lambda inner: st.lists(
        written | st.builds(FoundLabel, labels, confidences, questions, inner, frames), max_size=3
    ).map(tuple),
    max_leaves=6,
)
scored = {"label": labels, "confidence": confidences, "answers": answers, "id": ids}
segments = st.lists(
    st.lists(st.builds(FoundFrame, st.integers(0, 5), sides, sides, sides, sides), max_size=3).map(tuple), max_size=2
).map(tuple)
findings: st.SearchStrategy[list[Finding]] = st.lists(
    st.builds(FoundLabel, labels, confidences, questions, answers, frames, st.none() | st.just("m1"))
    | st.builds(FoundText, labels, texts, confidences, st.none() | st.just("m1"))
    | st.builds(FoundBox, left=sides, top=sides, width=sides, height=sides, text=st.none() | texts, **scored)
    | st.builds(FoundPolygon, points=st.lists(places, max_size=5).map(tuple), **scored)
    | st.builds(FoundLine, points=st.lists(places, max_size=3).map(tuple), **scored)
    | st.builds(FoundPoint, x=sides, y=sides, **scored)
    | st.builds(FoundMask, counts=counts, width=st.just(ROW.width), height=st.just(ROW.height), **scored)
    | st.builds(
        FoundMaskLink, uri=texts | st.just("https://h/m.png"), color=st.tuples(*[st.integers(-1, 256)] * 3), **scored
    )
    | st.builds(FoundEntity, start=st.integers(-1, 9), end=st.integers(0, 9), **scored)
    | st.builds(FoundQuote, text=texts, **scored)
    | st.builds(FoundTokens, selections=st.just(((1, "g", ("t1", "t2")),)) | st.just(()), **scored)
    | st.builds(FoundTrack, segments=segments, **scored)
    | st.builds(
        FoundVideoMask,
        labels,
        st.lists(st.builds(FoundFrameMask, st.integers(0, 3), counts), max_size=2).map(tuple),
        st.just(ROW.width),
        st.just(ROW.height),
        confidences,
        ids,
    )
    | st.builds(FoundRelation, st.just("owns") | labels, *[st.sampled_from("abcd")] * 2, confidences, st.booleans()),
    max_size=8,
)
rules = st.builds(
    MatchRules,
    threshold=st.none() | st.sampled_from([0.0, 0.5, 1.0]),
    classes=st.sampled_from(
        [{}, {"lamp": "cat", "dog": "animal/dog"}, {"dog": ("cat", "dog", "loud", "animal/dog")}, {"mood/cat": "wild"}]
    ),
    thresholds=st.sampled_from([{}, {"cat": 0.5}]),
    top_k=st.sampled_from([None, 1]),
    nms_iou=st.sampled_from([None, 0.0, 0.5]),
    min_size_px=st.sampled_from([0.0, 3.0]),
    max_annotations=st.sampled_from([1, 5000]),
    unmapped=st.sampled_from(["fail", "drop", "drop", "report"]),
    text_feature=st.sampled_from([None, "one"]),
)


def said(found: Finding) -> Iterator[Finding]:
    """A finding and all answers in it."""
    yield found
    for answer in getattr(found, "answers", ()):
        yield from said(answer)


def used(annotation: Annotation) -> int:
    """The objects and answers that are uploaded."""
    if isinstance(annotation, Radio):
        return 1 + sum(map(used, annotation.answer.classifications))
    if isinstance(annotation, Checklist):
        return sum(1 + sum(map(used, answer.classifications)) for answer in annotation.answers)
    if isinstance(annotation, FreeText | Relationship | VideoMask):
        return 1
    return 1 + sum(map(used, annotation.classifications))


def _sound(asked: tuple[Question, ...], *, top: bool) -> None:
    """Nothing is answered twice, and nothing is answered by nothing."""
    for question in asked:
        if isinstance(question, FreeText):
            assert question.text
            continue
        chosen = (question.answer,) if isinstance(question, Radio) else question.answers
        assert chosen
        assert top or len({answer.feature_schema_id for answer in chosen}) == len(chosen)
        for answer in chosen:
            assert isinstance(answer, Answer)
            assert top or not answer.frames
            _sound(answer.classifications, top=False)
    names = [(question.name, getattr(question, "message_id", None)) for question in asked]
    assert top or len(names) == len(set(names))


def check(matched: Matched, found: list[Finding], how: MatchRules) -> None:
    everything = [each for finding in found for each in said(finding)]
    total = sum(map(used, matched.annotations)) + sum(matched.dropped.values()) + matched.outscored + matched.lost
    assert total == len(everything) + matched.extra
    assert min(matched.outscored, matched.extra, matched.lost) >= 0
    assert set(matched.dropped) <= {each.label for each in everything}
    features = Counter(annotation.feature_schema_id for annotation in matched.annotations)
    assert not features or max(features.values()) <= how.max_annotations
    for annotation in matched.annotations:
        if isinstance(annotation, Relationship):
            assert annotation.source != annotation.target
            for end in (annotation.source, annotation.target):
                assert not isinstance(matched.annotations[end], Relationship | Radio | Checklist | FreeText)
        elif isinstance(annotation, Radio | Checklist | FreeText):
            _sound((annotation,), top=True)
        elif not isinstance(annotation, VideoMask):
            _sound(annotation.classifications, top=True)
    if how.threshold is not None and not how.thresholds:
        kept = [annotation.confidence for annotation in matched.annotations]
        assert all(confidence is None or confidence >= how.threshold for confidence in kept)


@calmly
@given(found=findings, how=rules)
def test_each_finding_and_answer_is_used_counted_or_an_error(found: list[Finding], how: MatchRules) -> None:
    matcher = Matcher(ONTOLOGY, how)
    try:
        matched = matcher.match(found, ROW)
    except MatchError as error:
        told = str(error)
        assert ROW.id in told
        return
    check(matched, found, how)
    assert matcher.match(found, ROW) == matched  # what is remembered of names changes nothing
    lines(matched.annotations, ROW, row_uuids("run", ROW.id))  # what match lets pass can be written


@calmly
@given(
    claims=st.lists(
        st.tuples(
            st.sampled_from(["cat", "dog", "both", "calm"]),
            st.floats(0, 1).map(lambda value: round(value, 3)),
            st.lists(st.tuples(st.integers(1, 12), st.integers(0, 6)), min_size=1, max_size=2),
        ),
        max_size=6,
    )
)
def test_at_each_frame_stands_the_answer_that_would_stand_alone(
    claims: list[tuple[str, float, list[tuple[int, int]]]],
) -> None:
    ontology = Ontology(id="o", name="o", classifications=ONTOLOGY.classifications[:1])
    matcher = Matcher(ontology, MatchRules())
    found = [FoundLabel(name, score, frames=tuple((a, a + n) for a, n in ranges)) for name, score, ranges in claims]
    matched = matcher.match(found, ROW)
    check(matched, list(found), MatchRules())
    for frame in range(1, 20):
        now = [
            FoundLabel(each.label, each.confidence) for each in found if any(a <= frame <= b for a, b in each.frames)
        ]
        alone = matcher.match(now, ROW).annotations
        standing = [
            (each.answer, first)
            for each in matched.annotations
            if isinstance(each, Radio)
            for first, last in each.answer.frames
            if first <= frame <= last
        ]
        assert len(standing) == len(alone) <= 1
        if alone:
            (there,) = alone
            assert isinstance(there, Radio)
            answer = standing[0][0]
            assert answer.name == there.answer.name
            assert len(answer.classifications) == len(there.answer.classifications)
            assert (answer.confidence or 0) >= (there.answer.confidence or 0)
            assert any(answer.confidence == each.confidence for each in found)


@st.composite
def boxes_with_ids(draw: st.DrawFn) -> list[FoundBox]:
    """Boxes named a, b, c ... by the model; now and then one has the name of another, no area, or little confidence."""
    mostly = st.sampled_from([0, 0, 0, 0, 1]).map(bool)
    return [
        FoundBox(
            draw(st.sampled_from(["cat", "dog"])),
            draw(st.sampled_from([0.0, 1.0, 100.0, 200.0])),
            5.0,
            0.0 if draw(mostly) else 40.0,
            50.0,
            draw(st.sampled_from([0.2, 0.6, 0.9])),
            id="a" if draw(mostly) else name,
        )
        for name in "abcd"[: draw(st.integers(0, 4))]
    ]


pairs = st.sampled_from([(a, b) for a in "abcd" for b in "abcd" if (a, b) != ("d", "c")])
relations = st.lists(
    st.builds(
        lambda pair, confidence, directed: FoundRelation("owns", pair[0], pair[1], confidence, directed),
        pairs,
        confidences,
        st.booleans(),
    ),
    max_size=5,
)


@calmly
@given(
    objects=boxes_with_ids(),
    related=relations,
    how=st.builds(
        MatchRules,
        threshold=st.sampled_from([None, 0.5]),
        nms_iou=st.sampled_from([None, 0.5]),
        max_annotations=st.sampled_from([1, 2, 5000]),
        classes=st.sampled_from([{"dog": "cat"}, {"dog": ("t1", "t3")}]),
        unmapped=st.just("drop"),
    ),
)
def test_each_relation_stands_between_its_own_ends_or_is_counted(
    objects: list[FoundBox], related: list[FoundRelation], how: MatchRules
) -> None:
    found: list[Finding] = [*related, *objects]
    matched = Matcher(ONTOLOGY, how).match(found, ROW)
    check(matched, found, how)
    made = [each for each in matched.annotations if isinstance(each, Relationship)]
    names = {each.id for each in objects}
    for relation in made:
        ends = matched.annotations[relation.source], matched.annotations[relation.target]
        places = [(end.left, end.confidence) for end in ends if isinstance(end, Box)]
        assert len(places) == 2
        of_ids = [{(each.left, each.confidence) for each in objects if each.id == name} for name in names if name]
        assert all(any(place in several for several in of_ids) for place in places)
    dropped = matched.dropped.get("owns", 0)
    assert dropped <= len(related)
    assert len(made) <= min(len(related), how.max_annotations)
    if not made and related:
        assert dropped == len(related)
