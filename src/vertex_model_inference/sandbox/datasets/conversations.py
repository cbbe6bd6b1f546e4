"""Product reviews read as conversations: each sentence a message, each rated by 20 people from -4 to 4.

The data of ``reviews.py`` (VADER, MIT): of its product reviews the sentences that are one review's, in their order, as
the messages of a shopper. The form is Labelbox's, version 1 of ``application/vnd.labelbox.conversational``.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import orjson

from vertex_model_inference.rows import MediaType, Split
from vertex_model_inference.sandbox.datasets.material import ModelPlan, SeedRow, in_seeding_order, stratified_splits
from vertex_model_inference.sandbox.datasets.reviews import SENTIMENTS, archive_path, read_ratings, sentiment_of
from vertex_model_inference.sandbox.datasets.training import measured, train_texts

__all__ = ["Conversations"]

_LEAST, _MOST = 3, 30
"""Messages of a conversation: shorter reviews are left out, longer ones end there."""

Message = tuple[str, str, str]
"""Its id, sentiment and text."""


class Conversations:
    """Conversations of files in the bucket with a radio about each message, and a classifier that is sent messages."""

    name = "conversations"
    title = "Product reviews as conversations, each message rated by 20 people (VADER, MIT), a classifier by message"
    media_type = MediaType.CONVERSATION
    default_rows = 100

    @cached_property
    def _data(self) -> dict[str, list[Message]]:
        """Global key -> messages."""
        found: dict[str, list[Message]] = {}
        for key, mean, text in read_ratings(archive_path()):
            source, _, place = key.rpartition("-")
            review = source.removeprefix("reviews-product-")
            if review.isdecimal():
                found.setdefault(f"conversations-{review}", []).append((f"m{place}", sentiment_of(mean), text))
        return {key: messages[:_MOST] for key, messages in found.items() if len(messages) >= _LEAST}

    @cached_property
    def _splits(self) -> dict[str, Split]:
        """By whole conversations, alike in whether their first message is content."""
        return stratified_splits(list(self._data), [messages[0][1] for messages in self._data.values()])

    def ontology(self) -> dict[str, Any]:
        """One radio, ``sentiment``, about each message."""
        options = [{"label": name, "value": name, "position": i} for i, name in enumerate(SENTIMENTS)]
        radio = {"type": "radio", "name": "sentiment", "instructions": "sentiment", "required": False, "scope": "index"}
        return {"tools": [], "classifications": [{**radio, "options": options}]}

    def rows(self) -> list[SeedRow]:
        """All conversations."""
        return in_seeding_order(
            [
                SeedRow(key=key, split=self._splits[key], data=_file(messages), mime_type="application/json")
                for key, messages in self._data.items()
            ]
        )

    def truth(self, row: SeedRow) -> list[dict[str, Any]]:
        """The answer about each message."""
        return [
            {"name": "sentiment", "messageId": message, "answer": {"name": sentiment}}
            for message, sentiment, _ in self._data[row.key]
        ]

    def model(self) -> ModelPlan:
        """Trained on the training split of all conversations, however many of them are seeded."""
        return self._model

    @cached_property
    def _model(self) -> ModelPlan:
        said = [(self._splits[key], *message) for key, messages in self._data.items() for message in messages]
        splits, answers, texts = ([one[at] for one in said] for at in (0, 2, 3))
        model = train_texts(texts, answers, splits)  # type: ignore[arg-type]
        figures = measured(model.probabilities(texts), model.labels, answers, splits)  # type: ignore[arg-type]
        return ModelPlan(
            display_name="conversations",
            description=(
                f"Sentiment of each message, trained on {figures['training_rows']:.0f} of them; accuracy "
                f"{figures['test_accuracy']:.3f} on the {figures['test_rows']:.0f} of the test split."
            ),
            image="sandbox/text-classifier",
            artifact=model.to_bytes(),
            labels={"dataset": "conversations", "task": "text-classification", "vmi-decoder": "conversation"},
            predict_route="/predict/conversation",
            measured=figures,
            classes=tuple(model.labels),
        )


def _file(messages: list[Message]) -> bytes:
    return orjson.dumps(
        {
            "type": "application/vnd.labelbox.conversational",
            "version": 1,
            "messages": [
                {
                    "messageId": message,
                    "timestampUsec": str(1_000_000 * number),
                    "content": text,
                    "user": {"userId": "shopper", "name": "shopper"},
                    "align": "left",
                    "canLabel": True,
                }
                for number, (message, _, text) in enumerate(messages)
            ],
        }
    )
