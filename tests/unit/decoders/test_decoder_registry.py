from __future__ import annotations

from pathlib import Path

import pytest

from vertex_model_inference.decoders.registry import by_name, known_names, recognise
from vertex_model_inference.errors import DecodeError, UnknownOutputError
from vertex_model_inference.findings import FoundBox, FoundLabel
from vertex_model_inference.models import ModelOption, Predictor, Task, VertexModel
from vertex_model_inference.rows import DataRow

ROW = DataRow(id="row-1", row_data="gs://b/o.jpg", width=200, height=100)
MODEL = VertexModel(name="projects/p/locations/us-central1/models/1")
SCHEMA = "gs://google-cloud-aiplatform/schema"


def option(model: VertexModel | None = None, **more: object) -> ModelOption:
    return ModelOption(name="m", predictor=Predictor.BATCH, model=model, **more)  # type: ignore[arg-type]


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnknownOutputError, match="'yolo'") as caught:
        by_name("yolo")
    for name in known_names():
        assert name in str(caught.value)


@pytest.mark.parametrize("name", ["boxes-arrays:xxyy", "boxes-arrays:xyxy:percent", "plain:xyxy"])
def test_a_layout_that_does_not_exist_is_refused(name: str) -> None:
    with pytest.raises(UnknownOutputError):
        by_name(name)


def test_built_in_decoders_carry_their_name() -> None:
    assert [by_name(name).name for name in known_names()] == list(known_names())
    assert by_name("boxes-arrays:xywh:relative").name == "boxes-arrays:xywh:relative"


@pytest.mark.parametrize(
    ("samples", "name"),
    [
        ([b'{"ids":["1"],"displayNames":["a"],"confidences":[1],"bboxes":[[0,1,0,1]]}'], "automl-detection"),
        ([b'{"ids":[],"displayNames":[],"confidences":[],"bboxes":[]}'], "automl-detection"),
        ([b'{"ids":["1"],"displayNames":["a"],"confidences":[1]}'], "automl-classification"),
        ([b'{"displayNames":["a"],"confidences":[1]}'], "displaynames"),
        ([b'{"displayName":"a"}', b'[{"displayName":"a"}]'], "displaynames"),
        ([b"[]", b'[{"label":"a","score":1,"box":{"xmin":0,"ymin":0,"xmax":1,"ymax":1}}]'], "hf-detection"),
        ([b'[{"label":"a","score":1}]', b"[]"], "hf-classification"),
        ([b'{"label":"a","score":1}'], "hf-classification"),
        ([b'{"detection_boxes":[],"detection_scores":[],"detection_classes":[]}'], "boxes-arrays"),
        ([b'"cat"', b'"dog"'], "plain"),
        ([b"3"], "plain"),
        ([b'["cat"]'], "plain"),
    ],
)
def test_recognises_by_the_first_answers(samples: list[bytes], name: str) -> None:
    assert recognise(samples, option()).name == name


@pytest.mark.parametrize(
    "samples",
    [[b"0.25"], [b"[0.1,0.9]"], [b"null"], [b'{"logits":[1]}'], [b'"cat"', b'{"displayName":"cat"}'], [b"not json"]],
)
def test_shows_what_the_model_answered_when_nothing_fits(samples: list[bytes]) -> None:
    with pytest.raises(UnknownOutputError) as caught:
        recognise(samples, option())
    for sample in samples:
        assert sample.decode() in str(caught.value)
    assert "hf-detection" in str(caught.value)


def test_a_long_answer_is_shortened() -> None:
    with pytest.raises(UnknownOutputError) as caught:
        recognise([b'{"x":"' + b"\xc3\xa9" * 100_000 + b'"}'], option())
    assert len(str(caught.value)) < 1000


def test_empty_answers_need_the_task() -> None:
    with pytest.raises(UnknownOutputError, match="All its first answers are empty"):
        recognise([b"[]", b"[]"], option())
    assert recognise([b"[]"], option(task=Task.IMAGE_OBJECT_DETECTION)).name == "hf-detection"
    assert recognise([b"[]"], option(task=Task.TEXT_CLASSIFICATION)).name == "displaynames"


def test_no_answers_at_all_is_an_error_of_its_own() -> None:
    with pytest.raises(UnknownOutputError, match="no answer"):
        recognise([], option())


