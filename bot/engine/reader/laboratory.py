"""Laboratory tables: item, result, reference range, and whether the result lies in it.

The judgement is arithmetic on the printed range; a printed mark (↑, 高, H) is quoted beside it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from bot.engine.reader.lexicon import LAB_NAMES, plain
from bot.engine.reader.page import Line

_RANGE = re.compile(r"^[（(\[]?\s*(\d+(?:\.\d+)?)\s*(?:-|~|～|〜|—|–|−|--|至)\s*(\d+(?:\.\d+)?)\s*[)）\]]?\s*(\D*)$")
_BOUND = re.compile(r"^\s*([<≤＜>≥＞])\s*=?\s*(\d+(?:\.\d+)?)\s*(\D*)$")
_RESULT = re.compile(r"^([<>＜＞≤≥]?\s*\d+(?:\.\d+)?)\s*([↑↓HLhl高低*+]*)$")
_WORD_RESULT = re.compile(
    r"^(?:阴性|阳性|弱阳性|未见|正常|清晰|澄清|淡黄色?|黄色|neg|pos|[-+±]+)(?:\s*[（(][-+±\d]+[)）])?$", re.IGNORECASE
)
_FLAG = re.compile(r"^(?:[↑↓]+|[HL]|偏?[高低]|异常|正常)$")


@dataclass(frozen=True, slots=True)
class Item:
    """One row. low and high: bounds of the range, None where open. flag: the printed mark."""

    name: str
    result: str
    reference: str
    unit: str
    flag: str
    lines: tuple[Line, ...]

    @property
    def verdict(self) -> str:
        """偏高, 偏低, 正常, 异常, or empty when the page does not settle it."""
        bounds, value = _bounds(self.reference), _number(self.result)
        if bounds is not None and value is not None:
            low, high = bounds
            return (
                "偏低" if low is not None and value < low else "偏高" if high is not None and value > high else "正常"
            )
        if self.reference and _WORD_RESULT.match(self.result):
            return "正常" if plain(self.reference)[:2] == plain(self.result)[:2] else "异常"
        return _read_flag(self.flag)

    def sentence(self) -> str:
        """The row in one line of Chinese."""
        text = f"{self.name}：{self.result}{f' {self.unit}' if self.unit else ''}"
        text += f"，参考范围 {self.reference}" if self.reference else ""
        return text + (f"，{self.verdict}" if self.verdict else "")


def _read_flag(flag: str) -> str:
    if re.search(r"[↑Hh高]", flag):
        return "偏高"
    return "偏低" if re.search(r"[↓Ll低]", flag) else flag if flag in ("正常", "异常") else ""


def _bounds(text: str) -> tuple[Decimal | None, Decimal | None] | None:
    span = _RANGE.match(text)
    if span is not None:
        return Decimal(span[1]), Decimal(span[2])
    bound = _BOUND.match(text)
    if bound is None:
        return None
    return (None, Decimal(bound[2])) if bound[1] in "<≤＜" else (Decimal(bound[2]), None)


def _number(text: str) -> Decimal | None:
    match = re.fullmatch(r"[<>＜＞≤≥]?\s*(\d+(?:\.\d+)?)\D*", text)
    return Decimal(match[1]) if match else None


def is_reference(text: str) -> bool:
    """A range of numbers (`3.5-9.5`, `<5.0`), and not a date."""
    return _bounds(text) is not None


def find_items(rows: Sequence[Sequence[Line]]) -> list[Item]:
    """Rows that hold a name, a result and a reference; two items may share a row."""
    found = [item for row in rows for part in _parts(row) for item in _item(part)]
    return found if len(found) >= 2 else []


def _parts(row: Sequence[Line]) -> list[list[Line]]:
    """A row cut before each name that follows a finished item."""
    parts: list[list[Line]] = [[]]
    for line in row:
        words = sum(bool(_WORD_RESULT.match(cell.text)) for cell in parts[-1])
        done = words >= 2 or any(is_reference(cell.text) for cell in parts[-1])
        name = re.match(r"^[*★]?(?=.*[\u4e00-\u9fff])\w{2,}", line.text) and not _WORD_RESULT.match(line.text)
        if done and name and not _FLAG.match(line.text):
            parts.append([])
        parts[-1].append(line)
    return parts


def _item(cells: Sequence[Line]) -> list[Item]:
    names = [
        line
        for line in cells
        if re.search(r"[\u4e00-\u9fffA-Za-z]{2}", line.text) and not _WORD_RESULT.match(line.text)
    ]
    if len(cells) < 3 or not names:
        return []
    name = names[0]
    after = [line for line in cells if line.box.left > name.box.left]
    result = next((line for line in after if _RESULT.match(line.text) or _WORD_RESULT.match(line.text)), None)
    reference = next((line for line in after if line is not result and is_reference(line.text)), None)
    if result is not None and reference is None and _WORD_RESULT.match(result.text):
        reference = next((line for line in after if line is not result and _WORD_RESULT.match(line.text)), None)
    if result is None or reference is None:
        return []
    used = (name, result, reference)
    rest = [line for line in cells if line not in used]
    flags = "".join(line.text for line in rest if _FLAG.match(line.text))
    split = _RESULT.match(result.text)
    text, mark = (split[1], split[2]) if split else (result.text, "")
    codes = [
        line.text
        for line in rest
        if re.fullmatch(r"[A-Z][A-Z0-9\-]{1,9}%?#?", line.text) and line.box.left < result.box.left
    ]
    unit = next(
        (
            line.text
            for line in rest
            if line.text not in codes and not _FLAG.match(line.text) and line.box.left > result.box.left
        ),
        "",
    )
    return [Item(" ".join([name.text, *codes]), text, reference.text, unit, mark + flags, tuple(cells))]


def asked_items(question: str, items: Sequence[Item]) -> list[Item]:
    """Items that a question names, by any part of the printed name or another usual name."""
    text = plain(question)
    scores = [(_named(text, item.name), item) for item in items]
    best = max((score for score, _ in scores), default=0)
    exact = [item for score, item in scores if score >= 2]
    return exact or ([item for score, item in scores if score == best] if best > 0 else [])


def _named(question: str, name: str) -> float:
    """2 and more: named in full; between 0 and 2: by a part; 0: not named."""
    parts = [plain(part) for part in _name_parts(name)]
    best = max((_part_score(question, part) for part in parts), default=0.0)
    for names in LAB_NAMES:
        if any(_stem(part) in names for part in parts):
            hits = [n for n in names if _has_word(question, n) and len(n) > 1]
            best = max(best, 2.0 + 0.1 * max(map(len, hits)) if hits else 0.0)
    return best


def _part_score(question: str, part: str) -> float:
    if len(part) < 2:
        return 0.0
    if _has_word(question, part):
        return 2.0 + 0.1 * len(part)
    stem = _stem(part)
    return 1.0 + 0.1 * len(stem) if len(stem) >= 2 and _has_word(question, stem) else 0.0


def _name_parts(name: str) -> list[str]:
    """`谷丙转氨酶ALT` and `谷丙转氨酶 (ALT)` alike."""
    return [part for part in re.split(r"[\s（()）/*★]+|(?<=[\u4e00-\u9fff])(?=[A-Za-z])", name) if part]


def _stem(part: str) -> str:
    """`白细胞计数` is asked for as 白细胞."""
    return re.sub(r"(?:计数|浓度|百分比|百分率|测定|总数|绝对值|数|定量|比率)$", "", part)


def _has_word(question: str, word: str) -> bool:
    """Latin names must stand alone: `ALT` is not in `SALT`."""
    if word.isascii():
        return re.search(rf"(?<![a-z0-9]){re.escape(word)}(?![a-z0-9])", question) is not None
    return word in question
