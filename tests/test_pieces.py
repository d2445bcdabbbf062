"""Long texts in pieces that a platform takes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.pieces import Unit, head, measure, split

_words = st.text(alphabet="一二三。！，\n ab😀é", max_size=900)
_units = st.sampled_from(("characters", "utf16", "bytes"))
_NUMBER = re.compile(r"\n（\d+/\d+）$")


def without_numbers(pieces: list[str]) -> str:
    return "".join(_NUMBER.sub("", piece) for piece in pieces) if len(pieces) > 1 else "".join(pieces)


@given(_words, st.integers(64, 200), _units)
def test_no_piece_is_too_long_and_nothing_but_space_is_lost(text: str, length: int, unit: Unit) -> None:
    pieces = split(text, length, unit)
    assert all(0 < measure(piece, unit) <= length for piece in pieces)
    assert "".join(without_numbers(pieces).split()) == "".join(text.split())


def test_text_is_cut_where_a_reader_would_and_numbered() -> None:
    first, second = "第一段。" * 10, "第二段。" * 10
    assert split(f"{first}\n\n{second}", 64) == [f"{first}\n（1/2）", f"{second}\n（2/2）"]
    assert split("短", 64) == ["短"]
    assert split(" \n", 64) == []


def test_a_code_block_that_is_cut_is_closed_and_opened_again() -> None:
    code = "\n".join(f"line_{number} = {number}" for number in range(20))
    pieces = split(f"看代码：\n```python\n{code}\n```\n完", 120)
    assert len(pieces) > 2
    for piece in pieces:
        assert len(re.findall(r"^```", piece, re.MULTILINE)) % 2 == 0
    assert all("```python" in piece for piece in pieces[:-1])


@pytest.mark.parametrize(("unit", "length"), [("characters", 3), ("utf16", 4), ("bytes", 9)])
def test_each_platform_counts_in_its_own_way(unit: Unit, length: int) -> None:
    assert measure("a😀é", unit) == {"characters": 3, "utf16": 4, "bytes": 7}[unit]
    assert head("图片😀识别", length, unit) == {"characters": "图片😀", "utf16": "图片😀", "bytes": "图片"}[unit]
