"""The findings of a report as a list to check by: what the text says, and where a picture says the same."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bot.documents.marked import cleaned
from bot.message import Image
from bot.report import Finding, Report

UNFOUND = "未找到依据"
_SYNTAX = re.compile(r"!?\[([^\]\n]*)\](?:\([^)\n]*\))?|[*`~#>|]+|^[ \t]*(?:[-+]|\d{1,3}[.)])[ \t]+")
_EDGE = re.compile(r"[。！？!?；;\n]")
#: a finding neither begins nor ends with one of these
_CUTS = re.compile(r"[\s*_`~|\[\]()<>#!\\]")
#: characters of context on either side
_AROUND = 18


@dataclass(frozen=True, slots=True)
class Entry:
    """number: of the finding, from 0, in the order of the text. words: what the text says. before, after: the rest of
    its sentence, cut. place: Chinese, where it was found."""

    number: int
    finding: Finding
    words: str
    before: str
    after: str
    place: str


def checklist(report: Report) -> list[Entry]:
    """All findings that fit the text, in its order."""
    entries: list[Entry] = []
    for finding in sorted(valid(report), key=lambda one: (one.section, one.start)):
        text = report.sections[finding.section].text
        before, after = text[: finding.start], text[finding.end :]
        entries.append(
            Entry(
                len(entries),
                finding,
                _bare(text[finding.start : finding.end]),
                _end(_bare(_EDGE.split(before)[-1])),
                _start(_bare(_EDGE.split(after)[0])),
                _place(finding, report.pictures),
            )
        )
    return entries


def valid(report: Report) -> Sequence[Finding]:
    """Without those that lie outside the text or in one another, or cut Markdown's own marks, as of a changed text."""
    kept: list[Finding] = []
    ends: dict[int, int] = {}
    for finding in sorted(report.findings, key=lambda one: (one.section, one.start)):
        inside = 0 <= finding.section < len(report.sections)
        if inside and finding.start >= ends.get(finding.section, 0) and _fits(finding, report):
            kept.append(finding)
            ends[finding.section] = finding.end
    return kept


def _fits(finding: Finding, report: Report) -> bool:
    text = report.sections[finding.section].text
    if not 0 <= finding.start < finding.end <= len(text):
        return False
    return not _CUTS.search(text[finding.start] + text[finding.end - 1])


def by_section(entries: Sequence[Entry], section: int) -> dict[int, Finding]:
    """One section's findings by their numbers."""
    return {entry.number: entry.finding for entry in entries if entry.finding.section == section}


def unfound(entries: Sequence[Entry]) -> list[Entry]:
    """Those to be checked by a person."""
    return [entry for entry in entries if not entry.finding.found]


def _end(text: str) -> str:
    return text if len(text) <= _AROUND else f"…{text[-_AROUND:]}"


def _start(text: str) -> str:
    return text if len(text) <= _AROUND else f"{text[:_AROUND]}…"


def _bare(text: str) -> str:
    return " ".join(cleaned(_SYNTAX.sub(r"\1", text)).split())


def _place(finding: Finding, pictures: Mapping[int, Image]) -> str:
    if not finding.found:
        return UNFOUND
    image = pictures.get(finding.picture)
    if image is None or finding.box is None or not (image.width and image.height):
        return f"图{finding.picture}"
    left, top, right, bottom = finding.box
    across = _third((left + right) / 2 / image.width, "左", "右")
    down = _third((top + bottom) / 2 / image.height, "上", "下")
    return f"图{finding.picture} {across + down + ('方' if len(across + down) == 1 else '') or '中间'}"


def _third(share: float, first: str, last: str) -> str:
    return first if share < 1 / 3 else last if share > 2 / 3 else ""
