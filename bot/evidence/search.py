"""Looks for the claims of a report's text in what its pictures say."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bot.engine.reader.page import Line
from bot.evidence.names import names
from bot.evidence.scan import values
from bot.evidence.sightings import Picture, Sighting, fold, label_before
from bot.evidence.values import Value, alike, plain, same
from bot.report import Finding, Section

_CITED = re.compile(r"图\s*(\d{1,3})(?!\d)")
_SENTENCE_END = re.compile(r"(?:[。！？!?；;\n]|\.(?=\s))(?:\s*(?:\[图\d{1,3}\])+)?")
_FALLS = re.compile(r"[降减跌亏负低少]|零下")
#: characters before a value in which a word may say that it went down
_NEAR = 8


@dataclass(frozen=True, slots=True)
class _Claim:
    """A value in its sentence. cited: the pictures that the sentence names."""

    value: Value
    label: str
    cited: tuple[int, ...]
    falling: bool


def find(sections: Sequence[Section], pages: Mapping[int, Sequence[Line]], *, given: str = "") -> tuple[Finding, ...]:
    """Each number, date, time, code and quoted name of the text, and where a picture has it.

    pages: what OCR read in each picture, by the conversation's numbers; boxes are in pixels of the stored picture.
    given: what the user wrote; what only that has needs no picture and is left out. Numbers that count the text
    itself (图1, 第2节, 1.) are none. A value whose label stands in a picture with other values only counts as not
    found, wherever else it may be written. No pictures, no findings.
    """
    pictures = {number: Picture(lines) for number, lines in sorted(pages.items())}
    if not pictures:
        return ()
    search = _Search(pictures, given)
    return tuple(finding for index, section in enumerate(sections) for finding in search.section(index, section.text))


class _Search:
    def __init__(self, pictures: Mapping[int, Picture], given: str) -> None:
        self._pictures = pictures
        self._given = values(given)
        self._given_words = fold(given)
        self._seen: dict[_Claim, tuple[int, Sighting | None]] = {}

    def section(self, index: int, text: str) -> list[Finding]:
        """The findings of one section, in order and without overlap."""
        ends = [match.end() for match in _SENTENCE_END.finditer(text)]
        known = plain(text, read=False)
        claims = [_claim(text, known, value, ends) for value in values(text)]
        findings = [self._value(index, claim) for claim in claims]
        named = [self._name(index, text, ends, *span) for span in names(text)]
        return sorted(
            _settled([one for one in findings if one], [one for one in named if one]), key=lambda one: one.start
        )

    def _value(self, index: int, claim: _Claim) -> Finding | None:
        value = claim.value
        anywhere = replace(claim, value=replace(value, start=0, end=0))
        if anywhere not in self._seen:
            self._seen[anywhere] = self._sighting(anywhere)
        number, sighting = self._seen[anywhere]
        if sighting is None and any(same(value, other) for other in self._given):
            return None
        return Finding(index, value.start, value.end, number, sighting.box if sighting else None)

    def _sighting(self, claim: _Claim) -> tuple[int, Sighting | None]:
        """The best place, and the picture it is in; 0 where there is none or the pictures contradict."""
        found = [
            (number, sighting)
            for number, picture in self._pictures.items()
            for sighting in picture.like(claim.value)
            if self._says(claim, sighting.value, picture)
        ]
        if not found or self._contradicted(claim, found):
            return 0, None
        return min(found, key=lambda item: _rank(claim, *item))

    def _says(self, claim: _Claim, value: Value, picture: Picture) -> bool:
        if same(claim.value, value, falling=claim.falling):
            return True
        year, *rest = claim.value.parts or (None,)
        if claim.value.kind != "date" or year is None or rest[0] is None or value.kind != "date" or value.parts[0]:
            return False
        # The picture has the day here and the year elsewhere.
        whole_year = Value(0, 0, "date", parts=(year, None, None))
        elsewhere = any(same(whole_year, one.value) for one in picture.like(whole_year))
        return elsewhere and value.parts[1:] == tuple(rest)

    def _contradicted(self, claim: _Claim, found: Sequence[tuple[int, Sighting]]) -> bool:
        """The label is written in a picture, and what is written behind it is something else."""
        if not claim.label:
            return False
        labelled = [
            (number, sighting)
            for number, picture in self._pictures.items()
            for sighting in picture.labelled.get(claim.label, ())
            if alike(claim.value, sighting.value)
        ]
        asked = [item for item in labelled if item[0] in claim.cited] or labelled
        return bool(asked) and not any(item in found for item in asked)

    def _name(self, index: int, text: str, ends: Sequence[int], start: int, end: int) -> Finding | None:
        name = text[start:end]
        cited = _cited_around(text, start, ends)
        for number in sorted(self._pictures, key=lambda one: (one not in cited, one)):
            box = self._pictures[number].name(name)
            if box is not None:
                return Finding(index, start, end, number, box)
        return None if fold(name) in self._given_words else Finding(index, start, end)


def _claim(text: str, known: str, value: Value, ends: Sequence[int]) -> _Claim:
    before = known[max(0, value.start - _NEAR) : value.start]
    label = label_before(known, value.start) or _cell_label(known, value.start)
    return _Claim(value, label, _cited_around(text, value.start, ends), bool(_FALLS.search(before)))


def _cell_label(text: str, at: int) -> str:
    """In a table, what the cell before says."""
    line = text[text.rfind("\n", 0, at) + 1 : at]
    cells = line.split("|")
    if len(cells) < 3 or cells[-1].strip(" *¥$"):
        return ""
    return label_before(cells[-2].strip(" *"), len(cells[-2].strip(" *")))


def _cited_around(text: str, at: int, ends: Sequence[int]) -> tuple[int, ...]:
    """The pictures named in the sentence around `at`, those right behind its full stop included."""
    place = bisect_right(ends, at)
    first = ends[place - 1] if place else 0
    last = ends[place] if place < len(ends) else len(text)
    return tuple(int(number) for number in _CITED.findall(text[first:last]))


def _rank(claim: _Claim, number: int, sighting: Sighting) -> tuple[bool | int | float, ...]:
    """Smaller is better: cited, same label, same unit, first."""
    near = (
        bool(claim.label)
        and bool(sighting.label)
        and (claim.label.endswith(sighting.label) or sighting.label.endswith(claim.label))
    )
    return (
        number not in claim.cited,
        sighting.label != claim.label or not claim.label,
        not near,
        sighting.value.unit != claim.value.unit,
        number,
        sighting.box[1],
        sighting.box[0],
    )


def _settled(numbers: list[Finding], named: list[Finding]) -> list[Finding]:
    """Where a name holds numbers: the name if it was found as a whole, else the numbers."""
    kept: list[Finding] = []
    for name in named:
        free = not any(_overlap(name, other) for other in kept)
        if free and (name.found or not any(_overlap(name, one) for one in numbers)):
            kept.append(name)
    return kept + [one for one in numbers if not any(_overlap(one, name) for name in kept)]


def _overlap(one: Finding, other: Finding) -> bool:
    return one.start < other.end and other.start < one.end
