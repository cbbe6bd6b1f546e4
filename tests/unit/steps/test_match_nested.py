"""Answers below tools, options and nested questions; by message and by frame; relations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from vertex_model_inference.annotations import (
    Annotation,
    Answer,
    Box,
    Checklist,
    FreeText,
    Polygon,
    Question,
    Radio,
    Relationship,
    TextEntity,
    VideoMask,
)
from vertex_model_inference.errors import MatchError, SettingsError
from vertex_model_inference.findings import (
    Finding,
    FoundBox,
    FoundEntity,
    FoundLabel,
    FoundLine,
    FoundMask,
    FoundPoint,
    FoundPolygon,
    FoundRelation,
    FoundText,
)
from vertex_model_inference.geometry.masks import draw
from vertex_model_inference.geometry.runs import encode
from vertex_model_inference.models import MatchRules
from vertex_model_inference.ontology import Classification, Ontology, Option, Tool
from vertex_model_inference.rows import DataRow, MediaType
from vertex_model_inference.sources import Message, Source
from vertex_model_inference.steps.match import Matched, Matcher

ROW = DataRow(id="row-1", row_data="gs://b/o.jpg", width=200, height=100)
RING = ((1.0, 1.0), (9.0, 1.0), (9.0, 9.0))


def option(name: str, *asked: Classification) -> Option:
    return Option(name=name, label=name, feature_schema_id=f"o:{name}", classifications=asked)


def ask(kind: str, name: str, *options: Option | str) -> Classification:
    made = tuple(each if isinstance(each, Option) else option(each) for each in options)
    return Classification(kind=kind, name=name, feature_schema_id=f"q:{name}", options=made)


def tool(kind: str, name: str, *asked: Classification) -> Tool:
    return Tool(kind=kind, name=name, feature_schema_id=f"t:{name}", classifications=asked)


COAT = ask("checklist", "Coat", "long", "Curly-Haired")
COLOUR = ask("radio", "Colour", "red", option("other", ask("text", "Which colour"), ask("checklist", "Marks", "spots")))
ONTOLOGY = Ontology(
    id="o",
    name="zoo",
    tools=(
        tool("rectangle", "car", COLOUR, ask("text", "Plate")),
        tool("polygon", "leaf", COLOUR),
        tool("raster-segmentation", "pixels", COLOUR),
        tool("superpixel", "patch", COLOUR),
        tool("line", "lane", COLOUR),
        tool("point", "spot", COLOUR),
        tool("named-entity", "name", COLOUR),
        tool("edge", "is part of"),
    ),
    classifications=(
        ask(
            "radio",
            "Animal",
            option("Dog", ask("radio", "Breed", option("Poodle", COAT), "Lab"), ask("text", "Note")),
            option("Cat", ask("radio", "Breed", "Persian", "Lab")),
            "Fish",
        ),
        ask("checklist", "Traits", option("loud", ask("radio", "How", "barks", "howls")), "furry"),
        ask("text", "Caption"),
    ),
)


def match(findings: Sequence[Finding], row: DataRow = ROW, source: Source | None = None, **rules: Any) -> Matched:
    return Matcher(ONTOLOGY, MatchRules(**rules)).match(findings, row, source)


def told(question: Annotation | Question) -> Any:
    """A question in short: name -> (option, confidence, nested), frames where there are some."""
    assert isinstance(question, Radio | Checklist | FreeText)
    if isinstance(question, FreeText):
        return {question.name: (question.text, question.confidence)}
    answers = (question.answer,) if isinstance(question, Radio) else question.answers
    made = []
    for answer in answers:
        nested: dict[str, Any] = {}
        for each in answer.classifications:
            nested |= told(each)
        made.append((answer.name, answer.confidence, *([nested] if nested else []), *answer.frames))
    return {question.name: made[0] if isinstance(question, Radio) else made}


def answers(findings: Sequence[Finding], **more: Any) -> list[Any]:
    return [told(each) for each in match(findings, **more).annotations]


@pytest.mark.parametrize(
    "name",
    [
        "Poodle",
        "poodle",
        "Animal/Dog/Breed/Poodle",
        "animal_dog_breed_poodle",
        "Breed/Poodle",
        "breed_POODLE",
        "o:Poodle",
    ],
)
def test_a_nested_option_chooses_what_it_stands_below(name: str) -> None:
    found = match([FoundLabel(name, 0.8)])
    assert [told(each) for each in found.annotations] == [{"Animal": ("Dog", 0.8, {"Breed": ("Poodle", 0.8)})}]
    assert (found.extra, found.outscored, found.dropped) == (1, 0, {})


def test_an_option_under_two_nested_questions_is_an_error_that_lists_them() -> None:
    with pytest.raises(MatchError, match=r"Animal/Dog/Breed/Lab .*Animal/Cat/Breed/Lab") as caught:
        match([FoundLabel("Lab", 0.8)])
    assert caught.value.error_code == "ambiguous"
    with pytest.raises(MatchError, match="2 features"):
        match([FoundLabel("Breed/Lab", 0.8)])
    dog = {"Animal": ("Dog", 0.8, {"Breed": ("Lab", 0.8)})}
    assert answers([FoundLabel("Dog/Breed/Lab", 0.8)]) == [dog]
    assert answers([FoundLabel("Lab", 0.8)], classes={"Lab": "animal/dog/breed/lab"}) == [dog]
    with pytest.raises(SettingsError, match="2 features"):
        Matcher(ONTOLOGY, MatchRules(), names=["Lab"])


def test_scores_over_leaves_and_branches_find_one_branch() -> None:
    found = match(
        [FoundLabel("Persian", 0.5), FoundLabel("Poodle", 0.3), FoundLabel("long", 0.6), FoundLabel("Fish", 0.1)]
    )
    # Dog has the best answer below it: the coat of a poodle, 0.6; Poodle has its own confidence.
    assert [told(each) for each in found.annotations] == [
        {"Animal": ("Dog", 0.6, {"Breed": ("Poodle", 0.3, {"Coat": [("long", 0.6)]})})}
    ]
    assert (found.outscored, found.extra) == (2, 1)


def test_a_given_confidence_of_a_branch_stands() -> None:
    given = [FoundLabel("Dog", 0.4), FoundLabel("Poodle", 0.9), FoundLabel("Cat", 0.5)]
    assert answers(given) == [{"Animal": ("Cat", 0.5)}]
    assert answers(given[:2]) == [{"Animal": ("Dog", 0.4, {"Breed": ("Poodle", 0.9)})}]


def test_answers_within_answers_are_looked_up_below_them() -> None:
    lab = FoundLabel("LAB", 0.7, "breed")
    note = FoundText("note", "asleep", 0.2)
    assert answers([FoundLabel("cat", 0.9, answers=(lab,))]) == [{"Animal": ("Cat", 0.9, {"Breed": ("Lab", 0.7)})}]
    deep = FoundLabel("Poodle", 0.7, answers=(FoundLabel("curly haired", None, "Coat"),))
    assert answers([FoundLabel("Dog", 0.9, answers=(deep, note))]) == [
        {
            "Animal": (
                "Dog",
                0.9,
                {"Breed": ("Poodle", 0.7, {"Coat": [("Curly-Haired", None)]}), "Note": ("asleep", 0.2)},
            )
        }
    ]
    with pytest.raises(MatchError, match="text 'note' fits no free-text question about the option 'Animal/Cat'"):
        match([FoundLabel("Cat", 0.9, answers=(note,))])


def test_the_best_nested_answer_stands_and_the_others_are_counted() -> None:
    given = FoundLabel("Dog", 0.9, answers=(FoundLabel("Lab", 0.3), FoundLabel("Poodle", 0.7)))
    found = match([given, FoundLabel("Cat", 0.1, answers=(FoundLabel("Persian", 1.0),))])
    assert [told(each) for each in found.annotations] == [{"Animal": ("Dog", 0.9, {"Breed": ("Poodle", 0.7)})}]
    assert found.outscored == 3
    with pytest.raises(MatchError, match=r"both 'Lab' and 'Poodle' without scores.*radio 'Breed'"):
        match([FoundLabel("Dog", 0.9, answers=(FoundLabel("Lab"), FoundLabel("Poodle")))])


def test_a_label_may_name_its_question() -> None:
    assert answers([FoundLabel("loud", 0.9, "traits")]) == [{"Traits": [("loud", 0.9)]}]
    assert answers([FoundLabel("lab", 0.9, "Animal/Cat/Breed")]) == [{"Animal": ("Cat", 0.9, {"Breed": ("Lab", 0.9)})}]
    with pytest.raises(MatchError, match=r"answer 'loud' to 'Animal' fits no radio or checklist option.*'loud' is a"):
        match([FoundLabel("loud", 0.9, "Animal")])
    with pytest.raises(MatchError, match=r"'loud' to 'Trait' fits no radio or checklist question.*mean 'Traits'"):
        match([FoundLabel("loud", 0.9, "Trait")])


def test_vmi_toml_names_options_and_questions_of_answers() -> None:
    given = [FoundBox("car", 1, 1, 5, 5, 0.5, answers=(FoundLabel("rot", 0.4, "farbe"),))]
    for classes in ({"farbe/rot": "Colour/red"}, {"rot": "red"}, {"farbe": "Colour", "farbe/rot": "red"}):
        (box,) = match(given, classes=classes).annotations
        assert isinstance(box, Box)
        assert [told(each) for each in box.classifications] == [{"Colour": ("red", 0.4)}]
    # A rule for another place does not stand in the way: "red" is a car there, a colour here.
    two = [FoundBox("red", 1, 1, 5, 5, 0.5, answers=(FoundLabel("red", 0.4),))]
    (box,) = match(two, classes={"red": "car"}).annotations
    assert isinstance(box, Box)
    assert [told(each) for each in box.classifications] == [{"Colour": ("red", 0.4)}]


SPEECH = (
    FoundLabel("other", 0.5, "Colour", answers=(FoundText("which colour", "teal", 0.25), FoundLabel("spots", 0.75))),
)
MASK = encode(draw(RING, 200, 100))


@pytest.mark.parametrize(
    "finding",
    [
        FoundBox("car", 1, 1, 5, 5, 0.5, answers=SPEECH),
        FoundPolygon("leaf", RING, 0.5, SPEECH),
        FoundMask("pixels", MASK, 200, 100, 0.5, SPEECH),
        FoundMask("patch", MASK, 200, 100, 0.5, SPEECH),
        FoundPolygon("patch", RING, 0.5, SPEECH),
        FoundMask("leaf", MASK, 200, 100, 0.5, SPEECH),
        FoundLine("lane", RING, 0.5, SPEECH),
        FoundPoint("spot", 1, 2, 0.5, SPEECH),
        FoundEntity("name", 0, 3, 0.5, SPEECH),
    ],
    ids=lambda each: f"{type(each).__name__} {each.label}",
)
def test_every_tool_takes_answers(finding: Finding) -> None:
    found = match([finding])
    (made,) = found.annotations
    assert not isinstance(made, Radio | Checklist | FreeText | Relationship | VideoMask)
    expected = {"Colour": ("other", 0.5, {"Which colour": ("teal", 0.25), "Marks": [("spots", 0.75)]})}
    assert [told(each) for each in made.classifications] == [expected]
    assert (found.extra, found.outscored, found.lost) == (0, 0, 0)


def test_parts_of_a_mask_have_the_same_answers() -> None:
    two = draw(RING, 200, 100) | draw(((50, 50), (60, 50), (60, 60)), 200, 100)
    found = match([FoundMask("leaf", encode(two), 200, 100, 0.5, SPEECH)])
    one, other = found.annotations
    assert isinstance(one, Polygon)
    assert isinstance(other, Polygon)
    assert one.classifications == other.classifications != ()
    assert found.extra == 4


def test_a_text_in_a_box_stands_beside_its_answers_and_never_twice() -> None:
    both = FoundBox("car", 1, 1, 5, 5, 0.5, "AB 1", (FoundLabel("red", 0.5),))
    (box,) = match([both]).annotations
    assert isinstance(box, Box)
    assert [told(each) for each in box.classifications] == [{"Colour": ("red", 0.5)}, {"Plate": ("AB 1", 0.5)}]
    twice = msgspec.structs.replace(both, answers=(FoundText("plate", "CD 2", 0.9),))
    (box,) = match([twice]).annotations
    assert isinstance(box, Box)
    assert [told(each) for each in box.classifications] == [{"Plate": ("CD 2", 0.9)}]


def test_unmapped_answers_fail_are_dropped_or_reported() -> None:
    given = [FoundBox("car", 1, 1, 5, 5, answers=(FoundLabel("blue", 0.5, "Colour"), FoundLabel("furry", 0.9)))]
    with pytest.raises(
        MatchError, match="answer 'blue' to 'Colour' fits no radio or checklist option about the tool 'car'"
    ):
        match(given)
    with pytest.raises(MatchError, match="'furry' is a radio or checklist option there"):
        match([FoundBox("car", 1, 1, 5, 5, answers=(FoundLabel("furry", 0.9),))])
    with pytest.raises(MatchError, match="'red' is a radio or checklist option about the tool 'car' there"):
        match([FoundLabel("red", 0.5)])
    dropped = match(given, unmapped="drop")
    assert (len(dropped.annotations), dropped.dropped, dropped.notes) == (1, {"blue": 1, "furry": 1}, ())
    assert len(match(given, unmapped="report").notes) == 2


def test_thresholds_and_top_k_hold_for_answers() -> None:
    traits = [FoundLabel("furry", 0.6), FoundLabel("barks", 0.7), FoundLabel("howls", 0.9)]
    assert answers(traits) == [{"Traits": [("furry", 0.6), ("loud", 0.9, {"How": ("howls", 0.9)})]}]
    assert answers(traits, top_k=1) == [{"Traits": [("loud", 0.9, {"How": ("howls", 0.9)})]}]
    assert match([FoundLabel("barks", 0.4)]).dropped == {"barks": 1}
    car = [FoundBox("car", 1, 1, 5, 5, 0.9, answers=(FoundLabel("other", 0.3, answers=SPEECH[0].answers),))]
    found = match(car, threshold=0.5)
    assert (found.dropped, found.lost) == ({"other": 1}, 2)


def test_answers_go_with_the_object_that_is_left_out() -> None:
    found = match([FoundBox("car", 1, 1, 0, 5, answers=SPEECH)])
    assert (found.annotations, found.dropped, found.lost) == ((), {"car": 1}, 3)
    cars = [FoundBox("car", n, 1, 5, 5, n / 10, answers=SPEECH) for n in range(3)]
    limited = match(cars, max_annotations=1)
    assert (len(limited.annotations), limited.dropped, limited.lost) == (1, {"car": 2}, 6)
    doubles = match([msgspec.structs.replace(each, left=1) for each in cars], nms_iou=0.5)
    assert (len(doubles.annotations), doubles.outscored, doubles.lost) == (1, 2, 6)


def test_each_message_has_its_own_answers() -> None:
    found = match(
        [
            FoundLabel("Fish", 0.9, message_id="m1"),
            FoundLabel("Poodle", 0.8, message_id="m2"),
            FoundLabel("Cat", 0.3),
            FoundText("caption", "Hi", message_id="m1"),
            FoundEntity("name", 0, 1, message_id="m2"),
        ]
    )
    assert [getattr(each, "message_id", None) for each in found.annotations] == ["m2", "m1", "m1", "m2", None]
    assert isinstance(found.annotations[0], TextEntity)
    assert [told(each) for each in found.annotations[1:]] == [
        {"Animal": ("Fish", 0.9)},
        {"Caption": ("Hi", None)},
        {"Animal": ("Dog", 0.8, {"Breed": ("Poodle", 0.8)})},
        {"Animal": ("Cat", 0.3)},
    ]


def test_at_each_frame_the_best_answer_stands() -> None:
    found = match(
        [
            FoundLabel("Cat", 0.5, frames=((1, 10),)),
            FoundLabel("Fish", 0.7, frames=((5, 6),)),
            FoundLabel("Cat", 0.9, frames=((11, 20), (30, 31))),
            FoundLabel("Poodle", 0.1, frames=((15, 25),)),
        ]
    )
    assert [told(each) for each in found.annotations] == [
        {"Animal": ("Cat", 0.5, (1, 4))},
        {"Animal": ("Cat", 0.9, (7, 20), (30, 31))},  # 7 to 10 and 11 to 20 touch: the better confidence
        {"Animal": ("Fish", 0.7, (5, 6))},
        {"Animal": ("Dog", 0.1, {"Breed": ("Poodle", 0.1)}, (21, 25))},
    ]
    assert found.outscored == 0


def test_what_holds_everywhere_fills_the_rest_of_the_video() -> None:
    video = msgspec.structs.replace(ROW, media_type=MediaType.VIDEO, frame_count=100)
    given = [FoundLabel("Cat", 0.5), FoundLabel("Fish", 0.9, frames=((5, 6),))]
    asked = tuple(msgspec.structs.replace(each, scope="index") for each in ONTOLOGY.classifications)
    by_frame = msgspec.structs.replace(ONTOLOGY, classifications=asked)
    found = [told(each) for each in Matcher(by_frame, MatchRules()).match(given, video).annotations]
    assert found == [{"Animal": ("Cat", 0.5, (1, 4), (7, 100))}, {"Animal": ("Fish", 0.9, (5, 6))}]
    assert answers(given) == [{"Animal": ("Cat", 0.5, (1, 4))}, {"Animal": ("Fish", 0.9, (5, 6))}]


def test_answers_of_a_checklist_keep_their_frames() -> None:
    given = [
        FoundLabel("furry", 0.6, frames=((1, 9),)),
        FoundLabel("furry", 0.8, frames=((20, 29),)),
        FoundLabel("howls", 0.9, frames=((5, 6),)),
        FoundLabel("loud", 0.3, frames=((1, 99),)),
    ]
    found = match(given)
    assert [told(each) for each in found.annotations] == [{"Traits": [("furry", 0.8, (1, 9), (20, 29))]}]
    assert found.dropped == {"loud": 1, "howls": 1}
    assert answers(given, threshold=0.2)[0]["Traits"][1:] == [
        ("loud", 0.3, (1, 4), (7, 99)),
        ("loud", 0.3, {"How": ("howls", 0.9)}, (5, 6)),
    ]


@pytest.mark.parametrize("frames", [(0, 3), (5, 4), (-1, -1)])
def test_ranges_that_are_none_are_refused(frames: tuple[int, int]) -> None:
    with pytest.raises(MatchError, match="no range of frames") as caught:
        match([FoundLabel("Cat", 0.5, frames=(frames,))])
    assert caught.value.error_code == "match_frames"


def test_relations_name_the_annotations_of_their_ends() -> None:
    given: list[Finding] = [
        FoundRelation("Is Part Of", "b", "a", 0.9),
        FoundLabel("Cat", 0.5),
        FoundBox("car", 1, 1, 0, 5, id="gone"),
        FoundBox("car", 1, 1, 5, 5, id="a"),
        FoundPoint("spot", 1, 1, id="b"),
        FoundRelation("is part of", "a", "b", directed=False),
        FoundRelation("is part of", "b", "a", directed=False),
    ]
    found = match(given)
    assert [type(each) for each in found.annotations[:3]] == [Box, type(found.annotations[1]), Radio]
    assert found.annotations[3:] == (
        Relationship("is part of", "t:is part of", 1, 0, confidence=0.9),
        Relationship("is part of", "t:is part of", 0, 1, directed=False),
    )
    assert (found.dropped, found.outscored) == ({"car": 1}, 1)


@pytest.mark.parametrize(
    ("relation", "why"),
    [
        (FoundRelation("is part of", "a", "gone"), "its target 'gone' was left out"),
        (FoundRelation("is part of", "nobody", "a"), "nothing with the id 'nobody', its source"),
        (FoundRelation("is part of", "a", "twin"), "2 things with the id 'twin'"),
        (FoundRelation("is part of", "a", "a"), "relates 'a' to itself"),
    ],
)
def test_a_relation_without_two_ends_is_dropped_with_the_reason(relation: FoundRelation, why: str) -> None:
    found = match(
        [
            FoundBox("car", 1, 1, 5, 5, 0.9, id="a"),
            FoundBox("car", 1, 1, 5, 5, 0.1, id="gone"),
            FoundBox("car", 50, 1, 5, 5, id="twin"),
            FoundBox("car", 60, 1, 5, 5, id="twin"),
            relation,
        ],
        nms_iou=0.5,
    )
    assert found.dropped == {"is part of": 1}
    assert why in found.notes[0]


def test_a_relation_keeps_its_ends_when_others_are_taken_away() -> None:
    given = [FoundBox("car", n, 1, 5, 5, n / 10, id=str(n)) for n in range(4)]
    found = match([*given, FoundRelation("is part of", "2", "3")], max_annotations=2)
    assert found.annotations[2] == Relationship("is part of", "t:is part of", 0, 1)
    gone = match([*given, FoundRelation("is part of", "0", "3")], max_annotations=2)
    assert gone.dropped == {"car": 2, "is part of": 1}


def test_a_class_of_relations_must_be_a_relationship_tool() -> None:
    with pytest.raises(MatchError, match=r"'car' fits no relationship tool.*'car' is a rectangle tool there"):
        match([FoundRelation("car", "a", "b")])


def test_a_span_beyond_the_text_is_told_where_the_text_is_known() -> None:
    inline = DataRow(id="row-2", row_data="Hello", media_type=MediaType.TEXT)
    assert len(match([FoundEntity("name", 0, 4)], inline).annotations) == 1
    with pytest.raises(MatchError, match="ends at character 5, but the text has only 5"):
        match([FoundEntity("name", 0, 5)], inline)
    source = Source(text="Hi", messages=(Message("m", "Hey"),))
    with pytest.raises(MatchError, match="has only 2"):
        match([FoundEntity("name", 0, 2)], ROW, source)
    with pytest.raises(MatchError, match="the message 'm' has only 3"):
        match([FoundEntity("name", 0, 3, message_id="m")], ROW, source)
    assert len(match([FoundEntity("name", 0, 9)], ROW).annotations) == 1


def test_kinds_that_nothing_makes_are_told() -> None:
    class FoundOdd(FoundPoint, frozen=True):
        pass

    with pytest.raises(MatchError, match="FoundOdd, which cannot be made an annotation"):
        match([FoundOdd("spot", 1, 1)])


def test_texts_compete_for_a_question() -> None:
    assert answers([FoundText("caption", "a", 0.2), FoundText("Caption", "b", 0.9)]) == [{"Caption": ("b", 0.9)}]
    assert answers([FoundText("caption", "a"), FoundText("caption", "a")]) == [{"Caption": ("a", None)}]
    with pytest.raises(MatchError, match=r"both 'a' and 'b' without scores.*free-text question 'Caption'"):
        match([FoundText("caption", "a"), FoundText("caption", "b")])


def test_a_name_that_stands_twice_is_told_by_its_id() -> None:
    twins = Ontology(
        id="o",
        name="o",
        classifications=(ask("radio", "q", option("a", *(ask("radio", "again", o) for o in "xy"))),),
    )
    (found,) = Matcher(twins, MatchRules()).match([FoundLabel("y", 0.5)], ROW).annotations
    assert isinstance(found, Radio)
    assert found.answer == Answer(
        "a", "o:a", 0.5, classifications=(Radio("again", "q:again", Answer("y", "o:y", 0.5), by_id=True),)
    )
