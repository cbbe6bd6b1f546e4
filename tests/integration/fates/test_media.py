"""Rows of other media go all the way: real files, what the model is sent of them, and where its findings end up."""

from __future__ import annotations

import base64
import io
import json
import wave
from pathlib import Path
from typing import Any

import labelbox as lb
import numpy as np
from PIL import Image, ImageOps
from tests.integration.fates.lab import Assets, Container, Lab, radio

TEXT = "Zu\u0308rich 👩‍👩‍👧\r\nliegt in der Schweiz; Zürich."
PAGE = "<html><head><title>no</title></head><body><p>Guten <b>Tag</b></p><script>no()</script></body></html>"
TALK = {
    "type": "application/vnd.labelbox.conversational",
    "version": 1,
    "messages": [
        {"messageId": "m1", "content": "Wie ist Bern? 👋", "user": {"userId": "u", "name": "Bo"}, "canLabel": True},
        {"messageId": "m2", "content": "Bern ist schön.", "user": {"userId": "v", "name": "Al"}, "canLabel": True},
    ],
}
TILES = {
    "tile_layer_url": "https://tiles.example.com/{z}/{x}/{y}.png",
    "bounds": [[19.4, -99.2], [19.3, -99.1]],
    "min_zoom": 12,
    "max_zoom": 20,
    "epsg": "EPSG4326",
}
PLACE = {"tool": "named-entity", "name": "place", "color": "#ff0000", "classifications": []}
TABLE = {"tool": "rectangle", "name": "table", "color": "#ff0000", "classifications": []}
BLOCK = {"tool": "rectangle", "name": "block", "color": "#ff0000", "classifications": []}


def sound() -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes((np.sin(np.arange(800) / 3) * 9000).astype("<i2").tobytes())
    return buffer.getvalue()


def reader(instance: dict[str, Any]) -> Any:
    """Quotes the towns of what it reads; of sound it says how loud it is."""
    if instance["mime"] == "audio/wav":
        with wave.open(io.BytesIO(base64.b64decode(instance["b64"]))) as file:
            loud = np.abs(np.frombuffer(file.readframes(800), "<i2")).max() > 5000
        return [{"label": "loud" if loud else "quiet", "score": 0.75}]
    if instance["messages"]:
        return {"messages": {m["id"]: {"label": "place", "quote": "bern", "score": 0.5} for m in instance["messages"]}}
    if instance["mime"] == "text/html":
        assert instance["text"] == "Guten Tag"
        assert base64.b64decode(instance["b64"]).decode() == PAGE
        return [{"label": "quiet", "score": 0.5}, {"label": "place", "quote": "Tag"}]
    assert base64.b64decode(instance["b64"]).decode() == instance["text"] == TEXT
    return [
        {"label": "place", "quote": "ZU\u0308RICH"},
        {"label": "place", "quote": "Zürich"},
        {"label": "place", "quote": "Rom"},
    ]


def test_texts_html_conversations_sound_and_tiles(
    lab: Lab, container: Container, assets: Assets, tmp_path: Path
) -> None:
    container.answer = reader
    rows: dict[str, str | dict[str, Any]] = {
        "media text": {"row_data": assets.put("a.txt", TEXT.encode()), "media_type": "TEXT"},
        "media html": {"row_data": assets.put("a.html", PAGE.encode()), "media_type": "HTML"},
        "media talk": {"row_data": TALK},
        "media talk file": {
            "row_data": assets.put("a.json", json.dumps(TALK).encode()),
            "media_type": "CONVERSATIONAL",
        },
        "media sound": {"row_data": assets.put("a.wav", sound()), "media_type": "AUDIO"},
        "media no sound": {"row_data": assets.put("b.wav", b""), "media_type": "AUDIO"},
        "media tiles": {"row_data": TILES, "media_type": "TMS_GEO"},
    }
    scene = lab.scene(
        rows, tools=[PLACE], classifications=[radio("volume", "loud", "quiet")], media_type=lb.MediaType.Text
    )
    toml = f"""
[models."reader"]
container = "{container.url}/predict"
decoder = "conversation"
instance = {{ text = "{{text}}", b64 = "{{b64}}", messages = "{{messages}}", mime = "{{mime_type}}" }}
"""
    done = lab.perform(scene, "reader", tmp_path, toml, VMI_ALLOW_HOSTS="127.0.0.1")
    fates = {key.removeprefix("media "): done.fate(key) for key in done.outcomes}
    predicted = ("predicted", None, None)
    assert fates == {
        "text": predicted,
        "html": predicted,
        "talk": predicted,
        "talk file": predicted,
        "sound": ("skipped", "assets", "unsupported_media"),
        "no sound": ("failed", "assets", "asset_empty"),
        "tiles": ("skipped", "assets", "unsupported_media"),
    }
    text = done.outcomes["media text"]
    assert text.dropped == {"place": 1}
    assert "'Rom'" in str(text.message)
    assert done.outcomes["media html"].dropped == {"place": 1}
    found = scene.predictions()
    spans = sorted((each["location"]["start"], each["location"]["end"]) for each in found["media text"])
    assert [TEXT[start : end + 1] for start, end in spans] == ["Zürich", "Zu\u0308rich"][::-1]
    assert spans[0][0] == 0
    for key in ("media talk", "media talk file"):
        places = {
            e["conversational_location"]["message_id"]: e["conversational_location"]["location"] for e in found[key]
        }
        assert places == {"m1": {"start": 8, "end": 11}, "m2": {"start": 0, "end": 3}}


