"""kill -9 while the canary is away: it is carried on, judged once, and its rows are neither predicted nor sent twice."""

from __future__ import annotations

from typing import Any

import httpx2
import orjson
import pytest

from vertex_model_inference.runs.reading import outcomes_of

from .conftest import FOREVER_S, ROWS, Arena

CANARY = 10
HAPPENED = {"answer_after_s": FOREVER_S}  # it happens, but nobody hears of it
MOMENTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "exporting": ("storage", "*/rows/00000.jsonl", {"method": "PUT"}),
    "job-submitted": ("vertex", "batchPredictionJobs.create", HAPPENED),
    "uploaded": ("labelbox", "createMEAPredictionImportByFilePyApi", HAPPENED),
    "outcomes": ("storage", "*/outcomes/00000.jsonl", {"method": "PUT"}),
    "judging": ("storage", "*/answers/00000.jsonl", {"method": "GET", "after": 1}),
    "staging-the-rest": ("storage", "*/staged/00001.jsonl", {"method": "PUT"}),
    "rest-submitted": ("vertex", "batchPredictionJobs.create", {**HAPPENED, "after": 1}),
}


@pytest.mark.parametrize(
    "names",
    [
        ("exporting", "uploaded", "judging"),
        ("staging-the-rest", "job-submitted", "outcomes"),
        ("rest-submitted",),
    ],
    ids=" ".join,
)
def test_killed_with_the_canary_away(names: tuple[str, ...], arena: Arena) -> None:
    arena.environment["VMI_CANARY_ROWS"] = str(CANARY)
    run_id = ""
    for name in names:
        server, match, more = MOMENTS[name]
        reached = arena.hold(server, match, **more)
        served = arena.serve()
        run_id = run_id or arena.press(served)
        reached()
        served.kill()
        arena.release()
    arena.serve()
    arena.check(run_id, jobs=2, imports=1 + -(-(ROWS - CANARY) // 25))
    assert sorted(job["sent"] for job in arena.jobs(run_id)) == [CANARY, ROWS - CANARY]


def test_a_stop_is_not_undone_by_a_kill(arena: Arena) -> None:
    """Killed while the rows that are left get their outcomes: the run stays stopped, and nothing more is sent."""
    arena.environment["VMI_CANARY_ROWS"] = str(CANARY)
    refusal = {
        "errors": [
            {
                "message": "9 FAILED_PRECONDITION: MEA prediction import has been deprecated",
                "extensions": {"code": "INTERNAL_SERVER_ERROR"},
            }
        ],
        "data": None,
    }
    url = f"{arena.config.labelbox_url}/_sandbox/faults"
    rule = {"match": "createMEAPredictionImportByFile*", "times": 0, "json": refusal}
    arena.http.post(url, json=rule).raise_for_status()
    reached = arena.hold("storage", "*/outcomes/00002.jsonl", method="PUT")
    served = arena.serve()
    run_id = arena.press(served)
    reached()
    served.kill()
    arena.release()  # from now on Labelbox would take them: what the canary said counts
    arena.serve()
    status = arena.ended(run_id)
    assert (status.state, status.counts.exported, status.counts.failed) == ("FAILED", ROWS, ROWS)
    found: dict[str, int] = {}
    for outcome in outcomes_of(arena.store, run_id):
        found[str(outcome.code)] = found.get(str(outcome.code), 0) + 1
    assert found == {"upload_refused": CANARY, "canary": ROWS - CANARY}
    assert [job["sent"] for job in arena.jobs(run_id)] == [CANARY]
    assert arena.in_labelbox()["imports"] == []


def test_a_project_gets_its_batch_and_pre_labels_once(arena: Arena) -> None:
    project_id = _project(arena)
    arena.environment |= {"VMI_DESTINATION": "project", "VMI_LABELBOX_PROJECT": project_id}
    run_id = ""
    for match in (
        "createEmptyBatchPyApi",
        "addDataRowsToBatchAsyncPyApi",
        "createMALPredictionImportByFilePyApi",
    ):
        reached = arena.hold("labelbox", match, **HAPPENED)
        served = arena.serve()
        run_id = run_id or arena.press(served)
        reached()
        served.kill()
        arena.release()
    arena.serve()
    status = arena.ended(run_id)
    assert (status.state, status.counts.predicted) == ("COMPLETE", ROWS), status.message
    found = arena.http.get(f"{arena.config.labelbox_url}/_sandbox/projects/{project_id}").json()
    assert [(batch["name"], batch["size"]) for batch in found["batches"]] == [(f"vmi-{run_id}-00000", ROWS)]
    assert [(item["state"], item["failed"]) for item in found["imports"]] == [("FINISHED", 0)] * 3
    assert found["counts"]["pre_labels"] == found["counts"]["pre_labelled_data_rows"] == ROWS


def _project(arena: Arena) -> str:
    """A project with the ontology of the seeded model, made over the wire."""

    def call(query: str, **variables: Any) -> Any:
        body = orjson.dumps({"query": query, "variables": variables})
        headers = {"Authorization": "Bearer sandbox-key", "Content-Type": "application/json"}
        answer = httpx2.post(f"{arena.config.labelbox_url}/graphql", content=body, headers=headers)
        return answer.raise_for_status().json()["data"]

    ontology_id = arena.in_labelbox()["ontology_id"]
    made = call("mutation CreateProjectPyApi {x}", name="labelling", allowedMediaType="IMAGE")
    project_id = made["createProject"]["id"]
    call("mutation ConnectOntologyPyApi {x}", projectId=project_id, ontologyId=ontology_id)
    return str(project_id)
