"""What a Feishu message says: its text, its pictures, and who is named with @.

`content` is JSON inside JSON. Where somebody is named, a text holds a placeholder (`@_user_1`) and a rich text an
element; both become the name here, or what stands for our own @ until it is taken out.
https://open.feishu.cn/document/server-docs/im-v1/message-content-description/message_content
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot import payload
from bot.mentions import OWN, without_own
from bot.message import Mention

EVERYBODY = "@_all"
FORWARD = "merge_forward"

# As long as it gets: @_user_1 is no part of @_user_10.
_PLACEHOLDER = re.compile("@_[a-z]+_[0-9]+")


@dataclass(frozen=True, slots=True)
class Content:
    """text: without white space at its ends. images: their keys. everybody: @all stands in it."""

    text: str = ""
    images: tuple[str, ...] = ()
    everybody: bool = False


class People:
    """Those named with @ in one message, by their placeholders. Raises Rejected.

    listed: all of them, in the platform's order, without @all.
    """

    def __init__(self, mentions: list[Any], bot_open_id: str) -> None:
        self._places: dict[str, int] = {}
        self.everybody = False
        listed: list[Mention] = []
        for item in mentions:
            key = payload.text(item, "key")
            if key == EVERYBODY:
                self.everybody = True
                continue
            user_id = _user_id(item)
            for known in (key, user_id):
                self._places.setdefault(known, len(listed))
            name = payload.optional_text(item, "name")
            listed.append(Mention(user_id, name, is_bot=bool(bot_open_id) and user_id == bot_open_id))
        self.listed = tuple(listed)

    @property
    def own(self) -> bool:
        """Our bot is among them."""
        return any(mention.is_bot for mention in self.listed)

    def named(self, key: str) -> str:
        """Who stands behind a placeholder, or an id, as @name; `OWN` for our bot; an unknown one stays as it is."""
        if not key or key not in self._places:
            return key
        mention = self.listed[self._places[key]]
        return OWN if mention.is_bot else f"@{mention.name or mention.user_id}"

    def written(self, text: str) -> str:
        """A text with its placeholders replaced."""
        return _PLACEHOLDER.sub(lambda found: self.named(found[0]), text)


def _user_id(mention: Any) -> str:
    """In an event `id` holds one id of each kind, in a message that was fetched it is the open id itself."""
    value = payload.fields(mention).get("id")
    if type(value) is str:
        return value
    kinds = ("open_id", "union_id", "user_id")
    return next(filter(None, (payload.optional_text(mention, "id", kind) for kind in kinds)), "")


def read(kind: str, content: str, people: People) -> Content | None:
    """What a message of this kind says; None when it is of a kind that we cannot use. Raises Rejected.

    A forwarded bundle says nothing itself: its messages have to be fetched.
    """
    if kind == FORWARD:
        return Content()
    if kind not in ("text", "post", "image"):
        return None
    data = payload.decode(content.encode())
    if kind == "image":
        return Content(images=(payload.identifier(data, "image_key"),))
    if kind == "post":
        return _post(_document(data), people)
    text, everybody = _everybody(payload.text(data, "text"))
    return Content(without_own(people.written(text)).strip(), everybody=people.everybody or everybody)


_EVERYBODY = re.compile(r"@_all(?![A-Za-z0-9_])")


def _everybody(text: str) -> tuple[str, bool]:
    """The text with @_all as a reader sees it, and whether it stood there; `mentions` may not tell."""
    replaced, count = _EVERYBODY.subn("@all", text)
    return replaced, count > 0


def _document(data: Any) -> Mapping[str, Any]:
    """A rich text, which may stand below the name of its language."""
    fields = payload.fields(data)
    if "content" in fields or "title" in fields:
        return fields
    return next((payload.fields(one) for one in fields.values()), fields)


def _post(document: Mapping[str, Any], people: People) -> Content:
    lines = [payload.optional_text(document, "title")]
    images: list[str] = []
    everybody = people.everybody
    for paragraph in payload.items(document, "content"):
        pieces: list[str] = []
        for element in payload.items(paragraph):
            tag = payload.text(element, "tag")
            if tag == "img":
                images.append(payload.identifier(element, "image_key"))
            elif tag == "at" and payload.text(element, "user_id") in (EVERYBODY, "all"):
                everybody = True
                pieces.append("@all")
            else:
                pieces.append(_element(tag, element, people))
        lines.append(without_own("".join(pieces)))
    return Content("\n".join(filter(None, lines)).strip(), tuple(images), everybody)


def _element(tag: str, element: Any, people: People) -> str:
    """The text of one element; pictures and videos add none, nor does what we do not know."""
    if tag in ("text", "md"):
        return payload.text(element, "text")
    if tag == "at":
        return _named(element, people)
    if tag == "a":
        return f"[{payload.text(element, 'text')}]({payload.text(element, 'href')})"
    if tag == "emotion":
        return f":{payload.text(element, 'emoji_type')}:"
    if tag == "code_block":
        language = payload.optional_text(element, "language").lower()
        return f"```{language}\n{payload.text(element, 'text')}\n```"
    return "---" if tag == "hr" else ""


def _named(element: Any, people: People) -> str:
    """Somebody by placeholder, or, in rich texts that programs have sent, by id with the name beside it."""
    key = payload.text(element, "user_id")
    found = people.named(key)
    if found != key or key.startswith("@_"):
        return found
    return f"@{payload.optional_text(element, 'user_name') or key}"
