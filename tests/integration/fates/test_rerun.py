"""A run after another: only what is new, failed or changed is done, and Labelbox gets no annotation twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import labelbox as lb
import msgspec
import pytest
from tests.integration.fates.lab import Assets, Container, Done, Lab, Scene, picture, radio

from vertex_model_inference.errors import ConflictError, RequestError
from vertex_model_inference.models import ModelOption
from vertex_model_inference.runs import inline
from vertex_model_inference.runs.again import retry_run, to_retry
from vertex_model_inference.runs.service import RunService
from vertex_model_inference.runs.surroundings import Surroundings, open_artifacts
from vertex_model_inference.settings import Settings, load
from vertex_model_inference.spec import Files, RunSpec
from vertex_model_inference.steps import memory, recall
from vertex_model_inference.webhook.wiring import catalog_of

OPTION = "rerun model"


def _toml(container: Container, more: str = "", task: str = "text-classification") -> str:
    return f'[models."{OPTION}"]\ncontainer = "{container.url}/predict"\ntask = "{task}"\n{more}\n'


def _score(instance: dict[str, Any]) -> Any:
    """The text is the score of ``kind``; ``down`` is an error, ``zebra`` a class that the ontology lacks."""
    text = instance["text"]
    if text == "down":
        return {"error": {"message": "not today"}}
    if text == "zebra":
        return [{"label": "zebra", "score": 1.0}]
    return [{"label": "kind", "score": float(text)}]


def _scene(lab: Lab, mark: str, texts: list[str]) -> Scene:
    rows: dict[str, str | dict[str, Any]] = {f"{mark} {n}": text for n, text in enumerate(texts)}
    return lab.scene(rows, classifications=[radio("tone", "kind", "rude")], media_type=lb.MediaType.Text)


def _add(scene: Scene, key: str, text: str) -> None:
    """One more data row in the model run."""
    dataset = scene.lab.client.create_dataset(name=f"data of {key}")
    task = dataset.create_data_rows([{"global_key": key, "row_data": text}])
    task.wait_till_done()
    scene.run.upsert_data_rows(global_keys=[key])
    scene.ids[key] = task.result[0]["id"]


def _asked(container: Container) -> Counter[str]:
    """Texts that the model was sent since the last look."""
    with container.lock:
        asked = Counter(instance["text"] for instance in container.seen)
        container.seen.clear()
    return asked


def _held(scene: Scene) -> dict[str, int]:
    """Global key -> annotations that the model run holds."""
    return {key: len(items) for key, items in scene.predictions().items()}


def _retry(scene: Scene, folder: Path, toml: str, names: list[str] | None = None) -> Done:
    """Try failed or named rows of the scene's newest run again."""

    def start(service: RunService, settings: Settings, option: ModelOption) -> str:
        return retry_run(service, open_artifacts(settings), scene.run.uid, option=option, names=names).run_id

    return scene.lab.perform_as(start, scene, OPTION, folder, toml)


def _all(scene: Scene, folder: Path, toml: str) -> Done:
    """``vmi run --again``."""

    def start(service: RunService, _: Settings, option: ModelOption) -> str:
        return service.start_run(scene.run.uid, option, rerun="all").run_id

    return scene.lab.perform_as(start, scene, OPTION, folder, toml)


def _reused(done: Done) -> set[str]:
    return {key for key, outcome in done.outcomes.items() if outcome.reused}


