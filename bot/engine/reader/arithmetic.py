"""Checks sums on an exercise sheet: `6. 540-278=272` is worked out again, exactly, with fractions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from bot.engine.reader.page import Line

_SIGNS = str.maketrans(
    {
        "×": "*",
        "x": "*",
        "X": "*",
        "✕": "*",
        "÷": "/",
        "−": "-",
        "–": "-",
        "—": "-",
        "＋": "+",
        "＝": "=",
        "（": "(",
        "）": ")",
        "：": ":",
        "[": "(",
        "]": ")",
    }
)
_SUM = re.compile(
    r"(?P<left>[\d(][\d.+\-*/() ]*[+\-*/][\d.+\-*/() ]*)=\s*(?P<right>-?\d+(?:\.\d+)?(?:/\d+)?)?(?:\s*(?:余"
    r"|\.{2,6}|…+|·{2,6})\s*(?P<rest>\d+))?"
)
_NUMBERING = re.compile(r"^\s*[（(]?(\d{1,2})\s*[.、)）．,]\s*")


@dataclass(frozen=True, slots=True)
class Sum:
    """One exercise. index: its printed number, else its place (1 first). answer: as written, or empty."""

    index: int
    text: str
    left: str
    answer: str
    right: str
    line: Line

    @property
    def correct(self) -> bool:
        return self.answer == self.right or _same(self.answer, self.right)


def find_sums(lines: Sequence[Line]) -> list[Sum]:
    """All sums, in the order of their numbers. A printed number is told from a decimal by its neighbours."""
    texts = [(line, line.text.translate(_SIGNS)) for line in lines if "=" in line.text or "＝" in line.text]
    numbered = _numbering([text for _, text in texts])
    found: list[Sum] = []
    for (line, text), index in zip(texts, numbered, strict=True):
        body = _NUMBERING.sub("", text, count=1) if index else text
        matches = list(_SUM.finditer(body))
        for match in matches:
            place = index if index and len(matches) == 1 else len(found) + 1
            found += _sum(place, match, line)
    return sorted(found, key=lambda item: item.index)


def _numbering(texts: Sequence[str]) -> list[int]:
    """The printed number of each line, or 0 for all when the numbers do not count 1, 2, 3 …"""
    numbers = [int(match[1]) if (match := _NUMBERING.match(text)) else 0 for text in texts]
    printed = [n for n in numbers if n]
    counts = len(printed) >= 2 and len(set(printed)) == len(printed) and max(printed) <= len(printed) + 3
    return numbers if counts and len(printed) > 0.6 * len(texts) else [0] * len(texts)


def _sum(index: int, match: re.Match[str], line: Line) -> list[Sum]:
    value = evaluate(match["left"])
    if value is None:
        return []
    answer, right = match["right"] or "", _show(value)
    if match["rest"] is not None:
        answer, right = f"{answer}余{match['rest']}", _remainder(match["left"]) or right
    shown = match["left"].replace("*", "×").replace("/", "÷").replace(" ", "")
    return [Sum(index, f"{shown}={answer}", shown, answer, right, line)]


def evaluate(text: str) -> Fraction | None:
    """The value of + − × ÷ with brackets (`*` and `/` for the last two), or None when it is not a sum."""
    tokens: list[str] = re.findall(r"\d+(?:\.\d+)?|[-+*/()]", text)
    if "".join(tokens) != text.replace(" ", "") or len(tokens) > 60:
        return None
    try:
        value, rest = _add(tokens, 0)
    except (ValueError, ZeroDivisionError, IndexError):
        return None
    return value if rest == len(tokens) else None


def _add(tokens: Sequence[str], at: int) -> tuple[Fraction, int]:
    value, at = _multiply(tokens, at)
    while at < len(tokens) and tokens[at] in "+-":
        sign = tokens[at]
        other, at = _multiply(tokens, at + 1)
        value = value + other if sign == "+" else value - other
    return value, at


def _multiply(tokens: Sequence[str], at: int) -> tuple[Fraction, int]:
    value, at = _atom(tokens, at)
    while at < len(tokens) and tokens[at] in "*/":
        sign = tokens[at]
        other, at = _atom(tokens, at + 1)
        value = value * other if sign == "*" else value / other
    return value, at


def _atom(tokens: Sequence[str], at: int) -> tuple[Fraction, int]:
    if tokens[at] == "(":
        value, at = _add(tokens, at + 1)
        if tokens[at] != ")":
            raise ValueError("a bracket is not closed")
        return value, at + 1
    return Fraction(tokens[at]), at + 1


def _remainder(left: str) -> str | None:
    match = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", left)
    if match is None or int(match[2]) == 0:
        return None
    whole, rest = divmod(int(match[1]), int(match[2]))
    return f"{whole}余{rest}"


def _show(value: Fraction) -> str:
    if value.denominator == 1:
        return str(value.numerator)
    decimal = value * 10**6
    if decimal.denominator == 1:
        return f"{float(value):.6f}".rstrip("0").rstrip(".")
    return f"{value.numerator}/{value.denominator}"


def _same(answer: str, right: str) -> bool:
    try:
        return Fraction(answer) == Fraction(right)
    except (ValueError, ZeroDivisionError):
        return False
