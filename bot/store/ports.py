"""What a part of the store is given to reach the database with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection

from bot.store.writer import Operation

T = TypeVar("T")


class Write(Protocol):
    """Does an operation in the writer's next transaction."""

    def __call__(self, operation: Operation[Any, Any], argument: Any, /) -> Awaitable[Any]: ...


class Read(Protocol):
    """Runs a query on a connection of its own."""

    def __call__(self, query: Callable[[Connection], T], /) -> Awaitable[T]: ...
