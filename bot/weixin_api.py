"""The server API that WeCom and WeChat share: access token in the query, `errcode` in the answer, media by their ids.

Which calls there are, and what their codes mean, is the adapters' to say.
https://developer.work.weixin.qq.com/document/path/91039
https://developers.weixin.qq.com/doc/offiaccount/Getting_Started/Global_Return_Code.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from bot import payload
from bot.access_token import AccessToken
from bot.clock import Clock
from bot.errors import ActionFailed, DeliveryError, FetchFailed, NetworkError, Rejected, WindowClosed
from bot.event import File
from bot.http import JSON_HEADERS, NO_HEADERS, Http, HttpAnswer, call, multipart

#: What is said of media that are no picture, or that an HTTP status refuses: the media id is not known.
_NO_MEDIA: Final = 40007
_ADDRESS: Final = re.compile(r"from ip: ([0-9a-fA-F.:]+)")
_NO_QUERY: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True)
class Codes:
    """What a platform's codes mean. platform: its name for operators.

    momentary: seconds to leave the platform alone; closed: the user must write first; mends: what the operator can do;
    ended: the access token has; gone: the media have; untrusted: this server's address is, which the text names.
    """

    platform: str
    momentary: Mapping[int, float]
    mends: Mapping[int, str]
    closed: frozenset[int] = frozenset()
    ended: frozenset[int] = frozenset()
    gone: frozenset[int] = field(default=frozenset({_NO_MEDIA}))
    untrusted: int = 0

    def error(self, code: int, text: str) -> DeliveryError:
        """What a no means. Of its text the beginning: what follows is for the platform's own support."""
        mend = self.mends.get(code, "")
        address = _ADDRESS.search(text)
        if code == self.untrusted and address is not None:
            mend = f"{mend}: {address[1]}"
        said = text.split(",", maxsplit=1)[0][:120]
        message = f"{self.platform} answered {code} {said}".rstrip() + (f": {mend}" if mend else "")
        if code in self.momentary:
            return NetworkError(message, retry_after=self.momentary[code])
        if code in self.closed:
            return WindowClosed(message, code=str(code))
        return ActionFailed(message, code=str(code))


class WeixinApi:
    """One app's calls. base: without a slash at its end. name: the platform's, for users.

    token_path: what gives access tokens, asked with a query, or with data.
    """

    def __init__(
        self,
        http: Http,
        clock: Clock,
        base: str,
        codes: Codes,
        name: str,
        token_path: str,
        *,
        query: Mapping[str, str] = _NO_QUERY,
        data: Mapping[str, str] | None = None,
    ) -> None:
        self._http = http
        self._base = base
        self._codes = codes
        self._name = name
        self._token_address = self._address(token_path, **query)
        self._token_data = data
        self._token = AccessToken(self._fetch_token, clock)

    async def token(self) -> str:
        """The access token. Raises DeliveryError."""
        return await self._token.get()

    async def get(self, path: str, **query: str) -> dict[str, Any]:
        """Raises DeliveryError."""
        return await self._call("GET", path, query=query)

    async def post(self, path: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """Raises DeliveryError."""
        return await self._call("POST", path, msgspec.json.encode(data), JSON_HEADERS)

    async def upload(self, file: File) -> str:
        """The media id of a file, for three days. Raises NetworkError or ActionFailed."""
        body, headers = multipart({}, "media", file.name, file.content, file.mime_type)
        try:
            answer = await self._call("POST", "media/upload", body, headers, query={"type": "file"})
        except NetworkError as error:
            # Whatever became of the upload, the message itself was not sent.
            raise NetworkError(f"the file was not uploaded: {error}", retry_after=error.retry_after) from None
        media_id = answer.get("media_id")
        if not isinstance(media_id, str) or not media_id:
            raise NetworkError(f"{self._codes.platform} named no media id")
        return media_id

    async def picture(self, media_id: str) -> bytes:
        """A picture by its media id, kept for three days. Raises FetchFailed or BadPicture."""
        try:
            return await self._media(media_id)
        except NetworkError as error:
            raise FetchFailed("unreachable", f"暂时连不上{self._name}的服务器，请稍后再试。", retry=True) from error
        except (ActionFailed, WindowClosed) as error:
            if int(error.code) in self._codes.gone:
                raise FetchFailed("gone", f"图片已经过期（{self._name}只保留三天），请重新发一次。") from error
            raise FetchFailed("refused", f"{self._name}不让取这张图片，请联系管理员检查配置。") from error

    async def _call(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] = NO_HEADERS,
        *,
        query: Mapping[str, str] = _NO_QUERY,
    ) -> dict[str, Any]:
        """One call; where the token has ended, once more with a new one."""
        for last in (False, True):
            token = await self._token.get()
            address = self._address(path, access_token=token, **query)
            answer = await self._http.request(method, address, body=body, headers=headers)
            answer.raise_for_retry()
            found = self._json(answer)
            if not self._ended(token, found, last=last):
                return found
        raise AssertionError("unreachable")

    async def _media(self, media_id: str) -> bytes:
        for last in (False, True):
            token = await self._token.get()
            answer = await self._http.media(self._address("media/get", access_token=token, media_id=media_id))
            refusal = self._media_refusal(answer)
            if refusal is None:
                return answer.body
            self._ended(token, refusal, last=last)
        raise AssertionError("unreachable")

    def _ended(self, token: str, answer: Mapping[str, Any], *, last: bool) -> bool:
        """Whether the call must be made again with a new token. Raises DeliveryError for a refusal."""
        if last or _code(answer) not in self._codes.ended:
            self._check(answer)
            return False
        self._token.expire(token)
        return True

    async def _fetch_token(self) -> tuple[str, float]:
        method = "GET" if self._token_data is None else "POST"
        try:
            answer = self._json(await call(self._http, method, self._token_address, self._token_data))
        except NetworkError as error:
            # Whatever became of this call, the message itself was not sent.
            raise NetworkError(f"no access token: {error}", retry_after=error.retry_after) from None
        self._check(answer)
        token, life = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(token, str) or not token or type(life) is not int or life <= 0:
            raise NetworkError("no access token: the answer holds none")
        return token, float(life)

    def _check(self, answer: Mapping[str, Any]) -> None:
        code = _code(answer)
        if code:
            raise self._codes.error(code, str(answer.get("errmsg", "")))

    def _json(self, answer: HttpAnswer) -> dict[str, Any]:
        """As strict and clean as a webhook's: what users write stands in some."""
        try:
            return payload.fields(payload.decode(answer.body))
        except Rejected:
            message = f"{self._codes.platform} answered {answer.status} without JSON"
            raise NetworkError(message, sent_maybe=True) from None

    def _media_refusal(self, answer: HttpAnswer) -> Mapping[str, Any] | None:
        """Refusals come as JSON with status 200, whatever the content type says; no picture begins like that."""
        answer.raise_for_retry()
        if answer.status != 200:
            return {"errcode": _NO_MEDIA, "errmsg": f"status {answer.status}"}
        if not answer.body.startswith(b"{"):
            return None
        found = self._json(answer)
        return found if _code(found) else {"errcode": _NO_MEDIA, "errmsg": "no picture"}

    def _address(self, path: str, **query: str) -> str:
        address = f"{self._base}/cgi-bin/{path}"
        return f"{address}?{urlencode(query)}" if query else address


def _code(answer: Mapping[str, Any]) -> int:
    code = answer.get("errcode", 0)
    return code if type(code) is int else -1
