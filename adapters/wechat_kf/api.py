"""The server API of WeChat's customer service, which is WeCom's.

https://developer.work.weixin.qq.com/document/path/94677
https://developer.work.weixin.qq.com/document/path/90313 (codes)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from bot import payload
from bot.access_token import AccessToken
from bot.clock import Clock
from bot.errors import ActionFailed, DeliveryError, FetchFailed, NetworkError, Rejected, WindowClosed
from bot.event import File
from bot.http import JSON_HEADERS, Http, HttpAnswer, call, multipart

#: States of a session: a person serves the customer, or the customer waits for one.
WAITING: Final = 2
SERVED: Final = 3

_TOKEN_ENDED: Final = frozenset({40014, 41001, 42001})
#: The token of a callback has ended, or was never one.
BAD_SYNC_TOKEN: Final = "95007"
#: Codes after which the customer must write first.
_CLOSED: Final = frozenset({95001, 95002, 95013})
#: Codes of a moment, and how many seconds to leave WeCom alone.
_MOMENTARY: Final[Mapping[int, float]] = {-1: 1.0, 6000: 1.0, 45009: 60.0, 45033: 1.0}
_MEDIA_GONE: Final = frozenset({40007, 41006, 46001})
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
_ADDRESS: Final = re.compile(r"from ip: ([0-9a-fA-F.:]+)")


class Api:
    """One app's calls. base: without a slash at its end."""

    def __init__(self, http: Http, clock: Clock, base: str, corp_id: str, secret: str) -> None:
        self._http = http
        self._base = base
        self._corp_id = corp_id
        self._secret = secret
        self._token = AccessToken(self._fetch_token, clock)

    async def sync(self, open_kfid: str, cursor: str, token: str, limit: int) -> dict[str, Any]:
        """The page that begins at `cursor`. token: a callback's; without one WeCom allows few calls."""
        data = {"cursor": cursor, "token": token, "limit": limit, "open_kfid": open_kfid}
        return await self._post("kf/sync_msg", {name: value for name, value in data.items() if value != ""})

    async def send(self, open_kfid: str, customer: str, key: str, kind: str, content: Mapping[str, str]) -> str:
        """A message to a customer; `key`, of 32 letters and digits at most, is its id. Raises DeliveryError."""
        data = {"touser": customer, "open_kfid": open_kfid, "msgid": key, "msgtype": kind, kind: content}
        try:
            answer = await self._post("kf/send_msg", data)
        except ActionFailed as error:
            # An id of ours is always of the right form. The one thing that WeCom has against it is that it came before.
            if "msgid" in str(error):
                return key
            raise
        return str(answer.get("msgid") or key)

    async def state(self, open_kfid: str, customer: str) -> int:
        """The state of the customer's session; 0 where WeCom does not say."""
        data = {"open_kfid": open_kfid, "external_userid": customer}
        state = (await self._post("kf/service_state/get", data)).get("service_state")
        return state if type(state) is int else 0

    async def hand_over(self, open_kfid: str, customer: str, state: int, servicer: str) -> None:
        """Put the customer into the queue, or give them to one servicer."""
        data = {"open_kfid": open_kfid, "external_userid": customer, "service_state": state}
        await self._post("kf/service_state/trans", data | ({"servicer_userid": servicer} if state == SERVED else {}))

    async def accounts(self) -> dict[str, str]:
        """Names of the accounts (客服账号) that the app may use, by open_kfid."""
        found: dict[str, str] = {}
        answer = await self._post("kf/account/list", {"offset": 0, "limit": 100})
        for item in payload.optional_items(answer, "account_list"):
            if payload.fields(item).get("manage_privilege") is not False:
                found[payload.identifier(item, "open_kfid")] = payload.optional_text(item, "name")
        return found

    async def upload(self, file: File) -> str:
        """The media id of a file, for three days. Raises NetworkError or ActionFailed."""
        body, headers = multipart({}, "media", file.name, file.content, file.mime_type)
        try:
            answer = await self._with_token("POST", "media/upload", body, headers, query={"type": "file"})
        except NetworkError as error:
            # Whatever became of the upload, the message itself was not sent.
            raise NetworkError(f"the file was not uploaded: {error}", retry_after=error.retry_after) from None
        media_id = answer.get("media_id")
        if not isinstance(media_id, str) or not media_id:
            raise NetworkError("WeCom named no media id")
        return media_id

    async def picture(self, media_id: str) -> bytes:
        """A picture by its media id, kept for three days. Raises FetchFailed or BadPicture."""
        try:
            return await self._media(media_id)
        except NetworkError as error:
            raise FetchFailed("unreachable", "暂时连不上微信客服的服务器，请稍后再试。", retry=True) from error
        except DeliveryError as error:
            if getattr(error, "code", "") in map(str, _MEDIA_GONE):
                raise FetchFailed("gone", "图片已经过期（微信客服只保留三天），请重新发一次。") from error
            raise FetchFailed("refused", "微信客服不让取这张图片，请联系管理员检查配置。") from error

    async def _post(self, path: str, data: Mapping[str, Any]) -> dict[str, Any]:
        return await self._with_token("POST", path, msgspec.json.encode(data), JSON_HEADERS)

    async def _with_token(
        self,
        method: str,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        query: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """One call; where the token has ended, once more with a new one."""
        for last in (False, True):
            token = await self._token.get()
            address = self._address(path, access_token=token, **(query or {}))
            answer = await self._http.request(method, address, body=body, headers=headers)
            answer.raise_for_retry()
            data = _json(answer)
            if not self._ended(token, data, last=last):
                return data
        raise AssertionError("unreachable")

    async def _media(self, media_id: str) -> bytes:
        for last in (False, True):
            token = await self._token.get()
            answer = await self._http.media(self._address("media/get", access_token=token, media_id=media_id))
            refusal = _media_refusal(answer)
            if refusal is None:
                return answer.body
            self._ended(token, refusal, last=last)
        raise AssertionError("unreachable")

    def _ended(self, token: str, answer: Mapping[str, Any], *, last: bool) -> bool:
        """Whether the call must be made again with a new token. Raises DeliveryError for a refusal."""
        code = _code(answer)
        if code == 0:
            return False
        if last or code not in _TOKEN_ENDED:
            raise refused(code, str(answer.get("errmsg", "")))
        self._token.expire(token)
        return True

    async def _fetch_token(self) -> tuple[str, float]:
        query = {"corpid": self._corp_id, "corpsecret": self._secret}
        try:
            answer = _json(await call(self._http, "GET", self._address("gettoken", **query)))
        except NetworkError as error:
            # Whatever became of this call, the message itself was not sent.
            raise NetworkError(f"no access token: {error}", retry_after=error.retry_after) from None
        if _code(answer) != 0:
            raise refused(_code(answer), str(answer.get("errmsg", "")))
        token, life = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(token, str) or not token or type(life) is not int or life <= 0:
            raise NetworkError("no access token: the answer holds none")
        return token, float(life)

    def _address(self, path: str, **query: str) -> str:
        return f"{self._base}/cgi-bin/{path}?{urlencode(query)}"


def refused(code: int, text: str) -> DeliveryError:
    """What WeCom's no means, with what the operator can do."""
    mend = _MENDS.get(code, "")
    address = _ADDRESS.search(text)
    if code == 60020 and address is not None:
        mend = f"{mend}: {address[1]}"
    # The full text ends in hints for WeCom's own support.
    message = f"WeCom answered {code} {text.split(',', 1)[0][:120]}".rstrip() + (f": {mend}" if mend else "")
    if code in _MOMENTARY:
        return NetworkError(message, retry_after=_MOMENTARY[code])
    if code in _CLOSED:
        return WindowClosed(message, code=str(code))
    return ActionFailed(message, code=str(code))


def _code(answer: Mapping[str, Any]) -> int:
    code = answer.get("errcode", 0)
    return code if type(code) is int else -1


def _json(answer: HttpAnswer) -> dict[str, Any]:
    """As strict and clean as a webhook's: what customers write stands in it."""
    try:
        return payload.fields(payload.decode(answer.body))
    except Rejected:
        raise NetworkError(f"WeCom answered {answer.status} without JSON", sent_maybe=True) from None


def _media_refusal(answer: HttpAnswer) -> Mapping[str, Any] | None:
    """Refusals come as JSON with status 200, whatever the content type says; no picture begins like that."""
    answer.raise_for_retry()
    if answer.status != 200:
        return {"errcode": 40007, "errmsg": f"status {answer.status}"}
    if not answer.body.startswith(b"{"):
        return None
    found = _json(answer)
    return found if _code(found) else {"errcode": 40007, "errmsg": "no picture"}
