"""Labelbox's conversations -> messages. Pure.

Two forms are read (docs.labelbox.com/reference/import-conversational-data; both stand in the SDK's own tests):

* version 1: ``{"type": "application/vnd.labelbox.conversational", "version": 1, "messages": [{"messageId", "content",
  "user": {"userId", "name"}, ...}]}``
* version 2, of model chats: ``{"type": "....model-chat-evaluation", "version": 2, "actors": {id: {"role", "metadata":
  {"name"}}}, "messages": {message id: {"actorId", "content": [{"type": "text", "content"}], "childMessageIds"}}}``; its
  messages are taken in the order in which they are written.
"""

from __future__ import annotations

from typing import Any

import msgspec

from vertex_model_inference.errors import AssetError
from vertex_model_inference.sources import Message

__all__ = ["messages_of", "rendered", "spans"]

_MOST = 10_000
"""Messages of one conversation: far beyond what anyone labels, little enough to hold."""


class _User(msgspec.Struct):
    name: str = ""
    userId: str = ""  # noqa: N815  # Labelbox's spelling


class _Message(msgspec.Struct):
    messageId: str  # noqa: N815
    content: str = ""
    user: _User = msgspec.field(default_factory=_User)


class _Part(msgspec.Struct):
    type: str = ""
    content: str = ""


class _Node(msgspec.Struct):
    content: list[_Part] = []
    actorId: str = ""  # noqa: N815


class _Actor(msgspec.Struct):
    role: str = ""
    metadata: dict[str, Any] = {}


class _Conversation(msgspec.Struct):
    messages: list[_Message] | dict[str, _Node]
    actors: dict[str, _Actor] = {}


_CONVERSATION = msgspec.json.Decoder(_Conversation)


def messages_of(data: bytes | str, row_id: str) -> tuple[Message, ...]:
    """The messages of a conversation, in its order, their texts as they are stored.

    Args:
        data: JSON, as a data row holds it or its URL gives it.
        row_id: For messages of errors.

    Raises:
        AssetError: ``asset_corrupt``: it is neither of the two forms, names a message twice, or has too many.
    """
    try:
        found = _CONVERSATION.decode(data)
    except (ValueError, RecursionError) as error:
        raise _corrupt(row_id, f"is not of Labelbox's conversational form: {error}") from None
    if isinstance(found.messages, dict):
        actors = found.actors
        messages = tuple(
            Message(key, "\n".join(part.content for part in node.content if part.type == "text"), _who(actors, node))
            for key, node in found.messages.items()
        )
    else:
        messages = tuple(
            Message(one.messageId, one.content, one.user.name or one.user.userId) for one in found.messages
        )
    if len(messages) > _MOST:
        raise _corrupt(row_id, f"has {len(messages):,} messages; at most {_MOST:,} are read")
    if len({message.id for message in messages}) != len(messages):
        raise _corrupt(row_id, "has two messages with one id")
    return messages


def rendered(messages: tuple[Message, ...]) -> str:
    """The conversation as one text: a line ``author: text`` for each message (its own line ends are kept)."""
    return "\n".join(_prefix(message) + message.text for message in messages)


def spans(messages: tuple[Message, ...]) -> tuple[tuple[int, int], ...]:
    """Where each message's own text stands in ``rendered``: first character and the one behind the last."""
    found = []
    at = 0
    for message in messages:
        start = at + len(_prefix(message))
        end = start + len(message.text)
        found.append((start, end))
        at = end + 1
    return tuple(found)


def _prefix(message: Message) -> str:
    return f"{message.author}: " if message.author else ""


def _who(actors: dict[str, _Actor], node: _Node) -> str:
    actor = actors.get(node.actorId)
    if actor is None:
        return ""
    name = actor.metadata.get("name")
    return name if isinstance(name, str) and name else actor.role


def _corrupt(row_id: str, why: str) -> AssetError:
    return AssetError(
        f"The conversation of data row {row_id} {why}.",
        code="asset_corrupt",
        hint="See Labelbox's import format of conversational data.",
        data_row_id=row_id,
    )
