"""Data rows, labels, splits, status, predictions and exports, by the real SDK."""

from __future__ import annotations

import io
import json
import uuid
from typing import Any

import labelbox as lb
import lbox.exceptions
import pytest
import requests
from PIL import Image

BOX = {"left": 1, "top": 2, "width": 10, "height": 20}


def row(key: str, **fields: Any) -> dict[str, Any]:
    return {"uuid": str(uuid.uuid4()), "dataRow": {"globalKey": key}, **fields}


def test_predictions_come_back_in_the_export(scene: Any) -> None:
    one, two, text = scene.keys[0], scene.keys[1], scene.text_key
    entity = row(text, name="ner", location={"start": 5, "end": 8}, confidence=0.5)
    job = scene.predict(
        [
            row(one, name="digit", answer={"name": "3", "confidence": 0.0}),
            row(
                one,
                name="box",
                bbox=BOX,
                confidence=0.25,
                classifications=[{"name": "note", "answer": "hé\u2028", "confidence": 0.75}],
            ),
            entity,
            row(two, name="mask", mask={"size": [30, 40], "counts": [30, 30, 1140]}),
        ]
    )
    assert [status["status"] for status in job.statuses] == ["SUCCESS"] * 4
    assert job.errors == []
    found = scene.export(predictions=True, model_run_details=True, data_row_details=True)
    assert set(found) == {*scene.keys, text}
    of_one = scene.run_of(found[one])
    assert found[one]["media_attributes"] == {"height": 30, "width": 40, "mime_type": "image/png"}
    assert found[one]["data_row"]["details"]["dataset_id"] == scene.dataset.uid
    assert of_one["data_split"] == "unassigned"
    (prediction,) = of_one["predictions"]
    (box,) = prediction["annotations"]["objects"]
    assert box["annotation_kind"] == "ImageBoundingBox"
    assert box["bounding_box"] == BOX
    assert box["confidence"] == 0.25
    answer = box["classifications"][0]["text_answer"]
    assert (answer["content"], answer["confidence"]) == ("hé\u2028", 0.75)
    (digit,) = prediction["annotations"]["classifications"]
    assert (digit["radio_answer"]["name"], digit["radio_answer"]["confidence"]) == ("3", 0.0)
    (label,) = of_one["labels"]
    assert label["annotations"]["classifications"][0]["radio_answer"]["value"] == "0"
    of_text = scene.run_of(found[text])
    assert of_text["labels"] == []
    (named,) = of_text["predictions"][0]["annotations"]["objects"]
    assert named["location"] == {"start": 5, "end": 8, "token": "text"}
    assert scene.run_of(found[scene.keys[2]])["predictions"] == []
    (mask,) = scene.run_of(found[two])["predictions"][0]["annotations"]["objects"]
    with Image.open(io.BytesIO(requests.get(mask["mask"]["url"], timeout=10).content)) as image:
        assert image.size == (40, 30)
        assert [image.getpixel((x, 15)) for x in range(4)] == [0, 255, 0, 0]  # run lengths go down the columns


def test_predictions_only_when_asked_for_and_splits_only_with_details(scene: Any) -> None:
    scene.predict([row(scene.keys[0], name="digit", answer={"name": "3"})])
    for found in scene.export().values():
        assert "predictions" not in scene.run_of(found)
        assert "data_split" not in scene.run_of(found)
        assert "details" not in found["data_row"]


def test_each_bad_row_is_told_and_its_neighbours_are_taken(scene: Any) -> None:
    one = scene.keys[0]
    twice = row(one, name="digit", answer={"name": "1"})
    rows = [
        row(one, name="box", bbox=BOX),
        row(one, name="box", bbox={**BOX, "left": 35}),
        row("unknown", name="box", bbox=BOX),
        twice,
        dict(twice),
        row(one, name="digit", answer={"name": "eleven"}),
        row(one, name="box", bbox=BOX, confidence=1.5),
    ]
    job = scene.predict(rows)
    assert job.state.value == "FINISHED"
    assert [[error["name"] for error in status["errors"]] for status in job.statuses] == [
        [],
        ["BoundingBoxOutOfBounds"],
        ["DataRowNotFound"],
        [],
        ["DuplicateUuid"],
        ["OptionNotFound"],
        ["InvalidConfidence"],
    ]
    assert [status["uuid"] for status in job.statuses] == [r["uuid"] for r in rows]
    assert [error["errors"][0]["additional_info"]["line"] for error in job.errors] == [2, 3, 5, 6, 7]
    assert job.statuses[0]["dataRow"] == {"id": scene.ids[0]}
    seen = scene.at_a_glance()
    assert seen["counts"] == {"data_rows": 11, "labels": 10, "predictions": 2, "predicted_data_rows": 1}
    assert (seen["imports"][0]["succeeded"], seen["imports"][0]["failed"]) == (2, 5)
    again = scene.predict([twice, rows[1]])
    assert [status["errors"][0]["name"] for status in again.statuses] == ["DuplicateUuid", "BoundingBoxOutOfBounds"]
    repaired = scene.predict([{**rows[1], "bbox": BOX}])
    assert repaired.errors == []  # the row that failed did not use up its uuid


