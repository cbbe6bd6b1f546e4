"""docs/settings.md lists every setting as the code has it; running this file as a program writes it anew."""

from __future__ import annotations

from pathlib import Path

from vertex_model_inference.settings import Settings
from vertex_model_inference.settings_sections import ModelSection
from vertex_model_inference.settings_sources import FIELDS

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"

_HEAD = """# Settings

The environment comes first, then `.env`, then `vmi.toml` (`VMI_CONFIG` names another file), then the defaults.
`vmi settings` shows what is in force and where each value came from, secrets masked. A name that does not exist, or two
values that contradict each other, stop the start with a sentence that says what to change.

| variable | also read as | key in `vmi.toml` | default | meaning |
|---|---|---|---|---|
"""

_MODELS = """
`VMI_DATABASE_URL` defaults to SQLite in the data folder. In production leave `VMI_GOOGLE_TOKEN` and `VMI_STORAGE_URL`
out: application default credentials and Google's own addresses are used.

## Models: `vmi.toml`

`[models."Name"]`, where the name is an option's name, a model's or endpoint's display name, or its resource id:

| key | meaning |
|---|---|
"""

_TAIL = """
An **instance template** says what the model is sent: field -> text with `{uri}`, `{b64}`, `{text}`, `{mime_type}`,
`{url}`, `{key}`, or `{messages}` by itself; dots nest. `instance = { "image.bytes" = "{b64}", "id" = "{key}" }` sends
`{"image": {"bytes": "..."}, "id": "..."}`.
"""


def page() -> str:
    rows = []
    for field in FIELDS:
        default = Settings.model_fields[field.name].default
        if field.name in ("vertex_url", "database_url"):
            default = None
        shown = ", ".join(default) if isinstance(default, tuple) else "" if default is None else str(default)
        aliases = ", ".join(f"`{alias}`" for alias in field.aliases)
        cells = (f"`{field.variable}`", aliases, f"`{field.name}`", f"`{shown}`" if shown else "", field.help)
        rows.append("| " + " | ".join(cells) + " |")
    keys = []
    lines = (ModelSection.__doc__ or "").split("Attributes:")[1].splitlines()
    for line in lines:
        name, colon, meaning = line.strip().partition(": ")
        if colon and name in ModelSection.model_fields:
            keys.append(f"| `{name}` | {meaning.replace('``', '`')} |")
    return _HEAD + "\n".join(rows) + "\n" + _MODELS + "\n".join(keys) + "\n" + _TAIL


def test_the_page_lists_every_setting() -> None:
    assert PAGE.read_text() == page(), "run: python tests/unit/test_settings_page.py"


def test_every_model_key_is_told() -> None:
    for name in ModelSection.model_fields:
        assert f"| `{name}` |" in page()


if __name__ == "__main__":
    PAGE.write_text(page())
