"""generateContent of publisher models, answered by local models; and the same as batch jobs.

Formats: ``google/cloud/aiplatform_v1/types/{content,prediction_service}.py``. Counts of tokens are estimates: a word of
up to five letters or a sign is one token, a picture 258.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import math
import re
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
from google.cloud.aiplatform_v1 import types as t

from vertex_model_inference.sandbox.vertex.evidence import AUDIO, DOCUMENTS, IMAGES, VIDEOS, evidence_of
from vertex_model_inference.sandbox.vertex.instances import Item
from vertex_model_inference.sandbox.vertex.objects import Objects
from vertex_model_inference.sandbox.vertex.reading import Unreadable, choose, summary
from vertex_model_inference.sandbox.vertex.schemas import check_schema
from vertex_model_inference.sandbox.vertex.structured import Filler, boxes
from vertex_model_inference.sandbox.vertex.tricks import Tricks, played
from vertex_model_inference.sandbox.vertex.wire import (
    Answer,
    ApiError,
    Call,
    decode_body,
    invalid,
    new_id,
    not_found,
    now,
    page_of,
    parse,
    validate_labels,
)
from vertex_model_inference.sandbox.vertex.work import Result

__all__ = ["BATCH_LIMIT", "MODELS", "Gemini", "GeminiWork", "publisher_model"]

MODELS = ("gemini-2.5-flash", "gemini-2.5-flash-lite", "gemini-2.5-pro")
BATCH_LIMIT = 200_000  # requests in one batch job
_FILES = IMAGES | DOCUMENTS | VIDEOS | AUDIO
_NAME = re.compile(r"(?:projects/[^/]+/locations/[^/]+/)?publishers/google/models/([^/]+)")
_TOKEN = re.compile(r"\w{1,5}|[^\w\s]")


def publisher_model(name: str) -> str | None:
    """The model's id when ``name`` is one of a publisher's, else None.

    Raises:
        ApiError: NOT_FOUND: a publisher's model that is not served here.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    if match[1].partition("@")[0] not in MODELS:
        raise ApiError(
            "NOT_FOUND",
            f"Publisher Model `{name}` was not found or your project does not have access to it. Please ensure you "
            f"are using a valid model version; here: {', '.join(MODELS)}.",
        )
    return match[1]


