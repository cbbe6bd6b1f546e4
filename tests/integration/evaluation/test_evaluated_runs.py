"""Labels of every kind for pictures, through the SDK into the sandbox; a run; and its evaluation as a user sees it."""

from __future__ import annotations

import base64
import io
import json
import re
import uuid
from pathlib import Path
from typing import Any

import labelbox as lb
import msgspec
import numpy as np
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage  # google-cloud-storage has no types
from PIL import Image
from tests.integration.fates.lab import Container, Done, Lab, Scene, picture, radio
from typer.testing import CliRunner

from vertex_model_inference.cli import app
from vertex_model_inference.evaluation.agreement import RowAgreement
from vertex_model_inference.evaluation.scores import Evaluation

SIZE = (40, 30)
SQUARE = [(2, 2), (22, 2), (22, 22), (2, 22)]
DECODER = """
import msgspec
from vertex_model_inference.findings import Finding

READ = msgspec.json.Decoder(tuple[Finding, ...])


class Plain:
    '''Reads findings that are written as they are.'''

    name = "plain"

    def __init__(self, class_names=()):
        pass

    def decode(self, prediction, row):
        return READ.decode(prediction)
"""
TOML = """
[models."everything"]
container = "{container}/predict"
task = "image-object-detection"
decoder = "file:{folder}/plain.py:Plain"
instance = {{ key = "{{key}}" }}
metrics = true
rerun = "all"
"""


def png(mask: np.ndarray[Any, Any]) -> str:
    out = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8)).save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def blob(shift: int = 0) -> np.ndarray[Any, Any]:
    mask = np.zeros((SIZE[1], SIZE[0]), dtype=np.bool_)
    mask[5:15, 5 + shift : 25 + shift] = True
    return mask


def labels(key: str, number: int) -> list[dict[str, Any]]:
    """What people drew: five rows alike, but for the answers."""
    head: dict[str, Any] = {"dataRow": {"globalKey": key}}
    ring = [{"x": x, "y": y} for x, y in (*SQUARE, SQUARE[0])]
    text = [{"name": "words", "answer": f"text {number}"}]
    drawn: list[dict[str, Any]] = [
        {"name": "sign", "bbox": {"left": 1, "top": 2, "width": 10, "height": 20}, "classifications": text},
        {"name": "outline", "polygon": ring},
        {"name": "path", "line": [{"x": 0, "y": 0}, {"x": 30, "y": 0}]},
        {"name": "spot", "point": {"x": 10, "y": 10}},
        {"name": "pixels", "mask": {"png": png(blob())}},
        {"name": "linked", "mask": {"png": png(blob())}},
        {"name": "animal", "answer": {"name": "cat" if number % 2 else "dog"}},
        {"name": "traits", "answer": [{"name": "big"}, {"name": "old"}]},
        {"name": "caption", "answer": "a fine picture"},
    ]
    lines = [{"uuid": str(uuid.uuid4()), **head, **one} for one in drawn]
    by_name = {line["name"]: line["uuid"] for line in lines}
    joined = {"source": by_name["sign"], "target": by_name["spot"], "type": "unidirectional"}
    return [*lines, {"uuid": str(uuid.uuid4()), **head, "name": "belongs", "relationship": joined}]


def found(shift: float, link: str) -> list[dict[str, Any]]:
    """What the model says, ``shift`` pixels off; the mask behind ``link`` is right."""
    from vertex_model_inference.geometry.runs import encode

    return [
        {"type": "box", "label": "sign", "left": 1 + shift, "top": 2, "width": 10, "height": 20, "confidence": 0.9,
         "text": "text 1", "id": "the sign"},
        {"type": "box", "label": "sign", "left": 20, "top": 2, "width": 5, "height": 5, "confidence": 0.4},
        {"type": "polygon", "label": "outline", "points": [(x + shift, y) for x, y in SQUARE], "confidence": 0.8},
        {"type": "line", "label": "path", "points": [(0, shift), (30, shift)], "confidence": 0.7},
        {"type": "point", "label": "spot", "x": 10 + shift, "y": 10, "confidence": 0.6, "id": "the spot"},
        {"type": "relation", "label": "belongs", "source": "the sign", "target": "the spot", "confidence": 0.6},
        {"type": "mask_link", "label": "linked", "uri": link, "color": [200, 0, 0], "confidence": 0.8},
        {"type": "mask", "label": "pixels", "counts": base64.b64encode(encode(blob(int(shift)))).decode(),
         "width": SIZE[0], "height": SIZE[1], "confidence": 0.5},
        {"type": "label", "label": "cat", "confidence": 0.7},
        {"type": "label", "label": "dog", "confidence": 0.3},
        {"type": "label", "label": "big", "confidence": 0.9},
        {"type": "label", "label": "red", "confidence": 0.6},
        {"type": "text", "label": "caption", "text": "a fine pictura", "confidence": 0.5},
    ]  # fmt: skip


