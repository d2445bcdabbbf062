"""WeChat's customer service (微信客服)."""

from adapters.wechat_kf.adapter import Adapter, Config

__all__ = ["Adapter", "Config"]
