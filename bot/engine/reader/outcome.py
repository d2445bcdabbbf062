"""Questions about how something went: its state, why it failed, what the page tells the user to do."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bot.engine.reader import comic
from bot.engine.reader.contents import Contents
from bot.engine.reader.finding import Finding
from bot.engine.reader.layout import Block
from bot.engine.reader.passages import Passage, coverage, fold
from bot.engine.reader.question import Item, Question

_STATUS = re.compile(
    r"^(?:已|待|未|正在|等待)?[\u4e00-\u9fff]{0,6}(?:失败|成功|完成|收货|发货|付款|支付|签收|取消|退款|运输中|派送中|处理中|审核中|配送中|送达|通过|驳回|关闭"
    r"|出票|使用|评价|接单|备货|揽收|超时|异常|中断)$"
)


def status(question: Question, page: Contents) -> Finding | None:
    """`成功了吗`, `现在什么状态`: the page's own word for it, the largest if there are several."""
    if not re.search(
        r"状态|(?:成功|完成|发货|付款|支付|签收|送达|退款|通过|出票)(?:了)?[吗没么]|到哪一?步|有没有(?:成功|发货|签收)",
        question.text,
    ):
        return None
    if any(re.search(r"状态", fact.key) for fact in page.facts):
        return None
    found = [line for line in page.page.lines if _STATUS.match(line.text) and line.box.top < 0.6 * page.page.height]
    tallest = max(found, key=lambda line: line.box.height, default=None)
    return None if tallest is None else Finding(f"图中显示：{tallest.text}", (tallest,), 0.8)


def advice(question: Question, page: Contents) -> Finding | None:
    """`怎么办`: what the page itself asks the user to do."""
    if not re.search(
        r"怎么办|怎么解决|如何解决|怎么处理|如何处理|有什么建议|建议怎么|该怎么做|应该做什么", question.text
    ):
        return None
    found = [
        block
        for block in page.blocks
        if re.search(r"请|建议|尝试|可以|联系|稍后|重试|刷新", block.text) and len(block.text) >= 6
    ]
    text = "\n".join(f"原文：「{block.text}」" for block in found[:3])
    return Finding(text, tuple(line for block in found[:3] for line in block.lines), 0.8) if found else None


_BECAUSE = re.compile(r"因为|由于|原因|因(?=[^素此])|所以|为了|导致")
_CAUSE = re.compile(
    r"已?用完|不足|超[过出限时]|过期|失效|异常|无法|未能|不存在|错误|维护|断开|拒绝|冻结|上限|频繁|不支持|锁定|有误|不正确|重复|已满|约满|不可用|不一致|不匹配|占用|过大|满|失败|繁忙|中断|没有|不能|受限|限制|关闭|停止"
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
    causes = [passage for passage in text if re.search(r"由于|因为|原因", passage.text)]
    if len(causes) == 1 and len(page.page.lines) <= 15:
        return Finding(f"原文：「{causes[0].text}」", causes[0].lines, 0.7)
    return _below_title(words, page.blocks) or (comic.spoken(words, page) if page.panels else None)


def _because(words: tuple[str, ...], passage: Passage) -> float:
    share = coverage(words, fold(passage.text))
    return share + 0.4 if share > 0.25 and _BECAUSE.search(passage.text) else 0.0


def _subtitle(pair: Sequence[Block]) -> Finding | None:
    """The sentence right below a larger headline, whatever its words."""
    if len(pair) < 2:
        return None
    title, below = pair
    size = title.lines[0].box.height
    close = below.box.top - title.box.bottom < 2 * size and below.lines[0].box.height < 0.85 * size
    sentence = len(below.text) >= 8 and "，" in below.text
    return Finding(below.text, below.lines, 0.7) if close and sentence else None


def _below_title(words: tuple[str, ...], found: Sequence[Block]) -> Finding | None:
    """The explanation stands right under the headline that says what failed."""
    titles = [(coverage(words, fold(block.text)), index) for index, block in enumerate(found)]
    score, index = max(titles, default=(0.0, 0))
    if score < 0.5:
        return None
    near = [block for block in found[index : index + 4] if len(block.text) >= 6 and _CAUSE.search(block.text)]
    near = [block for block in near if block is not found[index] or len(block.text) > 10]
    if not near:
        return _subtitle(found[index : index + 2])
    return Finding(f"{near[0].text}", near[0].lines, 0.9)