def test_only_what_is_new_failed_or_changed(lab: Lab, container: Container, tmp_path: Path) -> None:
    container.answer = _score
    texts = [str(n / 40) for n in range(1, 39)] + ["down", "zebra"]
    scene = _scene(lab, "changed", texts)
    toml = _toml(container, "threshold = 0.1")
    first = lab.perform(scene, OPTION, tmp_path, toml, VMI_SHARD_ROWS="7")
    assert first.finished.counts.reused == 0
    assert Counter(first.statuses().values()) == {"predicted": 35, "empty": 3, "failed": 2}
    assert sum(_asked(container).values()) == 40
    before = scene.predictions()

    # Again: the row that the model could not answer is sent once more, the one it answered is only read again.
    again = lab.perform(scene, OPTION, tmp_path, toml, VMI_SHARD_ROWS="7")
    assert again.run_id != first.run_id
    assert _asked(container) == {"down": 1}
    assert again.statuses() == first.statuses()
    assert _reused(again) == {f"changed {n}" for n in range(38)}
    assert again.fate("changed 39") == ("failed", "match", "unmapped")
    assert scene.predictions() == before

    # What was wrong is corrected, and a row is new.
    container.answer = lambda instance: _score({"text": "0.9"} if instance["text"] == "down" else instance)
    _add(scene, "changed new", "0.95")
    third = lab.perform(scene, OPTION, tmp_path, toml, VMI_SHARD_ROWS="7")
    assert _asked(container) == {"down": 1, "0.95": 1}
    assert third.statuses()["changed 38"] == "predicted"
    assert third.statuses()["changed new"] == "predicted"
    assert third.finished.counts.exported == 41
    assert third.finished.counts.reused == 38
    assert {key: n for key, n in _held(scene).items() if n > 1} == {}

    # Nothing is left to do but the class that fits nothing: drop it, and its kept answer is read again.
    fourth = lab.perform(scene, OPTION, tmp_path, _toml(container, 'threshold = 0.1\nunmapped = "drop"'))
    assert _asked(container) == {}
    assert fourth.statuses()["changed 39"] == "empty"
    assert {key: n for key, n in _held(scene).items() if n > 1} == {}
    fifth = lab.perform(scene, OPTION, tmp_path, _toml(container, 'threshold = 0.1\nunmapped = "drop"'))
    assert _asked(container) == {}
    assert fifth.finished.message == "Nothing to do: 41 data rows are as they were."
    assert fifth.finished.state == "COMPLETE"
    assert fifth.statuses() == fourth.statuses()
    assert fifth.finished.counts.annotations == fourth.finished.counts.annotations


def test_a_threshold_is_changed_and_changed_back(lab: Lab, container: Container, tmp_path: Path) -> None:
    """No inference, no annotation twice; what is below the new threshold stays in Labelbox, and is counted."""
    container.answer = _score
    scene = _scene(lab, "threshold", [str(n / 20) for n in range(1, 21)])
    low, high = _toml(container, "threshold = 0.1"), _toml(container, "threshold = 0.5")
    first = lab.perform(scene, OPTION, tmp_path, low)
    sent = {item["feature_id"] for items in scene.predictions().values() for item in items}
    assert len(sent) == first.finished.counts.predicted == 19
    _asked(container)
    second = lab.perform(scene, OPTION, tmp_path, high)
    assert Counter(second.statuses().values()) == {"predicted": 11, "empty": 9}
    assert sum(outcome.left for outcome in second.outcomes.values()) == 8
    assert "8 annotations of earlier runs are still in Labelbox" in second.finished.message
    third = lab.perform(scene, OPTION, tmp_path, low)
    assert third.statuses() == first.statuses()
    assert sum(outcome.left for outcome in third.outcomes.values()) == 0
    assert _asked(container) == {}
    assert {item["feature_id"] for items in scene.predictions().values() for item in items} == sent


def test_again_asks_the_model_for_all(lab: Lab, container: Container, tmp_path: Path) -> None:
    container.answer = _score
    scene = _scene(lab, "all", [str(n / 10) for n in range(1, 10)])
    lab.perform(scene, OPTION, tmp_path, _toml(container))
    _asked(container)
    before = scene.predictions()
    again = _all(scene, tmp_path, _toml(container))
    assert sum(_asked(container).values()) == 9
    assert again.finished.counts.reused == 0
    assert scene.predictions() == before, "the same annotation is not sent twice"
    container.answer = lambda instance: [{"label": "rude", "score": 0.5}]
    setting = lab.perform(scene, OPTION, tmp_path, _toml(container, 'rerun = "all"'))
    assert sum(_asked(container).values()) == 9
    assert sum(outcome.left for outcome in setting.outcomes.values()) == 9


