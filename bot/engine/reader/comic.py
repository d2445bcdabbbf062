"""Questions about the panels of a comic: what stands in them, what somebody says of himself."""

from __future__ import annotations

import re

from bot.engine.reader.contents import Contents
from bot.engine.reader.finding import Finding
from bot.engine.reader.layout import blocks
from bot.engine.reader.passages import fold
from bot.engine.reader.question import Question, ordinal

_PANEL = re.compile(
    r"第\s*(\d{1,2}|[一二三四五六七八九十]{1,2})\s*(?:格|幅|个?画面|个?分镜)|(最后|末)(?:一|的那)?(?:格|幅|个?画面)|(倒数第二)(?:格|幅)"
)
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
    index = {"最后": len(shown), "末": len(shown), "倒数第二": len(shown) - 1}.get(
        match[2] or match[3] or ""
    ) or ordinal(match[1] or "")
    if not 1 <= index <= len(shown) or _DRAWN.search(question.text):
        return None
    inside = blocks([line for line in page.page.lines if shown[index - 1].contains(*line.box.centre)])
    if not inside:
        return Finding(f"第{index}格里没有读到文字", ())
    quotes = "".join(f"「{block.text}」" for block in inside)
    return Finding(f"第{index}格：{quotes}", tuple(line for block in inside for line in block.lines))


def spoken(words: tuple[str, ...], page: Contents) -> Finding | None:
    """In a comic a reason is what somebody says of himself, nearest to what is asked."""
    said = [block for block in page.blocks if "我" in block.text and not re.search(r"[?？]$", block.text)]
    scored = [(sum(char in fold(block.text) for word in words for char in word), block) for block in said]
    best, block = max(scored, key=lambda pair: pair[0], default=(0, None))
    if block is None or best == 0 or sum(score == best for score, _ in scored) > 1:
        return None
    return Finding(f"相关台词：「{block.text}」", block.lines, 0.6)
