"""google-cloud-storage, unmodified, against the sandbox."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import io
import os
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud.storage import retry as storage_retry


def test_default_bucket_and_locations(client: Any) -> None:
    assert client.get_bucket("vmi-sandbox").location == "US-CENTRAL1"
    made = client.create_bucket("located-bucket", location="asia-east1")
    assert client.get_bucket("located-bucket").location == "ASIA-EAST1"
    assert client.get_bucket("located-bucket").location_type == "region"
    with pytest.raises(exceptions.Conflict, match="you already own it"):
        client.create_bucket("located-bucket")
    names = [found.name for found in client.list_buckets(page_size=1)]
    assert names == sorted(names)
    assert {"located-bucket", "vmi-sandbox"} <= set(names)
    made.labels = {"a": "b"}
    made.patch()
    assert client.get_bucket("located-bucket").labels == {"a": "b"}
    made.blob("x").upload_from_string(b"1")
    with pytest.raises(exceptions.Conflict, match="not empty"):
        made.delete()
    made.delete(force=True)
    assert client.lookup_bucket("located-bucket") is None
    with pytest.raises(exceptions.NotFound):
        client.get_bucket("located-bucket")
    with pytest.raises(exceptions.BadRequest, match="Invalid bucket name"):
        client.create_bucket("Bad_Name")


@pytest.mark.parametrize("size", [0, 1, 10_000, 48 * 1024, 48 * 1024 + 1, 1 << 20, (1 << 20) + 1, 9_000_001])
def test_upload_and_download(bucket: Any, size: int) -> None:
    data = os.urandom(size)
    blob = bucket.blob(f"sizes/{size} é+%.bin")
    blob.upload_from_string(data, content_type="image/png", checksum="crc32c")
    again = bucket.get_blob(blob.name)
    assert again.size == size
    assert again.content_type == "image/png"
    assert base64.b64decode(again.md5_hash) == hashlib.md5(data).digest()
    assert again.generation == blob.generation
    assert again.time_created <= again.updated
    assert again.download_as_bytes(checksum="md5") == data
    assert again.download_as_bytes(checksum="crc32c") == data
    if size:
        assert again.download_as_bytes(start=size // 2) == data[size // 2 :]
        assert again.download_as_bytes(start=0, end=0) == data[:1]


def test_wrong_checksum_is_refused(bucket: Any) -> None:
    blob = bucket.blob("wrong")
    blob.md5_hash = base64.b64encode(bytes(16)).decode()
    with pytest.raises(exceptions.BadRequest, match="MD5"):
        blob.upload_from_string(b"abc", checksum=None)
    assert not bucket.blob("wrong").exists()


def test_resumable_upload_of_known_and_unknown_size(bucket: Any) -> None:
    data = os.urandom(3 * 256 * 1024 + 17)
    blob = bucket.blob("resumable", chunk_size=256 * 1024)
    blob.metadata = {"who": "me"}
    blob.upload_from_file(io.BytesIO(data), size=len(data), content_type="text/x", checksum="md5")
    assert bucket.get_blob("resumable").download_as_bytes() == data
    assert bucket.get_blob("resumable").metadata == {"who": "me"}
    with bucket.blob("stream").open("wb", chunk_size=256 * 1024) as out:
        for start in range(0, len(data), 100_000):
            out.write(data[start : start + 100_000])
    assert bucket.blob("stream").download_as_bytes() == data
    with bucket.blob("stream").open("rb", chunk_size=100_000) as file:
        file.seek(300_000)
        assert file.read(200_000) == data[300_000:500_000]
        assert file.read() == data[500_000:]
    with bucket.blob("empty").open("wb"):
        pass
    assert bucket.blob("empty").download_as_bytes() == b""
    chunked = io.BytesIO()
    bucket.blob("stream", chunk_size=256 * 1024).download_to_file(chunked)
    assert chunked.getvalue() == data


def test_preconditions(bucket: Any) -> None:
    blob = bucket.blob("condition")
    blob.upload_from_string(b"1", if_generation_match=0)
    with pytest.raises(exceptions.PreconditionFailed):
        blob.upload_from_string(b"2", if_generation_match=0)
    first = blob.generation
    blob.upload_from_string(b"2", if_generation_match=first)
    with pytest.raises(exceptions.PreconditionFailed):
        blob.upload_from_string(b"3", if_generation_match=first)
    with pytest.raises(exceptions.PreconditionFailed):
        blob.download_as_bytes(if_generation_match=first)
    with pytest.raises(exceptions.PreconditionFailed):
        blob.delete(if_generation_match=first)
    with pytest.raises(exceptions.PreconditionFailed):
        blob.upload_from_file(io.BytesIO(bytes(9 << 20)), size=9 << 20, if_generation_match=first)
    with pytest.raises(exceptions.NotFound):
        bucket.blob("condition", generation=first).download_as_bytes()
    assert blob.download_as_bytes() == b"2"
    blob.reload(if_metageneration_match=1)
    blob.metadata = {"a": "1", "b": "2"}
    blob.patch(if_metageneration_match=1)
    with pytest.raises(exceptions.PreconditionFailed):
        blob.patch(if_metageneration_match=1)


def test_patch_merges_metadata(bucket: Any) -> None:
    blob = bucket.blob("patched")
    blob.metadata = {"a": "1", "b": "2"}
    blob.cache_control = "no-store"
    blob.upload_from_string(b"x")
    other = bucket.blob("patched")
    other.metadata = {"b": "3", "c": "4"}
    other.content_type = "text/csv"
    other.patch()
    found = bucket.get_blob("patched")
    assert found.metadata == {"a": "1", "b": "3", "c": "4"}
    assert found.cache_control == "no-store"
    assert found.content_type == "text/csv"
    assert found.metageneration == 2
    found.metadata = {"a": None}
    found.patch()
    assert bucket.get_blob("patched").metadata == {"b": "3", "c": "4"}


def test_copy_rewrite_compose_move_delete(bucket: Any, client: Any) -> None:
    for size in (5, 100_000):
        data = os.urandom(size)
        source = bucket.blob(f"source-{size}")
        source.metadata = {"k": "v"}
        source.upload_from_string(data, content_type="a/b")
        copied = bucket.copy_blob(source, client.bucket("vmi-sandbox"), f"copy-{size}")
        assert copied.download_as_bytes() == data
        assert copied.metadata == {"k": "v"}
        token, rewritten, total = bucket.blob(f"rewritten-{size}").rewrite(source)
        assert (token, rewritten, total) == (None, size, size)
        bucket.rename_blob(bucket.blob(f"rewritten-{size}"), f"renamed-{size}")
        assert not bucket.blob(f"rewritten-{size}").exists()
        bucket.move_blob(bucket.blob(f"renamed-{size}"), f"moved-{size}")
        assert bucket.blob(f"moved-{size}").download_as_bytes() == data
        source.upload_from_string(b"replaced")
        assert bucket.blob(f"moved-{size}").download_as_bytes() == data
    parts = [bucket.blob(f"moved-{size}") for size in (5, 100_000)]
    whole = bucket.blob("composed")
    whole.compose(parts)
    assert whole.download_as_bytes(checksum="crc32c") == b"".join(part.download_as_bytes() for part in parts)
    assert whole.component_count == 2
    assert whole.md5_hash is None
    with pytest.raises(exceptions.NotFound):
        bucket.blob("nothing").compose([bucket.blob("no-such-part")])
    whole.delete()
    with pytest.raises(exceptions.NotFound, match="No such object"):
        whole.delete()
    with pytest.raises(exceptions.NotFound, match="No such object"):
        whole.download_as_bytes()
    with pytest.raises(exceptions.NotFound, match="bucket does not exist"):
        client.bucket("no-such-bucket").blob("x").upload_from_string(b"1")


def test_listing(bucket: Any) -> None:
    names = sorted(["a", "a/1", "a/2", "a/b/3", "b", "c/", "c/1", "é/1", "z" * 200])
    for name in names:
        bucket.blob(name).upload_from_string(name.encode())

    def listed(**options: Any) -> list[str]:
        return [blob.name for blob in bucket.list_blobs(**options)]

    assert listed() == names
    assert listed(page_size=2) == names
    assert listed(prefix="a/") == ["a/1", "a/2", "a/b/3"]
    iterator = bucket.list_blobs(delimiter="/", page_size=2)
    assert [blob.name for blob in iterator] == ["a", "b", "z" * 200]
    assert iterator.prefixes == {"a/", "c/", "é/"}
    iterator = bucket.list_blobs(prefix="a/", delimiter="/")
    assert [blob.name for blob in iterator] == ["a/1", "a/2"]
    assert iterator.prefixes == {"a/b/"}
    assert listed(delimiter="/", include_trailing_delimiter=True) == ["a", "b", "c/", "z" * 200]
    assert listed(start_offset="a/2", end_offset="c/") == ["a/2", "a/b/3", "b"]
    assert listed(match_glob="a/*") == ["a/1", "a/2"]
    assert listed(match_glob="**/[13]") == ["a/1", "a/b/3", "c/1", "é/1"]
    assert listed(match_glob="{a,b}") == ["a", "b"]
    assert listed(max_results=3) == names[:3]


def test_batch(bucket: Any, client: Any) -> None:
    blobs = [bucket.blob(f"batch/{i}") for i in range(5)]
    for blob in blobs:
        blob.upload_from_string(b"x")
    with client.batch():
        for blob in blobs[:3]:
            blob.content_language = "de"
            blob.patch()
    assert {blob.content_language for blob in bucket.list_blobs(prefix="batch/")} == {"de", None}
    assert [blob.metageneration for blob in blobs[:3]] == [2, 2, 2]
    with client.batch():
        blobs[0].delete()
    with pytest.raises(exceptions.NotFound), client.batch():
        bucket.delete_blobs([bucket.blob("batch/none"), blobs[4]])
    assert not blobs[4].exists()
    assert not blobs[0].exists()
    bucket.delete_blobs(blobs[1:4], on_error=lambda blob: pytest.fail(f"{blob.name} was not there"))
    assert list(bucket.list_blobs()) == []


def test_gzip_content_is_left_alone(bucket: Any) -> None:
    import gzip

    packed = gzip.compress(b"hello " * 1000)
    blob = bucket.blob("packed")
    blob.content_encoding = "gzip"
    blob.upload_from_string(packed, content_type="text/plain")
    assert bucket.get_blob("packed").size == len(packed)
    assert blob.download_as_bytes(raw_download=True) == packed
    assert blob.download_as_bytes() == b"hello " * 1000


def test_download_etag_conditions(bucket: Any) -> None:
    blob = bucket.blob("etag")
    blob.upload_from_string(b"abc")
    blob.reload()
    assert blob.download_as_bytes(if_etag_match=blob.etag) == b"abc"
    with pytest.raises(exceptions.PreconditionFailed):
        blob.download_as_bytes(if_etag_match="other")
    with pytest.raises(exceptions.NotModified):
        blob.download_as_bytes(if_etag_not_match=blob.etag)
    with pytest.raises(exceptions.RequestRangeNotSatisfiable):
        blob.download_as_bytes(start=3)


def test_retry_policy_of_the_sdk_is_satisfied_by_a_plain_answer(bucket: Any) -> None:
    before = dt.datetime.now(dt.UTC)
    bucket.blob("now").upload_from_string(b"", retry=storage_retry.DEFAULT_RETRY)
    created = bucket.get_blob("now").time_created
    assert abs((created - before).total_seconds()) < 60
