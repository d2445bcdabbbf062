"""A Slack event turned into ours. Pure: nothing here calls the network.

https://docs.slack.dev/apis/events-api/ and https://docs.slack.dev/messaging/formatting-message-text/
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from bot import payload
from bot.event import ChatType, Conversation, MessageEvent, Sender
from bot.mentions import OWN, without_own
from bot.message import Image, Mention, Part, Text, user

FILE = "file:"
"""Before a file's id, where the file must be asked for."""

#: What users write. Any other subtype tells of something that happened.
_WRITTEN = ("", "file_share", "thread_broadcast")
_PRIVATE = ("im", "app_home")
_TS = re.compile(r"(\d{1,15})(?:\.\d{1,15})?", re.ASCII)
_TOKEN = re.compile(r"<([^<>]+)>")
_EVERYBODY = ("here", "channel", "everyone")


@dataclass(frozen=True, slots=True)
class Decoded:
    """An event, or why there is none."""

    event: MessageEvent | None = None
    ignored: str = ""


def decode(data: Any, bot_user_id: str, platform: str, account_id: str) -> Decoded:
    """What an `event_callback` means. Raises Rejected where a required field is missing or of the wrong type."""
    event = payload.fields(data, "event")
    if payload.text(event, "type") not in ("message", "app_mention"):
        return Decoded(ignored="event")
    subtype = payload.optional_text(event, "subtype")
    if subtype == "bot_message":
        return Decoded(ignored="sender_is_bot")
    if subtype not in _WRITTEN:
        return Decoded(ignored="event")
    if event.get("bot_id") or event.get("bot_profile") or event.get("user") == bot_user_id:
        return Decoded(ignored="sender_is_bot")
    return _event(event, payload.identifier(data, "event_id"), bot_user_id, platform, account_id, _team(data, event))


def _event(event: Any, event_id: str, bot_user_id: str, platform: str, account_id: str, team: str) -> Decoded:
    sender = Sender(payload.identifier(event, "user"))
    ts = payload.identifier(event, "ts")
    sent_at = _seconds(ts)
    channel = payload.identifier(event, "channel")
    chat_type = _chat_type(event, channel)
    thread = payload.optional_identifier(event, "thread_ts")
    words = payload.optional_text(event, "text")
    text, mentions = said(words, bot_user_id)
    pictures = images(event)
    if not words.strip() and not pictures:
        return Decoded(ignored="unsupported_type")
    named = any(mention.is_bot for mention in mentions) or event["type"] == "app_mention"
    # In a channel an answer begins a thread, so that what follows in it belongs to the same conversation.
    where = Conversation(platform, account_id, channel, chat_type, thread or (ts if chat_type == "group" else ""))
    parts: list[Part] = [*([Text(text)] if text else []), *pictures]
    return Decoded(
        MessageEvent(
            id=event_id,
            conversation=where,
            sender=sender,
            message=user(*parts),
            timestamp=sent_at,
            to_me=chat_type == "private" or named or event.get("parent_user_id") == bot_user_id,
            message_id=ts,
            dedup_message=True,
            reply_to=thread if thread != ts else "",
            mentions=mentions,
            platform_data={"user": sender.id, "team": team},
        )
    )


def _team(data: Any, event: dict[str, Any]) -> str:
    """The workspace of who wrote; of the app's where that is not told."""
    return payload.optional_text(event, "team") or payload.optional_text(data, "team_id")


def _seconds(ts: str) -> int:
    found = _TS.fullmatch(ts)
    if found is None:
        raise payload.malformed("event.ts must be seconds")
    return int(found[1])


def _chat_type(event: dict[str, Any], channel: str) -> ChatType:
    """`app_mention` events do not tell the channel's type: ids of direct messages begin with D."""
    kind = payload.optional_text(event, "channel_type")
    return "private" if (kind in _PRIVATE if kind else channel.startswith("D")) else "group"


def images(event: dict[str, Any]) -> list[Image]:
    """The pictures among the files; those that Slack only names are to be completed."""
    found = (image_of(payload.fields(item)) for item in payload.optional_items(event, "files"))
    return [image for image in found if image is not None]


def image_of(file: dict[str, Any]) -> Image | None:
    """One file as a picture; None where it is none."""
    mime_type = payload.optional_text(file, "mimetype").lower()
    if mime_type and not mime_type.startswith("image/"):
        return None
    url = payload.optional_text(file, "url_private_download") or payload.optional_text(file, "url_private")
    if mime_type and url and file.get("file_access") != "check_file_info":
        return Image(source=url, mime_type=mime_type)
    if mime_type or file.get("file_access") == "check_file_info":
        return Image(source=FILE + payload.identifier(file, "id"), mime_type=mime_type)
    return None


def said(words: str, bot_user_id: str) -> tuple[str, tuple[Mention, ...]]:
    """The text as a reader sees it, without the bot's own @, and everybody who is named in it."""
    mentions: list[Mention] = []

    def one(token: re.Match[str]) -> str:
        target, _, label = token[1].partition("|")
        if target[:1] != "@" or len(target) < 2:
            return _shown(target, label)
        mention = Mention(target[1:], _unescaped(label), target[1:] == bot_user_id)
        mentions.append(mention)
        return OWN if mention.is_bot else f"@{label or target[1:]}"

    return _unescaped(without_own(_TOKEN.sub(one, words))).strip(), tuple(mentions)


def _shown(target: str, label: str) -> str:
    """A channel, a command such as @here, or an address."""
    if target.startswith("#"):
        return f"#{label or target[1:]}"
    if target.startswith("!"):
        command, _, of = target[1:].partition("^")
        return f"@{command}" if command in _EVERYBODY else label or f"@{of.partition('^')[0] or command}"
    return f"[{label}]({target})" if label else target


def calls_everybody(words: str) -> bool:
    """Whether the text has an @here, @channel or @everyone."""
    return any(f"<!{name}{end}" in words for name in _EVERYBODY for end in (">", "|"))


def _unescaped(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
