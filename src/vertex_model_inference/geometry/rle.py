"""COCO's run lengths, plain and compressed, without drawing the mask (``runs.py`` does that).

Source: ``common/maskApi.c`` of ``cocodataset/cocoapi`` (``rleEncode``, ``rleToString``, ``rleFrString``). Runs go down
the columns, column after column, and begin with background (so the first is 0 where the first pixel is set). The
compressed form writes each run, from the fourth on as its difference to the run two before, in groups of five bits.
"""

from __future__ import annotations

from collections.abc import Sequence

from vertex_model_inference.geometry.runs import MAX_PIXELS

__all__ = ["area", "pack", "unpack"]

_LONGEST = 8
"""Characters of one run at most: 40 bits, more than any mask of ours can need."""


def pack(runs: Sequence[int]) -> bytes:
    """Run lengths (>= 0) in the compressed form."""
    out = bytearray()
    for index, run in enumerate(runs):
        rest = run - runs[index - 2] if index > 2 else run
        while True:
            five = rest & 0x1F
            rest >>= 5
            more = rest != (-1 if five & 0x10 else 0)
            out.append((five | 0x20 if more else five) + 48)
            if not more:
                break
    return bytes(out)


def unpack(counts: bytes) -> list[int]:
    """Run lengths of the compressed form.

    Raises:
        ValueError: It is not that form: a foreign character, a run cut short, too long or negative.
    """
    runs: list[int] = []
    value = shift = 0
    for byte in counts:
        five = byte - 48
        if not 0 <= five < 64 or shift >= 5 * _LONGEST:
            raise ValueError("the run lengths are not COCO's compressed form")
        value |= (five & 0x1F) << shift
        shift += 5
        if five & 0x20:
            continue
        if five & 0x10:
            value -= 1 << shift
        run = value + runs[-2] if len(runs) > 2 else value
        if not 0 <= run <= MAX_PIXELS:
            raise ValueError(f"run {len(runs)} has the length {run}")
        runs.append(run)
        value = shift = 0
    if shift:
        raise ValueError("the run lengths are cut short")
    return runs


def area(runs: Sequence[int]) -> int:
    """Pixels that are set."""
    return sum(runs[1::2])
