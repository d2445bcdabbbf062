"""RSS and Atom: bytes in, entries as plain text out; what is new in a span, each once.

feedparser reads what there is in the wild, many feeds being no well-formed XML. It is given bytes only: from a text
it would fetch what looks like an address.
"""

from __future__ import annotations

import asyncio
import calendar
import importlib
import io
import re
import unicodedata
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from bot.errors import FetchFailed, KantuError

ACCEPT: Final = "application/atom+xml, application/rss+xml, application/xml;q=0.9, text/xml;q=0.9, */*;q=0.1"
#: Larger feeds are archives.
LONGEST: Final = 4 << 20
#: Characters of an entry's text that are kept.
_TEXT: Final = 2_000
_TITLE: Final = 200
_ENTRIES: Final = 500
_AT_ONCE: Final = 4
_REASONS: Final = {
    "bad_url": "网址不正确",
    "forbidden_host": "网址不允许访问",
    "forbidden_address": "网址不允许访问",
    "too_many_redirects": "跳转太多",
    "bad_status": "网站没有给出内容",
    "unreachable": "连不上",
    "tls": "网站证书有问题",
    "timeout": "超时",
    "too_many_bytes": "内容太大",
}

Fetch = Callable[[str], Awaitable[bytes]]


class BrokenFeed(KantuError):
    """The bytes are no feed; the text is a Chinese reason."""


@dataclass(frozen=True, slots=True)
class Entry:
    """at: when it was published, seconds since 1970; None where the feed does not say. link: http(s), or empty."""

    feed: str
    title: str
    text: str
    link: str
    at: float | None
    id: str


@dataclass(frozen=True, slots=True)
class Gathered:
    """entries: the newest first. problems: a Chinese line for each address that gave nothing usable."""

    entries: tuple[Entry, ...]
    problems: tuple[str, ...]


async def gather(fetch: Fetch, addresses: Sequence[str], since: float, until: float) -> Gathered:
    """What feeds published from `since` on, before `until`. One that fails takes nothing from the others."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(address: str) -> list[Entry] | str:
        async with gate:
            return await _read(fetch, address)

    found = await asyncio.gather(*(one(address) for address in dict.fromkeys(addresses)))
    problems = [each for each in found if isinstance(each, str)]
    entries: list[Entry] = []
    for each in found:
        if isinstance(each, list):
            entries += [entry for entry in each if entry.at is not None and since <= entry.at < until]
            if each and all(entry.at is None for entry in each):
                problems.append(f"{each[0].feed}：没有注明发布时间，分不出新旧")
    return Gathered(tuple(_once(entries)), tuple(problems))


async def _read(fetch: Fetch, address: str) -> list[Entry] | str:
    name = urlsplit(address).hostname or address[:60]
    try:
        return await asyncio.to_thread(parse, await fetch(address), address)
    except FetchFailed as error:
        return f"{name}：{_REASONS.get(error.code, '取不到')}"
    except BrokenFeed as error:
        return f"{name}：{error}"


def parse(data: bytes, address: str) -> list[Entry]:
    """The entries of a feed. Raises BrokenFeed. Blocks: some seconds for a feed of megabytes."""
    # Untyped; and late, since it is for those who read feeds only.
    feedparser: Any = importlib.import_module("feedparser")
    # What declares entities of its own wants to swell or to read files.
    if b"<!ENTITY" in data[: 1 << 16].upper():
        raise BrokenFeed("内容不安全")
    read: Any = feedparser.parse(io.BytesIO(data), sanitize_html=False)
    host = urlsplit(address).hostname or address
    name = _line(read.feed.get("title", ""), 60) or host
    if not read.entries and not read.get("version"):
        raise BrokenFeed("不是 RSS 或 Atom")
    return [_entry(each, name) for each in read.entries[:_ENTRIES]]


def _entry(each: Any, feed: str) -> Entry:
    contents = [part.get("value", "") for part in each.get("content", [])]
    body = max([each.get("summary", ""), *contents], key=len)
    when = each.get("published_parsed") or each.get("updated_parsed")
    link = str(each.get("link", ""))
    return Entry(
        feed,
        _line(each.get("title", ""), _TITLE) or "（无标题）",
        _line(body, _TEXT),
        link if _is_web(link) else "",
        float(calendar.timegm(when)) if when else None,
        str(each.get("id", "")),
    )


def _is_web(link: str) -> bool:
    try:
        return urlsplit(link).scheme in ("http", "https") and not re.search(r"[\s<>\"]", link)
    except ValueError:
        return False


def _once(entries: Sequence[Entry]) -> list[Entry]:
    """The newest first; what several feeds carry, or one carries twice, once."""
    kept: list[Entry] = []
    known: set[str] = set()
    for entry in sorted(entries, key=lambda one: one.at or 0.0, reverse=True):
        marks = {mark for mark in (_bare(entry.link), f"{entry.feed} {entry.id}" if entry.id else "") if mark}
        marks = marks or {entry.title}
        if known.isdisjoint(marks):
            kept.append(entry)
        known |= marks
    return kept


def _bare(link: str) -> str:
    """An address without what only counts visitors."""
    if not link:
        return ""
    parts = urlsplit(link)
    kept = [(name, value) for name, value in parse_qsl(parts.query) if not name.lower().startswith("utm_")]
    return f"{(parts.hostname or '').removeprefix('www.')}{parts.path.rstrip('/')}?{urlencode(kept)}"


class _Words(HTMLParser):
    """The text of HTML, without scripts and styles."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in ("script", "style")
        self.parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style") and self._hidden:
            self._hidden -= 1
        self.parts.append(" ")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(data)


def _line(html: str, longest: int) -> str:
    """The words of a piece of HTML in one line, of at most so many characters."""
    words = _Words()
    words.feed(str(html)[: 20 * longest])
    words.close()
    shown = (c for c in "".join(words.parts) if c.isspace() or unicodedata.category(c)[0] != "C")
    return " ".join("".join(shown).split())[:longest]
