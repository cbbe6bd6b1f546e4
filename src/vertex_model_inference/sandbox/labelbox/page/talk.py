"""Conversations as a page shows them: message by message. Pure functions.

Both of Labelbox's forms: version 1 has a list of ``messages``, version 2 (model chats) has ``messages`` by id, and
``actors``.
"""

from __future__ import annotations

from typing import Any

import msgspec

from vertex_model_inference.sandbox.labelbox.page.chips import Chip
from vertex_model_inference.sandbox.labelbox.page.highlight import Segment

__all__ = ["Message", "Said", "messages_of"]

_MOST_MESSAGES = 200
_MOST_CHARACTERS = 4_000


class Said(msgspec.Struct, frozen=True):
    """A message as the data row has it; ``right``: of the second speaker, or of one who says so."""

    id: str
    author: str
    text: str
    right: bool


class Message(msgspec.Struct, frozen=True):
    """A message with what is found in it and answered of it."""

    author: str
    right: bool
    segments: list[Segment]
    chips: list[Chip]


def messages_of(data: Any) -> list[Said]:
    """The messages, at most 200, each with at most 4,000 characters; nothing for what is no conversation."""
    found: list[tuple[str, str, str, bool | None]] = []
    messages = data.get("messages") if isinstance(data, dict) else None
    if isinstance(messages, dict):
        actors = data.get("actors") or {}
        for key, node in list(messages.items())[:_MOST_MESSAGES]:
            if not isinstance(node, dict):
                continue
            texts = [p["content"] for p in node.get("content") or () if isinstance(p, dict) and "content" in p]
            actor = actors.get(node.get("actorId")) if isinstance(actors, dict) else None
            actor = actor if isinstance(actor, dict) else {}
            name = (actor.get("metadata") or {}).get("name") or actor.get("role") or ""
            found.append((key, str(name), "\n".join(map(str, texts)), actor.get("role") == "model"))
    for message in messages[:_MOST_MESSAGES] if isinstance(messages, list) else ():
        if isinstance(message, dict) and isinstance(message.get("messageId"), str):
            user = message.get("user")
            user = user if isinstance(user, dict) else {}
            align = message.get("align")
            right = None if align not in ("left", "right") else align == "right"
            name = user.get("name") or user.get("userId") or ""
            found.append((message["messageId"], str(name), str(message.get("content") or ""), right))
    speakers = list(dict.fromkeys(author for _, author, _, _ in found))
    return [
        Said(key, author, text[:_MOST_CHARACTERS], bool(speakers.index(author) % 2) if right is None else right)
        for key, author, text, right in found
    ]