def tool(kind: str, name: str, *questions: dict[str, Any]) -> dict[str, Any]:
    return {"tool": kind, "name": name, "color": "#ff0000", "classifications": list(questions)}


def text(name: str) -> dict[str, Any]:
    return {"type": "text", "name": name, "instructions": name, "options": []}


@pytest.fixture(scope="module")
def scene(lab: Lab) -> Scene:
    mark = uuid.uuid4().hex[:8]
    client: Any = storage.Client(
        project="sandbox",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": lab.config.storage_url},
    )
    rows: dict[str, str | dict[str, Any]] = {}
    try:
        for number in range(6):
            path = f"evaluated/{mark}/{number}.png"
            client.bucket("vmi-sandbox").blob(path).upload_from_file(
                io.BytesIO(picture(number, SIZE)), content_type="image/png"
            )
            rows[f"{mark}-{number}"] = f"gs://vmi-sandbox/{path}"
        drawn_red = io.BytesIO()
        Image.fromarray(blob()[:, :, None] * np.asarray((200, 0, 0), dtype=np.uint8)).save(drawn_red, "PNG")
        drawn_red.seek(0)
        client.bucket("vmi-sandbox").blob(f"evaluated/{mark}/mask.png").upload_from_file(
            drawn_red, content_type="image/png"
        )
    finally:
        client.close()
    made = lab.scene(
        rows,
        tools=[
            tool("rectangle", "sign", text("words")),
            tool("polygon", "outline"),
            tool("line", "path"),
            tool("point", "spot"),
            tool("raster-segmentation", "pixels"),
            tool("raster-segmentation", "linked"),
            tool("edge", "belongs"),
        ],
        classifications=[
            radio("animal", "cat", "dog"),
            radio("traits", "big", "old", "red", kind="checklist"),
            text("caption"),
        ],
    )
    project = lab.client.create_project(name=f"evaluated {mark}", media_type=lb.MediaType.Image)
    project.connect_ontology(lab.client.get_ontology(made.model.ontology_id))
    labelled = made.keys[:5]
    project.create_batch(f"batch {mark}", global_keys=labelled)
    drawn = [line for number, key in enumerate(labelled) for line in labels(key, number)]
    job = lb.LabelImport.create_from_objects(lab.client, project.uid, f"labels {mark}", drawn)
    job.wait_till_done(sleep_time_seconds=1)
    assert job.errors == []
    made.run.upsert_labels(project_id=project.uid)
    made.run.assign_data_rows_to_split(global_keys=made.keys[:3], split="VALIDATION")
    made.run.assign_data_rows_to_split(global_keys=made.keys[3:], split="TEST")
    return made


def performed(lab: Lab, container: Container, scene: Scene, folder: Path, shift: float) -> Done:
    (folder / "plain.py").write_text(DECODER)
    link = f"gs://vmi-sandbox/evaluated/{scene.keys[0].rsplit('-', 1)[0]}/mask.png"
    container.answer = lambda _: found(shift, link)
    done = lab.perform(scene, "everything", folder, TOML.format(container=container.url, folder=folder))
    assert done.finished.state == "COMPLETE", done.finished.message
    return done


