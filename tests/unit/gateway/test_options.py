from __future__ import annotations

import random
from typing import Any

import pytest

from vertex_model_inference.models import Predictor, Task, VertexModel
from vertex_model_inference.settings_sections import ModelSection
from vertex_model_inference.vertex.options import Options, build_options
from vertex_model_inference.vertex.registry import DeployedModel, Snapshot, VertexEndpoint

PARENT = "projects/p/locations/us-central1"
SCHEMA = "gs://google-cloud-aiplatform/schema"
JSONL = ("jsonl", "csv")


def model(number: int, display_name: str, **fields: Any) -> VertexModel:
    return VertexModel(
        name=f"{PARENT}/models/{number}", display_name=display_name, **({"input_formats": JSONL} | fields)
    )


def endpoint(number: int, display_name: str, *models: int, **fields: Any) -> VertexEndpoint:
    deployed = tuple(
        DeployedModel(model=f"projects/123/locations/us-central1/models/{each}", version="3", traffic=100 // (at + 1))
        for at, each in enumerate(models)
    )
    return VertexEndpoint(
        name=f"projects/123/locations/us-central1/endpoints/{number}",
        display_name=display_name,
        deployed=deployed,
        **fields,
    )


def menu(*things: VertexModel | VertexEndpoint, sections: dict[str, Any] | None = None, **more: Any) -> Options:
    snapshot = Snapshot(
        project="p",
        region="us-central1",
        models=tuple(each for each in things if isinstance(each, VertexModel)),
        endpoints=tuple(each for each in things if isinstance(each, VertexEndpoint)),
    )
    return build_options(snapshot, {k: ModelSection(**v) for k, v in (sections or {}).items()}, **more)


def why(options: Options, name: str) -> str:
    (found,) = [each.why for each in options.left_out if each.name == name]
    return found


@pytest.mark.parametrize(
    ("metadata", "instance", "prediction", "task", "decoder"),
    [
        ("automl_image_classification_1.0.0", "", "", Task.IMAGE_CLASSIFICATION, "automl-classification"),
        ("automl_image_object_detection_1.0.0", "", "", Task.IMAGE_OBJECT_DETECTION, "automl-detection"),
        ("", "image_classification_1.0.0", "classification_1.0.0", Task.IMAGE_CLASSIFICATION, "automl-classification"),
        ("", "text_classification_1.0.0", "classification_1.0.0", Task.TEXT_CLASSIFICATION, "automl-classification"),
        ("", "", "image_object_detection_1.0.0", Task.IMAGE_OBJECT_DETECTION, "automl-detection"),
        ("", "", "", None, None),
        ("something_of_ours_2", "", "", None, None),
    ],
)
def test_task_and_decoder_follow_the_schemas(
    metadata: str, instance: str, prediction: str, task: Task | None, decoder: str | None
) -> None:
    options = menu(
        model(
            1,
            "m",
            automl=metadata.startswith("automl"),
            metadata_schema_uri=f"{SCHEMA}/model/metadata/{metadata}.yaml" if metadata else "",
            instance_schema_uri=f"{SCHEMA}/predict/instance/{instance}.yaml" if instance else "",
            prediction_schema_uri=f"{SCHEMA}/predict/prediction/{prediction}.yaml" if prediction else "",
        )
    )
    (option,) = options.available
    assert (option.name, option.predictor, option.task, option.decoder) == ("m", Predictor.BATCH, task, decoder)


def test_labels_beat_schemas_and_the_file_beats_labels() -> None:
    automl = model(
        1,
        "m",
        automl=True,
        metadata_schema_uri=f"{SCHEMA}/model/metadata/automl_image_classification_1.0.0.yaml",
        labels={"vmi-task": "image-object-detection", "vmi-decoder": "hf-detection"},
    )
    (option,) = menu(automl).available
    assert (option.task, option.decoder) == (Task.IMAGE_OBJECT_DETECTION, "hf-detection")
    (option,) = menu(automl, sections={"m": {"task": "text-classification", "decoder": "displaynames"}}).available
    assert (option.task, option.decoder) == (Task.TEXT_CLASSIFICATION, "displaynames")


def test_what_cannot_run_is_left_out_with_the_reason() -> None:
    series = f"{SCHEMA}/model/metadata/automl_forecasting_1.0.0.yaml"
    video = f"{SCHEMA}/model/metadata/automl_video_classification_1.0.0.yaml"
    options = menu(
        model(1, "tabular", input_formats=("csv", "bigquery")),
        model(2, "online only", input_formats=()),
        model(3, "series", automl=True, metadata_schema_uri=series),
        model(7, "video", automl=True, metadata_schema_uri=video, input_formats=()),
        model(4, "mislabelled", labels={"vmi-task": "poetry"}),
        endpoint(5, "empty"),
        endpoint(6, "private", 1, own_host=True),
        endpoint(8, "films", 7),
        sections={"ghost": {"threshold": 0.5}, "online only": {}},
    )
    assert options.names == ()
    assert "csv, bigquery" in why(options, "tabular")
    assert "endpoint" in why(options, "online only")
    assert "forecasting" in why(options, "series")
    assert "batch jobs only" in why(options, "films (endpoint)")
    assert "poetry" in why(options, "mislabelled")
    assert "No model is deployed" in why(options, "empty (endpoint)")
    assert "host name of its own" in why(options, "private (endpoint)")
    assert "project p" in why(options, "ghost")


@pytest.mark.parametrize(
    ("kind", "task", "decoder"),
    [
        ("classification", Task.VIDEO_CLASSIFICATION, "automl-video-classification"),
        ("object_tracking", Task.VIDEO_OBJECT_TRACKING, "automl-object-tracking"),
        ("action_recognition", Task.VIDEO_ACTION_RECOGNITION, "automl-action-recognition"),
    ],
)
def test_video_models_run_in_batch(kind: str, task: Task, decoder: str) -> None:
    uri = f"{SCHEMA}/model/metadata/automl_video_{kind}_1.0.0.yaml"
    (option,) = menu(model(1, "films", automl=True, metadata_schema_uri=uri)).available
    assert (option.predictor, option.task, option.decoder) == (Predictor.BATCH, task, decoder)


def test_endpoints_run_their_busiest_model() -> None:
    options = menu(model(1, "a", labels={"vmi-task": "text-classification"}), model(2, "b"), endpoint(9, "ep", 1, 2))
    option = options.find("ep (endpoint)")
    assert option is not None
    assert option.model is not None
    assert (option.predictor, option.endpoint) == (Predictor.ONLINE, "projects/123/locations/us-central1/endpoints/9")
    assert (option.model.display_name, option.model.version) == ("a", "3")
    assert option.task is Task.TEXT_CLASSIFICATION
    unknown = menu(endpoint(9, "ep", 77)).available[0]
    assert unknown.model is not None
    assert unknown.model.id == "77"


def test_batch_jobs_that_cannot_run_leave_endpoints_alone() -> None:
    options = menu(model(1, "a"), endpoint(9, "ep", 1), batch_problem="The bucket b is in EU.")
    assert options.names == ("ep (endpoint)",)
    assert why(options, "a") == "The bucket b is in EU."


def test_names_are_unique_and_do_not_depend_on_the_order_of_the_registry() -> None:
    things: list[VertexModel | VertexEndpoint] = [
        model(1, "same"),
        model(2, "same"),
        model(3, "Other"),
        endpoint(1, "same", 1),
        endpoint(2, "same", 2),
    ]
    expected = ("Other", "same (endpoint) [1]", "same (endpoint) [2]", "same [1]", "same [2]")
    for seed in range(10):
        random.Random(seed).shuffle(things)
        assert menu(*things).names == expected


def test_a_model_without_a_name_goes_by_its_id() -> None:
    assert menu(model(5, "")).names == ("5",)


def test_the_file_renames_hides_and_sets() -> None:
    options = menu(
        model(1, "a"),
        model(2, "b"),
        model(3, "c"),
        endpoint(9, "c-endpoint", 3),
        sections={
            "a": {"hide": True},
            "2": {
                "rename": "Better name",
                "threshold": 0.25,
                "classes": {"x": "y"},
                "unmapped": "drop",
                "text_feature": "t",
                "instance": {"image.b64": "{b64}"},
                "parameters": {"n": 3},
                "machine_type": "n1-standard-8",
                "batch_size": 16,
                "class_names": ["x", "z"],
            },
            "c": {"predict": "online"},
            "Plain": {"container": "http://127.0.0.1:9000/predict", "task": "text-classification"},
        },
    )
    assert options.names == ("Better name", "c-endpoint (endpoint)", "Plain")
    assert why(options, "a") == "vmi.toml hides it."
    assert why(options, "c") == "vmi.toml wants it by online."
    better, plain = options.find("Better name"), options.find("Plain")
    assert better is not None
    assert plain is not None
    assert (better.rules.threshold, better.rules.classes, better.rules.unmapped) == (0.25, {"x": "y"}, "drop")
    assert (better.rules.text_feature, better.instance, better.parameters) == ("t", {"image.b64": "{b64}"}, {"n": 3})
    assert (better.machine_type, better.batch_size, better.class_names) == ("n1-standard-8", 16, ("x", "z"))
    assert (plain.predictor, plain.container) == (Predictor.CONTAINER, "http://127.0.0.1:9000/predict")


def test_an_id_beats_a_display_name_that_others_share() -> None:
    options = menu(model(11, "m"), model(12, "m"), sections={"m": {"hide": True}, f"{PARENT}/models/12": {}})
    assert options.names == ("m",)
    assert options.available[0].model is not None
    assert options.available[0].model.id == "12"


def test_only_one_model_is_offered_when_asked() -> None:
    options = menu(model(1, "a"), model(2, "b"), only="b")
    assert options.names == ("b",)
    assert "VMI_MODEL_NAME" in why(options, "a")


def test_without_a_registry_the_containers_of_the_file_are_there() -> None:
    options = build_options(None, {"x": ModelSection(container="127.0.0.1:1/p"), "y": ModelSection(hide=True)})
    assert options.names == ("x",)
    assert options.available[0].container == "http://127.0.0.1:1/p"
    assert options.left_out == ()
