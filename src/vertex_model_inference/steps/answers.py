"""Labels and texts become answered questions: the best answer stands, and what it stands below is answered with it.

Choosing an option of a nested question chooses the options it stands below; where the model gives those no confidence
of their own, they have that of the best answer below them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from vertex_model_inference.annotations import Answer, Checklist, FreeText, Question, Radio
from vertex_model_inference.errors import MatchError
from vertex_model_inference.findings import FoundLabel, FoundText
from vertex_model_inference.models import MatchRules
from vertex_model_inference.rows import DataRow
from vertex_model_inference.steps.features import OptionFeature, QuestionFeature, chain
from vertex_model_inference.steps.frames import Ranges, common, held, sliced
from vertex_model_inference.steps.limits import rank
from vertex_model_inference.steps.resolve import Resolver, Scope, settle
from vertex_model_inference.steps.tally import Tally, answers_in, quoted, uses

__all__ = ["CHECKLIST_THRESHOLD", "Answering", "Claim", "is_below"]

CHECKLIST_THRESHOLD = 0.5
"""Of checklists, where the rules set none: a class more likely than not is an answer."""


@dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """What the model says to a question: an option of it, or a text.

    Attributes:
        feature: The option, or the free-text question.
        label: The model's own name of the class.
        confidence: 0..1, or None.
        text: Of free-text questions.
        frames: Ranges in which it holds; none: everywhere.
    """

    feature: OptionFeature | QuestionFeature
    label: str
    confidence: float | None
    text: str = ""
    frames: Ranges = ()


@dataclass(slots=True)
class _Choice:
    """An option that is claimed, or that something below it is."""

    claims: list[Claim] = field(default_factory=list)
    asked: dict[QuestionFeature, _Asked] = field(default_factory=dict)

    def everything(self) -> Iterable[Claim]:
        yield from self.claims
        for asked in self.asked.values():
            yield from asked.everything()

    def best(self) -> Claim | None:
        return _best(self.claims)

    def confidence(self) -> float | None:
        """Its own, else the best of what stands below it; a known one comes before None."""
        if self.claims:
            best = _best(self.claims)
            return best.confidence if best else None
        below = [each.confidence for each in self.everything() if each.confidence is not None]
        return max(below, default=None)


@dataclass(slots=True)
class _Asked:
    """A question with all that is claimed about it and below it."""

    options: dict[OptionFeature, _Choice] = field(default_factory=dict)
    texts: list[Claim] = field(default_factory=list)

    def everything(self) -> Iterable[Claim]:
        yield from self.texts
        for choice in self.options.values():
            yield from choice.everything()


@dataclass(slots=True)
class _Kept:
    """What became of claims."""

    used: dict[Claim, None] = field(default_factory=dict)
    unlikely: dict[Claim, None] = field(default_factory=dict)


def _best(claims: Sequence[Claim]) -> Claim | None:
    """The first of those with the highest confidence; a known one comes before None."""
    best: Claim | None = None
    for claim in claims:
        if best is None or (claim.confidence is not None and claim.confidence > _known(best.confidence)):
            best = claim
    return best


def _known(confidence: float | None) -> float:
    return -1.0 if confidence is None else confidence


def is_below(label: str, confidence: float | None, rules: MatchRules) -> bool:
    """Whether a finding is below its class's threshold."""
    if confidence is None:
        return False
    threshold = rules.thresholds.get(label, rules.threshold)
    return threshold is not None and confidence < threshold


