"""Whatever is imported: the check answers, and what it takes can be exported."""

from __future__ import annotations

import json
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from vertex_model_inference.sandbox.labelbox import export_form, label_form
from vertex_model_inference.sandbox.labelbox.normalized import complete
from vertex_model_inference.sandbox.labelbox.validation import Asset, FeatureIndex, Kind, Rules, check

INDEX = FeatureIndex.of(
    complete(
        {
            "tools": [
                {"tool": kind, "name": kind, "classifications": [{"type": "text", "instructions": "t"}]}
                for kind in ("rectangle", "polygon", "line", "point", "raster-segmentation", "named-entity", "edge")
            ],
            "classifications": [
                {"type": "radio", "instructions": "r", "options": [{"value": "a"}, {"value": "b"}]},
                {"type": "checklist", "instructions": "c", "options": [{"value": "a"}, {"value": "b"}]},
                {"type": "text", "instructions": "t"},
            ],
        }
    )
)
ASSET = Asset(id="a" * 25, member=True, media_type="UNKNOWN", width=100, height=100, text_length=50)
ASSETS = {("globalKey", "k"): ASSET}
RULES = Rules("DataRowNotInModelRun", "the model run", both_allowed=False)

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["a", "b", "k", "r", "rectangle"])
_NAMES = """
uuid dataRow id globalKey name schemaId answer answers confidence customMetrics classifications bbox left top width
height polygon line point x y mask png size counts instanceURI colorRGB location start end textSelections segments
keyframes frame frames masks instances relationship source target type metricValue metricName aggregation
messageEvaluationTask format data messageId page unit value
"""
names = st.sampled_from(sorted(_NAMES.split()))
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=5), max_leaves=20
)


envelopes = st.dictionaries(names, anything, max_size=5).map(lambda more: {"dataRow": {"globalKey": "k"}, **more})


@settings(max_examples=1000, deadline=None)
@given(anything | envelopes)
def test_nothing_breaks_the_check(value: Any) -> None:
    checked = check(value, INDEX, ASSETS, RULES)
    assert all(problem.name and problem.message for problem in checked.problems)
    assert checked.problems or checked.kind is not None


number = st.floats(0, 40, allow_nan=False)
score = st.none() | st.floats(0, 1, allow_nan=False)
points = st.lists(st.fixed_dictionaries({"x": number, "y": number}), min_size=1, max_size=6)
option = st.fixed_dictionaries({"name": st.sampled_from(["a", "b", "z"])}, optional={"confidence": score})
values = st.one_of(
    st.fixed_dictionaries(
        {
            "name": st.just("rectangle"),
            "bbox": st.fixed_dictionaries({"left": number, "top": number, "width": number, "height": number}),
        },
        optional={"confidence": score, "classifications": st.just([{"name": "t", "answer": "hm"}])},
    ),
    st.fixed_dictionaries({"name": st.just("polygon"), "polygon": points}, optional={"confidence": score}),
    st.fixed_dictionaries({"name": st.just("line"), "line": points}),
    st.fixed_dictionaries({"name": st.just("r"), "answer": option}),
    st.fixed_dictionaries({"name": st.just("c"), "answer": st.lists(option, max_size=3)}),
    st.fixed_dictionaries({"name": st.just("t"), "answer": st.text(max_size=5)}, optional={"confidence": score}),
    st.fixed_dictionaries(
        {
            "name": st.just("named-entity"),
            "location": st.fixed_dictionaries({"start": st.integers(0, 60), "end": st.integers(0, 60)}),
        }
    ),
)


@settings(max_examples=500, deadline=None)
@given(values)
def test_what_is_taken_can_be_exported(value: dict[str, Any]) -> None:
    row = {**value, "dataRow": {"globalKey": "k"}}
    checked = check(row, INDEX, ASSETS, RULES)
    assert [p.name for p in checked.problems] == [p.name for p in check(row, INDEX, ASSETS, RULES).problems]
    if checked.problems:
        return
    assert checked.kind is not None
    form = export_form.annotation_of(
        row, checked.kind, checked.feature, ASSET, "f" * 25, scored=True, mask_url="http://m", ends={}
    )
    place = export_form.place_of(checked.kind, row)
    kind, text = label_form.assemble([(place, orjson.dumps(form).decode())])
    found = json.loads(text)
    assert kind == "Default"
    assert found[place][0]["name"] == value["name"]
    if checked.kind is Kind.BOX:
        assert form["bounding_box"] == value["bbox"]
        assert form.get("confidence") == value.get("confidence")
    if checked.kind is Kind.POLYGON:
        assert form["polygon"][0] == form["polygon"][-1]
