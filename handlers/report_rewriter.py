"""The turns after a report: a section, the title or all of it rewritten, and the report sent as a file.

Only what is meant is rewritten: the rest of the stored report stays as it is, to the letter. The page keeps its
address and shows the newest text.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace

from bot.event import MessageEvent, Reply
from bot.handler import Context
from bot.limits import ALLOWED
from bot.message import Image, Message, Text, user
from bot.report import Report, Section, parse
from bot.report_plan import Outline, Part, balance
from bot.router import Route
from bot.store import Memory, Unfinished
from bot.templates import Template, named
from handlers import report_prompts as prompts
from handlers.prompt import Asked, meant, prepare
from handlers.report import chosen, event_key, templates
from handlers.report_finish import Made, address, attached, finish, reply
from handlers.report_length import Length, about, count, wished
from handlers.report_revision import Revision, find, may_be
from handlers.report_writer import (
    Growing,
    Pen,
    holds,
    reserved,
    section_text,
    unwrapped,
    write_each,
)

_GONE = "这份报告已经撤回，不能再修改或发送。需要的话请重新写一份。"
_NO_WRITER = "现在用的是内置识别引擎，只会摘录图中的文字，不会改写。请管理员配置模型。"
_ROUTE = Route("report", "heavy", "修改报告", 1.0)
_SENT = re.compile(r"《[^》\n]*》的 (?:Word|PDF|Markdown) 版")
_NAMES = {"docx": "Word", "pdf": "PDF", "markdown": "Markdown"}


async def follow(event: MessageEvent, context: Context) -> Reply | None:
    """The answer to a message that means the session's last report; None where it means something else.

    Raises EngineError; what is finished of a long rewriting by then is kept.
    """
    text = event.message.text.strip()
    if context.reports is None or not may_be(text):
        return None
    latest = await context.reports.latest(context.session)
    revision = find(text, latest.report) if latest else None
    if latest is None or revision is None:
        return None
    if latest.report is None:
        return Reply((Text(_GONE),), remember=False) if revision.kind == "file" or revision.named else None
    if not _means(revision, latest.report, event, context):
        return None
    if revision.kind == "file":
        return await _send(latest.report, revision, context)
    return await _revise(latest.report, revision, event, context)


def _means(revision: Revision, report: Report, event: MessageEvent, context: Context) -> bool:
    """Right after the report its words need not name it; pictures that come along are rather a new question."""
    said = [turn.text for turn in context.memory.history if turn.role == "assistant" and not _SENT.match(turn.text)]
    fresh = bool(said) and said[-1].startswith(f"# {report.title}\n")
    if event.message.images:
        return revision.named or (fresh and revision.kind == "section")
    return revision.kind == "file" or revision.named or fresh


async def _send(report: Report, revision: Revision, context: Context) -> Reply:
    file, problem = await attached(report, revision.format, context)
    text = problem or f"《{report.title}》的 {_NAMES[revision.format]} 版："
    return Reply((Text(text),), files=(file,) if file else (), link=address(report, context), reason="发送报告")


async def _revise(report: Report, revision: Revision, event: MessageEvent, context: Context) -> Reply:
    if not context.engines.engine("heavy").generates:
        return Reply((Text(_NO_WRITER),), remember=False, reason="不会改写")
    verdict = await context.limiter.charge(event, "heavy") if context.limiter else ALLOWED
    if not verdict.allowed:
        return Reply((Text(verdict.say),), remember=False, reason="额度")
    asked = Asked(user(), _ROUTE, tuple(_pictures(report, event.message, context).values()))
    pen = await _pen(asked, report, revision, context)
    if not pen.prompt.fitted.messages:
        return Reply((Text(pen.prompt.fitted.problem),))
    kept = chosen(report.template, context)
    template = named(revision.wish, templates(context)) if revision.kind == "all" else None
    made = await _WAYS[revision.kind](pen, report, revision, event, template or kept)
    new = await finish(made, revision.wish, context)
    return await reply(made, new, revision.wish)


def _pictures(report: Report, message: Message, context: Context) -> dict[int, Image]:
    """Those of the report, and those that the message adds."""
    added = () if not (message.images or "图" in message.text) else meant(message, context).images
    return {**report.pictures, **{image.index: image for image in added if image.index}}


async def _pen(asked: Asked, report: Report, revision: Revision, context: Context) -> Pen:
    """The report itself is in the request: earlier turns would only say it again."""
    memory = Memory(pictures=context.memory.pictures, model=context.memory.model)
    alone = replace(context, memory=memory)
    template = named(revision.wish, templates(context)) or chosen(report.template, context)
    question = replace(asked, question=user(*asked.pictures, f"这篇稿子要修改：{revision.wish}"))
    prompt = await prepare(question, prompts.writer(template), reserved(asked, context), alone)
    return Pen(asked, prompt, context, lead=prompts.known(report))


async def _title(pen: Pen, report: Report, revision: Revision, event: MessageEvent, template: Template) -> Made:
    text = unwrapped(await pen.write(prompts.retitled(revision.wish), 60))
    line = next((line for line in text.splitlines() if line.strip()), "")
    title = re.sub(r"^[\s#*《“\"]*(?:新?标题\s*[:：])?[\s*《“\"]*|[\s*》”\"]+$", "", line)[:60]
    return _made(pen, report, template, title or report.title, report.sections)


async def _one(pen: Pen, report: Report, revision: Revision, event: MessageEvent, template: Template) -> Made:
    number = _index(report, revision)
    old = report.sections[number]
    length = wished(revision.wish) or about(round(count(old.text) * revision.scale))
    # "加上图2的数据" makes it as long as that takes.
    free = wished(revision.wish) is None and revision.scale == 1.0
    shown = Growing(pen.context.draft, f"## {old.title}" if old.title else "")

    def instruction(characters: int) -> str:
        return prompts.rewritten_section(report, number, revision.wish, None if free else characters)

    if free:
        text = unwrapped(await pen.write(instruction(length.target), 2 * length.target, shown))
    else:
        text = await pen.fitting(instruction, length, shown)
    new = Section(old.title, section_text(text, old.title))
    sections = (*report.sections[:number], new, *report.sections[number + 1 :])
    # Pictures that come with the change belong where it is.
    added = tuple(image.index for image in pen.asked.pictures if image.index not in report.pictures)
    parts = tuple(Part(one.title, pictures=added if at == number else ()) for at, one in enumerate(sections))
    return replace(_made(pen, report, template, report.title, sections), outline=Outline(report.title, parts))


def _index(report: Report, revision: Revision) -> int:
    """The section meant; 第三段 of a text with fewer sections is the one that holds the third paragraph."""
    last = len(report.sections) - 1
    if revision.section <= last:
        return revision.section % len(report.sections)
    at = revision.section
    for number, section in enumerate(report.sections):
        at -= len([block for block in section.text.split("\n\n") if not block.startswith(("![", "#"))])
        if at < 0:
            return number
    return last


async def _all(pen: Pen, report: Report, revision: Revision, event: MessageEvent, template: Template) -> Made:
    length = wished(revision.wish) or about(round(count(report.markdown) * revision.scale))
    beside = length.without(count(report.notice))
    if not holds(length, pen.asked, pen.context):
        return await _each(pen, report, revision, event, template, beside)

    def instruction(characters: int) -> str:
        return prompts.rewritten(report, revision.wish, characters)

    title, sections = parse(await pen.fitting(instruction, beside, Growing(pen.context.draft)))
    return replace(_made(pen, report, template, title or report.title, sections), length=length)


async def _each(
    pen: Pen, report: Report, revision: Revision, event: MessageEvent, template: Template, length: Length
) -> Made:
    """All of a long report, section by section: what is finished is kept."""
    parts = [Part(one.title, max(1, count(one.text))) for one in report.sections]
    heads = count(report.title) + sum(count(one.title) for one in report.sections)
    numbers = [image.index for image in pen.asked.pictures]
    outline = Outline(report.title, balance(parts, length.target - heads, numbers), template.name)
    reports, key = pen.context.reports, event_key(event)
    unfinished = Unfinished(key, report.id, outline)
    if reports is not None:
        unfinished = await reports.begin(key, pen.context.session, outline, report.id)

    def instruction(number: int, before: str, characters: int) -> str:
        return prompts.rewritten_section(report, number, revision.wish, characters)

    async def keep(number: int, section: Section) -> None:
        if reports is not None:
            await reports.keep_section(key, number, section)

    done, beside = unfinished.sections, length.without(heads)
    sections = await write_each(pen, unfinished.outline, done, beside, instruction, keep)
    return replace(_made(pen, report, template, report.title, sections), outline=unfinished.outline, length=length)


def _made(pen: Pen, report: Report, template: Template, title: str, sections: tuple[Section, ...]) -> Made:
    return Made(pen, template, report.id, title, sections, created_at=report.created_at)


_Way = Callable[[Pen, Report, Revision, MessageEvent, Template], Awaitable[Made]]
_WAYS: dict[str, _Way] = {"title": _title, "section": _one, "all": _all}
