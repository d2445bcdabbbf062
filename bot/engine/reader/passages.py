"""Finds the clause of running text that answers a question, and the value in it.

Scores by the share of the question's words that a clause and its sentence hold; the value is the nearest one of the
kind asked for. In a chat a question is answered by what the other side says next.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bot.engine.reader.layout import Block
from bot.engine.reader.lexicon import CONCEPTS, plain
from bot.engine.reader.page import Line
from bot.engine.reader.question import Item
from bot.engine.reader.values import PATTERNS, find

#: different words for the same doings, folded before comparing
_SAME = (
    (r"到货|送达|送到|抵达", "到"),
    (r"缺少|缺了|缺", "少"),
    (r"花费|花掉|花了|投入|耗资|开支", "投入"),
    (r"让出去|让给|送给|递给", "给"),
    (r"电话|致电|热线|拨打", "电话"),
    (r"价格|售价|价钱", "价"),
    (r"碰头|碰面|会合|集合|见面", "见面"),
    (r"带上|携带|带好", "带"),
    (r"结束|截止|为止", "截止"),
    (r"租金|房租", "房租"),
    (r"开始|开工|动工|启动", "开始"),
)
_CLAUSE = re.compile(r"(?:[^，,；;。！？!?]|(?<=\d),(?=\d{3}))+[，,；;。！？!?]*")
_SENTENCE = re.compile(r"[^。！？!?；;]+[。！？!?；;]*(?:[”」）)])*")


@dataclass(frozen=True, slots=True)
class Passage:
    """A sentence with its lines. speaker: who says it in a chat, else empty. reply: of the other side, next."""

    text: str
    lines: tuple[Line, ...]
    speaker: str = ""
    reply: str = ""
    reply_lines: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True)
class Hit:
    """value: the text of the kind asked for, or empty. quote: the sentence it stands in. score: 0 to about 1."""

    value: str
    quote: str
    lines: tuple[Line, ...]
    score: float


def split(blocks: Sequence[Block]) -> list[Passage]:
    """All sentences of a page, each with the lines of its block."""
    found: list[Passage] = []
    for block in blocks:
        for match in _SENTENCE.finditer(block.text):
            if match[0].strip():
                found.append(Passage(match[0].strip(), block.lines))
    return found


def search(item: Item, passages: Sequence[Passage]) -> Hit | None:
    """The best answer to one item, or None when no sentence holds enough of its words."""
    words = tuple(fold(run) for run in item.runs)
    if not any(words):
        return None
    hits = [hit for passage in passages for hit in _hits(item, words, passage)]
    return max(hits, key=lambda hit: hit.score, default=None)


def fold(text: str) -> str:
    """Plain text with words of the same meaning made the same."""
    out = plain(text)
    for pattern, word in _SAME:
        out = re.sub(pattern, word, out)
    return out


def coverage(words: Sequence[str], text: str) -> float:
    """Share of the words' characters found in a folded text; pairs of characters count, single ones little."""
    total = sum(map(len, words))
    return sum(_covered(word, text) for word in words) / total if total else 0.0


def _covered(word: str, text: str) -> float:
    if word in text:
        return len(word) if len(word) > 1 else 0.8
    done, at = 0.0, 0
    while at < len(word):
        end = next((e for e in range(len(word), at + 1, -1) if word[at:e] in text), at)
        done += end - at if end > at else 0.3 * (word[at] in text)
        at = max(end, at + 1)
    return done


def literal(item: Item, passages: Sequence[Passage]) -> Hit | None:
    """The question's own words with a number where it asks for one: `押几付几` finds 押一付三."""
    clause = plain(re.sub(r"[?？。！!]|^.*(?:请问|图[里中上])", "", item.text))
    who = re.search(r"([\u4e00-\u9fff]{2})(?:谁|哪位)$", clause)
    if who:
        return _person_behind(who[1], passages)
    words = re.split(r"几|多少", clause)
    if len(words) < 2 or min(len(words[0]), len("".join(words[1:]))) < 1:
        return None
    number = r"(?:\d[\d.,]*|[零一二两三四五六七八九十百千半]+)"
    pattern = re.compile(number.join(map(re.escape, words)))
    for passage in passages:
        match = pattern.search(plain(passage.text))
        if match:
            return Hit(match[0], passage.text, passage.lines, 1.0)
    return None


def _person_behind(words: str, passages: Sequence[Passage]) -> Hit | None:
    """`交给谁` finds 交给班长."""
    for passage in passages:
        match = re.search(rf"{words}了?([\u4e00-\u9fff]{{2,4}}?)(?=[，。；！？\s]|$)", passage.text)
        if match:
            return Hit(match[1], passage.text, passage.lines, 0.9)
    return None


