"""Which model answers, and whether any does: the light one, the heavy one, a command, a person, or silence."""

from bot.router.history import OFFER
from bot.router.request import Label, Route, RouteRequest, Turn
from bot.router.router import ModelRouter

__all__ = ["OFFER", "Label", "ModelRouter", "Route", "RouteRequest", "Turn"]
