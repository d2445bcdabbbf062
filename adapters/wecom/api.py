"""WeCom's server API: the access token, messages, files, pictures.

https://developer.work.weixin.qq.com/document/path/90236
https://developer.work.weixin.qq.com/document/path/90313 (codes)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bot.clock import Clock
from bot.event import File
from bot.http import Http
from bot.weixin_api import Codes, WeixinApi

_NOBODY: Final = 81013
_MENDS: Final[Mapping[int, str]] = {
    40001: "secret is not this app's: copy it anew (应用管理 → 应用 → Secret)",
    40003: "this member is not known to the company",
    40004: "WeCom takes no file of this kind",
    40006: "WeCom takes files of 5 bytes to 20 MB",
    40007: "the media id is not known or older than three days",
    40013: "check corp_id (我的企业 → 企业信息 → 企业 ID)",
    40056: "check agent_id (应用管理 → 应用 → AgentId)",
    40058: "WeCom did not understand a parameter",
    45002: "the text is too long for WeCom: 2048 bytes at most",
    45009: "too many calls: WeCom allows 30 messages a minute and 1000 an hour to one member",
    45033: "too many calls at once",
    48002: "the app may not use this call: look at its permissions in the admin console",
    60011: "the app may not see this member: widen its 可见范围",
    60020: "add this server's address to 企业可信IP (应用管理 → 应用 → 企业可信IP)",
    60111: "this member is not known to the company any more",
    81013: "the member has left the company, is outside of the app's 可见范围, or has no licence (接口许可)",
    82001: "the member is outside of the app's 可见范围",
    301002: "secret and agent_id belong to different apps: copy both from the same page",
}
_CODES: Final = Codes(
    platform="WeCom",
    momentary={-1: 1.0, 6000: 1.0, 45009: 60.0, 45033: 1.0},
    mends=_MENDS,
    ended=frozenset({40014, 41001, 42001}),
    gone=frozenset({40007, 41006, 46001}),
    untrusted=60020,
)


class Api(WeixinApi):
    """One app's calls. base: without a slash at its end."""

    def __init__(self, http: Http, clock: Clock, base: str, corp_id: str, agent_id: int, secret: str) -> None:
        query = {"corpid": corp_id, "corpsecret": secret}
        super().__init__(http, clock, base, _CODES, "企业微信", "gettoken", query=query)
        self._agent_id = agent_id

    async def send_text(self, user: str, text: str) -> str:
        """A message to one member; its id. Raises NetworkError or ActionFailed."""
        return await self._send(user, "text", {"content": text})

    async def send_file(self, user: str, file: File) -> str:
        """Upload a file and send it. Raises NetworkError or ActionFailed."""
        return await self._send(user, "file", {"media_id": await self.upload(file)})

    async def app_name(self) -> str:
        """What the app is called; asking proves secret, agent id and trusted address. Raises DeliveryError."""
        return str((await self.get("agent/get", agentid=str(self._agent_id))).get("name", ""))

    async def _send(self, user: str, kind: str, content: Mapping[str, str]) -> str:
        data = {"touser": user, "msgtype": kind, "agentid": self._agent_id, kind: content}
        answer = await self.post("message/send", data)
        for name in ("invaliduser", "unlicenseduser"):
            # WeCom names members in small letters, however they were written.
            if user.lower() in str(answer.get(name) or "").lower().split("|"):
                raise _CODES.error(_NOBODY, name)
        return str(answer.get("msgid") or "")
