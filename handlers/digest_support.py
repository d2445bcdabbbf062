"""What customers asked: counts by problem, new error codes, how often a person had to take over, their screenshots.

Counted, not guessed: a model only adds a paragraph on what the counts say.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from bot.chart import Chart, ChartFailed, draw
from bot.errors import EngineError
from bot.event import File
from bot.handler import Context
from bot.message import Message
from bot.subscription import Due, Seen
from handlers.digest_checks import checked
from handlers.digest_condense import Condenser, Task
from handlers.digest_pictures import Album, album, sheet
from handlers.digest_problems import Problem, codes, fresh, problems
from handlers.digest_text import Digest, section
from handlers.digest_transcript import Transcript, cut, text_of

log = logging.getLogger(__name__)

_TASK = Task(
    notes="你是“看图”，负责整理客服问题。把下面的问题合并成要点，每条一行，保留次数和错误码。",
    final="""你是“看图”，负责写客服问题小结。材料是已经统计好的问题和次数，以及部分原话和答复。
写 3 到 5 句话：最突出的问题是什么，用户卡在哪里，哪些没有得到解决、值得先处理。次数逐字照抄，不要自己加减。
只写这几句话，不用标题，不超过 200 字。""",
)
_SHOWN = 8
_SAMPLES = 3
_NAME = 40
_DAY = 86_400.0
_COLUMNS = 31


@dataclass(frozen=True, slots=True)
class Figures:
    """What is counted. questions: those of customers. named: the problems' names and numbers, the most first."""

    questions: tuple[Seen, ...]
    texts: tuple[str, ...]
    found: tuple[Problem, ...]
    named: tuple[tuple[str, int], ...]
    conversations: int
    handed: int
    unanswered: int


async def support_digest(due: Due, seen: Sequence[Seen], context: Context) -> Digest | None:
    """None where nobody asked anything."""
    questions = _questions(seen)
    if not questions:
        return None
    pictures = await album(seen, context)
    transcript = Transcript(due, pictures.numbers or {})
    read = _codes(questions, seen, pictures)
    figures = _figures(questions, seen, read)
    summary, condenser = await _summary(figures, seen, transcript, context)
    chart, warning = await _chart(figures, due, transcript)
    files = (*chart, *(await sheet(pictures.groups, context, "截图一览") if pictures.groups else ()))
    parts = [_head(figures), summary, section("问题分布", _problem_lines(figures))]
    parts += [section("错误码", await _code_lines(due, read)), section("截图", pictures.lines(transcript))]
    note = "\n".join(filter(None, (condenser.note, warning)))
    return Digest("\n\n".join(filter(None, parts)), files, note, condenser.model, condenser.usage)


def _questions(seen: Sequence[Seen]) -> list[Seen]:
    """What was asked, in order; pictures and the words that came after them are one question."""
    turns: dict[tuple[int, int], Seen] = {}
    for place, one in enumerate(seen):
        if one.asker is None:
            key = (one.turn, 0 if one.turn else place)
            first = turns.get(key)
            turns[key] = one if first is None else replace(first, message=_joined(first.message, one.message))
    return list(turns.values())


def _joined(one: Message, other: Message) -> Message:
    return Message(one.role, (*one.parts, *other.parts))


def _place(one: Seen) -> tuple[str, str]:
    """A conversation: in a group each member has one of their own."""
    who = one.asker or one.sender
    return one.conversation.key, who.id if one.conversation.chat_type == "group" else ""


def _figures(questions: Sequence[Seen], seen: Sequence[Seen], read: Sequence[Sequence[str]]) -> Figures:
    texts = tuple(text_of(one.message) for one in questions)
    found = problems(texts, read)
    answers = [one for one in seen if one.asker is not None]
    answered = {one.turn for one in answers}
    return Figures(
        tuple(questions),
        texts,
        tuple(found),
        tuple((cut(one.name(texts), _NAME), len(one.places)) for one in found),
        len({_place(one) for one in questions}),
        len({_place(one) for one in answers if one.handover}),
        sum(1 for one in questions if one.turn not in answered),
    )


def _codes(questions: Sequence[Seen], seen: Sequence[Seen], pictures: Album) -> list[list[str]]:
    """The error codes of each question: in its words, in what its pictures show, in what was answered."""
    captions = {sha256: group.caption for group in pictures.groups for sha256 in group.shas}
    answers = {one.turn: one.message.text for one in seen if one.asker is not None and one.turn}
    found: list[list[str]] = []
    for one in questions:
        shown = " ".join(captions.get(image.sha256, "") for image in one.message.images)
        own = codes(f"{text_of(one.message)} {shown}")
        found.append(own or (codes(answers.get(one.turn, "")) if one.message.images else []))
    return found


