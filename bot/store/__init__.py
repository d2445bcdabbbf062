"""The durable path: inbox, lanes, outbox, history and picture metadata in one database."""

from bot.store.inbox import Claim
from bot.store.letters import DeadLetter
from bot.store.rows import QueuedDelivery, QueuedEvent
from bot.store.sessions import Memory
from bot.store.store import Completed, Store, TurnRecord

__all__ = ["Claim", "Completed", "DeadLetter", "Memory", "QueuedDelivery", "QueuedEvent", "Store", "TurnRecord"]
