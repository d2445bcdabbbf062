"""Calls of the Telegram Bot API, and what its refusals mean.

The token is a part of every address, so no address is ever shown.
https://core.telegram.org/bots/api#making-requests
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import quote

import msgspec

from adapters.telegram.markup import to_html
from bot.errors import ActionFailed, BadPicture, FetchFailed, NetworkError
from bot.event import File
from bot.http import JSON_HEADERS, Http, HttpAnswer, multipart

Body = Mapping[str, Any]

_MENDS = {
    401: "the bot token is wrong or was revoked: copy it anew from @BotFather into bot_token",
    404: "the bot token is wrong (or api_base is): copy it anew from @BotFather into bot_token",
    403: "the bot was blocked, removed or may not write there; it can write again once it is let back in",
}
_TEXT_MENDS = {
    "message is too long": "the text has more than 4096 characters",
    "chat not found": "the user has never started the bot, or the group is gone",
    "not enough rights": "give the bot the right to send messages in this group",
    "topic_closed": "the topic was closed: open it again",
}


class Refused(ActionFailed):
    """Telegram said no. moved_to: the group's new id, where it has become a supergroup."""

    def __init__(self, code: int, description: str, moved_to: int = 0) -> None:
        lowered = description.lower()
        mend = next((mend for words, mend in _TEXT_MENDS.items() if words in lowered), _MENDS.get(code, ""))
        super().__init__(f"{description}: {mend}" if mend else description, code=str(code))
        self.description = lowered
        self.moved_to = moved_to


class Api:
    """One bot's methods."""

    def __init__(self, http: Http, base: str, token: str) -> None:
        self._http = http
        self._methods = f"{base}/bot{token}/"
        self._files = f"{base}/file/bot{token}/"

    async def call(self, method: str, body: Body) -> dict[str, Any]:
        """The result, {} where it is no object. Raises NetworkError or Refused."""
        answer = await self._http.request(
            "POST", self._methods + method, body=msgspec.json.encode(body), headers=JSON_HEADERS
        )
        return _result(answer)

    async def write(self, method: str, body: Body, text: str) -> dict[str, Any]:
        """Show a text, marked up; what keeps it out needlessly is taken away and it is sent again."""
        body = {**body, "text": to_html(text), "parse_mode": "HTML"}
        if method != "sendMessageDraft":
            body["link_preview_options"] = {"is_disabled": True}
        while True:
            try:
                return await self.call(method, body)
            except Refused as error:
                mended = _mended(body, text, error)
                if mended is None:
                    raise
                body = mended

    async def upload(self, fields: Mapping[str, str], file: File) -> dict[str, Any]:
        """Send a document. Raises NetworkError or Refused."""
        body, headers = multipart(fields, "document", file.name, file.content, file.mime_type)
        return _result(await self._http.request("POST", self._methods + "sendDocument", body=body, headers=headers))

    async def picture(self, file_id: str) -> bytes:
        """Raises FetchFailed or BadPicture."""
        try:
            path = (await self.call("getFile", {"file_id": file_id})).get("file_path")
        except NetworkError:
            raise _unreachable() from None
        except Refused as error:
            if "too big" in error.description:
                raise BadPicture("too_many_bytes", "图片超过 20 MB，Telegram 不让机器人下载，请压缩后再发。") from None
            raise _gone() from None
        if not isinstance(path, str) or not path:
            raise _gone()
        answer = await self._http.media(self._files + quote(path))
        if answer.status == 200:
            return answer.body
        raise _unreachable() if answer.status == 429 or answer.status >= 500 else _gone()


def _result(answer: HttpAnswer) -> dict[str, Any]:
    if answer.status == 408 or answer.status >= 500:
        answer.raise_for_retry()
    data = answer.json()
    if data.get("ok") is True:
        return _object(data, "result")
    named = data.get("error_code")
    code = named if isinstance(named, int) else answer.status
    parameters = _object(data, "parameters")
    if code == 429:
        raise NetworkError("Telegram answered 429: too many requests", retry_after=_wait(parameters, answer))
    if code >= 500:
        raise NetworkError(f"Telegram answered {code}", sent_maybe=True)
    raise Refused(code, str(data.get("description") or "refused"), parameters.get("migrate_to_chat_id") or 0)


def _object(data: dict[str, Any], name: str) -> dict[str, Any]:
    found = data.get(name)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _wait(parameters: dict[str, Any], answer: HttpAnswer) -> float:
    asked = parameters.get("retry_after")
    return float(asked) if isinstance(asked, int) else answer.retry_after or 1.0


def _mended(body: Body, text: str, error: Refused) -> Body | None:
    """The same message without what Telegram stumbled over; None where that is of no help."""
    if error.moved_to:
        return {**body, "chat_id": error.moved_to} if body["chat_id"] != error.moved_to else None
    if "can't parse entities" in error.description and "parse_mode" in body:
        return {**_without(body, "parse_mode"), "text": text}
    if "replied not found" in error.description and "reply_parameters" in body:
        return _without(body, "reply_parameters")
    return None


def _without(body: Body, name: str) -> Body:
    return {key: value for key, value in body.items() if key != name}


def _gone() -> FetchFailed:
    return FetchFailed("picture_gone", "图片取不到了，可能已经过期，请重新发一次。")


def _unreachable() -> FetchFailed:
    return FetchFailed("unreachable", "暂时连不上 Telegram，图片没有取到，请稍后再试。", retry=True)
