"""A Telegram update turned into an event. Pure: nothing here calls the network.

https://core.telegram.org/bots/api#update
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from bot import payload
from bot.event import ChatType, Conversation, MessageEvent, Sender
from bot.mentions import OWN, without_own
from bot.message import Image, Mention, Part, Quote, Text, user

# Ids have up to 52 bits today; a signed 64-bit number is what the API promises to stay within.
LEAST, MOST = -(2**63), 2**63 - 1
_PUBLIC = re.compile(r"[A-Za-z0-9_]{4,32}")
CHAT_TYPES: dict[str, ChatType] = {"private": "private", "group": "group", "supergroup": "group"}


@dataclass(frozen=True, slots=True)
class Bot:
    """Who the bot is on Telegram."""

    id: int
    username: str

    def is_named(self, username: str) -> bool:
        """User names are the same in any case."""
        return username.lower() == self.username.lower()


@dataclass(frozen=True, slots=True)
class Decoded:
    """An event, or why there is none."""

    event: MessageEvent | None = None
    ignored: str = ""


def decode(data: Any, bot: Bot, now: int, max_age: int, platform: str, account_id: str) -> Decoded:
    """What an update means. Raises Rejected where a required field is missing or of the wrong type."""
    update_id = payload.integer(data, "update_id", least=LEAST, most=MOST)
    if "message" not in data:
        return Decoded(ignored="event")
    message = payload.fields(data, "message")
    date = payload.integer(message, "date", least=LEAST, most=MOST)
    if abs(now - date) > max_age:
        return Decoded(ignored="stale")
    chat = payload.fields(message, "chat")
    kind = payload.text(chat, "type")
    if kind == "channel":
        return Decoded(ignored="event")
    if kind not in CHAT_TYPES:
        raise payload.malformed("message.chat.type is unknown")
    conversation = Conversation(platform, account_id, _id(chat, "id"), CHAT_TYPES[kind], _thread(message))
    refused = _own_or_bot(message, bot)
    if refused:
        return Decoded(ignored=refused)
    return _event(message, str(update_id), conversation, bot, date)


def _event(message: dict[str, Any], update_id: str, conversation: Conversation, bot: Bot, date: int) -> Decoded:
    sender = _sender(message)
    message_id = _id(message, "message_id")
    text, mentions = _said(message, bot)
    images = _images(message)
    if message.get("text") is None and not text and not mentions and not images:
        return Decoded(ignored="unsupported_type")
    replied = _replied(message)
    parts: list[Part] = [*([_quote(replied)] if replied else []), *([Text(text)] if text else []), *images]
    named = any(mention.is_bot for mention in mentions)
    return Decoded(
        MessageEvent(
            id=update_id,
            conversation=conversation,
            sender=sender,
            message=user(*parts),
            timestamp=date,
            to_me=conversation.chat_type == "private" or named or answers(replied, bot),
            message_id=message_id,
            reply_to=_id(replied, "message_id") if replied else "",
            mentions=mentions,
            album=payload.optional_identifier(message, "media_group_id"),
            platform_data=_link(message, message_id),
        )
    )


def _link(message: dict[str, Any], message_id: str) -> dict[str, str]:
    """The address of a supergroup's message; other chats have none. https://core.telegram.org/api/links#message-links"""
    chat = payload.fields(message, "chat")
    name, number = chat.get("username"), _id(chat, "id")
    if chat.get("type") != "supergroup":
        return {}
    if isinstance(name, str) and _PUBLIC.fullmatch(name):
        return {"link": f"https://t.me/{name}/{message_id}"}
    # Bot API ids of supergroups are the channel's own behind -100; only members can follow such a link.
    return {"link": f"https://t.me/c/{number[4:]}/{message_id}"} if number.startswith("-100") else {}


def answers(replied: dict[str, Any] | None, bot: Bot) -> bool:
    """Whether the message replied to is the bot's own."""
    author = payload.optional_fields(replied, "from") if replied else None
    return author is not None and author.get("id") == bot.id


def _id(data: Any, name: str) -> str:
    return str(payload.integer(data, name, least=LEAST, most=MOST))


def _thread(message: dict[str, Any]) -> str:
    """A forum topic. Replies in ordinary groups carry a thread id, too, but are one conversation there."""
    return _id(message, "message_thread_id") if message.get("is_topic_message") is True else ""


