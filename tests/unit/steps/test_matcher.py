from __future__ import annotations

from collections.abc import Sequence

import pytest

from vertex_model_inference.annotations import Annotation, Answer, Box, Checklist, FreeText, Radio
from vertex_model_inference.errors import MatchError, SettingsError
from vertex_model_inference.findings import Finding, FoundBox, FoundLabel, FoundText
from vertex_model_inference.models import MatchRules
from vertex_model_inference.ontology import Classification, Ontology, Option, Tool
from vertex_model_inference.rows import DataRow
from vertex_model_inference.steps.match import Matched, Matcher

ROW = DataRow(id="row-1", row_data="gs://b/o.jpg", width=200, height=100)


def sid(name: str) -> str:
    return (name.replace(" ", "").lower() + "0" * 25)[:25]


def question(kind: str, name: str, *options: str) -> Classification:
    return Classification(
        kind=kind,
        name=name,
        feature_schema_id=sid(name),
        options=tuple(Option(name=o, label=o, feature_schema_id=sid(name[:3] + o)) for o in options),
    )


def tool(name: str, *questions: Classification, kind: str = "rectangle") -> Tool:
    return Tool(kind=kind, name=name, feature_schema_id=sid("tool" + name), classifications=questions)


def ontology(*parts: Tool | Classification) -> Ontology:
    return Ontology(
        id="o",
        name="animals",
        tools=tuple(part for part in parts if isinstance(part, Tool)),
        classifications=tuple(part for part in parts if isinstance(part, Classification)),
    )


SPECIES = question("radio", "Species", "cat", "dog", "Guinea-Pig")
TRAITS = question("checklist", "Traits", "furry", "loud")
ANIMALS = ontology(
    SPECIES,
    TRAITS,
    question("text", "Caption"),
    tool("Café Table", question("text", "transcription")),
    tool("chair"),
    tool("outline", kind="polygon"),
)


def match(findings: Sequence[Finding], onto: Ontology = ANIMALS, **rules: object) -> Matched:
    return Matcher(onto, MatchRules(**rules)).match(findings, ROW)  # type: ignore[arg-type]


def radio(option: str, confidence: float | None) -> Radio:
    return Radio("Species", sid("Species"), Answer(option, sid("Spe" + option), confidence))


def test_radio_takes_the_best_answer_and_counts_the_others() -> None:
    found = match([FoundLabel("dog", 0.2), FoundLabel("cat", 0.7), FoundLabel("guinea pig", 0.1)])
    assert found == Matched((radio("cat", 0.7),), {}, (), 2)


def test_radio_below_the_threshold_leaves_the_row_empty() -> None:
    found = match([FoundLabel("dog", 0.3), FoundLabel("cat", 0.4)], threshold=0.5)
    assert found == Matched((), {"dog": 1, "cat": 1})


def test_a_confidence_equal_to_the_threshold_is_kept() -> None:
    assert match([FoundLabel("cat", 0.5)], threshold=0.5).annotations == (radio("cat", 0.5),)


def test_radio_keeps_a_confidence_of_zero_and_the_first_of_equals() -> None:
    assert match([FoundLabel("dog", 0.0), FoundLabel("cat", 0.0)]).annotations == (radio("dog", 0.0),)


def test_radio_refuses_two_answers_without_scores() -> None:
    with pytest.raises(MatchError, match="both 'cat' and 'dog' without scores"):
        match([FoundLabel("cat"), FoundLabel("dog")])


@pytest.mark.parametrize(
    ("threshold", "kept", "dropped"),
    [(None, ["furry"], {"loud": 1}), (0.3, ["furry", "loud"], {}), (0.95, [], {"furry": 1, "loud": 1})],
)
def test_checklist_takes_all_from_the_threshold_up(
    threshold: float | None, kept: list[str], dropped: dict[str, int]
) -> None:
    found = match([FoundLabel("furry", 0.9), FoundLabel("loud", 0.4)], threshold=threshold)
    assert [answer.name for a in found.annotations if isinstance(a, Checklist) for answer in a.answers] == kept
    assert len(found.annotations) == bool(kept)
    assert found.dropped == dropped


def test_one_answer_may_be_given_twice_by_two_classes() -> None:
    found = match([FoundLabel("a", 0.6), FoundLabel("furry", 0.9)], classes={"a": "furry"})
    assert found.annotations == (Checklist("Traits", sid("Traits"), (Answer("furry", sid("Trafurry"), 0.9),)),)
    assert found.outscored == 1


@pytest.mark.parametrize("name", ["Café Table", "cafe_table", "CAFE-TABLE", "Cafe\u0301 table", "CaféTable"])
def test_tools_are_found_by_name_ignoring_case_fillers_and_accents(name: str) -> None:
    (box,) = match([FoundBox(name, 1, 2, 3, 4, 0.5)]).annotations
    assert box == Box("Café Table", sid("toolCafé Table"), 1, 2, 3, 4, 0.5)


@pytest.mark.parametrize("name", ["Species/dog", "species / DOG", "Species_dog", "species_guinea_pig", "guineapig"])
def test_options_are_found_by_path(name: str) -> None:
    (found,) = match([FoundLabel(name, 1.0)]).annotations
    assert isinstance(found, Radio)


def test_explicit_classes_come_before_all_else() -> None:
    assert match([FoundLabel("cat", 1.0)], classes={"cat": "Species/dog"}).annotations == (radio("dog", 1.0),)


def test_text_in_a_box_becomes_the_nested_answer_with_the_same_confidence() -> None:
    (box,) = match([FoundBox("Café Table", 1, 2, 3, 4, 0.0, "Menu")]).annotations
    assert isinstance(box, Box)
    assert box.classifications == (FreeText("transcription", sid("transcription"), "Menu", 0.0),)