class Answering:
    """Answers the questions about one row, or about one object of it.

    Args:
        resolver: Looks names up.
        rules: Thresholds, top-k.
        row: For messages; ``frame_count`` ends what holds everywhere.
        tally: Where everything is counted.
    """

    def __init__(self, resolver: Resolver, rules: MatchRules, row: DataRow, tally: Tally) -> None:
        self._resolver = resolver
        self._rules = rules
        self._row = row
        self._tally = tally

    def claims(self, given: Iterable[FoundLabel | FoundText], scope: Scope, within: Ranges = ()) -> list[Claim]:
        """Look up what is given, with the answers in it.

        Args:
            given: Of one place.
            scope: The questions of that place.
            within: Ranges of frames in which that holds which they are about.

        Raises:
            MatchError: A class is ambiguous, or fits nothing and is to fail the row; or frames are malformed.
        """
        made: list[Claim] = []
        for each in given:
            if is_below(each.label, each.confidence, self._rules):
                self._tally.leave(each)
                continue
            if isinstance(each, FoundText) and not each.text:
                self._tally.note(f"The text for {quoted(each.label)} is empty and was left out.")
                self._tally.leave(each)
                continue
            frames = within
            if isinstance(each, FoundLabel) and each.frames:
                frames = common(held(each, self._row), within)
                if not frames:
                    self._tally.note(f"{quoted(each.label)} holds in no frame of what it is about and was left out.")
                    self._tally.leave(each)
                    continue
            found = self._resolver.answer(scope, each)
            features = settle(found, each.label, self._rules.unmapped, self._row, self._tally)
            if not features:
                self._tally.lost += answers_in(each)
                continue
            self._tally.extra += (len(features) - 1) * (1 + answers_in(each))
            for feature in features:
                text = each.text if isinstance(each, FoundText) else ""
                made.append(Claim(feature, each.label, each.confidence, text, frames))
                if isinstance(each, FoundLabel) and each.answers:
                    made += self.claims(each.answers, scope.below(feature), frames)
        return made

    def questions(self, claims: Sequence[Claim]) -> list[tuple[Question, tuple[str, ...]]]:
        """Answer each question claimed; what loses is counted.

        Args:
            claims: About one thing (the asset, a message, an object).

        Returns:
            Questions in the order first claimed, each with the classes that it was made of. One question stands several
            times where its answer changes from frame to frame.

        Raises:
            MatchError: A question of one answer is given several without confidences.
        """
        roots: dict[QuestionFeature, list[Claim]] = {}
        for claim in claims:
            root = chain(claim.feature)[0]
            assert isinstance(root, QuestionFeature)
            roots.setdefault(root, []).append(claim)
        made: list[tuple[Question, tuple[str, ...]]] = []
        for root, mine in roots.items():
            kept = _Kept()
            if any(claim.frames for claim in mine):
                end = max((last for claim in mine for _, last in claim.frames), default=1)
                everywhere = ((1, max(end, self._row.frame_count or 0)),)
                ranges = [claim.frames or everywhere for claim in mine]
                answered = sliced(mine, ranges, partial(self._one, root, kept))
            else:
                one = self._one(root, kept, mine)
                answered = [] if one is None else [one]
            self._count(mine, kept, answered)
            labels = tuple(claim.label for claim in kept.used)
            for number, question in enumerate(answered):
                # Of a question that stands several times the classes are told with the first.
                made.append((question, labels if not number else ()))
        return made

    def _count(self, claims: Sequence[Claim], kept: _Kept, answered: Sequence[Question]) -> None:
        for claim in claims:
            if claim in kept.used:
                continue
            if claim in kept.unlikely:
                self._tally.drop(claim.label)
            else:
                self._tally.outscored += 1
        more = sum(map(uses, answered)) - len(kept.used)
        self._tally.extra += max(0, more)  # options above the claimed ones, answers that stand several times
        self._tally.outscored += max(0, -more)  # answers of touching ranges that became one

    def _one(self, root: QuestionFeature, kept: _Kept, claims: Sequence[Claim]) -> Question | None:
        """The question as answered by claims that hold at the same time."""
        top = _Asked()
        for claim in claims:
            asked = top
            choice: _Choice | None = None
            for feature in chain(claim.feature):
                if isinstance(feature, OptionFeature):
                    choice = asked.options.setdefault(feature, _Choice())
                elif choice is not None:
                    asked = choice.asked.setdefault(feature, _Asked())
            if isinstance(claim.feature, OptionFeature):
                assert choice is not None
                choice.claims.append(claim)
            else:
                asked.texts.append(claim)
        return self._answered(root, top, kept)

    def _answered(self, question: QuestionFeature, asked: _Asked, kept: _Kept) -> Question | None:
        if question.kind == "text":
            return self._text(question, asked.texts, kept)
        if question.kind == "radio":
            option, choice = self._radio(question, asked)
            answer = self._answer(option, choice, kept)
            return Radio(question.name, question.feature_schema_id, answer, question.by_id)
        answers = tuple(self._answer(option, choice, kept) for option, choice in self._checklist(asked, kept))
        return Checklist(question.name, question.feature_schema_id, answers, question.by_id) if answers else None

    def _answer(self, option: OptionFeature, choice: _Choice, kept: _Kept) -> Answer:
        best = choice.best()
        if best is not None:
            kept.used[best] = None
        below = [self._answered(question, asked, kept) for question, asked in choice.asked.items()]
        nested = tuple(question for question in below if question is not None)
        return Answer(option.name, option.feature_schema_id, choice.confidence(), option.by_id, nested)

    def _text(self, question: QuestionFeature, texts: Sequence[Claim], kept: _Kept) -> FreeText:
        best = _best(texts)
        assert best is not None
        for other in texts:
            if other.text != best.text and (other.confidence is None or best.confidence is None):
                raise self._contradiction(best.text, other.text, question, "free-text question")
        kept.used[best] = None
        return FreeText(question.name, question.feature_schema_id, best.text, best.confidence, question.by_id)

    def _radio(self, question: QuestionFeature, asked: _Asked) -> tuple[OptionFeature, _Choice]:
        options = iter(asked.options.items())
        option, choice = next(options)
        confidence = choice.confidence()
        for other, rival in options:
            score = rival.confidence()
            if score is None or confidence is None:
                one, two = (next(iter(each.everything())).label for each in (choice, rival))
                raise self._contradiction(one, two, question, "radio")
            if score > confidence:
                option, choice, confidence = other, rival, score
        return option, choice

    def _checklist(self, asked: _Asked, kept: _Kept) -> list[tuple[OptionFeature, _Choice]]:
        chosen: list[tuple[OptionFeature, _Choice]] = []
        for option, choice in asked.options.items():
            confidence = choice.confidence()
            if confidence is not None and confidence < CHECKLIST_THRESHOLD and not self._ruled(choice):
                kept.unlikely.update(dict.fromkeys(choice.everything()))
            else:
                chosen.append((option, choice))
        most = self._rules.top_k
        if most is not None and len(chosen) > most:
            best = sorted(range(len(chosen)), key=lambda index: -rank(chosen[index][1].confidence()))[:most]
            chosen = [chosen[index] for index in sorted(best)]
        return chosen

    def _ruled(self, choice: _Choice) -> bool:
        rules = self._rules
        return rules.threshold is not None or any(each.label in rules.thresholds for each in choice.everything())

    def _contradiction(self, one: str, other: str, question: QuestionFeature, what: str) -> MatchError:
        return MatchError(
            f"The model gives data row {self._row.id} both {quoted(one)} and {quoted(other)} without scores, but the "
            f"{what} {question.name!r} takes one answer.",
            hint="Let the model answer scores, or make the question a checklist.",
            data_row_id=self._row.id,
        )
