"""One connection to Labelbox: GraphQL through the SDK's client, files over HTTP; errors become ours.

The SDK is imported with the first call, not before: it takes half a second.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import httpx2
from pydantic import SecretStr

from vertex_model_inference.errors import LabelboxError, UploadRefusedError, VmiError
from vertex_model_inference.labelbox.retry import Wait, retrying, wait_of

__all__ = ["Connection", "operation_of"]

_DEPRECATED = "prediction import has been deprecated"
_NOT_JSON = "Failed to parse response as JSON"
_NDJSON = "application/x-ndjson"
TIMEOUT_S = 60.0
FILE_TIMEOUT_S = 30.0
"""Of a file's download: so long nothing may come."""


class Connection:
    """Safe to use from several threads.

    Args:
        api_key: Of Labelbox.
        base_url: E.g. ``https://api.labelbox.com``; GraphQL is under ``/graphql``, REST under ``/api/v1``.
    """

    def __init__(self, api_key: SecretStr, base_url: str) -> None:
        self._api_key = api_key
        self._base_url = base_url
        self._lock = threading.Lock()
        self._client: Any = None
        self._answers = threading.local()
        self._files: httpx2.Client | None = None

    def execute(
        self,
        query: str,
        variables: Mapping[str, Any],
        *,
        experimental: bool = False,
        **context: object,
    ) -> dict[str, Any] | None:
        """Run a GraphQL query, or a mutation that may be sent twice; None when Labelbox says "not found".

        Args:
            query: With an operation name, which error messages use.
            variables: JSON values.
            experimental: Use ``/_gql`` as the SDK does for such operations.
            **context: Ids for the error.

        Raises:
            LabelboxError: See its ``error_code``.
        """
        operation = operation_of(query)
        return retrying(
            lambda: self._once(operation, {"query": query, "params": dict(variables)}, experimental, context)
        )

    def execute_once(
        self, query: str, variables: Mapping[str, Any], *, experimental: bool = False, **context: object
    ) -> dict[str, Any] | None:
        """As ``execute``, without tries beyond the first: for mutations that must not be sent twice unseen.

        Raises:
            Wait: It failed in a way that passes; a mutation may have happened all the same.
            LabelboxError: It was refused.
        """
        return self._once(operation_of(query), {"query": query, "params": dict(variables)}, experimental, context)

    def upload_once(
        self, query: str, variables: Mapping[str, Any], file_name: str, payload: bytes, **context: object
    ) -> dict[str, Any] | None:
        """Send a GraphQL multipart mutation with one file (the SDK's ``_create_from_bytes``), once.

        Raises:
            Wait: It failed in a way that passes; the mutation may have been accepted all the same.
            LabelboxError: It was refused.
        """
        data = {
            "operations": json.dumps({"variables": dict(variables), "query": query}),
            "map": (None, json.dumps({file_name: ["variables.file"]})),
        }
        files = {file_name: (file_name, payload, _NDJSON)}
        return self._once(operation_of(query), {"data": data, "files": files}, False, context)

    @contextmanager
    def download(self, url: str, what: str) -> Iterator[Iterator[bytes]]:
        """The decoded bytes behind a signed URL, as a stream.

        Raises:
            Wait: No or no whole answer; a fresh URL may help.
            LabelboxError: ``download`` when the server refuses for good.
        """
        failed = LabelboxError(
            f"{what} could not be downloaded from Labelbox.",
            code="download",
            hint="Labelbox or the network is having trouble; try again later.",
            retryable=True,
        )
        try:
            with self._file_client().stream("GET", url) as response:
                if response.status_code != 200:
                    failed.message = f"{what} could not be downloaded from Labelbox: HTTP {response.status_code}."
                    failed.args = (failed.message,)
                    raise Wait(failed, wait_of(response.headers.get("retry-after")))
                yield response.iter_bytes()
        except httpx2.HTTPError as error:
            failed.message = f"{what} could not be downloaded from Labelbox: {type(error).__name__}."
            failed.args = (failed.message,)
            raise Wait(failed) from None

    def close(self) -> None:
        """Close what is open; the connection can be used again afterwards."""
        with self._lock:
            if self._files is not None:
                self._files.close()
                self._files = None
            if self._client is not None:
                self._client._request_client._connection.close()  # noqa: SLF001 - the SDK has no close()
                self._client = None

    # -- inside -------------------------------------------------------------------------------------------------

    def _file_client(self) -> httpx2.Client:
        with self._lock:
            if self._files is None:
                self._files = httpx2.Client(
                    timeout=httpx2.Timeout(FILE_TIMEOUT_S, connect=10.0), follow_redirects=True, http2=False
                )
            return self._files

    def _sdk(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = self._connect()
            return self._client

    def _connect(self) -> Any:
        import labelbox
        from requests.adapters import HTTPAdapter

        answers = self._answers

        class Adapter(HTTPAdapter):
            """Keeps the status and ``Retry-After`` of each answer, which the SDK throws away."""

            def send(self, *args: Any, **kwargs: Any) -> Any:
                answers.status = answers.retry_after = answers.response = None
                response = super().send(*args, **kwargs)
                answers.status, answers.response = response.status_code, response
                answers.retry_after = response.headers.get("Retry-After")
                return response

        client = labelbox.Client(
            api_key=self._api_key.get_secret_value(),
            endpoint=f"{self._base_url}/graphql",
            rest_endpoint=f"{self._base_url}/api/v1",
            enable_experimental=True,
        )
        # Without a name, the SDK reads the source of every function on the stack to make one up, at each call.
        client.set_sdk_method("vmi")
        session = client._request_client._connection  # noqa: SLF001 - no public way to the session
        for scheme in ("http://", "https://"):
            session.mount(scheme, Adapter(pool_connections=4, pool_maxsize=32))
        return client

    def _once(
        self, operation: str, arguments: dict[str, Any], experimental: bool, context: Mapping[str, object]
    ) -> dict[str, Any] | None:
        requests_client = self._sdk()._request_client  # noqa: SLF001 - see below
        # The function under the SDK's retry decorator: ours replaces it (labelbox/retry.py says why).
        execute = type(requests_client).execute
        once = getattr(execute, "__wrapped__", execute)
        self._answers.status = self._answers.retry_after = self._answers.response = None
        try:
            answer: dict[str, Any] | None = once(
                requests_client, **arguments, timeout=TIMEOUT_S, experimental=experimental
            )
        except Exception as error:  # noqa: BLE001 - the SDK raises bare Exceptions and KeyErrors too
            raise self._explain(operation, error, context) from None
        return answer

    def _explain(self, operation: str, error: Exception, context: Mapping[str, object]) -> Exception:
        from lbox import exceptions

        status = self._answers.status
        said = self._clean(self._said(error))
        facts: dict[str, Any] = {"operation": operation, **context}
        about = "".join(f", {key.removesuffix('_id').replace('_', ' ')} {value}" for key, value in context.items())
        if _DEPRECATED in said:
            return UploadRefusedError(
                f"Labelbox refuses prediction imports into model runs ({operation}{about}): {said}.",
                hint="Set VMI_DESTINATION=project and VMI_LABELBOX_PROJECT for pre-labels in a project, or "
                "VMI_DESTINATION=files for NDJSON in the run's folder; VMI_FALLBACK=project or files does so only "
                "where Labelbox refuses.",
                **facts,
            )

        def labelbox_error(message: str, code: str, *, hint: str | None = None, retryable: bool = False) -> VmiError:
            return LabelboxError(
                f"{message.rstrip('.')} ({operation}{about}).", code=code, hint=hint, retryable=retryable, **facts
            )

        if isinstance(error, exceptions.AuthenticationError) or status in (401, 403):
            return labelbox_error(
                "Labelbox does not accept the API key.", "labelbox_auth", hint="Set LABELBOX_API_KEY to a valid key."
            )
        if isinstance(error, exceptions.AuthorizationError):
            return labelbox_error(
                f"Labelbox says that the API key may not do this: {said}.",
                "labelbox_forbidden",
                hint="Use a key of a user who may.",
            )
        if isinstance(error, exceptions.ApiLimitError) or status == 429:
            limit = labelbox_error(
                "Labelbox's rate limit is exceeded.",
                "labelbox_limit",
                hint="Wait a minute, or run fewer things at once.",
                retryable=True,
            )
            # Without Retry-After: its windows are 60 s; the backoff's total outlasts two of them.
            return Wait(limit, wait_of(self._answers.retry_after))  # type: ignore[arg-type]  # it is a LabelboxError
        if (
            isinstance(error, exceptions.InternalServerError | exceptions.TimeoutError | exceptions.NetworkError)
            or (status is not None and status >= 500)
            or (status == 200 and said.startswith(_NOT_JSON))  # a proxy's page, or half an answer
        ):
            reached = "answered with an error" if status else "did not answer"
            trouble = labelbox_error(
                f"Labelbox {reached}: {said}.",
                "labelbox_unavailable",
                hint=f"Is {self._base_url} the right address? Otherwise try again later.",
                retryable=True,
            )
            return Wait(trouble, wait_of(self._answers.retry_after))  # type: ignore[arg-type]
        return labelbox_error(f"Labelbox refused the call: {said}.", "labelbox_refused")

    def _said(self, error: Exception) -> str:
        """The error's words; Labelbox's own where the SDK stumbled over the form of its answer."""
        if isinstance(error, LookupError | TypeError | AttributeError):
            errors: Any = None
            with suppress(ValueError, AttributeError):
                errors = self._answers.response.json().get("errors")
            if isinstance(errors, list):
                words = [str(item["message"]) for item in errors if isinstance(item, dict) and item.get("message")]
                if words:
                    return "; ".join(words)
            return f"its answer is of no known form ({type(error).__name__})"
        return str(getattr(error, "message", None) or error)

    def _clean(self, text: str) -> str:
        text = text.replace(self._api_key.get_secret_value(), "********").strip().rstrip(".")
        return text if len(text) <= 500 else f"{text[:500]}..."


def operation_of(query: str) -> str:
    """The operation's name in a GraphQL text: ``query NAME(...){...}`` -> ``NAME``."""
    head = query.split(None, 1)[1]
    for end, character in enumerate(head):
        if character in "({ \n":
            return head[:end]
    return head
