"""A self-built app of WeCom (企业微信自建应用)."""

from adapters.wecom.adapter import Adapter, Config

__all__ = ["Adapter", "Config"]
