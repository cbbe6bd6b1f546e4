"""Documents, videos, conversations and projects over HTTP: what is drawn, and what is refused."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

import httpx2
import orjson
import pypdfium2
import pytest
from PIL import Image
from tests.videos import video

from vertex_model_inference.sandbox.labelbox.app import Server


@pytest.fixture
def http(labelbox: Server) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=labelbox.config.labelbox_url) as client:
        yield client


def _pdf(pages: int) -> bytes:
    document = pypdfium2.PdfDocument.new()
    for _ in range(pages):
        document.new_page(200, 100)
    out = io.BytesIO()
    document.save(out)
    document.close()
    return out.getvalue()


@pytest.fixture(scope="module")
def media_run(labelbox: Server) -> str:
    """A run with a PDF, a video, a conversation, a sound and a row that cannot be opened."""
    store = labelbox.store

    def kept(name: str, content: bytes) -> str:
        return store.files.url(store.files.add(name, content))

    layer = [
        {
            "number": 2,
            "units": "PERCENT",
            "groups": [
                {
                    "id": "g",
                    "tokens": [{"id": "t", "geometry": {"left": 10, "top": 10, "width": 50, "height": 20}}],
                }
            ],
        }
    ]
    pdf = {"pdfUrl": kept("a.pdf", _pdf(3)), "textLayerUrl": kept("layer.json", orjson.dumps(layer))}
    talk = {"messages": [{"messageId": "m1", "content": "Is <b>Ann</b> in?", "user": {"name": "Bob"}}]}
    film = kept("film.mp4", video(list(range(0, 400, 40))))
    facts = '{"width": 64, "height": 48, "frame_rate": 25, "frame_count": 10}'
    rows: list[tuple[str, str, int, str, str | None]] = [
        ("pdf", orjson.dumps(pdf).decode(), 1, "PDF", None),
        ("film", film, 0, "VIDEO", facts),
        ("talk", orjson.dumps(talk).decode(), 1, "CONVERSATIONAL", None),
        ("sound", kept("a.mp3", b"no sound"), 0, "AUDIO", None),
        ("broken", kept("broken.mp4", b"no video"), 0, "VIDEO", None),
    ]
    run_id: str = store.runs.create(store.runs.create_model("media", "c" + "o" * 24)["id"], "media run", None)["id"]
    with store.database.write() as c:
        c.executemany(
            "INSERT INTO data_rows(id, dataset_id, global_key, row_data, is_object, media_type, media_attributes,"
            " processed, created_at, updated_at) VALUES(?1,'d','key-'||?1,?2,?3,?4,?5,1,0,0)",
            rows,
        )
        c.execute(
            "INSERT INTO layouts VALUES('pdf', ?)",
            ('{"pages": [[200, 100], [200, 100], [200, 100]], "tokens": {"2": {"g": {"t": "word"}}}}',),
        )
    store.runs.add_rows(run_id, [row[0] for row in rows])
    location = {"groups": [{"id": "g", "page_number": 2, "tokens": ["t"]}]}
    entity = {"feature_id": "e", "name": "title", "confidence": 0.5, "location": location}
    track = {"feature_id": "v", "name": "car", "segments": [{"keyframes": []}]}
    track["segments"] = [
        {"keyframes": [{"frame": n, "bbox": {"left": n, "top": 1, "width": 9, "height": 9}} for n in (3, 7)]}
    ]
    inside = {"message_id": "m1", "location": {"start": 6, "end": 8}}
    said = {"feature_id": "s", "name": "person", "conversational_location": inside}
    with store.database.write() as c:
        c.executemany(
            "INSERT INTO annotations(owner_id, data_row_id, uuid, import_id, place, feature_id, annotation)"
            " VALUES(?,?,?,'i',?,?,?)",
            [
                (run_id, "pdf", "u1", "objects", "e", orjson.dumps(entity).decode()),
                (run_id, "film", "u2", "video", "v", orjson.dumps(track).decode()),
                (run_id, "talk", "u3", "objects", "s", orjson.dumps(said).decode()),
            ],
        )
    return run_id


def test_the_gallery_shows_the_page_and_the_frame_that_tell_most(http: httpx2.Client, media_run: str) -> None:
    text = http.get(f"/runs/{media_run}").text
    assert f'src="/runs/{media_run}/rows/pdf/pages/2.jpg?width=480"' in text
    assert "page 2 of 3" in text
    assert f'src="/runs/{media_run}/rows/film/frames/3.jpg"' in text
    assert "frame 3 of 10" in text
    assert 'Is &lt;b&gt;<mark class="prediction" title="person">Ann</mark>&lt;/b&gt;' in text
    assert "The video cannot be opened" in text


def test_a_document_page_by_page(http: httpx2.Client, media_run: str) -> None:
    text = http.get(f"/runs/{media_run}/rows/pdf").text
    pages = re.findall(r'src="(/runs/\S+/pages/(\d)\.jpg\?width=1400)"', text)
    assert [number for _, number in pages] == ["1", "2", "3"]
    # 10 % of 200 points across, 10 % of 100 down
    assert 'x="20.0" y="10.0" width="100.0" height="20.0"' in text
    answer = http.get(pages[1][0].replace("&amp;", "&"))
    assert answer.headers["content-type"] == "image/jpeg"
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.size == (1400, 700)


def test_a_video_frame_by_frame(http: httpx2.Client, media_run: str) -> None:
    base = f"/runs/{media_run}/rows/film"
    film = http.get(f"{base}/film.json").json()
    assert (film["frames"], film["rate"]) == (10, 25.0)
    assert film["tracks"][0]["segments"] == [[3, 7]]
    assert film["tracks"][0]["keys"] == [[3, [3.0, 1.0, 9.0, 9.0]], [7, [7.0, 1.0, 9.0, 9.0]]]
    pictures = [http.get(f"{base}/frames/{number}.jpg").content for number in range(1, 11)]
    assert len(set(pictures)) == 10
    with Image.open(io.BytesIO(pictures[4])) as image:
        assert image.size == (64, 48)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("film/frames/11.jpg", "frames 1 to 10, not 11"),
        ("film/frames/0.jpg", "frames 1 to 10, not 0"),
        ("film/pages/1.jpg", "no document"),
        ("pdf/pages/4.jpg", "pages 1 to 3, not 4"),
        ("pdf/frames/1.jpg", "no video"),
        ("broken/frames/1.jpg", "no video that can be opened"),
        ("none/pages/1.jpg", "no such data row"),
        ("talk/film.json", "no such video"),
    ],
)
def test_what_there_is_not_is_told(http: httpx2.Client, media_run: str, path: str, why: str) -> None:
    answer = http.get(f"/runs/{media_run}/rows/{path}")
    assert answer.status_code == 404
    assert why in answer.json()["error"]


def test_only_rows_of_the_run_are_served(http: httpx2.Client, labelbox: Server, media_run: str, run_id: str) -> None:
    assert http.get(f"/runs/{media_run}/rows/film/frames/1.jpg").status_code == 200
    assert http.get(f"/runs/{run_id}/rows/film/frames/1.jpg").status_code == 404
    assert http.get(f"/projects/{media_run}/rows/film/frames/1.jpg").status_code == 404
    # Two numbers and nothing else: no size that was not foreseen is ever made.
    answer = http.get(f"/runs/{media_run}/rows/pdf/pages/1.jpg?width=99999999")
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.size == (480, 240)
    assert labelbox.store.projects.get(media_run) is None


def test_a_conversation_and_a_sound(http: httpx2.Client, media_run: str) -> None:
    text = http.get(f"/runs/{media_run}/rows/talk").text
    assert "<b>Ann</b>" not in text
    assert re.search(r'<mark class="prediction" title="person">[^<]+</mark>', text)
    assert '<audio controls preload="none" src="http://' in http.get(f"/runs/{media_run}/rows/sound").text


# -- projects ---------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def project_id(labelbox: Server, run_id: str) -> str:
    """A project with the first 70 rows of the run in a batch; pre-labels on the first ten, labels on all."""
    store = labelbox.store
    project: Any = store.projects.create("labelling <here>", None, "TEXT", {})
    ids = [row["id"] for row in store.runs.rows(run_id, 0, 70)]
    batch = store.projects.create_batch(project["id"], "first batch", None)
    store.projects.fill_batch(project["id"], batch, ids, 5)
    said = orjson.dumps({"name": "kind", "radio_answer": {"name": "a", "classifications": []}}).decode()
    with store.database.write() as c:
        c.executemany(
            "INSERT INTO annotations(owner_id, data_row_id, uuid, import_id, place, feature_id, annotation)"
            " VALUES(?,?,?,'i','classifications','f',?)",
            [(project["id"], row_id, f"p{row_id}", said) for row_id in ids[:10]],
        )
    return str(project["id"])


def test_projects_are_listed_and_paged(http: httpx2.Client, project_id: str) -> None:
    listed = http.get("/projects").text
    assert "labelling &lt;here&gt;" in listed
    assert f'href="/projects/{project_id}"' in listed
    text = http.get(f"/projects/{project_id}").text
    assert "<b>70</b><span>data rows</span>" in text
    assert "<b>10</b><span>pre-labels</span>" in text
    assert "first batch" in text
    assert "train-button" not in text
    assert text.count('class="card"') == 60
    following = re.search(r'rel="next" href="(.*?)"', text)
    assert following is not None
    rest = http.get(f"/projects/{project_id}{following[1].replace('&amp;', '&')}").text
    assert rest.count('class="card"') == 10
    assert http.get(f"/projects/{project_id}?show=none").text.count("no pre-label<") == 60
    assert http.get("/projects/none").status_code == 404
    assert http.get("/projects/none/status.json").status_code == 404


def test_a_project_is_live_too(http: httpx2.Client, labelbox: Server, project_id: str) -> None:
    before = http.get(f"/projects/{project_id}/status.json").json()
    assert before["predictions"] == 10
    assert "html" not in http.get(f"/projects/{project_id}/status.json?stamp={before['stamp']}").json()
    labelbox.store.projects.set_showing(project_id, shown=True)
    after = http.get(f"/projects/{project_id}/status.json?stamp={before['stamp']}").json()
    assert "Labelers see the pre-labels" in after["html"]


def test_what_the_training_service_answered_is_kept(http: httpx2.Client, run_id: str) -> None:
    http.put("/_sandbox/webhook", json={"url": "http://127.0.0.1:9", "secret": None}).raise_for_status()
    try:
        answer = http.post(f"/_sandbox/model_runs/{run_id}/train", json={"modelType": "digits <v1>"})
        assert answer.status_code == 502
        text = http.get(f"/runs/{run_id}").text
        assert "Train Model pressed, “digits &lt;v1&gt;”." in text
        assert "The training service does not answer: POST http://127.0.0.1:9/model_run" in text
    finally:
        http.put("/_sandbox/webhook", json={"url": None, "secret": None})
