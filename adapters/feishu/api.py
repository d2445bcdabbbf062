"""Feishu's API: one token, one form of answers, and what its error codes mean.

https://open.feishu.cn/document/server-docs/api-call-guide/generic-error-code
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import quote, urlencode

import msgspec

from bot.access_token import AccessToken
from bot.clock import Clock
from bot.errors import ActionFailed, FetchFailed, NetworkError
from bot.http import JSON_HEADERS, Http, HttpAnswer, multipart

EXPIRED = frozenset({20013, 99991661, 99991663, 99991664, 99991665, 99991668, 99991671})
TOO_FAST = frozenset({11232, 11233, 11247, 230020, 1000004, 1000005, 99991400})
#: The platform itself failed, or is still busy with the same message: the same call may work later.
LATER = frozenset({1663, 2200, 5000, 55001, 200810, 230049, 232096, 300120})
#: A card that cannot be made, or not be shown in this chat: the text still can.
NO_CARD = frozenset({200220, 200860, 230025, 230054, 230099, 300305, 300307, 300315, 99991672, 99991679})

MENDS: Mapping[int, str] = {
    10003: "app_id or app_secret is wrong: compare them with 凭证与基础信息",
    10014: "the app is disabled or app_secret is wrong: see 凭证与基础信息",
    10015: "app_secret is wrong: copy it again from 凭证与基础信息",
    11310: "the card is too complex",
    230001: "Feishu found a wrong parameter",
    230002: "the bot is not in this group: add it again",
    230006: "the app has no bot: add 机器人 in 应用能力 and publish a version",
    230011: "the message was recalled",
    230013: "this user is outside of the app's availability: widen 可用范围, or the user has left",
    230018: "the group's settings do not let the bot write",
    230019: "the topic is gone",
    230022: "Feishu takes the text for sensitive",
    230025: "the message is too long for Feishu",
    230027: "a permission is missing: see 权限管理, then publish a version",
    230028: "the text was stopped by the company's data protection",
    230029: "the user has left",
    230034: "Feishu does not know this chat",
    230035: "the bot may not write here: muted, or blocked by the user",
    230038: "the user belongs to another company",
    230050: "the bot cannot see this message",
    230053: "the user does not want messages of this bot",
    230054: "this kind of message is not allowed in this chat",
    230071: "this group does not take replies in a topic",
    230110: "the message was deleted",
    230111: "the message is about to delete itself",
    231003: "the message was recalled or deleted",
    232009: "the group was dissolved",
    99991401: "this machine's address is not in the app's IP 白名单",
    99991403: "this month's API calls are used up: ask the company's administrator",
    99991543: "app_id or app_secret is wrong: compare them with 凭证与基础信息",
    99991662: "the app is disabled: enable it in the admin console",
    99991672: "a permission is missing: see 权限管理, then publish a version",
    99991673: "the app is not installed or not enabled in this company",
}

_GONE = ("picture_gone", "这张图片已经不在了，请重新发送。")
_LOST: Mapping[int, tuple[str, str]] = {
    230110: ("picture_gone", "这条消息已被删除，里面的图片取不到了，请重新发送。"),
    231003: ("picture_gone", "这条消息已被撤回，里面的图片取不到了，请重新发送。"),
    234001: _GONE,
    234003: _GONE,
    234004: ("picture_denied", "机器人不在这条消息所在的群里，取不到图片，请直接发给我。"),
    234009: ("picture_denied", "飞书不允许机器人下载外部群里的图片，请换个会话发给我。"),
    234037: ("picture_too_large", "这张图片超过 100 MB，飞书不让下载，请压缩后重新发送。"),
    234038: ("picture_denied", "这条消息是保密消息，飞书不允许下载里面的图片。"),
    234040: ("picture_denied", "机器人看不到这条历史消息，请把图片重新发给我。"),
    234043: ("picture_denied", "合并转发和卡片里的图片，飞书不允许机器人下载，请把图片单独发给我。"),
}


class Api:
    """Calls in the name of one app. base: the address before /open-apis, without a slash at its end."""

    def __init__(self, http: Http, clock: Clock, base: str, app_id: str, app_secret: str) -> None:
        self._http = http
        self._base = base
        self._app = {"app_id": app_id, "app_secret": app_secret}
        self._token = AccessToken(self._fetch_token, clock)

    async def call(
        self, method: str, path: str, data: Any = None, query: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """The answer's JSON where its code is 0. Raises NetworkError or ActionFailed.

        path: below /open-apis/, its ids quoted by `name`.
        """
        body = b"" if data is None else msgspec.json.encode(data)
        return await self._authorised(method, path, body, {} if data is None else JSON_HEADERS, query)

    async def upload(self, filename: str, content: bytes, mime_type: str) -> str:
        """A file's key, to be sent once."""
        fields = {"file_type": "stream", "file_name": filename}
        body, headers = multipart(fields, "file", filename, content, mime_type)
        return text_in(await self._authorised("POST", "im/v1/files", body, headers, None), "data", "file_key")

    async def picture(self, message_id: str, key: str) -> bytes:
        """A picture in a message that somebody sent. Raises FetchFailed."""
        url = self._url(f"im/v1/messages/{name(message_id)}/resources/{name(key)}", {"type": "image"})
        token = await self._media_token()
        answer = await self._http.media(url, headers={"authorization": f"Bearer {token}"})
        if _media_code(answer) in EXPIRED:
            self._token.expire(token)
            token = await self._media_token()
            answer = await self._http.media(url, headers={"authorization": f"Bearer {token}"})
        code = _media_code(answer)
        if code == 0:
            return answer.body
        if code in TOO_FAST or code in LATER or code == 234019 or answer.status == 429 or answer.status >= 500:
            raise FetchFailed("fetch_failed", "飞书暂时给不了这张图片，请稍后再试。", retry=True)
        why, sentence = _LOST.get(code, ("fetch_failed", f"从飞书取不到这张图片（{code}），请重新发送。"))
        raise FetchFailed(why, sentence)

    async def _media_token(self) -> str:
        try:
            return await self._token.get()
        except NetworkError:
            raise FetchFailed("fetch_failed", "暂时连不上飞书，请稍后再试。", retry=True) from None
        except ActionFailed as error:
            raise FetchFailed("fetch_failed", f"飞书不认机器人的凭证（{error.code}），请联系管理员。") from None

    async def _authorised(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str], query: Mapping[str, str] | None
    ) -> dict[str, Any]:
        url = self._url(path, query)
        for last in (False, True):
            token = await self._token.get()
            sent = {**headers, "authorization": f"Bearer {token}"}
            data = _answer(await self._http.request(method, url, body=body, headers=sent))
            code = code_in(data)
            if code in EXPIRED and not last:
                self._token.expire(token)
                continue
            return _checked(data, code)
        raise AssertionError("unreachable")

    async def _fetch_token(self) -> tuple[str, float]:
        url = self._url("auth/v3/tenant_access_token/internal", None)
        body = msgspec.json.encode(self._app)
        data = _answer(await self._http.request("POST", url, body=body, headers=JSON_HEADERS))
        _checked(data, code_in(data))
        life = data.get("expire")
        seconds = float(life) if isinstance(life, int) and life > 0 else 60.0
        return text_in(data, "tenant_access_token"), seconds

    def _url(self, path: str, query: Mapping[str, str] | None) -> str:
        return f"{self._base}/open-apis/{path}" + (f"?{urlencode(query)}" if query else "")


