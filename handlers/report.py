"""Reports: planned, written to the length asked for, placed on their page, and changed in later turns.

What is finished of a report is kept as it is written (`Context.reports`), by the event that asked for it: the next try
of that event has the same outline and goes on behind the last finished section.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from bot.engine.base import GenerateRequest
from bot.engine.chain import Answer
from bot.event import MessageEvent, Reply, quote_key
from bot.handler import Context
from bot.message import Message, Text
from bot.report import Section, new_id, parse
from bot.report_plan import Outline, Part, balance
from bot.report_plan import read as read_plan
from bot.store import Unfinished
from bot.templates import Template, load, named
from handlers import report_prompts as prompts
from handlers.prompt import Asked, Prompt, pixels, prepare
from handlers.report_finish import Made, finish, reply, said
from handlers.report_length import Length, about, count, wished
from handlers.report_writer import Pen, StoodIn, holds, parts_for, reserved, write_each, write_whole

_DEFAULT = "总结"
#: A text of fewer characters has no parts and needs no plan.
_UNPLANNED = 400
#: A plan is about so long (characters).
_PLAN = 500
#: From so many requests ahead on, the user is told.
_LONG_QUEUE = 3
#: So short an answer ("好的，写报告") is about what was asked before.
_ASSENT = 8


@cache
def shipped() -> tuple[Template, ...]:
    """The templates that come with Kantu."""
    return load(Path(__file__).parent / "templates")


def templates(context: Context) -> tuple[Template, ...]:
    """All templates; the operator's replace ours of the same name."""
    return tuple({one.name: one for one in (*shipped(), *context.templates)}.values())


def chosen(text: str, context: Context) -> Template:
    """The template that the words of a request mean."""
    known = templates(context)
    return named(text, known) or next((one for one in known if one.name == _DEFAULT), known[0])


def event_key(event: MessageEvent) -> str:
    """Names what an event asked for; the same at each of its tries."""
    return f"{event.conversation.key}/{quote_key(event.id)}"


async def write(asked: Asked, event: MessageEvent, context: Context) -> Reply:
    """A new report. Raises EngineError; what is finished by then is kept."""
    wish = _wish(asked.question, context)
    template = chosen(wish, context)
    length = wished(wish) or about(template.length)
    ask = prompts.plan(length.target, _most_parts(length))
    planned = replace(asked, question=_with_text(asked.question, f"{asked.question.text}\n\n{ask}"))
    generates = context.engines.engine(asked.route.model).generates
    prompt = await prepare(planned if generates else asked, prompts.writer(template), reserved(asked, context), context)
    if not prompt.fitted.messages:
        return Reply((Text(prompt.fitted.problem),), reason=asked.route.reason)
    await _tell_queue(asked, context)
    if not generates:
        return await _extract(asked, prompt, template, context)
    pen = Pen(asked, prompt, context)
    try:
        unfinished = await _begun(pen, event, template, length)
    except StoodIn as stood_in:
        # Nothing is begun, and the built-in engine has read the pictures already.
        return await _extracted(asked, prompt, template, context, stood_in.answer)
    made = await _written(pen, unfinished, template)
    return await reply(made, await finish(made, wish, context), wish)


async def _begun(pen: Pen, event: MessageEvent, template: Template, length: Length) -> Unfinished:
    """The outline of an earlier try and what it wrote, or a new outline."""
    reports, key = pen.context.reports, event_key(event)
    kept = await reports.unfinished(key) if reports else None
    if kept is not None:
        return kept
    outline = await _outline(pen, template, length)
    return await reports.begin(key, pen.context.session, outline) if reports else Unfinished(key, "", outline)


