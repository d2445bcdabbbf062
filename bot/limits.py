"""How much one may ask: bans and lists, messages a minute and an hour, daily quotas; refused once, then silence.

Periods are the clock's minutes and hours and the days of the configured time zone, kept exactly in the store: never
more than N in one clock minute (so at most 2 N in any sixty seconds). A user's limits hold over all chats of a
platform; a group's for all members together. What is refused is not counted, nor are messages in a group that are
not for the bot. Admins are never limited.

A turn that is taken up again, after a failure or a crash, is counted once: granted takings leave a receipt under
the event's id. A refusal is said again only by the event that said it first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Final, Literal
from zoneinfo import ZoneInfo

from bot import access
from bot.access import Access
from bot.clock import Clock
from bot.config import AccessConfig, Allowance, LimitsConfig
from bot.errors import ConfigError
from bot.event import MessageEvent
from bot.store.rows import event_key
from bot.store.usage import Ban, Counter, Usage

Kind = Literal["light", "heavy", "picture"]

_KINDS: Final[tuple[Kind, ...]] = ("light", "heavy", "picture")
_NAMES: Final = {"light": "提问", "heavy": "报告", "picture": "图片"}
_UNITS: Final = {"light": "次", "heavy": "篇", "picture": "张"}
#: A ban for good is mentioned again after so many seconds.
_LONG: Final = 366 * 86_400.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """say: the Chinese sentence to answer with; empty means silence.

    reason, for logs: `banned`, `closed` (the lists), `rate` or `quota`.
    """

    allowed: bool
    say: str = ""
    reason: str = ""


ALLOWED: Final = Verdict(True)


@dataclass(frozen=True, slots=True)
class _Refusal:
    """about: whose refusal it is and for how long it is said once."""

    about: Counter
    say: str
    reason: str


class Limiter:
    """Asked before a turn costs anything. Raises ConfigError on an unknown time zone or name."""

    def __init__(
        self, usage: Usage, config: LimitsConfig, access: AccessConfig, clock: Clock, admins: Sequence[str] = ()
    ) -> None:
        self._usage = usage
        self._config = config
        self._access = Access(access, admins)
        self._clock = clock
        self._zone = _zone(config.timezone)

    def is_admin(self, event: MessageEvent) -> bool:
        """The sender may use admins' commands: by id, in the list of the configuration."""
        return self._access.is_admin(event)

    async def admit(self, event: MessageEvent) -> Verdict:
        """Whether the bot deals with this message at all; counts it. The same event is counted once."""
        if self.is_admin(event):
            return ALLOWED
        now = self._clock.now()
        refusal = await self._shut_out(event, now)
        if refusal is None and event.to_me:
            refusal = await self._taken(event, list(self._rates(event, now)), "rate", now)
        return await self._verdict(event, refusal)

    async def charge(self, event: MessageEvent, kind: Kind, amount: int = 1) -> Verdict:
        """Take `amount` from today's quotas of user and group. The same event and kind are charged once."""
        if self.is_admin(event) or amount <= 0:
            return ALLOWED
        now = self._clock.now()
        refusal = await self._taken(event, list(self._quotas(event, kind, amount, now)), kind, now)
        return await self._verdict(event, refusal)

    async def ban(self, name: str, days: float | None, event: MessageEvent) -> None:
        """Shut a name out (see bot.access), for some days or for good. Raises ConfigError on what is no name."""
        until = None if days is None else self._clock.now() + days * 86_400
        await self._usage.ban(access.check_name(name), until, "", access.user(event))

    async def unban(self, name: str) -> bool:
        """Let a name in again; False if it was not shut out."""
        return await self._usage.unban(access.check_name(name))

    async def report(self, event: MessageEvent) -> str:
        """Today's use in Chinese, for its asker: one line a kind."""
        if self.is_admin(event):
            return "管理员不受额度限制。"
        lines = await self._use_of(access.user(event), self._config.user)
        if place := access.group(event):
            lines += [f"本群{line}" for line in await self._use_of(place, self._config.group)]
        return "\n".join(["今天的额度（0 点恢复）：", *lines]) if lines else "这里没有设置额度，可以放心使用。"

    async def _use_of(self, subject: str, allowance: Allowance) -> list[str]:
        used = await self._usage.used(subject)
        limits = [(kind, _per_day(allowance, kind)) for kind in _KINDS]
        return [
            f"{_NAMES[kind]}：已用 {used.get(kind, 0)} {_UNITS[kind]}，共 {limit} {_UNITS[kind]}"
            for kind, limit in limits
            if limit is not None
        ]

    def _subjects(self, event: MessageEvent) -> Iterator[tuple[str, Allowance]]:
        yield access.user(event), self._config.user
        if place := access.group(event):
            yield place, self._config.group

    def _rates(self, event: MessageEvent, now: float) -> Iterator[Counter]:
        for subject, allowance in self._subjects(event):
            for kind, limit, seconds in (("minute", allowance.per_minute, 60), ("hour", allowance.per_hour, 3600)):
                if limit is not None:
                    period, ends = _span(now, seconds)
                    yield Counter(subject, kind, period, 1, limit, ends)

    def _quotas(self, event: MessageEvent, kind: Kind, amount: int, now: float) -> Iterator[Counter]:
        period, ends = _day(now, self._zone)
        for subject, allowance in self._subjects(event):
            limit = _per_day(allowance, kind)
            if limit is not None:
                yield Counter(subject, kind, period, amount, limit, ends)

    async def _shut_out(self, event: MessageEvent, now: float) -> _Refusal | None:
        found = await self._usage.banned(access.names(event))
        if found is not None:
            ends = found.until if found.until is not None else found.at + _LONG
            about = _about(event, found.subject, "ban", str(found.at), ends)
            return _Refusal(about, _say_banned(event, found, self._zone), "banned")
        if not self._access.permits(event):
            about = _about(event, "", "closed", *_day(now, self._zone))
            return _Refusal(about, "这里没有开通看图，如需使用请联系管理员。", "closed")
        return None

    async def _taken(self, event: MessageEvent, wanted: list[Counter], what: str, now: float) -> _Refusal | None:
        over = await self._usage.take(wanted, f"{_key(event)} {what}")
        if over is None:
            return None
        whose = "本群" if over.subject == access.group(event) else "你"
        if what == "rate":
            return _Refusal(over, _say_rate(whose, over, now), "rate")
        return _Refusal(over, _say_quota(whose, over), "quota")

    async def _verdict(self, event: MessageEvent, refusal: _Refusal | None) -> Verdict:
        if refusal is None:
            return ALLOWED
        # Nobody asked the bot: no answer, and the one sentence is kept for who does.
        said = event.to_me and await self._usage.notice(refusal.about, _key(event))
        return Verdict(False, refusal.say if said else "", refusal.reason)


