from __future__ import annotations

import pytest

from vertex_model_inference.models import Task
from vertex_model_inference.rows import DataRow, MediaType
from vertex_model_inference.steps.media import presumed

UNKNOWN = MediaType.UNKNOWN


@pytest.mark.parametrize(
    ("row_data", "task", "kind"),
    [
        ("http://h/a.png", None, MediaType.IMAGE),
        ("https://h/a.JPG?signature=a.mp4", None, MediaType.IMAGE),
        ("gs://b/no-suffix", None, MediaType.IMAGE),
        ("gs://b/no-suffix", Task.TEXT_CLASSIFICATION, MediaType.TEXT),
        ("gs://b/a.png", Task.TEXT_CLASSIFICATION, MediaType.IMAGE),
        ("http://h/a.txt", None, MediaType.TEXT),
        ("http://h/a.mp4", None, MediaType.VIDEO),
        ("http://h/a.mp3", None, MediaType.AUDIO),
        ("http://h/a.pdf", None, MediaType.DOCUMENT),
        ("http://h/a.html", None, MediaType.HTML),
        ("http://h/a.json", None, MediaType.CONVERSATION),
        ("http://h/a.zip", None, UNKNOWN),
        ("just a text", None, MediaType.TEXT),
        ("just a text", Task.IMAGE_CLASSIFICATION, MediaType.TEXT),
    ],
)
def test_what_labelbox_does_not_know_is_presumed(row_data: str, task: Task | None, kind: MediaType) -> None:
    assert presumed(DataRow(id="a", row_data=row_data), task).media_type is kind


def test_what_labelbox_says_stands() -> None:
    row = DataRow(id="a", row_data="http://h/a.png", media_type=MediaType.DOCUMENT)
    assert presumed(row, Task.IMAGE_CLASSIFICATION) is row
