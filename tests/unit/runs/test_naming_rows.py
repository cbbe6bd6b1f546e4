"""Files that name rows: a name a line, CSV, JSON."""

from __future__ import annotations

import pytest

from vertex_model_inference.errors import RequestError
from vertex_model_inference.runs.again import read_names


@pytest.mark.parametrize(
    "text",
    [
        "a\nb\n",
        "\ufeffa\r\nb\r\n\r\na\n",
        "data_row_id,status\na,failed\nb,failed\n",
        "status,global_key\nfailed,a\nfailed,b\n",
        '"data_row_id","message"\n"a","two\nlines"\n"b","x"\n',
        '["a", "b", "a"]',
        '[{"data_row_id": "a", "global_key": "x"}, {"global_key": "b"}]',
        '{"data_row_id":"a","status":"failed"}\n{"data_row_id":"b","status":"failed"}\n',
    ],
)
def test_each_form(text: str) -> None:
    assert read_names(text) == ["a", "b"]


def test_nothing_is_nothing() -> None:
    assert read_names("\n \n") == []


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("data_row_id,status\n,failed\n", "line 2"),
        ('[{"status": "failed"}]', "item 1"),
        ('{"data_row_id":"a"}\n{broken\n', "Line 2"),
        ("[1]", "item 1"),
    ],
)
def test_what_names_no_row_is_told(text: str, where: str) -> None:
    with pytest.raises(RequestError, match=where):
        read_names(text)
