"""WeChat's server API: the access token, customer-service messages, pictures.

https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Service_Center_messages.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from bot.access_token import AccessToken
from bot.clock import Clock
from bot.errors import ActionFailed, DeliveryError, FetchFailed, NetworkError, WindowClosed
from bot.http import Http, HttpAnswer, call

#: Codes of an access token that has ended, also because somebody forced a new one.
_TOKEN_ENDED: Final = frozenset({40001, 40014, 41001, 42001})
#: Codes after which the next message of the user opens a way again: a passive reply needs no right and no quota.
_CLOSED: Final = frozenset({45009, 45015, 45047})
#: Codes of a moment, and how many seconds to leave WeChat alone.
_MOMENTARY: Final[Mapping[int, float]] = {-1: 1.0, 45011: 60.0}
_TYPING_ALREADY, _TYPING_TOO_LATE = 45081, 45080
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


class Api:
    """One account's calls. base: without a slash at its end."""

    def __init__(self, http: Http, clock: Clock, base: str, app_id: str, app_secret: str) -> None:
        self._http = http
        self._base = base
        self._app_id = app_id
        self._app_secret = app_secret
        self._token = AccessToken(self._fetch_token, clock)

    async def send_text(self, user: str, text: str) -> None:
        """A customer-service message. Raises NetworkError, WindowClosed or ActionFailed."""
        await self._post("message/custom/send", {"touser": user, "msgtype": "text", "text": {"content": text}})

    async def show_typing(self, user: str) -> None:
        """Show 「对方正在输入…」. Raises NetworkError, WindowClosed or ActionFailed."""
        data = {"touser": user, "command": "Typing"}
        await self._post("message/custom/typing", data, accept=(_TYPING_ALREADY, _TYPING_TOO_LATE))

    async def picture(self, media_id: str) -> bytes:
        """A picture by its media id, kept for three days. Raises FetchFailed or BadPicture."""
        try:
            return await self._media(media_id)
        except NetworkError as error:
            raise FetchFailed("unreachable", "暂时连不上微信的服务器，请稍后再试。", retry=True) from error
        except DeliveryError as error:
            raise FetchFailed("gone", "图片取不到了，可能已经过期，请重新发一次。") from error

    async def check(self, *, customer_service: bool) -> None:
        """Get a token, and ask whether customer-service messages are allowed. Raises DeliveryError."""
        await self._token.get()
        if not customer_service:
            return
        try:
            await self._with_token("GET", "customservice/getkflist")
        except ActionFailed as error:
            # Other refusals (no customer-service desk was set up) say nothing about the right to send.
            if error.code == "48001":
                raise

    async def _post(self, path: str, data: Mapping[str, Any], *, accept: tuple[int, ...] = ()) -> None:
        await self._with_token("POST", path, data, accept=accept)

    async def _with_token(
        self, method: str, path: str, data: Mapping[str, Any] | None = None, *, accept: tuple[int, ...] = ()
    ) -> None:
        """One call; where the token has ended, once more with a new one."""
        for last in (False, True):
            token = await self._token.get()
            answer = await call(self._http, method, self._address(path, access_token=token), data)
            refusal = _refusal(answer.json())
            if refusal is None or refusal[0] in accept:
                return
            if last or refusal[0] not in _TOKEN_ENDED:
                raise _error(*refusal)
            self._token.expire(token)

    async def _media(self, media_id: str) -> bytes:
        for last in (False, True):
            token = await self._token.get()
            answer = await self._http.media(self._address("media/get", access_token=token, media_id=media_id))
            refusal = _media_refusal(answer)
            if refusal is None:
                return answer.body
            if last or refusal[0] not in _TOKEN_ENDED:
                raise _error(*refusal)
            self._token.expire(token)
        raise AssertionError("unreachable")

    async def _fetch_token(self) -> tuple[str, float]:
        """By the call whose tokens are apart from those of /cgi-bin/token, which other programs may use.

        https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/getStableAccessToken.html
        """
        data = {"grant_type": "client_credential", "appid": self._app_id, "secret": self._app_secret}
        try:
            answer = (await call(self._http, "POST", self._address("stable_token"), data)).json()
        except NetworkError as error:
            # Whatever became of this call, the message itself was not sent.
            raise NetworkError(f"no access token: {error}", retry_after=error.retry_after) from None
        refusal = _refusal(answer)
        if refusal is not None:
            raise _error(*refusal)
        token, life = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(token, str) or not token or type(life) is not int or life <= 0:
            raise NetworkError("no access token: the answer holds none")
        return token, float(life)

    def _address(self, path: str, **query: str) -> str:
        address = f"{self._base}/cgi-bin/{path}"
        return f"{address}?{urlencode(query)}" if query else address


def _refusal(answer: Mapping[str, Any]) -> tuple[int, str] | None:
    """Code and text of an answer that says no."""
    code = answer.get("errcode", 0)
    if code == 0:
        return None
    return (code if type(code) is int else -1), str(answer.get("errmsg", ""))[:200]


def _media_refusal(answer: HttpAnswer) -> tuple[int, str] | None:
    """Refusals come as JSON with status 200, whatever the content type says; no picture begins like that."""
    answer.raise_for_retry()
    if answer.status == 200 and not answer.body.startswith(b"{"):
        return None
    if answer.status != 200:
        return 40007, f"status {answer.status}"
    return _refusal(answer.json()) or (40007, "no picture")


def _error(code: int, text: str) -> DeliveryError:
    mend = _MENDS.get(code, "")
    message = f"WeChat answered {code} {text}".rstrip() + (f": {mend}" if mend else "")
    if code in _MOMENTARY:
        return NetworkError(message, retry_after=_MOMENTARY[code])
    if code in _CLOSED:
        return WindowClosed(message, code=str(code))
    return ActionFailed(message, code=str(code))
