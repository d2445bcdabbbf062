"""HTTP for adapters: pictures from strangers' addresses, guarded; posts to the operator's own, not."""

from bot.fetch.fetcher import Fetcher

__all__ = ["Fetcher"]
