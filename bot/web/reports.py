"""`/r/<id>`: a finished report for whoever was given its link, until it expires or is withdrawn.

The id is the only secret, so nothing here may let it out or let it be guessed: no Referer, no cache, no search engine,
and one answer for every id that shows nothing.
"""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from aiohttp import web

from bot.clock import Clock
from bot.documents.html import evidence, render
from bot.documents.marked import cleaned
from bot.errors import MediaError
from bot.message import Image
from bot.report import Report
from bot.web.sessions import Attempts

_FOLDER: Final = Path(__file__).with_name("page")
_ID: Final = re.compile(r"[A-Za-z0-9_-]{22,64}")
_HINT: Final = "点一下文中画了线的数字或名称，就能看到它在图里的出处；带问号的没有在图里找到依据，请核对。"
_HOLE: Final = re.compile(r"\{\{(\w+)\}\}")
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; form-action 'none'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow, noarchive",
    "Cache-Control": "no-store",
}


class ReportPages:
    """page: the report that an id shows, None for an unknown, expired or withdrawn one. timezone: of the dates."""

    def __init__(
        self,
        page: Callable[[str], Awaitable[Report | None]],
        load_picture: Callable[[str], Awaitable[bytes]],
        clock: Clock,
        timezone: str = "Asia/Shanghai",
    ) -> None:
        self._page = page
        self._load_picture = load_picture
        self._attempts = Attempts(clock)
        self._zone = ZoneInfo(timezone)
        self._shown = (_FOLDER / "report.html").read_text(encoding="utf-8")
        self._gone = (_FOLDER / "report-gone.html").read_text(encoding="utf-8")

    def routes(self) -> list[web.RouteDef]:
        """To be mounted behind `Auth.middleware`, which lets everybody in here."""
        return [web.get("/r/{id}", self.report), web.get("/r/{id}/{picture}", self.picture)]

    async def report(self, http: web.Request) -> web.Response:
        """The page."""
        found = await self._find(http)
        if found is None:
            return self._nothing()
        return _html(await asyncio.to_thread(self._fill, found))

    async def picture(self, http: web.Request) -> web.Response:
        """One of its pictures, by number."""
        found = await self._find(http)
        image = found and _numbered(found, http.match_info["picture"])
        if not image:
            return self._nothing()
        try:
            data = await self._load_picture(image.sha256)
        except MediaError:
            return self._nothing()
        return web.Response(body=data, content_type=image.mime_type or "image/jpeg", headers=_HEADERS)

    async def _find(self, http: web.Request) -> Report | None:
        """None as well for an address that has asked for too many ids that show nothing."""
        name = http.match_info["id"]
        guesser = http.remote or ""
        # Behind a proxy all readers have one address, a private one: it must not lock them all out.
        counted = _is_public(guesser)
        if counted and self._attempts.wait(guesser):
            return None
        found = await self._page(name) if _ID.fullmatch(name) else None
        if found is None and counted:
            self._attempts.failed(guesser)
        return found

    def _nothing(self) -> web.Response:
        return _html(self._gone, 404)

    def _fill(self, report: Report) -> str:
        filled = {
            "title": html.escape(cleaned(report.title)),
            "made": self._dates(report),
            "hint": _HINT if report.findings else "",
            "body": render(report, lambda number: f"/r/{report.id}/{number}"),
            "evidence": evidence(report),
        }
        return _HOLE.sub(lambda hole: filled[hole[1]], self._shown)

    def _dates(self, report: Report) -> str:
        words = [self._day(report.created_at)] if report.created_at else []
        if report.expires_at:
            words.append(f"本页保留到 {self._day(report.expires_at)}")
        return " · ".join(words)

    def _day(self, seconds: float) -> str:
        day = datetime.fromtimestamp(seconds, self._zone)
        return f"{day.year}年{day.month}月{day.day}日"


def _numbered(report: Report, number: str) -> Image | None:
    return report.pictures.get(int(number)) if re.fullmatch(r"[1-9]\d{0,5}", number, re.ASCII) else None


def _is_public(address: str) -> bool:
    try:
        return ip_address(address).is_global
    except ValueError:
        return False


def _html(text: str, status: int = 200) -> web.Response:
    # A lone surrogate in a model's words becomes `?`.
    body = text.encode("utf-8", "replace")
    return web.Response(body=body, status=status, content_type="text/html", charset="utf-8", headers=_HEADERS)
