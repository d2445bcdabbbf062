"""What a picture says: its values with their boxes and labels, and its words for names to be looked for."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from bot.engine.reader.page import Line
from bot.evidence.scan import values
from bot.evidence.values import Value, key, keys, plain

Box = tuple[float, float, float, float]

_LABEL = re.compile(
    r"([\u4e00-\u9fffA-Za-z][\u4e00-\u9fffA-Za-z0-9 ]*?)\s*(?:为|是|:|=|约|共计?|达到?|仅|了|\*|`)*\s*[¥$]?\s*$"
)
_EDGE = re.compile(r"[\n。;,，、!?|()\[\]]")
_PREFIX = re.compile(r"^(?:本次|本月|本单|其中|其|该|此|图中|实际|最终)(?=..)")
#: characters before a value in which its label may stand
_LONGEST_LABEL = 40
#: fewer names than this many characters say nothing
_SHORTEST = 2
#: a name that is broken over more lines than this is shown by its first one
_MOST_LINES = 3


@dataclass(frozen=True, slots=True)
class Sighting:
    """A value that a picture shows. label: what stands before it, or to its left."""

    value: Value
    box: Box
    label: str


class Picture:
    """One picture's lines, in reading order."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self._lines = lines
        self._by_key: dict[Hashable, list[Sighting]] = {}
        self.labelled: dict[str, list[Sighting]] = {}
        for line in lines:
            for sighting in self._of(line):
                for name in keys(sighting.value):
                    self._by_key.setdefault(name, []).append(sighting)
                self.labelled.setdefault(sighting.label, []).append(sighting)
        self._text, self._places = _folded_lines(lines)

    def like(self, value: Value) -> list[Sighting]:
        """What may say the same."""
        return self._by_key.get(key(value), [])

    def _of(self, line: Line) -> list[Sighting]:
        found = values(line.text, read=True)
        return [Sighting(value, share(line, value.start, value.end), self._label(line, value)) for value in found]

    def _label(self, line: Line, value: Value) -> str:
        text = plain(line.text, read=True)
        own = label_before(text, value.start)
        if own or text[: value.start].strip(" :*"):
            return own
        left = self._left_of(line)
        return "" if left is None else label_before(plain(left.text, read=True), len(left.text))

    def _left_of(self, line: Line) -> Line | None:
        """The nearest line in the same row."""
        box = line.box
        row = [
            other
            for other in self._lines
            if other.box.right <= box.left + box.height / 2
            and other.box.overlap_y(box) > 0.5 * min(other.box.height, box.height)
        ]
        return max((other for other in row if other is not line), key=lambda other: other.box.right, default=None)

    def name(self, name: str) -> Box | None:
        """Where a name is written, spaces and marks aside; a name within a longer Latin word is not meant."""
        wanted = fold(name)
        at = self._text.find(wanted) if len(wanted) >= _SHORTEST else -1
        while at >= 0:
            if self._is_whole(at, at + len(wanted)):
                return self._span(at, at + len(wanted))
            at = self._text.find(wanted, at + 1)
        return None

    def _is_whole(self, start: int, end: int) -> bool:
        return not (self._joined(start - 1) or self._joined(end - 1))

    def _joined(self, at: int) -> bool:
        """The characters at `at` and behind it are of one Latin word."""
        if not 0 <= at < len(self._text) - 1:
            return False
        (line, one), (other, two) = self._places[at], self._places[at + 1]
        return line == other and two == one + 1 and self._text[at : at + 2].isascii()

    def _span(self, start: int, end: int) -> Box:
        shares: dict[int, list[int]] = {}
        for line, at in self._places[start:end]:
            shares.setdefault(line, []).append(at)
        boxes = [share(self._lines[line], min(ats), max(ats) + 1) for line, ats in shares.items()]
        if len(boxes) > _MOST_LINES:
            return boxes[0]
        lefts, tops, rights, bottoms = zip(*boxes, strict=True)
        return min(lefts), min(tops), max(rights), max(bottoms)


def _folded_lines(lines: Sequence[Line]) -> tuple[str, list[tuple[int, int]]]:
    """All words run together, and the line and character that each came from."""
    chars: list[str] = []
    places: list[tuple[int, int]] = []
    for number, line in enumerate(lines):
        for at, char in enumerate(line.text):
            for folded in fold(char):
                chars.append(folded)
                places.append((number, at))
    return "".join(chars), places


def fold(text: str) -> str:
    """Letters and digits only, of one width and case."""
    return "".join(char for char in unicodedata.normalize("NFKC", text).casefold() if char.isalnum())


def label_before(text: str, at: int) -> str:
    """The words that say what the value at `at` is, back to the last mark; empty where none do. text: plain."""
    near = text[max(0, at - _LONGEST_LABEL) : at]
    match = _LABEL.search(_EDGE.split(near)[-1])
    if match is None:
        return ""
    label = _PREFIX.sub("", match[1].rpartition("的")[2].replace(" ", ""))
    return label if len(label) >= _SHORTEST else ""


def share(line: Line, start: int, end: int) -> Box:
    """The part of a line's box that its characters from start to end take, wide ones counted twice."""
    widths = [2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in line.text]
    total = sum(widths) or 1
    first, last = sum(widths[:start]) / total, sum(widths[:end]) / total
    box = line.box
    if box.height > 2 * box.width and len(line.text) > 2:
        return (box.left, box.top + first * box.height, box.right, box.top + last * box.height)
    return (box.left + first * box.width, box.top, box.left + last * box.width, box.bottom)
