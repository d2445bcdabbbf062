"""Numbers of a chart with the labels that the layout gives them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

from bot.engine.reader.layout import rows
from bot.engine.reader.lexicon import CONCEPTS, concepts
from bot.engine.reader.page import Line
from bot.engine.reader.values import number


@dataclass(frozen=True, slots=True)
class Labelled:
    """A number with the label that the layout gives it (a bar and its name)."""

    label: str
    text: str
    value: Decimal
    lines: tuple[Line, ...]


#: fields whose digits are no quantity
_CODES = {concept.name for concept in CONCEPTS if concept.kind in ("code", "time", "phone")}
_VALUE = re.compile(r"^[¥￥]?[-+]?\d[\d,]*(?:\.\d+)?\s*(?:%|[万亿]?[元人件份单个台吨℃度次万亿]*)$")
_INLINE_VALUE = re.compile(
    r"^(.*?[^\W\d_）)])\s*[:：]?\s*([¥￥]?\d[\d,]*(?:\.\d+)?\s*%?)\s*(?:[万亿]?[元人件份单个台吨次]*)$"
)


def labelled(lines: Sequence[Line]) -> list[Labelled]:
    """Numbers of a chart with their labels: below the bar, beside the bar, or written in one run.

    A label whose number was not read has the text "": without it nothing can be said about the whole chart.
    """
    numbers = [line for line in lines if _VALUE.match(line.text)]
    numbers = [line for line in numbers if line not in _axis(numbers)]
    for way in (_upright, _lying, _inline):
        found = way(numbers, lines)
        if len(found) >= 2:
            return found
    return []


def _axis(numbers: Sequence[Line]) -> list[Line]:
    """Tick labels: numbers in the leftmost column or the lowest row that rise by equal steps."""
    if not numbers:
        return []
    first = min(numbers, key=lambda line: line.box.right)
    lowest = max(numbers, key=lambda line: line.box.centre[1])
    column = sorted((n for n in numbers if _aligned(first, n, 0)), key=lambda line: -line.box.centre[1])
    row = sorted((n for n in numbers if _aligned(lowest, n, 1)), key=lambda line: line.box.centre[0])
    return [line for group in (column, row) if _equal_steps(group) for line in group]


def _aligned(one: Line, other: Line, axis: int) -> bool:
    if axis == 1:
        return abs(one.box.centre[1] - other.box.centre[1]) < 0.4 * one.box.height
    near = min(abs(one.box.right - other.box.right), abs(one.box.left - other.box.left))
    return near < 0.5 * one.box.height


def _equal_steps(lines: Sequence[Line]) -> bool:
    values = [value for line in lines if (value := number(line.text)) is not None]
    steps = {b - a for a, b in pairwise(values)}
    return len(values) >= 3 and len(steps) == 1 and steps.pop() > 0


def _upright(numbers: Sequence[Line], lines: Sequence[Line]) -> list[Labelled]:
    """Bars that stand, points of a curve: the label row is below, each number over its label."""
    names = [row for row in rows(lines) if len(row) >= 3]
    names = [row for row in names if sum(not _VALUE.match(line.text) for line in row) >= 0.8 * len(row)]
    for row in reversed(names):
        pitch = (row[-1].box.centre[0] - row[0].box.centre[0]) / (len(row) - 1)
        above = [line for line in numbers if line.box.bottom <= row[0].box.top + 4]
        pairs = [(name, [n for n in above if _over(n, name, pitch)]) for name in row]
        if sum(len(found) == 1 for _, found in pairs) >= max(2, 0.6 * len(row)):
            return [_label(name, found[0]) if len(found) == 1 else _unread(name) for name, found in pairs]
    return []


def _over(line: Line, name: Line, pitch: float) -> bool:
    return abs(line.box.centre[0] - name.box.centre[0]) < 0.3 * pitch


def _lying(numbers: Sequence[Line], lines: Sequence[Line]) -> list[Labelled]:
    """Bars that lie: the label begins the row, its number ends the bar."""
    found: list[Labelled] = []
    for row in rows(lines):
        values = [line for line in row if line in numbers]
        names = [line for line in row if not _VALUE.match(line.text)]
        if len(values) == 1 and len(names) == 1 and names[0].box.left < values[0].box.left:
            found.append(_label(names[0], values[0]))
    ends = [one.lines[1].box.right for one in found]
    # a column of amounts set flush right is a form, not bars of different length
    return [] if not ends or max(ends) - min(ends) < found[0].lines[1].box.height else found


def _inline(_: Sequence[Line], lines: Sequence[Line]) -> list[Labelled]:
    """Slices of a pie, legends: `外卖 35%`."""
    found: list[Labelled] = []
    for line in lines:
        match = _INLINE_VALUE.match(line.text)
        value = number(match[2]) if match else None
        if match and value is not None and len(match[1]) <= 12 and not _CODES & concepts(match[1]).keys():
            found.append(Labelled(match[1].strip(" :："), match[2], value, (line,)))
    return found


def _unread(name: Line) -> Labelled:
    return Labelled(name.text, "", Decimal(0), (name,))


def _label(name: Line, value: Line) -> Labelled:
    return Labelled(name.text, value.text, number(value.text) or Decimal(0), (name, value))
