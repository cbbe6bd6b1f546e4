"""What the SDKs do not show: ranges, broken sessions, signed URLs, digests and errors."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import os
import re
import socket
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

_DATA = bytes(range(256)) * 300
_QUANTUM = 256 * 1024


@pytest.fixture(scope="module")
def http(url: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=url) as client:
        client.put("/vmi-sandbox/range", content=_DATA).raise_for_status()
        client.put("/vmi-sandbox/small", content=_DATA[:1000]).raise_for_status()
        yield client


def test_health(http: httpx2.Client) -> None:
    assert http.get("/_sandbox/health").json()["status"] == "ok"


@given(st.one_of(st.none(), st.integers(0, 90_000)), st.one_of(st.none(), st.integers(0, 90_000)), st.booleans())
@settings(max_examples=60, deadline=None)
def test_ranges(http: httpx2.Client, first: int | None, last: int | None, small: bool) -> None:
    name, data = ("small", _DATA[:1000]) if small else ("range", _DATA)
    text = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    answer = http.get(f"/vmi-sandbox/{name}", headers={"Range": text})
    if first is None and last is None:
        expected: bytes | None = data
    elif first is None:
        assert last is not None
        expected = data[-last:] if last else None
    elif last is not None and last < first:
        expected = data  # not a range: ignored
    else:
        expected = data[first : None if last is None else last + 1] or None
    if expected is None:
        assert answer.status_code == 416
        assert answer.headers["content-range"] == f"bytes */{len(data)}"
        assert "<Code>InvalidRange</Code>" in answer.text
    else:
        assert answer.content == expected
        ignored = (first is None and last is None) or (first is not None and last is not None and last < first)
        assert answer.status_code == (200 if ignored else 206)
        if not ignored:
            start = len(data) - len(expected) if first is None else first
            assert answer.headers["content-range"] == f"bytes {start}-{start + len(expected) - 1}/{len(data)}"


def test_headers_of_content(http: httpx2.Client) -> None:
    answer = http.put(
        "/vmi-sandbox/headers", content=b"abc", headers={"x-goog-meta-Who": "me", "cache-control": "no-store"}
    )
    md5 = hashlib.md5(b"abc").digest()
    assert answer.headers["etag"] == f'"{md5.hex()}"'
    got = http.get("/vmi-sandbox/headers")
    assert got.headers["x-goog-hash"] == f"crc32c=Nks/tw==, md5={base64.b64encode(md5).decode()}"  # crc32c of b"abc"
    assert got.headers["x-goog-generation"] == answer.headers["x-goog-generation"]
    assert got.headers["x-goog-metageneration"] == "1"
    assert got.headers["x-goog-stored-content-length"] == "3"
    assert got.headers["x-goog-meta-who"] == "me"
    assert got.headers["cache-control"] == "no-store"
    assert http.get("/vmi-sandbox/headers", headers={"If-None-Match": got.headers["etag"]}).status_code == 304
    late = {"If-Modified-Since": got.headers["last-modified"]}
    assert http.get("/vmi-sandbox/headers", headers=late).status_code == 304
    head = http.head("/vmi-sandbox/headers")
    assert (head.status_code, head.headers["content-length"], head.content) == (200, "3", b"")


def test_digests_of_xml_uploads_are_checked(http: httpx2.Client) -> None:
    wrong = base64.b64encode(bytes(16)).decode()
    answer = http.put("/vmi-sandbox/digest", content=b"abc", headers={"Content-MD5": wrong})
    assert answer.status_code == 400
    assert "<Code>BadDigest</Code>" in answer.text
    assert (
        http.put("/vmi-sandbox/digest", content=b"abc", headers={"x-goog-hash": "crc32c=AAAAAA=="}).status_code == 400
    )
    assert http.get("/vmi-sandbox/digest").status_code == 404
    assert (
        http.put("/vmi-sandbox/digest", content=b"abc", headers={"x-goog-hash": "crc32c=Nks/tw=="}).status_code == 200
    )


def test_errors_have_the_form_of_their_api(http: httpx2.Client) -> None:
    answer = http.get("/storage/v1/b/vmi-sandbox/o/none")
    assert answer.status_code == 404
    assert answer.json()["error"]["errors"][0] == {
        "message": "No such object: vmi-sandbox/none",
        "domain": "global",
        "reason": "notFound",
    }
    assert http.get("/download/storage/v1/b/vmi-sandbox/o/none?alt=media").text == "No such object: vmi-sandbox/none"
    answer = http.get("/vmi-sandbox/none")
    assert answer.status_code == 404
    assert answer.text.startswith("<?xml version='1.0' encoding='UTF-8'?><Error><Code>NoSuchKey</Code>")
    assert "<Code>NoSuchBucket</Code>" in http.get("/no-such-bucket?list-type=2").text
    assert http.get("/storage/v1/b/vmi-sandbox/o/a/b/c").status_code == 404
    assert http.post("/storage/v1/b?project=p", content=b"{").json()["error"]["message"] == "Parse Error"
    assert http.patch("/vmi-sandbox/none").status_code == 405
    assert http.post("/upload/storage/v1/b/vmi-sandbox/o?uploadType=other").status_code == 400
    assert http.get("/storage/v1/b/vmi-sandbox/o?pageToken=%21").status_code == 400
    assert http.get("/storage/v1/b/vmi-sandbox/o?matchGlob=[a").status_code == 400
    assert http.get("/storage/v1/b/vmi-sandbox/o/x?ifGenerationMatch=abc").status_code == 400
    assert http.put("/vmi-sandbox/" + "n" * 1025, content=b"").status_code == 400
    assert http.put("/vmi-sandbox/a%0Ab", content=b"").status_code == 400


def _start(http: httpx2.Client, name: str, **resource: Any) -> str:
    answer = http.post(
        f"/upload/storage/v1/b/vmi-sandbox/o?uploadType=resumable&name={name}", json=resource or {"contentType": "a/b"}
    )
    assert answer.status_code == 200
    return str(answer.headers["location"])


def _put(http: httpx2.Client, session: str, text: str, data: bytes = b"") -> httpx2.Response:
    return http.put(session, content=data, headers={"Content-Range": text})


def test_resumable_session_step_by_step(http: httpx2.Client) -> None:
    data = os.urandom(2 * _QUANTUM + 5)
    session = _start(http, "steps")
    answer = _put(http, session, "bytes */*")
    assert (answer.status_code, answer.headers.get("range")) == (308, None)
    answer = _put(http, session, f"bytes 0-{_QUANTUM + 9}/*", data[: _QUANTUM + 10])
    assert (answer.status_code, answer.headers["range"]) == (308, f"bytes=0-{_QUANTUM - 1}")
    assert _put(http, session, f"bytes */{len(data)}").headers["range"] == f"bytes=0-{_QUANTUM - 1}"
    gap = _put(http, session, f"bytes {_QUANTUM + 1}-{len(data) - 1}/{len(data)}", data[_QUANTUM + 1 :])
    assert gap.status_code == 400
    short = _put(http, session, f"bytes {_QUANTUM}-{_QUANTUM + 9}/*", data[_QUANTUM : _QUANTUM + 10])
    assert short.status_code == 400
    assert "262144" in short.json()["error"]["message"]
    assert http.get("/vmi-sandbox/steps").status_code == 404
    again = _put(
        http, session, f"bytes 100-{len(data) - 1}/{len(data)}", data[100:]
    )  # what is there is not taken twice
    assert again.status_code == 200
    assert again.json()["md5Hash"] == base64.b64encode(hashlib.md5(data).digest()).decode()
    assert http.get("/vmi-sandbox/steps").content == data
    assert _put(http, session, "bytes */*").json()["generation"] == again.json()["generation"]
    assert http.put("/upload/storage/v1/b/vmi-sandbox/o?upload_id=none", content=b"").status_code == 404


def test_resumable_whole_in_one_cancel_and_digest(http: httpx2.Client) -> None:
    session = _start(http, "whole")
    assert http.put(session, content=b"abc").json()["size"] == "3"
    session = _start(http, "cancelled")
    assert http.delete(session).status_code == 499
    assert http.put(session, content=b"abc").status_code == 404
    session = _start(http, "bad", crc32c="AAAAAA==")
    assert http.put(session, content=b"abc").status_code == 400
    assert http.get("/vmi-sandbox/bad").status_code == 404
    start = http.post("/vmi-sandbox/xml%20session", headers={"x-goog-resumable": "start", "content-type": "a/c"})
    assert start.status_code == 201
    assert http.put(start.headers["location"], content=b"abc").status_code == 200
    assert http.get("/vmi-sandbox/xml%20session").headers["content-type"] == "a/c"


def test_lost_client_leaves_no_object_and_a_session_to_go_on_with(http: httpx2.Client, url: str) -> None:
    port = int(url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(b"PUT /vmi-sandbox/lost HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n" + bytes(2_000_000))
    data = os.urandom(4 * _QUANTUM)
    session = _start(http, "lost-session")
    path = session.partition("127.0.0.1")[2].partition("/")[2]
    head = f"PUT /{path} HTTP/1.1\r\nHost: x\r\nContent-Range: bytes 0-{len(data) - 1}/{len(data)}\r\n"
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(head.encode() + f"Content-Length: {len(data)}\r\n\r\n".encode() + data[: 3 * _QUANTUM + 1000])
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(100) == b""  # the server is through with it
    answer = _put(http, session, "bytes */*")
    assert answer.status_code == 308
    have = int(answer.headers.get("range", "bytes=0--1").removeprefix("bytes=0-")) + 1
    assert have % _QUANTUM == 0
    done = _put(http, session, f"bytes {have}-{len(data) - 1}/{len(data)}", data[have:])
    assert done.status_code == 200
    assert http.get("/vmi-sandbox/lost-session").content == data
    assert http.get("/vmi-sandbox/lost").status_code == 404


def test_multipart_boundaries_in_the_content(http: httpx2.Client) -> None:
    target = "/upload/storage/v1/b/vmi-sandbox/o?uploadType=multipart"
    kind = {"content-type": 'multipart/related; boundary="=b="'}
    for media in (b"", b"\r\n--=b", b"x\r\n--=b=\r\n\r\nstill content", b"--=b=--", os.urandom(3_000_000)):
        head = b'--=b=\r\ncontent-type: application/json\r\n\r\n{"name": "m"}\r\n--=b=\r\ncontent-type: a/b\r\n\r\n'
        answer = http.post(target, content=head + media + b"\r\n--=b=--", headers=kind)
        assert answer.status_code == 200, answer.text
        got = http.get("/vmi-sandbox/m")
        assert got.content == media
        assert got.headers["content-type"] == "a/b"
    assert http.post(target, content=head + b"no end", headers=kind).status_code == 400
    assert http.post(target, content=b"nothing", headers=kind).status_code == 400
    assert http.post(target, content=b"nothing").status_code == 400


def _signed(method: str, url: str, name: str, **changes: Any) -> str:
    from google.auth.credentials import Signing
    from google.cloud.storage import _signing

    class Signer(Signing):  # type: ignore[misc]
        signer_email = "robot@sandbox.iam.gserviceaccount.com"
        signer = None

        def sign_bytes(self, message: bytes) -> bytes:
            return hashlib.sha512(message).digest() * 4

    options = {"expiration": dt.timedelta(minutes=5), **changes}
    made: str = _signing.generate_signed_url_v4(
        Signer(), resource=f"/vmi-sandbox/{name}", method=method, api_access_endpoint=url, **options
    )
    return made


def test_signed_urls(http: httpx2.Client, url: str) -> None:
    put = _signed("PUT", url, "signed", headers={"content-type": "text/plain"})
    refused = http.put(put, content=b"abc")
    assert refused.status_code == 400
    assert "content-type" in refused.text
    assert http.put(put, content=b"abc", headers={"content-type": "text/plain"}).status_code == 200
    get = _signed("GET", url, "signed")
    assert http.get(get).content == b"abc"
    old = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
    expired = http.get(_signed("GET", url, "signed", _request_timestamp=old.strftime("%Y%m%dT%H%M%SZ")))
    assert expired.status_code == 400
    assert "<Code>ExpiredToken</Code>" in expired.text
    assert http.get(re.sub(r"X-Goog-Signature=\w+", "X-Goog-Signature=zz", get)).status_code == 403
    assert http.get(re.sub(r"X-Goog-Expires=\d+", "X-Goog-Expires=604801", get)).status_code == 400
    assert http.get(re.sub(r"&X-Goog-Date=\w+", "", get)).status_code == 400


def test_xml_list_pages_and_special_names(http: httpx2.Client) -> None:
    http.put(
        "/xml-list",
        content=b"<CreateBucketConfiguration><LocationConstraint>EU</LocationConstraint></CreateBucketConfiguration>",
    )
    assert "EU</LocationConstraint>" in http.get("/xml-list?location").text
    for name in ("a&b", "c<d>", "e/1", "e/2", "f"):
        assert http.put(f"/xml-list/{name.replace('&', '%26')}", content=b"1").status_code == 200
    first = http.get("/xml-list?list-type=2&delimiter=/&max-keys=3").text
    assert "<IsTruncated>true</IsTruncated>" in first
    assert re.findall("<Key>(.*?)</Key>", first) == ["a&amp;b", "c&lt;d&gt;"]
    assert re.findall("<CommonPrefixes><Prefix>(.*?)<", first) == ["e/"]
    token = re.findall("<NextContinuationToken>(.*?)<", first)[0]
    second = http.get("/xml-list", params={"list-type": "2", "delimiter": "/", "continuation-token": token}).text
    assert re.findall("<Key>(.*?)</Key>", second) == ["f"]
    assert "<CommonPrefixes>" not in second
    marked = http.get("/xml-list?marker=e/1").text
    assert re.findall("<Key>(.*?)</Key>", marked) == ["e/2", "f"]
    assert "<Name>xml-list</Name>" in http.get("/").text
    assert http.delete("/xml-list").status_code == 409


def test_xml_multipart_is_strict(http: httpx2.Client) -> None:
    begun = http.post("/vmi-sandbox/parts?uploads").text
    upload = re.findall("<UploadId>(.*?)<", begun)[0]
    target = "/vmi-sandbox/parts"
    tags = [
        http.put(target, params={"partNumber": number, "uploadId": upload}, content=b"x" * 10).headers["etag"]
        for number in (1, 2)
    ]
    body = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{t}</ETag></Part>" for n, t in enumerate(tags, 1))

    def complete(parts: str) -> httpx2.Response:
        text = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>"
        return http.post(target, params={"uploadId": upload}, content=text.encode())

    assert "<Code>EntityTooSmall</Code>" in complete(body).text
    assert "<Code>InvalidPart</Code>" in complete(body.replace("<PartNumber>2<", "<PartNumber>3<")).text
    assert "<Code>MalformedXML</Code>" in complete("<!DOCTYPE x>").text
    assert complete(f"<Part><PartNumber>2</PartNumber><ETag>{tags[1]}</ETag></Part>").status_code == 200
    assert http.get(target).content == b"x" * 10
    assert complete(body).status_code == 404
    assert http.delete(target, params={"uploadId": upload}).status_code == 404


def test_faults_know_the_operations(http: httpx2.Client) -> None:
    rules = [{"match": "storage.objects.insert", "status": 503}, {"match": "storage.objects.list", "status": 429}]
    try:
        assert http.post("/_sandbox/faults", content=json.dumps(rules)).status_code == 200
        assert http.get("/vmi-sandbox/small").status_code == 200
        assert http.put("/vmi-sandbox/faulty", content=b"1").status_code == 503
        assert http.put("/vmi-sandbox/faulty", content=b"1").status_code == 200
        assert http.get("/storage/v1/b/vmi-sandbox/o").status_code == 429
        assert http.get("/vmi-sandbox?list-type=2").status_code == 200
    finally:
        http.delete("/_sandbox/faults")
