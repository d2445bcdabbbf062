"""The newest names stay, the oldest are forgotten."""

from __future__ import annotations

from bot.recent import Recent


def test_the_oldest_is_forgotten_first() -> None:
    recent = Recent[str](2)
    for name in ("a", "b", "a", "c"):
        recent.add(name)
    assert [name in recent for name in "abc"] == [False, True, True]


def test_nothing_is_no_name() -> None:
    recent = Recent[str](2)
    recent.add("")
    assert "" not in recent


def test_a_name_can_be_taken_back() -> None:
    recent = Recent[tuple[str, str]](2)
    recent.add(("chat", "1"))
    recent.remove(("chat", "1"))
    recent.remove(("chat", "2"))
    assert ("chat", "1") not in recent
