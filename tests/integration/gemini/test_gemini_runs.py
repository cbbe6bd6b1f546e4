"""Whole runs of Gemini in the sandbox, online and in batch: what the local models see is what Labelbox gets."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import labelbox as lb
import msgspec
import pytest
from PIL import Image
from skimage import data
from tests.integration.fates.lab import Done, Lab, radio

from vertex_model_inference.sandbox.datasets.digits import Digits

MODES = ["online", "batch"]
PEOPLE = [
    "Barack Obama met Angela Merkel in Berlin.",
    "In Berlin, Angela Merkel spoke; Angela Merkel then flew to Paris.",
    "Nothing happened on the table.",
    "Zoë — 👩‍👩‍👧 — and Barack Obama went to London.",
]


def toml(mode: str, **more: Any) -> str:
    lines = ['[models."Ask Gemini"]', 'gemini = "gemini-2.5-flash"', f'mode = "{mode}"']
    return "\n".join([*lines, *(f"{key} = {value!r}" for key, value in more.items()), ""]).replace("'", '"')


@pytest.fixture(autouse=True)
def _calm(lab: Lab) -> Iterator[None]:
    yield
    lab.calm()
    lab.vertex.delete("/_sandbox/gemini").raise_for_status()


def trick(lab: Lab, how: str, contains: str, times: int = 1) -> None:
    rule = {"how": how, "contains": contains, "times": times}
    lab.vertex.post("/_sandbox/gemini", json=rule).raise_for_status()


def keys(*names: str) -> dict[str, str]:
    mark = uuid.uuid4().hex[:8]
    return {name: f"{name}-{mark}" for name in names}


def hosted(lab: Lab, name: str, body: bytes) -> str:
    """The gs:// URI of an object of the customer's."""
    path = f"gemini/{uuid.uuid4().hex}/{name}"
    answer = lab.vertex.post(
        f"{lab.config.storage_url}/upload/storage/v1/b/vmi-sandbox/o",
        params={"uploadType": "media", "name": path},
        content=body,
    )
    answer.raise_for_status()
    return f"gs://vmi-sandbox/{path}"


def decoded(lab: Lab, done: Done) -> dict[str, dict[str, Any]]:
    """What the run noted of each row, by global key."""
    answer = lab.vertex.get(f"{lab.config.storage_url}/vmi-sandbox/runs/{done.run_id}/decoded/00000.jsonl")
    lines = [msgspec.json.decode(line) for line in answer.content.splitlines()]
    return {line["global_key"]: line for line in lines}


@pytest.mark.parametrize("mode", MODES)
def test_digits_are_classified(lab: Lab, tmp_path: Path, mode: str) -> None:
    rows = Digits().rows()[:12]
    named = keys(*(row.key for row in rows))
    hosts = {named[row.key]: hosted(lab, "digit.png", row.data or b"") for row in rows}
    scene = lab.scene(hosts, classifications=[radio("digit", *(str(n) for n in range(10)))])
    done = lab.perform(scene, "Ask Gemini", tmp_path, toml(mode))
    assert set(done.statuses().values()) == {"predicted"}
    found = scene.predictions()
    right = sum(found[named[row.key]][0]["radio_answer"]["name"] == row.answer for row in rows)
    assert right >= 10, f"{right} of 12"
    assert all(0.1 < items[0]["radio_answer"]["confidence"] <= 1 for items in found.values())


@pytest.mark.parametrize("mode", MODES)
def test_names_are_found_where_they_stand(lab: Lab, tmp_path: Path, mode: str) -> None:
    named = keys("a", "b", "none", "emoji")
    tools: list[dict[str, Any]] = [
        {"tool": "named-entity", "name": name, "color": "#ff0000", "classifications": []}
        for name in ("Person", "Place")
    ]
    texts = dict(zip(named.values(), PEOPLE, strict=True))
    scene = lab.scene(texts, tools=tools, media_type=lb.MediaType.Text)
    done = lab.perform(scene, "Ask Gemini", tmp_path, toml(mode))
    assert done.statuses() == {
        named["a"]: "predicted", named["b"]: "predicted", named["none"]: "empty", named["emoji"]: "predicted",
    }  # fmt: skip
    found = scene.predictions()

    def said(key: str) -> list[tuple[str, str, int]]:
        places = [(item["name"], item["location"]) for item in found[named[key]]]
        for _, place in places:
            assert texts[named[key]][place["start"] : place["end"] + 1] == place["token"]
        return sorted((name, place["token"], place["start"]) for name, place in places)

    assert said("a") == [("Person", "Angela Merkel", 17), ("Person", "Barack Obama", 0), ("Place", "Berlin", 34)]
    assert said("b") == [
        ("Person", "Angela Merkel", 11), ("Person", "Angela Merkel", 32), ("Place", "Berlin", 3),
        ("Place", "Paris", 59),
    ]  # fmt: skip
    assert ("Person", "Barack Obama", PEOPLE[3].index("Barack")) in said("emoji")