@pytest.fixture(scope="module")
def runs(lab: Lab, container: Container, scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> tuple[Done, Done]:
    folder = tmp_path_factory.mktemp("runs")
    return performed(lab, container, scene, folder, 1.0), performed(lab, container, scene, folder, 12.0)


def vmi(lab: Lab, done: Done, *arguments: str) -> Any:
    environment = {**lab.config.environment(), "VMI_DATA_DIR": str(done.folder / "vmi"), "COLUMNS": "200"}
    return CliRunner().invoke(app, list(arguments), env=environment, catch_exceptions=False)


def test_every_kind_is_measured_at_the_end_of_the_run(lab: Lab, runs: tuple[Done, Done]) -> None:
    result = vmi(lab, runs[0], "evaluate", runs[0].run_id, "--json")
    assert result.exit_code == 0, result.output
    whole = msgspec.json.decode(result.stdout, type=Evaluation)
    assert [one.split for one in whole.splits] == ["all", "validation", "test"]
    everything, validation, test = whole.splits
    rows = everything.rows
    assert (rows.exported, rows.labelled, rows.unlabelled, rows.judged) == (6, 5, 1, 5)
    assert (validation.rows.judged, test.rows.judged, test.rows.unlabelled) == (3, 2, 1)
    assert whole.unsupported == {}
    kinds = {one.kind: one for one in everything.objects}
    assert set(kinds) == {"box", "polygon", "line", "point", "mask", "relationship"}
    assert (kinds["relationship"].labels, kinds["relationship"].levels[0].right) == (5, 5)
    masks = {one.name: one for one in kinds["mask"].classes}
    assert masks["linked"].mean_overlap == 1.0
    assert kinds["box"].mean_overlap == pytest.approx(9 / 11, abs=1e-5)
    assert (kinds["box"].labels, kinds["box"].predictions) == (5, 10)
    assert kinds["box"].mean_average_precision == pytest.approx(0.7)  # IoU 9/11: 7 of 10 levels
    assert kinds["polygon"].mean_overlap == pytest.approx(19 / 21, abs=1e-5)
    assert masks["pixels"].mean_overlap == pytest.approx(19 / 21, abs=1e-5)
    assert (kinds["line"].mean_overlap, kinds["point"].mean_overlap) == (1.0, 1.0)
    choices = {one.question: one for one in everything.choices}
    assert choices["animal"].accuracy == 0.4  # rows 1 and 3 are cats
    assert choices["animal"].top_k["2"] == 1.0
    assert choices["animal"].log_loss == pytest.approx(-(2 * np.log(0.7) + 3 * np.log(0.3)) / 5, abs=1e-6)
    assert choices["traits"].jaccard == pytest.approx(1 / 3)
    texts = {one.question: one for one in everything.texts}
    assert texts["caption"].character_error_rate == pytest.approx(1 / 14)
    assert (texts["sign/words"].exact, texts["sign/words"].answered) == (0.2, 5)


def test_people_read_the_same_as_programs(lab: Lab, runs: tuple[Done, Done]) -> None:
    shown = vmi(lab, runs[0], "evaluate", runs[0].run_id).stdout
    for words in (
        "all: 6 data rows, 5 judged, 1 without a label",
        "box at IoU 0.5: precision 0.500, recall 1.000, F1 0.667, mAP@.5 1.000, mAP@[.5:.95] 0.700",
        "radio 'animal': accuracy 0.400",
        "most frequent errors: 'dog' taken for 'cat' (2)",
        "Best thresholds, found on validation",
        '"sign" = 0.41',
    ):
        assert words in shown, shown
    lines = vmi(lab, runs[0], "evaluate", runs[0].run_id, "--thresholds").stdout
    import tomllib

    assert tomllib.loads(lines)["models"]["everything"]["thresholds"]["sign"] == 0.41
    stricter = vmi(lab, runs[0], "evaluate", runs[0].run_id, "--iou", "0.9", "--split", "test", "--json")
    [only] = msgspec.json.decode(stricter.stdout, type=Evaluation).splits
    assert next(one for one in only.objects if one.kind == "box").levels[0].right == 0
    nowhere = CliRunner().invoke(app, ["evaluate", str(runs[0].folder)], env={})
    assert isinstance(nowhere.exception, Exception)
    assert "holds no run" in str(nowhere.exception)


def test_each_row_says_what_is_wrong_with_it(lab: Lab, runs: tuple[Done, Done], scene: Scene) -> None:
    from vertex_model_inference.runs.surroundings import open_artifacts
    from vertex_model_inference.settings import load
    from vertex_model_inference.spec import Files

    settings = load({**lab.config.environment(), "VMI_DATA_DIR": str(runs[0].folder / "vmi")}, runs[0].folder)
    store, files = open_artifacts(settings), Files(runs[0].run_id)
    rows = [msgspec.json.decode(line, type=RowAgreement) for line in store.lines(files.shard("agreement", 0))]
    assert {row.global_key for row in rows} == set(scene.keys[:5])
    lines = [json.loads(line) for line in store.lines(files.shard("predictions", 0, "ndjson"))]
    for row in rows:
        mine = [line for line in lines if line["dataRow"]["id"] == row.data_row_id]
        verdicts = {(said.feature, said.name, said.index): said.verdict.value for said in row.predictions}
        assert verdicts[("box", "sign", 0)] == "right"
        assert verdicts[("box", "sign", 1)] == "false_alarm"
        assert mine[1]["confidence"] == 0.4
        assert 0 < row.error < 1
    # Masks of labels are fetched once: without settings, and so without Labelbox, the figures are the same.
    from vertex_model_inference.steps.evaluate import evaluate, stored

    again = evaluate(store, files, None)
    assert again == stored(store, files)


def test_a_mask_that_cannot_be_had_is_counted_and_its_predictions_left_open(lab: Lab, runs: tuple[Done, Done]) -> None:
    from vertex_model_inference.runs.surroundings import open_artifacts
    from vertex_model_inference.settings import load
    from vertex_model_inference.spec import Files
    from vertex_model_inference.steps.evaluate import evaluate

    settings = load({**lab.config.environment(), "VMI_DATA_DIR": str(runs[1].folder / "vmi")}, runs[1].folder)
    store, files = open_artifacts(settings), Files(runs[1].run_id)
    wanted = {
        "label_masks": {"mask that cannot be fetched": 10},
        "predicted_masks": {"predicted mask that cannot be fetched": 5},
    }
    for kind, unsupported in wanted.items():
        path = files.shard(kind, 0)
        kept = store.get(path)
        store.delete(path)
        try:
            found = evaluate(store, files, None)
        finally:
            store.put(path, kept)
        assert found.unsupported == unsupported
        names = {one.name for each in found.splits[0].objects if each.kind == "mask" for one in each.classes}
        # Beside a prediction that cannot be had, the label is not missed: nobody knows.
        assert names == (set() if kind == "label_masks" else {"pixels"})


def test_custom_metrics_are_in_the_model_run(runs: tuple[Done, Done], scene: Scene) -> None:
    assert runs[0].finished.state == "COMPLETE"
    rows = scene.export()
    run = rows[scene.keys[1]]["experiments"][scene.model.uid]["runs"][scene.run.uid]
    metrics = [metric for entry in run["predictions"] for metric in entry["annotations"].get("metrics", ())]
    by_name = {(metric["metricName"], metric["featureName"]): metric["metricValue"] for metric in metrics}
    assert by_name[("50pct_iou", "sign")]["0.0"] in ([1, 1, 0, 0], [0, 2, 0, 1])
    assert by_name[("custom_iou", "caption")]["0.5"] == 0.0
    assert ("classification", "cat") in by_name
    unlabelled = rows[scene.keys[5]]["experiments"][scene.model.uid]["runs"][scene.run.uid]
    assert not any(entry["annotations"].get("metrics") for entry in unlabelled["predictions"])


def test_a_report_shows_every_kind_with_its_picture(lab: Lab, runs: tuple[Done, Done], tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    arguments = ("report", runs[1].run_id, "-o", str(path), "--split", "all")
    result = vmi(lab, runs[1], *arguments, "--fail-under", "box:recall=.01")
    assert result.exit_code == 3
    assert "recall of box is 0;" in result.stderr
    html = path.read_text()
    for words in (
        "10 × “sign” predicted where there is none",
        "5 × “outline” missed",
        "✗ nothing there",
        "sign/words",
        "6 of 6 data rows predicted",
    ):
        assert words in html, words
    for form in ("box", "outline", "line", "point", "mask"):
        assert f'<path class="{form}" d="M' in html, form
    assert html.count('src="data:image/') >= 5
    assert re.search(r'(src|href)="(?!data:image/)', html) is None
    assert str(lab.config.labelbox_url) not in html
    good = vmi(lab, runs[0], "report", runs[0].run_id, "-o", str(path), "--fail-under", "recall=.1,box:map=.6")
    assert good.exit_code == 0, good.output
    assert "The picture" not in path.read_text()


def test_two_runs_are_compared(lab: Lab, runs: tuple[Done, Done]) -> None:
    from vertex_model_inference.evaluation.comparison import Comparison

    first, second = runs
    result = vmi(lab, second, "compare", first.run_id, second.run_id, "--json")
    assert result.exit_code == 0, result.output
    found = msgspec.json.decode(result.stdout, type=Comparison)
    assert (found.rows, found.better, found.worse, found.only_first) == (5, 0, 5, 0)
    assert len(found.most_worse) == 5
    changes = {one.kind: one for one in found.objects}
    assert changes["box"].f1 == pytest.approx((2 / 3, 0.0))
    assert changes["box"].f1_change.high < 0
    assert changes["box"].average_precision == (1.0, 0.0)
    assert changes["relationship"].f1 == (1.0, 0.0)  # its ends are not where they should be
    answers = {one.question: one for one in found.answers}
    assert (answers["animal"].both, answers["animal"].only_first, answers["animal"].p_value) == (2, 0, 1.0)
    assert found.classes[0].f1[0] is not None
    shown = vmi(lab, second, "compare", first.run_id, second.run_id, "--split", "test").stdout
    assert "2 data rows of split test judged in both" in shown
    assert "box at 0.5: F1 0.667 -> 0.000" in shown
