"""``paligemma``: PaliGemma of Vertex AI's Model Garden, asked to ``detect`` or ``segment``.

Source: the notebook ``model_garden_pytorch_paligemma`` of ``GoogleCloudPlatform/vertex-ai-samples`` and the README
of ``big_vision``'s ``paligemma``::

    {"response": "<loc0123><loc0045><loc0900><loc0800> cat ; <loc0000><loc0010><loc0512><loc1023> dog"}

or the text alone. The four numbers are y0, x0, y1, x1 in 1024ths of the picture. Sixteen ``<seg>`` tokens after them
are codes of a mask, which only the model's own VQ decoder can turn into pixels: the box is kept, the mask is not read.
There is no confidence. An answer without ``<loc>`` tokens is free text of another prompt, and refused, but for an empty
one: nothing found.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from vertex_model_inference.decoders.base import Fit, clip, fit_of, parse, refuse, size_of
from vertex_model_inference.findings import FoundBox
from vertex_model_inference.rows import DataRow

__all__ = ["Paligemma"]

_OBJECT = re.compile(r"\s*<loc(\d{4})><loc(\d{4})><loc(\d{4})><loc(\d{4})>((?:\s*<seg\d{3}>)*)([^<>;]*)", re.ASCII)


class _Answer(msgspec.Struct):
    response: str


_ANSWER = msgspec.json.Decoder(str | _Answer)


def _text(answer: str | _Answer) -> str:
    return answer if isinstance(answer, str) else answer.response


class Paligemma:
    """PaliGemma's tokens; see the module's docstring for the form."""

    name = "paligemma"

    def __init__(self, class_names: Sequence[str] = ()) -> None:
        self.class_names = tuple(class_names)

    def decode(self, prediction: bytes, row: DataRow) -> tuple[FoundBox, ...]:
        """Each object in pixels, in the model's order; without a label of its own it is of the only class name.

        Raises:
            DecodeError: See ``Decoder.decode``; also when the row's size is unknown.
        """
        text = _text(parse(_ANSWER, prediction, self.name, row)).removesuffix("<eos>").strip()
        if not text:
            return ()
        width, height = size_of(row, self.name)
        found = []
        for index, part in enumerate(text.rstrip("; ").split(";")):
            where = f"object {index}"
            match = _OBJECT.fullmatch(part)
            if match is None:
                refuse(self.name, row, f"{where} is {part.strip()[:80]!r}, not four <loc> tokens and a class")
            y0, x0, y1, x1 = (int(one) / 1024 for one in match.group(1, 2, 3, 4))
            label = match[6].strip() or (self.class_names[0] if len(self.class_names) == 1 else "")
            if not label:
                refuse(self.name, row, f"{where} has no class", "Name the class in the prompt, or as class_names.")
            placed = clip(x0 * width, y0 * height, x1 * width, y1 * height, row, self.name, where)
            found.append(FoundBox(label, *placed))
        return tuple(found)

    @staticmethod
    def fit(prediction: bytes) -> Fit:
        """Whether an answer has this form: location tokens, or nothing."""
        fit = fit_of(_ANSWER, prediction)
        if not fit.form:
            return fit
        text = _text(_ANSWER.decode(prediction)).strip()
        return Fit(form=not text or text.startswith("<loc"), content=bool(text))