def test_failed_rows_are_tried_again_and_no_others(lab: Lab, container: Container, tmp_path: Path) -> None:
    container.answer = _score
    scene = _scene(lab, "retry", ["0.5"] * 12 + ["down"] * 12 + ["zebra"])
    toml = _toml(container)
    first = lab.perform(scene, OPTION, tmp_path, toml)
    assert first.finished.counts.failed == 13
    _asked(container)
    _add(scene, "retry new", "0.7")
    container.answer = lambda instance: _score({"text": "0.9"} if instance["text"] == "down" else instance)
    again = _retry(scene, tmp_path, _toml(container, "threshold = 0.6"))
    assert _asked(container) == {"down": 12}
    assert again.fate("retry new") == ("skipped", "export", "not_asked")
    assert Counter(again.statuses().values()) == {"predicted": 24, "failed": 1, "skipped": 1}
    assert len(_reused(again)) == 12, "others keep their outcome, though the threshold has changed"
    # What was kept of another threshold is known to be so.
    last = lab.perform(scene, OPTION, tmp_path, _toml(container, "threshold = 0.6"))
    assert _asked(container) == {"0.7": 1}
    assert Counter(last.statuses().values()) == {"predicted": 13, "empty": 12, "failed": 1}
    assert sum(outcome.left for outcome in last.outcomes.values()) == 12


def test_named_rows_are_tried_again(lab: Lab, container: Container, tmp_path: Path) -> None:
    container.answer = _score
    scene = _scene(lab, "named", [str(n / 10) for n in range(1, 10)])
    lab.perform(scene, OPTION, tmp_path, _toml(container))
    _asked(container)
    names = ["named 3", scene.ids["named 5"]]
    again = _retry(scene, tmp_path, _toml(container), names)
    assert _asked(container) == {"0.4": 1, "0.6": 1}
    assert len(_reused(again)) == 7
    with pytest.raises(RequestError, match="No data row of run"):
        _retry(scene, tmp_path, _toml(container))


def test_a_run_that_was_followed_is_not_tried_again(lab: Lab, container: Container, tmp_path: Path) -> None:
    container.answer = _score
    scene = _scene(lab, "followed", ["0.3"])
    first = lab.perform(scene, OPTION, tmp_path, _toml(container))
    second = lab.perform(scene, OPTION, tmp_path, _toml(container))
    settings = load({**lab.config.environment(), "VMI_DATA_DIR": str(tmp_path / "vmi")}, tmp_path)
    with pytest.raises(ConflictError, match=second.run_id):
        to_retry(open_artifacts(settings), first.run_id)
    assert to_retry(open_artifacts(settings), scene.run.uid).run_id == second.run_id


def test_another_picture_is_another_row_and_another_signature_is_not(
    lab: Lab, container: Container, assets: Assets, tmp_path: Path
) -> None:
    """Batch: the model gets a job only for what changed; an asset whose URL has another query is the same."""
    from google.cloud import aiplatform

    def answer(instance: dict[str, Any]) -> Any:
        return [{"label": "kind", "score": 0.5}]

    container.answer = answer
    model = lab.upload(container, "rerun batch", labels={"vmi-task": "image-classification"})
    urls = {f"pictures {n}": assets.put(f"rerun/{n}.png?X-Goog-Signature=1", picture(n * 20)) for n in range(6)}
    for n in range(6):
        assets.put(f"rerun/{n}.png", picture(n * 20))
    scene = lab.scene(dict(urls), classifications=[radio("tone", "kind", "rude")])
    lab.perform(scene, model.display_name, tmp_path)
    jobs = len(aiplatform.BatchPredictionJob.list())
    for n, row in enumerate(scene.keys):
        data_row = lab.client.get_data_row(scene.ids[row])
        data_row.update(row_data=f"{assets.url}/rerun/{n}.png?X-Goog-Signature=2")
    assert lab.perform(scene, model.display_name, tmp_path).finished.message.startswith("Nothing to do: 6")
    assert len(aiplatform.BatchPredictionJob.list()) == jobs
    lab.client.get_data_row(scene.ids["pictures 2"]).update(row_data=assets.put("rerun/other.png", picture(200)))
    seen = len(container.seen)
    third = lab.perform(scene, model.display_name, tmp_path)
    assert _reused(third) == set(scene.keys) - {"pictures 2"}
    assert len(container.seen) == seen + 1
    assert len(aiplatform.BatchPredictionJob.list()) == jobs + 1


