"""Publisher models through google-genai and the gapic client: real OCR, real classification, batch jobs."""

from __future__ import annotations

import enum
import io
import json
import time
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from google.cloud import aiplatform_v1 as v1
from google.genai import Client, errors, types
from google.oauth2.credentials import Credentials
from PIL import Image
from pydantic import BaseModel
from skimage import data

MODEL = "gemini-2.5-flash"


@pytest.fixture(scope="module")
def genai(vertex: Any) -> Iterator[Any]:
    client = Client(
        vertexai=True,
        project="sandbox",
        location="us-central1",
        credentials=Credentials("sandbox-token"),
        http_options=types.HttpOptions(base_url=vertex.config.vertex_url, api_version="v1"),
    )
    yield client
    client.close()


@pytest.fixture(scope="module")
def page() -> bytes:
    """The top of a real scanned page: 'Region-based segmentation'."""
    buffer = io.BytesIO()
    Image.fromarray(data.page()[:80]).save(buffer, "PNG")
    return buffer.getvalue()


class Kind(enum.Enum):
    DOCUMENT = "document about segmentation"
    INVOICE = "invoice"


class Detected(BaseModel):
    box_2d: list[int]
    label: str
    text: str


class Judged(BaseModel):
    kind: Kind
    confidence: float
    note: str | None = None


def test_reads_a_picture(genai: Any, page: bytes) -> None:
    part = types.Part.from_bytes(data=page, mime_type="image/png")
    answer = genai.models.generate_content(model=MODEL, contents=[part, "Read this."])
    assert "segmentation" in answer.text
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    assert answer.usage_metadata.prompt_token_count > 258
    assert answer.usage_metadata.total_token_count == (
        answer.usage_metadata.prompt_token_count + answer.usage_metadata.candidates_token_count
    )


def test_detects_by_schema_and_by_prompt(genai: Any, vertex: Any, page: bytes) -> None:
    uri = vertex.put("gemini/page.png", page)
    part = types.Part.from_uri(file_uri=uri, mime_type="image/png")
    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=list[Detected])
    answer = genai.models.generate_content(model=MODEL, contents=[part, "Find the lines."], config=config)
    found = answer.parsed
    assert "Region" in found[0].text
    assert any("segmentation" in item.text for item in found)
    ymin, xmin, ymax, xmax = found[0].box_2d
    assert 0 <= ymin < ymax <= 1000
    assert 0 <= xmin < xmax <= 1000
    prompted = genai.models.generate_content(model=MODEL, contents=[part, "Give box_2d and label of each line."])
    assert prompted.text.startswith("```json\n")
    boxes = json.loads(prompted.text.removeprefix("```json\n").removesuffix("\n```"))
    assert [item["box_2d"] for item in boxes] == [item.box_2d for item in found]


def test_classifies_a_picture(genai: Any, page: bytes) -> None:
    part = types.Part.from_bytes(data=page, mime_type="image/png")
    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=Judged)
    judged = genai.models.generate_content(model=MODEL, contents=[part], config=config).parsed
    assert judged.kind is Kind.DOCUMENT
    assert 0.5 < judged.confidence < 1
    assert "segmentation" in judged.note


def test_chooses_for_a_text(genai: Any) -> None:
    config = types.GenerateContentConfig(
        response_mime_type="text/x.enum",
        response_schema={"type": "STRING", "enum": ["cooking recipes", "football matches", "space travel"]},
    )
    texts = {
        "The match was decided by a late football goal.": "football matches",
        "Astronauts travelled through outer space for months.": "space travel",
        "A recipe for cooks: boil the rice.": "cooking recipes",
    }
    for text, wanted in texts.items():
        contents = [types.Part.from_text(text="Which topic?"), types.Part.from_text(text=text)]
        assert genai.models.generate_content(model=MODEL, contents=contents, config=config).text == wanted


