"""Telegram, over webhooks."""

from adapters.telegram.adapter import Adapter, Config

__all__ = ["Adapter", "Config"]
