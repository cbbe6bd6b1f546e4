"""``python -m bench``: measure everything side by side and print one table.

Exit code 0 whatever was measured: a figure that misses its target on a busy machine is news, not a failure.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from bench import assets, convert, digits, evaluation, gemini, judged, kinds, rerun, scale, start, webhook
from bench.figure import Figure

BOX_ROWS_PER_S = 140_000


def _convert() -> list[Figure]:
    found = convert.run(rounds=3)
    ours, plain = found["ours_box_rows_per_s"], found["plain_box_rows_per_s"]
    figure = Figure.compared(
        "convert: output lines to NDJSON", "boxes/s", ours, plain, "json and dicts", more_is_better=True
    )
    return [
        msgspec.structs.replace(figure, target=f">= {BOX_ROWS_PER_S:,} boxes/s", met=ours >= BOX_ROWS_PER_S),
    ]


PARTS: dict[str, Callable[[], list[Figure]]] = {
    "convert": _convert,
    "kinds": kinds.run,
    "gemini": gemini.run,
    "evaluation": evaluation.run,
    "judged": judged.run,
    "start": start.run,
    "assets": assets.run,
    "webhook": webhook.run,
    "digits": digits.run,
}


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _table(figures: list[Figure]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading, right in (
        ("figure", False), ("unit", False), ("ours", True), ("other", True), ("against", False), ("ratio", True),
        ("target", False), ("", False),
    ):  # fmt: skip
        table.add_column(heading, justify="right" if right else "left")
    for each in figures:
        verdict = "" if each.met is None else "met" if each.met else "MISSED"
        table.add_row(
            each.name, each.unit, _number(each.ours), _number(each.other), each.against, _number(each.ratio),
            each.target, verdict,
        )  # fmt: skip
    return table


def main() -> None:
    """Run the parts that are asked for, all of them by default; ``scale`` and ``rerun`` have options of their own."""
    if sys.argv[1:2] == ["scale"]:
        scale.main(sys.argv[2:])
        return
    if sys.argv[1:2] == ["rerun"]:
        rerun.main(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Figures side by side, as ratios.",
        epilog="Parts that are not in `all`: python -m bench scale --rows N, and rerun (see --help there).",
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all by default")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.parts) - set(PARTS))
    if unknown:
        parser.error(f"there is no part {unknown[0]!r}; parts are {', '.join(PARTS)}")
    started = time.monotonic()
    errors = Console(stderr=True)
    figures: list[Figure] = []
    for name in arguments.parts or PARTS:
        errors.print(f"measuring {name} ...", highlight=False)
        figures += PARTS[name]()
    Console(width=180).print(_table(figures), highlight=False)
    load = os.getloadavg()[0]
    print(f"\nratio > 1: ours is better. {os.cpu_count()} cores, load {load:.1f}, {time.monotonic() - started:.0f} s.")
    if arguments.json:
        arguments.json.write_text(json.dumps(msgspec.to_builtins(figures), indent=1) + "\n")


if __name__ == "__main__":
    main()