def test_a_data_row_outside_the_run_is_refused(scene: Any) -> None:
    scene.run.delete_model_run_data_rows([scene.ids[0]])
    job = scene.predict([row(scene.keys[0], name="digit", answer={"name": "1"})])
    assert job.statuses[0]["errors"][0]["name"] == "DataRowNotInModelRun"


def test_lines_that_are_not_json_and_files_by_url(scene: Any) -> None:
    good = json.dumps({"dataRow": {"globalKey": scene.keys[0]}, "name": "digit", "answer": {"name": "1"}})
    url = scene.client.upload_data(f"{good}\nnot json\n\n[1]\n".encode(), "file.ndjson", "application/x-ndjson")
    job = scene.run.add_predictions("by url", url)
    assert job.input_file_url == url
    scene.finish(job)
    assert [s["errors"][0]["name"] if s["errors"] else s["status"] for s in job.statuses] == [
        "SUCCESS",
        "InvalidJson",
        "InvalidJson",
    ]
    assert uuid.UUID(job.statuses[0]["uuid"])  # made up, since the row had none


def test_an_import_that_cannot_be_read_fails_as_a_whole(scene: Any) -> None:
    url = f"{scene.config.labelbox_url}/graphql"  # answers, but not to GET; the SDK itself would not send it
    sent = {"modelRunId": scene.run.uid, "name": "unreadable", "fileUrl": url}
    scene.client.execute("mutation createMEAPredictionImportByUrlPyApi {x}", sent)
    job = scene.finish(lb.MEAPredictionImport.from_name(scene.client, scene.run.uid, "unreadable"))
    assert job.state.value == "FAILED"
    assert "405" in scene.at_a_glance()["imports"][0]["error"]
    with pytest.raises(ValueError, match="Import failed"):
        _ = job.statuses


def test_import_names_are_unique(scene: Any) -> None:
    rows = [row(scene.keys[0], name="digit", answer={"name": "1"})]
    scene.run.add_predictions("same", rows)
    with pytest.raises(lbox.exceptions.ResourceConflict, match="same"):
        scene.run.add_predictions("same", rows)


def test_imports_at_the_same_time_use_a_uuid_once(scene: Any) -> None:
    rows = [row(key, name="digit", answer={"name": "1"}) for key in scene.keys for _ in range(300)]
    jobs = [scene.run.add_predictions(f"at once {n}", rows) for n in range(4)]
    for job in jobs:
        assert scene.finish(job).state.value == "FINISHED"
    assert sum(len(job.statuses) - len(job.errors) for job in jobs) == len(rows)
    assert {error["errors"][0]["name"] for job in jobs for error in job.errors} == {"DuplicateUuid"}
    assert scene.at_a_glance()["counts"]["predictions"] == len(rows)


def test_relationships_need_both_ends_on_the_data_row(scene: Any) -> None:
    a, b, other = (row(key, name="box", bbox=BOX) for key in (*[scene.keys[0]] * 2, scene.keys[1]))
    relation = row(scene.keys[0], name="rel", relationship={"source": a["uuid"], "target": b["uuid"]})
    astray = row(scene.keys[0], name="rel", relationship={"source": a["uuid"], "target": other["uuid"]})
    job = scene.predict([relation, astray, a, b, other])
    failed = {status["uuid"]: [e["name"] for e in status["errors"]] for status in job.statuses if status["errors"]}
    assert failed == {astray["uuid"]: ["InvalidRelationship"]}
    annotations = scene.run_of(scene.export(predictions=True)[scene.keys[0]])["predictions"][0]["annotations"]
    (found,) = annotations["relationships"]
    ends = found["unidirectional_relationship"]
    assert {ends["source"], ends["target"]} == {item["feature_id"] for item in annotations["objects"]}


def test_status_merges_metadata_and_keeps_the_error_message(scene: Any) -> None:
    assert scene.at_a_glance()["status"] is None
    scene.run.update_status("EXPORTING_DATA", {"a": "1"}, "oh")
    scene.run.update_status("FAILED", {"b": "2"})
    seen = scene.at_a_glance()
    assert (seen["status"], seen["error_message"], seen["metadata"]) == ("FAILED", "oh", {"a": "1", "b": "2"})


