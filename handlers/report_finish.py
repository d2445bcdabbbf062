"""From written sections to what is sent: pictures placed, figures looked up in them, the notice, the page, the file."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from bot.engine.reader.page import Line
from bot.errors import DocumentFailed, EngineError, MediaError
from bot.event import File, Reply
from bot.evidence import find
from bot.handler import Context, unread
from bot.message import Image, Text
from bot.report import Report, Section
from bot.report_plan import Outline
from bot.templates import Template
from handlers.prompt import apology
from handlers.report_length import Length, count
from handlers.report_notice import apart, needed
from handlers.report_pictures import place
from handlers.report_revision import Format, wanted_format
from handlers.report_writer import Pen

log = logging.getLogger(__name__)

_FILES = {
    "docx": ("Word", ".docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    "pdf": ("PDF", ".pdf", "application/pdf"),
    "markdown": ("Markdown", ".md", "text/markdown"),
}
#: So many figures without evidence are named in the chat; the page shows all.
_NAMED = 5
_UNFIT_FOR_NAMES = str.maketrans(dict.fromkeys('\\/:*?"<>|\r\n\t', " "))


@dataclass(frozen=True, slots=True)
class Made:
    """What was written, before it is a report.

    length: None where none was asked for and the text is as it was. extract: it is what stands in the pictures.
    """

    pen: Pen
    template: Template
    report_id: str
    title: str
    sections: tuple[Section, ...]
    outline: Outline | None = None
    length: Length | None = None
    created_at: float = 0.0
    extract: bool = False


async def finish(made: Made, wish: str, context: Context) -> Report:
    """The report: every picture placed once, none that does not exist, the notice where one is due, its findings."""
    pictures = {image.index: image for image in made.pen.asked.pictures if image.index}
    notice = needed(made.template, wish, made.sections)
    parts = made.outline.parts if made.outline and not made.outline.at_once else ()
    sections = place(apart(made.sections, notice), pictures, parts)
    # Plain computing, a third of a second where there are many figures.
    findings = await asyncio.to_thread(find, sections, await _pages(pictures, context), given=wish)
    return Report(
        id=made.report_id,
        title=made.title,
        sections=sections,
        pictures=pictures,
        findings=tuple(one for one in findings if one.found or not made.extract),
        notice=notice,
        template=made.template.name,
        created_at=made.created_at,
    )


async def _pages(pictures: dict[int, Image], context: Context) -> dict[int, tuple[Line, ...]]:
    """What stands in each picture; without those that cannot be read now."""
    pages: dict[int, tuple[Line, ...]] = {}
    if context.read_picture is unread:
        return pages
    for number, image in pictures.items():
        try:
            pages[number] = await context.read_picture(image.sha256)
        except (EngineError, MediaError) as error:
            log.warning("a report goes out without evidence from one picture: %s", error)
    # A figure is not without evidence because its picture could not be read.
    return pages if len(pages) == len(pictures) else {}


async def reply(made: Made, report: Report, wish: str) -> Reply:
    """The answer that brings a report: its text, what must be looked at again, its page, a file where one was asked."""
    pen, context = made.pen, made.pen.context
    kind = wanted_format(wish)
    file, problem = await attached(report, kind, context) if kind else (None, "")
    notes = (
        _review(report),
        _missed(made, report),
        problem,
        apology(context.missing) if context.missing else "",
        pen.prompt.fitted.problem,
        *pen.notes,
    )
    return replace(
        said(pen, report.markdown),
        footer="\n".join(note for note in notes if note),
        published=report if report.id else None,
        link=address(report, context),
        files=(file,) if file else (),
    )


def said(pen: Pen, text: str) -> Reply:
    """A text of this pen, with what it cost."""
    asked, usage = pen.asked, pen.usage
    focus = tuple(image.index for image in asked.pictures) if asked.pictures else None
    return Reply(
        (Text(text),),
        footer="\n".join(pen.notes),
        change=replace(pen.prompt.summary, focus=focus),
        report=True,
        model=pen.engine,
        reason=asked.route.reason,
        usage={
            "prompt_tokens": usage.prompt_tokens,
            "cached_tokens": usage.cached_tokens,
            "completion_tokens": usage.completion_tokens,
        },
        timings={"first_token": pen.first_token, "total": pen.seconds},
    )


def address(report: Report, context: Context) -> str:
    """Of the report's page; empty where it has none that users could open."""
    return f"{context.report_url}/r/{report.id}" if report.id and context.report_url else ""


async def attached(report: Report, kind: Format, context: Context) -> tuple[File | None, str]:
    """The report as a file, or why there is none."""
    name, ending, mime_type = _FILES[kind]
    try:
        content = await _writer(kind)(report, context.load_picture)
    except DocumentFailed as error:
        return None, f"（{name} 文件没有做成：{error}）"
    if kind == "markdown":
        # A byte order mark: Windows' editors take plain UTF-8 for another encoding.
        content = b"\xef\xbb\xbf" + content
    title = " ".join(report.title.translate(_UNFIT_FOR_NAMES).split()).strip(". ")[:40]
    return File(f"{title or '报告'}{ending}", mime_type, content), ""


def _writer(kind: Format) -> Callable[[Report, Callable[[str], Awaitable[bytes]]], Awaitable[bytes]]:
    # What is not asked for is not loaded.
    if kind == "docx":
        from bot.documents.docx import write
    elif kind == "pdf":
        from bot.documents.pdf import write
    else:
        from bot.documents.markdown import write
    return write


def _review(report: Report) -> str:
    """Figures and names that no picture has."""
    texts = [report.sections[one.section].text[one.start : one.end] for one in report.findings if not one.found]
    named = list(dict.fromkeys(texts))
    more = "等" if len(named) > _NAMED else ""
    return f"（{len(named)} 处未在图中找到依据，请核对：{'、'.join(named[:_NAMED])}{more}）" if named else ""


def _missed(made: Made, report: Report) -> str:
    """Said where the text is not as long as it was asked to be."""
    if made.length is None or made.length.holds(report.markdown):
        return ""
    return f"（要求约 {made.length.target} 字，实际 {count(report.markdown)} 字。）"
