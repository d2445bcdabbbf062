"""WeChat Official Account (微信公众号), plain and AES mode."""

from adapters.wechat.adapter import Adapter, Config

__all__ = ["Adapter", "Config"]
