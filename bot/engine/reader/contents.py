"""Everything that a page states by its layout: pairs, tables, labelled numbers, panels, talk.

Taken in the page's own words: nothing is translated, completed or guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bot.engine.reader.chat import Utterance, find_chat
from bot.engine.reader.labels import Labelled, labelled
from bot.engine.reader.layout import Block, blocks, panels, rows
from bot.engine.reader.page import Box, Line, Page
from bot.engine.reader.pairs import Fact, find_pairs
from bot.engine.reader.tables import Table, find_tables


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
    talk: tuple[Utterance, ...]


def contents(page: Page) -> Contents:
    """Everything that the layout of one page says."""
    lines = rows(page.lines)
    tables = find_tables(lines)
    inside = {id(line) for table in tables for row in table.lines for line in row}
    rest = [[line for line in row if id(line) not in inside] for row in lines]
    shown, talk = panels(page.frames), find_chat(page)
    pairs = [] if talk else [fact for fact in find_pairs([row for row in rest if row]) if _together(fact, shown)]
    facts = [*pairs, *_cells(tables)]
    return Contents(
        page,
        tuple(map(tuple, lines)),
        tuple(blocks(page.lines, shown)),
        tuple(tables),
        tuple(facts),
        tuple(labelled(page.lines)),
        shown,
        tuple(talk),
    )


def _together(fact: Fact, shown: Sequence[Box]) -> bool:
    """A key and its value do not stand in different panels."""
    homes = {next((i for i, box in enumerate(shown) if box.contains(*line.box.centre)), -1) for line in fact.lines}
    return len(homes) == 1


def _cells(tables: Sequence[Table]) -> list[Fact]:
    found: list[Fact] = []
    for table in tables:
        for label, row, lines in zip(table.labels(), table.rows, table.lines[1:], strict=True):
            for key, value in zip(table.header, row, strict=True):
                if value:
                    found.append(Fact(key, value, lines, label, table=True))
    return found