@pytest.mark.parametrize("mode", MODES)
def test_lines_of_a_page_with_what_they_say(lab: Lab, tmp_path: Path, mode: str) -> None:
    out = io.BytesIO()
    Image.fromarray(data.page()[:80]).save(out, "PNG")
    tool = {
        "tool": "rectangle",
        "name": "line",
        "color": "#ff0000",
        "classifications": [
            {"type": "text", "name": "writing", "instructions": "writing", "options": []},
            radio("about", "segmentation", "cooking"),
        ],
    }
    named = keys("page")
    scene = lab.scene({named["page"]: hosted(lab, "page.png", out.getvalue())}, tools=[tool])
    done = lab.perform(scene, "Ask Gemini", tmp_path, toml(mode, instructions="Lines of text only."))
    assert done.statuses() == {named["page"]: "predicted"}
    first = min(scene.predictions()[named["page"]], key=lambda item: item["bounding_box"]["top"])
    box = first["bounding_box"]
    assert 0 <= box["left"] < 384
    assert box["left"] + box["width"] <= 384
    assert 0.5 < first["confidence"] <= 1
    answers = {item["name"]: item for item in first["classifications"]}
    assert "Region" in answers["writing"]["text_answer"]["content"]
    assert answers["about"]["radio_answer"]["name"] == "segmentation"


KINDS = {
    "rectangle": ("line box", "ImageBoundingBox"),
    "polygon": ("line outline", "ImagePolygon"),
    "line": ("base line", "ImagePolyline"),
    "point": ("middle", "ImagePoint"),
    "raster-segmentation": ("ink", "ImageSegmentationMask"),
}
FORMATS = {"png": "PNG", "gif": "GIF", "bmp": "BMP", "tif": "TIFF"}


@pytest.mark.parametrize("mode", MODES)
def test_every_kind_on_pictures_of_every_format(lab: Lab, tmp_path: Path, mode: str) -> None:
    picture = Image.fromarray(data.page()[:80])
    named = keys(*FORMATS)
    hosts = {}
    for ending, format_ in FORMATS.items():
        out = io.BytesIO()
        picture.save(out, format_)
        hosts[named[ending]] = hosted(lab, f"page.{ending}", out.getvalue())
    tools: list[dict[str, Any]] = [
        {"tool": kind, "name": name, "color": "#ff0000", "classifications": []} for kind, (name, _) in KINDS.items()
    ]
    scene = lab.scene(hosts, tools=[*tools, {"tool": "edge", "name": "goes on in", "color": "#00ff00"}])
    done = lab.perform(scene, "Ask Gemini", tmp_path, toml(mode))
    assert done.statuses() == dict.fromkeys(named.values(), "predicted"), done.outcomes
    predictions = scene.predictions()
    noted = decoded(lab, done)
    for ending, key in named.items():
        assert ("sent as a PNG" in " ".join(noted[key].get("notes", ()))) == (ending != "png"), ending
    counts = {
        name: [sum(1 for each in predictions[key] if each["name"] == name) for key in named.values()]
        for name, _ in KINDS.values()
    }
    lines = counts["line box"][0]
    assert lines >= 3
    exported = scene.export()
    counts["goes on in"] = [
        sum(
            len(entry["annotations"]["relationships"])
            for entry in exported[key]["experiments"][scene.model.uid]["runs"][scene.run.uid]["predictions"]
        )
        for key in named.values()
    ]
    for name, found in counts.items():
        wanted = lines - 1 if name == "goes on in" else lines
        assert found == [wanted] * len(FORMATS), (name, found)
    kinds = {each["name"]: each.get("annotation_kind") for each in predictions[named["tif"]]}
    assert {name: kinds[name] for name, _ in KINDS.values()} == dict(KINDS.values())
    # The frame of coordinates is the original's, whatever was sent: what is found is the same, to the pixel.
    for name, value in (("line box", "bounding_box"), ("line outline", "polygon"), ("middle", "point")):
        shapes = [
            sorted(str(each[value]) for each in predictions[key] if each["name"] == name) for key in named.values()
        ]
        assert all(each == shapes[0] for each in shapes), name


