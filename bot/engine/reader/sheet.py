"""Questions about a special kind of sheet: exercises, panels of a comic, who says what, why something failed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bot.engine.reader import arithmetic
from bot.engine.reader.chat import Utterance, find_chat
from bot.engine.reader.facts import Contents
from bot.engine.reader.finding import Finding
from bot.engine.reader.layout import Block, blocks
from bot.engine.reader.page import Line
from bot.engine.reader.passages import Passage, coverage, fold
from bot.engine.reader.question import Item, Question, ordinal

# --- exercises -------------------------------------------------------------------------------------------

_NTH_SUM = re.compile(r"第\s*(\d{1,2}|[一二三四五六七八九十]{1,2})\s*(?:道?小?题|个算式|道)")


def sums(question: Question, page: Contents) -> Finding | None:
    """Questions about right and wrong on a page with two sums or more."""
    found = arithmetic.find_sums(page.page.lines)
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


def _count(text: str, found: Sequence[arithmetic.Sum], wrong: Sequence[arithmetic.Sum]) -> Finding:
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


def _explain(one: arithmetic.Sum) -> str:
    if not one.answer:
        return f"第{one.index}题：{one.left} 没有写答案，正确答案是 {one.right}"
    if one.correct:
        return f"第{one.index}题：{one.text}，验算正确"
    return f"第{one.index}题：{one.text} 不对，{one.left} 的正确答案是 {one.right}"


def _quoted(text: str, found: Sequence[arithmetic.Sum]) -> list[arithmetic.Sum]:
    asked = re.sub(r"[\s*x]", lambda m: "" if m[0].isspace() else "×", text.lower()).replace("/", "÷")
    return [one for one in found if one.left in asked]


def _finding(text: str, found: Sequence[arithmetic.Sum]) -> Finding:
    return Finding(text, tuple(dict.fromkeys(one.line for one in found)))


# --- panels ----------------------------------------------------------------------------------------------

_PANEL = re.compile(r"第\s*(\d{1,2}|[一二三四五六七八九十]{1,2})\s*(?:格|幅|个?画面|个?分镜)|(最后|末)(?:一|的那)?(?:格|幅|个?画面)|(倒数第二)(?:格|幅)")
#: what is drawn in a panel rather than written
_DRAWN = re.compile(r"表情|穿|颜色|拿着|长什么样|背景|天气|动作|在[干做]|姿势|戴")


def panel(question: Question, page: Contents) -> Finding | None:
    """What stands in one panel of a comic."""
    shown, match = page.panels, _PANEL.search(question.text)
    if len(shown) < 2:
        return None
    if match is None:
        count = re.search(r"几格|多少格|几个(?:画面|分镜)", question.text)
        return Finding(f"共 {len(shown)} 格", page.page.lines[:1]) if count else None
    index = {"最后": len(shown), "末": len(shown), "倒数第二": len(shown) - 1}.get(match[2] or match[3] or "") or ordinal(match[1] or "")
    if not 1 <= index <= len(shown) or _DRAWN.search(question.text):
        return None
    inside = blocks([line for line in page.page.lines if shown[index - 1].contains(*line.box.centre)])
    if not inside:
        return Finding(f"第{index}格里没有读到文字", ())
    quotes = "".join(f"「{block.text}」" for block in inside)
    return Finding(f"第{index}格：{quotes}", tuple(line for block in inside for line in block.lines))


# --- who says what ---------------------------------------------------------------------------------------

_SAYS = re.compile(r"(.{0,10}?)(?:都|最后|最早|先|后来|又|还|回复|回答|一开始)*(?:说|讲|发|问|回|回复|聊)了?(?:的是|些)?(?:什么|啥|哪些|哪几)")


def speaker(question: Question, page: Contents) -> Finding | None:
    """`老葛说了什么`, `谁说的……` in a chat screenshot."""
    talk = find_chat(page.page)
    if not talk:
        return None
    who = re.search(r"(?:谁|哪个人|哪位)(?:说|提|问|回|负责|要)", question.text)
    if who:
        return _who(question, talk)
    match = _SAYS.search(question.text)
    said = _by(match[1], talk) if match else []
    if re.search(r"最后.*(?:说|回|问|发)", question.text) and said:
        said = said[-1:]
    if not said:
        return None
    return Finding("\n".join(f"{one.speaker}：「{one.text}」" for one in said), _lines(said))


def _by(name: str, talk: Sequence[Utterance]) -> list[Utterance]:
    """Utterances of the one that a question names; the page's title may name the other side."""
    named = [one for one in talk if one.name and (one.name in name or (name and name[-2:] in one.name))]
    if named:
        return named
    side = "right" if re.search(r"我|右", name) else "left" if re.search(r"对方|左|他|她", name) else ""
    return [one for one in talk if one.side == side]