def test_another_destination_gets_what_it_lacks_without_the_model(
    lab: Lab, container: Container, tmp_path: Path
) -> None:
    container.answer = _score
    scene = _scene(lab, "elsewhere", ["0.4", "0.5", "0.6"])
    files = lab.perform(scene, OPTION, tmp_path, _toml(container), VMI_DESTINATION="files")
    assert set(_held(scene).values()) == {0}
    _asked(container)
    both = lab.perform(scene, OPTION, tmp_path, _toml(container), VMI_DESTINATION="files,model-run")
    assert _asked(container) == {}
    assert set(_held(scene).values()) == {1}
    assert both.finished.counts.reused == 0
    again = lab.perform(scene, OPTION, tmp_path, _toml(container), VMI_DESTINATION="model-run")
    assert again.finished.message.startswith("Nothing to do: 3 data rows are as they were.")
    assert again.statuses() == files.statuses()


def test_an_upload_that_failed_is_sent_again_under_the_same_names(
    lab: Lab, container: Container, tmp_path: Path
) -> None:
    """The next run sends the same lines under the same uuids, whatever of them came there."""
    container.answer = _score
    scene = _scene(lab, "given up", ["0.4", "0.5", "0.6"])
    lab.fault(match="createMEAPredictionImportByFile*", times=0, status=400, json={"errors": [{"message": "no"}]})
    first = lab.perform(scene, OPTION, tmp_path, _toml(container))
    assert Counter(step for _, step, _ in map(first.fate, scene.keys)) == {"upload": 3}
    lab.calm()
    _asked(container)
    second = lab.perform(scene, OPTION, tmp_path, _toml(container))
    assert _asked(container) == {}, "their answers were kept"
    assert Counter(second.statuses().values()) == {"predicted": 3}
    assert set(_held(scene).values()) == {1}
    assert _predictions(tmp_path, lab, first) == _predictions(tmp_path, lab, second)


def _predictions(folder: Path, lab: Lab, done: Done) -> set[bytes]:
    settings = load({**lab.config.environment(), "VMI_DATA_DIR": str(folder / "vmi")}, folder)
    store = open_artifacts(settings)
    entries = store.entries(f"runs/{done.run_id}/predictions")
    return {line for entry in entries for line in store.lines(entry.path)}


def test_without_an_engine_it_is_the_same(lab: Lab, container: Container, tmp_path: Path) -> None:
    """As Cloud Functions run it, and each step once more: what a step finds done stays as it is."""
    container.answer = _score
    scene = _scene(lab, "inline", [str(n / 30) for n in range(1, 25)] + ["zebra"])
    (tmp_path / "vmi.toml").write_text(_toml(container))
    environment = {**lab.config.environment(), "VMI_DATA_DIR": str(tmp_path / "vmi"), "VMI_SHARD_ROWS": "5"}
    settings = load(environment, tmp_path)
    option = catalog_of(settings).refresh().find(OPTION)
    assert option is not None
    surroundings = Surroundings(settings)
    try:
        first = inline.begin(surroundings, scene.run.uid, option, None)
        inline.extract(surroundings, first.run_id)
        assert inline.infer(surroundings, first.run_id).counts.predicted == 24
        _asked(container)
        held = _held(scene)
        second = inline.begin(surroundings, scene.run.uid, option, None)
        assert second.run_id != first.run_id
        inline.extract(surroundings, second.run_id)
        finished = inline.infer(surroundings, second.run_id)
        assert _asked(container) == {}
        assert (finished.counts.reused, finished.counts.failed) == (24, 1)
        assert _held(scene) == held
        store = surroundings.store
        spec = msgspec.json.decode(store.get(Files(second.run_id).spec), type=RunSpec)
        context = surroundings.looking(spec)
        before = {entry.path: store.get(entry.path) for entry in store.entries(f"runs/{second.run_id}")}
        remembered = memory.remember(context)
        assert remembered is not None
        assert remembered.rows == 25
        shards = [int(path[-11:-6]) for path in before if "/origins/" in path]
        carried = [shard for shard in shards if _is_carried(before, shard)]
        assert recall.carry_shards(context, carried) == msgspec.structs.replace(finished.counts, exported=24, failed=0)
        assert {entry.path: store.get(entry.path) for entry in store.entries(f"runs/{second.run_id}")} == before
    finally:
        surroundings.close()


def _is_carried(files: dict[str, bytes], shard: int) -> bool:
    [outcomes] = [content for path, content in files.items() if path.endswith(f"outcomes/{shard:05d}.jsonl")]
    return b'"reused":true' in outcomes
