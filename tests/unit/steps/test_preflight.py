"""``vmi check``, the part without a network."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vertex_model_inference.decoders.finds import background, finds
from vertex_model_inference.decoders.registry import known_names
from vertex_model_inference.errors import MatchError
from vertex_model_inference.findings import FoundBox, FoundLabel
from vertex_model_inference.models import MappingRules, MatchRules, ModelOption, Predictor, Task
from vertex_model_inference.ontology import Classification, Ontology, Option, Tool
from vertex_model_inference.rows import DataRow
from vertex_model_inference.steps.match import Matcher
from vertex_model_inference.steps.preflight import Preflight, Verdict, preflight

ROW = DataRow(id="row-1", row_data="gs://b/o.jpg", width=200, height=100)


def ask(kind: str, name: str, *options: Option | str) -> Classification:
    made = tuple(
        o if isinstance(o, Option) else Option(name=o, label=o, feature_schema_id=f"{name}.{o}") for o in options
    )
    return Classification(kind=kind, name=name, feature_schema_id=name, options=made)


DOG = Option(name="dog", label="dog", feature_schema_id="dog", classifications=(ask("radio", "breed", "lab", "pug"),))
ONTOLOGY = Ontology(
    id="o",
    name="zoo",
    tools=(
        Tool(kind="rectangle", name="chair", feature_schema_id="t1", classifications=(ask("radio", "state", "new"),)),
        Tool(kind="rectangle", name="lamp", feature_schema_id="t2"),
        Tool(kind="polygon", name="leaf", feature_schema_id="t3"),
        Tool(kind="superpixel", name="sky", feature_schema_id="t4"),
    ),
    classifications=(ask("radio", "animal", DOG, "cat"), ask("radio", "wet", "yes", "no"), ask("radio", "cold", "yes")),
)


def look(names: list[str], finds: tuple[str, ...] | None = ("box",), **rules: Any) -> Preflight:
    return preflight(ONTOLOGY, MatchRules(**rules), names, option='my "own"', finds=finds)


def verdicts(found: Preflight) -> dict[str, str]:
    return {each.name: each.verdict.value for each in found.classes}


def test_each_class_has_a_verdict_and_a_reason() -> None:
    found = look(["Chair", "chiar", "leaf", "xyzzy"])
    assert verdicts(found) == {"Chair": "matched", "chiar": "unmapped", "leaf": "wrong kind", "xyzzy": "unmapped"}
    assert [each.suggestion for each in found.classes] == [None, "chair", None, None]
    assert "'leaf' is a polygon tool there" in found.classes[2].why
    assert [(each.path, each.kind) for each in found.classes[0].features] == [("chair", "rectangle tool")]
    assert found.fails


def test_what_is_dropped_fails_nothing_but_ambiguity_does() -> None:
    assert not look(["chiar", "leaf"], unmapped="drop").fails
    assert look(["yes"], ("label",), unmapped="drop").fails
    assert not look(["no", "pug"], ("label",)).fails


def test_the_suggested_lines_are_toml_that_mends_it() -> None:
    found = look(["chiar", "lampe", "chair"])
    section = tomllib.loads("\n".join(found.lines))
    assert section == {"models": {'my "own"': {"classes": {"chiar": "chair", "lampe": "lamp"}}}}
    assert not look(["chiar", "lampe", "chair"], classes=section["models"]['my "own"']["classes"]).fails
    ambiguous = look(["yes"], ("label",))
    assert ambiguous.lines[1] == '"yes" = "wet/yes"  # or "cold/yes"'
    mended = tomllib.loads("\n".join(ambiguous.lines))["models"]['my "own"']["classes"]
    assert not look(["yes"], ("label",), classes=mended).fails


def test_features_that_nothing_feeds_are_named_from_the_top() -> None:
    assert [each.path for each in look(["chair", "lamp"]).unused] == ["leaf", "sky", "animal", "wet", "cold"]
    used = look(["pug", "wet/no"], ("label",))
    assert [each.path for each in used.unused if each.kind != "rectangle tool"] == [
        "leaf",
        "sky",
        "animal/dog/breed/lab",
        "animal/cat",
        "wet/yes",
        "cold",
    ]


def test_rules_that_cannot_work_and_strangers_in_them_are_told() -> None:
    found = look(["chair"], classes={"chair": "chiar"})
    assert found.fails
    assert "'chiar', which the ontology" in found.problems[0]
    strange = look(["chair"], classes={"stool": "chair", "state/new": "new"}, thresholds={"sofa": 0.5})
    assert len(strange.notes) == 2
    assert not strange.fails


def test_where_the_kind_is_not_known_any_feature_will_do() -> None:
    found = look(["chair", "leaf", "pug", "breed", "sofa"], None)
    assert list(verdicts(found).values()) == ["matched", "matched", "matched", "wrong kind", "unmapped"]
    assert found.classes[4].why == "The model's class 'sofa' fits no feature of the ontology 'zoo'."
    assert "'breed' is a radio question there" in found.classes[3].why


@settings(deadline=None, max_examples=200)
@given(
    name=st.sampled_from(["chair", "Lamp", "leaf", "dog", "pug", "yes", "wet/yes", "state", "zebra"])
    | st.text(max_size=6),
    kind=st.sampled_from(["box", "label"]),
    unmapped=st.sampled_from(["fail", "drop"]),
)
def test_the_verdict_is_what_a_run_does(name: str, kind: str, unmapped: str) -> None:
    (checked,) = look([name], (kind,), unmapped=unmapped).classes
    finding = FoundBox(name, 1, 1, 5, 5) if kind == "box" else FoundLabel(name, 0.9)
    try:
        matched = Matcher(ONTOLOGY, MatchRules(unmapped=unmapped)).match([finding], ROW)
    except MatchError:
        assert checked.fails
    else:
        assert not checked.fails
        assert bool(matched.annotations) is (checked.verdict is Verdict.MATCHED)


def option(**more: Any) -> ModelOption:
    return ModelOption(name="m", predictor=Predictor.BATCH, **more)


def test_what_a_decoder_finds() -> None:
    from vertex_model_inference.decoders import finds as module

    known = {*known_names(), "grounding-dino", "owl-vit"}
    assert set(module._FINDS) <= known
    assert finds(option(decoder="boxes-arrays:xyxy")) == ("box",)
    assert finds(option(task=Task.TEXT_EXTRACTION)) == ("entity",)
    assert finds(option()) is None
    assert finds(option(decoder="file:./mine.py:Mine")) is None
    assert finds(option(mapping=MappingRules(box="b"))) == ("box",)
    assert finds(option(mapping=MappingRules(points="p"))) == ("polygon",)
    assert finds(option(mapping=MappingRules())) == ("label",)


@pytest.mark.parametrize(
    ("names", "decoder", "expected"),
    [
        (("background", "road"), "automl-segmentation", "background"),
        (("road=#804080",), "automl-segmentation", None),
        (("__background__", "car"), "boxes-arrays:xyxy", "__background__"),
        (("road", "car"), "automl-segmentation", "road"),
        (("road", "car"), "boxes-arrays:xyxy", None),
        ((), "automl-segmentation", None),
    ],
)
def test_the_background_is_no_class(names: tuple[str, ...], decoder: str, expected: str | None) -> None:
    assert background(option(class_names=names, decoder=decoder)) == expected