def _own_or_bot(message: dict[str, Any], bot: Bot) -> str:
    """Anonymous admins and channels write through accounts of Telegram's that are bots: `sender_chat` comes first."""
    if payload.optional_fields(message, "sender_chat") is not None:
        return ""
    author = payload.fields(message, "from")
    if author.get("is_bot") is True:
        return "sender_is_bot"
    return "self_message" if author.get("id") == bot.id else ""


def _sender(message: dict[str, Any]) -> Sender:
    chat = payload.optional_fields(message, "sender_chat")
    if chat is not None:
        return Sender(_id(chat, "id"), payload.optional_text(chat, "title"))
    author = payload.fields(message, "from")
    return Sender(_id(author, "id"), _full_name(author))


def _full_name(person: Any) -> str:
    names = (payload.optional_text(person, "first_name"), payload.optional_text(person, "last_name"))
    return " ".join(name for name in names if name)


def _replied(message: dict[str, Any]) -> dict[str, Any] | None:
    """The message replied to. In a topic, what replies to nothing seems to reply to the making of the topic."""
    replied = payload.optional_fields(message, "reply_to_message")
    return None if replied is not None and "forum_topic_created" in replied else replied


def _quote(replied: dict[str, Any]) -> Quote:
    words = _words(replied).strip()
    parts: list[Part] = [*([Text(words)] if words else []), *_images(replied)]
    chat = payload.optional_fields(replied, "sender_chat")
    author = payload.optional_fields(replied, "from")
    name = payload.optional_text(chat, "title") if chat is not None else _full_name(author) if author else ""
    return Quote(user(*parts), name)


def _words(message: dict[str, Any]) -> str:
    return payload.optional_text(message, "text") or payload.optional_text(message, "caption")


def _images(message: dict[str, Any]) -> list[Image]:
    """The largest size of the photo, and a picture that was sent as a file."""
    found: list[Image] = []
    sizes = [_size(item) for item in payload.optional_items(message, "photo")]
    if sizes:
        found.append(Image(source=max(sizes, key=lambda size: size[0])[1]))
    document = payload.optional_fields(message, "document")
    if document is not None:
        mime_type = payload.optional_text(document, "mime_type").lower()
        if mime_type.startswith("image/"):
            found.append(Image(source=payload.identifier(document, "file_id"), mime_type=mime_type))
    return found


def _size(item: Any) -> tuple[int, str]:
    width, height = (payload.integer(item, name, least=0, most=MOST) for name in ("width", "height"))
    return width * height, payload.identifier(item, "file_id")


def _said(message: dict[str, Any], bot: Bot) -> tuple[str, tuple[Mention, ...]]:
    """The text without the bot's own @, and everybody who is named in it."""
    text = _words(message)
    field = "entities" if payload.optional_text(message, "text") else "caption_entities"
    units = text.encode("utf-16-le")
    mentions: list[Mention] = []
    cuts: list[tuple[int, int, str]] = []
    for entity in payload.optional_items(message, field):
        kind = payload.text(entity, "type")
        start, length = (payload.integer(entity, name, least=LEAST, most=MOST) for name in ("offset", "length"))
        covered = _covered(units, start, length)
        if kind == "text_mention":
            person = payload.fields(entity, "user")
            mentions.append(Mention(_id(person, "id"), _full_name(person), person["id"] == bot.id))
        elif kind == "mention" and covered.startswith("@") and len(covered) > 1:
            own = bot.is_named(covered[1:])
            mentions.append(Mention("", covered[1:], own))
            if own:
                cuts.append((start, start + length, OWN))
        elif kind == "bot_command":
            command, at, name = covered.partition("@")
            if at and bot.is_named(name):
                mentions.append(Mention("", name, True))
                cuts.append((start + _units(command), start + length, ""))
    return without_own(_cut(units, cuts)).strip(), tuple(mentions)


def _covered(units: bytes, start: int, length: int) -> str:
    """What an entity covers; empty when it lies outside of the text or cuts a character in two."""
    if start < 0 or length <= 0 or 2 * (start + length) > len(units):
        return ""
    try:
        return units[2 * start : 2 * (start + length)].decode("utf-16-le")
    except UnicodeDecodeError:
        return ""


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _cut(units: bytes, cuts: list[tuple[int, int, str]]) -> str:
    """The text with each range, counted in UTF-16 units, replaced; of one inside another, the outer counts."""
    pieces: list[str] = []
    at = 0
    for start, end, instead in sorted(cuts):
        if start >= at:
            pieces += [units[2 * at : 2 * start].decode("utf-16-le"), instead]
            at = end
    return "".join([*pieces, units[2 * at :].decode("utf-16-le")])
