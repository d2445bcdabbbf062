"""Text in a terminal's columns: Chinese characters take two, marks that sit on others none."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

#: from so many columns on, two texts stand beside each other
SIDE_BY_SIDE = 76
_GAP = " │ "
_EIGHTHS = " ▏▎▍▌▋▊▉"
#: what moves to the next line as one: a Latin word, or a character with the closing marks that may not begin a line
_UNIT = re.compile(r"[!-~]+|\s|[^\s!-~][，。、；：？！）》」』】”’…％]*")


def width(text: str) -> int:
    """Columns that a text without line ends takes (Unicode Standard Annex 11: W and F are two)."""
    return sum(_width(character) for character in text)


def printable(text: str) -> str:
    """The text without what a terminal would obey: control characters other than line ends, and direction marks."""
    kept = (character for character in text.expandtabs(4) if character == "\n" or _is_shown(character))
    return "".join(kept)


def pad(text: str, columns: int) -> str:
    """Filled up with spaces on the right; longer ones stay as they are."""
    return text + " " * max(0, columns - width(text))


def wrap(text: str, columns: int) -> list[str]:
    """Lines of at most `columns` (at least 4); a line's own beginning spaces stay, words too long are cut."""
    return [line for paragraph in printable(text).split("\n") for line in _wrapped(paragraph, max(columns, 4))]


def beside(left: str, right: str, columns: int) -> str:
    """Two texts side by side, each in half of the columns."""
    half = (columns - width(_GAP)) // 2
    one, other = wrap(left, half), wrap(right, half)
    rows = max(len(one), len(other))
    one, other = one + [""] * (rows - len(one)), other + [""] * (rows - len(other))
    return "\n".join((pad(a, half) + _GAP + b).rstrip() for a, b in zip(one, other, strict=True))


def bar(share: float, columns: int) -> str:
    """A bar of `share` (0 to 1) of the columns, to an eighth of one; what is more than nothing is seen."""
    eighths = round(min(max(share, 0.0), 1.0) * columns * 8)
    eighths = max(eighths, 1) if share > 0 else eighths
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def _is_shown(character: str) -> bool:
    # U+200D joins emoji; other format characters may turn the direction of a line, lone surrogates cannot be printed.
    return character == "\u200d" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp")


def _wrapped(paragraph: str, columns: int) -> Iterator[str]:
    line, used = "", 0
    for unit in _units(paragraph, columns):
        if used + width(unit) > columns:
            yield line.rstrip()
            # The space at which a line was broken is no beginning of the next.
            line = unit.lstrip()
            used = width(line)
        else:
            line, used = line + unit, used + width(unit)
    yield line.rstrip()


def _units(paragraph: str, columns: int) -> Iterator[str]:
    for unit in _UNIT.findall(paragraph):
        if width(unit) <= columns:
            yield unit
        else:
            yield from unit