def _who(question: Question, talk: Sequence[Utterance]) -> Finding | None:
    words = tuple(fold(run) for item in question.items for run in item.runs)
    best = max(talk, key=lambda one: coverage(words, fold(one.text)))
    if coverage(words, fold(best.text)) < 0.5:
        return None
    return Finding(f"{best.speaker}：「{best.text}」", best.lines, 0.9)


def _lines(talk: Sequence[Utterance]) -> tuple[Line, ...]:
    return tuple(line for one in talk for line in one.lines)


# --- reasons ---------------------------------------------------------------------------------------------

_BECAUSE = re.compile(r"因为|由于|原因|因(?=[^素此])|所以|为了|导致")
_CAUSE = re.compile(
    r"已?用完|不足|超[过出限时]|过期|失效|异常|无法|未能|不存在|错误|维护|断开|拒绝|冻结|上限|频繁|不支持|不可用|不一致|不匹配|占用|过大|满|失败|繁忙|中断|没有|不能|受限|限制|关闭|停止"
)


def reason(item: Item, page: Contents, text: Sequence[Passage]) -> Finding | None:
    """What the page gives as the cause: a field called reason, a because, or the line under what failed."""
    fact = next((f for f in page.facts if re.search(r"原因|理由|错误信息|错误描述|失败说明", f.key)), None)
    if fact is not None:
        return Finding(f"{fact.key}：{fact.value}", fact.lines)
    words = tuple(fold(run) for run in item.runs)
    scored = [(_because(words, passage), passage) for passage in text]
    best = max(scored, key=lambda pair: pair[0], default=None)
    if best is not None and best[0] > 0.6:
        return Finding(f"原文：「{best[1].text}」", best[1].lines, 0.9)
    return _below_title(words, page.blocks) or (_spoken(words, page) if page.panels else None)


def _spoken(words: tuple[str, ...], page: Contents) -> Finding | None:
    """In a comic a reason is what somebody says of himself, nearest to what is asked."""
    said = [block for block in page.blocks if "我" in block.text and not re.search(r"[?？]$", block.text)]
    scored = [(sum(char in fold(block.text) for word in words for char in word), block) for block in said]
    best, block = max(scored, key=lambda pair: pair[0], default=(0, None))
    if block is None or best == 0 or sum(score == best for score, _ in scored) > 1:
        return None
    return Finding(f"相关台词：「{block.text}」", block.lines, 0.6)


def _because(words: tuple[str, ...], passage: Passage) -> float:
    share = coverage(words, fold(passage.text))
    return share + 0.4 if share > 0.25 and _BECAUSE.search(passage.text) else 0.0


def _below_title(words: tuple[str, ...], found: Sequence[Block]) -> Finding | None:
    """The explanation stands right under the headline that says what failed."""
    titles = [(coverage(words, fold(block.text)), index) for index, block in enumerate(found)]
    score, index = max(titles, default=(0.0, 0))
    if score < 0.5:
        return None
    near = [block for block in found[index : index + 4] if len(block.text) >= 6 and _CAUSE.search(block.text)]
    near = [block for block in near if block is not found[index] or len(block.text) > 10]
    if not near:
        return None
    return Finding(f"{near[0].text}", near[0].lines, 0.9)
