"""Actions of a OneBot implementation, over its HTTP API or over the WebSocket that it opened to us.

https://github.com/botuniverse/onebot-11/blob/master/communication/http.md
https://github.com/botuniverse/onebot-11/blob/master/communication/ws-reverse.md
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import urlencode

from adapters.onebot.sockets import Sockets
from bot import payload
from bot.errors import ActionFailed, FetchFailed, NetworkError, Rejected
from bot.http import Http, HttpAnswer, call

#: Seconds an action may take over the WebSocket. A file is uploaded to QQ before it is answered.
_SECONDS = 10.0
_UPLOAD_SECONDS = 60.0
_UPLOADS = frozenset({"upload_private_file", "upload_group_file"})

Params = Mapping[str, Any]


class Api(Protocol):
    """The two ways to act."""

    async def act(self, action: str, params: Params) -> Any:
        """The action's `data`. Raises NetworkError or ActionFailed."""
        ...

    async def image(self, file: str) -> Any:
        """What get_image says, which may be a whole picture. Raises DeliveryError, FetchFailed or BadPicture."""
        ...


class HttpApi:
    """Every action is a POST to an address of its own."""

    def __init__(self, http: Http, base: str, token: str) -> None:
        self._http = http
        self._base = base
        self._headers = {"authorization": f"Bearer {token}"} if token else {}

    async def act(self, action: str, params: Params) -> Any:
        return _data(action, await call(self._http, "POST", self._address(action), params, headers=self._headers))

    async def image(self, file: str) -> Any:
        # Asked for with GET: `media` takes answers as large as a picture may be.
        address = f"{self._address('get_image')}?{urlencode({'file': file})}"
        answer = await self._http.media(address, headers=self._headers)
        answer.raise_for_retry()
        return _data("get_image", answer)

    def _address(self, action: str) -> str:
        return f"{self._base}/{action}"


class SocketApi:
    """Every action is a frame, and so is its answer."""

    def __init__(self, sockets: Sockets) -> None:
        self._sockets = sockets

    async def act(self, action: str, params: Params) -> Any:
        seconds = _UPLOAD_SECONDS if action in _UPLOADS else _SECONDS
        return data_of(action, await self._sockets.ask(action, params, seconds))

    async def image(self, file: str) -> Any:
        return await self.act("get_image", {"file": file})


def _data(action: str, answer: HttpAnswer) -> Any:
    """The protocol's own HTTP statuses first: what they come with need not be JSON."""
    if answer.status in (401, 403):
        raise _refused_token(str(answer.status))
    if answer.status == 404:
        raise _unknown_action(action, "404")
    if answer.status != 200:
        raise ActionFailed(f"{action}: the OneBot HTTP API answered {answer.status}", code=str(answer.status))
    try:
        # Not HttpAnswer.json: what is quoted from here must be as clean as what is received.
        return data_of(action, payload.fields(payload.decode(answer.body)))
    except Rejected:
        message = f"{action}: the answer is no OneBot answer; check that api_base is the HTTP API"
        raise NetworkError(message, sent_maybe=True) from None


def data_of(action: str, answer: Mapping[str, Any]) -> Any:
    """The `data` of an answer; 0 is done and 1 is done later. Raises ActionFailed or NetworkError."""
    retcode = answer.get("retcode")
    if type(retcode) is int and retcode in (0, 1) and answer.get("status") != "failed":
        return answer.get("data")
    code, said = str(retcode)[:20], _said(answer)
    if retcode in (1401, 1403):
        raise _refused_token(code)
    if retcode in (404, 1404):
        raise _unknown_action(action, code)
    if _TIMED_OUT.search(said):
        raise NetworkError(f"{action}: the QQ client did not finish in time: {said}", sent_maybe=True)
    if retcode in (100, 400, 1400):
        raise ActionFailed(f"{action}: the parameters were refused: {said or 'no reason given'}", code=code)
    mend = "check that the QQ account is online, still in the group or a friend, and not muted"
    raise ActionFailed(f"{action}: {said or 'no reason given'}; {mend}", code=code)


_TIMED_OUT = re.compile(r"timed? ?out|超时", re.IGNORECASE)
_LONGEST = 200


def _said(answer: Mapping[str, Any]) -> str:
    """The reason in words; implementations put it in different places."""
    found = (answer.get(name) for name in ("wording", "message", "msg"))
    return next((text[:_LONGEST] for text in found if isinstance(text, str) and text), "")


def _refused_token(code: str) -> ActionFailed:
    message = "the OneBot client refused our token: access_token must equal the token set there"
    return ActionFailed(message, code=code)


def _unknown_action(action: str, code: str) -> ActionFailed:
    return ActionFailed(f"the OneBot client does not know {action}: update it, or use NapCat or Lagrange", code=code)


def fetch_failed(error: ActionFailed | NetworkError, what: str) -> FetchFailed:
    """A failed action in words for the user. `what`: what could not be had."""
    if isinstance(error, NetworkError):
        return FetchFailed("fetch_failed", f"暂时取不到{what}，请稍后再试。", retry=True)
    return FetchFailed("fetch_failed", f"取不到{what}，请把内容直接发给我。")
