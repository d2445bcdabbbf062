"""`/r/<id>` in a real Chromium, and what its answers let out."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer
from fakes import FakeClock
from pictures import drawing, encoded
from playwright.async_api import Browser, Dialog, Page, async_playwright, expect

from bot.app import Service
from bot.config import Config, Secret, ServerConfig
from bot.engine.reader import Box, Line
from bot.errors import MediaError
from bot.evidence import find
from bot.message import Image
from bot.report import Report, Section, new_id
from bot.web.auth import Auth
from bot.web.reports import ReportPages
from bot.web.server import make_app

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
PATIENCE = 60_000

TEXT = """共采购**120台**设备，单价为1280元[图1]。预计节省18%的费用。

![图1](图1)

| 项目 | 数值 |
|---|---:|
| 税率 | 13% |
"""
LINES = [
    Line("数量：120台", Box(40, 40, 240, 80)),
    Line("单价：¥1,280.00", Box(40, 120, 340, 160)),
    Line("税率 13%", Box(40, 200, 200, 240)),
]

HOSTILE = """<script>alert(1)</script> <img src=x onerror="alert(2)"> <svg onload=alert(3)></svg>
[甲](javascript:alert(4)) [乙](data:text/html,<script>alert(5)</script>) <a href="javascript:alert(6)">丙</a>
![x](https://evil.example/x.png) ![图1](javascript:alert(7)) <iframe srcdoc="<script>alert(8)</script>"></iframe>
<!-- --><style>body{display:none}</style> &lt;script&gt;alert(9)&lt;/script&gt; &#xE000;&#xE010; "onmouseover="alert(10)
`<script>alert(11)</script>` {{body}} {{evidence}} 花了80元

| <script>alert(12)</script> | 80 |
|---|---|
"""


def report(text: str = TEXT, title: str = "三月报告") -> Report:
    images = {1: Image("", "a" * 64, "image/png", 640, 480, 1)}
    sections = (Section("情况", text),)
    return Report(new_id(), title, sections, images, find(sections, {1: LINES}), "仅供参考。", "", 1.79e9, 1.8e9)


class Place:
    """The page's routes behind the real middleware, with reports in memory."""

    def __init__(self, *reports: Report) -> None:
        self.reports = {one.id: one for one in reports}
        self.asked: list[str] = []
        self.clock = FakeClock()
        auth = Auth(ServerConfig(token=Secret("令牌")), self.clock)
        pages = ReportPages(self.page, self.load, self.clock)
        self.server = TestServer(make_app([*auth.routes(), *pages.routes()], [auth.middleware], 1000))

    async def page(self, id: str) -> Report | None:
        self.asked.append(id)
        return self.reports.get(id)

    async def load(self, sha256: str) -> bytes:
        if sha256 != "a" * 64:
            raise MediaError("absent", "不在了")
        return encoded(drawing(640, 480))


@contextlib.asynccontextmanager
async def client(*reports: Report) -> AsyncGenerator[tuple[Place, TestClient[Any, Any]]]:
    place = Place(*reports)
    async with TestClient(place.server) as opened:
        yield place, opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    if shutil.which(CHROMIUM) is None:
        pytest.fail(f"{CHROMIUM} is not installed: the page cannot be tested (apt-get install chromium)")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS, timeout=PATIENCE)
        yield browser
        await browser.close()


@contextlib.asynccontextmanager
async def opened(browser: Browser, shown: Report, **options: Any) -> AsyncGenerator[Page]:
    """The report's page; it must neither complain, nor run anything, nor ask anybody else."""
    place = Place(shown)
    noises: list[str] = []

    async def dismiss(dialog: Dialog) -> None:
        noises.append(f"dialog: {dialog.message}")
        await dialog.dismiss()

    async with place.server:
        context = await browser.new_context(**options)
        page = await context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda message: noises.append(message.text))
        page.on("pageerror", lambda error: noises.append(str(error)))
        page.on("dialog", dismiss)
        page.on("request", lambda request: noises.extend(_strangers(request.url)))
        await page.goto(str(place.server.make_url(f"/r/{shown.id}")))
        yield page
        await context.close()
    assert noises == []


def _strangers(url: str) -> list[str]:
    return [] if urlsplit(url).hostname == "127.0.0.1" else [url]


