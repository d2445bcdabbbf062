"""The WebSockets that OneBot clients keep open to us: frames in, actions out, answers matched by their `echo`."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec

from bot import payload
from bot.adapter import Socket
from bot.errors import NetworkError, Rejected

log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Line:
    """One connection. acts: it takes actions, too. asked: what it owes an answer to, by echo."""

    socket: Socket
    acts: bool
    asked: dict[str, asyncio.Future[Mapping[str, Any]]] = field(
        default_factory=dict[str, "asyncio.Future[Mapping[str, Any]]"]
    )


class Sockets:
    """All connections of one account; the newest that takes actions gets them."""

    def __init__(self) -> None:
        self._lines: list[_Line] = []
        self._numbers = itertools.count(1)

    @property
    def ready(self) -> bool:
        """Some connection takes actions."""
        return any(line.acts for line in self._lines)

    async def serve(self, socket: Socket, take: Callable[[Any], Awaitable[None]], *, acts: bool) -> None:
        """Read until it is closed: answers go to whoever asked, everything else to `take`."""
        line = _Line(socket, acts)
        self._lines.append(line)
        try:
            async for frame in socket:
                await _read(line, frame, take)
        finally:
            self._lines.remove(line)
            for future in line.asked.values():
                if not future.done():
                    future.set_exception(NetworkError("the OneBot client hung up", sent_maybe=True))

    async def ask(self, action: str, params: Mapping[str, Any], seconds: float) -> Mapping[str, Any]:
        """The answer to an action. Raises NetworkError."""
        line = next((line for line in reversed(self._lines) if line.acts), None)
        if line is None:
            raise NetworkError(f"{action}: no OneBot client is connected")
        echo = f"kantu-{next(self._numbers)}"
        text = msgspec.json.encode({"action": action, "params": params, "echo": echo}).decode()
        future = asyncio.get_running_loop().create_future()
        line.asked[echo] = future
        try:
            async with asyncio.timeout(seconds):
                await line.socket.send(text)
                return await future
        except TimeoutError:
            raise NetworkError(f"{action}: no answer in {seconds:g} s", sent_maybe=True) from None
        finally:
            del line.asked[echo]

    async def close(self) -> None:
        """Close all connections."""
        await asyncio.gather(*(line.socket.close() for line in self._lines), return_exceptions=True)


async def _read(line: _Line, frame: str, take: Callable[[Any], Awaitable[None]]) -> None:
    try:
        data = payload.fields(payload.decode(frame.encode("utf-8", "surrogatepass")))
    except Rejected as error:
        log.info("a frame was dropped: %s", error)
        return
    if "post_type" in data:
        await take(data)
        return
    future = line.asked.get(cast("str", data.get("echo"))) if type(data.get("echo")) is str else None
    if future is not None and not future.done():
        future.set_result(data)
