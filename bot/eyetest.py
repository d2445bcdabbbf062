"""Pictures with known facts, drawn on the spot: whether a model that was loaded sees, reads and counts.

Not a benchmark: a model whose weights were put together wrongly fails nearly all of it, a sound one hardly any.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO

from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from bot.engine.base import Engine, GenerateRequest, SamplingParams
from bot.errors import EngineError
from bot.message import Image, system, user

_SYSTEM = "根据图片回答问题，只写答案。"
_TOKENS = 128
Draw = Callable[[ImageDraw.ImageDraw], None]


@dataclass(frozen=True, slots=True)
class Sight:
    """facts: each is a regular expression that the answer must contain."""

    name: str
    question: str
    facts: tuple[str, ...]
    draw: Draw
    size: tuple[int, int] = (640, 420)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one picture."""

    name: str
    passed: bool
    answer: str


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _lines(*texts: str, size: int = 44) -> Draw:
    def draw(pen: ImageDraw.ImageDraw) -> None:
        for number, text in enumerate(texts):
            pen.text((40, 40 + number * (size + 28)), text, "black", _font(size))

    return draw


def _discs(count: int, colour: str) -> Draw:
    def draw(pen: ImageDraw.ImageDraw) -> None:
        for number in range(count):
            x, y = 60 + number % 4 * 140, 60 + number // 4 * 160
            pen.ellipse((x, y, x + 100, y + 100), colour, "black")

    return draw


def _sides(pen: ImageDraw.ImageDraw) -> None:
    pen.rectangle((60, 120, 260, 320), "red")
    pen.rectangle((380, 120, 580, 320), "blue")


def _triangle(pen: ImageDraw.ImageDraw) -> None:
    pen.polygon([(320, 60), (520, 360), (120, 360)], "green")


def _table(pen: ImageDraw.ImageDraw) -> None:
    rows = (("Item", "Price", "Qty"), ("Apple", "3.50", "12"), ("Pear", "4.25", "7"), ("Plum", "6.80", "30"))
    for row, cells in enumerate(rows):
        for column, cell in enumerate(cells):
            x, y = 40 + column * 190, 40 + row * 80
            pen.rectangle((x, y, x + 190, y + 80), None, "black", 2)
            pen.text((x + 20, y + 20), cell, "black", _font(36))


def _chart(pen: ImageDraw.ImageDraw) -> None:
    for number, (name, value) in enumerate((("A", 40), ("B", 90), ("C", 60), ("D", 20))):
        x = 80 + number * 135
        pen.rectangle((x, 340 - value * 3, x + 80, 340), "steelblue")
        pen.text((x + 28, 355), name, "black", _font(36))
        pen.text((x + 18, 300 - value * 3), str(value), "black", _font(32))


def _clock(pen: ImageDraw.ImageDraw) -> None:
    pen.rounded_rectangle((120, 120, 520, 300), 30, "black")
    pen.text((190, 155), "08:45", "lime", _font(96))


def _arrow(pen: ImageDraw.ImageDraw) -> None:
    pen.line((100, 210, 460, 210), "black", 24)
    pen.polygon([(560, 210), (440, 130), (440, 290)], "black")


def _error(pen: ImageDraw.ImageDraw) -> None:
    pen.rectangle((60, 80, 580, 340), "white", "grey", 3)
    pen.rectangle((60, 80, 580, 140), "navy")
    pen.text((80, 90), "Setup", "white", _font(36))
    pen.text((90, 180), "Error 0x80070057", "black", _font(44))
    pen.text((90, 260), "The disk is full.", "black", _font(36))


SIGHTS: tuple[Sight, ...] = (
    Sight("word", "图中写的英文单词是什么？", (r"(?i)elephant",), _lines("ELEPHANT", size=88)),
    Sight("number", "图中的数字是多少？", (r"7730018256",), _lines("7730018256", size=72)),
    Sight("mixed code", "图中的订单号是什么？", (r"KT-4827-QX",), _lines("Order no.", "KT-4827-QX", size=64)),
    Sight("two lines", "第二行写的是什么？", (r"(?i)second winter",), _lines("first summer", "second winter", size=56)),
    Sight("small print", "图中的版本号是多少？", (r"12\.9\.31",), _lines("Version 12.9.31", "Build 5508", size=24)),
    Sight("left colour", "左边的方块是什么颜色？", (r"(?i)红|red",), _sides),
    Sight("right colour", "右边的方块是什么颜色？", (r"(?i)蓝|blue",), _sides),
    Sight("shape", "图中是什么形状？", (r"(?i)三角|triangle",), _triangle),
    Sight("three discs", "图中有几个圆？只回答数字。", (r"(?i)\b3\b|三|three|3",), _discs(3, "orange")),
    Sight("seven discs", "图中有几个圆？只回答数字。", (r"(?i)7|七|seven",), _discs(7, "purple")),
    Sight("table cell", "表中 Pear 的价格（Price）是多少？", (r"4\.25",), _table),
    Sight("table count", "表中数量（Qty）最多的是哪一项？", (r"(?i)plum",), _table),
    Sight("chart largest", "柱状图中哪一项最高？只回答字母。", (r"B",), _chart),
    Sight("chart value", "柱状图中 C 的数值是多少？", (r"60",), _chart),
    Sight("clock", "屏幕上显示的时间是几点？", (r"0?8[:：点]\s*45",), _clock),
    Sight("arrow", "箭头指向哪个方向？", (r"(?i)右|right",), _arrow),
    Sight("error code", "错误代码是什么？", (r"(?i)0x80070057",), _error),
)


def picture(sight: Sight) -> bytes:
    """The drawing as PNG."""
    page = Pillow.new("RGB", sight.size, "white")
    sight.draw(ImageDraw.Draw(page))
    buffer = BytesIO()
    page.save(buffer, "PNG")
    return buffer.getvalue()


async def examine(engine: Engine, sights: Sequence[Sight] = SIGHTS) -> list[Outcome]:
    """Ask about every picture, greedily. Raises EngineError where not even the first question has an answer."""
    outcomes: list[Outcome] = []
    for sight in sights:
        try:
            answer = (await engine.generate(_request(sight))).text
        except EngineError as error:
            if not outcomes:
                raise
            outcomes.append(Outcome(sight.name, False, f"({error})"))
            continue
        outcomes.append(Outcome(sight.name, all(re.search(fact, answer) for fact in sight.facts), answer))
    return outcomes


def _request(sight: Sight) -> GenerateRequest:
    data = picture(sight)
    sha256 = hashlib.sha256(data).hexdigest()
    image = Image(sha256=sha256, mime_type="image/png", width=sight.size[0], height=sight.size[1], index=1)
    return GenerateRequest(
        (system(_SYSTEM), user(image, sight.question)),
        pictures={sha256: data},
        sampling=SamplingParams(temperature=0, max_tokens=_TOKENS),
    )