async def boxes_in_picture(page: Page) -> list[list[float]]:
    """The highlighted boxes in pixels of the picture, as they lie on the screen."""
    return await page.evaluate(
        """() => [...document.querySelectorAll(".frame .hit")].map((hit) => {
            const picture = hit.closest(".frame").querySelector("img").getBoundingClientRect();
            const box = hit.getBoundingClientRect();
            const scale = 640 / picture.width;
            return [box.left - picture.left, box.top - picture.top, box.right - picture.left, box.bottom - picture.top]
                .map((side) => side * scale);
        })"""
    )


@pytest.mark.parametrize("width", [1300, 800, 340])
async def test_pointing_shows_the_box_however_the_picture_is_scaled(browser: Browser, width: int) -> None:
    async with opened(browser, report(), viewport={"width": width, "height": 900}) as page:
        await page.locator("img[data-picture]").evaluate("(picture) => picture.decode()")
        await page.locator("mark", has_text="1280元").hover()
        (box,) = await boxes_in_picture(page)
        # The value's share of its line, a little margin and the line's thickness around it.
        assert box == pytest.approx([40 + 300 * 6 / 15, 120, 340, 160], abs=8)
        await expect(page.locator("mark.lit")).to_have_text("1280元")
        await expect(page.locator(".findings li.lit b")).to_have_text("1280元")
        await expect(page.locator("#glass")).to_be_visible(visible=width == 1300)
        await page.locator("mark", has_text="1280元").click()
        await expect(page.locator("#where")).to_have_text("图1 上方")
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_pointing_at_a_sentence_shows_all_its_findings(browser: Browser) -> None:
    async with opened(browser, report(), viewport={"width": 1300, "height": 900}) as page:
        await page.locator(".sentence", has_text="设备，单价为").hover()
        assert len(await boxes_in_picture(page)) == 2
        await expect(page.locator("#words")).to_have_text("120台、1280元")
        await expect(page.locator("#crop .hit")).to_have_count(2)
        await page.locator(".sentence", has_text="预计节省").hover()
        assert await boxes_in_picture(page) == []
        await expect(page.locator("#where")).to_contain_text("未找到依据")
        await page.locator("h1").hover()
        await expect(page.locator("#glass")).to_be_hidden()


async def test_what_has_no_evidence_is_marked_and_listed_first(browser: Browser) -> None:
    async with opened(browser, report()) as page:
        await expect(page.locator("mark.unfound")).to_have_text("18%")
        mark = await page.locator("mark.unfound").evaluate("(mark) => getComputedStyle(mark, '::after').content")
        assert mark == '"?"'
        await expect(page.locator(".evidence h2")).to_have_text(["1 处未找到依据，请核对", "3 处在图中找到"])
        await expect(page.locator(".findings li").first).to_contain_text("18%")


async def test_keyboard(browser: Browser) -> None:
    async with opened(browser, report()) as page:
        await page.locator("#print").focus()
        await page.keyboard.press("Tab")
        await expect(page.locator("mark:focus")).to_have_text("120台")
        await expect(page.locator("#glass")).to_be_visible()
        await page.keyboard.press("Tab")
        await expect(page.locator("mark.lit")).to_have_text("1280元")
        await page.keyboard.press("Escape")
        await expect(page.locator("#glass")).to_be_hidden()
        assert await boxes_in_picture(page) == []


async def test_a_tap_on_a_phone(browser: Browser) -> None:
    async with opened(
        browser, report(), viewport={"width": 360, "height": 700}, has_touch=True, is_mobile=True
    ) as page:
        await page.locator("mark", has_text="1280元").tap()
        await expect(page.locator("#glass")).to_be_in_viewport()
        await page.locator("#close").tap()
        await expect(page.locator("#glass")).to_be_hidden()
        await page.locator(".findings a").filter(has=page.locator("b", has_text="120台")).tap()
        await expect(page.locator("mark", has_text="120台")).to_be_in_viewport()
        await expect(page.locator("#words")).to_have_text("120台")


async def test_dark(browser: Browser) -> None:
    async with opened(browser, report(), color_scheme="dark") as page:
        colours = "(name) => getComputedStyle(document.querySelector(name))"
        ink = await page.evaluate(f"({colours})('.answer h2').color")
        paper = await page.evaluate(f"({colours})('body').backgroundColor")
        assert _brightness(ink) > 500
        assert _brightness(paper) < 150


def _brightness(colour: str) -> int:
    return sum(int(part) for part in re.findall(r"\d+", colour)[:3])