class Gemini:
    """Answers requests; the models run in two threads.

    Args:
        objects: Where ``gs://`` parts are read from.
    """

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self.tricks = Tricks()
        self.threads = ThreadPoolExecutor(2, thread_name_prefix="gemini")

    def close(self) -> None:
        """Let go of the threads."""
        self.threads.shutdown(wait=False, cancel_futures=True)

    async def answer(self, model: str, body: dict[str, Any]) -> dict[str, Any]:
        """A ``GenerateContentResponse``.

        Raises:
            ApiError: The request is malformed, or a part cannot be read.
        """
        request = parse(t.GenerateContentRequest, body, "generate_content_request")
        validate_labels(request.get("labels", {}))
        contents = request.get("contents")
        if not contents:
            raise invalid("Unable to submit request because at least one contents field is required.")
        config = request.get("generationConfig", {})
        most = config.get("maxOutputTokens", 65_535)
        if not 1 <= most <= 65_535:
            raise invalid(
                f"Unable to submit request because it has a maxOutputTokens value of {most} but the "
                "supported range is from 1 (inclusive) to 65536 (exclusive)."
            )
        if not 0 <= config.get("temperature", 1.0) <= 2:
            raise invalid(
                f"Unable to submit request because it has a temperature value of {config['temperature']} but the "
                "supported range is from 0 (inclusive) to 2.0001 (exclusive)."
            )
        if "logprobs" in config and not config.get("responseLogprobs"):
            raise invalid("Unable to submit request because logprobs is set but response_logprobs is not.")
        trick = self.tricks.take(request)
        texts, files = await self._parts(contents)
        loop = asyncio.get_running_loop()
        text, logprob, chosen = await loop.run_in_executor(self.threads, _generate, texts, files, config)
        asked = sum(len(_TOKEN.findall(part)) for part in texts) + 258 * len(files)
        cut = _cut(text, int(most))
        told = len(_TOKEN.findall(cut))
        candidate: dict[str, Any] = {
            "content": {"role": "model", "parts": [{"text": cut}]},
            "finishReason": "STOP" if cut == text else "MAX_TOKENS",
            "avgLogprobs": logprob,
        }
        if config.get("responseLogprobs"):
            candidate["logprobsResult"] = {"chosenCandidates": _chosen(cut, chosen)}
        response = {
            "candidates": [candidate],
            "usageMetadata": {
                "promptTokenCount": asked,
                "candidatesTokenCount": told,
                "totalTokenCount": asked + told,
            },
            "modelVersion": model.partition("@")[0],
            "createTime": now(),
            "responseId": new_id(),
        }
        return response if trick is None else played(trick, response)

    async def _parts(self, contents: list[dict[str, Any]]) -> tuple[list[str], list[tuple[str, bytes]]]:
        texts: list[str] = []
        files: list[tuple[str, bytes]] = []
        for content in contents:
            if content.get("role", "user") not in ("user", "model"):
                raise invalid("Please use a valid role: user, model.")
            if not content.get("parts"):
                raise invalid("Unable to submit request because it must have at least one part in its contents.")
            for part in content["parts"]:
                if "text" in part:
                    texts.append(part["text"])
                    continue
                mime = part.get("inlineData", part.get("fileData", {})).get("mimeType", "")
                data = await self._bytes(part)
                if mime in _FILES:
                    files.append((mime, data))
                elif mime == "text/plain":
                    texts.append(data.decode("utf-8", "replace"))
                else:
                    raise invalid(
                        f"Unable to submit request because it has a mimeType parameter with value {mime}, "
                        "which is not supported."
                    )
        return texts, files

    async def _bytes(self, part: dict[str, Any]) -> bytes:
        if "inlineData" in part:
            try:
                return base64.b64decode(part["inlineData"].get("data", ""), validate=True)
            except binascii.Error:
                raise invalid("Base64 decoding failed for inlineData.") from None
        uri = part.get("fileData", {}).get("fileUri", "")
        if not uri.startswith("gs://"):
            raise invalid(f"Cannot fetch content from the provided URL {uri!r}; the sandbox reads gs:// only.")
        try:
            return b"".join([chunk async for chunk in self.objects.read(uri)])
        except ApiError as error:
            raise invalid(f"Cannot fetch content from the provided URL. {error.message}") from None

    # Calls

    async def generate(self, call: Call) -> dict[str, Any]:
        """``generateContent``."""
        return await self.answer(_model_of(call), decode_body(call.body))

    async def stream(self, call: Call) -> Answer:
        """``streamGenerateContent``: server-sent events with ``alt=sse``, else a JSON array."""
        whole = await self.answer(_model_of(call), decode_body(call.body))
        if "candidates" not in whole:
            return Answer(orjson.dumps([whole]))
        candidate = whole["candidates"][0]
        text = candidate["content"]["parts"][0]["text"]
        step = max(-(-len(text) // 3), 1)
        pieces = [text[i : i + step] for i in range(0, len(text), step)] or [""]
        chunks = []
        for i, piece in enumerate(pieces):
            part: dict[str, Any] = {"content": {"role": "model", "parts": [{"text": piece}]}}
            last = i == len(pieces) - 1
            if last:
                part["finishReason"] = candidate["finishReason"]
            rest = {key: whole[key] for key in ("modelVersion", "createTime", "responseId")}
            chunks.append({"candidates": [part], **rest, **({"usageMetadata": whole["usageMetadata"]} if last else {})})
        if call.query.get("alt") == "sse":
            body = b"".join(b"data: " + orjson.dumps(chunk) + b"\r\n\r\n" for chunk in chunks)
            return Answer(body, 200, {"Content-Type": "text/event-stream"})
        return Answer(orjson.dumps(chunks))

    async def count(self, call: Call) -> dict[str, Any]:
        """``countTokens``."""
        _model_of(call)
        request = parse(t.CountTokensRequest, decode_body(call.body), "count_tokens_request")
        parts = [part for content in request.get("contents", []) for part in content.get("parts", [])]
        total = sum(len(_TOKEN.findall(part["text"])) if "text" in part else 258 for part in parts)
        return {"totalTokens": total}

    async def get(self, call: Call) -> dict[str, Any]:
        """``publishers.models.get``."""
        return _described(_model_of(call))

    async def list(self, call: Call) -> dict[str, Any]:
        """``publishers.models.list``."""
        if call.ids["publisher"] != "google":
            return {}
        return page_of([_described(model) for model in MODELS], call, "publisherModels")


class GeminiWork:
    """One batch job: ``{"request": ...}`` lines in, ``{"status", "processed_time", "request", "response"}`` lines out.

    Args:
        gemini: What answers. ``model``: its id. ``uri``: the input file.
    """

    def __init__(self, gemini: Gemini, model: str, uri: str) -> None:
        self.gemini = gemini
        self.model = model
        self.uri = uri
        self.sent = 0

    async def items(self) -> AsyncIterator[Item]:
        """The input lines.

        Raises:
            ApiError: The file cannot be read, or has more requests than a job may have.
        """
        index = 0
        async for line in self.gemini.objects.lines(self.uri):
            if not line.strip():
                continue
            if index >= BATCH_LIMIT:
                raise invalid(f"{self.uri} has more than {BATCH_LIMIT} requests.")
            try:
                value = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                yield Item(index, None, {"request": line[:1000].decode("utf-8", "replace")}, f"not JSON: {error}")
            else:
                fine = isinstance(value, dict) and isinstance(value.get("request"), dict)
                request = value["request"] if fine else value
                yield Item(index, request, {"request": request}, None if fine else 'The line has no "request" object.')
            index += 1

    async def answer(self, batch: list[Item]) -> list[Result]:
        """One result per item; a failed one is among the predictions, with its status."""
        return list(await asyncio.gather(*(self._one(item) for item in batch)))

    async def _one(self, item: Item) -> Result:
        error = item.error and f"Bad Request: {item.error}"
        response: dict[str, Any] = {}
        if error is None:
            self.sent += 1
            try:
                response = await self.gemini.answer(self.model, item.sent)
            except ApiError as refused:
                known = refused.status == "INVALID_ARGUMENT"
                error = f"{'Bad Request' if known else f'{refused.http} {refused.status}'}: {refused.message}"
        row = {
            "status": error or "",
            "processed_time": now()[:-4] + "+00:00",
            **item.shown,
            "response": response,
        }
        return Result(item.index, orjson.dumps(row) + b"\n", error, apart=False)


def _model_of(call: Call) -> str:
    if call.ids["publisher"] != "google":
        raise not_found("Publisher Model", f"publishers/{call.ids['publisher']}/models/{call.ids['id']}")
    found = publisher_model(f"publishers/google/models/{call.ids['id']}")
    assert found is not None  # the path is one
    return found


def _described(model: str) -> dict[str, Any]:
    return {"name": f"publishers/google/models/{model}", "versionId": "default", "launchStage": "GA"}


def _generate(
    texts: list[str], files: list[tuple[str, bytes]], config: dict[str, Any]
) -> tuple[str, float, list[tuple[str, float]]]:
    """The answer's text, its mean log probability, and what was chosen in it with its scores; runs in a thread."""
    prompt = " ".join(texts)
    try:
        evidence = evidence_of(texts, files)
    except Unreadable as error:
        raise invalid(f"Unable to process input image. {error}") from None
    images = evidence.seen
    filler = Filler(evidence)
    schema = config.get("responseSchema") or config.get("responseJsonSchema")
    mime = config.get("responseMimeType", "text/plain")
    if mime not in ("text/plain", "application/json", "text/x.enum"):
        raise invalid(f"Unable to submit request because responseMimeType {mime!r} is not supported.")
    if schema and mime == "text/plain":
        raise invalid("Unable to submit request because responseSchema needs responseMimeType application/json.")
    if mime == "text/x.enum":
        if not schema or not schema.get("enum"):
            raise invalid("Unable to submit request because text/x.enum needs a responseSchema with an enum.")
        return choose(evidence.text, schema["enum"])[0], filler.logprob, []
    if schema:
        if "responseSchema" in config:
            check_schema(schema)
        text = orjson.dumps(filler.fill(schema)).decode()
    elif images and (mime == "application/json" or "box_2d" in prompt):
        text = orjson.dumps(boxes(evidence), option=orjson.OPT_INDENT_2).decode()
        # Asked in words only, Gemini wraps its JSON in a fence.
        text = text if mime == "application/json" else f"```json\n{text}\n```"
    elif mime == "application/json":
        text = orjson.dumps({"summary": summary(evidence.text)}).decode()
    else:
        text = evidence.text if images else summary(evidence.text)
    return text, filler.logprob, filler.chosen


def _chosen(text: str, chosen: list[tuple[str, float]]) -> list[dict[str, Any]]:
    """The text's tokens; those of a chosen value have its score, the others are as good as certain."""
    scores: list[tuple[int, int, float]] = []
    at = 0
    for value, score in chosen:
        start = text.find(value, at)
        if start >= 0:
            at = start + len(value)
            scores.append((start, at, score))
    found: list[dict[str, Any]] = []
    for match in re.finditer(r"\w{1,5}|\W", text):
        within = (score for start, end, score in scores if start < match.end() and end > match.start())
        logprob = math.log(max(next(within, 0.9999), 1e-6))
        found.append({"token": match[0], "tokenId": len(found), "logProbability": logprob})
    return found


def _cut(text: str, most: int) -> str:
    for count, match in enumerate(_TOKEN.finditer(text), start=1):
        if count == most:
            # What follows the last token and is no token itself (white space) does not count.
            return text if not _TOKEN.search(text, match.end()) else text[: match.end()]
    return text
