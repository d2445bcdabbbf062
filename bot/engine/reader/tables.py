"""Tables: rows of cells that stand under a row of names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bot.engine.reader.page import Box, Line
from bot.engine.reader.pairs import split_pairs


@dataclass(frozen=True, slots=True)
class Table:
    """header: the columns' names. rows: per row one text per column, empty where there is none."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[tuple[Line, ...], ...]

    def labels(self) -> list[str]:
        """What names each row: its first cell that is not a running number."""
        return [next((c for c in row if c and not c.isdigit()), row[0]) for row in self.rows]


def find_tables(lines: Sequence[Sequence[Line]]) -> list[Table]:
    """Runs of rows that stand under a header row of three or more (or two wide-apart) names."""
    found: list[Table] = []
    start = 0
    while start < len(lines):
        tables = [_table_at(part, 0) for part in _side_by_side(lines[start:])]
        found += [table for table, _ in tables if table is not None]
        start += max(used for _, used in tables)
    return found


def _side_by_side(lines: Sequence[Sequence[Line]]) -> list[Sequence[Sequence[Line]]]:
    """Two tables beside each other repeat their header; each gets its half of the rows."""
    header = lines[0]
    half = len(header) // 2
    names = [line.text for line in header]
    if len(header) < 6 or names[:half] != names[half:]:
        return [lines]
    edge = header[half].box.left - header[half].box.height
    left = [[line for line in row if line.box.left < edge] for row in lines]
    right = [[line for line in row if line.box.left >= edge] for row in lines]
    return [[row for row in part if row] for part in (left, right)]


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
    if len(row) < max(2, 0.6 * len(header)) or len(row) > len(header) + 1:
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
