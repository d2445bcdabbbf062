"""Geometry of the built-in engine: tiles, rows, paragraphs, panels, tables, labels. No OCR runs here."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from bot.engine.reader.contents import contents
from bot.engine.reader.layout import blocks, panels, reading_order, rows
from bot.engine.reader.page import Box, Line, Page
from bot.engine.reader.pairs import split_pairs
from bot.engine.reader.tiles import OVERLAP, TILE, cut, merge, scale_for


def line(text: str, left: int, top: int, height: int = 30, confidence: float = 0.99) -> Line:
    """A line as wide as its text would be."""
    width = sum(height if ord(char) > 255 else height // 2 for char in text)
    return Line(text, Box(left, top, left + width, top + height), confidence)


@given(st.integers(1, 30_000), st.integers(1, 30_000))
def test_tiles_cover_the_picture(width: int, height: int) -> None:
    tiles = cut(width, height)
    assert Box.around(tiles) == Box(0, 0, width, height)
    assert max(max(tile.width, tile.height) for tile in tiles) <= TILE * 1.25
    columns = sorted({(tile.left, tile.right) for tile in tiles})
    assert all(left[1] - right[0] >= OVERLAP for left, right in pairwise(columns))


@given(st.integers(8, 12_000), st.integers(8, 12_000))
def test_scaling_bounds_the_work(width: int, height: int) -> None:
    factor = scale_for(width, height)
    assert 0 < factor <= 4
    assert len(cut(max(1, round(width * factor)), max(1, round(height * factor)))) <= 12


def test_a_long_screenshot_keeps_its_size() -> None:
    assert scale_for(1080, 6000) == 1.0
    assert scale_for(48, 48) == 4.0


@settings(max_examples=60)
@given(st.lists(st.integers(20, 60), min_size=5, max_size=60), st.integers(2400, 9000))
def test_lines_read_in_two_tiles_come_out_once(heights: list[int], length: int) -> None:
    """Draw lines down a strip, let every tile report what it sees (cut lines cut), merge: the lines again."""
    whole: list[Line] = []
    top = 5
    for index, height in enumerate(heights):
        if top + height < length:
            whole.append(Line(f"line {index}", Box(40, top, 600, top + height)))
        top += height + 90
    seen: list[tuple[Box, list[Line]]] = []
    for tile in cut(700, length):
        parts = [(one, min(one.box.bottom, tile.bottom) - max(one.box.top, tile.top)) for one in whole]
        found = [
            Line(
                one.text if shown == one.box.height else "torn",
                Box(40, max(one.box.top, tile.top), 600, min(one.box.bottom, tile.bottom)),
            )
            for one, shown in parts
            if shown > 6
        ]
        seen.append((tile, found))
    merged = sorted(merge(seen), key=lambda one: one.box.top)
    assert merged == whole


def test_rows_follow_height_not_order() -> None:
    page = [line("金额", 60, 103), line("¥12.00", 800, 96, 44), line("编号", 60, 200)]
    assert [[one.text for one in row] for row in rows(page)] == [["金额", "¥12.00"], ["编号"]]


def test_panels_are_read_one_by_one() -> None:
    frames = [Box(0, 0, 490, 490), Box(510, 0, 1000, 490), Box(0, 510, 490, 1000), Box(510, 510, 1000, 1000)]
    page = [
        line("一上", 50, 60),
        line("二上", 560, 50),
        line("一下", 50, 300),
        line("二下", 560, 290),
        line("三", 50, 600),
    ]
    assert panels(frames) == tuple(frames)
    assert [one.text for one in reading_order(page, frames)] == ["一上", "一下", "二上", "二下", "三"]


def test_wrapped_lines_are_one_paragraph_and_cells_are_not() -> None:
    prose = [line("这一段文字很长所以在行末被折断成了两行来显示并且", 50, 100), line("第二行在这里结束。", 50, 145)]
    cells = [line("姓名", 50, 300), line("年龄", 400, 300), line("科室", 700, 300), line("张三", 50, 345)]
    assert len(blocks(prose)) == 1
    assert blocks(prose)[0].text == prose[0].text + prose[1].text
    assert len(blocks(cells)) == 4


def test_pairs_of_one_line() -> None:
    assert split_pairs("检验者：何敏 审核者：陶正") == [("检验者", "何敏"), ("审核者", "陶正")]
    assert split_pairs("22:08") == []
    assert split_pairs("网址 https://example.com") == []


def test_a_repeated_key_belongs_to_the_party_above() -> None:
    page = Page(
        1400,
        400,
        (
            line("购买方：甲公司", 60, 100),
            line("销售方：乙商行", 760, 100),
            line("税号：911A", 60, 150),
            line("税号：922B", 760, 150),
        ),
    )
    found = {(fact.context, fact.value) for fact in contents(page).facts if fact.key == "税号"}
    assert found == {("购买方", "911A"), ("销售方", "922B")}


def test_a_table_gives_cells_by_row_and_column() -> None:
    cells = [["名称", "数量", "单价"], ["铅笔", "12", "1.50"], ["橡皮", "3", "2.00"]]
    lines = tuple(line(text, 60 + 400 * x, 100 + 60 * y) for y, row in enumerate(cells) for x, text in enumerate(row))
    (table,) = contents(Page(1300, 400, lines)).tables
    assert table.header == ("名称", "数量", "单价")
    assert table.rows == (("铅笔", "12", "1.50"), ("橡皮", "3", "2.00"))


def test_numbers_over_labels_are_bars_and_ticks_are_not() -> None:
    ticks = [line(str(100 - 50 * i), 40, 100 + 200 * i, 20) for i in range(3)]
    values = [line("70", 210, 200, 20), line("35", 410, 330, 20), line("90", 610, 120, 20)]
    names = [line(name, 200 + 200 * i, 540, 20) for i, name in enumerate(("甲店", "乙店", "丙店"))]
    found = contents(Page(900, 600, tuple(ticks + values + names))).labelled
    assert [(one.label, one.text) for one in found] == [("甲店", "70"), ("乙店", "35"), ("丙店", "90")]
