"""How long an answer is wished: "三千字打底", "一句话", "讲十分钟", "两页A4"."""

from __future__ import annotations

import re
from typing import Literal

LengthClass = Literal["tiny", "middle", "long"]

_NUMBER = r"(?:\d[\d,]*(?:\s*[-—~到至]\s*\d+)?\s*[百千万k]?|[零一二两三四五六七八九十百千万几]+(?:来|多|把|几)?)"
LENGTH = re.compile(
    rf"(?P<words>(?P<n>{_NUMBER})\s*(?:个|多|来)?\s*(?:字|词|words?\b)(?!母|幕|体|段|典|节|眼))"
    rf"|(?P<pages>(?:(?<!第)(?:(?:写|谈|讲|填)?满)?(?P<p>{_NUMBER})\s*(?:大|整)?(?:页|张)\s*(?:a4|纸|稿纸|作文纸))|a4纸?正反面"
    rf"|(?:写|谈|讲)满\s*(?:了)?(?:{_NUMBER})?\s*(?:整)?(?:页|张|版|面|篇)|(?:扩|写)[到成够]{_NUMBER}页)"
    rf"|(?P<minutes>(?:(?<=讲)|(?<=念)|(?<=说)|(?<=谈)|(?<=言))(?:满|个|够|上)?\s*{_NUMBER}\s*(?:来|多)?\s*(?:分钟|小时|个小时|刻钟)"
    rf"|{_NUMBER}\s*(?:来|多)?\s*(?:分钟|小时|刻钟)\s*(?:那么长|那种|左右)?的?(?:词|稿|演讲|发言|讲稿|课|讲话|致辞|内容|量|脚本|文稿)"
    rf"|能[讲念说]的?{_NUMBER}?分钟)"
    r"|(?P<brief>(?:一|两|两三|三两|一两|几)(?:句|行)(?:话|英文|诗)?|一口气|寥寥数语)"
    r"|(?P<words2>千字文|万字长文|字数不限)"
)
_DIGITS = {char: value for value, char in enumerate("零一二三四五六七八九")} | {"两": 2, "几": 3}
_UNITS = {"十": 10, "百": 100, "千": 1000, "万": 10_000, "k": 1000}
#: Up to this many characters it is a title or a caption, from the other on a text.
_TINY, _LONG = 60, 200


def length_class(found: re.Match[str]) -> LengthClass:
    """What a match of LENGTH asks for."""
    if found["words"]:
        count = number(found["n"])
        return "tiny" if count <= _TINY else "middle" if count < _LONG else "long"
    return "tiny" if found["brief"] else "long"


def number(text: str) -> int:
    """`800`, `1.5千` without its fraction, `两千五百`, `六七百` (the larger) as a number."""
    digits = re.findall(r"\d+", text.replace(",", ""))
    if digits:
        return int(digits[-1][:9]) * max((_UNITS.get(char, 1) for char in text), default=1)
    total, value = 0, 0
    for char in text:
        if char in _DIGITS:
            value = _DIGITS[char]
        elif char in _UNITS:
            total += max(value, 1) * _UNITS[char] if char != "万" else max(total + value, 1) * _UNITS[char]
            value = 0
    return total + value
