"""Questions about who says what in a chat screenshot."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bot.engine.reader.chat import Utterance
from bot.engine.reader.contents import Contents
from bot.engine.reader.finding import Finding
from bot.engine.reader.page import Line
from bot.engine.reader.passages import coverage, fold
from bot.engine.reader.question import Question

_SAYS = re.compile(
    r"(.{0,10}?)(?:都|最后|最早|先|后来|又|还|回复|回答|一开始)*(?:说|讲|发|问|回|回复|聊)了?(?:的是|些)?(?:什么|啥|哪些|哪几)"
)


def speaker(question: Question, page: Contents) -> Finding | None:
    """`老葛说了什么`, `谁说的……` in a chat screenshot."""
    talk = page.talk
    if not talk:
        return None
    title = _chat_title(page)
    if title is not None and re.search(
        r"群名|群聊?的?名|哪个群|什么群|对方(?:叫|是谁|的名字)|[和跟]谁聊|聊天对象|谁的聊天", question.text
    ):
        return Finding(f"聊天标题：{title.text}", (title,), 0.8)
    who = re.search(r"(?:谁|哪个人|哪位)(?:说|提|问|回|负责|要)", question.text)
    if who:
        return _who(question, talk)
    match = _SAYS.search(question.text)
    said = _by(match[1], talk, title.text if title else "") if match else []
    if re.search(r"最后.*(?:说|回|问|发)", question.text) and said:
        said = said[-1:]
    if not said:
        return None
    return Finding("\n".join(f"{one.speaker}：「{one.text}」" for one in said), _lines(said))


def _chat_title(page: Contents) -> Line | None:
    """The centred line above the first utterance."""
    first = page.talk[0].lines[0].box.top
    middle = page.page.width / 2
    found = [
        line
        for line in page.page.lines
        if line.box.top < first and abs(line.box.centre[0] - middle) < 0.12 * page.page.width
    ]
    return max(found, key=lambda line: line.box.height, default=None)


def _by(name: str, talk: Sequence[Utterance], title: str) -> list[Utterance]:
    """Utterances of the one that a question names; the page's title may name the other side."""
    named = [one for one in talk if one.name and (one.name in name or (name and name[-2:] in one.name))]
    if named:
        return named
    side = "right" if re.search(r"我|右", name) else "left" if re.search(r"对方|左|他|她", name) else ""
    if not side and len(name) >= 2 and any(name[at : at + 2] in title for at in range(len(name) - 1)):
        side = "left"
    return [one for one in talk if one.side == side]


def _who(question: Question, talk: Sequence[Utterance]) -> Finding | None:
    words = tuple(fold(run) for item in question.items for run in item.runs)
    if re.search(r"谁(?:提)?问", question.text):
        talk = [one for one in talk if re.search(r"[?？]\s*$|[吗呢]$", one.text)] or talk
    best = max(talk, key=lambda one: coverage(words, fold(one.text)))
    if coverage(words, fold(best.text)) < 0.5:
        return None
    return Finding(f"{best.speaker}：「{best.text}」", best.lines, 0.9)


def _lines(talk: Sequence[Utterance]) -> tuple[Line, ...]:
    return tuple(line for one in talk for line in one.lines)
