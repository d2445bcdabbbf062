"""How long a text is, and how long it was asked to be ("写800字", "两千字左右", "不超过500字")."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bot.router.length import number

#: A text this far from the length asked for, up or down, is still what was asked for.
TOLERANCE = 0.15
#: What is longer is no report, and would keep a model busy for an hour.
LONGEST = 12_000
_SHORTEST = 20

_PLACED = re.compile(r"!\[[^\]\n]*\]\([^)\n]*\)")
# Chinese characters and punctuation one each, other words and figures one each: what Word shows as 字数.
_COUNTED = re.compile(
    r"[\u2e80-\u9fff\uf900-\ufaff\uff01-\uff60\uffe0-\uffe6\u2014\u2018\u2019\u201c\u201d\u2026\U00020000-\U0003ffff]"
    r"|[^\W_]+(?:[.,:/%@'’+_-]+[^\W_]+)*"
)
_CJK = r"\u2e80-\u9fff\uf900-\ufaff"
_NUMBER = r"(?:\d[\d,]*(?:\.\d+)?\s*[百千万kKwW]?|[零一二两三四五六七八九十百千万]+)"
_WORDS = re.compile(
    rf"(?P<before>不(?:要)?(?:能)?(?:超过|多于|大于|超)|最多|至多|控制在|限|少于|小于|低于|不少于|不低于|至少|最少|超过|多于)?\s*"
    rf"(?:(?P<from>{_NUMBER})\s*字?\s*(?:[-—~～到至]|个字到)\s*)?(?P<n>{_NUMBER})\s*(?:来|多|余)?\s*(?:个)?(?:汉)?"
    rf"(?:字(?!母|幕|体|段|典|节|眼|号)|words?\b)\s*(?P<after>以内|之内|以下|内|以上|起步|打底|左右|上下)?",
    re.IGNORECASE,
)
_PAGES = re.compile(rf"(?<!第)(?P<n>{_NUMBER})\s*(?:大|整)?(?:页|张)\s*(?:a4|纸|稿纸|作文纸)", re.IGNORECASE)
_MINUTES = re.compile(rf"(?P<n>{_NUMBER})\s*(?:来|多)?\s*分钟")
_BRIEF = re.compile(r"(?:一|两|两三|三两|几)句话")
_PAGE, _MINUTE, _SENTENCES = 800, 220, 60


@dataclass(frozen=True, slots=True)
class Length:
    """Characters: what to aim at, and between what it is right."""

    least: int
    target: int
    most: int

    @property
    def tolerance(self) -> float:
        """How far a part of the text may be from its share."""
        return min(self.target - self.least, self.most - self.target) / self.target

    def without(self, characters: int) -> Length:
        """What is left beside so many characters."""
        least, target, most = (max(1, one - characters) for one in (self.least, self.target, self.most))
        return Length(least, target, most)

    def holds(self, text: str) -> bool:
        """The text is as long as it was asked to be."""
        return self.least <= count(text) <= self.most


def count(text: str) -> int:
    """Characters of Markdown as people count them: marks, placed pictures and addresses left out.

    "图1 有 12.6 元 of it" has 7: each Chinese character or punctuation mark, each word, each figure.
    """
    return sum(1 for _ in _COUNTED.finditer(_PLACED.sub("", text)))


def about(target: int, tolerance: float = TOLERANCE) -> Length:
    """Within the tolerance of a length."""
    target = max(_SHORTEST, min(target, LONGEST))
    return Length(round(target * (1 - tolerance)), target, round(target * (1 + tolerance)))


def wished(text: str) -> Length | None:
    """The length that a request names; None where it names none."""
    found = _WORDS.search(text)
    if found:
        return _of_words(found)
    if pages := _PAGES.search(text):
        return about(_value(pages["n"]) * _PAGE)
    if minutes := _MINUTES.search(text) if re.search(r"讲|念|稿|演讲|发言|致辞", text) else None:
        return about(_value(minutes["n"]) * _MINUTE)
    return about(_SENTENCES) if _BRIEF.search(text) else None


def _of_words(found: re.Match[str]) -> Length:
    most = max(_SHORTEST, min(_value(found["n"]), LONGEST))
    before, after = found["before"] or "", found["after"] or ""
    if found["from"]:
        least = min(_value(found["from"]), most)
        return Length(least, (least + most) // 2, most)
    if before in ("不少于", "不低于", "至少", "最少", "超过", "多于") or after in ("以上", "起步", "打底"):
        return Length(most, round(most * (1 + TOLERANCE / 2)), round(most * (1 + TOLERANCE)))
    if (before and before != "控制在") or after in ("以内", "之内", "以下", "内"):
        return Length(round(most * (1 - 2 * TOLERANCE)), round(most * (1 - TOLERANCE)), most)
    return about(most)


def _value(text: str) -> int:
    """A number as it is written: 1,500, 1.5千, 两千五百."""
    decimal = re.fullmatch(r"([\d,]+(?:\.\d+)?)\s*([百千万kKwW]?)", text.strip())
    if decimal is None:
        return number(text)
    unit = {"": 1, "百": 100, "千": 1000, "k": 1000, "万": 10_000, "w": 10_000}[decimal[2].lower()]
    return int(float(decimal[1].replace(",", "")[:9]) * unit)
