"""QQ's server API: the access token, messages, and what its error codes mean.

https://bot.q.qq.com/wiki/develop/api-v2/dev-prepare/api-call-guide.html
https://bot.q.qq.com/wiki/develop/api-v2/autogen/api/v2_users_user_openid_messages.post.html
https://bot.q.qq.com/wiki/develop/api-v2/autogen/api/v2_groups_group_openid_messages.post.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec

from bot.access_token import AccessToken
from bot.clock import Clock
from bot.errors import ActionFailed, NetworkError, WindowClosed
from bot.event import Conversation
from bot.http import JSON_HEADERS, Http, HttpAnswer, call

#: Accepted: two that wait for a moderator, and one that came before (the same msg_id and msg_seq).
_ACCEPTED: Final = frozenset({304023, 304024, 40054005})
_TOKEN_ENDED: Final = frozenset({11241, 11243, 11244})
#: The message that is answered is too old or was answered too often; or messages nobody asked for are switched off.
_CLOSED: Final = frozenset({304027, 304103, 40034005, 40034026, 40034102, 40034105, 40034128})
#: Too many messages, and for how many seconds QQ is left alone then.
_TOO_MANY: Final[Mapping[int, float]] = {
    22009: 60,
    20028: 5,
    50002: 2,
    100001: 60,
    1100100: 60,
    1100308: 60,
    40034100: 60,
}
#: Faults of QQ's own, of which the message may have gone through.
_FAULTS: Final = frozenset(
    {11242, 11252, 11263, 50001, 304006, 304016, 340067, 1100300, 40034004, 40054006, 50055001, 50055002, 50055006}
)
#: Web addresses may not be sent, or not these.
URL_REFUSED: Final = frozenset({"304003", "40054010"})
_TOO_LONG, _NOT_IN_GROUP = "the text is too long for QQ", "the bot is not in this group any more"
_NO_MARKDOWN = "the bot may not send Markdown: set markdown: false, or ask for it at q.qq.com"
_UNREGISTERED = "the text holds a web address: register it at q.qq.com, 开发 → 开发设置 → 消息 URL 配置"
_MENDS: Final[Mapping[int, str]] = {
    11241: "check app_id and secret",
    11243: "check app_id and secret",
    11244: "check app_id and secret",
    11251: "check app_id (q.qq.com: 开发 → 开发管理)",
    11253: "the bot has no right to this call: apply for it at q.qq.com, or try it in the sandbox group first",
    11254: "QQ has closed this call to the bot: see q.qq.com",
    11265: "the bot is banned: see q.qq.com",
    11298: "add this server's address to the IP 白名单 at q.qq.com (开发 → 开发设置)",
    304003: _UNREGISTERED,
    304025: "QQ's moderation refused the text",
    304036: _NO_MARKDOWN,
    1100101: "QQ's moderation refused the text",
    1100103: "QQ's moderation refused the text",
    1100104: "the group does not exist any more",
    40034006: "QQ's moderation refused the text",
    40034011: _NO_MARKDOWN,
    40034024: "the message that is answered is not known: it was recalled, or came to another bot",
    40034101: _NOT_IN_GROUP,
    40034127: _NO_MARKDOWN,
    40054002: "the bot is muted in this group",
    40054003: _NOT_IN_GROUP,
    40054004: "this user has not added the bot",
    40054007: _TOO_LONG,
    40054010: _UNREGISTERED,
    40054013: "this user does not take the bot's messages",
    40054016: "the bot is off line: publish it at q.qq.com, or use the sandbox",
    40054018: _TOO_LONG,
}


class Api:
    """One bot's calls. api_base, token_base: without a slash at their end."""

    def __init__(self, http: Http, clock: Clock, api_base: str, token_base: str, app_id: str, secret: str) -> None:
        self._http = http
        self._api_base = api_base
        self._token_base = token_base
        self._app_id = app_id
        self._secret = secret
        self._token = AccessToken(self._fetch_token, clock)

    async def post(self, where: Conversation, data: Mapping[str, Any], to: str = "messages") -> str:
        """Send to a user or group; the message's id, or "" where QQ names none.

        Raises NetworkError, WindowClosed or ActionFailed.
        """
        kind = "users" if where.chat_type == "private" else "groups"
        answer = await self._call("POST", f"/v2/{kind}/{quote(where.chat_id, safe='')}/{to}", data)
        message_id = answer.get("id")
        return message_id if isinstance(message_id, str) else ""

    async def own_name(self) -> str:
        """Whose token it is. Raises NetworkError or ActionFailed."""
        return str((await self._call("GET", "/users/@me")).get("username", ""))

    async def _call(self, method: str, path: str, data: Mapping[str, Any] | None = None) -> dict[str, Any]:
        token = await self._token.get()
        answer = await self._request(method, path, data, token)
        if answer.status == 401 or _code(_fields(answer)) in _TOKEN_ENDED:
            self._token.expire(token)
            answer = await self._request(method, path, data, await self._token.get())
        return _judged(answer)

    async def _request(self, method: str, path: str, data: Mapping[str, Any] | None, token: str) -> HttpAnswer:
        body = b"" if data is None else msgspec.json.encode(data)
        headers = {**JSON_HEADERS, "authorization": f"QQBot {token}"}
        return await self._http.request(method, self._api_base + path, body=body, headers=headers)

    async def _fetch_token(self) -> tuple[str, float]:
        wanted = {"appId": self._app_id, "clientSecret": self._secret}
        answer = await call(self._http, "POST", f"{self._token_base}/app/getAppAccessToken", wanted)
        data = answer.json()
        token, life = data.get("access_token"), _number(data.get("expires_in"))
        if isinstance(token, str) and token and life > 0:
            return token, float(life)
        code = _code(data)
        if code in _TOO_MANY:
            raise NetworkError("QQ gives no access token now: asked too often", retry_after=_TOO_MANY[code])
        message = (
            f"QQ gives no access token ({code or answer.status}): check app_id and secret (q.qq.com: 开发 → 开发管理)"
        )
        raise ActionFailed(message, code=str(code or answer.status))


