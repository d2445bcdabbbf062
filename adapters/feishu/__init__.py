"""Feishu and Lark (飞书), events over HTTPS, answers as texts and cards."""

from adapters.feishu.adapter import Adapter, Config

__all__ = ["Adapter", "Config"]
