"""Output files of a batch job: shuffled, spread over several files, named as the service names them.

Memory stays flat: lines go through a bounded window that gives them back in random order, into local files that are
uploaded as streams.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import BinaryIO, Literal

import orjson

from vertex_model_inference.sandbox.vertex.knobs import JobPlan, Naming
from vertex_model_inference.sandbox.vertex.objects import Objects

__all__ = ["Output", "Style", "error_name", "file_names"]

Style = Naming | Literal["gemini"]


def file_names(style: Style, count: int) -> list[str]:
    """Names of the prediction files in one of the three styles seen in the wild; Gemini writes one file."""
    if style == "gemini":
        return ["predictions.jsonl"]
    if style == "automl":
        return [f"predictions_{i:05d}.jsonl" for i in range(1, count + 1)]
    if style == "proto":
        return [f"predictions_{i:04d}.jsonl" for i in range(1, count + 1)]
    return [f"prediction.results-{i:05d}-of-{count:05d}" for i in range(count)]


def error_name(style: Style) -> str:
    """Name of the errors file."""
    if style == "automl":
        return "errors_00001.jsonl"
    if style == "proto":
        return "errors_0001.jsonl"
    return "prediction.errors_stats-00000-of-00001"


class Output:
    """The files of one job while it runs.

    Args:
        folder: A local folder of the job's own; what an earlier attempt left there is replaced.
        style: Of the names.
        plan: Settings and mischief.
    """

    def __init__(self, folder: Path, style: Style, plan: JobPlan) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.style = style
        self.plan = plan
        self.random = random.Random(plan.settings.seed)  # noqa: S311  # a shuffle that a test can repeat
        self.window: list[bytes] = []
        self.names = file_names(style, plan.settings.output_files)
        self.files: list[BinaryIO] = [(folder / name).open("wb") for name in self.names]
        self.errors = (folder / error_name(style)).open("wb")
        self.stats: dict[str, int] = {}

    def add(self, index: int, line: bytes) -> None:
        """Take one prediction line; mischief may drop, double or cut it."""
        if self.plan.hit("drop_lines", index):
            return
        if self.style == "gemini" and self.plan.mischief is not None and self.plan.mischief.forget_labels:
            value = orjson.loads(line)
            value["request"].pop("labels", None)
            line = orjson.dumps(value) + b"\n"
        if self.plan.hit("corrupt", index):
            line = line[: len(line) // 2] + b"\n"
        for _ in range(2 if self.plan.hit("duplicate", index) else 1):
            self._hold(line)
        if self.plan.hit("contradict", index):
            value = orjson.loads(line)
            field = "response" if self.style == "gemini" else "prediction"
            changed = {"candidates": []} if self.style == "gemini" else [value["prediction"]]
            self._hold(orjson.dumps({**value, field: changed}) + b"\n")

    def _hold(self, line: bytes) -> None:
        if len(self.window) < self.plan.settings.window:
            self.window.append(line)
            return
        place = self.random.randrange(len(self.window))
        self._write(self.window[place])
        self.window[place] = line

    def _write(self, line: bytes) -> None:
        self.random.choice(self.files).write(line)

    def add_error(self, line: bytes, message: str) -> None:
        """Take one line of the errors file."""
        if self.style == "custom" and self.plan.settings.error_lines == "stats":
            if message in self.stats or len(self.stats) < 1000:
                self.stats[message] = self.stats.get(message, 0) + 1
            return
        self.errors.write(line)

    def flush(self) -> None:
        """Write all that is held back, and what mischief adds."""
        mischief = self.plan.mischief
        for i in range(mischief.unknown_keys if mischief else 0):
            unknown: dict[str, object] = {
                "key": f"unknown-{i}",
                "prediction": {"displayNames": [], "confidences": []},
            }
            if self.style == "gemini":
                unknown = {"status": "", "request": {"contents": [], "labels": {"id": f"unknown-{i}"}}, "response": {}}
            self._hold(orjson.dumps(unknown) + b"\n")
        self.random.shuffle(self.window)
        for line in self.window:
            self._write(line)
        self.window.clear()
        for message, count in self.stats.items():
            self.errors.write(repr((message, count)).encode() + b"\n")
        self.close()

    def close(self) -> None:
        """Close the local files."""
        for file in [*self.files, self.errors]:
            file.close()

    async def upload(self, directory: str, objects: Objects) -> None:
        """Copy the files to storage and remove them here.

        Args:
            directory: ``gs://`` folder without a slash at its end.
            objects: Cloud Storage.

        Raises:
            ApiError: Storage refused one.
        """
        for name in [*self.names, error_name(self.style)]:
            path = self.folder / name
            # The custom style always has its errors file; the others only when something failed.
            if name in self.names or self.style == "custom" or path.stat().st_size:
                await objects.write_file(f"{directory}/{name}", path, "application/octet-stream")
            path.unlink()
        self.folder.rmdir()
