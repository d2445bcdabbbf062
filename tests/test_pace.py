"""Rates and windows, counted."""

from __future__ import annotations

from fakes import FakeClock

from bot.adapter import Limits, Rate, Window
from bot.pace import Pace


def test_a_conversation_and_the_account_have_rates_of_their_own() -> None:
    clock = FakeClock()
    pace = Pace(clock)
    limits = Limits(app_rates=(Rate(3, 10),), chat_rates=(Rate(1, 1), Rate(2, 100)))
    assert [pace.book("a", "c1", limits, 0) for _ in range(2)] == [0, 1]
    assert [pace.book("a", "c2", limits, 0), pace.book("a", "c3", limits, 0)] == [0, 0]
    assert pace.book("a", "c4", limits, 0) == 10
    assert pace.book("b", "c4", limits, 0) == 0
    clock.move(1)
    assert pace.book("a", "c1", limits, 0) == 9
    clock.move(9)
    assert pace.book("a", "c1", limits, 0) == 0
    assert pace.book("a", "c1", limits, 0) == 90


def test_booked_turns_follow_one_another() -> None:
    pace = Pace(FakeClock())
    limits = Limits(app_rates=(Rate(2, 1),))
    assert [pace.book("a", "", limits, 60) for _ in range(6)] == [0, 0, 1, 1, 2, 2]
    assert pace.book("a", "", limits, 2) == 3
    assert pace.book("a", "", limits, 3) == 3


def test_a_question_gets_so_many_answers() -> None:
    pace = Pace(FakeClock())
    window = Window(300, 2)
    for expected in (True, True, False):
        assert pace.answers_left("a", "q1", window) is expected
        pace.count_answer("a", "q1")
    assert pace.answers_left("a", "q2", window)
    assert pace.answers_left("a", "q1", Window(300))