def _per_day(allowance: Allowance, kind: Kind) -> int | None:
    """The quota of a kind."""
    quotas = {"light": allowance.light_per_day, "heavy": allowance.heavy_per_day, "picture": allowance.pictures_per_day}
    return quotas[kind]


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ConfigError(
            f"limits.timezone: no time zone {name!r}; names are like Asia/Shanghai (pip install tzdata if it is right)"
        ) from None


def _key(event: MessageEvent) -> str:
    return event_key(event.conversation.platform, event.conversation.account_id, event.id)


def _span(now: float, seconds: int) -> tuple[str, float]:
    number = int(now // seconds)
    return f"{seconds}/{number}", float((number + 1) * seconds)


def _day(now: float, zone: tzinfo) -> tuple[str, float]:
    midnight = datetime.fromtimestamp(now, zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    # Wall time: the next midnight is 23 or 25 hours away when the clocks change.
    return midnight.date().isoformat(), (midnight + timedelta(days=1)).timestamp()


def _personal(event: MessageEvent, name: str) -> bool:
    """The name means this user, not a whole place."""
    return name in (access.user(event), access.names(event)[0])


def _about(event: MessageEvent, hit: str, kind: str, period: str, ends: float) -> Counter:
    """Who is told once: the user where the user is meant or alone, else the whole group."""
    told = access.user(event) if _personal(event, hit) else access.group(event) or access.user(event)
    return Counter(told, kind, period, 0, 0, ends)


def _say_banned(event: MessageEvent, found: Ban, zone: tzinfo) -> str:
    whose = "你" if _personal(event, found.subject) else "这里"
    ending = "如有疑问请联系管理员"
    if found.until is not None:
        ending = f"{datetime.fromtimestamp(found.until, zone):%Y-%m-%d %H:%M} 恢复"
    reason = f"原因：{found.reason}。" if found.reason else ""
    return f"{whose}已被管理员停用，{ending}。{reason}"


def _say_rate(whose: str, over: Counter, now: float) -> str:
    left = max(1, math.ceil(over.ends - now))
    wait = f"{left} 秒" if left <= 120 else f"{math.ceil(left / 60)} 分钟"
    span = "这一分钟" if over.kind == "minute" else "这一小时"
    return f"{whose}{span}的提问已到上限（{over.limit} 次），请过 {wait}再发；在那之前的消息不再回复。"


def _say_quota(whose: str, over: Counter) -> str:
    name, unit = _NAMES[over.kind], _UNITS[over.kind]
    if over.limit == 0:
        return f"{whose}没有开通{name}额度，如需使用请联系管理员。"
    if over.amount > 1:
        return f"{whose}今天的{name}额度（{over.limit} {unit}）不够这次的 {over.amount} {unit}，明天 0 点恢复。"
    return f"{whose}今天的{name}额度（{over.limit} {unit}）已用完，明天 0 点恢复。"
