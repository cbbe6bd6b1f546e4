"""What Vertex AI does with Cloud Storage: read inputs as streams, write outputs, look at a bucket's location."""

from __future__ import annotations

import asyncio
import fnmatch
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import httpx2

from vertex_model_inference.sandbox.vertex.wire import ApiError, bucket_and_name, failed_precondition, invalid

__all__ = ["CHUNK", "Objects", "location_allows"]

CHUNK = 256 * 1024
_ATTEMPTS = 4
_PASSING = (408, 429, 500, 502, 503, 504)  # statuses that another attempt may not meet

# Multi-regions and predefined dual-regions, with the regions they contain
# (https://cloud.google.com/storage/docs/locations).
_DUAL = {
    "NAM4": {"us-central1", "us-east1"},
    "EUR4": {"europe-north1", "europe-west4"},
    "EUR5": {"europe-west1", "europe-west2"},
    "EUR7": {"europe-west2", "europe-west3"},
    "EUR8": {"europe-west3", "europe-west6"},
    "ASIA1": {"asia-northeast1", "asia-northeast2"},
}
_NOT_IN_EU = {"europe-west2", "europe-west6"}  # London and Zurich are not in the EU multi-region


def location_allows(bucket_location: str, region: str) -> bool:
    """Whether a job in ``region`` may use a bucket in ``bucket_location`` (either case)."""
    place = bucket_location.upper()
    if place == region.upper():
        return True
    if place in _DUAL:
        return region in _DUAL[place]
    if place == "US":
        return region.startswith("us-")
    if place == "EU":
        return region.startswith("europe-") and region not in _NOT_IN_EU
    if place == "ASIA":
        return region.startswith("asia-")
    return False


