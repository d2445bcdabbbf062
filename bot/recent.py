"""The newest of many names, kept in memory.

Adapters keep those of the messages that they sent: an answer to one is meant for the bot.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

Name = TypeVar("Name", str, tuple[str, str])


class Recent(Generic[Name]):
    """At most so many names; the oldest are forgotten first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._names: OrderedDict[Name, None] = OrderedDict()

    def add(self, name: Name) -> None:
        """Keep a name. An empty one (the platform gave none) is no name."""
        if name:
            self._names[name] = None
            if len(self._names) > self._most:
                self._names.popitem(last=False)

    def remove(self, name: Name) -> None:
        """Forget a name, if it is kept."""
        self._names.pop(name, None)

    def __contains__(self, name: Name) -> bool:
        return name in self._names
