"""What an adapter is given to reach its platform. The real one is `bot.fetch.Fetcher`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A platform's answer; retry_after: seconds it asked to be left alone, or None."""

    status: int
    body: bytes
    retry_after: float | None = None


class Http(Protocol):
    """What an adapter is given to reach its platform; `bot.fetch.Fetcher` is the real one."""

    async def picture(self, url: str, *, hosts: frozenset[str] | None = None) -> bytes:
        """GET a picture from a public address, guarded.

        hosts: the only ones allowed; `.example.com` means every name below it. Raises FetchFailed, or BadPicture
        for too many bytes.
        """
        ...

    async def post(self, url: str, *, body: bytes, headers: Mapping[str, str]) -> HttpAnswer:
        """POST to an address that the operator configured. Raises NetworkError."""
        ...
