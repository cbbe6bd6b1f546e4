"""What is judged, what is only counted, and what is written down about each row."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.unit.evaluation.rows import ID, box, checklist, pair, radio

from vertex_model_inference.annotations import (
    Answer,
    DocumentEntity,
    FreeText,
    KeyFrame,
    Point,
    Polyline,
    Radio,
    Relationship,
    Selection,
    TextEntity,
    VideoBox,
)
from vertex_model_inference.evaluation.agreement import LabelVerdict, RowAgreement, SaidVerdict
from vertex_model_inference.evaluation.evaluator import Evaluator, RowPair
from vertex_model_inference.evaluation.kinds import Unmeasured
from vertex_model_inference.evaluation.scores import Evaluation, ObjectScore, SplitScore
from vertex_model_inference.evaluation.thresholds import threshold_lines
from vertex_model_inference.models import MatchRules, ModelOption, Predictor
from vertex_model_inference.rows import Split


def judged(*pairs: RowPair, distance_px: float = 10.0) -> tuple[list[RowAgreement], SplitScore]:
    evaluator = Evaluator(distance_px=distance_px)
    rows = evaluator.add(pairs)
    return rows, evaluator.scores()[0]


def one_kind(said: list[Any], meant: list[Any], *, distance_px: float = 10.0) -> ObjectScore:
    _, score = judged(pair(0, said, meant), distance_px=distance_px)
    [objects] = score.objects
    return objects


def test_rows_without_label_or_answer_are_counted_and_not_judged() -> None:
    evaluator = Evaluator()
    rows = evaluator.add(
        [
            pair(0, [radio("q", "a", 0.5)], None),
            pair(1, None, [radio("q", "a")]),
            pair(2, [radio("q", "a", 0.5)], [radio("q", "a")], several=True),
            pair(3, [], [], Split.TRAINING),
        ]
    )
    assert [row.data_row_id for row in rows] == ["row2", "row3"]
    whole, training, test = evaluator.scores()
    assert (whole.split, training.split, test.split) == ("all", "training", "test")
    counts = whole.rows
    assert (counts.exported, counts.labelled, counts.unlabelled, counts.unanswered) == (4, 3, 1, 1)
    assert (counts.judged, counts.several_labels) == (2, 1)
    assert test.rows.exported == 3
    assert training.choices == ()
    assert whole.choices[0].answered == 1


def test_an_empty_label_says_that_there_is_nothing() -> None:
    [row], score = judged(pair(0, [box("a", 0, 0, 9, 9, 0.8)], []))
    assert row.error == 0.8
    assert row.predictions[0].verdict is SaidVerdict.FALSE_ALARM
    assert score.objects[0].confusion.counts == ((0, 0), (1, 0))


def test_a_question_that_the_label_leaves_open_is_not_judged() -> None:
    [row], score = judged(
        pair(0, [radio("q", "a", 0.9), FreeText("t", ID, "x", 0.5)], [checklist("other", {"x": None})])
    )
    assert [said.verdict for said in row.predictions] == [SaidVerdict.OPEN] * 2
    by_question = {choice.question: choice for choice in score.choices}
    assert (by_question["q"].unlabelled, by_question["q"].answered, by_question["q"].accuracy) == (1, 0, None)
    assert (by_question["other"].missed, by_question["other"].accuracy) == (1, 0.0)
    assert score.texts[0].unlabelled == 1
    assert row.error == 1.0  # one missed label, and nothing else that was judged


def test_what_stands_in_the_place_of_another_class_is_confused_with_it() -> None:
    said = [box("cat", 0, 0, 10, 10, 0.9), box("dog", 50, 50, 10, 10, 0.6), box("cat", 80, 0, 5, 5, 0.3)]
    meant = [box("dog", 0, 0, 10, 10), box("dog", 50, 50, 10, 10), box("cow", 20, 80, 10, 10)]
    [row], score = judged(pair(0, said, meant))
    assert [(one.verdict.value, one.label) for one in row.predictions] == [
        ("confused", 0),
        ("right", 1),
        ("false_alarm", None),
    ]
    assert [(one.verdict.value, one.prediction) for one in row.labels] == [
        ("confused", 0),
        ("found", 1),
        ("missed", None),
    ]
    assert row.error == pytest.approx((0.9 + 0.3 + 1) / 4)
    confusion = score.objects[0].confusion
    cells = {
        (truth, said): confusion.counts[t][s]
        for t, truth in enumerate((*confusion.classes, "-"))
        for s, said in enumerate((*confusion.classes, "-"))
        if confusion.counts[t][s]
    }
    assert cells == {("dog", "cat"): 1, ("dog", "dog"): 1, ("-", "cat"): 1, ("cow", "-"): 1}


def test_boxes_on_different_pages_do_not_meet() -> None:
    first = msgspec.structs.replace(box("a", 0, 0, 9, 9, 0.5), page=1)
    second = msgspec.structs.replace(box("a", 0, 0, 9, 9), page=2)
    assert one_kind([first], [second]).levels[0].right == 0
    assert one_kind([first], [msgspec.structs.replace(second, page=1)]).levels[0].right == 1


def test_answers_about_objects_are_judged_where_the_object_is_right() -> None:
    def asked(one: Any, text: str, colour: str, confidence: float | None = None) -> Any:
        nested = (FreeText("words", ID, text, confidence), radio("colour", colour, confidence))
        return msgspec.structs.replace(one, classifications=nested)

    said = [
        asked(box("sign", 0, 0, 10, 10, 0.9), "STOP", "red", 0.9),
        asked(box("sign", 50, 0, 10, 10, 0.8), "G0", "red", 0.8),
        asked(box("sign", 90, 90, 5, 5, 0.7), "??", "red", 0.7),
    ]
    meant = [asked(box("sign", 0, 0, 10, 10), "STOP", "red"), asked(box("sign", 50, 0, 10, 10), "GO", "green")]
    [row], score = judged(pair(0, said, meant))
    [text] = score.texts
    assert (text.question, text.answered, text.exact, text.edit_distance) == ("sign/words", 2, 0.5, 0.25)
    assert text.character_error_rate == pytest.approx(1 / 6)
    [choice] = score.choices
    assert (choice.question, choice.answered, choice.accuracy) == ("sign/colour", 2, 0.5)
    assert {(said.index, said.feature) for said in row.predictions if "/" in said.feature} == {
        (index, name) for index in (0, 1) for name in ("sign/words", "sign/colour")
    }


def test_answers_below_answers_are_judged_where_the_answer_is_right() -> None:
    def which(option: str, kind: str, confidence: float | None = None) -> Radio:
        return Radio("animal", ID, Answer(option, ID, confidence, classifications=(radio("kind", kind, confidence),)))

    _, score = judged(
        pair(0, [which("cat", "tabby", 0.9)], [which("cat", "tabby")]),
        pair(1, [which("cat", "tabby", 0.9)], [which("cat", "calico")]),
        pair(2, [which("dog", "poodle", 0.9)], [which("cat", "calico")]),
    )
    by_question = {choice.question: choice for choice in score.choices}
    assert by_question["animal"].accuracy == pytest.approx(2 / 3)
    assert (by_question["animal/cat/kind"].answered, by_question["animal/cat/kind"].accuracy) == (2, 0.5)


def test_points_and_lines_by_distance() -> None:
    points = one_kind([Point("p", ID, 3, 4, 0.5), Point("p", ID, 90, 90, 0.9)], [Point("p", ID, 0, 0)])
    assert (points.measure, points.at, points.levels[0].right, points.mean_overlap) == ("distance", "10", 1, 5.0)
    assert {level.level: level.right for level in points.levels} == {
        "10": 1, "1": 0, "2": 0, "5": 1, "20": 1, "50": 1, "100": 1,
    }  # fmt: skip
    line = Polyline("l", ID, ((0.0, 0.0), (30.0, 0.0)), 0.5)
    other = Polyline("l", ID, ((30.0, 4.0), (10.0, 4.0), (0.0, 4.0)))
    lines = one_kind([line], [other])
    assert lines.mean_overlap == pytest.approx(4.0)
    assert one_kind([line], [other], distance_px=3.0).levels[0].right == 0


def test_spans_exact_and_overlapping() -> None:
    score = one_kind(
        [TextEntity("n", ID, 0, 4, 0.9), TextEntity("n", ID, 10, 14, 0.8), TextEntity("n", ID, 30, 31, 0.7)],
        [TextEntity("n", ID, 0, 4), TextEntity("n", ID, 14, 20)],
    )
    assert [(level.level, level.right) for level in score.levels] == [("exact", 1), ("overlap", 2)]
    assert score.levels[1].f1 == pytest.approx(0.8)
    other = TextEntity("n", ID, 0, 4, message_id="m2")
    assert one_kind([TextEntity("n", ID, 0, 4, 0.9, message_id="m1")], [other]).levels[1].right == 0


def test_words_of_documents() -> None:
    def words(*tokens: str) -> DocumentEntity:
        return DocumentEntity("n", ID, (Selection(tokens, "g", 1),))

    score = one_kind([words("a", "b"), words("x")], [words("b", "a"), words("x", "y")])
    assert [level.right for level in score.levels] == [1, 2]


def test_tracks_are_measured_frame_by_frame() -> None:
    def track(*keys: tuple[int, float]) -> VideoBox:
        return VideoBox("car", ID, (tuple(KeyFrame(frame, left, 0, 10, 10) for frame, left in keys),))

    # The label moves on a line between its key frames; the prediction stays where it began.
    [row], score = judged(pair(0, [track((1, 0), (11, 0))], [track((1, 0), (11, 20))]))
    [video] = score.objects
    assert (video.kind, video.labels, video.predictions) == ("video_box", 11, 11)
    assert video.levels[0].right == 2  # moved by 0 and 2 of 10: overlaps of 1 and 2/3; by 4: 6/14
    assert row.predictions[0].verdict is SaidVerdict.FALSE_ALARM
    assert row.labels[0].verdict is LabelVerdict.MISSED
    [row], _ = judged(pair(0, [track((1, 0), (11, 19))], [track((1, 0), (11, 20))]))
    assert row.predictions[0].verdict is SaidVerdict.RIGHT


def test_answers_through_time_count_by_frames() -> None:
    def during(option: str, *frames: tuple[int, int], confidence: float | None = None) -> Radio:
        return Radio("scene", ID, Answer(option, ID, confidence, frames=frames))

    said = [during("day", (1, 6), confidence=0.9), during("night", (7, 10), confidence=0.8)]
    _, score = judged(pair(0, said, [during("day", (1, 4)), during("night", (5, 8))]))
    [choice] = score.choices
    assert (choice.answered, choice.accuracy) == (8, 6 / 8)
    assert choice.confusion.counts[1][0] == 2  # frames 5 and 6: night taken for day


def test_texts_in_frames_of_a_video_count_by_frames() -> None:
    meant = [FreeText("note", ID, "dark", frames=((1, 6), (9, 9))), FreeText("note", ID, "light", frames=((7, 8),))]
    _, score = judged(pair(0, [FreeText("note", ID, "dark", 0.7)], meant))
    [text] = score.texts
    assert (text.answered, text.exact) == (9, 7 / 9)


def test_answers_about_messages_are_judged_message_by_message() -> None:
    def of(message: str, option: str, confidence: float | None = None) -> Radio:
        return Radio("mood", ID, Answer(option, ID, confidence), message_id=message)

    rows, score = judged(
        pair(
            0, [of("m1", "glad", 0.9), of("m2", "sad", 0.8), of("m3", "sad", 0.7)], [of("m2", "glad"), of("m1", "glad")]
        )
    )
    [choice] = score.choices
    assert (choice.answered, choice.accuracy, choice.unlabelled) == (2, 0.5, 1)
    assert [said.verdict for said in rows[0].predictions] == [SaidVerdict.RIGHT, SaidVerdict.CONFUSED, SaidVerdict.OPEN]


def test_a_relationship_is_right_where_both_its_ends_are() -> None:
    def ends(
        source: int, target: int, confidence: float | None = None, *, name: str = "on", directed: bool = True
    ) -> Any:
        return Relationship(name, ID, source, target, directed, confidence)

    cup, table, chair = box("cup", 0, 0, 9, 9), box("table", 20, 0, 9, 9), box("chair", 50, 0, 9, 9)
    said_boxes = [box("table", 20, 0, 9, 9, 0.9), box("cup", 1, 0, 9, 9, 0.9), box("chair", 80, 0, 9, 9, 0.9)]
    meant = [cup, table, chair, ends(0, 1), ends(0, 2), ends(1, 2, name="beside", directed=False)]
    said = [
        *said_boxes,
        ends(1, 0, 0.9),  # right: the cup is on the table
        ends(0, 1, 0.8),  # the table is on the cup
        ends(1, 2, 0.7),  # its chair is nowhere near the label's
        ends(0, 1, 0.6, name="beside"),
    ]
    rows, score = judged(pair(0, said, meant))
    relations = next(one for one in score.objects if one.kind == "relationship")
    by_name = {one.name: one for one in relations.classes}
    assert (by_name["on"].labels, by_name["on"].predictions, by_name["on"].right) == (2, 3, 1)
    assert (by_name["beside"].labels, by_name["beside"].right) == (1, 0)
    verdicts = {one.index: one.verdict for one in rows[0].predictions}
    assert [verdicts[index] for index in (3, 4, 5)] == [
        SaidVerdict.RIGHT, SaidVerdict.FALSE_ALARM, SaidVerdict.FALSE_ALARM,
    ]  # fmt: skip
    either_way = [*said_boxes[:2], ends(1, 0, 0.9, name="beside", directed=False)]
    _, score = judged(pair(0, either_way, [cup, table, ends(1, 0, name="beside", directed=False)]))
    assert next(one for one in score.objects if one.kind == "relationship").levels[0].f1 == 1.0


def test_a_relationship_of_what_cannot_be_judged_is_left_open() -> None:
    meant = [box("cup", 0, 0, 9, 9), Unmeasured("mask"), Relationship("on", ID, 0, 1)]
    _, score = judged(pair(0, [box("cup", 0, 0, 9, 9, 0.5)], meant))
    assert [one.kind for one in score.objects] == ["box"]


def test_thresholds_are_named_by_the_models_classes() -> None:
    evaluator = Evaluator()
    for number in range(20):
        right = number >= 10
        said = [box("cat", 0, 0, 9, 9, number / 20), box("dog", 50, 50, 9, 9, 0.5)]
        meant = [box("cat", 0 if right else 70, 0, 9, 9), box("dog", 50, 50, 9, 9)]
        evaluator.add([pair(number, said, meant, Split.VALIDATION), pair(number + 100, [], [box("cat", 0, 0, 9, 9)])])
    option = ModelOption(
        name='my "model"', predictor=Predictor.BATCH, rules=MatchRules(classes={"felis": "cat", "7": "cat"})
    )
    lines, source = threshold_lines(evaluator.scores(), option)
    assert source == "validation"
    assert lines[0] == '[models."my \\"model\\"".thresholds]'
    assert [line.partition(" =")[0] for line in lines[1:]] == ['"felis"', '"7"'], "the dog is best as it is"
    import tomllib

    values = tomllib.loads("\n".join(lines))["models"]['my "model"']["thresholds"]
    assert all(0.45 < value <= 0.5 for value in values.values())


def test_levels_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="IoU"):
        Evaluator(iou=0)
    with pytest.raises(ValueError, match="distance"):
        Evaluator(distance_px=-1)


def test_an_evaluation_comes_back_from_its_file() -> None:
    _, score = judged(
        pair(0, [box("a", 0, 0, 9, 9, 0.8), radio("q", "x", 0.4)], [box("a", 0, 0, 9, 8), radio("q", "x")])
    )
    whole = Evaluation(run_id="r", model_run_id="m", option="o", iou=0.5, distance_px=10, splits=(score,))
    assert msgspec.json.decode(msgspec.json.encode(whole), type=Evaluation) == whole
