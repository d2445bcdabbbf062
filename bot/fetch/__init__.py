"""HTTP for adapters: pictures from strangers' addresses, guarded; calls of the operator's own, not."""

from bot.fetch.fetcher import Fetcher

__all__ = ["Fetcher"]