def name(identifier: str) -> str:
    """An id as a part of a path: whatever it holds, it stays one part."""
    quoted = quote(identifier, safe="")
    return quoted.replace(".", "%2E") if quoted.strip(".") == "" else quoted


def code_in(data: Mapping[str, Any]) -> int:
    """The answer's code; -1 when it has none."""
    code = data.get("code")
    return code if type(code) is int else -1


def _media_code(answer: HttpAnswer) -> int:
    """0 where the answer is the file; errors come as JSON."""
    if answer.status == 200 and not answer.is_json:
        return 0
    try:
        return code_in(answer.json()) or -1
    except NetworkError:
        return answer.status


def text_in(data: Any, *path: str) -> str:
    """A text that the platform promises. Raises NetworkError when it is not there: this is not its answer."""
    for step in path:
        data = cast("dict[str, Any]", data).get(step) if isinstance(data, dict) else None
    if not isinstance(data, str) or not data:
        raise NetworkError(f"Feishu's answer lacks {'.'.join(path)}", sent_maybe=True)
    return data


def _answer(answer: HttpAnswer) -> dict[str, Any]:
    """The JSON of an answer, whose code is still to be judged. Raises NetworkError where waiting may help."""
    try:
        data = answer.json()
    except NetworkError:
        answer.raise_for_retry()
        raise
    code = code_in(data)
    if answer.status == 429 or code in TOO_FAST:
        raise NetworkError(f"Feishu: too many requests ({code})", retry_after=_pause(answer))
    if answer.status >= 500 or answer.status == 408 or code in LATER:
        raise NetworkError(f"Feishu failed ({answer.status}, {code})", sent_maybe=True, retry_after=answer.retry_after)
    return data


def _pause(answer: HttpAnswer) -> float:
    """Seconds to wait: Feishu tells them in a header of its own."""
    reset = answer.headers.get("x-ogw-ratelimit-reset", "")
    if answer.retry_after is None and reset.isascii() and reset.isdigit() and len(reset) < 4:
        return max(1.0, float(reset))
    return answer.retry_after or 1.0


def _checked(data: dict[str, Any], code: int) -> dict[str, Any]:
    if code == 0:
        return data
    said = data.get("msg")
    mend = MENDS.get(code) or (said[:200] if isinstance(said, str) and said else "no reason given")
    raise ActionFailed(f"Feishu refused: {mend}", code=str(code))
