"""What a model wrote, held against what it was given: figures, names, links and calls that are nowhere in it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable

from handlers.digest_transcript import CLOSE, OPEN, neutral

UNFOUND = "〔原文未见〕"
_NUMBER = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{0,4}-?\d+(?:,\d{3}(?!\d))*(?:[.:：/-]\d+)*%?")
_LINK = re.compile(r"(?:https?://|www\.)[^\s<>()（）\[\]【】，。；！？、\"'“”]+", re.IGNORECASE)
_LABELLED = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_PICTURE = re.compile(r"\[?图\s*(\d{1,3})(?!\d)\]?")
_PERSON = re.compile(r"^(\s*[-*•]\s*\**)([^：:*\s]{1,20})(\**[：:])")
_HEADING = re.compile(r"^#{1,6}\s*(.+)$")
#: In these sections each line begins with a name.
_PEOPLE = "谁问"


def checked(text: str, given: Iterable[str], *, pictures: int = 0, names: Collection[str] = ()) -> str:
    """The text with what `given` does not have marked (figures, names) or taken out (links, calls, pictures).

    pictures: numbers up to this one exist. A single digit is let pass: it may count what the text itself lists.
    """
    material = "\n".join(given)
    numbers = {_plain(match[0]) for match in _NUMBER.finditer(_ascii(material))}
    links = links_of(material)
    section, lines = "", list[str]()
    for line in text.replace(OPEN, "").replace(CLOSE, "").splitlines():
        heading = _HEADING.match(line)
        section = heading[1] if heading else section
        indent = line[: len(line) - len(line.lstrip())]
        kept = indent + without_links(neutral(line), links)
        kept = _known_pictures(kept, pictures)
        kept = _marked_numbers(kept, numbers)
        lines.append(_marked_person(kept, names) if names and _PEOPLE in section else kept)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def links_of(text: str) -> list[str]:
    """The addresses in a text, each once, in order."""
    return list(dict.fromkeys(match.rstrip(".,;:!?") for match in _LINK.findall(text)))


def _ascii(text: str) -> str:
    """Full-width letters and digits as their twins; a full-width comma is no separator of thousands."""
    return "".join(unicodedata.normalize("NFKC", c) if c.isalnum() or c in "．％：" else c for c in text)


def _plain(number: str) -> str:
    return _ascii(number).replace(",", "").upper()


def without_links(line: str, known: Collection[str]) -> str:
    """A line without addresses that are not `known`, the words of links kept."""
    line = _LABELLED.sub(lambda match: match[1], line)
    return _LINK.sub(lambda match: match[0] if match[0].rstrip(".,;:!?") in known else "", line)


def _known_pictures(line: str, pictures: int) -> str:
    return _PICTURE.sub(lambda match: f"[图{int(match[1])}]" if 1 <= int(match[1]) <= pictures else "", line)


def _marked_numbers(line: str, known: Collection[str]) -> str:
    def mark(match: re.Match[str]) -> str:
        number = _plain(match[0])
        picture = line[: match.start()].endswith("图")
        fine = picture or number in known or len(number) < 2 or _inside(number, known)
        return match[0] if fine else match[0] + UNFOUND

    spared = [match.span() for match in _LINK.finditer(line)]
    return _NUMBER.sub(lambda match: match[0] if _covered(match.start(), spared) else mark(match), line)


def _covered(place: int, spans: Iterable[tuple[int, int]]) -> bool:
    return any(start <= place < end for start, end in spans)


def _inside(number: str, known: Collection[str]) -> bool:
    """A part of a known one, cut at its marks: 10 of 10:30, 1280 of 1280.00."""
    return any(number in re.split(r"[.:/-]", one) or one in (f"{number}.00", f"{number}.0") for one in known)


def _marked_person(line: str, names: Collection[str]) -> str:
    match = _PERSON.match(line)
    if match is None or match[2] in names:
        return line
    return f"{match[1]}{match[2]}{UNFOUND}{match[3]}{line[match.end() :]}"
