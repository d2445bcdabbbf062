"""DingTalk (钉钉): the robot of an internal app, in HTTP mode."""

from adapters.dingtalk.adapter import Adapter, Config

__all__ = ["Adapter", "Config"]
