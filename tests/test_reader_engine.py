"""The built-in engine as a whole: real OCR on pictures drawn here, workers, cache, streaming.

Fonts: Debian's fonts-noto-cjk. One engine serves all tests, because a worker loads its models once.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from bot.config import ReaderModel
from bot.engine.base import GenerateRequest
from bot.engine.reader import DECLINED, Page, ReaderEngine
from bot.engine.reader.engine import HINT
from bot.engine.reader.pool import OcrPool
from bot.errors import EngineUnavailable, RequestRejected
from bot.message import Image, Text, assistant, user

FONT = Path("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc")
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncIterator[ReaderEngine]:
    engine = ReaderEngine(ReaderModel())
    yield engine
    await engine.close()


def draw(size: tuple[int, int], *texts: tuple[int, int, int, str], paper: str = "white") -> bytes:
    """PNG bytes with (x, y, font size, text)."""
    assert FONT.exists(), "these tests draw Chinese text: install fonts-noto-cjk"
    picture = Pillow.new("RGB", size, paper)
    pen = ImageDraw.Draw(picture)
    for x, y, points, text in texts:
        pen.text((x, y), text, "black", ImageFont.truetype(str(FONT), points, index=2))
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def key(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def request(question: str, *pictures: bytes) -> GenerateRequest:
    images = [Image(sha256=key(data), index=index) for index, data in enumerate(pictures, start=1)]
    return GenerateRequest((user(*images, Text(question)),), {key(data): data for data in pictures})


async def test_a_long_screenshot_keeps_its_small_text(engine: ReaderEngine) -> None:
    texts = [(60, 300 + 700 * i, 22, f"第{i}段编号{7310 + i}结束") for i in range(8)]
    data = draw((1080, 6000), *texts)
    page = await engine.read(key(data), data)
    assert [line.text for line in page.lines] == [text for *_, text in texts]
    for line, (x, y, size, _) in zip(page.lines, texts, strict=True):
        assert abs(line.box.left - x) < size and y - size < line.box.top < y + size


async def test_a_tiny_icon_has_colour_and_no_text(engine: ReaderEngine) -> None:
    data = draw((48, 48), paper="#1677ff")
    page = await engine.read(key(data), data)
    assert (page.width, page.height, page.lines) == (48, 48, ())
    assert "蓝色" in (await engine.generate(request("图标主色是什么", data))).text
    declined = await engine.generate(request("这个图标像什么？", data))
    assert declined.finish_reason == "declined"
    assert declined.text == f"{DECLINED}\n{HINT}"


async def test_transparent_pictures_are_read_on_white(engine: ReaderEngine) -> None:
    layer = Pillow.new("RGBA", (500, 120), (0, 0, 0, 0))
    ImageDraw.Draw(layer).text((20, 30), "透明背景文字", (0, 0, 0, 255), ImageFont.truetype(str(FONT), 48, index=2))
    out = io.BytesIO()
    layer.save(out, "PNG")
    page = await engine.read(key(out.getvalue()), out.getvalue())
    assert page.text == "透明背景文字"


async def test_streamed_is_whole_and_history_finds_the_picture(engine: ReaderEngine) -> None:
    data = draw((800, 300), (40, 60, 40, "订单号：A20518866"), (40, 160, 40, "实付款：¥88.50"))
    asked = request("实付多少？", data)
    pieces = [chunk async for chunk in engine.stream(asked)]
    whole = await engine.generate(asked)
    assert "".join(chunk.text for chunk in pieces) == whole.text
    assert "88.50" in whole.text and whole.usage.cached_tokens > 0
    later = (*asked.messages, assistant(whole.text), user("订单号呢？"))
    assert "A20518866" in (await engine.generate(GenerateRequest(later, asked.pictures))).text


async def test_a_report_is_an_extract(engine: ReaderEngine) -> None:
    data = draw((800, 300), (40, 30, 56, "验收单"), (40, 160, 40, "编号：YS-2091"))
    asked = request("写一份报告", data)
    done = await engine.generate(GenerateRequest(asked.messages, asked.pictures, priority="report"))
    assert done.finish_reason == "stop"
    assert "## 图1：验收单" in done.text and "| 编号 | YS-2091 |" in done.text


async def test_text_alone_is_declined(engine: ReaderEngine) -> None:
    done = await engine.generate(GenerateRequest((user("今天天气怎么样？"),)))
    assert done.finish_reason == "declined" and done.text.startswith(DECLINED)


async def test_bytes_that_are_no_picture_are_rejected_each_time(engine: ReaderEngine) -> None:
    for _ in range(2):
        with pytest.raises(RequestRejected):
            await engine.read("0" * 64, b"not a picture")


async def test_a_killed_worker_is_replaced(engine: ReaderEngine) -> None:
    data = draw((300, 100), (20, 20, 40, "重新开始"))
    executor = engine._pool._executor
    assert executor is not None
    for process in list(executor._processes.values()):
        os.kill(process.pid or 0, signal.SIGKILL)
    assert (await engine.read(key(data), data)).text == "重新开始"


class CountingPool(OcrPool):
    """Stands in for the workers."""

    def __init__(self, failures: int = 0) -> None:
        super().__init__(1)
        self.reads, self.failures = 0, failures

    async def read(self, data: bytes) -> Page:
        self.reads += 1
        await asyncio.sleep(0)
        if self.reads <= self.failures:
            raise EngineUnavailable("away")
        return Page(10, 10)


async def test_one_picture_is_read_once_however_many_ask() -> None:
    engine = ReaderEngine()
    engine._pool = pool = CountingPool()
    first = asyncio.create_task(engine.read("a", b""))
    await asyncio.sleep(0)
    others = [asyncio.create_task(engine.read("a", b"")) for _ in range(5)]
    first.cancel()
    assert {page.sha256 for page in await asyncio.gather(*others)} == {"a"}
    assert pool.reads == 1


async def test_failures_are_not_kept_and_old_pages_go() -> None:
    engine = ReaderEngine(cached_pages=2)
    engine._pool = pool = CountingPool(failures=1)
    with pytest.raises(EngineUnavailable):
        await engine.read("a", b"")
    for name in ("a", "b", "a", "c", "a", "b"):
        await engine.read(name, b"")
    # a fails, a, b, (a again), c pushes b out, (a again), b again
    assert pool.reads == 5


async def test_the_service_stays_light() -> None:
    """Importing the engine loads none of what only the workers need."""
    code = (
        "import sys, bot.engine.reader\n"
        "heavy = {'numpy', 'cv2', 'onnxruntime', 'PIL', 'rapidocr'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    root = Path(__file__).parent.parent
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code], check=True, cwd=root)


async def test_private_numbers_are_blacked_out_and_the_rest_stays(engine: ReaderEngine) -> None:
    data = draw((900, 320), (40, 40, 48, "联系电话 13812344406"), (40, 180, 48, "订单号 20251103557024"))
    masked = await engine.mask(key(data), data)
    text = (await engine.read(key(masked), masked)).text
    assert "13812344406" not in text.replace(" ", "")
    assert "20251103557024" in text.replace(" ", "")
    plain = draw((600, 160), (40, 40, 48, "没有号码"))
    assert await engine.mask(key(plain), plain) == plain
