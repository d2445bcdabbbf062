"""Loops are noticed soon, and what only looks like one is let through."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.engine.local.repetition import LoopDetector


def noticed(tokens: list[int]) -> int | None:
    """After how many tokens."""
    detector = LoopDetector()
    return next((number for number, token in enumerate(tokens, 1) if detector.add(token)), None)


@given(st.lists(st.integers(0, 9), max_size=40), st.lists(st.integers(0, 5000), min_size=1, max_size=400))
def test_a_piece_said_again_and_again_is_noticed(before: list[int], piece: list[int]) -> None:
    found = noticed([*before, *(piece * (200 // len(piece) + 7))])
    assert found is not None
    assert found <= len(before) + max(120, 5 * len(piece)) + 40


@pytest.mark.parametrize("length", range(1, 300, 13))
def test_a_piece_said_twice_is_not(length: int) -> None:
    dice = random.Random(length)
    piece = [dice.randrange(5000) for _ in range(length)]
    assert noticed([*piece, *piece]) is None


@pytest.mark.parametrize(
    "text",
    [
        "-" * 80,
        "哈" * 60,
        "".join(f"| 第{row}行 | {row * 7 % 13} 元 | 已付 |\n" for row in range(200)),
        "".join(f"{number}. 检查项目 {number}：正常\n" for number in range(300)),
        "、".join(str(number) for number in range(800)),
    ],
)
def test_rulers_tables_and_lists_are_let_through(text: str) -> None:
    assert noticed([ord(letter) for letter in text]) is None


def test_rows_that_never_change_are_a_loop() -> None:
    assert noticed([ord(letter) for letter in "| 甲 | 乙 | 丙 |\n" * 40]) is not None
