"""The server API of WeChat's customer service, which is WeCom's.

https://developer.work.weixin.qq.com/document/path/94677
https://developer.work.weixin.qq.com/document/path/90313 (codes)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bot import payload
from bot.clock import Clock
from bot.errors import ActionFailed
from bot.http import Http
from bot.weixin_api import Codes, WeixinApi

#: States of a session: a person serves the customer, or the customer waits for one.
WAITING: Final = 2
SERVED: Final = 3

#: The token of a callback has ended, or was never one.
BAD_SYNC_TOKEN: Final = "95007"
_MENDS: Final[Mapping[int, str]] = {
    40001: "secret is not this app's: copy it anew (应用管理 → 应用 → Secret)",
    40003: "this customer is not known to the company",
    40006: "WeCom takes files of 5 bytes to 20 MB",
    40007: "the media id is not known or older than three days",
    40013: "check corp_id (我的企业 → 企业信息 → 企业 ID)",
    45002: "the text is too long: 2048 bytes at most",
    45009: "too many calls",
    45033: "too many calls at once",
    48002: "add the app at 微信客服 → API → 可调用接口的应用",
    60020: "add this server's address to 企业可信IP (应用管理 → 应用 → 企业可信IP)",
    60030: "the servicers of this account must be in the app's 可见范围",
    95000: "check open_kfids: this is no account (客服账号)",
    95001: "five messages were sent since the customer wrote",
    95002: "the customer wrote more than 48 hours ago",
    95004: "check open_kfids: this account (客服账号) does not exist",
    95011: "the account is served in WeCom itself: hand it to the app at 微信客服 → 通过 API 管理微信客服账号",
    95012: "微信客服 is not switched on in this company",
    95013: "the session has ended",
    95014: "servicer is not one of this account's 接待人员",
    95016: "the session's state does not allow this: see handover_state",
    95017: "switch on 微信客服 → API for this account",
    95018: "a person serves this customer, or the session has ended: the bot is silent then",
}
_CODES: Final = Codes(
    platform="WeCom",
    momentary={-1: 1.0, 6000: 1.0, 45009: 60.0, 45033: 1.0},
    mends=_MENDS,
    closed=frozenset({95001, 95002, 95013}),
    ended=frozenset({40014, 41001, 42001}),
    gone=frozenset({40007, 41006, 46001}),
    untrusted=60020,
)


class Api(WeixinApi):
    """One app's calls. base: without a slash at its end."""

    def __init__(self, http: Http, clock: Clock, base: str, corp_id: str, secret: str) -> None:
        query = {"corpid": corp_id, "corpsecret": secret}
        super().__init__(http, clock, base, _CODES, "微信客服", "gettoken", query=query)

    async def sync(self, open_kfid: str, cursor: str, token: str, limit: int) -> dict[str, Any]:
        """The page that begins at `cursor`. token: a callback's; without one WeCom allows few calls."""
        data = {"cursor": cursor, "token": token, "limit": limit, "open_kfid": open_kfid}
        return await self.post("kf/sync_msg", {name: value for name, value in data.items() if value != ""})

    async def send(self, open_kfid: str, customer: str, key: str, kind: str, content: Mapping[str, str]) -> str:
        """A message to a customer; `key`, of 32 letters and digits at most, is its id. Raises DeliveryError."""
        data = {"touser": customer, "open_kfid": open_kfid, "msgid": key, "msgtype": kind, kind: content}
        try:
            answer = await self.post("kf/send_msg", data)
        except ActionFailed as error:
            # An id of ours is always of the right form. The one thing that WeCom has against it is that it came before.
            if "msgid" in str(error):
                return key
            raise
        return str(answer.get("msgid") or key)

    async def state(self, open_kfid: str, customer: str) -> int:
        """The state of the customer's session; 0 where WeCom does not say."""
        data = {"open_kfid": open_kfid, "external_userid": customer}
        state = (await self.post("kf/service_state/get", data)).get("service_state")
        return state if type(state) is int else 0

    async def hand_over(self, open_kfid: str, customer: str, state: int, servicer: str) -> None:
        """Put the customer into the queue, or give them to one servicer."""
        data = {"open_kfid": open_kfid, "external_userid": customer, "service_state": state}
        await self.post("kf/service_state/trans", data | ({"servicer_userid": servicer} if state == SERVED else {}))

    async def accounts(self) -> dict[str, str]:
        """Names of the accounts (客服账号) that the app may use, by open_kfid."""
        found: dict[str, str] = {}
        answer = await self.post("kf/account/list", {"offset": 0, "limit": 100})
        for item in payload.optional_items(answer, "account_list"):
            if payload.fields(item).get("manage_privilege") is not False:
                found[payload.identifier(item, "open_kfid")] = payload.optional_text(item, "name")
        return found
