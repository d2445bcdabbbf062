"""The page in a real Chromium: what a person does on it, and that it asks nobody but our own server."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestServer
from fakes import FakeClock, FakeEngine, FakeHttp
from pictures import drawing, encoded
from playwright.async_api import Browser, Locator, Page, Request, async_playwright, expect

import handlers.ask
from bot.config import BreakerConfig, MediaConfig, Secret, ServerConfig
from bot.dispatcher import Dispatcher
from bot.engine.base import GenerateRequest
from bot.engine.chain import EngineChain
from bot.errors import EngineUnavailable
from bot.media import MediaStore
from bot.message import Message, Text
from bot.router import ModelRouter
from bot.web.api import Api
from bot.web.auth import Auth
from bot.web.server import make_app

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
UPLOAD_BYTES = 200_000
#: No answer of ours takes this long; a machine that is busy may.
PATIENCE = 60_000

ANSWERS = {
    "markdown": """# 标题

第一段 **粗** `代码` [图1]
第二行

1. 甲
   - 乙
2. 丙

| 型号 | 价格 |
|---|---:|
| A | 12 |
| a\\|b | **3** |

> 引用

```html
<b>不是粗体</b>
```""",
    "script": "<img src=x onerror=\"document.title='boom'\"> <script>x()</script> [点](javascript:f())",
}


class Place:
    """The service with a fake model, and a browser page that must neither complain nor call out."""

    def __init__(self, folder: Path, browser: Browser, token: str = "") -> None:
        self.browser = browser
        self.media = MediaStore(folder / "media", MediaConfig())
        self.engine = FakeEngine(
            "fake-model", lambda request: ANSWERS.get(asked(request), f"关于{asked(request)}的回答")
        )
        chain = EngineChain(self.engine, None, None, BreakerConfig(failures=99), FakeClock())
        dispatcher = Dispatcher([handlers.ask.on], ModelRouter(), chain, self.media.load)
        config = ServerConfig(token=Secret(token), upload_bytes=UPLOAD_BYTES)
        auth = Auth(config, FakeClock())
        api = Api(dispatcher, self.media, FakeHttp(), config, FakeClock())  # pyright: ignore
        routes = [*auth.routes(), *api.routes()]
        self.server = TestServer(make_app(routes, [auth.middleware], UPLOAD_BYTES))
        self.page: Page
        self.complaints: list[str] = []
        self.called: list[str] = []

    async def open(self, **options: Any) -> None:
        await self.server.start_server()
        context = await self.browser.new_context(**options)
        self.page = await context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.page.on("console", lambda message: self.complain(message.type, message.text))
        self.page.on("pageerror", lambda error: self.complain("error", str(error)))
        self.page.on("request", self.note)
        await self.page.goto(str(self.server.make_url("/")))

    def complain(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self.complaints.append(text)

    def note(self, request: Request) -> None:
        self.called.append(request.url)

    async def close(self) -> None:
        await self.page.context.close()
        await self.server.close()
        await self.media.close()
        strangers = [url for url in self.called if urlsplit(url).hostname not in {"127.0.0.1", None}]
        assert strangers == []
        assert self.complaints == []

    async def pick(self, *names: str) -> None:
        files: list[Any] = [
            {"name": name, "mimeType": "image/png", "buffer": encoded(drawing(64 + number, 48))}
            for number, name in enumerate(names)
        ]
        await self.page.locator("#files").set_input_files(files)

    async def ask(self, question: str) -> None:
        await self.page.locator("#prompt").fill(question)
        await self.page.locator("#prompt").press("Enter")

    def answer(self, number: int) -> Locator:
        return self.page.locator(".answer").nth(number)

    async def finished(self, number: int) -> None:
        """The answer with this number (from 0) is whole."""
        await expect(self.page.locator(".meta").nth(number)).to_be_visible(timeout=PATIENCE)


def asked(request: GenerateRequest) -> str:
    return request.messages[-1].text


def said(messages: tuple[Message, ...]) -> list[str]:
    """The texts of a conversation, instructions left out."""
    return [
        "".join(p.text for p in message.parts if isinstance(p, Text))
        for message in messages
        if message.role != "system"
    ]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    if shutil.which(CHROMIUM) is None:
        pytest.fail(f"{CHROMIUM} is not installed: the page cannot be tested (apt-get install chromium)")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS, timeout=PATIENCE)
        yield browser
        await browser.close()


@contextlib.asynccontextmanager
async def place(folder: Path, browser: Browser, token: str = "", **options: Any) -> AsyncGenerator[Place]:
    place = Place(folder, browser, token)
    await place.open(**options)
    try:
        yield place
    finally:
        await place.close()


async def test_pictures_question_answer_and_again(tmp_path: Path, browser: Browser) -> None:
    async with place(tmp_path, browser) as at:
        page = at.page
        await expect(page.locator("#invite")).to_contain_text("拖入、粘贴或选择图片")
        await expect(page.locator("#send")).to_be_disabled()
        await at.pick("甲.png", "乙.png")
        await expect(page.locator("#tray b")).to_have_text(["图1", "图2"])
        await at.ask("开放时间")
        await expect(at.answer(0)).to_have_text("关于开放时间的回答", timeout=PATIENCE)
        await at.finished(0)
        await expect(page.locator(".meta").first).to_contain_text("fake-model")
        await expect(page.locator(".meta").first).to_contain_text("多图比较")
        await expect(page.locator(".answer").first).to_have_attribute("aria-busy", "false")

        await at.ask("票价")
        await at.finished(1)
    first, second = at.engine.requests
    assert len(first.pictures) == len(second.pictures) == 2
    assert said(second.messages) == ["开放时间", "关于开放时间的回答", "票价"]
    assert [image.index for image in second.messages[-1].images] == [1, 2]


async def test_markdown_and_the_picture_it_names(tmp_path: Path, browser: Browser) -> None:
    async with place(tmp_path, browser) as at:
        await at.pick("甲.png")
        await at.ask("markdown")
        await at.finished(0)
        answer = at.answer(0)
        await expect(answer.locator("h3")).to_have_text("标题")
        await expect(answer.locator("p strong")).to_have_text("粗")
        await expect(answer.locator("p code")).to_have_text("代码")
        await expect(answer.locator("ol > li")).to_have_count(2)
        await expect(answer.locator("ol > li > ul > li")).to_have_text("乙")
        await expect(answer.locator("td")).to_have_text(["A", "12", "a|b", "3"])
        await expect(answer.locator("blockquote")).to_have_text("引用")
        await expect(answer.locator("pre")).to_have_text("<b>不是粗体</b>")
        await answer.locator(".figure").click()
        await expect(at.page.locator("#caption")).to_have_text("图1 · 甲.png")
        await at.page.keyboard.press("Escape")
        await expect(at.page.locator("#viewer")).to_be_hidden()


async def test_a_model_s_words_stay_words(tmp_path: Path, browser: Browser) -> None:
    async with place(tmp_path, browser) as at:
        await at.ask("script")
        await at.finished(0)
        await expect(at.answer(0)).to_have_text(ANSWERS["script"])
        assert await at.answer(0).locator("img, script, a").count() == 0
        assert await at.page.title() == "看图"


async def test_no_markdown_loses_words_or_makes_elements(tmp_path: Path, browser: Browser) -> None:
    """Random mixtures of everything the renderer looks at."""
    render = """async () => {
        const { renderMarkdown } = await import("/static/markdown.js");
        const marks = ["#", "- ", "1. ", "**", "*", "`", "> ", "~~", "[图1]", "<b>", ":"];
        const bits = [...marks, " ", "    ", "\\n", "\\n\\n", "甲", "a"];
        const letters = (text) => text.replace(/[^甲a]/g, "");
        let seed = 1;
        const next = (limit) => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % limit;
        for (let round = 0; round < 3000; round += 1) {
            const text = Array.from({ length: next(40) }, () => bits[next(bits.length)]).join("");
            if (/```|~~~/.test(text)) continue; // the name of a fence's language is not shown
            const shown = renderMarkdown(text);
            if (letters(shown.textContent) !== letters(text) || shown.querySelector("b, img, a")) return text;
        }
        return null;
    }"""
    async with place(tmp_path, browser) as at:
        assert await at.page.evaluate(render) is None


async def test_it_is_shown_as_it_is_written_and_can_be_stopped(tmp_path: Path, browser: Browser) -> None:
    class Endless(FakeEngine):
        left = asyncio.Event()

        async def stream(self, request: GenerateRequest) -> AsyncIterator[Any]:
            try:
                async for chunk in super().stream(request):
                    yield chunk
                    if not chunk.finish_reason and asked(request) == "慢慢说":
                        await asyncio.Event().wait()
            finally:
                self.left.set()

    async with place(tmp_path, browser) as at:
        at.engine.__class__ = Endless
        await at.ask("慢慢说")
        await expect(at.answer(0)).to_have_text("关于", timeout=PATIENCE)
        await at.page.locator("#stop").click()
        await at.finished(0)
        await expect(at.page.locator(".meta")).to_contain_text("已停止")
        async with asyncio.timeout(60):
            await Endless.left.wait()
        await expect(at.page.locator("#send")).to_be_visible()


async def test_errors_in_plain_words_and_another_try(tmp_path: Path, browser: Browser) -> None:
    async with place(tmp_path, browser) as at:
        at.engine.errors = [EngineUnavailable("connection refused")]
        await at.ask("开放时间")
        notice = at.page.locator(".turn .notice")
        await expect(notice).to_contain_text("模型现在没有响应", timeout=PATIENCE)
        await notice.get_by_role("button", name="重试").click()
        await at.finished(0)
        await expect(notice).to_have_count(0)
        await expect(at.answer(0)).to_have_text("关于开放时间的回答")


async def test_what_is_refused_before_it_is_sent(tmp_path: Path, browser: Browser) -> None:
    async with place(tmp_path, browser) as at:
        notice = at.page.locator("#notice")
        large: Any = {"name": "大.png", "mimeType": "image/png", "buffer": bytes(UPLOAD_BYTES)}
        await at.page.locator("#files").set_input_files([large])
        await expect(notice).to_contain_text("“大.png”有 0.2 MB，超过了")
        await at.page.locator("#files").set_input_files([{"name": "a.txt", "mimeType": "text/plain", "buffer": b"x"}])
        await expect(notice).to_have_text("“a.txt”不是图片。")
        await at.pick(*(f"{number}.png" for number in range(17)))
        await expect(notice).to_contain_text("最多 16 张")
        await expect(at.page.locator("#tray li")).to_have_count(16)
        await at.page.get_by_role("button", name="移除图1", exact=True).click()
        await expect(at.page.locator("#tray li")).to_have_count(15)
        await expect(notice).to_be_hidden()
    assert at.engine.requests == []


async def test_dropped_and_pasted(tmp_path: Path, browser: Browser) -> None:
    async with place(tmp_path, browser) as at:
        give = """([kind, bytes]) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "", {type: "image/png"}));
            const options = {clipboardData: data, dataTransfer: data, bubbles: true, cancelable: true};
            const event = kind === "paste" ? new ClipboardEvent(kind, options) : new DragEvent(kind, options);
            document.body.dispatchEvent(event);
        }"""
        picture = list(encoded(drawing()))
        await at.page.evaluate(give, ["dragenter", picture])
        await expect(at.page.locator("#drop")).to_be_visible()
        for kind in ("drop", "paste"):
            await at.page.evaluate(give, [kind, picture])
        await expect(at.page.locator("#drop")).to_be_hidden()
        await expect(at.page.locator("#tray b")).to_have_text(["图1", "图2"])


async def test_keys(tmp_path: Path, browser: Browser) -> None:
    """Shift+Enter is a new line, and the Enter of an input method sends nothing."""
    async with place(tmp_path, browser) as at:
        prompt = at.page.locator("#prompt")
        await prompt.fill("甲")
        await prompt.press("Shift+Enter")
        await prompt.press_sequentially("乙")
        await prompt.dispatch_event("keydown", {"key": "Enter", "isComposing": True})
        await expect(prompt).to_have_value("甲\n乙")
        await at.page.get_by_role("radio", name="重").check()
        await prompt.press("Enter")
        await at.finished(0)
        await expect(at.page.locator(".meta")).to_contain_text("按你的指定")
        await at.page.get_by_role("button", name="新对话").click()
        await expect(at.page.locator(".turn")).to_have_count(0)
        await expect(at.page.locator("#welcome")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_phone(tmp_path: Path, browser: Browser, scheme: Literal["light", "dark"]) -> None:
    async with place(tmp_path, browser, viewport={"width": 360, "height": 700}, color_scheme=scheme) as at:
        await at.pick(*(f"{number}.png" for number in range(9)))
        await at.ask("markdown")
        await at.finished(0)
        assert await at.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        paper = await at.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (paper == "rgb(250, 249, 246)") == (scheme == "light")


async def test_login_ask_and_logout(tmp_path: Path, browser: Browser) -> None:
    async with place(tmp_path, browser, token="令牌") as at:
        await at.page.locator("#token").fill("错")
        await at.page.get_by_role("button", name="登录").click()
        await expect(at.page.get_by_role("alert")).to_have_text("令牌不对，请再试一次。")
        at.complaints.clear()  # the browser logs every 401
        await at.page.locator("#token").fill("令牌")
        await at.page.get_by_role("button", name="登录").click()
        await at.pick("甲.png")
        await at.ask("开放时间")
        await at.finished(0)
        await at.page.get_by_role("button", name="退出登录").click()
        await expect(at.page.locator("#token")).to_be_visible()
