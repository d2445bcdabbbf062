"""Questions about right and wrong on an exercise sheet."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bot.engine.reader.arithmetic import Sum, find_sums
from bot.engine.reader.contents import Contents
from bot.engine.reader.finding import Finding
from bot.engine.reader.question import Question, ordinal

_NTH_SUM = re.compile(r"第\s*(\d{1,2}|[一二三四五六七八九十]{1,2})\s*(?:道?小?题|个算式|道)")


def sums(question: Question, page: Contents) -> Finding | None:
    """Questions about right and wrong on a page with two sums or more."""
    found = find_sums(page.page.lines)
    text = question.text
    if len(found) < 2 or re.search(r"得了?多少分|几分|分数|成绩", text):
        return None
    nth = [ordinal(match[1]) for match in _NTH_SUM.finditer(text)]
    chosen = [one for one in found if one.index in nth] if nth else _quoted(text, found)
    if chosen:
        return _finding("\n".join(map(_explain, chosen)), chosen)
    if nth:
        return None
    wrong = [one for one in found if not one.correct]
    if re.search(r"几[道个]?题|多少[道个]?题|哪[几些]?[道个]?题|错|不对|全对|都对|检查|批改|订正|做对|正确", text):
        return _count(text, found, wrong)
    return None


def _count(text: str, found: Sequence[Sum], wrong: Sequence[Sum]) -> Finding:
    right = [one for one in found if one.correct]
    if re.search(r"对|正确", text) and not re.search(r"错|不对|正确答案|全对|都对|对不对|对吗", text):
        names = "、".join(str(one.index) for one in right)
        return _finding(f"共 {len(found)} 题，做对 {len(right)} 题：第 {names} 题", right)
    if re.search(r"(?:一共|总共|共).*(?:几|多少)", text) and "错" not in text:
        return _finding(f"共 {len(found)} 道算式", found)
    if not wrong:
        return _finding(f"共 {len(found)} 题，逐题验算都正确", found)
    listed = "\n".join(map(_explain, wrong))
    names = "、".join(str(one.index) for one in wrong)
    return _finding(f"共 {len(found)} 题，错 {len(wrong)} 题：第 {names} 题\n{listed}", wrong)


def _explain(one: Sum) -> str:
    if not one.answer:
        return f"第{one.index}题：{one.left} 没有写答案，正确答案是 {one.right}"
    if one.correct:
        return f"第{one.index}题：{one.text}，验算正确"
    return f"第{one.index}题：{one.text} 不对，{one.left} 的正确答案是 {one.right}"


def _quoted(text: str, found: Sequence[Sum]) -> list[Sum]:
    asked = re.sub(r"[\s*x]", lambda m: "" if m[0].isspace() else "×", text.lower()).replace("/", "÷")
    return [one for one in found if one.left in asked]


def _finding(text: str, found: Sequence[Sum]) -> Finding:
    return Finding(text, tuple(dict.fromkeys(one.line for one in found)))
