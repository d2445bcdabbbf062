"""Orders of digests in chat: what a handler may ask and do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from bot.adapter import Adapter, Limits
from bot.chinese_time import parse
from bot.clock import Clock
from bot.digests_config import DigestsConfig
from bot.errors import BadSchedule, ConfigError
from bot.event import Conversation, MessageEvent
from bot.schedule import Calendar, Schedule
from bot.store.rows import event_key
from bot.store.subscriptions import Order, Ordered, Subscriptions
from bot.subscription import Subscription

#: Seconds in which an order that was repeated back may be confirmed.
_WAITS = 600.0
_WAITS_FOR_READER = (
    "到点后先存着，等这里有人再发消息时随回答一起送来（两天内有效）；也可以请管理员在配置里把它发到别的会话"
)


@dataclass(frozen=True, slots=True)
class Listed:
    """A subscription of a conversation; id 0: the configuration's. error: what went wrong with its last digest."""

    id: int
    subscription: Subscription
    error: str


def zone(name: str) -> ZoneInfo:
    """Raises BadSchedule."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise BadSchedule(f"没有“{name}”这个时区，写法如 Asia/Shanghai、Europe/Paris、UTC。") from None


class Orders:
    """One for a service. Raises ConfigError on an unknown time zone."""

    def __init__(self, subscriptions: Subscriptions, config: DigestsConfig, clock: Clock) -> None:
        self._subscriptions = subscriptions
        self._config = config
        self._clock = clock
        self._adapters: Mapping[str, Adapter] = {}
        self._configured: tuple[Subscription, ...] = ()
        self.calendar = calendar(config)
        try:
            self.zone = zone(config.timezone)
        except BadSchedule as error:
            raise ConfigError(f"digests.timezone: {error}") from None

    def serve(self, adapters: Mapping[str, Adapter], configured: Sequence[Subscription]) -> None:
        """These platforms are there, and these digests are in the configuration."""
        self._adapters = adapters
        self._configured = tuple(configured)

    @property
    def admin_only(self) -> bool:
        return self._config.admin_only

    @property
    def per_conversation(self) -> int:
        return self._config.per_conversation

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now(), UTC)

    def schedule(self, subscription: Subscription) -> Schedule:
        """Raises BadSchedule where time zones or rules are others than when it was ordered."""
        return parse(subscription.schedule, zone(subscription.timezone), self.calendar)

    def caveat(self, where: Conversation) -> str:
        """What to know about a platform that does not take unasked messages (always); empty where it does."""
        adapter = self._adapters.get(where.platform)
        limits = adapter.limits_for(where) if adapter else Limits()
        if not limits.active:
            return f"请注意：这个平台不让机器人主动发消息，{_WAITS_FOR_READER}。"
        if limits.window is not None:
            return f"请注意：这个平台对机器人主动发的消息有限制，发不出时，{_WAITS_FOR_READER}。"
        return ""

    async def propose(self, session: str, wanted: Subscription, turn_id: int) -> None:
        """Keep an order until its session confirms it; turn_id: the last turn of its history (0: none)."""
        await self._subscriptions.propose(session, wanted, turn_id, _WAITS)

    async def proposal(self, session: str) -> Order | None:
        """What waits for this session's yes."""
        return await self._subscriptions.proposal(session)

    async def withdraw(self, session: str) -> bool:
        """Forget what waits; False where nothing does."""
        return await self._subscriptions.withdraw(session)

    async def confirm(self, session: str, event: MessageEvent) -> Ordered | None:
        """What waited is ordered now; the same event is answered alike when it is taken up again."""
        return await self._subscriptions.confirm(session, _key(event))

    async def confirmed_by(self, event: MessageEvent) -> Ordered | None:
        """What this event confirmed when it was taken up before."""
        return await self._subscriptions.confirmed_by(_key(event))

    async def at(self, where: Conversation) -> list[Listed]:
        """What is posted to a conversation: by the configuration, then by order of its people, oldest first."""
        found = [(0, one) for one in self._configured if one.conversation == where]
        found += [(one.id, one.subscription) for one in await self._subscriptions.at(where.key)]
        progress = await self._subscriptions.progress() if found else {}
        errors = {name: one.error for name, one in progress.items()}
        return [Listed(id, one, errors.get(one.name, "")) for id, one in found]

    async def find(self, id: int) -> Ordered | None:
        """By its number, whether or not it was cancelled."""
        return await self._subscriptions.find(id)

    async def cancel(self, id: int) -> None:
        """No more of it. Twice is once."""
        await self._subscriptions.cancel(id)


def calendar(config: DigestsConfig) -> Calendar:
    """The operator's lists of days."""
    return Calendar(frozenset(config.holidays), frozenset(config.workdays))


def _key(event: MessageEvent) -> str:
    return event_key(event.conversation.platform, event.conversation.account_id, event.id)
