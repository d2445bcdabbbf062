"""ModelRouter: what a message wants, decided by what it means.

First the address: in a group only what names the bot, answers it or begins with a slash is for it; where that is
open (the name inside a sentence, a remark after the bot's answer) a small model decides. Then the words that settle
it alone: commands, /快, /报告, yes to an offered report. The rest is decided by a linear model over features.Reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Literal, cast

from bot.message import Message
from bot.router.commands import command, forced
from bot.router.features import Reading, features, gate_features, read
from bot.router.history import OFFER
from bot.router.model import CONTENT, Model
from bot.router.reason import quick_reason, report_reason
from bot.router.request import ChatKind, Label, Route, RouteRequest, Turn
from bot.router.text import BOT, MENTION, NAMES, canonical, plain

#: Below this a report is not begun at once: the light model answers and offers it.
SURE = 0.6
#: No weighed choice is surer; 1.0 is said of forcing words and commands only.
MOST = 0.999
#: A quick question this likely to mean a report gets the offer.
DOUBT = 0.3
_YES = frozenset(
    "写报告 写 要 要的 好 好的写报告 好写报告 写吧 写报告吧 写成报告 需要 可以 嗯 行 写一份 好的 是 yes".split()
)
_OTHER = {"command": "指令", "human": "要求人工"}
Address = Literal["bot", "open", "others"]


class ModelRouter:
    """Chooses; pure. The weights are read once per process, at the first choice that needs them."""

    def choose(self, request: RouteRequest) -> Route:
        """The route of one turn. Never raises for any text or history."""
        label, rest = forced(request.text)
        if label:
            return _forced(label, rest)
        text = plain(request.text)
        word = command(text)
        if word and not (request.chat == "group" and _address(request, text) == "others" and word[0] != "/"):
            return Route("command", "light", f"指令 {word[:12]}", 1.0, text=request.text)
        where = _address(request, text)
        if where == "others":
            return Route("chatter", "light", "群聊，未叫机器人", 0.98, text=request.text)
        reading = read(request)
        return _offered(reading, text) or _weighed(reading, where)

    def choose_message(
        self,
        message: Message,
        history: Sequence[Message] = (),
        *,
        chat: ChatKind = "direct",
        addressed: bool | None = None,
    ) -> Route:
        """The same for stored messages: quotations are not part of the text, the bot's own mention neither."""
        turns = tuple(Turn(each.role, each.text, len(each.images)) for each in history if each.role != "system")
        return self.choose(RouteRequest(message.text, len(message.images), chat, turns, addressed))


@cache
def weights() -> Model:
    """The shipped weights."""
    return Model.load()


def _forced(label: str, rest: str) -> Route:
    report = label == "report"
    return Route("report" if report else "quick", "heavy" if report else "light", "按你的指定", 1.0, text=rest)


def _address(request: RouteRequest, text: str) -> Address:
    """For the bot, for others, or open. Outside groups everything is for the bot."""
    if request.chat != "group" or request.addressed:
        return "bot"
    marked = canonical(text)
    if (
        request.addressed is None
        and BOT in marked
        and (marked.startswith(BOT) or marked.rstrip(" ,.。!?").endswith(BOT))
    ):
        return "bot"
    if MENTION in marked and not any(name in marked for name in (BOT, *NAMES)):
        return "others"
    answered = bool(request.history) and request.history[-1].role == "assistant"
    return "open" if answered or BOT in marked or any(name in marked for name in NAMES) else "others"


def _offered(reading: Reading, text: str) -> Route | None:
    if reading.before == "offered" and text.strip(" 。.!！~,，").replace("，", "") in _YES:
        return Route("report", "heavy", "应邀写成报告", 0.99, text=reading.request.text)
    return None


def _weighed(reading: Reading, where: Address) -> Route:
    model = weights()
    chatter = model.chatter(gate_features(reading)) if where == "open" else 0.0
    if chatter >= 0.5:
        return Route("chatter", "light", "群友之间的话", chatter, text=reading.request.text)
    chances = model.content(features(reading))
    best = max(range(len(CONTENT)), key=lambda number: chances[number])
    label = cast(Label, CONTENT[best])
    report = chances[CONTENT.index("report")]
    heavy = label == "report" and report >= SURE
    return Route(
        label,
        "heavy" if heavy else "light",
        _reason(label, reading),
        min(chances[best] * (1.0 - chatter), MOST),
        offer_report=not heavy and (label == "report" or (label == "quick" and report >= DOUBT)),
        text=reading.request.text,
    )


def _reason(label: Label, reading: Reading) -> str:
    if label == "report":
        return report_reason(reading)
    return _OTHER.get(label) or quick_reason(reading)


__all__ = ["OFFER", "ModelRouter", "weights"]