def test_sound_is_sent_as_a_file(lab: Lab, container: Container, assets: Assets, tmp_path: Path) -> None:
    container.answer = lambda instance: reader({"mime": "audio/wav", "b64": instance["audio"]["b64"]})
    rows: dict[str, str | dict[str, Any]] = {
        "heard": {"row_data": assets.put("c.wav", sound()), "media_type": "AUDIO"},
        "heard no more": {"row_data": assets.put("d.wav", 404), "media_type": "AUDIO"},
    }
    scene = lab.scene(rows, classifications=[radio("volume", "loud", "quiet")], media_type=lb.MediaType.Audio)
    toml = f'[models."ear"]\ncontainer = "{container.url}/predict"\n'
    done = lab.perform(scene, "ear", tmp_path, toml, VMI_ALLOW_HOSTS="127.0.0.1")
    assert {key: done.fate(key) for key in done.outcomes} == {
        "heard": ("predicted", None, None),
        "heard no more": ("failed", "assets", "asset_not_found"),
    }
    (answer,) = scene.predictions()["heard"]
    assert (answer["radio_answer"]["name"], answer["radio_answer"]["confidence"]) == ("loud", 0.75)


def pdf(*sizes: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    first, *others = [Image.new("L", size, 230) for size in sizes]
    first.save(buffer, "PDF", save_all=True, append_images=others, resolution=72)
    return buffer.getvalue()


def layer() -> bytes:
    geometry = {"left": 1, "top": 2, "width": 30, "height": 9}
    words = [{"id": f"t{n}", "content": word, "geometry": geometry} for n, word in enumerate(("Bad", "Ragaz,", "Chur"))]
    group = {"id": "g", "content": "Bad Ragaz, Chur", "geometry": geometry, "tokens": words}
    pages = [{"number": n, "units": "POINTS", "groups": [group] if n == 2 else []} for n in (1, 2)]
    return json.dumps(pages).encode()


def test_documents(lab: Lab, container: Container, assets: Assets, tmp_path: Path) -> None:
    def layout(instance: dict[str, Any]) -> Any:
        assert base64.b64decode(instance["document"]["b64"]).startswith(b"%PDF")
        box = {"label": "table", "score": 0.5, "box": [10, 20, 60, 80]}
        entities = [{"label": "place", "text": "bad ragaz", "score": 0.25}]
        both = len(instance["document"]["b64"]) > 2 * short
        return {"pages": [{"page": 2 if both else 1, "width": 200, "height": 400,
                           "detections": [box] if both else [], "entities": entities}]}  # fmt: skip

    two, one = pdf((300, 100), (100, 200)), pdf((10, 10))
    short = len(base64.b64encode(one)) // 2 + 1
    short = max(short, len(base64.b64encode(one)) // 2)
    assert len(base64.b64encode(two)) > 2 * short
    container.answer = layout
    url, text_layer = assets.put("two.pdf", two), assets.put("layer.json", layer())
    rows: dict[str, str | dict[str, Any]] = {
        "paper": {"row_data": {"pdf_url": url, "text_layer_url": text_layer}, "media_type": "PDF"},
        "bare": {"row_data": url, "media_type": "PDF"},
        "only words": {"row_data": assets.put("one.pdf", one), "media_type": "PDF"},
        "lost layer": {"row_data": {"pdf_url": url, "text_layer_url": assets.put("x.json", 404)}, "media_type": "PDF"},
        "damaged": {"row_data": assets.put("bad.pdf", two[:200]), "media_type": "PDF"},
        "no pdf": {"row_data": assets.put("no.pdf", b"hello"), "media_type": "PDF"},
    }
    scene = lab.scene(rows, tools=[PLACE, TABLE], media_type=lb.MediaType.Document)
    toml = f'[models."layout"]\ncontainer = "{container.url}/predict"\n'
    done = lab.perform(scene, "layout", tmp_path, toml, VMI_ALLOW_HOSTS="127.0.0.1")
    assert {key: done.fate(key) for key in done.outcomes} == {
        "paper": ("predicted", None, None),
        "bare": ("predicted", None, None),
        "only words": ("failed", "match", "match_text_layer"),
        "lost layer": ("failed", "decode", "asset_not_found"),
        "damaged": ("failed", "assets", "asset_corrupt"),
        "no pdf": ("failed", "assets", "asset_corrupt"),
    }
    assert done.outcomes["bare"].dropped == {"place": 1}
    found = scene.predictions()
    for key in ("paper", "bare"):
        box = next(each for each in found[key] if each["name"] == "table")
        assert box["page_number"] == 2
        assert box["bounding_box"] == {"left": 5.0, "top": 10.0, "width": 25.0, "height": 30.0, "unit": "points"}
    words = next(each for each in found["paper"] if each["name"] == "place")
    assert words["location"] == {
        "groups": [{"id": "g", "page_number": 2, "tokens": ["t0", "t1"], "text": "Bad Ragaz,"}]
    }
    assert words["confidence"] == 0.25


def turned(orientation: int) -> bytes:
    pixels = np.zeros((64, 96), dtype=np.uint8)
    pixels[16:24, 8:40] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95, exif=exif)
    return buffer.getvalue()


def test_pictures_turned_by_exif_and_pictures_of_another_size(
    lab: Lab, container: Container, assets: Assets, tmp_path: Path
) -> None:
    def looker(instance: dict[str, Any]) -> Any:
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(base64.b64decode(instance["image"]["b64"]))))
        ys, xs = np.nonzero(np.asarray(image) > 127)
        box = {"xmin": int(xs.min()), "ymin": int(ys.min()), "xmax": int(xs.max()) + 1, "ymax": int(ys.max()) + 1}
        return [{"label": "block", "score": 0.5, "box": box}]

    container.answer = looker
    rows: dict[str, str | dict[str, Any]] = {f"turned {n}": assets.put(f"{n}.jpg", turned(n)) for n in range(1, 9)}
    small = io.BytesIO()
    Image.new("L", (40, 30)).save(small, "PNG")
    rows["grown"] = assets.put("grown.png", small.getvalue())
    scene = lab.scene(rows, tools=[BLOCK])
    before = scene.export()["grown"]["media_attributes"]
    assert (before["width"], before["height"]) == (40, 30)
    large = Image.new("L", (400, 300))
    large.paste(255, (4, 6, 36, 26))
    buffer = io.BytesIO()
    large.save(buffer, "PNG")
    assets.put("grown.png", buffer.getvalue())  # after Labelbox has looked at it
    toml = f'[models."looker"]\ncontainer = "{container.url}/predict"\nexif = "applied"\n'
    done = lab.perform(scene, "looker", tmp_path, toml, VMI_ALLOW_HOSTS="127.0.0.1")
    assert set(done.statuses().values()) == {"predicted"}, done.outcomes
    found = scene.predictions()
    stored = {"left": 8.0, "top": 16.0, "width": 32.0, "height": 8.0}
    assert [found[f"turned {n}"][0]["bounding_box"] for n in range(1, 9)] == [stored] * 8
    assert found["grown"][0]["bounding_box"] == {"left": 4.0, "top": 6.0, "width": 32.0, "height": 20.0}
