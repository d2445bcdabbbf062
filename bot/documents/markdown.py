"""A report as a Markdown file. Pictures stay outside: they are named `图1.jpg` and so on, to be put beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from bot.documents.checklist import Entry, checklist, unfound
from bot.documents.pictures import LoadPicture
from bot.message import Image
from bot.report import Report

_PLACED = re.compile(r"!\[([^\]\n]*)\]\(图\s*(\d{1,3})\)")
_ENDINGS = {"image/png": "png"}


async def write(report: Report, load_picture: LoadPicture) -> bytes:
    """UTF-8 text: the report, then what could not be found in the pictures. load_picture is not asked."""
    text = _PLACED.sub(lambda match: _named(match, report.pictures), report.markdown)
    missing = unfound(checklist(report))
    if missing:
        text += f"\n\n---\n\n{len(missing)} 处未找到依据，请核对：\n\n" + "\n".join(map(_line, missing))
    return f"{text}\n".encode("utf-8", "replace")


def _named(match: re.Match[str], pictures: Mapping[int, Image]) -> str:
    image = pictures.get(int(match[2]))
    if image is None:
        return match[1]
    return f"![{match[1]}](图{match[2]}.{_ENDINGS.get(image.mime_type, 'jpg')})"


def _line(entry: Entry) -> str:
    return f"- {entry.before}**{entry.words}**{entry.after}"
