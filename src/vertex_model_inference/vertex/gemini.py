"""Gemini online: google-genai's async client against Vertex AI, one request a row."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp

from vertex_model_inference.vertex.online import Reply
from vertex_model_inference.waiting import seconds_of

__all__ = ["Gemini", "GeminiSession"]

_TIMEOUT_S = 300


class Gemini:
    """The publisher's models of one project and region.

    Args:
        project: Google Cloud project id.
        location: Region, e.g. ``us-central1``.
        endpoint: Base URL of Vertex AI.
        credentials: Makes ``google.auth`` credentials; called when a session is opened.
    """

    def __init__(self, *, project: str, location: str, endpoint: str, credentials: Callable[[], Any]) -> None:
        self._project = project
        self._location = location
        self._endpoint = endpoint
        self._credentials = credentials

    def session(self, model: str) -> GeminiSession:
        """A client for one model; use it as an async context manager.

        Args:
            model: Publisher model, e.g. ``gemini-2.5-flash``.
        """
        return GeminiSession(self._open, model)

    def _open(self, connections: aiohttp.ClientSession) -> Any:
        from google import genai  # 0.7 s: paid by runs of Gemini, not by the command line
        from google.genai import types

        return genai.Client(
            vertexai=True,
            project=self._project,
            location=self._location,
            credentials=self._credentials(),
            http_options=types.HttpOptions(
                base_url=self._endpoint,
                api_version="v1",
                timeout=_TIMEOUT_S * 1000,
                aiohttp_client=connections,
                # Without these the SDK tries again by itself after up to ten seconds; who calls knows better when.
                retry_options=types.HttpRetryOptions(attempts=1),
            ),
        )


class GeminiSession:
    """Sends requests for one model."""

    def __init__(self, open_: Callable[[aiohttp.ClientSession], Any], model: str) -> None:
        self._open = open_
        self._model = model
        self._connections: aiohttp.ClientSession | None = None
        self._client: Any = None

    async def __aenter__(self) -> GeminiSession:
        self._connections = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S, sock_connect=10)
        )
        try:
            self._client = await asyncio.to_thread(self._open, self._connections)
        except BaseException:
            await self._connections.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._connections is not None
        self._client.close()
        await self._connections.close()

    async def generate(self, request: dict[str, Any]) -> Reply:
        """Send one request; never raises for what the service does.

        Args:
            request: A ``GenerateContentRequest`` as JSON, without ``model``.

        Returns:
            One prediction, the ``GenerateContentResponse`` as JSON; or the status and what the service said.
        """
        from google.auth.exceptions import GoogleAuthError
        from google.genai import errors, types

        config = types.GenerateContentConfig.model_validate(
            {
                **request["generationConfig"],
                "systemInstruction": request["systemInstruction"],
                "labels": request["labels"],
                "automaticFunctionCalling": {"disable": True},
            }
        )
        contents = [types.Content.model_validate(content) for content in request["contents"]]
        try:
            answer = await self._client.aio.models.generate_content(model=self._model, contents=contents, config=config)
        except errors.APIError as error:
            said = " ".join(str(error.message or error.status or error).split())[:500]
            return Reply(None, int(error.code or 0), said, _retry_after(error))
        except GoogleAuthError as error:
            return Reply(None, 401, f"Google's credentials do not work: {str(error)[:300]}")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Reply(None, 0, f"no answer ({type(error).__name__})")
        except ValueError as error:  # a body that is no JSON, or not of the response's types
            return Reply(None, 502, f"the answer is not a response of Gemini ({type(error).__name__})")
        left_out = {"sdk_http_response", "parsed", "automatic_function_calling_history"}
        raw = answer.model_dump_json(by_alias=True, exclude_none=True, exclude=left_out)
        return Reply([raw.encode()])


def _retry_after(error: Any) -> float | None:
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    return seconds_of(headers.get("Retry-After"))