async def test_print(browser: Browser) -> None:
    async with opened(browser, report(), color_scheme="dark") as page:
        assert re.findall(rb"/MediaBox ?\[ ?0 0 (\d+)", await page.pdf(prefer_css_page_size=True))[0] == b"594"
        await page.locator("mark", has_text="1280元").click()
        await page.emulate_media(media="print", color_scheme="dark")
        for hidden in (".bar", "#glass", ".hint", ".frame svg"):
            await expect(page.locator(hidden)).to_be_hidden()
        assert await page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        await expect(page.locator(".findings").first).to_be_visible()


async def test_nothing_of_a_hostile_report_runs(browser: Browser) -> None:
    async with opened(browser, report(HOSTILE, HOSTILE)) as page:
        await expect(page.locator("h1")).to_contain_text("<script>alert(1)</script>")
        await expect(page.locator("body")).to_be_visible()
        assert await page.locator("script").count() == 1
        assert await page.locator("iframe, object, embed, style, svg[onload], a[href^='javascript']").count() == 0
        await page.locator("mark").first.hover()
        for link in await page.locator("#text a").all():
            await link.click()
        await expect(page.locator("#text")).to_contain_text("{{evidence}}")
        await page.wait_for_timeout(200)


async def test_every_answer_is_kept_to_the_reader() -> None:
    shown = report()
    async with client(shown) as (place, session):
        for path in (f"/r/{shown.id}", f"/r/{shown.id}/1", f"/r/{new_id()}", f"/r/{shown.id}/7"):
            answer = await session.get(path)
            assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
            assert "unsafe" not in answer.headers["Content-Security-Policy"]
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            assert answer.headers["Cache-Control"] == "no-store"
            assert "noindex" in answer.headers["X-Robots-Tag"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
        picture = await session.get(f"/r/{shown.id}/1")
        assert (picture.content_type, await picture.read()) == ("image/png", await place.load("a" * 64))


async def test_what_shows_nothing_looks_the_same() -> None:
    """Unknown, malformed, no such picture, a picture that is gone: one answer."""
    shown = replace(report(), pictures={1: Image("", "b" * 64, "image/png", 1, 1, 1)})
    async with client(shown) as (_, session):
        answers = [
            await session.get(f"/r/{path}")
            for path in (
                new_id(),
                "x",
                "%00" * 22,
                "A" * 500,
                f"{shown.id}/1",
                f"{shown.id}/2",
                f"{shown.id}/１",
                f"{new_id()}/1",
            )
        ]
        assert {answer.status for answer in answers} == {404}
        assert len({await answer.text() for answer in answers}) == 1
        assert len({tuple(sorted(name for name in answer.headers if name != "Date")) for answer in answers}) == 1
        assert "打不开这份报告" in await answers[0].text()


async def test_a_withdrawn_report_is_gone_with_its_pictures() -> None:
    shown = report()
    async with client(shown) as (place, session):
        assert (await session.get(f"/r/{shown.id}")).status == 200
        del place.reports[shown.id]
        assert [(await session.get(f"/r/{shown.id}{end}")).status for end in ("", "/1")] == [404, 404]


async def test_guesses_from_one_public_address_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = report()
    async with client(shown) as (place, session):
        for _ in range(20):
            await session.get(f"/r/{new_id()}")
        assert (await session.get(f"/r/{shown.id}")).status == 200, "a proxy's address is everybody's"
        monkeypatch.setattr("aiohttp.web.BaseRequest.remote", "203.0.114.7")
        for _ in range(20):
            await session.get(f"/r/{new_id()}")
        asked = len(place.asked)
        assert asked < 30 and (await session.get(f"/r/{shown.id}")).status == 404
        place.clock.move(3600)
        assert (await session.get(f"/r/{shown.id}")).status == 200


async def test_the_service_serves_it_without_a_token(tmp_path: Path) -> None:
    """Only `/r/` is open: the rest of a service with a token is not."""
    config = Config(data_dir=str(tmp_path), server=ServerConfig(port=0, token=Secret("令牌")), adapters={})
    service = await Service.open(config)
    try:
        await service.start()
        async with TestClient(TestServer(service._app(FakeClock()))) as session:
            assert (await session.get(f"/r/{new_id()}")).status == 404
            assert (await session.post("/infer")).status == 401
    finally:
        await service.stop()
