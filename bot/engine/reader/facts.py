"""What a page states as `key: value`: pairs, tables and numbers with labels.

Taken from the layout alone, in the page's own words: nothing is translated, completed or guessed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from bot.engine.reader.layout import Block, blocks, panels, rows
from bot.engine.reader.lexicon import CONCEPTS, concepts
from bot.engine.reader.page import Box, Line, Page
from bot.engine.reader.values import number


@dataclass(frozen=True, slots=True)
class Fact:
    """key and value as written; context: what it belongs to (the row of a table, the party above)."""

    key: str
    value: str
    lines: tuple[Line, ...]
    context: str = ""
    table: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """header: the columns' names. rows: per row one text per column, empty where there is none."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[tuple[Line, ...], ...]

    def labels(self) -> list[str]:
        """What names each row: its first cell that is not a running number."""
        return [next((c for c in row if c and not c.isdigit()), row[0]) for row in self.rows]


@dataclass(frozen=True, slots=True)
class Labelled:
    """A number with the label that the layout gives it (a bar and its name)."""

    label: str
    text: str
    value: Decimal
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Contents:
    """A page with everything that was found on it."""

    page: Page
    rows: tuple[tuple[Line, ...], ...]
    blocks: tuple[Block, ...]
    tables: tuple[Table, ...]
    facts: tuple[Fact, ...]
    labelled: tuple[Labelled, ...]
    panels: tuple[Box, ...]


def contents(page: Page) -> Contents:
    """Everything that the layout of one page says."""
    lines = rows(page.lines)
    tables = find_tables(lines)
    inside = {id(line) for table in tables for row in table.lines for line in row}
    rest = [[line for line in row if id(line) not in inside] for row in lines]
    facts = [*_pairs([row for row in rest if row]), *_cells(tables)]
    return Contents(
        page,
        tuple(map(tuple, lines)),
        tuple(blocks(page.lines)),
        tuple(tables),
        tuple(facts),
        tuple(labelled(page.lines)),
        panels(page.frames),
    )


# --- pairs -----------------------------------------------------------------------------------------------

_INLINE = re.compile(r"(?:^|(?<=[\s;；,，|｜/]))([^\s:：，。；;|｜]{1,14}?(?:[（(][^）)]{1,6}[）)])?)\s*[:：]\s*(?!//)")
_BUTTON = re.compile(r"^(?:复制|查看|展开|收起|去评价|更多|详情|修改|编辑|[>＞›»]+)$")


def _pairs(lines: Sequence[Sequence[Line]]) -> list[Fact]:
    found: list[Fact] = []
    for row in lines:
        found += _row_pairs(row)
    return _with_context(found)


def _row_pairs(row: Sequence[Line]) -> list[Fact]:
    """Pairs written with a colon inside lines, then `label   value` across a row."""
    cells = [line for line in row if not _BUTTON.match(line.text)]
    found: list[Fact] = []
    plain: list[Line] = []
    for line in cells:
        inline = split_pairs(line.text)
        found += [Fact(key, value, (line,)) for key, value in inline]
        if not inline:
            plain.append(line)
    if found and not found[-1].value and plain and plain[-1].box.left > found[-1].lines[0].box.left:
        last = found.pop()
        found.append(Fact(last.key, plain[-1].text, (*last.lines, plain[-1])))
    elif found and plain:
        found = _append_rest(found, plain)
    elif len(plain) >= 2:
        found += _across(plain)
    return [fact for fact in found if fact.value]


def _append_rest(found: list[Fact], plain: list[Line]) -> list[Fact]:
    """`价税合计（大写）：捌佰圆   (小写)¥800.00` is one fact: what stands behind a pair belongs to it."""
    last = found[-1]
    behind = [line for line in plain if line.box.left > last.lines[0].box.left and re.search(r"\d", line.text)]
    if not behind:
        return found
    value = " ".join([last.value, *(line.text for line in behind)])
    return [*found[:-1], Fact(last.key, value, (*last.lines, *behind))]


def split_pairs(text: str) -> list[tuple[str, str]]:
    """`key：value` pairs of one line. Clock times and addresses of web pages are not pairs."""
    marks = [match for match in _INLINE.finditer(text) if _is_key(match[1])]
    if not marks or (marks[0].start() > 8 and not re.search(r"\s", text[: marks[0].start()])):
        return []
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    return [(m[1], text[m.end() : end].strip(" ;；,，|｜/")) for m, end in zip(marks, ends, strict=True)]


def _is_key(text: str) -> bool:
    return bool(re.search(r"[^\W\d_]", text)) and not re.search(r"\d$", text) and len(text) <= 14


def _across(row: Sequence[Line]) -> list[Fact]:
    if len(row) >= 4 and len(row) % 2 == 0 and all(_is_label(line.text) for line in row[::2]):
        if not all(_is_label(line.text) for line in row[1::2]):
            pairs = zip(row[::2], row[1::2], strict=True)
            return [Fact(key.text, value.text, (key, value)) for key, value in pairs]
    if not _is_label(row[0].text) or (len(row) > 2 and all(_is_label(line.text) for line in row)):
        return []
    return [Fact(row[0].text, " ".join(line.text for line in row[1:]), tuple(row))]


def _is_label(text: str) -> bool:
    """Short, with letters, without digits or sentence marks."""
    return (
        len(text) <= 12
        and bool(re.search(r"[^\W\d_]", text))
        and not re.search(r"[\d¥￥。！？!?，…]", text)
    )


