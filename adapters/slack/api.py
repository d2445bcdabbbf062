"""Calls of Slack's Web API, and what its refusals mean.

https://docs.slack.dev/apis/web-api/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec

from bot.errors import ActionFailed, NetworkError
from bot.event import File
from bot.http import JSON_HEADERS, Http, HttpAnswer

_FORM = {"content-type": "application/x-www-form-urlencoded"}
_TOO_FAST = ("ratelimited", "rate_limited", "message_limit_exceeded")
_AGAIN = ("internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org")
_NEW_TOKEN = "install the app to the workspace again and copy the Bot User OAuth Token into bot_token"
_MENDS = {
    "invalid_auth": _NEW_TOKEN,
    "not_authed": _NEW_TOKEN,
    "token_revoked": _NEW_TOKEN,
    "account_inactive": f"the app was removed from the workspace: {_NEW_TOKEN}",
    "token_expired": f"token rotation is on, which cannot be undone: make a new app without it, then {_NEW_TOKEN}",
    "not_in_channel": "invite the bot into the channel: /invite @bot",
    "channel_not_found": "the channel is gone, or private and the bot is not in it: /invite @bot",
    "is_archived": "the channel was archived: unarchive it",
    "msg_too_long": "the text is longer than Slack takes",
    "restricted_action": "the workspace's settings do not let apps post there: ask its administrators",
    "message_not_found": "the message was deleted",
    "cant_update_message": "the message is not the bot's own",
    "edit_window_closed": "the workspace's settings do not let messages be edited any more",
}


class Refused(ActionFailed):
    """Slack said no."""

    def __init__(self, method: str, error: str, needed: str = "") -> None:
        mend = _MENDS.get(error, "")
        if error == "missing_scope":
            mend = f"add the scope {needed} under OAuth & Permissions and install the app again"
        super().__init__(f"{method}: {error}" + (f": {mend}" if mend else ""), code=error)


class Api:
    """One bot's methods."""

    def __init__(self, http: Http, base: str, token: str) -> None:
        self._http = http
        self._base = base
        self.authorization: Mapping[str, str] = {"authorization": f"Bearer {token}"}

    async def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """The answer's object. Raises NetworkError or Refused."""
        return _checked(method, await self._post(method, msgspec.json.encode(arguments), JSON_HEADERS))

    async def ask(self, method: str, **arguments: str | int) -> dict[str, Any]:
        """The same for methods that read: they take forms only."""
        return _checked(method, await self._post(method, urlencode(arguments).encode(), _FORM))

    async def scopes(self) -> tuple[dict[str, Any], frozenset[str]]:
        """Whose token it is, and what it may do (empty: not told)."""
        answer = await self._post("auth.test", b"", _FORM)
        listed = answer.headers.get("x-oauth-scopes", "")
        return _checked("auth.test", answer), frozenset(scope.strip() for scope in listed.split(",") if scope.strip())

    async def upload(self, file: File, **where: str) -> str:
        """Send a file; returns its id. Raises NetworkError or Refused."""
        place = await self.ask("files.getUploadURLExternal", filename=file.name, length=len(file.content))
        # The address itself is the permission: the token stays at home.
        answer = await self._http.request(
            "POST", str(place.get("upload_url")), body=file.content, headers={"content-type": file.mime_type}
        )
        answer.raise_for_retry()
        if answer.status != 200:
            raise ActionFailed(f"the upload was refused with {answer.status}", code=str(answer.status))
        named = [{"id": place.get("file_id"), "title": file.name}]
        await self.call("files.completeUploadExternal", files=named, **where)
        return str(place.get("file_id"))

    async def _post(self, method: str, body: bytes, headers: Mapping[str, str]) -> HttpAnswer:
        url = f"{self._base}/{method}"
        answer = await self._http.request("POST", url, body=body, headers={**headers, **self.authorization})
        answer.raise_for_retry()
        return answer


def _checked(method: str, answer: HttpAnswer) -> dict[str, Any]:
    data = answer.json()
    if data.get("ok") is True:
        return data
    error = str(data.get("error") or "refused")
    if error in _TOO_FAST:
        raise NetworkError(f"{method}: {error}", retry_after=answer.retry_after or 1.0)
    if error in _AGAIN:
        raise NetworkError(f"{method}: {error}", sent_maybe=True)
    raise Refused(method, error, str(data.get("needed") or ""))