def test_arrays_of_boxes_are_not_guessed_at() -> None:
    sample = b'{"boxes":[[1,2,3,4]],"labels":[1],"scores":[1]}'
    with pytest.raises(UnknownOutputError, match="which order") as caught:
        recognise([sample], option())
    assert sample.decode() in str(caught.value)
    assert "boxes-arrays:xyxy" in str(caught.value)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (
            VertexModel(
                name=MODEL.name,
                prediction_schema_uri=f"{SCHEMA}/predict/prediction/image_object_detection_1.0.0.yaml",
            ),
            "automl-detection",
        ),
        (
            VertexModel(
                name=MODEL.name,
                metadata_schema_uri=f"{SCHEMA}/model/metadata/automl_image_classification_1.0.0.yaml",
            ),
            "automl-classification",
        ),
        (
            VertexModel(
                name=MODEL.name,
                prediction_schema_uri=f"{SCHEMA}/predict/prediction/text_classification_1.0.0.yaml",
            ),
            "automl-classification",
        ),
        (VertexModel(name=MODEL.name, labels={"vmi-decoder": "hf-detection"}), "hf-detection"),
        (
            VertexModel(name=MODEL.name, labels={"vmi_decoder": "boxes-arrays_xywh_relative"}),
            "boxes-arrays:xywh:relative",
        ),
        (VertexModel(name=MODEL.name, prediction_schema_uri="gs://mine/image_object_detection.yaml"), "plain"),
    ],
)
def test_metadata_comes_before_the_answers(model: VertexModel, name: str) -> None:
    assert recognise([b'"cat"'], option(model)).name == name


def test_the_set_decoder_comes_before_all_else() -> None:
    model = VertexModel(name=MODEL.name, labels={"vmi-decoder": "hf-detection"})
    decoder = recognise([b"1"], option(model, decoder="displaynames", class_names=("a", "b")))
    assert decoder.name == "displaynames"


PLUGIN = """
from vertex_model_inference.findings import FoundBox, FoundLabel

class Good:
    name = "good"
    def __init__(self, class_names=()):
        self.names = class_names
    def decode(self, prediction, row):
        if prediction == b"0": raise ZeroDivisionError("oh")
        if prediction == b"1": return [FoundLabel("a", 1.5)]
        if prediction == b"2": return [FoundLabel("\\ud800")]
        if prediction == b"3": return [FoundBox("a", 0, 0, float("nan"), 1)]
        if prediction == b"4": return ["a"]
        if prediction == b"5": return [FoundLabel(7)]
        if prediction == b"6": return [FoundBox("a", 1, 1, -1, 1)]
        if prediction == b"7": return None
        if prediction == b"8": return [FoundBox("a", -5, 10, 10, 500)]
        return [FoundLabel(self.names[0], 0.5)]

class Broken:
    def __init__(self):
        pass

class Without:
    def __init__(self, class_names=()):
        pass
"""


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plugin_of_the_test.py").write_text(PLUGIN)
    info = tmp_path / "plugin_of_the_test-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin-of-the-test\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[vertex_model_inference.decoders]\n"
        "good = plugin_of_the_test:Good\nbroken = plugin_of_the_test:Broken\n"
        "without = plugin_of_the_test:Without\nabsent = no_such_module_anywhere:X\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("plugins")
def test_installed_decoders_are_found_by_name() -> None:
    assert "good" in known_names()
    assert by_name("good", ["cat"]).decode(b"9", ROW) == (FoundLabel("cat", 0.5),)


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize("name", ["broken", "without", "absent"])
def test_a_decoder_that_cannot_be_loaded_is_a_clear_error(name: str) -> None:
    with pytest.raises(UnknownOutputError, match=f"'{name}' .*(cannot be loaded|without a method decode)"):
        by_name(name)


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize("answer", [b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"7"])
def test_what_an_installed_decoder_does_wrong_fails_the_row_only(answer: bytes) -> None:
    with pytest.raises(DecodeError, match=r"'good'.*") as caught:
        by_name("good", ["cat"]).decode(answer, ROW)
    assert "row-1" in str(caught.value)


@pytest.mark.usefixtures("plugins")
def test_boxes_of_an_installed_decoder_are_clipped_like_others() -> None:
    with pytest.raises(DecodeError, match="far outside"):
        by_name("good").decode(b"8", ROW)
    tall = DataRow(id="row-2", row_data="x", width=200, height=300)
    assert by_name("good").decode(b"8", tall) == (FoundBox("a", 0, 10, 5, 290),)


def test_a_broken_answer_among_good_ones_does_not_hide_their_form() -> None:
    good = b'[{"label":"cat","score":0.5}]'
    for broken in (b'{"what":42}', b"17", b'"cat"', b"not json"):
        assert recognise([broken, good, good], option()).name == "hf-classification"
        with pytest.raises(UnknownOutputError, match="No decoder reads most"):
            recognise([broken, good, b'{"error":null}'], option())


def test_a_form_that_is_like_no_other_needs_no_content() -> None:
    assert recognise([b'{"displayNames":[],"confidences":[]}'], option()).name == "displaynames"