def _judged(answer: HttpAnswer) -> dict[str, Any]:
    """The fields of a good answer. The code is read before the status: some refusals come as a server error."""
    data = _fields(answer)
    code = _code(data)
    if code in _ACCEPTED:
        return data
    if code in _TOO_MANY or answer.status == 429:
        pause = answer.retry_after or _TOO_MANY.get(code, 5)
        raise NetworkError(f"QQ answered {code or 429}: too many messages", retry_after=pause)
    if code in _CLOSED:
        raise WindowClosed(f"QQ takes no message here now: {_said(data)}", code=str(code))
    if code in _FAULTS:
        raise NetworkError(f"QQ answered {code}: a fault of its own", sent_maybe=True, retry_after=answer.retry_after)
    if code in _MENDS:
        raise ActionFailed(f"{_MENDS[code]} ({_said(data)})", code=str(code))
    answer.raise_for_retry()
    if code or not 200 <= answer.status < 300:
        raise ActionFailed(f"QQ answered {code or answer.status}: {_said(data)}", code=str(code or answer.status))
    return data or answer.json()


def _fields(answer: HttpAnswer) -> dict[str, Any]:
    try:
        return answer.json()
    except NetworkError:  # no JSON: the status alone says what happened
        return {}


def _code(data: Mapping[str, Any]) -> int:
    """Newer answers call it err_code."""
    return _number(data.get("err_code")) or _number(data.get("code"))


def _said(data: Mapping[str, Any]) -> str:
    """QQ's own words and the name under which its support finds the call."""
    trace = str(data.get("trace_id") or "")[:64]
    return f"{str(data.get('message') or '')[:200]} {trace}".strip() or "no reason given"


def _number(value: Any) -> int:
    """A whole number that QQ writes with or without quotes; 0 for anything else."""
    if isinstance(value, bool):
        return 0
    if isinstance(value, int):
        return value
    text = value if isinstance(value, str) else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else 0
