"""What a message of the WeCom AI bot says: its parts, and the bot's own @ in it.

Kinds: text, image, mixed (texts and images in order), voice (with the recognised words), file, video; a quoted
message is an object of the same kinds, without an id.
https://developer.work.weixin.qq.com/document/path/100719
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from bot import payload
from bot.mentions import OWN, without_own
from bot.message import Image, Part, Quote, Text, user

#: A picture whose address begins like this would name what is on our disk; nobody outside may look there.
INLINE: Final = "inline:"
Said = tuple[str, list[Image]]


class OwnName:
    """The bot's name as members write it: @ and the name, then white space or the end; longer names are others'."""

    def __init__(self, name: str) -> None:
        self._pattern = re.compile(rf"@{re.escape(name)}(?=\s|\Z)") if name else None

    def remove(self, text: str) -> tuple[str, bool]:
        """The text without it and the spaces around it, and whether it was there. Inside a line one space stays."""
        if self._pattern is None:
            return text, False
        rest, count = self._pattern.subn(OWN, text)
        return without_own(rest), count > 0


def message_parts(kind: str, data: dict[str, Any], own: OwnName) -> tuple[list[Part], bool] | None:
    """Quote, text and pictures, and whether the bot is named; None for what we cannot use. Raises Rejected."""
    said = _said(kind, data)
    if said is None:
        return None
    quoted = _quote(payload.optional_fields(data, "quote"))
    words, named = own.remove(said[0])
    return [*quoted, *_parts(words, said[1])], named


def _quote(quoted: dict[str, Any] | None) -> list[Part]:
    """The quoted message as it stands; of a kind that we cannot use nothing is known but that it was quoted."""
    if not quoted:
        return []
    words, images = _said(payload.identifier(quoted, "msgtype"), quoted) or ("", [])
    return [Quote(user(*_parts(words, images)))]


def _parts(words: str, images: Sequence[Image]) -> list[Part]:
    words = words.strip()
    return [*([Text(words)] if words else []), *images]


def _said(kind: str, data: dict[str, Any]) -> Said | None:
    """Text and pictures; None for what we cannot use."""
    if kind == "text":
        return payload.text(data, "text", "content"), []
    if kind == "image":
        return "", [_image(data)]
    if kind == "mixed":
        return _mixed(payload.items(data, "mixed", "msg_item"))
    if kind == "voice":
        # What WeCom understood of it; the sound itself is not sent.
        words = payload.optional_text(data, "voice", "content")
        return (words, []) if words.strip() else None
    return None


def _mixed(items: Sequence[Any]) -> Said | None:
    """Texts one per line, pictures in their order; items of other kinds add nothing. None: there is neither."""
    lines: list[str] = []
    images: list[Image] = []
    for item in items:
        kind = payload.identifier(item, "msgtype")
        if kind == "text":
            lines.append(payload.text(item, "text", "content"))
        elif kind == "image":
            images.append(_image(item))
    return ("\n".join(lines), images) if lines or images else None


def _image(data: dict[str, Any]) -> Image:
    """Any address: whether it may be fetched is judged when it is."""
    url = payload.text(data, "image", "url")
    if not url or url.lstrip().lower().startswith(INLINE):
        raise payload.malformed("image.url must be an address")
    return Image(url)
