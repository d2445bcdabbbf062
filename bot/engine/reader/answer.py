"""Answers the questions that the text of a picture settles, and no others.

A question goes through a fixed list of solvers; the first that finds everything it needs answers. A solver uses the
page's own words and arithmetic on its numbers. None of them means: ask a model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from bot.engine.reader import chat, comic, compare, exercises, fields, laboratory, outcome, passages, surface, talk
from bot.engine.reader.contents import Contents, contents
from bot.engine.reader.finding import Finding
from bot.engine.reader.page import Page
from bot.engine.reader.question import Item, Question, ask

Solver = Callable[[Question, Contents], Finding | None]

#: asks about what is drawn or photographed, which no text settles
_SCENE = re.compile(
    r"像什么|像个?啥|表情|穿[着的什]|戴[着的什]|天气|[拍摄]的|动物|季节|场景|风景|在[干做]什么|姿势|好看|心情|情绪|水面|天空"
    r"|画的?是?什么|长什么样|形状|图案是|什么样子|拿着|手里|站着|坐着|背景里|左边是|右边是|什么花|什么树|漂亮"
)
#: may be asked about a text too; on a picture with hardly a word it is about what is seen
_SEEN = re.compile(r"几个人|几只|几个点|几颗|几[个条辆]|什么车|什么|怎么|哪|谁|几|多少")


@dataclass(frozen=True, slots=True)
class Numbered:
    """A page and the number that people call it by (图1 is 1)."""

    number: int
    page: Page


def answer(text: str, pages: Sequence[Numbered]) -> Finding | None:
    """Answer a question about numbered pages, or None when their text does not settle it."""
    read = [(numbered.number, contents(numbered.page)) for numbered in pages]
    keep = [line.text for numbered in pages for line in numbered.page.lines]
    question = ask(text, len(pages), keep)
    chosen = [(number, found) for number, found in read if number in question.pictures]
    if question.pictures and not chosen:
        return None
    return _over_pages(question, chosen or read)


def _over_pages(question: Question, read: Sequence[tuple[int, Contents]]) -> Finding | None:
    if len(read) == 1:
        return solve(question, read[0][1])
    across = _across(question, read)
    if across is not None:
        return across
    found = [(number, solve(question, page)) for number, page in read]
    hits = [(number, finding) for number, finding in found if finding is not None]
    if not hits:
        return None
    best = max(finding.score for _, finding in hits)
    hits = [(number, finding) for number, finding in hits if question.pictures or finding.score > 0.8 * best]
    text = "\n".join(f"图{number}：{finding.text}" for number, finding in hits)
    return Finding(text, tuple(line for _, finding in hits for line in finding.lines), best)


_ACROSS = re.compile(r"哪[张个一]?|谁|更|相差|差多少|比|一样|相同|一共|总共|加起来|合计")


def _across(question: Question, read: Sequence[tuple[int, Contents]]) -> Finding | None:
    """One number per picture, compared: `图1和图2哪个贵`."""
    if not _ACROSS.search(question.text):
        return None
    values: list[compare.Labelled] = []
    for number, page in read:
        field = fields.comparable(question, page)
        if field is None:
            return None
        values.append(compare.Labelled(f"图{number}", field[0], field[1], field[2]))
    result = compare.relate(question.text, values)
    return None if result is None else Finding(*result, 1.0)


def solve(question: Question, page: Contents) -> Finding | None:
    """Answer a question about one page."""
    for solver in _SOLVERS:
        found = solver(question, page)
        if found is not None:
            return found
    words = sum(len(line.text) for line in page.page.lines)
    if _SCENE.search(question.text) or words == 0 or (words < 4 and _SEEN.search(question.text)):
        return None
    return _items(question, page)


def _laboratory(question: Question, page: Contents) -> Finding | None:
    items = laboratory.find_items(page.rows)
    if not items:
        return None
    if re.search(r"(?:一共|总共|共有?)[^异高低]*(?:几|多少)[个项]", question.text) and not re.search(
        r"异常|高|低|正常", question.text
    ):
        return Finding(f"共 {len(items)} 项：{'、'.join(item.name for item in items)}", items[0].lines)
    named = laboratory.asked_items(question.text, items)
    if not named and re.search(
        r"异常|偏高|偏低|不正常|超标|箭头|哪几?[些项]|几项|高了|低了|都正常|正常吗|没问题", question.text
    ):
        named = _abnormal(question.text, items)
        if not named:
            return Finding("按图中参考范围核对，没有这样的项目", tuple(items[0].lines), 0.9)
    if not named:
        return None
    text = "\n".join(item.sentence() for item in named)
    if re.search(r"几[个项]|多少[个项]", question.text):
        text = f"共 {len(named)} 项：\n{text}"
    return Finding(text, tuple(line for item in named for line in item.lines), 1.0)


def _abnormal(question: str, items: Sequence[laboratory.Item]) -> list[laboratory.Item]:
    """Items out of range, only one side of it when the question names one."""
    high, low = "高" in question or "升" in question, "低" in question or "降" in question
    wanted = {"偏高"} if high and not low else {"偏低"} if low and not high else {"偏高", "偏低", "异常"}
    return [item for item in items if item.verdict in wanted]


def _compared(question: Question, page: Contents) -> Finding | None:
    if any(_is_field(item, page) for item in question.items):
        return None
    result = compare.compare(question.text, page)
    return None if result is None else Finding(*result, 1.0)


def _is_field(item: Item, page: Contents) -> bool:
    """`一共多少钱` on a page that prints a total: it is looked up, not added up."""
    asked = item.special & {"total", "paid", "due", "score", "goods_total"}
    found = fields.lookup(item, page) if asked else None
    return found is not None and found.score >= 1.0


_SOLVERS: tuple[Solver, ...] = (
    surface.transcribe,
    surface.look,
    comic.panel,
    exercises.sums,
    talk.speaker,
    outcome.status,
    outcome.advice,
    surface.title,
    _laboratory,
    _compared,
    surface.summary,
)


def _items(question: Question, page: Contents) -> Finding | None:
    """Each thing that was asked for by itself; what is not found is said to be missing."""
    text = chat.passages(page.talk) if page.talk else passages.split(page.blocks)
    found = [(item, _item(item, page, text)) for item in _one_reason(question.items)]
    hits = [finding for _, finding in found if finding is not None]
    if not hits:
        return None
    parts: list[str] = []
    for item, finding in found:
        part = finding.text if finding is not None else _missing(item)
        if part and part not in parts:
            parts.append(part)
    lines = tuple(dict.fromkeys(line for finding in hits for line in finding.lines))
    return Finding("\n".join(parts), lines, max(finding.score for finding in hits))


def _one_reason(items: Sequence[Item]) -> Sequence[Item]:
    """`登录失败了，什么原因` is one thing asked in two breaths."""
    why = [item for item in items if item.kind == "reason"]
    if not why or len(items) == 1:
        return items
    told = [item for item in items if item.kind == "any" and not item.special]
    runs = tuple(run for item in items if item in why or item in told for run in item.runs)
    return [replace(why[0], runs=runs), *(item for item in items if item not in why and item not in told)]


def _missing(item: Item) -> str:
    """Only what names a field is reported missing; half sentences around a question are not."""
    named = item.special and item.kind != "reason"
    return f"「{item.text.strip()}」：图中文字里没有找到" if named else ""


def _item(item: Item, page: Contents, text: Sequence[passages.Passage]) -> Finding | None:
    if item.kind == "reason":
        return outcome.reason(item, page, text)
    field = fields.lookup(item, page)
    passage = _passage(item, text)
    if field is not None and (passage is None or field.score >= passage.score - 0.15):
        return field
    return passage or fields.only_one(item, page)


def _passage(item: Item, text: Sequence[passages.Passage]) -> Finding | None:
    hit = passages.literal(item, text) or passages.search(item, text)
    if hit is None or hit.score < (0.42 if hit.value else 0.5):
        return None
    quote = f"原文：「{hit.quote}」"
    return Finding(f"{hit.value}（{quote}）" if hit.value else quote, hit.lines, min(hit.score, 0.95))
