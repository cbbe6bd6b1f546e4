from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vertex_model_inference.decoders.automl_segmentation import AutomlSegmentation
from vertex_model_inference.vertex.metadata import class_names_in

COLOURS = {
    "modelDetails": {
        "annotationSpecColors": [
            {"displayName": "none", "color": {}},
            {"displayName": "road", "color": {"red": 0.501960784, "green": 0.250980392, "blue": 0.501960784}},
        ]
    }
}


def test_colours_of_segmentation_are_what_its_decoder_reads() -> None:
    names = class_names_in(COLOURS)
    assert names == ("none=#000000", "road=#804080")
    assert AutomlSegmentation(names)._colours == {0: "none", 0x804080: "road"}


@pytest.mark.parametrize(
    ("metadata", "names"),
    [
        ({"id2label": {"1": "dog", "0": "cat", "10": "x"}}, ()),  # a gap: 2 to 9 are missing
        ({"config": {"id2label": {str(n): f"class {n}" for n in range(12)}}}, tuple(f"class {n}" for n in range(12))),
        ({"class_names": ["cat", "dog"]}, ("cat", "dog")),
        ({"a": {"categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]}}, ("cat", "dog")),
        ({"classes": [1, 2]}, ()),
        ({"classes": ["cat", "cat"]}, ()),
        ({"labels": {"env": "prod"}}, ()),
        ({"annotationSpecColors": [{"displayName": "a", "color": {"red": 255}}]}, ()),
        (None, ()),
        ([], ()),
    ],
)
def test_names_are_found_or_not_guessed(metadata: Any, names: tuple[str, ...]) -> None:
    assert class_names_in(metadata) == names


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["annotationSpecColors", "id2label", "classes", "color", "displayName", "0", "red"])
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(metadata=json_values)
def test_any_metadata_gives_names_or_none(metadata: Any) -> None:
    names = class_names_in(metadata)
    assert all(isinstance(name, str) and name for name in names)
    assert len(set(names)) == len(names)
    json.dumps(names)