def _head(figures: Figures) -> str:
    rate = round(100 * figures.handed / figures.conversations)
    lines = [
        f"{len(figures.questions)} 条提问，来自 {figures.conversations} 个会话，归为 {len(figures.found)} 类问题。",
        f"转人工 {figures.handed} 个会话（{rate}%）。",
    ]
    return "".join([*lines, f"{figures.unanswered} 条没有得到答复。" if figures.unanswered else ""])


def _problem_lines(figures: Figures) -> list[str]:
    lines = [f"{place}. {name}：{count} 次" for place, (name, count) in enumerate(figures.named[:_SHOWN], start=1)]
    rest = figures.named[_SHOWN:]
    return [*lines, *([f"其余 {len(rest)} 类共 {sum(count for _, count in rest)} 次"] if rest else [])]


async def _code_lines(due: Due, read: Sequence[Sequence[str]]) -> list[str]:
    counted = Counter(code for each in read for code in each)
    if not counted:
        return []
    earlier = await due.earlier()
    before = [code for one in earlier for code in codes(one.message.text)]
    new = set(fresh(counted, before)) if earlier else set[str]()
    lines = [
        f"- {code}：{count} 次{'（新出现）' if code in new else ''}" for code, count in counted.most_common(2 * _SHOWN)
    ]
    # Without earlier messages every code would be new.
    return lines if earlier else [*lines, "（没有更早的记录，无法判断哪些是新出现的）"]


async def _summary(
    figures: Figures, seen: Sequence[Seen], transcript: Transcript, context: Context
) -> tuple[str, Condenser]:
    """A paragraph by a model; nothing where none writes: the counts stand for themselves."""
    condenser = Condenser(context.engines, context.cache_salt)
    if not condenser.able:
        return "", condenser
    lines = list(_material(figures, seen, transcript))
    try:
        text = await condenser.write(lines, _TASK)
    except EngineError:
        condenser.note = "（模型暂时不可用，没有写小结）"
        return "", condenser
    return checked(text, lines, pictures=len(transcript.numbers)), condenser


def _material(figures: Figures, seen: Sequence[Seen], transcript: Transcript) -> list[str]:
    answers = {one.turn: one for one in seen if one.asker is not None and one.turn}
    lines = [_head(figures)]
    for problem, (name, count) in zip(figures.found, figures.named, strict=True):
        lines.append(f"问题“{name}”：{count} 次")
        for place in problem.places[:_SAMPLES]:
            one = figures.questions[place]
            answer = answers.get(one.turn)
            lines += [transcript.line(one), *([transcript.line(answer)] if answer else [])]
    return lines


async def _chart(figures: Figures, due: Due, transcript: Transcript) -> tuple[tuple[File, ...], str]:
    if len(figures.named) < 2:
        return (), ""
    rest = sum(count for _, count in figures.named[_SHOWN:])
    bars = (*figures.named[:_SHOWN], *((("其余", rest),) if rest else ()))
    title, columns = _over_time(figures, due, transcript)
    try:
        drawn = await draw(Chart(f"问题分布（共 {len(figures.questions)} 条）", bars, title, columns))
    except ChartFailed as error:
        log.warning("a chart is left out: %s", error)
        return (), "（图表没有画出来）"
    return (File("问题分布.png", "image/png", drawn.png),), drawn.note


def _over_time(figures: Figures, due: Due, transcript: Transcript) -> tuple[str, tuple[tuple[str, int], ...]]:
    """By day, or by hour where the span is a day; empty days have their place."""
    daily = due.until - due.since > 1.5 * _DAY
    step, form = (_DAY, "%m-%d") if daily else (3600.0, "%m-%d %H")
    wanted = int((due.until - due.since) / step) + 1
    if wanted > _COLUMNS:
        return "", ()

    def name(at: float) -> str:
        return datetime.fromtimestamp(at, transcript.zone).strftime(form)

    names = dict.fromkeys(name(min(due.since + number * step, due.until - 1)) for number in range(wanted))
    counted = Counter(name(one.at) for one in figures.questions)
    return "每天" if daily else "每小时", tuple((each.rpartition(" ")[2], counted[each]) for each in names)
