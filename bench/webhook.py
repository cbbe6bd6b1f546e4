"""``vmi serve`` under load: 200 ``POST /model_run`` a second for ten seconds, while it works on the runs they start.

Nine of ten are redeliveries for a few runs that go on; every tenth is the first delivery for a model run of its own,
two text rows each, which is then really run. ``GET /models`` and ``GET /healthz`` are asked at the same time.
"""

from __future__ import annotations

import json
import secrets
import tempfile
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2

from bench import container, load
from bench.figure import Figure, percentile
from bench.serve import serving
from vertex_model_inference.sandbox.launcher import running
from vertex_model_inference.webhook.signature import HEADER, sign

__all__ = ["run"]

PER_SECOND, SECONDS, FIRST_IN = 200, 10, 10
GETS_PER_SECOND = 20
ACTIVE = 3


def _model_runs(environment: dict[str, str], count: int) -> list[str]:
    """Model runs of two text rows each, made through the SDK; their ids."""
    import labelbox
    from labelbox.schema.media_type import MediaType

    url = environment["VMI_LABELBOX_URL"]
    client: Any = labelbox.Client(
        api_key=environment["LABELBOX_API_KEY"], endpoint=f"{url}/graphql", rest_endpoint=f"{url}/api/v1"
    )
    options = [{"label": label, "value": label} for label in (container.ANSWER, "no")]
    question = {"type": "radio", "name": "answer", "instructions": "answer", "required": False, "options": options}
    ontology = client.create_ontology("bench", {"tools": [], "classifications": [question]}, media_type=MediaType.Text)
    dataset = client.create_dataset(name="bench")
    keys = [str(uuid.uuid4()) for _ in range(2)]
    task = dataset.create_data_rows(
        [{"row_data": f"a text, {key}", "global_key": key, "media_type": "TEXT"} for key in keys]
    )
    task.wait_till_done()
    model = client.create_model(name="bench", ontology_id=ontology.uid)

    def one(number: int) -> str:
        made = model.create_model_run(f"bench {number}")
        made.upsert_data_rows(global_keys=keys)
        return str(made.uid)

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(one, range(count)))


def _post(url: str, secret: str, model_run_id: str, *, slow: bool, due: float = 0.0, kind: str = "") -> load.Call:
    body = json.dumps(
        {"modelId": "bench", "modelRunId": model_run_id, "modelType": "slow" if slow else "fast"}
    ).encode()
    headers = {HEADER: sign(secret, body), "Content-Type": "application/json"}
    return load.Call(due, kind, "POST", f"{url}/model_run", headers, body)


def _gets(url: str, secret: str) -> list[load.Call]:
    headers = {HEADER: sign(secret, b"")}
    calls = []
    for number in range(GETS_PER_SECOND * SECONDS):
        due = (number + 0.37) / GETS_PER_SECOND
        calls.append(load.Call(due, "models", "GET", f"{url}/models", headers))
        calls.append(load.Call(due + 0.5 / GETS_PER_SECOND, "healthz", "GET", f"{url}/healthz"))
    return calls


def run() -> list[Figure]:
    """Measure; raises AssertionError when an answer is not the right one or a run does not end well."""
    secret = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="vmi-bench-") as name, running() as config, container.serving() as models:
        folder = Path(name)
        sections = [f'[models."{way}"]\ncontainer = "{models}/{way}"\ntask = "text-classification"\ndecoder = "plain"\n'
                    for way in ("fast", "slow")]  # fmt: skip
        (folder / "vmi.toml").write_text("\n".join(sections))
        environment = {
            **config.environment(), "VMI_DATA_DIR": str(folder / "vmi"), "VMI_WEBHOOK_SECRET": secret,
        }  # fmt: skip
        fresh = PER_SECOND * SECONDS // FIRST_IN
        ids = _model_runs(environment, ACTIVE + fresh)
        active, firsts = ids[:ACTIVE], ids[ACTIVE:]
        with serving(environment, folder) as url:
            begun = [_post(url, secret, each, slow=True, due=0.1 * i, kind="begun") for i, each in enumerate(active)]
            run_ids = [json.loads(answer.body)["runId"] for answer in _good(load.send(begun))]
            answers = _good(load.send(_posts(url, secret, active, firsts) + _gets(url, secret)))
            busy = [json.loads(answer.body) for answer in answers if answer.kind == "again"]
            assert all(each["joined"] and each["runId"] in run_ids for each in busy), "a redelivery began a run"
            started = {json.loads(answer.body)["runId"] for answer in answers if answer.kind == "first"}
            assert len(started) == fresh, "first deliveries must each begin a run"
            httpx2.get(f"{models}/release", trust_env=False)
            drained = _drained(environment, folder, [*run_ids, *started])
    taken = {
        kind: [answer.seconds for answer in answers if answer.kind == kind]
        for kind in ("first", "again", "models", "healthz")
    }
    late = percentile([answer.late for answer in answers], 0.99) * 1000
    posts = taken["first"] + taken["again"]
    ms = {kind: percentile(values, 0.99) * 1000 for kind, values in {**taken, "posts": posts}.items()}
    beside = "p99 of /healthz beside it"
    rate = f"webhook: POST /model_run at {PER_SECOND}/s"
    return [
        Figure.compared(
            f"{rate}, p99", "ms", ms["posts"], ms["healthz"], beside, more_is_better=False, most=50
        ),
        Figure.alone(f"{rate}, p50", "ms", percentile(posts, 0.5) * 1000),
        Figure.alone(f"{rate}, max", "ms", max(posts) * 1000),
        Figure.compared(
            "webhook: first deliveries, p99", "ms", ms["first"], ms["again"], "redeliveries", more_is_better=False
        ),
        Figure.compared(
            "webhook: GET /models meanwhile, p99", "ms", ms["models"], ms["healthz"], beside, more_is_better=False,
            most=50,
        ),
        Figure.alone("webhook: the load's own lateness, p99", "ms", late),
        Figure.alone("webhook: runs started by the load, all COMPLETE after", "s", drained),
    ]  # fmt: skip


def _posts(url: str, secret: str, active: Sequence[str], firsts: Sequence[str]) -> list[load.Call]:
    left = iter(firsts)
    calls = []
    for number in range(PER_SECOND * SECONDS):
        due = number / PER_SECOND
        if number % FIRST_IN == 0:
            calls.append(_post(url, secret, next(left), slow=False, due=due, kind="first"))
        else:
            calls.append(_post(url, secret, active[number % len(active)], slow=True, due=due, kind="again"))
    return calls


def _good(answers: list[load.Answer]) -> list[load.Answer]:
    for answer in answers:
        assert answer.status == 200, f"{answer.kind}: HTTP {answer.status} {answer.body[:300]!r}"
    return answers


def _drained(environment: dict[str, str], folder: Path, run_ids: Sequence[str]) -> float:
    """Seconds until all runs have ended; each must be COMPLETE with its two rows predicted."""
    from vertex_model_inference.runs.progress import read_status
    from vertex_model_inference.runs.surroundings import open_artifacts
    from vertex_model_inference.settings import load as load_settings

    store = open_artifacts(load_settings(environment, folder))
    started = time.monotonic()
    for run_id in run_ids:
        while (status := read_status(store, run_id)) is None or not status.state.ended:
            assert time.monotonic() - started < 120, f"{run_id} has not ended: {status}"
            time.sleep(0.1)
        assert (status.state.value, status.counts.predicted) == ("COMPLETE", 2), status
    return time.monotonic() - started


def main() -> None:
    for figure in run():
        print(figure)


if __name__ == "__main__":
    main()
