"""What a OneBot message says: its segments, as an array or as text with CQ codes.

https://github.com/botuniverse/onebot-11/blob/master/message/array.md
https://github.com/botuniverse/onebot-11/blob/master/message/string.md
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

from bot import payload
from bot.mentions import OWN, without_own
from bot.message import Image, Mention, Part, Text

_EVERYBODY = "all"
_LARGEST_ID = 10**20

# Brackets and commas inside a parameter are escaped, so none of these parts can run on into the next code.
_CQ = re.compile(r"\[CQ:([A-Za-z0-9_.-]++)((?:,[A-Za-z0-9_.-]++=[^,\[\]]*+)*+),?\]")


@dataclass(frozen=True, slots=True)
class Content:
    """text: white space at its ends gone, the bot's own mention too. everybody: @all stands in it.

    forward: id of a forwarded bundle; inside: its messages, where they came along. usable: there is something in it
    that the bot can do something with; faces, voice, files and cards are not.
    """

    text: str = ""
    images: tuple[Image, ...] = ()
    mentions: tuple[Mention, ...] = ()
    everybody: bool = False
    reply_to: str = ""
    forward: str = ""
    inside: Any = None
    usable: bool = False

    @property
    def parts(self) -> tuple[Part, ...]:
        """The text, then the pictures."""
        return (*((Text(self.text),) if self.text else ()), *self.images)


def read(message: Any, self_id: str) -> Content:
    """Raises Rejected when it is neither a text nor an array of segments, or a segment lacks what it must have."""
    reader = _Reader(self_id)
    for kind, data in _segments(message):
        reader.take(kind, data)
    return reader.content()


def identity(data: Any, name: str) -> str:
    """An id, written as a number or as a text: both mean the same. Raises Rejected."""
    value = payload.fields(data).get(name)
    if type(value) is int:
        return str(payload.integer(data, name, least=-_LARGEST_ID, most=_LARGEST_ID))
    return payload.identifier(data, name)


def sender_name(sender: Any) -> str:
    """The card (a member's name in this group) if there is one, else the nickname; either may be absent."""
    card = payload.optional_text(sender, "card")
    return card if card.strip() else payload.optional_text(sender, "nickname")


def picture(file: str, url: str) -> Image:
    """A picture; `file_and_url` reads its source."""
    return Image(source=urlencode({"file": file, "url": url}))


def file_and_url(image: Image) -> tuple[str, str]:
    """Its name for get_image, and its address; either may be empty."""
    found = dict(parse_qsl(image.source))
    return found.get("file", ""), found.get("url", "")


@dataclass
class _Reader:
    self_id: str
    words: list[str] = field(default_factory=list[str])
    images: list[Image] = field(default_factory=list[Image])
    mentions: list[Mention] = field(default_factory=list[Mention])
    everybody: bool = False
    reply_to: str = ""
    forward: str = ""
    inside: Any = None
    usable: bool = False

    def take(self, kind: str, data: Any) -> None:
        """One segment; those of other kinds add nothing."""
        match kind:
            case "text":
                self.words.append(payload.text(data, "text"))
            case "at":
                self._at(identity(data, "qq"))
            case "image":
                self.images.append(_image(data))
            case "forward":
                self.forward = self.forward or identity(data, "id")
                self.inside = self.inside or data.get("content")
            case "reply":
                self.reply_to = self.reply_to or identity(data, "id")
                return
            case _:
                return
        self.usable = True

    def _at(self, who: str) -> None:
        if who == _EVERYBODY:
            self.everybody = True
            self.words.append("@all")
            return
        own = who == self.self_id
        self.mentions.append(Mention(who, is_bot=own))
        self.words.append(OWN if own else f"@{who}")

    def content(self) -> Content:
        text = without_own("".join(self.words)).strip()
        return Content(
            text,
            tuple(self.images),
            tuple(self.mentions),
            self.everybody,
            self.reply_to,
            self.forward,
            self.inside,
            self.usable,
        )


def _image(data: Any) -> Image:
    file, url = payload.optional_text(data, "file"), payload.optional_text(data, "url")
    if not file and not url:
        raise payload.malformed("an image has neither file nor url")
    return picture(file, url)


def _segments(message: Any) -> Iterator[tuple[str, Any]]:
    """Kind and data of each segment."""
    if type(message) is str:
        yield from _parsed(message)
        return
    for item in payload.items(message):
        yield payload.text(item, "type"), payload.fields(item).get("data")


def _parsed(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    end = 0
    for code in _CQ.finditer(text):
        if code.start() > end:
            yield "text", {"text": _unescaped(text[end : code.start()])}
        end = code.end()
        pairs = (pair.partition("=") for pair in code[2].split(",")[1:])
        yield code[1], {name: _unescaped(value.replace("&#44;", ",")) for name, _, value in pairs}
    if end < len(text):
        yield "text", {"text": _unescaped(text[end:])}


def _unescaped(text: str) -> str:
    """`&amp;` last, so that nothing is unescaped twice."""
    return text.replace("&#91;", "[").replace("&#93;", "]").replace("&amp;", "&")
