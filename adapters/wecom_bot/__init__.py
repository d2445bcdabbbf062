"""WeCom AI bot (企业微信智能机器人), webhook mode."""

from adapters.wecom_bot.adapter import Adapter, Config

__all__ = ["Adapter", "Config"]
