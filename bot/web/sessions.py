"""Who is logged in on the page, and who guesses: in memory, bounded, forgotten at a restart."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Final

from bot.clock import Clock

LIFETIME: Final = 12 * 3600
_MOST_SESSIONS: Final = 1000

_FREE_FAILURES: Final = 5
_LONGEST_LOCK: Final = 900.0
_FORGOTTEN_AFTER: Final = 3600.0
_MOST_ADDRESSES: Final = 4096


class Sessions:
    """Cookies' hashes and when they end. A full table drops the oldest session."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ends: OrderedDict[str, float] = OrderedDict()
        self._csrf_key = secrets.token_bytes(32)

    def open(self) -> str:
        """A new session; returns the cookie, which is kept nowhere here."""
        cookie = secrets.token_urlsafe(32)
        self._ends[_hash(cookie)] = self._clock.monotonic() + LIFETIME
        while len(self._ends) > _MOST_SESSIONS:
            self._ends.popitem(last=False)
        return cookie

    def valid(self, cookie: str) -> bool:
        """Whether this cookie was given out and has not ended."""
        end = self._ends.get(_hash(cookie))
        if end is not None and end <= self._clock.monotonic():
            del self._ends[_hash(cookie)]
            return False
        return end is not None

    def close(self, cookie: str) -> None:
        """End a session; an unknown one is no error."""
        self._ends.pop(_hash(cookie), None)

    def csrf(self, cookie: str) -> str:
        """The token that the session's own page sends along: nobody without the page can know it."""
        return hmac.digest(self._csrf_key, _bytes(cookie), "sha256").hex()


@dataclass(slots=True)
class _Failures:
    count: int = 0
    last: float = 0.0

    @property
    def open_again(self) -> float:
        """When the next attempt is looked at: doubling from one second on, after a few that are free."""
        over = self.count - _FREE_FAILURES
        return self.last + (min(_LONGEST_LOCK, 2.0 ** min(over, 30)) if over >= 0 else 0.0)


class Attempts:
    """Failed logins per address (per /64 in IPv6). The addresses that failed last are remembered."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, _Failures] = OrderedDict()

    def wait(self, address: str) -> float:
        """Seconds until this address may try again; 0 when it may now."""
        failures = self._failures.get(_network(address))
        return max(0.0, failures.open_again - self._clock.monotonic()) if failures else 0.0

    def failed(self, address: str) -> None:
        """Count a wrong token."""
        now, key = self._clock.monotonic(), _network(address)
        failures = self._failures.get(key)
        if failures is None or now - failures.last > _FORGOTTEN_AFTER:
            failures = self._failures[key] = _Failures()
        failures.count += 1
        failures.last = now
        self._failures.move_to_end(key)
        while len(self._failures) > _MOST_ADDRESSES:
            self._failures.popitem(last=False)

    def succeeded(self, address: str) -> None:
        """Forget this address's failures."""
        self._failures.pop(_network(address), None)


def _network(address: str) -> str:
    try:
        number = ip_address(address)
    except ValueError:
        return address
    return str(IPv6Network((number, 64), strict=False)) if isinstance(number, IPv6Address) else address


def _hash(cookie: str) -> str:
    return hashlib.sha256(_bytes(cookie)).hexdigest()


def _bytes(text: str) -> bytes:
    """Whatever a header held, lone surrogates included."""
    return text.encode("utf-8", "surrogatepass")
