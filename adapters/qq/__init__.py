"""QQ official bot (QQ 机器人), by webhook."""

from adapters.qq.adapter import Adapter, Config

__all__ = ["Adapter", "Config"]
