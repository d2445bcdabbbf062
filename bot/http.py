"""What an adapter is given to reach its platform. The real one is `bot.fetch.Fetcher`."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import msgspec

from bot.errors import NetworkError

NO_HEADERS: Mapping[str, str] = {}
JSON_HEADERS: Mapping[str, str] = {"content-type": "application/json; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A platform's answer. headers: names in lower case. retry_after: seconds it asked to be left alone, or None."""

    status: int
    body: bytes
    retry_after: float | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str], compare=False)

    @property
    def is_json(self) -> bool:
        """The answer calls itself JSON (media endpoints answer bytes, or an error as JSON)."""
        return "json" in self.headers.get("content-type", "")

    def json(self) -> dict[str, Any]:
        """The JSON object in the body. Raises NetworkError when there is none: a proxy answered, or half an answer."""
        try:
            value = msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            value = None
        if not isinstance(value, dict):
            raise NetworkError(f"the platform answered {self.status} without JSON", sent_maybe=True)
        return cast("dict[str, Any]", value)

    def raise_for_retry(self) -> None:
        """Raise NetworkError where trying again may help: 429 (nothing was done), 408 and 5xx (perhaps it was)."""
        if self.status == 429:
            raise NetworkError("the platform answered 429: too many requests", retry_after=self.retry_after or 1.0)
        if self.status == 408 or self.status >= 500:
            raise NetworkError(f"the platform answered {self.status}", sent_maybe=True, retry_after=self.retry_after)


class Http(Protocol):
    """What an adapter is given to reach its platform; `bot.fetch.Fetcher` is the real one."""

    async def picture(
        self, url: str, *, hosts: frozenset[str] | None = None, headers: Mapping[str, str] = NO_HEADERS
    ) -> bytes:
        """GET a picture from a public address that somebody else named, guarded.

        hosts: the only ones allowed; `.example.com` means every name below it. headers: sent to the first host only,
        never to where it redirects. Raises FetchFailed, or BadPicture for too many bytes.
        """
        ...

    async def request(
        self, method: str, url: str, *, body: bytes = b"", headers: Mapping[str, str] = NO_HEADERS
    ) -> HttpAnswer:
        """Call the platform's API, at an address that the operator configured. Raises NetworkError."""
        ...

    async def media(self, url: str, *, headers: Mapping[str, str] = NO_HEADERS) -> HttpAnswer:
        """GET bytes from the platform's API, at an address that the operator configured; as large as a picture may be.

        The status is the caller's to judge. Raises FetchFailed, or BadPicture for too many bytes.
        """
        ...


async def call(
    http: Http, method: str, url: str, data: Any = None, *, headers: Mapping[str, str] = NO_HEADERS
) -> HttpAnswer:
    """An API call with `data` as JSON (None: no body). Raises NetworkError, also by `raise_for_retry`."""
    if data is None:
        answer = await http.request(method, url, headers=headers)
    else:
        answer = await http.request(method, url, body=msgspec.json.encode(data), headers={**JSON_HEADERS, **headers})
    answer.raise_for_retry()
    return answer


def multipart(
    fields: Mapping[str, str], name: str, filename: str, content: bytes, mime_type: str
) -> tuple[bytes, dict[str, str]]:
    """A multipart/form-data body with one file (RFC 7578), and its content-type header. Fields come first."""
    boundary = f"kantu-{secrets.token_hex(16)}"
    quoted = filename.replace("\\", "_").replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
    lines: list[bytes] = []
    for key, value in fields.items():
        lines += [f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()]
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{quoted}"\r\n'
    lines += [f"{head}Content-Type: {mime_type}\r\n\r\n".encode(), content, f"\r\n--{boundary}--\r\n".encode()]
    return b"".join(lines), {"content-type": f"multipart/form-data; boundary={boundary}"}
