"""The order and grouping of lines on a page: rows, paragraphs, panels.

Pure geometry on boxes; nothing here reads meaning except where a sentence ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bot.engine.reader.page import Box, Line

_ENDS = re.compile(r"[。！？!?；;：:…]$")
#: begins something new: a numbered item, a bullet, `key：`
_NEW = re.compile(
    r"^\s*(?:[（(]?\d{1,2}[、.．)）](?!\d)|[一二三四五六七八九十]+、|[·•●■◆*-])|^[^，。：:]{1,8}[：:]|^[^\s，。]{2,6}\s+[^\s，。]{1,14}$"
)


@dataclass(frozen=True, slots=True)
class Block:
    """Lines that make one paragraph, caption or speech bubble."""

    lines: tuple[Line, ...]

    @property
    def text(self) -> str:
        return join(line.text for line in self.lines)

    @property
    def box(self) -> Box:
        return Box.around(line.box for line in self.lines)


def join(texts: Iterable[str]) -> str:
    """Wrapped lines as one: a space only after a Latin word."""
    out = ""
    for text in texts:
        latin = out[-1:].isascii() and out[-1:].isalpha() and text[:1].isascii() and text[:1].isalnum()
        out += f" {text}" if latin else text
    return out


def rows(lines: Iterable[Line]) -> list[list[Line]]:
    """Lines that stand beside each other, left to right; rows from the top."""
    found: list[list[Line]] = []
    for line in sorted(lines, key=lambda item: item.box.centre[1]):
        row = next((r for r in found[-3:] if _beside(r, line)), None)
        if row is None:
            found.append([line])
        else:
            row.append(line)
    found.sort(key=lambda row: sum(line.box.centre[1] for line in row) / len(row))
    return [sorted(row, key=lambda line: line.box.left) for row in found]


def _beside(row: list[Line], line: Line) -> bool:
    for other in row:
        if line.box.overlap_x(other.box) > 0.3 * min(line.box.width, other.box.width):
            return False
    near = min(row, key=lambda other: abs(line.box.centre[0] - other.box.centre[0]))
    shared = line.box.overlap_y(near.box)
    return shared > 0.55 * min(line.box.height, near.box.height)


def panels(frames: Sequence[Box]) -> tuple[Box, ...]:
    """The frames that are panels of one picture story: two or more of about the same size."""
    best: list[Box] = []
    for frame in frames:
        alike = [other for other in frames if _alike(frame, other)]
        if len(alike) > len(best):
            best = alike
    return tuple(best) if len(best) >= 2 else ()


def _alike(one: Box, other: Box) -> bool:
    return (
        abs(one.width - other.width) < 0.2 * max(one.width, other.width)
        and abs(one.height - other.height) < 0.25 * max(one.height, other.height)
    ) or (
        # the last panel of a strip is often as wide as two
        abs(one.height - other.height) < 0.15 * max(one.height, other.height) and one.height > 1.6 * one.width
    )


def reading_order(lines: Sequence[Line], frames: Sequence[Box] = ()) -> list[Line]:
    """Row by row; text inside panels that stand side by side is read panel by panel."""
    shown = panels(frames)
    if not any(a.overlap_y(b) > 0.5 * a.height for a in shown for b in shown if a is not b):
        return [line for row in rows(lines) for line in row]
    inside = {id(line): frame for line in lines for frame in shown if frame.contains(*line.box.centre)}
    groups: list[tuple[Box, list[Line]]] = [
        (frame, [line for line in lines if inside.get(id(line)) is frame]) for frame in shown
    ]
    groups += [(row[0].box, row) for row in rows(line for line in lines if id(line) not in inside)]
    groups.sort(key=lambda group: group[0].top)
    return [line for group in _by_rows(groups) for row in rows(group) for line in row]


def _by_rows(groups: list[tuple[Box, list[Line]]]) -> list[list[Line]]:
    bands: list[list[tuple[Box, list[Line]]]] = []
    for box, group in groups:
        band = next((b for b in bands if b[0][0].overlap_y(box) > 0.5 * min(b[0][0].height, box.height)), None)
        if band is None:
            bands.append([(box, group)])
        else:
            band.append((box, group))
    return [group for band in bands for _, group in sorted(band, key=lambda item: item[0].left)]


def blocks(lines: Sequence[Line], shown: Sequence[Box] = ()) -> list[Block]:
    """Paragraphs and bubbles: wrapped lines joined, everything else alone. Keeps the reading order.

    shown: panels; text of one never goes on in another.
    """
    groups: dict[int, list[Line]] = {}
    for line in lines:
        home = next((i for i, box in enumerate(shown) if box.contains(*line.box.centre)), -1)
        groups.setdefault(home, []).append(line)
    found = [block for group in groups.values() for block in _blocks(group)]
    place = {id(line): index for index, line in enumerate(lines)}
    return sorted(found, key=lambda block: place[id(block.lines[0])])


def _blocks(lines: Sequence[Line]) -> list[Block]:
    beside = {id(line) for row in rows(lines) if _crowded(row) for line in row}
    found: list[list[Line]] = []
    for line in lines:
        home = next((b for b in reversed(found[-6:]) if _continues(b, line, beside)), None)
        if home is None:
            found.append([line])
        else:
            home.append(line)
    return [Block(tuple(block)) for block in found]


def _crowded(row: list[Line]) -> bool:
    """A row of a table or of `key   value`: cells, not prose."""
    return len(row) >= 3 or (len(row) == 2 and all(len(line.text) <= 12 for line in row))


def _continues(block: list[Line], line: Line, beside: set[int]) -> bool:
    last = block[-1]
    one, two = last.box, line.box
    height = max(one.height, two.height)
    gap = two.top - one.bottom
    if abs(one.height - two.height) > 0.3 * height or not -0.5 * height < gap < 1.1 * height:
        return False
    if one.overlap_x(two) < 0.5 * min(one.width, two.width) or _NEW.match(line.text) or "=" in line.text:
        return False
    tight = gap < 0.35 * height
    centred = abs(one.centre[0] - two.centre[0]) < 0.5 * height
    flush = abs(one.left - two.left) < 0.7 * height or (len(block) == 1 and 0 < one.left - two.left < 2.5 * height)
    if id(last) in beside or id(line) in beside:
        return tight and (centred or flush) and not _ENDS.search(last.text) and max(one.width, two.width) > 6 * height
    if tight and (centred or flush):
        return not _ENDS.search(last.text) or max(one.width, two.width) > 8 * height
    right = max(item.box.right for item in block)
    full = one.right > max(right, two.right) - 1.6 * height and one.width > 8 * height
    return flush and full and not (_ENDS.search(last.text) and one.right < max(right, two.right) - 0.5 * height)
