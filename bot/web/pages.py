"""The page's files, and the two HTML pages with what they need filled in."""

from __future__ import annotations

import hashlib
import html
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

from bot.question import MAX_PICTURES
from bot.web.infer_request import MAX_HISTORY
from bot.web.problems import Problem

_FOLDER: Final = Path(__file__).with_name("page")
_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

#: On every answer but the webhooks'. `no-referrer` would make the Origin of the login form `null`.
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class _File:
    body: bytes
    content_type: str
    etag: str


class Pages:
    """Read once, when the service starts."""

    def __init__(self, upload_bytes: int) -> None:
        self._upload_bytes = upload_bytes
        self._index = (_FOLDER / "index.html").read_text(encoding="utf-8")
        self._login = (_FOLDER / "login.html").read_text(encoding="utf-8")
        self._files = {path.name: _read(path) for path in _FOLDER.iterdir() if path.suffix in _TYPES}

    def index(self, csrf: str) -> web.Response:
        """The page to ask on. csrf: the session's token, empty when there is no login."""
        return _html(
            self._index,
            csrf=csrf,
            upload_bytes=str(self._upload_bytes),
            max_pictures=str(MAX_PICTURES),
            max_history=str(MAX_HISTORY),
        )

    def login(self, message: str = "", status: int = 200) -> web.Response:
        """The page that asks for the token, with a sentence about what went wrong."""
        return _html(self._login, status, message=message)

    async def static(self, http: web.Request) -> web.Response:
        """One file, by name; asked for again each time, sent again only when it has changed."""
        file = self._files.get(http.match_info["name"])
        if file is None:
            return Problem(404, "not_found", "没有这个文件。").response()
        headers = {"ETag": file.etag, "Cache-Control": "no-cache"}
        if file.etag in http.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=headers)
        return web.Response(body=file.body, content_type=file.content_type, charset="utf-8", headers=headers)


def _read(path: Path) -> _File:
    body = path.read_bytes()
    return _File(body, _TYPES[path.suffix], f'"{hashlib.sha256(body).hexdigest()[:32]}"')


def _html(template: str, status: int = 200, **values: str) -> web.Response:
    for name, value in values.items():
        template = template.replace("{{" + name + "}}", html.escape(value))
    headers = {"Cache-Control": "no-store"}
    return web.Response(text=template, status=status, content_type="text/html", charset="utf-8", headers=headers)
