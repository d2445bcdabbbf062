"""A report: titled sections of Markdown with pictures placed in them, and what speaks for its figures."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from bot.message import Image

_HEADING = re.compile(r"^ {0,3}(#{1,2})[ \t]+(.*?)[ \t#]*$")
#: 192 bits: the id is all that a page asks for.
_ID_BYTES = 24
_FENCE = re.compile(r"^ {0,3}(?:```|~~~)")


@dataclass(frozen=True, slots=True)
class Section:
    """title: without marks. text: Markdown; `![图1](图1)` on a line of its own places a picture, [图1] cites it."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A number or name of the text, and where it was found.

    section: its index; start, end: characters of that section's text. picture: the number of the picture, 0 where
    none has it. box: left, top, right, bottom in pixels of the stored picture.
    """

    section: int
    start: int
    end: int
    picture: int = 0
    box: tuple[float, float, float, float] | None = None

    @property
    def found(self) -> bool:
        """Some picture has it."""
        return self.picture > 0


@dataclass(frozen=True, slots=True)
class Report:
    """id: unguessable, the name of its page. pictures: by the conversation's numbers. notice: the last line, always
    shown (medical reports). created_at, expires_at: seconds since 1970."""

    id: str
    title: str
    sections: tuple[Section, ...]
    pictures: Mapping[int, Image] = field(default_factory=dict[int, Image])
    findings: tuple[Finding, ...] = ()
    notice: str = ""
    template: str = ""
    created_at: float = 0.0
    expires_at: float = 0.0

    @property
    def markdown(self) -> str:
        """The whole text."""
        parts = [f"# {self.title}"]
        for section in self.sections:
            parts += [f"## {section.title}", section.text] if section.title else [section.text]
        return "\n\n".join([*parts, *([self.notice] if self.notice else [])])

    def map_text(self, change: Callable[[str], str]) -> Report:
        """The same report with its texts changed; findings of a section whose length that changes are dropped."""
        sections = tuple(Section(change(one.title), change(one.text)) for one in self.sections)
        kept = [len(old.text) == len(new.text) for old, new in zip(self.sections, sections, strict=True)]
        findings = tuple(one for one in self.findings if kept[one.section])
        return replace(self, title=change(self.title), sections=sections, findings=findings)


def new_id() -> str:
    """An id that nobody guesses; letters, digits, `-` and `_`."""
    return secrets.token_urlsafe(_ID_BYTES)


def parse(markdown: str) -> tuple[str, tuple[Section, ...]]:
    """The title and the sections of a text: `#` is the title, `##` (or a later `#`) begins a section.

    What stands before the first section is one without a title. Headings inside code are text.
    """
    title, heading, fenced = "", "", False
    lines: list[str] = []
    sections: list[Section] = []
    for line in markdown.strip().splitlines():
        fenced ^= _FENCE.match(line) is not None
        found = None if fenced else _HEADING.match(line)
        if found is None:
            lines.append(line)
        elif found[1] == "#" and not title and not sections:
            title = found[2].strip("* ")
        else:
            _end(sections, heading, lines)
            heading, lines = found[2].strip("* "), []
    _end(sections, heading, lines)
    return title, tuple(sections)


def _end(sections: list[Section], heading: str, lines: list[str]) -> None:
    text = "\n".join(lines).strip()
    if heading or text:
        sections.append(Section(heading, text))
