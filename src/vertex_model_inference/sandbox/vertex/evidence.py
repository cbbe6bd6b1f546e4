"""What the parts of a request show: pictures and pages are read, videos are watched, names are found in texts.

Real models: OCR (RapidOCR), PDFium for pages, differences of frames for movement, spaCy's small English model for
names, and the digits of scikit-learn for single digits. Sound is not heard.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from functools import cache
from typing import Any

import orjson

from vertex_model_inference.sandbox.vertex.reading import Evidence, Line, Unreadable, pixels_of, read_picture

__all__ = ["AUDIO", "DOCUMENTS", "IMAGES", "VIDEOS", "digit_scores", "evidence_of", "names_in"]

IMAGES = {"image/png", "image/jpeg", "image/webp", "image/heic", "image/heif"}
DOCUMENTS = {"application/pdf"}
VIDEOS = {"video/mp4", "video/quicktime", "video/webm", "video/mpeg", "video/x-flv", "video/3gpp", "video/wmv"}
AUDIO = {
    "audio/aac", "audio/flac", "audio/mp3", "audio/m4a", "audio/mpeg", "audio/mp4", "audio/ogg", "audio/opus",
    "audio/wav", "audio/webm",
}  # fmt: skip
MOST_PAGES = 1000
_SCALE = 2.0  # pixels of a rendered page for each point
_LOOKS_S = 1.0  # seconds between two looks at a video, as Gemini looks
_MOVED = 25  # grey levels that a pixel must differ by between two looks
_loading = threading.Lock()
_pdfium = threading.Lock()


def evidence_of(texts: Sequence[str], files: Sequence[tuple[str, bytes]]) -> Evidence:
    """What is there to answer from; runs in a thread.

    Args:
        texts: The text parts, in order; the last is what is to be judged when there is no file.
        files: MIME type and bytes of the others.

    Raises:
        Unreadable: A file is not what its type says.
    """
    pictures: list[Any] = []
    moves: list[Line] = []
    seconds = 0.0
    for mime, data in files:
        if mime in DOCUMENTS:
            pictures += _pages(data)
        elif mime in VIDEOS:
            first, moves, seconds = _watch(data)
            pictures.append(first)
        elif mime in IMAGES:
            pictures.append(pixels_of(data))
    if pictures:
        lines = tuple(line for page, picture in enumerate(pictures, 1) for line in read_picture(picture, page))
        score = sum(line.score for line in lines) / len(lines) if lines else 0.5
        said = "\n".join(line.text for line in lines)
        return Evidence(said, lines, True, score, tuple(pictures), moves=tuple(moves), seconds=seconds)
    if files:
        return Evidence("", seen=True, score=0.5)
    text = texts[-1] if texts else ""  # what comes before it tells what to do with it
    messages = _messages(text)
    return Evidence("\n".join(said for _, said in messages) if messages else text, messages=messages)


def _messages(text: str) -> tuple[tuple[str, str], ...]:
    """The messages of a conversation, where every line is one."""
    found = []
    for line in text.splitlines():
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError:
            return ()
        if not isinstance(value, dict) or not isinstance(value.get("message_id"), str):
            return ()
        found.append((value["message_id"], str(value.get("text", ""))))
    return tuple(found)


def _pages(data: bytes) -> list[Any]:
    import numpy as np
    import pypdfium2

    with _pdfium:  # PDFium is not for several threads
        try:
            document = pypdfium2.PdfDocument(data)
        except pypdfium2.PdfiumError as error:
            raise Unreadable(f"The document has no pages. {error}") from None
        try:
            if len(document) > MOST_PAGES:
                raise Unreadable(f"The document contains {len(document)} pages; at most {MOST_PAGES} are supported.")
            return [
                np.ascontiguousarray(np.asarray(page.render(scale=_SCALE).to_pil().convert("RGB"))[:, :, ::-1])
                for page in document
            ]
        finally:
            document.close()


def _watch(data: bytes) -> tuple[Any, list[Line], float]:
    """The first frame, what moves (one box for each look in which something does), and the length in seconds."""
    import av
    import numpy as np

    first: Any = None
    before: Any = None
    track: list[tuple[float, list[int]]] = []
    seconds = 0.0
    due = 0.0
    try:
        with av.open(io.BytesIO(data), "r") as container:
            stream = container.streams.video[0]
            for frame in container.decode(stream):
                at = float(frame.time or 0.0)
                seconds = max(seconds, at + (float(1 / stream.average_rate) if stream.average_rate else 0.0))
                if at + 1e-6 < due:
                    continue
                due = at + _LOOKS_S
                pixels = frame.to_ndarray(format="bgr24")
                grey = pixels.mean(axis=2)
                if first is None:
                    first = pixels
                else:
                    ys, xs = np.nonzero(np.abs(grey - before) > _MOVED)
                    if len(ys):
                        high, wide = grey.shape
                        edges = (ys.min() / high, xs.min() / wide, (ys.max() + 1) / high, (xs.max() + 1) / wide)
                        track.append((at, [round(float(edge) * 1000) for edge in edges]))
                before = grey
    except (av.FFmpegError, IndexError, OSError) as error:
        raise Unreadable(f"The video cannot be read. {error}") from None
    if first is None:
        raise Unreadable("The video has no frames.")
    moves = [Line("movement", 0.5, track[0][1], track=tuple(track))] if track else []
    return first, moves, seconds


@cache
def _recogniser() -> Any:
    from vertex_model_inference.sandbox.containers.entities import pipeline

    return pipeline()


def names_in(text: str, message_id: str = "") -> list[Line]:
    """The names in a text, with OntoNotes' kinds; each says at which of its places in the text it stands."""
    from vertex_model_inference.sandbox.containers.entities import spans_of

    with _loading:  # spaCy's models are not for several threads
        (spans,) = spans_of(_recogniser(), [text])
    found = []
    for span in spans:
        name = text[span.start : span.end]
        occurrence = 1
        at = text.find(name)
        while 0 <= at < span.start:
            occurrence += 1
            at = text.find(name, at + 1)
        found.append(
            Line(name, span.score, [0, 0, 0, 0], kind=span.label, occurrence=occurrence, message_id=message_id)
        )
    return found


@cache
def _digits() -> Any:
    from vertex_model_inference.sandbox.containers.image_model import ImageModel
    from vertex_model_inference.sandbox.datasets.digits import Digits

    return ImageModel.from_bytes(Digits().model().artifact or b"")


def digit_scores(pixels: Any) -> dict[str, float]:
    """How much a picture looks like each digit, ``"0"`` to ``"9"``; adds up to 1."""
    from PIL import Image

    with _loading:  # it takes seconds: once, not once in each thread
        model = _digits()
    grey = Image.fromarray(pixels[:, :, ::-1]).convert("L")
    scores = model.probabilities(model.pixels(grey)[None, :])[0]
    return {label: float(score) for label, score in zip(model.labels, scores, strict=True)}
