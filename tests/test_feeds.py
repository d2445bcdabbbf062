"""Feeds as they are found: new entries once, as text, and nothing dialled or swollen by what they hold."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from service import serving

from bot.config import MediaConfig
from bot.errors import FetchFailed
from bot.feeds import ACCEPT, BrokenFeed, gather, parse
from bot.fetch import Fetcher

DAY = 86_400.0
#: Wed, 18 Nov 2026 00:00:00 UTC
NOON = 1_794_960_000.0


def rss(*items: str, title: str = "科技报") -> bytes:
    body = f"<channel><title>{title}</title>{''.join(items)}</channel>"
    return f'<?xml version="1.0"?><rss version="2.0">{body}</rss>'.encode()


def item(title: str, link: str = "", *, hour: int | None = 1, text: str = "", guid: str = "") -> str:
    fields = [f"<title>{title}</title>", f"<link>{link}</link>" if link else ""]
    fields += [f"<description><![CDATA[{text}]]></description>" if text else "", f"<guid>{guid}</guid>" if guid else ""]
    fields += [f"<pubDate>Wed, 18 Nov 2026 {hour:02d}:00:00 +0000</pubDate>" if hour is not None else ""]
    return f"<item>{''.join(fields)}</item>"


def atom(title: str, link: str) -> bytes:
    return (
        '<feed xmlns="http://www.w3.org/2005/Atom"><title type="html">周&lt;b&gt;刊&lt;/b&gt;</title><entry>'
        f'<title>{title}</title><id>urn:1</id><link href="{link}"/><published>2026-11-18T09:00:00+08:00</published>'
        "<updated>2026-11-30T00:00:00Z</updated><content type='html'>&lt;p&gt;正文&lt;/p&gt;</content></entry></feed>"
    ).encode()


def fetching(**pages: bytes) -> Callable[[str], Awaitable[bytes]]:
    async def fetch(url: str) -> bytes:
        name = url.removeprefix("https://").partition(".")[0]
        if name not in pages:
            raise FetchFailed("timeout", "超时", retry=True)
        return pages[name]

    return fetch


async def titles(
    fetch: Callable[[str], Awaitable[bytes]], *names: str, since: float = 0, until: float = 1e11
) -> list[str]:
    found = await gather(fetch, [f"https://{name}.example/rss" for name in names], since, until)
    return [entry.title for entry in found.entries]


async def test_a_span_takes_each_entry_once_and_leaves_none_out() -> None:
    fetch = fetching(a=rss(*(item(f"第{hour}条", f"https://a/{hour}", hour=hour) for hour in range(24))))
    spans = [await titles(fetch, "a", since=NOON + at * 3600, until=NOON + (at + 5) * 3600) for at in range(0, 25, 5)]
    assert sorted(title for span in spans for title in span) == sorted(f"第{hour}条" for hour in range(24))


async def test_the_time_is_the_publishers_own_zone_and_not_that_of_a_correction() -> None:
    fetch = fetching(a=atom("早报", "https://a/1"))
    assert await titles(fetch, "a", since=NOON + 3600, until=NOON + 3601) == ["早报"]


async def test_the_newest_come_first_and_copies_once() -> None:
    fetch = fetching(
        a=rss(item("旧", "https://x/1", hour=1), item("新", "https://www.x/2/?utm_source=a", hour=5)),
        b=rss(
            item("新（转）", "https://x/2", hour=3), item("别的", "https://x/2?id=3", hour=4), item("无链接", hour=2)
        ),
        c=rss(item("无链接", hour=2)),
    )
    assert await titles(fetch, "a", "b", "c", "a") == ["新", "别的", "无链接", "旧"]


async def test_what_gives_nothing_is_named_and_takes_nothing_from_the_others() -> None:
    fetch = fetching(
        good=rss(item("好", "https://g/1")),
        page=b"<html><body>404</body></html>",
        empty=rss(),
        undated=rss(item("无日期", "https://u/1", hour=None), title="老站"),
    )
    names = ("good", "page", "gone", "empty", "undated")
    found = await gather(fetch, [f"https://{name}.example/rss" for name in names], 0, 1e11)
    assert [entry.title for entry in found.entries] == ["好"]
    assert found.problems == (
        "page.example：不是 RSS 或 Atom",
        "gone.example：超时",
        "老站：没有注明发布时间，分不出新旧",
    )


def test_html_becomes_text_in_one_line() -> None:
    text = "<style>p{}</style><p>一&amp;二</p>\n<script>alert(1)</script><ul><li>三<li>四</ul><img src=x onerror=y>"
    (entry,) = parse(rss(item("标<b>题</b>\n行", "javascript:alert(1)", text=text)), "https://a.example/")
    assert entry.title == "标 题 行" and entry.text == "一&二 三 四" and entry.link == ""


def test_a_feed_that_declares_entities_is_refused() -> None:
    bomb = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x "xx"><!ENTITY y "&x;&x;">]>' + rss(item("&y;"))[21:]
    with pytest.raises(BrokenFeed):
        parse(bomb, "https://a.example/")


def test_bytes_that_look_like_an_address_or_a_file_are_not_opened() -> None:
    for data in (b"http://127.0.0.1:9/feed", b"/etc/passwd", b"file:///etc/passwd", b""):
        with pytest.raises(BrokenFeed):
            parse(data, "https://a.example/")


@given(st.binary(max_size=200))
def test_whatever_comes_is_a_feed_or_none(tail: bytes) -> None:
    try:
        entries = parse(rss(item("好", "https://a/1"))[:-30] + tail, "https://a.example/")
    except BrokenFeed:
        return
    assert all("\n" not in entry.title for entry in entries)


async def test_feeds_come_through_the_rules_for_public_addresses() -> None:
    async def answer(request: web.Request) -> web.Response:
        assert request.headers["Accept"] == ACCEPT
        return web.Response(body=rss(item("好", "https://a/1")) + b" " * 5000)

    app = web.Application()
    app.router.add_get("/rss", answer)
    app.router.add_get("/moved", _moved)
    async with serving(app) as url:
        port = url.rpartition(":")[2]
        open_, guarded = Fetcher(MediaConfig(), allow_private=[f"127.0.0.1:{port}"]), Fetcher(MediaConfig())
        try:
            assert b"<rss" in await open_.document(f"{url}/moved", ACCEPT, 10_000)
            with pytest.raises(FetchFailed) as too_long:
                await open_.document(f"{url}/rss", ACCEPT, 1000)
            with pytest.raises(FetchFailed) as private:
                await guarded.document(f"{url}/rss", ACCEPT, 10_000)
        finally:
            await asyncio.gather(open_.close(), guarded.close())
    assert (too_long.value.code, private.value.code) == ("too_many_bytes", "forbidden_address")


async def _moved(request: web.Request) -> web.Response:
    raise web.HTTPFound("/rss")