def test_text_that_no_question_takes_is_noted_and_the_box_kept() -> None:
    found = match([FoundBox("chair", 1, 2, 3, 4, 0.5, "Menu")])
    assert len(found.annotations) == 1
    assert "no free-text question" in found.notes[0]


def test_text_for_a_tool_with_two_questions_needs_the_setting() -> None:
    two = ontology(tool("line", question("text", "one"), question("text", "The Other")))
    findings = [FoundBox("line", 1, 2, 3, 4, None, "Hi")]
    with pytest.raises(MatchError, match="several free-text questions"):
        match(findings, two)
    (box,) = match(findings, two, text_feature="the other").annotations
    assert isinstance(box, Box)
    assert box.classifications == (FreeText("The Other", sid("The Other"), "Hi"),)
    with pytest.raises(SettingsError, match="'third'"):
        match(findings, two, text_feature="third")


def test_text_about_the_asset_becomes_free_text() -> None:
    found = match([FoundText("caption", "A cat.", 0.5), FoundText("caption", "")])
    assert found.annotations == (FreeText("Caption", sid("Caption"), "A cat.", 0.5),)
    assert found.dropped == {"caption": 1}


def test_unmapped_fails_the_row_with_a_suggestion() -> None:
    with pytest.raises(MatchError, match="'chiar' fits no rectangle tool") as caught:
        match([FoundBox("chiar", 1, 2, 3, 4)])
    assert caught.value.error_code == "unmapped"
    assert "Did you mean 'chair'?" in str(caught.value)
    assert "row-1" in str(caught.value)


def test_unmapped_says_when_the_kind_is_wrong() -> None:
    with pytest.raises(MatchError, match="'chair' is a rectangle tool there"):
        match([FoundLabel("chair", 0.5)])


def test_unmapped_can_be_dropped_or_reported() -> None:
    findings = [FoundBox("lamp", 1, 2, 3, 4), FoundBox("lamp", 1, 2, 3, 4), FoundBox("chair", 1, 2, 3, 4)]
    dropped = match(findings, unmapped="drop")
    assert (len(dropped.annotations), dropped.dropped, dropped.notes) == (1, {"lamp": 2}, ())
    reported = match(findings, unmapped="report")
    assert reported.dropped == {"lamp": 2}
    assert len(reported.notes) == 1
    assert "'lamp'" in reported.notes[0]


AMBIGUOUS = ontology(question("radio", "Wet", "yes", "no"), question("radio", "Cold", "yes", "no"))


def test_an_option_under_two_questions_is_an_error_that_lists_both() -> None:
    with pytest.raises(MatchError, match=r"Wet/yes .*, Cold/yes ") as caught:
        match([FoundLabel("yes", 0.5)], AMBIGUOUS)
    assert caught.value.error_code == "ambiguous"
    with pytest.raises(MatchError):
        match([FoundLabel("yes", 0.5)], AMBIGUOUS, unmapped="drop")
    with pytest.raises(SettingsError, match="2 features"):
        Matcher(AMBIGUOUS, MatchRules(), names=["yes"])
    with pytest.raises(SettingsError, match="2 features"):
        Matcher(AMBIGUOUS, MatchRules(classes={"wet": "yes"}))
    (found,) = (
        Matcher(AMBIGUOUS, MatchRules(classes={"yes": "Cold/yes"}), names=["yes"])
        .match([FoundLabel("yes", 0.5)], ROW)
        .annotations
    )
    assert isinstance(found, Radio)
    assert found.name == "Cold"


def test_two_tools_of_one_name_are_told_apart_by_schema_id() -> None:
    one = Tool(kind="rectangle", name="car", feature_schema_id="1" * 25)
    two = Tool(kind="rectangle", name="car", feature_schema_id="2" * 25)
    both = ontology(one, two)
    with pytest.raises(MatchError, match="2 features"):
        match([FoundBox("car", 1, 2, 3, 4)], both)
    (box,) = match([FoundBox("car", 1, 2, 3, 4)], both, classes={"car": "2" * 25}).annotations
    assert box == Box("car", "2" * 25, 1, 2, 3, 4, by_id=True)


def test_a_box_without_area_is_counted() -> None:
    found = match([FoundBox("chair", 1, 2, 0, 4)])
    assert (found.annotations, found.dropped) == ((), {"chair": 1})
    assert "no area" in found.notes[0]


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (MatchRules(unmapped="ignore"), "unmapped is 'ignore'"),
        (MatchRules(threshold=50), "threshold is 50"),
        (MatchRules(classes={"a": "chiar"}), "'chiar', which the ontology"),
        (MatchRules(text_feature="x"), "text_feature is 'x'"),
    ],
)
def test_rules_that_cannot_work_are_refused_at_once(rules: MatchRules, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Matcher(ANIMALS, rules)


def test_scripts_whose_marks_are_letters_are_not_folded_together() -> None:
    hindi = ontology(question("radio", "q", "कु", "कि"))
    (found,) = match([FoundLabel("कि", 1.0)], hindi).annotations
    assert isinstance(found, Radio)
    assert found.answer.name == "कि"
    with pytest.raises(MatchError):
        match([FoundLabel("क", 1.0)], hindi)


def test_objects_come_first_then_questions_in_the_order_found() -> None:
    kinds: list[type[Annotation]] = [
        type(a)
        for a in match([FoundLabel("cat"), FoundBox("chair", 1, 1, 1, 1), FoundText("caption", "x")]).annotations
    ]
    assert kinds == [Box, Radio, FreeText]
