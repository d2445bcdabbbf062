"""DingTalk's server API: the access token, its two ways of saying no, uploads and downloads.

The newer API (api.dingtalk.com) fails with an HTTP status and a `code` in words, the older one (oapi.dingtalk.com) with
status 200 and a number `errcode`. Both are told to the operator with what can be done about it.
https://open.dingtalk.com/document/orgapp/server-api-error-codes-1
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, cast
from urllib.parse import quote

import msgspec

from bot.access_token import AccessToken
from bot.clock import Clock
from bot.errors import ActionFailed, DeliveryError, FetchFailed, NetworkError
from bot.event import File
from bot.http import Http, HttpAnswer, call, multipart

_TOKEN_HEADER: Final = "x-acs-dingtalk-access-token"
_TOKEN_ENDED: Final = frozenset({"InvalidAuthentication", "401", "40001", "40014", "42001"})
#: Beginnings of codes after which the same call may succeed, and how many seconds to leave DingTalk alone.
_MOMENTARY: Final[Mapping[str, float]] = {
    "Forbidden.AccessDenied.QpsLimit": 2.0,
    "Throttling": 2.0,
    "-1": 1.0,
    "90018": 2.0,
    # A group that got more than 20 messages in a minute takes none for ten minutes.
    "130101": 600.0,
    "410100": 600.0,
}
_PERMISSION: Final = "open the permission that the message names: open-dev.dingtalk.com, 应用 → 权限管理"
_RECEIVER: Final = "the staff id is not of this organisation, or not in the app's visible range (可使用范围)"
_CONTENT: Final = "DingTalk's content check refused the answer"
_ROBOT: Final = "check robot_code (应用 → 机器人), and that the robot is still in the group"
#: Beginnings of codes, and what the operator can do.
_MENDS: Final[Mapping[str, str]] = {
    "Forbidden.AccessDenied.AccessTokenPermissionDenied": _PERMISSION,
    "Forbidden.AccessDenied.IpNotInWhiteList": "add this server's address to the app's IP 白名单 (安全设置)",
    "Forbidden": _PERMISSION,
    "invalidClientIdOrSecret": "check app_key and app_secret (应用 → 凭证与基础信息)",
    "InvalidAuthentication": "check app_key and app_secret (应用 → 凭证与基础信息)",
    "invalidParameter.robotCode": _ROBOT,
    "robot": _ROBOT,
    "chatbot": _ROBOT,
    "bot": _ROBOT,
    "resource.not.found": _ROBOT,
    "openConversationId": "the group is gone, or the robot is not in it any more",
    "invalid.openConversationId": "the group is gone, or the robot is not in it any more",
    "staff": _RECEIVER,
    "invalidStaffId": _RECEIVER,
    "param.cardTemplate": "check card_template_id (open-dev.dingtalk.com/fe/card)",
    "cardTemplate": "check card_template_id (open-dev.dingtalk.com/fe/card)",
    "33012": _RECEIVER,
    "60121": _RECEIVER,
    "40035": "DingTalk did not understand the message; please report this",
    "40078": "the picture or file has expired",
    "310000": "the robot's security settings (关键词, 加签, IP) refuse the answer: take them out or fit them",
    "400013": "the group is dissolved",
    "400102": "the robot is stopped: start it in the group's settings",
    "400106": "the robot is not in the group any more",
    "430101": _CONTENT + ": it holds a link that DingTalk calls unsafe",
    "43010": _CONTENT,
    "460101": "the text is too long for DingTalk: 20000 bytes at most",
}


class Api:
    """One app's calls. Base addresses are without a slash at their end."""

    def __init__(self, http: Http, clock: Clock, base: str, older_base: str, app_key: str, app_secret: str) -> None:
        self._http = http
        self._base = base
        self._older_base = older_base
        self._app_key = app_key
        self._app_secret = app_secret
        self._token = AccessToken(self._fetch_token, clock)

    async def call(self, method: str, path: str, data: Any) -> dict[str, Any]:
        """A call of the newer API. Raises NetworkError or ActionFailed."""
        answer = await self._with_token(lambda token: self._newer(method, path, data, token))
        return answer.json() if answer.body else {}

    async def reply(self, url: str, data: Any) -> None:
        """Post to a session's address. Raises NetworkError or ActionFailed; 300001: the session has ended."""
        _check_older(await call(self._http, "POST", self.route(url), data))

    async def upload(self, file: File) -> str:
        """The media id of a file. Raises NetworkError or ActionFailed."""
        body, headers = multipart({}, "media", file.name, file.content, file.mime_type)

        async def post(token: str) -> HttpAnswer:
            url = f"{self._older_base}/media/upload?access_token={quote(token, safe='')}&type=file"
            answer = await self._http.request("POST", url, body=body, headers=headers)
            answer.raise_for_retry()
            _check_older(answer)
            return answer

        return str((await self._with_token(post)).json().get("media_id", ""))

    async def picture(self, robot_code: str, download_code: str, hosts: frozenset[str]) -> bytes:
        """A picture by its download code. Raises FetchFailed or BadPicture."""
        data = {"downloadCode": download_code, "robotCode": robot_code}
        try:
            url = (await self.call("POST", "/v1.0/robot/messageFiles/download", data)).get("downloadUrl")
        except NetworkError as error:
            raise FetchFailed("unreachable", "暂时连不上钉钉，图片没有取到，请稍后再试。", retry=True) from error
        except ActionFailed as error:
            if error.code.startswith("Forbidden"):
                sentence = "机器人没有下载图片的权限，请联系管理员。"
                raise FetchFailed("forbidden", sentence) from error
            raise FetchFailed("picture_gone", "图片取不到了，可能已经过期，请重新发一次。") from error
        if not isinstance(url, str) or not url:
            raise FetchFailed("picture_gone", "图片取不到了，可能已经过期，请重新发一次。")
        return await self._http.picture(url, hosts=hosts)

    async def check(self) -> None:
        """Fetch a token. Raises NetworkError or ActionFailed."""
        await self._token.get()

    def route(self, url: str) -> str:
        """The same address by way of the configured bases, where it is one of DingTalk's own."""
        for own, base in (("https://oapi.dingtalk.com/", self._older_base), ("https://api.dingtalk.com/", self._base)):
            if url.startswith(own):
                return f"{base}/{url.removeprefix(own)}"
        return url

    async def _with_token(self, attempt: Callable[[str], Awaitable[HttpAnswer]]) -> HttpAnswer:
        """Try with the token, and once more with a new one where DingTalk says that it has ended."""
        token = await self._token.get()
        try:
            return await attempt(token)
        except ActionFailed as error:
            if error.code not in _TOKEN_ENDED:
                raise
        self._token.expire(token)
        return await attempt(await self._token.get())

    async def _newer(self, method: str, path: str, data: Any, token: str) -> HttpAnswer:
        answer = await call(self._http, method, self._base + path, data, headers={_TOKEN_HEADER: token})
        if not 200 <= answer.status < 300:
            raise _newer_error(answer)
        return answer

    async def _fetch_token(self) -> tuple[str, float]:
        data = {"appKey": self._app_key, "appSecret": self._app_secret}
        answer = await call(self._http, "POST", f"{self._base}/v1.0/oauth2/accessToken", data)
        if not 200 <= answer.status < 300:
            raise _newer_error(answer)
        fields = answer.json()
        token, life = fields.get("accessToken"), fields.get("expireIn")
        if not isinstance(token, str) or not token or not isinstance(life, int | float):
            raise NetworkError("DingTalk gave no access token")
        return token, float(life)


def refusal(code: str, message: str) -> DeliveryError:
    """A code of either API as an error: again later, or what the operator can do."""
    for beginning, seconds in _MOMENTARY.items():
        if code == beginning or (not beginning.lstrip("-").isdigit() and code.startswith(beginning)):
            return NetworkError(f"DingTalk says {code}: {message}", retry_after=seconds)
    mend = next((mend for beginning, mend in _MENDS.items() if code.startswith(beginning)), "")
    return ActionFailed(f"DingTalk says: {message[:300]}{'; ' if mend else ''}{mend}", code=code)


def _newer_error(answer: HttpAnswer) -> DeliveryError:
    try:
        value: Any = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        value = None
    fields = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    return refusal(str(fields.get("code") or answer.status), str(fields.get("message") or "no reason given"))


def _check_older(answer: HttpAnswer) -> None:
    if not 200 <= answer.status < 300:
        raise _newer_error(answer)
    fields = answer.json()
    # 88 says only that the call was not allowed; its sub_code says why.
    code = fields.get("errcode", 0)
    if code == 88 and fields.get("sub_code"):
        code = fields["sub_code"]
    if code != 0:
        raise refusal(str(code), str(fields.get("errmsg") or "no reason given"))
