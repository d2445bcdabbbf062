"""Which model answers: the light one for questions, the heavy one for writing."""

from bot.router.router import ModelRouter, Route

__all__ = ["ModelRouter", "Route"]