FATES = {
    "plain": ("predicted", None, None),
    "fenced": ("predicted", None, None),
    "truncated": ("failed", "decode", "gemini_truncated"),
    "blocked": ("failed", "decode", "gemini_blocked"),
    "refused": ("failed", "decode", "gemini_blocked"),
    "off_schema": ("failed", "decode", "gemini_off_schema"),
    "broken": ("failed", "predict", "model_error"),
}


@pytest.mark.parametrize("mode", MODES)
def test_each_way_that_an_answer_can_go_wrong(lab: Lab, tmp_path: Path, mode: str) -> None:
    named = keys(*FATES, *(f"more{n}" for n in range(13)))
    texts = {key: f"A match of football, {key}." for key in named.values()}
    scene = lab.scene(texts, classifications=[radio("topic", "football", "cooking")], media_type=lb.MediaType.Text)
    for name in list(FATES)[1:]:
        trick(lab, "prompt_blocked" if name == "refused" else name, named[name], times=0)
    done = lab.perform(scene, "Ask Gemini", tmp_path, toml(mode))
    fates = {name: done.fate(named[name]) for name in FATES}
    wanted = dict(FATES)
    if mode == "online":
        wanted["broken"] = ("failed", "predict", "model_unavailable")
    assert fates == wanted
    assert {done.statuses()[named[f"more{n}"]] for n in range(13)} == {"predicted"}
    outcomes = {name: done.outcomes[named[name]] for name in FATES}
    assert "It begins: {" in (outcomes["truncated"].message or "")
    assert "PROHIBITED_CONTENT" in (outcomes["refused"].message or "")
    assert "weather" in (outcomes["off_schema"].message or "")
    assert outcomes["broken"].retryable
    assert not outcomes["truncated"].retryable
    notes = decoded(lab, done)
    assert "fence" in notes[named["fenced"]]["notes"][0]
    assert "notes" not in notes[named["plain"]]
    # Each answer belongs to its row, though the output is shuffled.
    found = scene.predictions()
    assert {key for key, items in found.items() if items} == {
        key for key, status in done.statuses().items() if status == "predicted"
    }


def test_a_busy_service_is_asked_again(lab: Lab, tmp_path: Path) -> None:
    named = keys(*(f"row{n}" for n in range(20)))
    texts = {key: f"Cooking rice, {key}." for key in named.values()}
    scene = lab.scene(texts, classifications=[radio("topic", "football", "cooking")], media_type=lb.MediaType.Text)
    trick(lab, "busy", "", times=15)
    trick(lab, "broken", "row7-", times=2)
    done = lab.perform(scene, "Ask Gemini", tmp_path, toml("online", confidence="logprobs"))
    assert set(done.statuses().values()) == {"predicted"}
    [answer] = scene.predictions()[named["row7"]]
    assert answer["radio_answer"]["name"] == "cooking"
    assert 0.5 < answer["radio_answer"]["confidence"] <= 1


def test_output_that_lacks_doubles_and_contradicts(lab: Lab, tmp_path: Path) -> None:
    named = keys(*(f"row{n}" for n in range(12)))
    texts = {key: f"Football, {key}." for key in named.values()}
    scene = lab.scene(texts, classifications=[radio("topic", "football", "cooking")], media_type=lb.MediaType.Text)
    lab.mischief(drop_lines=[1], duplicate=[2], contradict=[3], corrupt=[4], unknown_keys=2)
    done = lab.perform(scene, "Ask Gemini", tmp_path, toml("batch"))
    codes = sorted(outcome.code for outcome in done.outcomes.values() if outcome.code)
    assert codes == ["duplicate_answer", "missing_answer", "missing_answer"]
    assert sum(status == "predicted" for status in done.statuses().values()) == 9


def test_output_without_labels_is_joined_by_what_was_asked_about(lab: Lab, tmp_path: Path) -> None:
    named = keys("short", "same", "again", "long", "cooking")
    texts = {
        named["short"]: "A match of football.",
        named["same"]: "The football season.",
        named["again"]: "The football season.",
        named["long"]: "Football. " + "And so on. " * 400,
        named["cooking"]: "Cooking rice.",
    }
    scene = lab.scene(texts, classifications=[radio("topic", "football", "cooking")], media_type=lb.MediaType.Text)
    lab.mischief(forget_labels=True, duplicate=[0], unknown_keys=1)
    done = lab.perform(scene, "Ask Gemini", tmp_path, toml("batch"))
    assert done.statuses() == dict.fromkeys(named.values(), "predicted"), done.outcomes
    said = {key: [one["radio_answer"]["name"] for one in found] for key, found in scene.predictions().items()}
    assert said == {key: ["cooking" if key == named["cooking"] else "football"] for key in named.values()}


