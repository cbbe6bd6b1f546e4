"""Findings of a model become annotations of an ontology. Pure and total: each finding is used, counted or an error."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vertex_model_inference.annotations import Annotation, FreeText, Question
from vertex_model_inference.errors import MatchError, SettingsError
from vertex_model_inference.findings import Finding, FoundBox, FoundLabel, FoundObject, FoundRelation, FoundText
from vertex_model_inference.models import MatchRules
from vertex_model_inference.ontology import Ontology
from vertex_model_inference.rows import DataRow
from vertex_model_inference.sources import Source
from vertex_model_inference.steps.answers import CHECKLIST_THRESHOLD, Answering, is_below
from vertex_model_inference.steps.doubles import doubles
from vertex_model_inference.steps.features import QuestionFeature, ToolFeature
from vertex_model_inference.steps.kinds import KIND_OF, About, LeftOut
from vertex_model_inference.steps.limits import check_rules, over_limit
from vertex_model_inference.steps.names import fold
from vertex_model_inference.steps.relations import relate
from vertex_model_inference.steps.resolve import Ambiguous, Resolver, settle
from vertex_model_inference.steps.scopes import scoped
from vertex_model_inference.steps.shapes import box
from vertex_model_inference.steps.tally import Matched, Tally, answers_in, quoted, uses

__all__ = ["CHECKLIST_THRESHOLD", "Matched", "Matcher"]

_SPOKEN = (FoundLabel, FoundText)  # isinstance takes a union three times as long


class Matcher:
    """Matches the findings of any number of rows; all names are resolved once.

    Args:
        ontology: Of the model run.
        rules: Of the model's option.
        names: The model's classes where they are known, to find ambiguities before the first row.

    Raises:
        SettingsError: The rules name a feature that does not exist, or a name could mean several features.
    """

    def __init__(self, ontology: Ontology, rules: MatchRules, *, names: Sequence[str] = ()) -> None:
        self._rules = rules
        check_rules(rules)
        self._resolver = Resolver(ontology, rules)
        boxes = [tool for tool in self._resolver.tools if tool.kind == "rectangle"]
        self._texts = {box: self._text_of(box) for box in boxes}
        if rules.text_feature and not any(isinstance(text, QuestionFeature) for text in self._texts.values()):
            raise SettingsError(
                f"text_feature is {rules.text_feature!r}, but no rectangle tool of the ontology {ontology.name!r} has "
                "a free-text question of that name.",
                hint="Name one of: " + (", ".join(sorted({t.name for box in boxes for t in box.texts})) or "(none)"),
            )
        self._resolver.check(names)

    def match(self, findings: Sequence[Finding], row: DataRow, source: Source | None = None) -> Matched:
        """Turn the findings of one row into annotations.

        Args:
            findings: What the model says about the row.
            row: The row, with the picture's real size.
            source: What the model read, where it is known: ends of spans are checked against it.

        Returns:
            Objects first, as found; then questions about the asset and its messages; then relationships.

        Raises:
            MatchError: A class fits no feature (and unmapped is "fail") or several; answers contradict each other; or
                a finding is malformed.
        """
        tally = Tally()
        about = About(row, self._rules, tally.notes, source)
        spoken: dict[str | None, list[FoundLabel | FoundText]] = {}
        relations: list[FoundRelation] = []
        gone = doubles(findings, self._resolver, self._rules, row) if self._rules.nms_iou is not None else ()
        judged = self._rules.threshold is not None or bool(self._rules.thresholds)
        known = self._resolver.known(KIND_OF[FoundBox])
        for index, finding in enumerate(findings):
            if type(finding) is FoundBox and not judged and not gone and not finding.text and not finding.answers:
                # The short way of what _object does: most answers of most models are plain boxes.
                tools = known.get(finding.label)
                if type(tools) is tuple and len(tools) == 1 and finding.id is None:
                    made = box(finding, tools[0], about)
                    if type(made) is tuple:
                        tally.annotations += made
                        tally.labels.append((finding.label,))
                        continue
            if isinstance(finding, _SPOKEN):
                spoken.setdefault(finding.message_id, []).append(finding)
            elif isinstance(finding, FoundRelation):
                relations.append(finding)
            elif judged and is_below(finding.label, finding.confidence, self._rules):
                tally.leave(finding)
            elif index in gone:
                tally.outscored += 1
                tally.lost += answers_in(finding)
            else:
                self._object(finding, about, tally)
        for message_id, given in spoken.items():
            self._asset(given, message_id, row, tally)
        self._limit(tally, 0)
        if relations:
            before = len(tally.annotations)
            relate(relations, findings, self._resolver, self._rules, row, tally)
            self._limit(tally, before)
        return tally.result()

    def _object(self, found: FoundObject, about: About, tally: Tally) -> None:
        kind = KIND_OF.get(type(found))
        if kind is None or kind.make is None:
            raise MatchError(
                f"The model gives data row {about.row.id} a thing of kind {type(found).__name__}, which cannot be made "
                "an annotation.",
                hint="Let the decoder give findings of another kind.",
                data_row_id=about.row.id,
            )
        tools = self._resolver.tool(kind, found.label)
        if not isinstance(tools, tuple):
            settle(tools, found.label, self._rules.unmapped, about.row, tally)
            tally.lost += answers_in(found)
            return
        if len(tools) > 1:
            tally.extra += (len(tools) - 1) * (1 + answers_in(found))
        for tool in tools:
            made: Sequence[Annotation] | LeftOut = kind.make(found, tool, about)
            if isinstance(made, LeftOut):
                tally.leave(found)
                if made.why:
                    tally.note(f"A {kind.name} of class {quoted(found.label)} {made.why}.")
                continue
            if getattr(found, "answers", ()) or (type(found) is FoundBox and found.text):
                made = self._answered(found, tool, made, about.row, tally)
            if found.id is not None:
                tally.places.setdefault(found.id, len(tally.annotations))
            for each in made:
                tally.add(each, found.label)
            if len(made) > 1:
                tally.extra += sum(map(uses, made[1:]))

    def _answered(
        self, found: FoundObject, tool: ToolFeature, made: Sequence[Annotation], row: DataRow, tally: Tally
    ) -> Sequence[Annotation]:
        """The annotations with the answers to the tool's questions."""
        nested: list[Question] = []
        answers: Sequence[FoundLabel | FoundText] = getattr(found, "answers", ())
        if answers:
            answering = Answering(self._resolver, self._rules, row, tally)
            claims = answering.claims(answers, self._resolver.about(tool))
            nested = [question for question, _ in answering.questions(claims)]
        if isinstance(found, FoundBox) and found.text:
            text = self._read(found, tool, row, tally)
            if text is not None and all(each.feature_schema_id != text.feature_schema_id for each in nested):
                nested.append(text)
                tally.extra += 1
        return [msgspec.structs.replace(each, classifications=tuple(nested)) for each in made] if nested else made

    def _read(self, found: FoundBox, tool: ToolFeature, row: DataRow, tally: Tally) -> FreeText | None:
        """What is written in a box, as the answer to the tool's free-text question."""
        text = self._texts[tool]
        if isinstance(text, Ambiguous):
            settle(text, found.label, "fail", row, tally)
        if not isinstance(text, QuestionFeature):
            tally.note(f"The texts of {tool.name!r} were left out: that tool has no free-text question.")
            return None
        # The model gives one figure for the box and what it reads there; without it Labelbox assumes 1.
        return FreeText(text.name, text.feature_schema_id, found.text or "", found.confidence, text.by_id)

    def _asset(
        self, given: Sequence[FoundLabel | FoundText], message_id: str | None, row: DataRow, tally: Tally
    ) -> None:
        """Answers to the questions about the asset, or about one of its messages."""
        answering = Answering(self._resolver, self._rules, row, tally)
        claims = [scoped(claim, row, tally) for claim in answering.claims(given, self._resolver.asset)]
        for question, labels in answering.questions(claims):
            about = question if message_id is None else msgspec.structs.replace(question, message_id=message_id)
            tally.add(about, *labels)

    def _limit(self, tally: Tally, first: int) -> None:
        """Take away what is beyond the maximum of a feature, of the annotations from ``first`` on."""
        most = self._rules.max_annotations
        if len(tally.annotations) - first <= most:
            return
        beyond = {first + index for index in over_limit(tally.annotations[first:], most)}
        for name in dict.fromkeys(tally.annotations[index].name for index in sorted(beyond)):
            tally.note(f"Only the best {most} annotations of {name!r} were kept.")
        tally.remove(beyond)

    def _text_of(self, box: ToolFeature) -> QuestionFeature | Ambiguous | None:
        """The question that takes the text in a tool's boxes."""
        wanted = self._rules.text_feature
        fitting = [text for text in box.texts if wanted in text.names] if wanted else list(box.texts)
        if wanted and not fitting:
            fitting = [text for text in box.texts if fold(text.name) == fold(wanted)]
        if len(fitting) > 1:
            names = ", ".join(repr(text.name) for text in fitting)
            return Ambiguous(
                f"The tool {box.name!r} has several free-text questions ({names}) for the text in its boxes.",
                "Set text_feature of the model in vmi.toml to one of them.",
            )
        return fitting[0] if fitting else None
