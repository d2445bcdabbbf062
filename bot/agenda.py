"""Which digests there are: the configuration's, and those that people ordered in chat."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime

from bot.adapter import Adapter
from bot.chinese_time import parse
from bot.digests_config import DigestConfig, DigestsConfig
from bot.errors import BadSchedule, ConfigError
from bot.event import Conversation
from bot.orders import calendar, zone
from bot.schedule import Schedule
from bot.store import Subscriptions
from bot.subscription import Subscription


class Agenda:
    """Raises ConfigError on a digest that can never come, or nowhere."""

    def __init__(self, subscriptions: Subscriptions, config: DigestsConfig, adapters: Mapping[str, Adapter]) -> None:
        self._subscriptions = subscriptions
        self._adapters = adapters
        self._timezone = config.timezone
        self._window = config.window
        self._calendar = calendar(config)
        self._configured = {one.name: self._configure(one) for one in config.scheduled}
        if len(self._configured) < len(config.scheduled):
            raise ConfigError("digests.scheduled: two have the same name")

    @property
    def configured(self) -> tuple[Subscription, ...]:
        """Those of the configuration."""
        return tuple(self._configured.values())

    async def all(self, now: float) -> list[tuple[Subscription, float]]:
        """Each with the time since when it is ordered (seconds since 1970): for the configuration's, `now`."""
        ordered = await self._subscriptions.active()
        mine = [(one, now) for one in self._configured.values()]
        return [*mine, *((one.subscription, one.created_at) for one in ordered)]

    async def find(self, name: str) -> Subscription | None:
        """None where it was cancelled, or left out of the configuration."""
        if name in self._configured:
            return self._configured[name]
        found = await self._subscriptions.named(name)
        return found and found.subscription

    def schedule(self, subscription: Subscription) -> Schedule:
        """Raises BadSchedule where time zones or rules are others than when it was ordered."""
        return parse(subscription.schedule, zone(subscription.timezone), self._calendar)

    def before(self, subscription: Subscription, at: float) -> float:
        """Its last time before this one; both in seconds since 1970."""
        return self.schedule(subscription).previous(datetime.fromtimestamp(at, UTC)).timestamp()

    def offset(self, name: str) -> float:
        """Seconds after its times at which it goes into the inbox: its own, the same for ever."""
        part = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") / 2**32
        return part * self._window

    def _configure(self, one: DigestConfig) -> Subscription:
        place = f"digests.scheduled {one.name}"
        if one.name.startswith("chat-"):
            raise ConfigError(f"{place}: names of orders in chat begin with chat-, choose another")
        if one.kind == "prompt" and not one.prompt:
            raise ConfigError(f"{place}: prompt is missing")
        if one.kind == "feeds" and not one.sources:
            raise ConfigError(f"{place}: sources is missing: the addresses of the feeds")
        try:
            schedule = parse(one.schedule, zone(one.timezone or self._timezone), self._calendar)
        except BadSchedule as error:
            raise ConfigError(f"{place}: {error}") from None
        return Subscription(
            one.name,
            self._place(one.conversation, place),
            one.kind,
            one.title or one.name,
            schedule.text,
            schedule.zone.key,
            sources=self._sources(one, place),
            prompt=one.prompt,
            silent=one.silent,
        )

    def _sources(self, one: DigestConfig, place: str) -> tuple[str, ...]:
        return tuple(self._place(each, place).key for each in one.sources) if one.kind == "group" else one.sources

    def _place(self, text: str, where: str) -> Conversation:
        match text.split("/"):
            case [name, "group" | "private" as kind, id] if name and id:
                adapter = self._adapters.get(_plain(name))
                if adapter is None:
                    raise ConfigError(f"{where}: there is no section adapters.{name}")
                return Conversation(_plain(name), adapter.config.account_id, _plain(id), kind)
            case _:
                raise ConfigError(
                    f"{where}: {text!r} is no conversation: write PLATFORM/group/ID or PLATFORM/private/ID"
                )


def _plain(part: str) -> str:
    return part.replace("%2F", "/").replace("%25", "%")
