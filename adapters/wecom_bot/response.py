"""A message's own address for one answer: good for an hour, and for one call.

https://developer.work.weixin.qq.com/document/path/101138
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from bot.errors import ActionFailed, ConfigError, NetworkError
from bot.http import Http, call
from bot.recent import Recent
from bot.weixin_api import Codes

PATH: Final = "/cgi-bin/aibot/response"
#: The address was used already, or its hour is over.
_USED: Final = 60140
_MENDS: Final[Mapping[int, str]] = {
    40008: "the message type is not taken: is this an AI bot in webhook mode (接收消息 → 设置接收消息回调地址)?",
    45002: "the text is too long for WeCom: 20480 bytes at most",
    48002: "the bot may not be called: see its page in 企业微信管理后台 → 安全与管理 → 管理工具 → 智能机器人",
    60020: "add this server's address to the 企业可信IP of the bot",
}
_CODES: Final = Codes(
    platform="WeCom",
    momentary={-1: 1.0, 45009: 60.0, 45033: 5.0},
    mends=_MENDS,
    closed=frozenset({_USED}),
    untrusted=60020,
)
#: Questions whose call may or may not have arrived.
_DOUBTFUL: Final = 1000


class ResponseUrls:
    """hosts: the only ones that are called: a name with https at its usual port, `name:port` with either scheme."""

    def __init__(self, http: Http, hosts: Collection[str]) -> None:
        self._http = http
        self._hosts = frozenset(host.lower() for host in hosts)
        self._doubtful = Recent[str](_DOUBTFUL)

    async def send(self, url: str, question: str, text: str) -> None:
        """The one answer to a question. Raises NetworkError, WindowClosed (used, or too late) or ActionFailed."""
        if not self.allows(url):
            raise ActionFailed("WeCom gave an answer address on a host that is not in reply_hosts")
        try:
            code, words = await self._post(url, {"msgtype": "markdown", "markdown": {"content": text}})
        except NetworkError as error:
            if error.sent_maybe:
                self._doubtful.add(question)
            raise
        if code == 0 or (code == _USED and question in self._doubtful):
            # Used, after a call of which nothing was heard: that was the call.
            self._doubtful.remove(question)
            return
        raise _CODES.error(code, words)

    async def reach(self, host: str) -> int:
        """Call with a made-up address; the code that WeCom answers. Raises NetworkError."""
        scheme = "http" if ":" in host else "https"
        return (await self._post(f"{scheme}://{host}{PATH}?response_code=kantu-doctor", {}))[0]

    def allows(self, url: str) -> bool:
        """Whether an address that came in a message may be called."""
        if not url.isascii() or not url.isprintable() or "\\" in url or " " in url:
            return False
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            return False
        if "@" in parts.netloc or not parts.hostname:
            return False
        return self._names(parts, port)

    def _names(self, parts: SplitResult, port: int | None) -> bool:
        if parts.scheme == "https" and port in (None, 443) and parts.hostname in self._hosts:
            return True
        return parts.scheme in ("http", "https") and port is not None and f"{parts.hostname}:{port}" in self._hosts

    async def _post(self, url: str, data: Mapping[str, Any]) -> tuple[int, str]:
        """Code and words of the answer. Errors show no address: whoever knows it can answer in our name."""
        answer = (await call(self._http, "POST", url, data)).json()
        code = answer.get("errcode", -1)
        return (code if type(code) is int else -1), str(answer.get("errmsg", ""))[:200]


def check_hosts(where: str, hosts: Collection[str]) -> None:
    """Names, or names with a port; no addresses. Raises ConfigError."""
    if not hosts:
        raise ConfigError(f"{where}: must not be empty")
    for host in hosts:
        try:
            parts = urlsplit(f"//{host}")
            usable = parts.netloc == host and parts.hostname and "@" not in host and (parts.port or 1)
        except ValueError:
            usable = False
        if not usable or not host.isascii():
            raise ConfigError(f"{where}: '{host}' must be a host name, or host:port")
