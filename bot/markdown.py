"""Markdown of models turned into what a platform shows.

Line by line, and nothing else is touched: what a picture said must arrive as it was read. A kind that the platform
shows stays as it is; any other becomes plain text that still reads well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import zip_longest

_FENCE = re.compile(r"^ {0,3}(```+|~~~+)\s*([\w+#.-]*)\s*$")
_HEADING = re.compile(r"^ {0,3}(#{1,6})[ \t]+(.*?)(?:[ \t]+#+)?[ \t]*$")
_QUOTE = re.compile(r"^ {0,3}>[ \t]?")
_BULLET = re.compile(r"^([ \t]*)[*+-][ \t]+(?=\S)")
_RULE = re.compile(r"^ {0,3}(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,})$")
_DELIMITER = re.compile(r"^[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$")
_CODE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")
_PICTURE = re.compile(r"!\[([^\]\n]*)\]\(([^()\s]+)(?:[ \t]+\"[^\"]*\")?\)")
_LINK = re.compile(r"(?<!!)\[([^\]\n]+)\]\(([^()\s]+)(?:[ \t]+\"[^\"]*\")?\)")
# Not __bold__: an identifier that was read from a picture looks the same.
_BOLD = re.compile(r"\*\*(?=\S)(.+?)(?<=\S)\*\*")


def degrade(text: str, kept: AbstractSet[str]) -> str:
    """The text without the kinds of markdown that are not in `kept` (see `bot.adapter.Markdown`)."""
    return "\n".join(_lines(text.split("\n"), kept))


def _lines(lines: Sequence[str], kept: AbstractSet[str]) -> Iterator[str]:
    at = 0
    while at < len(lines):
        fence = _FENCE.match(lines[at])
        end = _fence_end(lines, at, fence[1]) if fence else 0
        if end:
            yield from lines[at : end + 1] if "code" in kept else lines[at + 1 : end]
            at = end + 1
            continue
        end = _table_end(lines, at)
        if end:
            yield from lines[at:end] if "table" in kept else _table(lines[at:end], kept)
            at = end
            continue
        yield _line(lines[at], kept)
        at += 1


def _fence_end(lines: Sequence[str], start: int, mark: str) -> int:
    """The line that closes a fence; a fence that nobody closes is text."""
    for at in range(start + 1, len(lines)):
        closing = _FENCE.match(lines[at])
        if closing and closing[1].startswith(mark) and not closing[2]:
            return at
    return 0


def _table_end(lines: Sequence[str], start: int) -> int:
    """Behind the last row of the table that starts here; 0 when there is none."""
    if start + 1 >= len(lines) or "|" not in lines[start]:
        return 0
    if not _DELIMITER.match(lines[start + 1]) or len(_cells(lines[start])) != len(_cells(lines[start + 1])):
        return 0
    end = start + 2
    while end < len(lines) and "|" in lines[end]:
        end += 1
    return end


def _cells(row: str) -> list[str]:
    inner = row.strip().removeprefix("|").removesuffix("|")
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", inner)]


def _table(rows: Sequence[str], kept: AbstractSet[str]) -> Iterator[str]:
    """Each row on a line: two columns as a pair, more with the column's name before each value."""
    head = [_inline(cell, kept) for cell in _cells(rows[0])]
    for row in rows[2:]:
        cells = [_inline(cell, kept) for cell in _cells(row)]
        if len(head) == 2 and len(cells) == 2:
            yield f"{cells[0]}：{cells[1]}"
        else:
            pairs = zip_longest(head, cells, fillvalue="")
            yield "；".join(f"{name}：{cell}" if name else cell for name, cell in pairs if cell)
    if len(rows) == 2:
        yield "、".join(head)


def _line(line: str, kept: AbstractSet[str]) -> str:
    heading = _HEADING.match(line)
    if heading and "heading" not in kept:
        words = _inline(_plain_bold(heading[2]), kept)
        return f"**{words}**" if "bold" in kept and words else words if len(heading[1]) > 1 else f"【{words}】"
    if _RULE.match(line) and "heading" not in kept:
        return "————"
    if "quote" not in kept:
        line = _QUOTE.sub("", line)
    if "list" not in kept:
        line = _BULLET.sub(r"\1• ", line)
    return _inline(line, kept)


def _inline(text: str, kept: AbstractSet[str]) -> str:
    """Code spans are taken out first: nothing inside them is markdown."""
    pieces: list[str] = []
    at = 0
    for span in _CODE.finditer(text):
        pieces += [_words(text[at : span.start()], kept), span[0] if "code" in kept else span[2].strip()]
        at = span.end()
    return "".join([*pieces, _words(text[at:], kept)])


def _words(text: str, kept: AbstractSet[str]) -> str:
    # A picture that a model names by an address is never fetched by anybody: only its words stay.
    text = _PICTURE.sub(lambda found: f"[{found[1]}]" if found[1] else "", text)
    if "link" not in kept:
        text = _LINK.sub(lambda found: found[1] if found[1] == found[2] else f"{found[1]}（{found[2]}）", text)
    return text if "bold" in kept else _plain_bold(text)


def _plain_bold(text: str) -> str:
    return _BOLD.sub(r"\1", text)
