"""Slack, over the Events API."""

from adapters.slack.adapter import Adapter, Config

__all__ = ["Adapter", "Config"]
