"""The pure parts of reports: plans, lengths, pictures in the text, what a later message means."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.report import Report, Section, parse
from bot.report_plan import MOST_PARTS, Outline, Part, balance, read
from handlers.report_length import about, count, wished
from handlers.report_pictures import cleaned, mark, place, placed
from handlers.report_revision import find, wanted_format

WORDS = st.text("文字，。图[]()！1 \n*", max_size=60)
PIECES = st.lists(
    st.one_of(
        WORDS,
        st.integers(1, 12).map(lambda n: f"[图{n}]"),
        st.integers(1, 12).map(lambda n: f"\n\n{mark(n)}\n\n"),
        st.integers(1, 12).map(lambda n: f"![现场](https://a.example/{n}.png)"),
        st.lists(st.integers(1, 12), min_size=1, max_size=3).map(lambda ns: f"【{'、'.join(f'图{n}' for n in ns)}】"),
    ),
    max_size=8,
).map("".join)
TITLES = st.text("标题甲乙丙", min_size=1, max_size=8)
SECTIONS = st.lists(st.builds(Section, TITLES, PIECES), min_size=1, max_size=5)
PARTS = st.lists(
    st.builds(Part, TITLES, st.integers(0, 3000), st.lists(st.integers(1, 9), max_size=4).map(tuple)), max_size=20
)


@given(SECTIONS, st.sets(st.integers(1, 9), max_size=6))
def test_every_picture_is_placed_once_and_none_is_invented(sections: list[Section], known: set[int]) -> None:
    done = place(sections, known)
    assert [one.title for one in done] == [one.title for one in sections]
    assert sorted(number for one in done for number in placed(one.text)) == sorted(known)
    text = "\n".join(one.text for one in done)
    assert {int(n) for n in re.findall(r"\[图(\d+)\]", text)} <= known
    assert "a.example" not in text
    assert place(done, known) == done, "doing it again changes nothing"


@given(st.lists(st.tuples(TITLES, st.text("正文，。", min_size=1, max_size=40)), min_size=1, max_size=6), TITLES)
def test_a_report_is_its_sections_in_order(pieces: list[tuple[str, str]], title: str) -> None:
    sections = tuple(Section(*piece) for piece in pieces)
    assert parse(Report("", title, sections).markdown) == (title, sections)


@given(PARTS, st.integers(1, 12_000), st.sets(st.integers(1, 9)))
def test_a_plan_adds_up_and_has_a_place_for_every_picture(parts: list[Part], length: int, pictures: set[int]) -> None:
    done = balance(parts, length, pictures)
    assert 1 <= len(done) <= MOST_PARTS
    assert [one.title for one in done] == [one.title for one in parts[: len(done)]] or not parts
    assert sum(one.length for one in done) in range(length, length + len(done) + 1)
    assert sorted(number for one in done for number in one.pictures) == sorted(pictures)


@given(PARTS.filter(bool), st.integers(400, 12_000))
def test_a_plan_is_read_as_it_is_shown(parts: list[Part], length: int) -> None:
    outline = Outline("标题", balance(parts, length, range(1, 4)))
    title, found = read(outline.text)
    assert title == outline.title
    assert [(one.title, one.length, one.pictures) for one in found] == [
        (one.title, one.length, one.pictures) for one in outline.parts if one.length >= 10
    ] or any(one.length < 10 for one in outline.parts)


@given(st.text(max_size=400))
def test_no_text_is_too_odd_for_a_plan(text: str) -> None:
    title, parts = read(text)
    assert len(title) <= 40
    assert len(parts) <= MOST_PARTS


@pytest.mark.parametrize(
    ("text", "characters"),
    [
        ("", 0),
        ("设备正常。", 5),
        ("# 标题\n\n**设备**正常 OK", 7),
        ("图1 有 12.6 元", 5),
        ("3.5-9.5 和 10%", 3),
        ("![图1](图1)\n\n看[图1]", 3),
        ("| 甲 | 乙 |\n| --- | --- |\n| 1 | 2 |", 4),
    ],
)
def test_characters_are_counted_as_people_count_them(text: str, characters: int) -> None:
    assert count(text) == characters


def test_what_names_no_length_wishes_none() -> None:
    for text in ("写一篇新闻稿", "第3页的字", "字母表", "10分钟前的会议", "有几个字看不清"):
        assert wished(text) is None or text == "有几个字看不清"
    assert wished("写满两页A4纸") == about(1600)
    assert wished("写一段十分钟的演讲稿") == about(2200)
    assert wished("写一百万字") == wished("写12000字")


def test_asides_about_unknown_pictures_go_and_known_ones_stay() -> None:
    assert cleaned("温度（见图3）升高，如图1所示，见[图2、图3]。", {1, 2}) == "温度升高，如图1所示，见[图2]。"


WANTS = {
    "file": "发我word版/要PDF/发markdown/给我一份pdf/导出成 Word/docx/能转成PDF吗",
    "title": "标题换一个/换个标题/标题改短一点/重新起个标题",
    "section": "第三段加上图2的数据/第2节写详细点/结尾改一下/最后一段删掉/开头短一些",
    "all": "改短一点/再写长一点/换成新闻口吻/写得正式一些/压缩到500字/控制在800字以内/精简一下/改成小红书笔记/润色一下/"
    "太长了，短一点/加上图2的金额/不要提公司名字/用第一人称改写",
}
NO_CHANGE = (
    "图1多少钱|怎么把pdf转成word|再写一篇新闻稿|错误码是多少|/快 改短一点|好的|谢谢|今天天气怎么样|这张图是什么意思|"
    "帮我写一份会议纪要|第三段讲了什么|为什么标题这么短|把这张图翻译成英文|短信发我|详细介绍一下图2|写巡检报告|压缩图片|"
)


@pytest.mark.parametrize(("text", "kind"), [(text, kind) for kind, texts in WANTS.items() for text in texts.split("/")])
def test_what_a_later_message_wants(text: str, kind: str) -> None:
    found = find(text)
    assert found is not None
    assert found.kind == kind


@pytest.mark.parametrize("text", NO_CHANGE.split("|"))
def test_what_is_no_change(text: str) -> None:
    assert find(text) is None


def test_sections_are_known_by_number_place_and_title() -> None:
    report = Report("", "巡检", (Section("概况", "甲"), Section("处理建议", "乙")))
    numbers = [find(text, report) for text in ("第二节改一下", "最后一段改一下", "处理建议写详细点", "第12段改一下")]
    assert [one.section for one in numbers if one] == [1, -1, 1, 11]
    assert [one.scale for one in map(find, ("改短一点", "再长一点", "换成新闻口吻")) if one] == [0.6, 1.6, 1.0]


def test_a_file_may_be_asked_for_together_with_a_report() -> None:
    assert wanted_format("写一份巡检报告，发我word版") == "docx"
    assert wanted_format("写一份关于密码word的报告") is None
