"""What the turn before was, read from its words: a follow-up inherits it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from bot.router.act import act
from bot.router.lexicon import tags
from bot.router.request import Turn
from bot.router.text import canonical, clauses, plain

Before = Literal["none", "short", "long", "awaited", "received", "offered"]

#: What the bot adds to a short answer when a report may have been meant.
OFFER = "需要写成完整报告吗？回复“写报告”即可"
_OFFER_HEART = "回复“写报告”"
_LONG_FROM, _READ = 140, 400
_WHOLE_TEXT = re.compile(
    r"全文|[约共]\s*\d+\s*字|……|一、.*二、|\n#|^#|【.+】.*…|^\s*\*\*|（[^（）]*稿[^（）]*）$", re.S
)
_ASKS_FOR_MORE = re.compile(
    r"请(?:把|将)?.{0,8}(?:发|提供|告诉|说明|上传|补充)|发(?:过来|我|来)|什么(?:主题|题目)|有(?:什么)?要求吗"
)
_ASKS_HOW = re.compile(r"(?:篇幅|字数|体裁|风格|文体|语气|主题|题目|多少字|哪种写法)[^。]{0,12}(?:[?？]|要求|告诉)")
_RECEIVED = re.compile(r"收到|需要我(?:做|怎么|如何)|要做什么|怎么处理|想让我|要我做")


def before(history: Sequence[Turn]) -> Before:
    """The kind of the last turn.

    none: there was none. short: an answer. long: a text was delivered. awaited: a text was ordered and the bot waits
    for its material. received: pictures came, what to do is open. offered: the bot asked whether to write a report.
    """
    if not history or history[-1].role != "assistant":
        return "none" if not history else _unanswered(history[-1])
    whole = history[-1].text
    answer = whole if len(whole) <= 2 * _READ else whole[:_READ] + whole[-_READ:]
    if _OFFER_HEART in answer:
        return "offered"
    asked = history[-2] if len(history) > 1 else Turn("user", "")
    if len(answer) >= _LONG_FROM or _WHOLE_TEXT.search(answer):
        return "long"
    ordered = orders_text(asked.text) or bool(_ASKS_HOW.search(answer))
    if ordered and (_ASKS_FOR_MORE.search(answer) or _RECEIVED.search(answer) or answer.endswith(("?", "？"))):
        return "awaited"
    if asked.images and _RECEIVED.search(answer):
        return "received"
    return "long" if ordered and len(answer) > len(asked.text) + 30 else "short"


def _unanswered(turn: Turn) -> Before:
    if orders_text(turn.text):
        return "awaited"
    return "received" if turn.images and not turn.text.strip() else "short"


def orders_text(text: str) -> bool:
    """Some clause orders a text."""
    return any(act(tags(clause)) in ("write", "long") for clause in clauses(canonical(plain(text[:400]))))
