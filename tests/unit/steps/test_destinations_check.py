"""Which features a project lacks, which refusals are of a uuid only, and whose settings say where predictions go."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from vertex_model_inference.errors import SettingsError
from vertex_model_inference.labelbox.gateway import ImportFailure
from vertex_model_inference.models import DeliveryRules, ModelOption, Predictor
from vertex_model_inference.ontology import Classification, Ontology, Option, Tool
from vertex_model_inference.runs.asking import spec_of
from vertex_model_inference.settings import load
from vertex_model_inference.steps.destinations import missing_features


def question(name: str, *options: str, kind: str = "radio", below: tuple[Classification, ...] = ()) -> Classification:
    made = tuple(
        Option(name=each, label=each, feature_schema_id="o", classifications=below if not n else ())
        for n, each in enumerate(options)
    )
    return Classification(kind=kind, name=name, feature_schema_id="c", options=made)


def ontology(*tools: Tool, classifications: tuple[Classification, ...] = ()) -> Ontology:
    return Ontology(id="1", name="n", tools=tools, classifications=classifications)


def tool(name: str, kind: str = "rectangle", *classifications: Classification) -> Tool:
    return Tool(kind=kind, name=name, feature_schema_id="t", classifications=classifications)


NESTED = question("colour", "red", "blue", below=(question("shade", "light", "dark"),))
WHOLE = ontology(tool("car", "rectangle", NESTED), tool("road", "polygon"), classifications=(question("mood", "good"),))


def test_the_same_features_are_enough_whatever_else_there_is() -> None:
    more = ontology(
        tool("bus"), *reversed(WHOLE.tools), classifications=(question("other", "x"), *WHOLE.classifications)
    )
    assert missing_features(WHOLE, WHOLE) == []
    assert missing_features(WHOLE, more) == []
    assert missing_features(ontology(), WHOLE) == []


@pytest.mark.parametrize(
    ("there", "missing"),
    [
        (ontology(), ["rectangle 'car'", "polygon 'road'", "radio 'mood'"]),
        (ontology(tool("car", "polygon"), tool("road", "polygon")), ["rectangle 'car'", "radio 'mood'"]),
        (ontology(tool("Car"), *WHOLE.tools[1:], classifications=WHOLE.classifications), ["rectangle 'car'"]),
        (
            ontology(
                tool("car", "rectangle", question("colour", "red", "blue")),
                WHOLE.tools[1],
                classifications=WHOLE.classifications,
            ),
            ["rectangle 'car' / radio 'colour' / 'red' / radio 'shade'"],
        ),
        (
            ontology(*WHOLE.tools, classifications=(question("mood", "good", kind="checklist"),)),
            ["radio 'mood'"],
        ),
    ],
)
def test_what_a_project_lacks_is_named_once(there: Ontology, missing: list[str]) -> None:
    assert missing_features(WHOLE, there) == missing


@pytest.mark.parametrize(
    ("name", "message", "duplicate"),
    [
        ("DuplicateUuid", "uuid 1-2 is used already.", True),
        ("Error", "An annotation with this UUID already exists.", True),
        ("UuidNotUnique", "uuid is not unique", True),
        ("InvalidUuid", "uuid 'x' is not a UUID.", False),
        ("DuplicateAnnotation", "The row has this already.", False),
        ("DataRowNotInModelRun", "already deleted", False),
    ],
)
def test_refusals_for_nothing_but_a_uuid(name: str, message: str, duplicate: bool) -> None:
    assert ImportFailure(name, message).duplicate is duplicate


def test_the_model_says_more_than_the_settings(tmp_path: Path) -> None:
    (tmp_path / "vmi.toml").write_text(
        'destination = ["model-run", "files"]\ncanary_rows = 7\nlabelbox_project = "of-all"\n'
        '[models."a"]\ncontainer = "http://127.0.0.1:1/p"\ndestination = "project"\nproject = "of-a"\ncanary_rows = 0\n'
    )
    settings = load({"VMI_FALLBACK": "files"}, tmp_path)
    option = ModelOption(name="a", predictor=Predictor.CONTAINER, delivery=settings.models["a"].delivery())
    assert spec_of(settings, "r", "m", option).delivery == DeliveryRules(
        destinations=("project",), project="of-a", fallback="files", canary_rows=0, canary_empty="stop"
    )
    other = msgspec.structs.replace(option, delivery=DeliveryRules())
    assert spec_of(settings, "r", "m", other).delivery == DeliveryRules(
        destinations=("model-run", "files"), project="of-all", fallback="files", canary_rows=7, canary_empty="stop"
    )


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ('destination = "project"', "VMI_LABELBOX_PROJECT"),
        ('fallback = "project"', "VMI_LABELBOX_PROJECT"),
        ('[models."a"]\ndestination = ["project"]', '[models."a"] sends predictions to a project and names none'),
        ('[models."a"]\nfallback = "project"', "names none"),
        ('[models."a"]\ndestination = []', "at least one of"),
        ('[models."a"]\ndestination = "catalog"', "model-run"),
        ("canary_rows = -1", "canary_rows"),
        ('canary_empty = "maybe"', "canary_empty"),
    ],
)
def test_destinations_that_cannot_be_are_named_at_the_start(toml: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "vmi.toml").write_text(toml)
    with pytest.raises(SettingsError) as caught:
        load({}, tmp_path)
    assert words in str(caught.value)