def test_splits_by_id_and_key(scene: Any) -> None:
    scene.run.assign_data_rows_to_split(scene.ids[:4], "TRAINING")
    scene.run.assign_data_rows_to_split(global_keys=scene.keys[4:6], split=lb.DataSplit.TEST)
    found = scene.export(model_run_details=True)
    splits = [scene.run_of(found[key])["data_split"] for key in scene.keys]
    assert splits == ["training"] * 4 + ["test"] * 2 + ["unassigned"] * 4
    with pytest.raises(Exception, match="Job failed"):
        scene.run.assign_data_rows_to_split(["c" * 25], "TEST")


def test_unknown_rows_and_labels_fail_the_registration(scene: Any) -> None:
    with pytest.raises(Exception, match="Job failed"):
        scene.run.upsert_data_rows(["c" * 25])
    with pytest.raises(Exception, match="Job failed"):
        scene.run.upsert_labels(["c" * 25])


def test_pre_labels_go_into_a_project(scene: Any) -> None:
    rows = [row(scene.keys[0], name="box", bbox=BOX), row("unknown", name="box", bbox=BOX)]
    job = scene.finish(lb.MALPredictionImport.create_from_objects(scene.client, scene.project.uid, "pre", rows))
    assert [status["status"] for status in job.statuses] == ["SUCCESS", "FAILURE"]


def test_data_rows_are_refused_one_by_one_and_updated_in_place(scene: Any) -> None:
    task = scene.dataset.create_data_rows(
        [
            {"row_data": "a text", "global_key": scene.keys[0]},
            {"row_data": "another", "global_key": f"{scene.keys[0]}-new"},
            {"row_data": "third", "global_key": "x" * 201},
        ]
    )
    task.wait_till_done()
    messages = sorted(error["message"] for error in task.errors)
    assert len(messages) == 2
    assert "Duplicate global key" in messages[0]
    assert "200 characters" in messages[1]
    assert [found["global_key"] for found in task.result] == [f"{scene.keys[0]}-new"]
    key = lb.GlobalKey(scene.keys[1])
    update = scene.dataset.upsert_data_rows([{"key": key, "external_id": "renamed"}])
    update.wait_till_done()
    assert update.errors is None
    found = scene.client.get_data_row(scene.ids[1])
    assert (found.external_id, found.global_key) == ("renamed", scene.keys[1])
    assert found.media_attributes["width"] == 40


def test_what_is_not_there_is_not_found(scene: Any) -> None:
    for get in (
        scene.client.get_model_run,
        scene.client.get_model,
        scene.client.get_project,
        scene.client.get_dataset,
        scene.client.get_ontology,
    ):
        with pytest.raises(lbox.exceptions.ResourceNotFoundError):
            get("c" * 25)


def test_an_ontology_of_wrong_form_is_refused(client: Any) -> None:
    for normalized in (
        {"tools": [{"tool": "hexagon", "name": "h"}]},
        {"tools": [{"tool": "rectangle"}]},
        {"classifications": [{"type": "radio", "instructions": "q", "options": []}]},
    ):
        with pytest.raises(lbox.exceptions.UnprocessableEntityError):
            client.create_ontology("bad", {"tools": [], "classifications": [], **normalized}, lb.MediaType.Image)


def test_predictions_are_sent_on_into_a_project(scene: Any) -> None:
    project = scene.client.create_project(name="second", media_type=lb.MediaType.Image)
    project.connect_ontology(scene.project.ontology())
    rows = [row(scene.keys[0], name="box", bbox=BOX, confidence=0.5), row("unknown", name="box", bbox=BOX)]
    job = scene.predict(rows)
    sent = {
        "dataRowIds": [status["dataRow"]["id"] for status in job.statuses if status["status"] == "SUCCESS"],
        "modelRunId": scene.run.uid,
        "projectId": project.uid,
        "name": "copy",
    }
    copy_of = "mutation createMalPredictionImportForModelRunDataRowsPyApi {x}"
    scene.client.execute(copy_of, sent)
    copied = scene.finish(lb.MEAToMALPredictionImport.from_name(scene.client, project.uid, "copy"))
    assert [status["status"] for status in copied.statuses] == ["SUCCESS"]


def test_the_whole_export_in_one_answer(scene: Any) -> None:
    task = scene.run.export()
    task.wait_till_done()
    organization = scene.client.get_organization().uid
    url = f"{scene.config.labelbox_url}/api/v1/export-results/{task.uid}/{organization}"
    answer = requests.get(url, headers={"Authorization": "Bearer k"}, timeout=10)
    keys = {json.loads(line)["data_row"]["global_key"] for line in answer.content.splitlines()}
    assert keys == {*scene.keys, scene.text_key}
    assert requests.get(url, timeout=10).status_code == 401
