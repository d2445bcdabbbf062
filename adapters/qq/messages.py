"""What a QQ event says: from the decoded payload to a message event.

https://bot.q.qq.com/wiki/develop/api-v2/autogen/event/c2c_message_create.html
https://bot.q.qq.com/wiki/develop/api-v2/autogen/event/group_at_message_create.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final, Literal, cast

from bot import payload
from bot.event import Conversation, MessageEvent, Sender
from bot.mentions import OWN, without_own
from bot.message import Image, Mention, Message, Part, Quote, Text, user

PRIVATE: Final = "C2C_MESSAGE_CREATE"
GROUP_AT: Final = "GROUP_AT_MESSAGE_CREATE"
GROUP_ALL: Final = "GROUP_MESSAGE_CREATE"

REFERENCE: Final = "reference"
"""Where `platform_data` keeps by what name QQ lets the message be quoted."""

Ignored = Literal["event", "unsupported_type", "sender_is_bot"]

_CARD, _PARALLEL, _FORWARDED, _QUOTING = 3, 101, 102, 103
_MAX_DEPTH = 3
_MAX_QUOTED = 50
_MAX_QUOTED_IMAGES = 20

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_MENTIONED = re.compile(r"<@!?([^<>]+)>")
# RFC 3339; Python's own reader takes more spellings.
_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def read(event: Any, platform: str, account_id: str) -> MessageEvent | Ignored:
    """A dispatched event (op 0) as a message, or why it is none for the bot. Raises Rejected."""
    kind = payload.text(event, "t")
    if kind not in (PRIVATE, GROUP_AT, GROUP_ALL):
        return "event"
    data = payload.fields(event, "d")
    sender = _sender(data, "user_openid" if kind == PRIVATE else "member_openid")
    mentions = () if kind == PRIVATE else _mentions(data)
    quotes, reply_to = _quoted(data)
    message = user(*quotes, *_said(data, mentions))
    message_id = payload.identifier(data, "id")
    found = MessageEvent(
        id=message_id,
        conversation=_conversation(data, kind, platform, account_id, sender.id),
        sender=sender,
        message=message,
        timestamp=_seconds(payload.text(data, "timestamp")),
        to_me=kind != GROUP_ALL or any(mention.is_bot for mention in mentions),
        message_id=message_id,
        reply_to=reply_to,
        mentions=mentions,
        platform_data=_reference(data),
    )
    if sender.is_bot:
        return "sender_is_bot"
    return found if _usable(data, message) else "unsupported_type"


def picture_url(url: str) -> str:
    """QQ leaves the scheme out at times."""
    if _SCHEME.match(url):
        return url
    return f"https:{url}" if url.startswith("//") else f"https://{url}"


def without_mentions(text: str, mentions: Sequence[Mention]) -> str:
    """Others as @name; the bot's own mention is taken out with the spaces around it, of which one may stay.

    One pass over the text as it was sent: what a name holds is not read as a mention again.
    """
    known = {mention.user_id: mention for mention in mentions}

    def one(found: re.Match[str]) -> str:
        mention = known.get(found[1])
        if mention is None:
            return found[0]
        return OWN if mention.is_bot else f"@{mention.name or mention.user_id}"

    return without_own(_MENTIONED.sub(one, text))


def _conversation(data: dict[str, Any], kind: str, platform: str, account_id: str, sender_id: str) -> Conversation:
    if kind == PRIVATE:
        return Conversation(platform, account_id, sender_id, "private")
    return Conversation(platform, account_id, payload.identifier(data, "group_openid"), "group")


def _sender(data: dict[str, Any], openid: str) -> Sender:
    author = payload.fields(data, "author")
    is_bot = author.get("bot") is True
    return Sender(payload.identifier(author, openid), payload.optional_text(author, "username"), is_bot)


def _mentions(data: dict[str, Any]) -> tuple[Mention, ...]:
    """Those of people; @全体成员 has no id and means nobody."""
    people = [payload.fields(one) for one in payload.optional_items(data, "mentions")]
    return tuple(_mention(one) for one in people if one.get("scope") != "all")


def _mention(one: dict[str, Any]) -> Mention:
    user_id = payload.optional_identifier(one, "id") or payload.identifier(one, "member_openid")
    is_you = one.get("is_you") is not None and payload.flag(one, "is_you")
    return Mention(user_id, payload.optional_text(one, "username"), is_you)


def _said(data: dict[str, Any], mentions: Sequence[Mention] = ()) -> list[Part]:
    """Text, then pictures; a voice message that QQ has understood is text, too."""
    attachments = [payload.fields(one) for one in payload.optional_items(data, "attachments")]
    # A text must be there, unless something else is.
    silent = attachments or payload.optional_items(data, "msg_elements")
    content = payload.optional_text(data, "content") if silent else payload.text(data, "content")
    words = without_mentions(content, mentions).strip()
    images = [_image(one) for one in attachments if _content_type(one).startswith("image/")]
    if not words and not images:
        words = "\n".join(payload.optional_text(one, "asr_refer_text") for one in attachments).strip()
    return [*([Text(words)] if words else []), *images]


def _content_type(attachment: dict[str, Any]) -> str:
    return payload.optional_text(attachment, "content_type")


def _image(attachment: dict[str, Any]) -> Image:
    url = payload.text(attachment, "url")
    if not url:
        raise payload.malformed("the url of a picture must not be empty")
    return Image(source=picture_url(url), mime_type=_content_type(attachment))


def _quoted(data: dict[str, Any]) -> tuple[list[Part], str]:
    """The quoted message, or the forwarded ones; and the id of the message that is answered."""
    kind = data.get("message_type")
    elements = payload.optional_items(data, "msg_elements")
    if kind == _QUOTING:
        first = payload.fields(elements[0]) if elements else {}
        quotes: list[Part] = [_quote(first)] if elements else []
        return quotes, payload.optional_identifier(first, "msg_idx") or _scene(data).get("ref_msg_idx", "")
    return (_forwarded(elements) if kind in (_PARALLEL, _FORWARDED) else []), ""


def _quote(element: dict[str, Any]) -> Quote:
    author = payload.optional_text(element, "author", "username")
    return Quote(user(*_said({**element, "content": payload.optional_text(element, "content")})), author)


def _forwarded(elements: Sequence[Any]) -> list[Part]:
    """A bundle, flat and in order: so many messages, and of their pictures so many."""
    left = _MAX_QUOTED_IMAGES
    quotes: list[Part] = []
    for quote in islice(_flat(elements, 1), _MAX_QUOTED):
        images = quote.message.images
        parts = [part for part in quote.message.parts if isinstance(part, Text)]
        quotes.append(Quote(user(*parts, *images[:left]), quote.sender))
        left -= min(left, len(images))
    return quotes


def _flat(elements: Sequence[Any], depth: int) -> Iterator[Quote]:
    for element in elements:
        fields = payload.fields(element)
        quote = _quote(fields)
        if quote.message.parts:
            yield quote
        if depth < _MAX_DEPTH:
            yield from _flat(payload.optional_items(fields, "msg_elements"), depth + 1)


def _reference(data: dict[str, Any]) -> dict[str, str]:
    index = _scene(data).get("msg_idx", "")
    return {REFERENCE: index} if index else {}


def _scene(data: Mapping[str, Any]) -> dict[str, str]:
    """The `name=value` notes beside a message. Nothing depends on them, so what is no note is passed over."""
    scene: Any = data.get("message_scene")
    notes: Any = cast("dict[str, Any]", scene).get("ext") if isinstance(scene, dict) else None
    if not isinstance(notes, list):
        return {}
    texts = [note for note in cast("list[Any]", notes) if isinstance(note, str)]
    pairs = [note.partition("=") for note in texts if len(note.encode()) <= payload.MAX_IDENTIFIER_BYTES]
    return {name: value for name, _, value in pairs}


def _usable(data: dict[str, Any], message: Message) -> bool:
    """Not a card, and not only attachments that the bot cannot read; an @ or a quote alone is a message."""
    if data.get("message_type") == _CARD:
        return False
    said = any(not isinstance(part, Quote) for part in message.parts)
    return said or not payload.optional_items(data, "attachments")


def _seconds(text: str) -> int:
    """Whole seconds of an RFC 3339 time; fractions are cut off."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise payload.malformed("d.timestamp must be an RFC 3339 time")
    day, time, zone = match.groups()
    try:
        return int(datetime.fromisoformat(f"{day}T{time}{zone.upper()}").timestamp())
    except (ValueError, OverflowError):
        raise payload.malformed("d.timestamp must be a time that exists") from None
