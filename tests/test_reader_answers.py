"""Answers of the built-in engine on pages built by hand: what the text settles, and what it must not claim."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_reader_layout import line

from bot.engine.reader.answer import Numbered, answer
from bot.engine.reader.arithmetic import evaluate, find_sums
from bot.engine.reader.look import name_colour
from bot.engine.reader.page import Box, Colour, Line, Page
from bot.engine.reader.question import ask
from bot.engine.reader.report import CLOSING, write
from bot.engine.reader.values import find, measure, number


def reply(question: str, *pages: Page) -> str:
    """The answer, or empty when declined."""
    found = answer(question, [Numbered(index, page) for index, page in enumerate(pages, start=1)])
    return found.text if found else ""


def payment(amount: str, code: str = "E-1024") -> Page:
    rows = [("错误码", code), ("订单号", "880012345678"), ("商户名称", "晨光书店"), ("应付金额", f"¥{amount}")]
    head = [line("支付失败", 400, 100, 60), line("账户余额不足，请充值后重试", 300, 200, 36)]
    cells = [
        line(text, 60 if x == 0 else 800, 400 + 80 * y, 36) for y, row in enumerate(rows) for x, text in enumerate(row)
    ]
    foot = [line("客服电话400-123-4567", 300, 900, 30)]
    return Page(1080, 1000, tuple(head + cells + foot))


def table(*cells: tuple[str, ...]) -> Page:
    pitch = 1200 // len(cells[0])
    lines = [line(t, 60 + pitch * x, 100 + 60 * y) for y, row in enumerate(cells) for x, t in enumerate(row) if t]
    return Page(1300, 120 + 60 * len(cells), tuple(lines))


CHART = Page(
    900,
    700,
    (
        line("门店客流（人次）", 300, 20),
        *(line(value, 210 + 200 * i, 300 - int(value), 20) for i, value in enumerate(("70", "35", "90"))),
        *(line(name, 200 + 200 * i, 540, 20) for i, name in enumerate(("东店", "西店", "南店"))),
    ),
)
LAB = table(
    ("项目", "结果", "参考范围", "单位"),
    ("白细胞计数 WBC", "12.6", "3.5-9.5", "10^9/L"),
    ("血红蛋白 HGB", "118", "130-175", "g/L"),
    ("血小板 PLT", "236", "125-350", "10^9/L"),
)
GOODS = table(("商品", "数量", "单价", "金额"), ("铅笔", "12", "1.50", "18.00"), ("尺子", "3", "4.00", "12.00"))
HOMEWORK = Page(
    800,
    900,
    (
        line("口算练习 王小明", 60, 20),
        line("1.48+37=85", 60, 100),
        line("2.7×8=54", 60, 200),
        line("3.17÷5=3余2", 60, 300),
        line("4.96÷4=", 60, 400),
        line("80分", 600, 800, 60),
    ),
)
CHAT = Page(
    700,
    1000,
    (
        line("装修-老葛", 280, 80),
        line("瓷砖到货了，一共42箱，少了3箱", 110, 200, 18),
        line("少的什么时候补？", 420, 300, 18),
        line("厂家说下周二，也就是11月18号", 110, 400, 18),
        line("尾款还差8600没付对吧", 360, 500, 18),
        line("对，明早8点半师傅到", 110, 600, 18),
    ),
)


@pytest.mark.parametrize(
    ("page", "question", "expected"),
    [
        (payment("268.50"), "错误码是多少？", ["E-1024"]),
        (payment("268.50"), "应付多少钱，付给哪家商户？", ["268.50", "晨光书店"]),
        (payment("268.50"), "为什么支付失败了？", ["余额不足"]),
        (payment("268.50"), "客服电话多少", ["400-123-4567"]),
        (payment("268.50"), "把图里的文字提取出来", ["支付失败", "880012345678"]),
        (CHART, "哪家最高，多少？", ["南店", "90"]),
        (CHART, "最少的是哪家", ["西店"]),
        (CHART, "东店比西店多多少", ["35", "70 - 35"]),
        (CHART, "三家一共多少人次", ["195"]),
        (CHART, "超过50的有哪些", ["东店", "南店", "2 项"]),
        (LAB, "白细胞是多少，偏高还是偏低？", ["12.6", "偏高"]),
        (LAB, "WBC正常吗", ["偏高"]),
        (LAB, "哪些指标偏低", ["血红蛋白", "130-175"]),
        (GOODS, "尺子的单价是多少", ["4.00"]),
        (GOODS, "铅笔买了多少？金额呢", ["12", "18.00"]),
        (HOMEWORK, "哪几题做错了？", ["第 2", "56"]),
        (HOMEWORK, "第2题的正确答案", ["56"]),
        (HOMEWORK, "得了多少分", ["80分"]),
        (HOMEWORK, "谁的作业", ["王小明"]),
        (CHAT, "瓷砖少了几箱", ["3箱"]),
        (CHAT, "少的瓷砖什么时候补？", ["11月18号"]),
        (CHAT, "尾款还差多少", ["8600"]),
        (CHAT, "师傅几点到", ["8点半"]),
        (CHAT, "对方说了什么", ["42箱", "11月18号"]),
    ],
)
def test_settled_by_the_text(page: Page, question: str, expected: list[str]) -> None:
    text = reply(question, page)
    assert [item for item in expected if item not in text] == [], text


@pytest.mark.parametrize(
    ("page", "question"),
    [
        (payment("10.00"), "收货地址在哪里"),
        (payment("10.00"), "会员等级是几级"),
        (CHART, "东店的柱子是什么颜色"),
        (LAB, "肌酐是多少"),
        (HOMEWORK, "第9题的正确答案"),
        (CHAT, "空调装在哪里"),
        (Page(1600, 1000), "水面上有什么"),
        (Page(48, 48, colours=(Colour("蓝色", (0, 0, 255), 0.8),)), "这个图标像什么"),
    ],
)
def test_declined_when_the_text_does_not_say(page: Page, question: str) -> None:
    assert reply(question, page) == ""


def test_a_lower_remainder_and_a_missing_answer() -> None:
    text = reply("检查一下哪些不对", HOMEWORK)
    assert "第3题" not in text
    assert "第4题：96÷4 没有写答案，正确答案是 24" in text


def test_two_pictures_are_told_apart_and_compared() -> None:
    one, two = payment("268.50", "A-1111"), payment("99.00", "B-2222")
    assert "B-2222" in reply("第二张图的错误码", one, two)
    assert "A-1111" not in reply("第二张图的错误码", one, two)
    both = reply("图1和图2的错误码分别是什么", one, two)
    assert "图1" in both and "A-1111" in both and "B-2222" in both
    assert "169.5" in reply("图1和图2的应付金额差多少", one, two)


def test_looks() -> None:
    page = Page(64, 32, colours=(Colour("蓝色", (22, 119, 255), 0.7), Colour("白色", (255, 255, 255), 0.3)))
    assert "蓝色" in reply("图标主色是什么", page)
    assert "64×32" in reply("图片多大", page)
    assert "没有" in reply("有没有文字", page)


def test_panels_by_number() -> None:
    frames = (Box(0, 60, 490, 490), Box(510, 60, 1000, 490))
    page = Page(1000, 500, (line("你吃了吗？", 60, 100), line("还没有。", 560, 100)), frames)
    assert reply("第二格说了什么", page) == "第2格：「还没有。」"
    assert reply("第五格说了什么", page) == ""


def test_a_doubtful_line_marks_the_finding() -> None:
    page = Page(600, 100, (Line("错误码：E-7", Box(10, 10, 300, 40), 0.5),))
    found = answer("错误码是多少", [Numbered(1, page)])
    assert found is not None and found.doubtful


def test_questions_are_taken_apart() -> None:
    question = ask("图1和图2里，快递公司和运单号是什么？", 2)
    assert question.pictures == (1, 2)
    assert [item.special for item in question.items if item.special] == [{"courier"}, {"tracking"}]
    assert measure("瓷砖少了几箱") == "箱"
    assert ask("和平路店多少", 1, ["和平路店"]).items[0].text == "和平路店多少"


@pytest.mark.parametrize(
    ("text", "value"), [("¥1,280.50", "1280.50"), ("2.6万+", "26000.0"), ("-¥30.00", "30.00"), ("无", None)]
)
def test_numbers(text: str, value: str | None) -> None:
    found = number(text)
    assert (None if found is None else str(found)) == value


def test_times() -> None:
    assert [match[0] for match in find("time", "下周二，也就是11月18号早上8点半")] == ["下周二", "11月18号早上8点半"]


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((22, 119, 255), "蓝色"),
        ((229, 57, 53), "红色"),
        ((255, 255, 255), "白色"),
        ((20, 20, 20), "黑色"),
        ((7, 193, 96), "绿色"),
    ],
)
def test_colour_names(rgb: tuple[int, int, int], name: str) -> None:
    assert name_colour(*rgb) == name


SUMS = st.recursive(
    st.integers(0, 999).map(str),
    lambda inner: st.builds("({}{}{})".format, inner, st.sampled_from("+-*/"), inner),
    max_leaves=6,
)


@given(SUMS)
def test_arithmetic_agrees_with_python(text: str) -> None:
    try:
        expected = eval(text, {"__builtins__": {}}, {}) if "/" not in text else _exact(text)
    except ZeroDivisionError:
        expected = None
    assert evaluate(text) == expected


def _exact(text: str) -> Fraction:
    import re

    return eval(re.sub(r"\d+", lambda m: f"F({m[0]})", text), {"__builtins__": {}}, {"F": Fraction})


@given(
    st.lists(
        st.tuples(st.integers(1, 99), st.sampled_from("+-×"), st.integers(1, 99), st.integers(-2, 2)),
        min_size=3,
        max_size=12,
    )
)
def test_exactly_the_wrong_sums_are_found(sums: list[tuple[int, str, int, int]]) -> None:
    lines: list[Line] = []
    wrong: list[int] = []
    for index, (a, sign, b, slip) in enumerate(sums, start=1):
        right = {"+": a + b, "-": a - b, "×": a * b}[sign]
        lines.append(line(f"{index}.{a}{sign}{b}={right + slip}", 50, 60 * index))
        wrong += [index] if slip else []
    assert [one.index for one in find_sums(lines) if not one.correct] == wrong


def test_the_report_holds_only_what_stands_there() -> None:
    page = payment("268.50")
    text = write([Numbered(1, page), Numbered(2, LAB)])
    assert text.startswith("# ") and "## 图1：支付失败" in text and "## 图2" in text
    assert "| 应付金额 | ¥268.50 |" in text
    assert "血红蛋白 HGB：118 g/L" in text
    assert text.rstrip().endswith(CLOSING)


def test_markdown_in_a_picture_stays_text() -> None:
    page = Page(600, 100, (line("[点我](http://evil) | <b>", 10, 10),))
    assert "\\[点我\\]" in write([Numbered(1, page)])


@pytest.mark.parametrize(
    "question", ["缺" * 20_000, "图1" * 5_000, "第" * 9_000 + "题", "1+" * 9_000 + "=", "（" * 9_000]
)
def test_an_endless_question_ends(question: str) -> None:
    started = time.perf_counter()
    reply(question, CHAT, HOMEWORK)
    assert time.perf_counter() - started < 2