def _with_context(facts: Sequence[Fact]) -> list[Fact]:
    """A pair that repeats a key (`税号` twice) belongs to the pair right above it in its column."""
    keys = [fact.key for fact in facts]
    out: list[Fact] = []
    for index, fact in enumerate(facts):
        above = [other for other in facts[:index] if other.key != fact.key and _stands_on(other, fact)]
        if keys.count(fact.key) > 1 and above:
            fact = Fact(fact.key, fact.value, fact.lines, _owner(above, keys).key)
        out.append(fact)
    return out


def _owner(above: Sequence[Fact], keys: Sequence[str]) -> Fact:
    """The nearest pair above whose key is the only one of its name."""
    single = [fact for fact in above if keys.count(fact.key) == 1]
    return (single or above)[-1]


def _stands_on(upper: Fact, lower: Fact) -> bool:
    one, two = upper.lines[0].box, lower.lines[0].box
    return abs(one.left - two.left) < two.height and 0 < two.top - one.top < 5 * two.height


# --- tables ----------------------------------------------------------------------------------------------


def find_tables(lines: Sequence[Sequence[Line]]) -> list[Table]:
    """Runs of rows that stand under a header row of three or more (or two wide-apart) names."""
    found: list[Table] = []
    start = 0
    while start < len(lines):
        table, used = _table_at(lines, start)
        if table is not None:
            found.append(table)
        start += used
    return found


def _table_at(lines: Sequence[Sequence[Line]], start: int) -> tuple[Table | None, int]:
    header = lines[start]
    if len(header) < 3 or not all(_is_heading(line.text) for line in header):
        return None, 1
    body: list[Sequence[Line]] = []
    height = max(line.box.height for line in header)
    last = max(line.box.bottom for line in header)
    for row in lines[start + 1 :]:
        top = min(line.box.top for line in row)
        if not _in_columns(header, row) or top - last > 3.5 * height:
            break
        body.append(row)
        last = max(line.box.bottom for line in row)
    if not body or not any(re.search(r"\d", line.text) for row in body for line in row):
        return None, 1
    names = tuple(line.text for line in header)
    table = Table(names, tuple(_place(header, row) for row in body), (tuple(header), *map(tuple, body)))
    return table, len(body) + 1


def _is_heading(text: str) -> bool:
    return len(text) <= 14 and not re.search(r"[¥￥:：。]|\d[\d.,]{2,}", text) and not re.fullmatch(r"[\d.,%]+", text)


def _in_columns(header: Sequence[Line], row: Sequence[Line]) -> bool:
    if len(row) < 2 or len(row) > len(header) + 1:
        return False
    if any(split_pairs(line.text) for line in row):
        return False
    return len({_column(header, line.box) for line in row}) == len(row)


def _column(header: Sequence[Line], box: Box) -> int:
    """The column that a cell lies in: edges or centres agree best."""

    def off(line: Line) -> float:
        head = line.box
        return min(abs(head.left - box.left), abs(head.right - box.right), abs(head.centre[0] - box.centre[0]))

    return min(range(len(header)), key=lambda index: off(header[index]))


def _place(header: Sequence[Line], row: Sequence[Line]) -> tuple[str, ...]:
    texts = [""] * len(header)
    for line in row:
        texts[_column(header, line.box)] = line.text
    return tuple(texts)


def _cells(tables: Sequence[Table]) -> list[Fact]:
    found: list[Fact] = []
    for table in tables:
        for label, row, lines in zip(table.labels(), table.rows, table.lines[1:], strict=True):
            for key, value in zip(table.header, row, strict=True):
                if value:
                    found.append(Fact(key, value, lines, label, table=True))
    return found


# --- labelled numbers ------------------------------------------------------------------------------------

#: fields whose digits are no quantity
_CODES = {concept.name for concept in CONCEPTS if concept.kind in ("code", "time", "phone")}
_VALUE = re.compile(r"^[¥￥]?[-+]?\d[\d,]*(?:\.\d+)?\s*(?:%|[万亿]?[元人件份单个台吨℃度次万亿]*)$")
_INLINE_VALUE = re.compile(r"^(.*?[^\W\d_）)])\s*[:：]?\s*([¥￥]?\d[\d,]*(?:\.\d+)?\s*%?)\s*(?:[万亿]?[元人件份单个台吨次]*)$")


def labelled(lines: Sequence[Line]) -> list[Labelled]:
    """Numbers of a chart with their labels: below the bar, beside the bar, or written in one run."""
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
    steps = {b - a for a, b in zip(values, values[1:], strict=False)}
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
            return [_label(name, found[0]) for name, found in pairs if len(found) == 1]
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
    return found


def _inline(_: Sequence[Line], lines: Sequence[Line]) -> list[Labelled]:
    """Slices of a pie, legends: `外卖 35%`."""
    found: list[Labelled] = []
    for line in lines:
        match = _INLINE_VALUE.match(line.text)
        value = number(match[2]) if match else None
        if match and value is not None and len(match[1]) <= 12 and not _CODES & concepts(match[1]).keys():
            found.append(Labelled(match[1].strip(" :："), match[2], value, (line,)))
    return found


def _label(name: Line, value: Line) -> Labelled:
    return Labelled(name.text, value.text, number(value.text) or Decimal(0), (name, value))
