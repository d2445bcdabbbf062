"""What is routed and what comes out: pure values, independent of platforms and of the stored messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Label = Literal["quick", "report", "command", "human", "chatter"]
ModelName = Literal["light", "heavy"]
ChatKind = Literal["direct", "group", "support", "web"]


@dataclass(frozen=True, slots=True)
class Turn:
    """An earlier utterance: `user` or `assistant`, its text, how many pictures came with it."""

    role: str
    text: str
    images: int = 0


@dataclass(frozen=True, slots=True)
class RouteRequest:
    """A message to be routed.

    text: the words typed, quotations and pictures left out. images: how many came along. history: earlier turns,
    oldest first. addressed: whether the platform says that it is for the bot (@ or reply); None where only the
    text can tell, which then must name the bot.
    """

    text: str
    images: int = 0
    chat: ChatKind = "direct"
    history: tuple[Turn, ...] = ()
    addressed: bool | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """A choice and why.

    reason: a short Chinese phrase. confidence: the calibrated probability of `label`. offer_report: the light
    model answers, but a report may have been meant: ask. text: the question without a forcing word (/快, /报告).
    A report of low confidence keeps its label and goes to the light model with an offer.
    """

    label: Label
    model: ModelName
    reason: str
    confidence: float
    offer_report: bool = False
    text: str = ""
