"""The durable path: inbox, lanes, outbox, history and picture metadata in one database."""

from bot.store.inbox import Claim
from bot.store.letters import DeadLetter
from bot.store.record import Completed, TurnRecord
from bot.store.reports import Latest, Reports, Unfinished
from bot.store.rows import QueuedDelivery, QueuedEvent
from bot.store.sessions import Memory
from bot.store.store import Store
from bot.store.subscriptions import Ordered, Posted, Progress, Subscriptions

__all__ = [
    "Claim",
    "Completed",
    "DeadLetter",
    "Latest",
    "Memory",
    "Ordered",
    "Posted",
    "Progress",
    "QueuedDelivery",
    "QueuedEvent",
    "Reports",
    "Store",
    "Subscriptions",
    "TurnRecord",
    "Unfinished",
]
