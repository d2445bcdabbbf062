"""The bot's own @ goes with the spaces that touch it; one stays between words (decision G5)."""

from __future__ import annotations

import time

import pytest

from bot.mentions import OWN, without_own


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("图里是什么", "图里是什么"),
        ("a  b", "a  b"),
        ("@", ""),
        ("@ 看图", "看图"),
        ("看图 @", "看图"),
        ("看@图", "看图"),
        ("看 @图", "看 图"),
        ("看@   图", "看 图"),
        ("看  @  @ 图", "看 图"),
        ("看 @@图", "看 图"),
        ("看 @\n图", "看\n图"),
        ("看\r\n@ 图", "看\r\n图"),
        ("看 @\n@ 图", "看\n图"),
        ("看\t@ 图", "看\t 图"),
        ("看\u3000@\u3000图", "看\u3000\u3000图"),
        ("@ 看  图 @ b", "看  图 b"),
    ],
)
def test_what_stays(text: str, left: str) -> None:
    assert without_own(text.replace("@", OWN)) == left


@pytest.mark.parametrize("text", [" " * 200_000, f"{OWN} " * 100_000, f"a{' ' * 1000}" * 200 + OWN])
def test_many_spaces_take_no_longer(text: str) -> None:
    begun = time.perf_counter()
    without_own(text)
    assert time.perf_counter() - begun < 1.0