def test_max_tokens_stream_and_count(genai: Any) -> None:
    text = "One two three four five six seven."
    cut = genai.models.generate_content(
        model=MODEL, contents=text, config=types.GenerateContentConfig(max_output_tokens=3)
    )
    assert cut.text == "One two three"
    assert cut.candidates[0].finish_reason == types.FinishReason.MAX_TOKENS
    chunks = list(genai.models.generate_content_stream(model=MODEL, contents=text))
    assert "".join(chunk.text for chunk in chunks) == text
    assert len(chunks) > 1
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP
    assert genai.models.count_tokens(model=MODEL, contents=text).total_tokens == 8
    assert f"publishers/google/models/{MODEL}" in [model.name for model in genai.models.list()]


def test_refusals(genai: Any) -> None:
    for contents, model, status in [
        ("a", "gemini-none", 404),
        ([types.Part.from_bytes(data=b"no picture", mime_type="image/png")], MODEL, 400),
        ([types.Part.from_uri(file_uri="gs://vmi-sandbox/none.png", mime_type="image/png")], MODEL, 400),
        ([types.Part.from_bytes(data=b"x", mime_type="application/zip")], MODEL, 400),
    ]:
        with pytest.raises(errors.ClientError) as caught:
            genai.models.generate_content(model=model, contents=contents)
        assert caught.value.code == status


def test_gapic_client(vertex: Any) -> None:
    answer = vertex.predictions.generate_content(
        model=f"projects/sandbox/locations/us-central1/publishers/google/models/{MODEL}",
        contents=[v1.Content(role="user", parts=[v1.Part(text="Hello there.")])],
    )
    assert answer.candidates[0].content.parts[0].text == "Hello there."
    assert answer.candidates[0].finish_reason == v1.Candidate.FinishReason.STOP


def test_batch(genai: Any, vertex: Any, page: bytes) -> None:
    picture = {"fileData": {"fileUri": vertex.put("gemini/b.png", page), "mimeType": "image/png"}}

    def row(id_: str, *parts: Any) -> Any:
        contents = [{"role": "user", "parts": list(parts)}] if parts else []
        return {"request": {"contents": contents, "labels": {"id": id_}}}

    rows = [row(f"r{i}", {"text": f"Row number {i}."}) for i in range(40)] + [row("page", picture), row("empty")]
    uri = vertex.put("gemini/in.jsonl", b"".join(orjson.dumps(item) + b"\n" for item in rows))
    config = types.CreateBatchJobConfig(dest="gs://vmi-sandbox/gemini/out", display_name="gemini batch")
    job = genai.batches.create(model=MODEL, src=uri, config=config)
    deadline = time.monotonic() + 60
    while job.state.name in ("JOB_STATE_QUEUED", "JOB_STATE_PENDING", "JOB_STATE_RUNNING"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
        job = genai.batches.get(name=job.name)
    assert job.state.name == "JOB_STATE_SUCCEEDED", job
    assert job.name in [item.name for item in genai.batches.list()]
    directory = vertex.jobs.get_batch_prediction_job(name=job.name).output_info.gcs_output_directory
    assert directory.startswith("gs://vmi-sandbox/gemini/out/prediction-model-20")
    assert vertex.names(directory) == ["predictions.jsonl"]
    lines = [json.loads(line) for line in vertex.read(f"{directory}/predictions.jsonl").splitlines()]
    by_id = {line["request"]["labels"]["id"]: line for line in lines}
    assert len(lines) == len(by_id) == 42
    assert list(by_id) != [item["request"]["labels"]["id"] for item in rows]
    assert by_id["r7"]["response"]["candidates"][0]["content"]["parts"][0]["text"] == "Row number 7."
    assert by_id["r7"]["status"] == ""
    assert "segmentation" in by_id["page"]["response"]["candidates"][0]["content"]["parts"][0]["text"]
    assert by_id["empty"]["status"].startswith("Bad Request: ")
    assert by_id["empty"]["response"] == {}
    assert (job.completion_stats.successful_count, job.completion_stats.failed_count) == (41, 1)
