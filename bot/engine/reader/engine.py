"""The built-in engine: answers from the text of pictures, and says so when that is not enough.

It needs no weights, no network and no GPU, which makes it the first thing that answers after installation and the
last that answers when models are away. It never invents: an answer is text of the picture or arithmetic on it.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import AsyncIterator

from bot.config import ReaderModel
from bot.engine.base import Chunk, Engine, GenerateRequest, Usage
from bot.engine.reader import report
from bot.engine.reader.answer import Numbered, answer
from bot.engine.reader.mask import mask_boxes, mask_picture
from bot.engine.reader.page import Page
from bot.engine.reader.pool import OcrPool
from bot.message import Image, Message

DECLINED = "内置识别引擎看不懂这个问题，请配置模型"
HINT = (
    "配置方法：在配置文件里填写 models.light，例如 "
    "models.light: {engine: openai, base_url: https://…/v1, model: glm-4.6v-flash}"
)
DOUBT = "（识别置信度低，请核对）"
#: pages kept; one is some tens of kilobytes
CACHED_PAGES = 256
#: characters of one streamed chunk, about
_CHUNK = 80


class ReaderEngine(Engine):
    """OCR and rules. Usage counts characters: of the question and the text read, and of the answer.

    A page read before is counted as cached_tokens. Sampling is ignored: there is nothing to sample.
    """

    name = "reader"
    context_tokens = 1 << 20
    remote = False
    generates = False

    def __init__(self, config: ReaderModel | None = None, *, cached_pages: int = CACHED_PAGES) -> None:
        self._pool = OcrPool((config or ReaderModel()).processes)
        self._pages: OrderedDict[str, Page] = OrderedDict()
        self._reading: dict[str, asyncio.Task[Page]] = {}
        self._cached_pages = cached_pages

    async def read(self, sha256: str, data: bytes) -> Page:
        """Text, boxes and looks of one encoded picture; a picture is read once however many ask.

        Raises RequestRejected for bytes that are no picture, EngineUnavailable when OCR fails; neither is kept.
        """
        page = self._pages.get(sha256)
        if page is not None:
            self._pages.move_to_end(sha256)
            return page
        task = self._reading.get(sha256)
        if task is None:
            task = self._reading[sha256] = asyncio.create_task(self._read(sha256, data))
            task.add_done_callback(lambda done: self._finished(sha256, done))
        # one asker's cancellation must not take the page from the others
        return await asyncio.shield(task)

    async def _read(self, sha256: str, data: bytes) -> Page:
        page = await self._pool.read(data)
        return Page(page.width, page.height, page.lines, page.frames, page.colours, page.background, sha256)

    def _finished(self, sha256: str, task: asyncio.Task[Page]) -> None:
        del self._reading[sha256]
        if task.cancelled() or task.exception() is not None:
            return
        self._pages[sha256] = task.result()
        while len(self._pages) > self._cached_pages:
            self._pages.popitem(last=False)

    async def mask(self, sha256: str, data: bytes) -> bytes:
        """The picture with private numbers and addresses blacked out; itself where there are none.

        Raises as `read` does: a picture that cannot be read cannot be vouched for.
        """
        boxes = mask_boxes(await self.read(sha256, data))
        return await self._pool.run(mask_picture, data, boxes) if boxes else data

    async def stream(self, request: GenerateRequest) -> AsyncIterator[Chunk]:
        """The answer in a few chunks, the last with finish_reason and usage. Raises as `read` does."""
        cached = sum(len(self._pages[key].text) for key in request.pictures if key in self._pages)
        pages = await self._numbered(request)
        question = _question(request)
        text = await asyncio.to_thread(_respond, request, question, pages)
        prompt = len(question) + sum(len(numbered.page.text) for numbered in pages)
        declined = text.startswith(DECLINED)
        for piece in _pieces(text):
            yield Chunk(piece)
        usage = Usage(prompt, min(cached, prompt), len(text))
        yield Chunk("", "declined" if declined else "stop", usage)

    async def _numbered(self, request: GenerateRequest) -> list[Numbered]:
        images = pictures_of(request)
        reads = (self.read(image.sha256, request.pictures[image.sha256]) for image in images)
        pages = await asyncio.gather(*reads)
        numbers = [image.index or place for place, image in enumerate(images, start=1)]
        return [Numbered(number, page) for number, page in zip(numbers, pages, strict=True)]

    async def check(self) -> str:
        """Raises nothing: the engine ships with its models."""
        return "ok：内置识别引擎（OCR），不需要下载"

    async def close(self) -> None:
        """Stop the OCR workers."""
        for task in list(self._reading.values()):
            task.cancel()
        await self._pool.close()


def pictures_of(request: GenerateRequest) -> list[Image]:
    """The pictures a question is about: its own, those it names by number, else the latest of the history."""
    available = [_available(message, request) for message in request.messages]
    if not available:
        return []
    everything = {image.index: image for images in available for image in images if image.index}
    named = [int(n) for n in re.findall(r"图\s*(\d{1,2})(?!\d)", request.messages[-1].text)]
    if named and not available[-1] and all(number in everything for number in named):
        return [everything[number] for number in dict.fromkeys(named)]
    return next((images for images in reversed(available) if images), available[-1])


def _available(message: Message, request: GenerateRequest) -> list[Image]:
    return [image for image in dict.fromkeys(message.images) if image.sha256 in request.pictures]


def _question(request: GenerateRequest) -> str:
    return request.messages[-1].text.strip() if request.messages else ""


def _respond(request: GenerateRequest, question: str, pages: list[Numbered]) -> str:
    if pages and request.priority == "report":
        return report.write(pages)
    found = answer(question, pages) if pages else None
    if found is None:
        return f"{DECLINED}\n{HINT}"
    return found.text + (DOUBT if found.doubtful else "")


def _pieces(text: str) -> list[str]:
    """Cut at line ends where there are any, else by length; joined they are the text."""
    pieces: list[str] = []
    for line in text.splitlines(keepends=True):
        if pieces and len(pieces[-1]) + len(line) <= _CHUNK:
            pieces[-1] += line
        else:
            pieces += [line[at : at + _CHUNK] for at in range(0, len(line), _CHUNK)]
    return pieces
