"""Film review sentences with names in them, from the archive that ``reviews`` reads too, for named entities.

Nobody marked the names, so there is no ground truth.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any

from vertex_model_inference.rows import MediaType, Split
from vertex_model_inference.sandbox.datasets.material import ModelPlan, SeedRow, automl, in_family, in_seeding_order
from vertex_model_inference.sandbox.datasets.reviews import archive_path, read_ratings

__all__ = ["TOOLS", "Entities"]

TOOLS = (
    "person",
    "org",
    "gpe",
    "norp",
    "work of art",
    "product",
    "event",
    "fac",
    "loc",
    "law",
    "language",
    "date",
    "time",
    "percent",
    "money",
    "quantity",
    "ordinal",
    "cardinal",
)
"""The kinds of names of OntoNotes 5, which spaCy's model knows, as people write them."""

_NAME = re.compile(r"[a-z,] (?:[A-Z][\w']+ ?){2,}")  # two capitalised words, not at the beginning


class Entities:
    """Sentences as inline text rows with entity tools, and spaCy's small English model as a custom container."""

    name = "entities"
    title = "Film review sentences with names in them (VADER's archive, MIT), named entities by spaCy"
    media_type = MediaType.TEXT
    default_rows = 300

    @cached_property
    def _data(self) -> list[tuple[str, str]]:
        """(key, text), each text once."""
        seen: set[str] = set()
        data = []
        for key, _, text in read_ratings(archive_path()):
            if key.startswith("reviews-film-") and _NAME.search(text) and text not in seen and "://" not in text[:16]:
                seen.add(text)
                data.append((key.replace("reviews-film", "entities"), text))
        return data

    def ontology(self) -> dict[str, Any]:
        """An entity tool for each kind of names."""
        tools = [
            {"tool": "named-entity", "name": name, "required": False, "color": "#9467bd", "classifications": []}
            for name in TOOLS
        ]
        return {"tools": tools, "classifications": []}

    def rows(self) -> list[SeedRow]:
        """All sentences. Nothing is trained on them, so all are test rows."""
        return in_seeding_order([SeedRow(key=key, split=Split.TEST, text=text) for key, text in self._data])

    def truth(self, _row: SeedRow) -> list[dict[str, Any]]:
        """Nobody knows it."""
        return []

    def model(self) -> ModelPlan:
        """spaCy's model, answering as spaCy."""
        return ModelPlan(
            display_name="entities",
            description="Named entities in English texts (spaCy's en_core_web_sm).",
            image="sandbox/entities",
            labels={"dataset": "entities", "task": "text-extraction"},
        )

    def families(self) -> list[ModelPlan]:
        """As AutoML entity extraction and Hugging Face's pipeline, whole entities and token by token."""
        from vertex_model_inference.sandbox.containers.forms.spans import SPANS

        plan = self.model()
        return [
            automl(in_family(plan, form), "text_extraction") if form.startswith("automl-") else in_family(plan, form)
            for form in SPANS
        ]
