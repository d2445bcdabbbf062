"""WeChat's server API: the access token, customer-service messages, pictures.

https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Service_Center_messages.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bot.clock import Clock
from bot.errors import ActionFailed
from bot.http import Http
from bot.weixin_api import Codes, WeixinApi

_TYPING_ALREADY, _TYPING_TOO_LATE = "45081", "45080"
_MENDS: Final[Mapping[int, str]] = {
    40001: "check app_secret: it was reset, or another program forces new tokens (force_refresh)",
    40003: "this user is not known to the account: is app_id the account that the message came to?",
    40007: "the media id is not known or older than three days",
    40013: "check app_id (mp.weixin.qq.com: 设置与开发 → 开发接口管理 → 基本配置)",
    40014: "check app_secret: it was reset, or another program forces new tokens (force_refresh)",
    40125: "check app_secret; reset it at mp.weixin.qq.com when it is lost",
    40164: "add this server's address to the IP 白名单 at mp.weixin.qq.com",
    43004: "this user does not follow the account",
    42001: "the new token has ended as well: check this server's clock and api_base",
    45002: "the text is too long for WeChat: 2048 bytes at most",
    45009: "the account's daily quota of this call is used up",
    48001: "the account has no right to this call: it must be verified (微信认证); else set customer_service: false",
    50002: "the account is restricted: see mp.weixin.qq.com",
}
_CODES: Final = Codes(
    platform="WeChat",
    momentary={-1: 1.0, 45011: 60.0},
    mends=_MENDS,
    # After these the next message of the user opens a way again: a passive reply needs no right and no quota.
    closed=frozenset({45009, 45015, 45047}),
    # Also because somebody forced a new token.
    ended=frozenset({40001, 40014, 41001, 42001}),
)


class Api(WeixinApi):
    """One account's calls. base: without a slash at its end.

    Tokens come from the call whose tokens are apart from those of /cgi-bin/token, which other programs may use.
    https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/getStableAccessToken.html
    """

    def __init__(self, http: Http, clock: Clock, base: str, app_id: str, app_secret: str) -> None:
        data = {"grant_type": "client_credential", "appid": app_id, "secret": app_secret}
        super().__init__(http, clock, base, _CODES, "微信", "stable_token", data=data)

    async def send_text(self, user: str, text: str) -> None:
        """A customer-service message. Raises NetworkError, WindowClosed or ActionFailed."""
        await self.post("message/custom/send", {"touser": user, "msgtype": "text", "text": {"content": text}})

    async def show_typing(self, user: str) -> None:
        """Show 「对方正在输入…」. Raises NetworkError, WindowClosed or ActionFailed."""
        try:
            await self.post("message/custom/typing", {"touser": user, "command": "Typing"})
        except ActionFailed as error:
            if error.code not in (_TYPING_ALREADY, _TYPING_TOO_LATE):
                raise

    async def check(self, *, customer_service: bool) -> None:
        """Get a token, and ask whether customer-service messages are allowed. Raises DeliveryError."""
        await self.token()
        if not customer_service:
            return
        try:
            await self.get("customservice/getkflist")
        except ActionFailed as error:
            # Other refusals (no customer-service desk was set up) say nothing about the right to send.
            if error.code == "48001":
                raise
