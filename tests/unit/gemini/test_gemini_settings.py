"""``[models."..."]`` sections of Gemini: what they become, and what is refused in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vertex_model_inference.errors import SettingsError
from vertex_model_inference.models import Predictor
from vertex_model_inference.settings import load
from vertex_model_inference.settings_sections import ModelSection
from vertex_model_inference.vertex.options import Options, build_options


def menu(batch_problem: str | None = None, **section: Any) -> Options:
    made = ModelSection.model_validate({"gemini": "gemini-2.5-pro", **section})
    return build_options(None, {"Ask": made}, batch_problem=batch_problem)


def test_batch_is_usual_and_online_needs_no_bucket() -> None:
    assert menu().available[0].predictor is Predictor.BATCH
    assert menu(mode="online").available[0].predictor is Predictor.ONLINE
    assert menu("No bucket.", mode="online").names == ("Ask",)
    (left,) = menu("No bucket.").left_out
    assert left.why == 'No bucket. Or set mode = "online" in vmi.toml.'


def test_renamed_and_hidden() -> None:
    assert menu(rename="Describe").names == ("Describe",)
    assert menu(hide=True).left_out[0].why == "vmi.toml hides it."


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('gemini = "gpt-4"', "is not the name of a Gemini model"),
        ('mode = "online"', 'mode is a setting of Gemini; set gemini = "gemini-2.5-flash" too'),
        ("temperature = 0.0", "temperature is a setting of Gemini"),
        ('gemini = "gemini-2.5-pro"\npredict = "online"', "gemini and predict do not go together"),
        ('gemini = "gemini-2.5-pro"\npredict = "online"', "use mode"),
        ('gemini = "gemini-2.5-pro"\ncontainer = "http://127.0.0.1:1/p"', "gemini and container do not go together"),
        ('gemini = "gemini-2.5-pro"\nconfidence = "sure"', "'asked', 'logprobs' or 'none'"),
        ('gemini = "gemini-2.5-pro"\ntemperature = 3', "less than or equal to 2"),
        ('gemini = "gemini-2.5-pro"', "Set GOOGLE_CLOUD_PROJECT"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, lines: str, said: str) -> None:
    (tmp_path / "vmi.toml").write_text(f'[models."Ask"]\n{lines}\n')
    environ = {} if said == "Set GOOGLE_CLOUD_PROJECT" else {"GOOGLE_CLOUD_PROJECT": "p"}
    with pytest.raises(SettingsError) as caught:
        load(environ, tmp_path)
    assert said in str(caught.value)
    assert '[models."Ask"]' in str(caught.value)
