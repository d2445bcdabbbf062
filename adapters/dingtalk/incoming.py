"""What DingTalk posts: a robot message of type text, picture, richText or audio, made into an event.

https://open.dingtalk.com/document/orgapp/receive-message
Quoted messages (`repliedMsg`) are not documented and come in several shapes, so nothing is insisted on in them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

from bot import payload
from bot.errors import Rejected
from bot.event import ChatType, Conversation, MessageEvent, Sender, quote_key
from bot.message import Image, Mention, Part, Quote, Text, user

CHAT_TYPES: dict[str, ChatType] = {"1": "private", "2": "group"}
LAST_MILLISECOND = 253_402_300_799_999
"""The end of the year 9999: more means that somebody counts in microseconds."""

_UNFIT_FOR_ADDRESSES = re.compile(r"[\s\\\x00-\x1f\x7f-\x9f]")
#: So much of a quoted card is read, in characters.
_CARD_TEXT = 4000


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads what was sent to one bot.

    robot_code and bot_id: the only ones accepted; empty: any. download_code: the robot code for downloads where a
    message names none. reply_hosts: in lower case.
    """

    platform: str
    account_id: str
    robot_code: str
    bot_id: str
    download_code: str
    reply_hosts: frozenset[str]

    def read(self, data: Any) -> MessageEvent | str:
        """The message, or why it is ignored. Raises Rejected."""
        robot_code = self._is_ours(data, "robotCode", self.robot_code) or self.download_code
        bot_id = self._is_ours(data, "chatbotUserId", self.bot_id)
        kind = payload.text(data, "msgtype")
        where = self._conversation(data)
        sender = Sender(payload.identifier(data, "senderId"), payload.optional_text(data, "senderNick"))
        message_id = payload.identifier(data, "msgId")
        sent_at = payload.integer(data, "createAt", least=0, most=LAST_MILLISECOND) // 1000
        mentions = tuple(_mention(item, bot_id) for item in payload.optional_items(data, "atUsers"))
        if sender.id == bot_id:
            return "self_message"
        said = _said(kind, data, robot_code, bot_id)
        if said is None:
            return "unsupported_type"
        replied = _replied(data)
        quote = [] if replied is None else [_quote(replied, robot_code)]
        return MessageEvent(
            id=message_id,
            conversation=where,
            sender=sender,
            message=user(*quote, *said),
            timestamp=sent_at,
            to_me=where.chat_type == "private" or _is_to_bot(data, mentions, replied, bot_id),
            message_id=message_id,
            reply_to=_name((replied or {}).get("msgId")) or _name(data.get("originalMsgId")),
            mentions=mentions,
            platform_data=self._platform_data(data, robot_code),
        )

    def _is_ours(self, data: Any, name: str, ours: str) -> str:
        """The id at `name`, ours where it is absent. Raises Rejected where it is another's."""
        theirs = payload.optional_text(data, name)
        if theirs and ours and theirs != ours:
            raise Rejected("wrong_bot")
        return theirs or ours

    def _conversation(self, data: Any) -> Conversation:
        chat_type = CHAT_TYPES.get(payload.text(data, "conversationType"))
        if chat_type is None:
            raise payload.malformed("conversationType must be '1' or '2'")
        return Conversation(self.platform, self.account_id, payload.identifier(data, "conversationId"), chat_type)

    def _platform_data(self, data: dict[str, Any], robot_code: str) -> dict[str, str]:
        """What an answer needs: where to post it until when, and whom to write to afterwards."""
        url, expires = data.get("sessionWebhook"), data.get("sessionWebhookExpiredTime")
        found = {"staff_id": _name(data.get("senderStaffId")), "robot_code": robot_code}
        if isinstance(url, str) and is_reply_url(url, self.reply_hosts):
            found["reply_url"] = url
            if type(expires) is int and 0 <= expires <= LAST_MILLISECOND:
                found["reply_url_expires"] = str(expires // 1000)
        return {name: value for name, value in found.items() if value}


def decode(body: bytes) -> Any:
    """The body's JSON. Raises Rejected.

    Texts lose their U+0000; an address that held one is not mended by that, but taken away.
    """
    data = payload.decode(body)
    if b"\\u0000" in body and isinstance(data, dict):
        written = json.loads(body).get("sessionWebhook")
        if isinstance(written, str) and "\0" in written:
            data["sessionWebhook"] = None
    return cast("Any", data)


def is_reply_url(url: str, hosts: frozenset[str]) -> bool:
    """Whether an answer may be posted there. The body is not signed: anybody may have written this address.

    The host is ASCII without brackets, so that no two parsers read two hosts from it.
    """
    if _UNFIT_FOR_ADDRESSES.search(url):
        return False
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    plain = parts.netloc.isascii() and not any(sign in parts.netloc for sign in "@[]%")
    return plain and parts.scheme == "https" and port in (None, 443) and parts.hostname in hosts


def picture_source(robot_code: str, download_code: str) -> str:
    """A picture's reference string."""
    return f"{quote_key(robot_code)}/{download_code}"


def _said(kind: str, data: Any, robot_code: str, bot_id: str) -> list[Part] | None:
    """Text first, then pictures; None for a kind that the bot cannot use."""
    if kind == "text":
        return _texts(payload.text(data, "text", "content"))
    if kind == "picture":
        return [_picture(payload.fields(data, "content"), robot_code)]
    if kind == "richText":
        return _rich_text(payload.items(data, "content", "richText"), robot_code, bot_id)
    if kind == "audio":
        return _texts(payload.optional_text(data, "content", "recognition")) or None
    return None


def _texts(text: str) -> list[Part]:
    words = text.strip()
    return [Text(words)] if words else []


def _picture(item: dict[str, Any], robot_code: str) -> Image:
    code = payload.optional_text(item, "downloadCode") or payload.optional_text(item, "pictureDownloadCode")
    if not code:
        raise payload.malformed("a picture must have a downloadCode")
    return Image(source=picture_source(robot_code, code))


def _rich_text(items: list[Any], robot_code: str, bot_id: str) -> list[Part]:
    """Texts next to each other are runs of one style; pictures between two texts are one line break."""
    words, images, after_picture = "", list[Part](), False
    for item in map(payload.fields, items):
        if item.get("type") == "picture":
            images.append(_picture(item, robot_code))
            after_picture = True
            continue
        run = _run(item, bot_id)
        if run:
            words += "\n" + run if words and after_picture else run
            after_picture = False
    return [*_texts(words), *images]


def _run(item: dict[str, Any], bot_id: str) -> str:
    if item.get("type") == "at":
        name = payload.optional_text(item, "atName")
        return f"@{name}" if name and item.get("atUserId") != bot_id else ""
    return payload.optional_text(item, "text")


def _mention(item: Any, bot_id: str) -> Mention:
    user_id = payload.identifier(item, "dingtalkId")
    return Mention(user_id, is_bot=user_id == bot_id)


def _is_to_bot(
    data: dict[str, Any], mentions: tuple[Mention, ...], replied: dict[str, Any] | None, bot_id: str
) -> bool:
    """In a group: named with @, or answered. Where DingTalk does not say, it was: it delivers nothing else."""
    if data.get("isInAtList", True) is True or any(mention.is_bot for mention in mentions):
        return True
    return bool(bot_id) and replied is not None and replied.get("senderId") == bot_id


def _replied(data: dict[str, Any]) -> dict[str, Any] | None:
    """The message that this one answers, as far as DingTalk gives it."""
    for container in (_object(data.get("text")), _object(data.get("content"))):
        if container.get("isReplyMsg") is True and isinstance(container.get("repliedMsg"), dict):
            return cast("dict[str, Any]", container["repliedMsg"])
    return None


def _quote(replied: dict[str, Any], robot_code: str) -> Quote:
    """Empty where DingTalk names the message only, as it does with most cards."""
    content = _object(replied.get("content"))
    sender = replied.get("senderNick")
    if isinstance(content.get("richText"), list):
        parts = _rich_text(list(_quoted_runs(content["richText"])), robot_code, "")
    elif replied.get("msgType") == "picture":
        parts = [_picture(item, robot_code) for item in _quoted_runs([{**content, "type": "picture"}])]
    else:
        said = (replied.get("content"), *(content.get(name) for name in ("content", "text", "recognition")))
        first = next((text for text in said if isinstance(text, str) and text.strip()), "")
        parts = _texts(first or "\n".join(_card_lines(content.get("cardContent")))[:_CARD_TEXT])
    return Quote(user(*parts), sender if isinstance(sender, str) else "")


def _quoted_runs(items: list[Any]) -> Iterator[dict[str, Any]]:
    """Items of a quoted rich text under the names that they have outside of quotes; what is no use is left out."""
    for item in map(_object, items):
        kind = item.get("type") or item.get("msgType")
        texts = (item.get(name) for name in ("text", "content", "atName"))
        codes = (item.get(name) for name in ("downloadCode", "pictureDownloadCode"))
        text = next((text for text in texts if isinstance(text, str)), "")
        code = next((code for code in codes if isinstance(code, str) and code), "")
        if kind == "picture":
            yield from [{"type": "picture", "downloadCode": code}] if code else []
        else:
            yield {"type": "at", "atName": text} if kind == "at" else {"text": text}


def _card_lines(nodes: Any) -> Iterator[str]:
    """What is to be read in the tree of a quoted card: in a RICHTEXT the texts are runs of one line."""
    for element in map(_object, cast("list[Any]", nodes) if isinstance(nodes, list) else [nodes]):
        kind, value, children = element.get("elementType"), element.get("value"), element.get("children")
        if kind in ("TEXT", "LINK") and isinstance(value, str):
            yield value if kind == "TEXT" else f" {value} "
        lines = _card_lines(children) if children else ()
        yield from ["".join(lines)] if kind == "RICHTEXT" else lines


def _object(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _name(value: Any) -> str:
    """A text that can name something, else nothing."""
    return value if isinstance(value, str) and len(value.encode()) <= payload.MAX_IDENTIFIER_BYTES else ""