class Objects:
    """Cloud Storage as the service's own account sees it.

    Args:
        base: Base URL of the storage server.
    """

    def __init__(self, base: str) -> None:
        self.base = base
        self.client = httpx2.AsyncClient(
            timeout=httpx2.Timeout(60, connect=10),
            headers={"Authorization": "Bearer vertex-service-agent"},
            limits=httpx2.Limits(max_connections=64),
            trust_env=False,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self.client.aclose()

    async def location(self, bucket: str) -> str:
        """The bucket's location, as storage writes it (upper case).

        Raises:
            ApiError: There is no such bucket, or storage does not answer.
        """
        answer = await self._get(f"{self.base}/storage/v1/b/{quote(bucket, safe='')}")
        if answer.status_code == 404:
            raise failed_precondition(
                f"The Cloud Storage bucket gs://{bucket} does not exist, or the service account has no access to it."
            )
        if answer.status_code != 200:
            raise ApiError("UNAVAILABLE", f"Cloud Storage answered {answer.status_code} for bucket gs://{bucket}.")
        return str(answer.json()["location"])

    async def _get(self, url: str, params: dict[str, str] | None = None) -> httpx2.Response:
        for attempt in range(_ATTEMPTS):
            try:
                answer = await self.client.get(url, params=params)
            except httpx2.HTTPError as error:
                if attempt == _ATTEMPTS - 1:
                    raise ApiError("UNAVAILABLE", f"Cloud Storage does not answer: {error!r}.") from None
            else:
                if answer.status_code not in _PASSING or attempt == _ATTEMPTS - 1:
                    return answer
            await asyncio.sleep(0.1 * 2**attempt)
        raise AssertionError  # the last attempt returned or raised

    async def check_region(self, uri: str, region: str, field: str) -> None:
        """Refuse a bucket that is not in the job's region.

        Raises:
            ApiError: It is elsewhere, or does not exist.
        """
        bucket, _ = bucket_and_name(uri, field)
        place = await self.location(bucket)
        if not location_allows(place, region):
            raise invalid(
                f"The Cloud Storage bucket of `{uri}` is in location `{place.lower()}`. It must be in the same "
                f"regional location as the service location `{region}`."
            )

    async def expand(self, uri: str) -> list[str]:
        """The objects that a URI with ``*`` names; one without is itself."""
        if "*" not in uri:
            return [uri]
        bucket, name = bucket_and_name(uri, "input_config.gcs_source.uris")
        found: list[str] = []
        token = ""
        while True:
            params = {"prefix": name.partition("*")[0]} | ({"pageToken": token} if token else {})
            answer = await self._get(f"{self.base}/storage/v1/b/{quote(bucket, safe='')}/o", params)
            if answer.status_code != 200:
                raise ApiError("NOT_FOUND", f"The objects of {uri} cannot be listed: status {answer.status_code}.")
            page = answer.json()
            found += [item["name"] for item in page.get("items", []) if fnmatch.fnmatchcase(item["name"], name)]
            token = page.get("nextPageToken", "")
            if not token:
                return [f"gs://{bucket}/{item}" for item in sorted(found)]

    async def read(self, uri: str) -> AsyncIterator[bytes]:
        """The object's bytes in chunks; a stream that breaks goes on where it was.

        Raises:
            ApiError: It does not exist, or storage keeps failing.
        """
        bucket, name = bucket_and_name(uri, "input_config.gcs_source.uris")
        url = f"{self.base}/{bucket}/{quote(name, safe='/')}"
        offset, failures = 0, 0
        headers: dict[str, str] = {}
        while True:
            try:
                async with self.client.stream("GET", url, headers=headers) as answer:
                    if answer.status_code == 404:
                        raise ApiError("NOT_FOUND", f"The object {uri} does not exist.")
                    why = f"status {answer.status_code}"
                    if answer.status_code == (206 if offset else 200):
                        async for chunk in answer.aiter_raw(CHUNK):
                            offset += len(chunk)
                            yield chunk
                        return
                    if answer.status_code not in _PASSING:
                        raise ApiError("FAILED_PRECONDITION", f"{uri} could not be read: {why}.")
            except httpx2.HTTPError as error:
                why = repr(error)
            failures += 1
            if failures == _ATTEMPTS:
                raise ApiError("UNAVAILABLE", f"{uri} could not be read: {why}.")
            headers = {"Range": f"bytes={offset}-"} if offset else {}
            await asyncio.sleep(0.1 * 2**failures)

    async def lines(self, uri: str) -> AsyncIterator[bytes]:
        """The object's lines without their ends, split at newlines only (not at U+2028 and its like)."""
        rest = b""
        async for chunk in self.read(uri):
            parts = (rest + chunk).split(b"\n")
            rest = parts.pop()
            for part in parts:
                yield part.removesuffix(b"\r")
        if rest:
            yield rest.removesuffix(b"\r")

    async def write_file(self, uri: str, path: Path, content_type: str) -> None:
        """Upload a local file as a stream.

        Raises:
            ApiError: Storage refused it.
        """
        bucket, name = bucket_and_name(uri, "output_config.gcs_destination.output_uri_prefix")
        size = path.stat().st_size  # noqa: ASYNC240  # a local file, just written

        async def chunks() -> AsyncIterator[bytes]:
            with path.open("rb") as file:  # just written: it is in the page cache
                while chunk := file.read(CHUNK):
                    yield chunk

        for attempt in range(_ATTEMPTS):
            try:
                answer = await self.client.post(
                    f"{self.base}/upload/storage/v1/b/{quote(bucket, safe='')}/o",
                    params={"uploadType": "media", "name": name},
                    content=chunks(),
                    headers={"Content-Type": content_type, "Content-Length": str(size)},
                )
            except httpx2.HTTPError as error:
                why = repr(error)
            else:
                if answer.status_code == 200:
                    return
                why = f"status {answer.status_code}"
                if answer.status_code not in _PASSING:
                    break
            await asyncio.sleep(0.1 * 2**attempt)
        raise ApiError("UNAVAILABLE", f"{uri} could not be written: {why}.")