def _hits(item: Item, words: tuple[str, ...], passage: Passage) -> list[Hit]:
    whole = coverage(words, fold(passage.text))
    if passage.reply and _is_question(passage.text):
        replies = _reply_hits(item, whole, passage)
        if replies:
            return replies
    if max(whole, _concept_share(item, passage.text)) < 0.45:
        return []
    found: list[Hit] = []
    clauses = [match[0] for match in _CLAUSE.finditer(passage.text)]
    for index, clause in enumerate(clauses):
        part = max(coverage(words, fold(clause)), _concept_share(item, clause))
        before = "".join(clauses[max(0, index - 1) : index])
        value = _value(item, words, clause, before if part < 0.3 else "")
        if value:
            score = 0.55 * part + 0.45 * whole + 0.02 + _bonus(item, clause, value)
            found.append(Hit(value, passage.text, passage.lines, score))
    if not found and item.kind in ("any", "name", "reason"):
        heading = len(passage.text) <= 8 and not re.search(r"[。！!]$", passage.text)
        found.append(Hit("", passage.text, passage.lines, (0.6 if heading else 0.9) * whole))
    return found


def _bonus(item: Item, clause: str, value: str) -> float:
    """Signs that a value is what was asked: a total for a total, a currency for money."""
    total = bool(re.search(r"一共|总共|合计", item.text)) and bool(re.search(r"一共|总共|合计|共", clause))
    bare = item.kind == "amount" and not re.search(r"[元块万亿圆¥￥]", value)
    return 0.15 * total - 0.15 * bare


def _reply_hits(item: Item, whole: float, passage: Passage) -> list[Hit]:
    asks = re.search(r"什么时候|几点|几号|哪天|多少|在哪|哪里|谁|怎么", item.text)
    whole += 0.15 if asks and asks[0] in passage.text and whole > 0.25 else 0.0
    if whole < 0.45:
        return []
    value = _join_values(item, passage.reply)
    if not value and item.kind not in ("any", "name", "reason"):
        return []
    return [Hit(value, f"{passage.text}」「{passage.reply}", (*passage.lines, *passage.reply_lines), whole)]


def _join_values(item: Item, text: str) -> str:
    """All values of a reply's first clauses: `下周二，也就是11月18号` is one answer."""
    return "，".join(match[0].strip() for match in find(item.kind, text)[:2])


def _is_question(text: str) -> bool:
    return bool(re.search(r"[?？]\s*$|[吗呢么]\s*[?？。]?$|什么|几[点号个天]|多少|怎么|哪", text))


def _concept_share(item: Item, text: str) -> float:
    """0.75 when the text uses a word of a field that is asked for."""
    low = plain(text)
    wanted = [concept for concept in CONCEPTS if concept.name in item.special - {"money", "time"}]
    return 0.75 if any(len(word) > 1 and word.lower() in low for c in wanted for word in c.words) else 0.0


def _value(item: Item, words: tuple[str, ...], clause: str, before: str) -> str:
    """The value of a clause: counted in the unit asked for, else the nearest behind a word of the question."""
    if item.unit and item.kind in ("number", "amount"):
        counted = _counted(item.unit, clause)
        if counted:
            return _nearest(counted, _anchor(words, clause), clause)
        if item.unit not in ("元", "块", "个"):
            return ""
    values = [match for match in find(item.kind, clause) if not _is_part(item, clause, match)]
    if not values:
        return ""
    anchor = _anchor(words, clause)
    if anchor < 0 and not before:
        anchor = 0
    return _nearest(values, anchor, clause)


def _is_part(item: Item, clause: str, match: re.Match[str]) -> bool:
    """A number inside a date or a clock time is no number of its own."""
    if item.kind not in ("number", "amount"):
        return False
    if match.start() == 0 and clause[match.end() :][:1] in (".", "、", "．", ")", "）"):
        return True  # the number of a list item
    if item.kind == "amount" and re.match(
        r"\s*(?:单元|楼|号|层|室|箱|人|个|次|天|月|年|条|件|部|%)", clause[match.end() :]
    ):
        return True
    inside = [m for m in PATTERNS["time"].finditer(clause) if m.start() <= match.start() and match.end() <= m.end()]
    return any(re.search(r"[:点月日号年/-]", m[0]) for m in inside)


def _counted(unit: str, clause: str) -> list[re.Match[str]]:
    number = r"\d[\d,]*(?:\.\d+)?\s*(?:余|多)?\s*[万亿]?|[零一二两三四五六七八九十百千半]+"
    word = "(?:元|块|万)" if unit in ("元", "块") else "[个人名位]" if unit == "人" else re.escape(unit)
    return list(re.finditer(rf"(?:{number})\s*(?:多|余|来)?(?:个)?{word}", clause))


def _anchor(words: tuple[str, ...], clause: str) -> int:
    """Where the last matched word of the question ends in the clause, or -1."""
    ends: list[int] = []
    for word in words:
        for size in range(len(word), 1, -1):
            places = [clause.lower().rfind(word[at : at + size]) for at in range(len(word) - size + 1)]
            if max(places) >= 0:
                ends.append(max(places) + size)
                break
    return max(ends, default=-1)


def _nearest(values: Sequence[re.Match[str]], anchor: int, clause: str) -> str:
    """The first value behind the anchor, else the last before it."""
    behind = [match for match in values if match.start() >= anchor - 1]
    match = behind[0] if behind else values[-1]
    unit = re.match(
        r"\s*(?:余|多)?(?:万|亿)?(?:元|个|人|名|条|部|盏|台|家|户|次|天|年|平方米|公里|米|公斤|吨|分|页|岁|箱|件|%)",
        clause[match.end() :],
    )
    return (match[0] + (unit[0] if unit else "")).strip()
