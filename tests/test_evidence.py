"""A number of the text is found where a picture has that very number, however either is written."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from bot.engine.reader import Box, Line, ReaderEngine
from bot.evidence import find
from bot.evidence.numerals import value_of
from bot.report import Finding, Section

FONT = "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc"
DIGITS = "零一二三四五六七八九"


def page(*texts: str) -> list[Line]:
    """A picture with one line of text below the other, letters 20 pixels wide, half that for narrow ones."""
    return [Line(text, Box(100, 40 * row, 100 + 20 * len(text), 40 * row + 30)) for row, text in enumerate(texts)]


def look(text: str, *pictures: Sequence[Line], given: str = "") -> dict[str, int]:
    """What the text says, and the number of the picture that has it."""
    found = find([Section("", text)], dict(enumerate(pictures, 1)), given=given)
    return {text[one.start : one.end]: one.picture for one in found}


def spelled(number: int) -> str:
    """Chinese numerals, below 10^8."""
    if number >= 10_000:
        rest = number % 10_000
        zero = "零" if 0 < rest < 1000 else ""
        return f"{spelled(number // 10_000)}万{zero}{spelled(rest) if rest else ''}"
    said, zero = "", False
    for unit, name in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit = number // unit % 10
        if digit:
            said += ("零" if zero and said else "") + DIGITS[digit] + name
        zero = not digit
    return said or "零"


def full_width(text: str) -> str:
    return "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text)


@given(st.integers(0, 10**8 - 1))
def test_chinese_numerals(number: int) -> None:
    assert value_of(spelled(number)) == number


def test_short_and_spelled_numerals() -> None:
    for text, number in {"二〇二四": 2024, "两万五": 25000, "三千二": 3200, "一亿二千万": 120_000_000}.items():
        assert value_of(text) == number
    assert value_of("三点零五") == Decimal("3.05")
    assert value_of("点五") is None


@given(st.integers(100, 10**8 - 1))
@settings(max_examples=60)
def test_every_way_to_write_a_number_finds_every_other(number: int) -> None:
    ways = [f"{number}元", f"¥{number:,}.00", f"{number:,}元", full_width(f"{number:,}") + "元", f"{spelled(number)}元"]
    for said in ways:
        for shown in ways:
            assert list(look(f"共花了{said}。", page(f"合计 {shown}")).values()) == [1], (said, shown)


@given(st.integers(1, 10**7), st.integers(1, 10**7))
@settings(max_examples=60)
def test_another_number_is_no_evidence(said: int, shown: int) -> None:
    found = look(f"共{said}元", page(f"{shown:,}.00", f"编号A{said}{shown}"))
    assert list(found.values()) == [int(said == shown)]


@pytest.mark.parametrize("shown", ["1,280", "180", "808", "80.5", "A80-1", "0.80.1", "8 0", "2080-01-02", "80%"])
def test_no_part_of_a_value_is_a_value(shown: str) -> None:
    assert look("花了80元", page(shown)) == {"80元": 0}


@given(st.dates(date(1990, 1, 1), date(2039, 12, 31)))
@settings(max_examples=40)
def test_every_way_to_write_a_date_finds_every_other(day: date) -> None:
    year, month, number = day.year, day.month, day.day
    digits = "".join(DIGITS[int(digit)] for digit in str(year))
    ways = [
        f"{year}年{month}月{number}日",
        f"{year}-{month:02}-{number:02}",
        f"{year}/{month}/{number}",
        f"{year}.{month:02}.{number:02}",
        f"{digits}年{spelled(month)}月{spelled(number)}日".replace("一十", "十"),
    ]
    for said in [*ways, f"{month}月{number}日"]:
        for shown in ways:
            assert list(look(f"于{said}到货", page(f"日期：{shown}")).values()) == [1], (said, shown)
    other = f"{year}年{month}月{number % 28 + 1}日"
    assert list(look(f"于{other}到货", page(ways[0])).values()) == [int(number % 28 + 1 == number)]


@pytest.mark.parametrize(
    ("said", "shown", "found"),
    [
        ("下午三点半", "15:30", True),
        ("14时30分", "14:30:05", True),
        ("下午2:30", "2:30", True),
        ("14:30", "14:35", False),
        ("百分之三十", "30%", True),
        ("30％", "30", True),
        ("12.8万元", "128,000.00", True),
        ("1.5kg", "1.5公斤", True),
        ("1.5mg", "1.5g", False),
        ("下降5%", "-5%", True),
        ("增长5%", " -5%", False),
        ("E-04", "故障码 e-04", True),
        ("E-04", "E-041", False),
        ("INV-2024-001", "No：INV-2024-001", True),
        ("13812345678", "电话：138 1234 5678", True),
        ("13812345678", "138****5678", True),
        ("13812345678", "138****5679", False),
        ("021-12345678", "（021）12345679", False),
        ("192.168.1.1", "192.168.1.10", False),
    ],
)
def test_values_and_units(said: str, shown: str, found: bool) -> None:
    assert set(look(f"记录为{said}。", page(shown)).values()) == {int(found)}


@pytest.mark.parametrize(
    "text",
    [
        "见图1、图2和图 3，[图12]。\n\n![图1](图1)",
        "第2节 第三章 第 4 步",
        "1. 好\n2. 更好\n\n（3）很好\n\n一、总述\n\n## 1.2 情况",
        "3 点建议，以下五个方面，三大问题，分为4步",
        "一个人，一些，十分好，千万不要，万一",
        "[手册](https://example.com/2024/99) <https://a.b/1>",
        "A4纸，5G网络",
    ],
)
def test_what_counts_the_text_itself_is_no_claim(text: str) -> None:
    assert look(text, page("无")) == {}


def test_a_value_under_another_label_is_contradicted() -> None:
    shown = page("金额：1,280.00元", "单价：1820元")
    assert look("金额：1280元", shown) == {"1280元": 1}
    assert look("金额为1820元", shown) == {"1820元": 0}
    assert look("单价为1820元", shown) == {"1820元": 1}
    assert look("| 项目 | 数 |\n|---|---|\n| 金额 | 1820 |", shown) == {"1820": 0}
    assert look("花了1820元", shown) == {"1820元": 1}


def test_a_label_may_stand_in_a_cell_of_its_own() -> None:
    shown = [Line("金额", Box(0, 0, 40, 20)), Line("1280", Box(80, 0, 120, 20)), Line("1820", Box(80, 40, 120, 60))]
    assert look("金额1820元", shown) == {"1820元": 0}


def test_the_cited_picture_comes_first_and_contradicts() -> None:
    one, two = page("金额：500元", "编号 77"), page("金额：600元", "编号 77")
    assert look("编号77见[图2]。编号77。", one, two)["77"] == 1
    assert look("编号77见[图2]。", one, two) == {"77": 2}
    assert look("图2的金额为500元。", one, two) == {"500元": 0}
    assert look("图1的金额为500元。", one, two) == {"500元": 1}


def test_names_in_quotation_marks() -> None:
    shown = page("供应商：上海某某科技", "有限公司", "型号 KT-100X")
    assert look("由“上海某某科技有限公司”供货", shown) == {"上海某某科技有限公司": 1}
    assert look("由「北京某某」供货，供应商：上海某某科技", shown) == {"北京某某": 0, "上海某某科技": 1}
    assert look("型号“KT-100”", shown) == {"KT-100": 0}
    assert look("他说“今天很好，谢谢。”", shown) == {}


def test_what_the_user_wrote_needs_no_picture() -> None:
    assert look("5月3日举行，来了200人，花了90元。", page("90元"), given="活动5月3日，参加200人") == {"90元": 1}


def test_no_pictures_no_findings() -> None:
    assert find([Section("", "1280元")], {}) == ()


@given(
    st.text("图1[]()第节12，,.。\n年月日:-%元“”《》一十万E| 金额", max_size=60),
    st.text("12,.年月日:-%元金额E ", max_size=20),
)
@settings(max_examples=300)
def test_findings_lie_in_order_within_text_and_line(text: str, shown: str) -> None:
    line = Line(shown, Box(10, 20, 210, 50))
    end = 0
    for one in find([Section("", text)], {1: [line]}):
        assert end <= one.start < one.end <= len(text)
        end = one.end
        if one.box:
            assert (10 <= one.box[0] < one.box[2] <= 210 + 1e-6) and (one.box[1], one.box[3]) == (20, 50)


def test_the_box_is_the_values_share_of_its_line() -> None:
    line = Line("金额1280", Box(100, 0, 180, 30))
    (one,) = find([Section("", "1280元")], {1: [line]})
    assert one == Finding(0, 0, 5, 1, (140, 0, 180, 30))
    upright = Line("金额1280", Box(0, 100, 20, 180))
    (one,) = find([Section("", "1280元")], {1: [upright]})
    assert one.box == (0, 140, 20, 180)


async def test_boxes_of_a_picture_that_was_really_read() -> None:
    picture = Pillow.new("RGB", (700, 300), "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.truetype(FONT, 36)
    pen.text((40, 60), "合计金额：1,280.00元", "black", font)
    pen.text((40, 180), "日期：2024年3月12日", "black", font)
    wanted = pen.textbbox((40 + pen.textlength("合计金额：", font), 60), "1,280.00元", font)
    file = io.BytesIO()
    picture.save(file, "PNG")
    reader = ReaderEngine()
    try:
        read = await reader.read(hashlib.sha256(file.getvalue()).hexdigest(), file.getvalue())
    finally:
        await reader.close()
    text = "三月十二日付款一千二百八十元，余80元。"
    day, paid, rest = find([Section("", text)], {3: read.lines})
    assert (day.picture, paid.picture, rest.picture) == (3, 3, 0)
    assert paid.box == pytest.approx(wanted, abs=25)
