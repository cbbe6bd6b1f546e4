"""Online predictions: instances in bounded requests to a Vertex endpoint, or to any container of Vertex's contract.

Both take ``POST {"instances": [...], "parameters": {...}}`` and answer ``{"predictions": [...]}`` of the same length
and order (https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import aiohttp
import msgspec
import orjson

from vertex_model_inference.errors import VertexError
from vertex_model_inference.models import ModelOption, Predictor
from vertex_model_inference.waiting import seconds_of

__all__ = ["MAX_REQUEST_BYTES", "Predictions", "Reply", "Session"]

MAX_REQUEST_BYTES = 1_400_000
"""A shared public endpoint takes 1.5 MB a request; the rest is room for the envelope."""
MAX_REPLY_BYTES = 64 << 20
"""A larger answer is refused, and its instances are asked for in smaller requests."""
MAX_MESSAGE_BYTES = 64 << 10
TIMEOUT_S = 120.0
"""Of one request, from its first byte to the last of its answer."""


class _Body(msgspec.Struct):
    predictions: list[msgspec.Raw]


_BODY = msgspec.json.Decoder(_Body)


class Reply(NamedTuple):
    """Either the predictions, one per instance, or why there are none.

    Attributes:
        predictions: Raw JSON each; None when the request failed.
        status: HTTP status; 0 when there was no answer.
        message: What the service said, shortened, when the request failed.
        retry_after: Seconds that the service asks to wait, when it does.
        foreign: The answer is not the service's own form at all: a proxy's page, most likely.
    """

    predictions: list[bytes] | None
    status: int = 200
    message: str = ""
    retry_after: float | None = None
    foreign: bool = False

    @property
    def pushed_back(self) -> bool:
        """The service says that it is asked too much: a rate limit, or out of capacity until a time that it names."""
        return self.status == 429 or (self.status == 503 and self.retry_after is not None)

    @property
    def transient(self) -> bool:
        """The same request can succeed later."""
        return self.foreign or self.status == 0 or self.status in (408, 429) or self.status >= 500

    @property
    def broken(self) -> bool:
        """The service is there but could not answer this request; one of its instances may be the cause."""
        return self.foreign or (self.status >= 500 and self.status != 503)


class Predictions:
    """Where an option's online predictions come from.

    Args:
        endpoint: Base URL of Vertex AI.
        token: Gives a bearer token; not called for plain containers.
    """

    def __init__(self, *, endpoint: str, token: Callable[[], str]) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._token = token

    def session(self, option: ModelOption, *, timeout_s: float | None = None) -> Session:
        """A client for one option; use it as an async context manager.

        Args:
            option: The model.
            timeout_s: Of one request; None: ``TIMEOUT_S``.

        Raises:
            VertexError: The option is not an online one.
        """
        seconds = TIMEOUT_S if timeout_s is None else timeout_s
        if option.predictor is Predictor.ONLINE and option.endpoint:
            return Session(f"{self._endpoint}/v1/{option.endpoint}:predict", self._token, option, seconds)
        if option.predictor is Predictor.CONTAINER and option.container:
            return Session(option.container, None, option, seconds)
        raise VertexError(f"Option {option.name!r} has no endpoint and no container to send requests to.")


class Session:
    """Sends requests for one option."""

    def __init__(self, url: str, token: Callable[[], str] | None, option: ModelOption, timeout_s: float) -> None:
        self._url = url
        self._token = token
        self._parameters = dict(option.parameters)
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=10)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Session:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=self._timeout, headers={"User-Agent": "vmi"}
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def predict(self, instances: Sequence[Any]) -> Reply:
        """One request; never raises for what the service does.

        Args:
            instances: JSON objects, or their text as ``orjson.Fragment``; the caller keeps the body under
                ``MAX_REQUEST_BYTES``.
        """
        assert self._session is not None, "use the session as a context manager"
        request: dict[str, Any] = {"instances": list(instances)}
        if self._parameters:
            request["parameters"] = self._parameters
        headers = {"Content-Type": "application/json"}
        token = self._token() if self._token is not None else None
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        try:
            async with self._session.post(self._url, data=orjson.dumps(request), headers=headers) as response:
                if response.status != 200:
                    said = await response.content.read(MAX_MESSAGE_BYTES)
                    text = _message(said)
                    if token:  # some servers repeat what they were sent
                        text = text.replace(token, "********")
                    return Reply(None, response.status, text, seconds_of(response.headers.get("Retry-After")))
                raw = await _whole(response)
                if raw is None:
                    return Reply(None, 422, f"the answer is larger than {MAX_REPLY_BYTES / 1e6:.0f} MB")
        except (aiohttp.ClientPayloadError, aiohttp.ClientResponseError) as error:
            return Reply(None, 0, f"its answer broke off, or is not of HTTP's form ({type(error).__name__})")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Reply(None, 0, f"no answer ({type(error).__name__})")
        try:
            predictions = _BODY.decode(raw).predictions
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return Reply(None, 200, f"the answer is not {{'predictions': [...]}}: {error}", foreign=True)
        if len(predictions) != len(instances):
            text = f"{len(predictions)} predictions came back for {len(instances)} instances"
            return Reply(None, 422, text)
        return Reply([bytes(prediction) for prediction in predictions])


async def _whole(response: aiohttp.ClientResponse) -> bytes | None:
    """The body; None when it is larger than any answer may be."""
    if (response.content_length or 0) > MAX_REPLY_BYTES:
        return None
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > MAX_REPLY_BYTES:
            return None
        chunks.append(chunk)
    return b"".join(chunks)


def _message(raw: bytes) -> str:
    """The error message of a Google-style or plain body, at most 300 characters."""
    try:
        value: Any = orjson.loads(raw)
        error = value.get("error", value) if isinstance(value, dict) else value
        text = str(error.get("message", error)) if isinstance(error, dict) else str(error)
    except orjson.JSONDecodeError:
        text = raw.decode(errors="replace")
    return " ".join(text.split())[:300]
