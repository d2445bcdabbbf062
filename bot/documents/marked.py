"""Markdown with the findings marked in it, through the parser and out again.

Before parsing, each finding is put between characters of Unicode's private use area, its number spelled in others of
them; the text's own ones have been replaced, so nothing that a model or a picture says can look like a mark.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

from bot.report import Finding

_START: Final = "\ue000"
_END: Final = "\ue001"
_ZERO: Final = 0xE010
_MARK: Final = re.compile("\ue000([\ue010-\ue019]+)|\ue001")
_RESERVED: Final = re.compile("[\ue000-\ue01f]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
#: What a line may begin with before its text: quotes, bullets, numbers of list items.
_ITEMS: Final = re.compile(r"^(?:[ \t]*(?:>|[-*+](?=\s|$)|\d{1,9}[.)](?=\s|$)))+", re.M)
_PLACED: Final = re.compile(r"图\s*(\d{1,3})")


def _clean_entities(state: StateCore) -> None:
    """`&#xE000;` is a mark's character too, spelled so that it passes by what was replaced before parsing."""
    for token in state.tokens:
        for child in token.children or ():
            if child.type == "text_special" and child.info == "entity":
                child.content = cleaned(child.content)


class _Parser(MarkdownIt):
    """Raw HTML is text, addresses lose the marks that fell into them and lead to http and https only."""

    def __init__(self) -> None:
        super().__init__("commonmark", {"html": False})
        self.enable(["table", "strikethrough"])
        self.core.ruler.before("text_join", "no_marks_from_entities", _clean_entities)

    def normalizeLink(self, url: str) -> str:
        """Without marks."""
        return super().normalizeLink(unmarked(url))

    def validateLink(self, url: str) -> bool:
        """http and https; `图1` for pictures."""
        return url.lower().startswith(("http://", "https://")) or picture_number(url) > 0


_parser: Final = _Parser()
OPTIONS: Final = _parser.options


def parse(text: str, findings: Mapping[int, Finding]) -> list[Token]:
    """The tokens of a section's text, findings (by a number of their own) marked in the tokens' contents.

    A number that begins a list item is no text, and stays without a mark.
    """
    items = [match.span() for match in _ITEMS.finditer(text)]
    shown = {
        number: finding
        for number, finding in findings.items()
        if not any(start <= finding.start < end for start, end in items)
    }
    marks = [(finding.start, 1, f"{_START}{_spelled(number)}") for number, finding in shown.items()]
    marks += [(finding.end, 0, _END) for finding in shown.values()]
    pieces: list[str] = []
    at = 0
    for place, _, mark in sorted(marks):
        pieces += [cleaned(text[at:place]), mark]
        at = max(at, place)
    return _parser.parse("".join([*pieces, cleaned(text[at:])]))


def cleaned(text: str) -> str:
    """Nothing that could be taken for a mark, nor what no document may hold (control characters)."""
    return _RESERVED.sub("\ufffd", text)


def unmarked(text: str) -> str:
    """Without marks, for attributes."""
    return _MARK.sub("", text)


def picture_number(address: str) -> int:
    """The number that a picture's address names (`图1`, percent-encoded by the parser), or 0."""
    match = _PLACED.fullmatch(unquote(address).strip())
    return int(match[1]) if match else 0


class Pieces:
    """Cuts the contents of tokens at the marks; a finding may begin in one token and end in another."""

    def __init__(self) -> None:
        self._current: int | None = None

    def cut(self, content: str) -> Iterator[tuple[str, int | None]]:
        """Each piece with the number of its finding."""
        at = 0
        for match in _MARK.finditer(content):
            if match.start() > at:
                yield content[at : match.start()], self._current
            self._current = _number(match[1]) if match[1] else None
            at = match.end()
        if at < len(content):
            yield content[at:], self._current

    def end_block(self) -> None:
        """A finding does not go on in the next paragraph."""
        self._current = None


def _spelled(number: int) -> str:
    return "".join(chr(_ZERO + int(digit)) for digit in str(number))


def _number(spelled: str) -> int:
    return int("".join(str(ord(char) - _ZERO) for char in spelled))