def test_long_texts_go_as_files(lab: Lab, tmp_path: Path) -> None:
    long = "Angela Merkel was there. " + "And so on. " * 400
    named = keys("long", "short")
    tools = [{"tool": "named-entity", "name": "Person", "color": "#ff0000", "classifications": []}]
    texts = {named["long"]: long, named["short"]: "Barack Obama was not."}
    scene = lab.scene(texts, tools=tools, media_type=lb.MediaType.Text)
    done = lab.perform(scene, "Ask Gemini", tmp_path, toml("batch"))
    found = scene.predictions()
    assert [item["location"]["token"] for item in found[named["long"]]] == ["Angela Merkel"]
    assert [item["location"]["token"] for item in found[named["short"]]] == ["Barack Obama"]
    group = f"{lab.config.storage_url}/vmi-sandbox/runs/{done.run_id}/jobs/00000.instances.jsonl"
    requests = [msgspec.json.decode(line)["request"] for line in lab.vertex.get(group).content.splitlines()]
    parts = [request["contents"][0]["parts"][0] for request in requests]
    assert sorted(next(iter(part)) for part in parts) == ["fileData", "text"]


def test_rows_that_nothing_is_asked_about(lab: Lab, tmp_path: Path) -> None:
    named = keys("text")
    tools = [{"tool": "polygon", "name": "outline", "color": "#ff0000", "classifications": []}]
    scene = lab.scene({named["text"]: "A text."}, tools=tools)
    for mode in MODES:
        done = lab.perform(scene, "Ask Gemini", tmp_path, toml(mode))
        assert done.fate(named["text"]) == ("skipped", "predict", "nothing_to_ask")


@pytest.mark.parametrize("mode", MODES)
def test_conversations_by_message(lab: Lab, tmp_path: Path, mode: str) -> None:
    messages = [
        ("m1", "Ann", "I met Barack Obama."),
        ("m2", "Bob", "A football match?"),
        ("m3", "Ann", "Barack Obama!"),
    ]
    conversation = {
        "type": "application/vnd.labelbox.conversational",
        "version": 1,
        "messages": [
            {
                "messageId": id_,
                "timestampUsec": str(n),
                "content": text,
                "user": {"userId": name, "name": name},
                "align": "left",
                "canLabel": True,
            }
            for n, (id_, name, text) in enumerate(messages)
        ],
    }
    named = keys("talk")
    topic = {**radio("topic", "football", "politics"), "scope": "index"}
    scene = lab.scene(
        {named["talk"]: {"row_data": conversation}},
        tools=[{"tool": "named-entity", "name": "Person", "color": "#ff0000", "classifications": []}],
        classifications=[topic],
        media_type=lb.MediaType.Conversational,
    )
    done = lab.perform(scene, "Ask Gemini", tmp_path, toml(mode))
    assert done.statuses() == {named["talk"]: "predicted"}, done.outcomes
    found = scene.predictions()[named["talk"]]
    people = [item["conversational_location"] for item in found if item["name"] == "Person"]
    assert sorted((each["message_id"], each["location"]["start"]) for each in people) == [("m1", 6), ("m3", 0)]
    topics = {
        item["message_id"]: item["conversational_radio_answer"]["name"] for item in found if item["name"] == "topic"
    }
    assert set(topics) == {"m1", "m2", "m3"}
    assert topics["m2"] == "football"


@pytest.mark.parametrize("mode", MODES)
def test_boxes_on_the_pages_of_a_document(lab: Lab, tmp_path: Path, mode: str) -> None:
    top, below = (Image.fromarray(part).convert("RGB") for part in (data.page()[:80], data.page()[80:191]))
    out = io.BytesIO()
    top.save(out, "PDF", save_all=True, append_images=[below], resolution=72)
    named = keys("pages")
    tool = {"tool": "rectangle", "name": "line", "color": "#ff0000", "classifications": []}
    uri = hosted(lab, "pages.pdf", out.getvalue())
    scene = lab.scene({named["pages"]: uri}, tools=[tool], media_type=lb.MediaType.Document)
    done = lab.perform(scene, "Ask Gemini", tmp_path, toml(mode))
    assert done.statuses() == {named["pages"]: "predicted"}, done.outcomes
    found = scene.predictions()[named["pages"]]
    assert {item["page_number"] for item in found} == {1, 2}
    for item in found:
        box = item["bounding_box"]
        high = top.height if item["page_number"] == 1 else below.height
        assert 0 <= box["left"] < box["left"] + box["width"] <= top.width + 0.5
        assert 0 <= box["top"] < box["top"] + box["height"] <= high + 0.5
