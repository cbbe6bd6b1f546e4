"""obstore, unmodified, against the sandbox's XML API; and both APIs on one state."""

from __future__ import annotations

import os
from typing import Any

import obstore
import pytest
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import GCSStore


@pytest.mark.parametrize("size", [0, 1, 10_000, 200_000, 3_000_000])
def test_put_get_ranges_head(store: GCSStore, size: int) -> None:
    data = os.urandom(size)
    path = f"dir/é+%&# {size}"
    result = store.put(path, data, use_multipart=False, attributes={"Content-Type": "image/jpeg", "note": "n"})
    head = store.head(path)
    assert head["size"] == size
    assert head["e_tag"] == result["e_tag"]
    assert head["version"] == result["version"]
    got = store.get(path)
    assert got.attributes["Content-Type"] == "image/jpeg"
    assert got.attributes["note"] == "n"
    assert bytes(got.bytes()) == data
    if size > 1:
        assert bytes(store.get_range(path, start=size // 3, length=size // 2)) == data[size // 3 :][: size // 2]
        assert bytes(store.get(path, options={"range": {"suffix": 1}}).bytes()) == data[-1:]
        assert bytes(store.get(path, options={"range": {"offset": 1}}).bytes()) == data[1:]


def test_multipart_upload(store: GCSStore, bucket: Any) -> None:
    data = os.urandom(12 << 20)
    store.put("big", data, use_multipart=True, attributes={"Content-Type": "video/mp4"})
    assert bytes(store.get("big").bytes()) == data
    blob = bucket.get_blob("big")
    assert blob.content_type == "video/mp4"
    assert blob.md5_hash is None
    assert blob.download_as_bytes(checksum="crc32c") == data
    with obstore.open_writer(store, "written", buffer_size=5 << 20) as writer:
        for start in range(0, len(data), 1 << 20):
            writer.write(data[start : start + (1 << 20)])
    assert bytes(store.get("written").bytes()) == data
    assert bytes(obstore.open_reader(store, "written").readall()) == data


def _version(result: obstore.PutResult) -> obstore.UpdateVersion:
    return {"e_tag": result["e_tag"], "version": result["version"]}


def test_conditional_writes(store: GCSStore) -> None:
    first = store.put("once", b"1", mode="create")
    with pytest.raises(AlreadyExistsError):
        store.put("once", b"2", mode="create")
    second = store.put("once", b"2", mode=_version(first))
    with pytest.raises(PreconditionError):
        store.put("once", b"3", mode=_version(first))
    assert bytes(store.get("once", options={"version": second["version"]}).bytes()) == b"2"
    with pytest.raises(PreconditionError):
        store.get("once", options={"if_match": first["e_tag"]})
    with pytest.raises(BaseError):
        store.get("once", options={"if_none_match": second["e_tag"]})


def test_copy_rename_delete(store: GCSStore) -> None:
    store.put("a b/1", b"data")
    store.copy("a b/1", "c d/2")
    with pytest.raises(AlreadyExistsError):
        store.copy("a b/1", "c d/2", overwrite=False)
    store.rename("c d/2", "e")
    assert bytes(store.get("e").bytes()) == b"data"
    with pytest.raises(FileNotFoundError):
        store.head("c d/2")
    store.delete(["a b/1", "e"])
    with pytest.raises(FileNotFoundError):
        store.get("e")
    with pytest.raises(FileNotFoundError):
        store.copy("e", "f")


def test_list(store: GCSStore) -> None:
    names = [f"p/{i:04d}" for i in range(1234)] + ["p/x/<1>&", "q"]
    for name in names[-2:]:
        store.put(name, b"")
    for name in names[:-2]:
        store.put(name, b"1")
    listed = store.list().collect()
    assert [entry["path"] for entry in listed] == names
    assert {entry["size"] for entry in listed} == {0, 1}
    assert len(store.list("p").collect()) == 1235
    assert [entry["path"] for entry in store.list(offset="p/1232").collect()] == ["p/1233", "p/x/<1>&", "q"]
    found = store.list_with_delimiter()
    assert found["common_prefixes"] == ["p"]
    assert [entry["path"] for entry in found["objects"]] == ["q"]


def test_one_state(store: GCSStore, bucket: Any) -> None:
    store.put("xml é", b"from xml", attributes={"Content-Type": "text/plain", "m": "1"})
    blob = bucket.get_blob("xml é")
    assert (blob.download_as_bytes(), blob.content_type, blob.metadata) == (b"from xml", "text/plain", {"m": "1"})
    bucket.blob("json é").upload_from_string(b"from json", content_type="text/css")
    got = store.get("json é")
    assert (bytes(got.bytes()), got.attributes["Content-Type"]) == (b"from json", "text/css")
    assert got.meta["version"] == str(bucket.get_blob("json é").generation)
