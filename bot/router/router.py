"""ModelRouter: a pure choice from the words of a message.

A list of words, not yet a classifier: a request for a text to be written (报告, 新闻稿, …) or a stated length goes
to the heavy model, everything else to the light one. A negated request ("不用写报告") stays with the light one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from bot.message import Message

ModelName = Literal["light", "heavy"]


@dataclass(frozen=True, slots=True)
class Route:
    """A choice and why: `reason` is a short Chinese phrase; confidence from 0 to 1."""

    model: ModelName
    reason: str
    confidence: float


_KINDS = (
    "报告|新闻稿|通稿|公众号|推文|小红书|博客|文章|作文|故事|稿子|长文|文案|说明书|总结|纪要|方案|PRD|周报|日报|月报"
)
_WRITE = re.compile(rf"(?P<verb>写|撰写|起草|生成|整理成|做成|出具?|扩写|编)[^。！？\n]{{0,20}}?(?P<kind>{_KINDS})")
_LENGTH = re.compile(r"(?P<length>[0-9一二两三四五六七八九十百千]+\s*[百千万]?\s*字)(?:左右|以上|以内|的|$|[，。,. ])")
_NEGATED = re.compile(r"(?:不用|不要|别|无需|不必|没必要)[^。！？，,\n]{0,6}?(?:写|报告|长文)")
_LONG_FROM = 300


class ModelRouter:
    """Chooses; holds no state."""

    def choose(self, message: Message) -> Route:
        """The route of one question; quotations and pictures do not count, they are not instructions."""
        text = message.text
        if _NEGATED.search(text):
            return Route("light", "明说不要长文", 0.8)
        kind = _WRITE.search(text)
        length = _LENGTH.search(text)
        if kind:
            return Route("heavy", f"要求写{kind['kind']}" + (f"、{length['length']}" if length else ""), 0.9)
        if length and _count(length["length"]) >= _LONG_FROM:
            return Route("heavy", f"要求{length['length']}", 0.8)
        if message.images:
            return Route("light", "单图提问" if len(message.images) == 1 else "多图提问", 0.7)
        return Route("light", "普通提问", 0.7)


_DIGITS = {char: value for value, char in enumerate("零一二三四五六七八九")} | {"两": 2}
_UNITS = {"十": 10, "百": 100, "千": 1000, "万": 10_000}


def _count(length: str) -> int:
    """`800字`, `三千字` or `两千五百字` as a number."""
    digits = re.match(r"\d+", length)
    if digits:
        unit = next((_UNITS[char] for char in length if char in _UNITS), 1)
        return int(digits[0]) * unit
    total, value = 0, 1
    for char in length:
        if char in _DIGITS:
            value = _DIGITS[char]
        elif char in _UNITS:
            total += value * _UNITS[char]
    return total