async def _outline(pen: Pen, template: Template, length: Length) -> Outline:
    asked, context = pen.asked, pen.context
    numbers = [image.index for image in asked.pictures]
    at_once = holds(length, asked, context)
    least = 1 if at_once else parts_for(length, asked, context)
    title, parts = "", (Part(""),)
    if length.target > _UNPLANNED:
        title, parts = read_plan(await pen.write("", _PLAN))
        if len(parts) < min(2, least):
            # What the model planned is no plan.
            parts = tuple(Part(one.title, round(100 * one.share)) for one in template.structure)
    parts = _enough(parts, least)
    outline = Outline(title or template.name, (), template.name, at_once, length.least, length.target, length.most)
    heads = count(outline.title) + sum(count(part.title) for part in parts) + count(template.notice)
    return replace(outline, parts=balance(parts, max(1, length.target - heads), numbers))


def _enough(parts: tuple[Part, ...], least: int) -> tuple[Part, ...]:
    """At least so many parts: what one generation cannot hold is written in several."""
    while parts and len(parts) < least:
        longest = max(range(len(parts)), key=lambda at: (parts[at].length, -at))
        half = replace(parts[longest], length=max(1, parts[longest].length // 2))
        rest = replace(half, title=f"{half.title}（续）" if half.title else "", pictures=())
        parts = (*parts[:longest], half, rest, *parts[longest + 1 :])
    return parts


async def _written(pen: Pen, unfinished: Unfinished, template: Template) -> Made:
    outline, reports = unfinished.outline, pen.context.reports
    pen.lead = outline.text
    length = Length(outline.least, outline.target, outline.most)
    notice = count(template.notice)

    async def keep(number: int, section: Section) -> None:
        if reports is not None:
            await reports.keep_section(unfinished.key, number, section)

    title, sections = outline.title, unfinished.sections
    if not outline.at_once:
        await pen.context.notify(
            f"《{title}》约 {length.target} 字，正在写 {len(sections) + 1}/{len(outline.parts)} 节，写好后发给你。"
        )
        heads = count(title) + sum(count(part.title) for part in outline.parts)
        tell = partial(prompts.section, outline)
        sections = await write_each(pen, outline, sections, length.without(heads + notice), tell, keep)
    elif not sections:
        title, sections = await write_whole(pen, outline, length.without(notice))
        await keep(0, Section("", prompts.body(title, sections)))
    else:
        # An earlier try wrote the whole text.
        title, sections = parse(sections[0].text)
    return Made(pen, template, unfinished.report_id, title, sections, outline, length)


async def _extract(asked: Asked, prompt: Prompt, template: Template, context: Context) -> Reply:
    """The built-in engine writes no text of its own: what stands in the pictures, as a report."""
    request = GenerateRequest(
        messages=prompt.fitted.messages,
        pictures=await pixels(prompt.fitted.pixels, context),
        cache_salt=context.cache_salt,
        priority="report",
    )
    found = await context.engines.answer(asked.route.model, request, context.draft)
    return await _extracted(asked, prompt, template, context, found)


async def _extracted(asked: Asked, prompt: Prompt, template: Template, context: Context, found: Answer) -> Reply:
    title, sections = parse(found.completion.text)
    wish = asked.question.text
    pen = Pen(asked, prompt, context)
    pen.add(found)
    if not title or not sections:
        return said(pen, found.completion.text)
    made = Made(pen, template, new_id() if context.reports else "", title, sections, extract=True)
    return await reply(made, await finish(made, wish, context), wish)


def _wish(question: Message, context: Context) -> str:
    """The words that say what is wished; of a bare yes those before it."""
    text = question.text.strip()
    before = [turn.text for turn in context.memory.history if turn.role == "user"]
    return f"{before[-1]}\n{text}" if len(text) <= _ASSENT and before else text


def _with_text(message: Message, text: str) -> Message:
    return Message(message.role, (*(part for part in message.parts if not isinstance(part, Text)), Text(text)))


def _most_parts(length: Length) -> int:
    return max(1, min(8, length.target // 150)) if length.target <= 3000 else 12


async def _tell_queue(asked: Asked, context: Context) -> None:
    queue = context.engines.queue(asked.route.model, "report")
    if queue.ahead >= _LONG_QUEUE:
        minutes = max(1, round(queue.seconds / 60))
        await context.notify(f"前面还有 {queue.ahead} 个任务，预计约 {minutes} 分钟后开始，请稍候。")
