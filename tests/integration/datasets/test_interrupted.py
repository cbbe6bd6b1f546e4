from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from labelbox import Client

from vertex_model_inference.errors import LabelboxError, StorageError, VertexError, VmiError
from vertex_model_inference.sandbox.datasets.catalog import material
from vertex_model_inference.sandbox.datasets.seeding import seed
from vertex_model_inference.sandbox.datasets.target import Target
from vertex_model_inference.sandbox.launcher import running

pytestmark = pytest.mark.xdist_group("seeding")


@pytest.fixture(scope="module")
def fresh() -> Iterator[Target]:
    """A sandbox that nothing was seeded into."""
    with running() as config:
        yield Target.of(config.environment())


REFUSAL = {"errors": [{"message": "refused", "extensions": {"code": "OPERATION_NOT_ALLOWED"}}]}


def _break(url: str, **rule: Any) -> None:
    httpx2.post(f"{url}/_sandbox/faults", json=rule, trust_env=False).raise_for_status()


def test_whatever_is_refused_seeding_says_so_and_the_next_goes_on(fresh: Target) -> None:
    documents = material("documents")
    steps: list[tuple[str, type[VmiError], dict[str, Any]]] = [
        (fresh.vertex_url, VertexError, {"match": "models.upload", "status": 403, "json": {"error": {"code": 403}}}),
        (fresh.labelbox_url, LabelboxError, {"match": "createModelPyApi", "status": 200, "json": REFUSAL}),
        (fresh.storage_url, StorageError, {"match": "/vmi-sandbox/datasets/*", "status": 403, "times": 15}),
        (fresh.labelbox_url, LabelboxError, {"match": "createBatchV2PyApi", "status": 200, "json": REFUSAL}),
        (fresh.labelbox_url, LabelboxError, {"match": "createLabelImportByFilePyApi", "status": 200, "json": REFUSAL}),
        (fresh.labelbox_url, LabelboxError, {"match": "assignDataSplitPyApi", "status": 200, "json": REFUSAL}),
    ]
    for url, error, rule in steps:
        _break(url, **rule)
        with pytest.raises(error) as raised:
            seed(documents, fresh)
        assert "Traceback" not in str(raised.value)
        faults = httpx2.get(f"{url}/_sandbox/faults", trust_env=False)
        assert '"fired":0' not in faults.text.replace(" ", ""), rule["match"]
        httpx2.delete(f"{url}/_sandbox/faults", trust_env=False).raise_for_status()

    seeded = seed(documents, fresh)
    client: Any = Client(
        api_key=fresh.api_key,
        endpoint=f"{fresh.labelbox_url}/graphql",
        rest_endpoint=f"{fresh.labelbox_url}/api/v1",
        enable_experimental=True,
    )
    rows = list(client.get_model_run(seeded.model_run_id).model_run_data_rows())
    keys = [row.data_row().global_key for row in rows]
    assert sorted(keys) == sorted(row.key for row in documents.rows())
    labels = [row.label_id for row in rows if row.label_id]
    assert len(labels) == len(set(labels)) == seeded.labels == 10
    assert len(list(client.get_dataset(seeded.dataset_id).data_rows())) == len(keys)


def test_what_was_deleted_in_labelbox_is_made_anew(fresh: Target) -> None:
    documents = material("documents")
    before = seed(documents, fresh, rows=5)
    client: Any = Client(
        api_key=fresh.api_key, endpoint=f"{fresh.labelbox_url}/graphql", rest_endpoint=f"{fresh.labelbox_url}/api/v1"
    )
    client.get_dataset(before.dataset_id).delete()
    told: list[str] = []
    after = seed(documents, fresh, rows=5, tell=told.append)
    assert any("deleted" in line for line in told)
    assert after.dataset_id != before.dataset_id
    rows = list(client.get_model_run(after.model_run_id).model_run_data_rows())
    assert {row.data_row().global_key for row in rows} == {row.key for row in documents.rows()[:5]}
