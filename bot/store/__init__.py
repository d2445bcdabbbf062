"""The durable path: inbox, lanes, outbox, history and picture metadata in one database."""

from bot.store.letters import DeadLetter
from bot.store.rows import QueuedDelivery, QueuedEvent
from bot.store.store import Claim, Store, TurnRecord

__all__ = ["Claim", "DeadLetter", "QueuedDelivery", "QueuedEvent", "Store", "TurnRecord"]
