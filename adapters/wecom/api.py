"""WeCom's server API: the access token, messages, files, pictures.

https://developer.work.weixin.qq.com/document/path/90236
https://developer.work.weixin.qq.com/document/path/90313 (codes)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from bot.access_token import AccessToken
from bot.clock import Clock
from bot.errors import ActionFailed, DeliveryError, FetchFailed, NetworkError
from bot.event import File
from bot.http import Http, HttpAnswer, call, multipart

_TOKEN_ENDED: Final = frozenset({40014, 41001, 42001})
#: Codes of a moment, and how many seconds to leave WeCom alone.
_MOMENTARY: Final[Mapping[int, float]] = {-1: 1.0, 6000: 1.0, 45009: 60.0, 45033: 1.0}
_MEDIA_GONE: Final = frozenset({40007, 41006, 46001})
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
_ADDRESS: Final = re.compile(r"from ip: ([0-9a-fA-F.:]+)")


class Api:
    """One app's calls. base: without a slash at its end."""

    def __init__(self, http: Http, clock: Clock, base: str, corp_id: str, agent_id: int, secret: str) -> None:
        self._http = http
        self._base = base
        self._corp_id = corp_id
        self._agent_id = agent_id
        self._secret = secret
        self._token = AccessToken(self._fetch_token, clock)

    async def send_text(self, user: str, text: str) -> str:
        """A message to one member; its id. Raises NetworkError or ActionFailed."""
        return await self._send(user, "text", {"content": text})

    async def send_file(self, user: str, file: File) -> str:
        """Upload a file and send it. Raises NetworkError or ActionFailed."""
        try:
            media_id = await self._upload(file)
        except NetworkError as error:
            # Whatever became of the upload, the message itself was not sent.
            raise NetworkError(f"the file was not uploaded: {error}", retry_after=error.retry_after) from None
        return await self._send(user, "file", {"media_id": media_id})

    async def picture(self, media_id: str) -> bytes:
        """A picture by its media id, kept for three days. Raises FetchFailed or BadPicture."""
        try:
            return await self._media(media_id)
        except NetworkError as error:
            raise FetchFailed("unreachable", "暂时连不上企业微信的服务器，请稍后再试。", retry=True) from error
        except ActionFailed as error:
            if error.code.isdigit() and int(error.code) in _MEDIA_GONE:
                raise FetchFailed("gone", "图片已经过期（企业微信只保留三天），请重新发一次。") from error
            raise FetchFailed("refused", "企业微信不让取这张图片，请联系管理员检查应用的配置。") from error

    async def app_name(self) -> str:
        """What the app is called; asking proves secret, agent id and trusted address. Raises DeliveryError."""
        answer = await self._with_token("GET", "agent/get", query={"agentid": str(self._agent_id)})
        return str(answer.get("name", ""))

    async def _send(self, user: str, kind: str, content: Mapping[str, str]) -> str:
        data = {"touser": user, "msgtype": kind, "agentid": self._agent_id, kind: content}
        answer = await self._with_token("POST", "message/send", data)
        for name in ("invaliduser", "unlicenseduser"):
            # WeCom names members in small letters, however they were written.
            if user.lower() in str(answer.get(name) or "").lower().split("|"):
                raise refused(_NOBODY, name)
        return str(answer.get("msgid") or "")

    async def _upload(self, file: File) -> str:
        body, headers = multipart({}, "media", file.name, file.content, file.mime_type)
        for last in (False, True):
            token = await self._token.get()
            address = self._address("media/upload", access_token=token, type="file")
            answer = await self._http.request("POST", address, body=body, headers=headers)
            answer.raise_for_retry()
            data = answer.json()
            if not self._ended(token, data, last=last):
                break
        media_id = data.get("media_id")
        if not isinstance(media_id, str) or not media_id:
            raise NetworkError("WeCom named no media id")
        return media_id

    async def _with_token(
        self, method: str, path: str, data: Mapping[str, Any] | None = None, *, query: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """One call; where the token has ended, once more with a new one."""
        for last in (False, True):
            token = await self._token.get()
            address = self._address(path, access_token=token, **(query or {}))
            answer = (await call(self._http, method, address, data)).json()
            if not self._ended(token, answer, last=last):
                return answer
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
        """Whether the call must be made again with a new token. Raises NetworkError or ActionFailed for a refusal."""
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
            answer = (await call(self._http, "GET", self._address("gettoken", **query))).json()
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
    message = f"WeCom answered {code} {text.split(',', maxsplit=1)[0][:120]}".rstrip() + (f": {mend}" if mend else "")
    if code in _MOMENTARY:
        return NetworkError(message, retry_after=_MOMENTARY[code])
    return ActionFailed(message, code=str(code))


def _code(answer: Mapping[str, Any]) -> int:
    code = answer.get("errcode", 0)
    return code if type(code) is int else -1


def _media_refusal(answer: HttpAnswer) -> Mapping[str, Any] | None:
    """Refusals come as JSON with status 200, whatever the content type says; no picture begins like that."""
    answer.raise_for_retry()
    if answer.status != 200:
        return {"errcode": 40007, "errmsg": f"status {answer.status}"}
    if not answer.body.startswith(b"{"):
        return None
    found = answer.json()
    return found if _code(found) else {"errcode": 40007, "errmsg": "no picture"}
