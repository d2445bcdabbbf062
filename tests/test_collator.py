"""Bursts become turns: per sender, in order, waiting only for a question that may come."""

from __future__ import annotations

from dataclasses import replace

from fakes import message_event
from hypothesis import given
from hypothesis import strategies as st

from bot.collator import Turn, Wait, collate, is_nudge
from bot.event import Event, MessageEvent, ScheduledEvent
from bot.message import Image
from bot.store import QueuedEvent


def queue(*events: Event, at: float = 0.0, attempts: int = 0) -> list[QueuedEvent]:
    return [QueuedEvent(number, attempts, at, event) for number, event in enumerate(events, 1)]


def picture(number: int, **fields: str) -> MessageEvent:
    return message_event(number, Image(f"p{number}"), **fields)


def test_text_is_answered_at_once() -> None:
    turn = collate(queue(message_event(1)), now=0, pictures_wait=3)
    assert isinstance(turn, Turn)
    assert turn.event == message_event(1)


def test_pictures_wait_for_their_question_and_become_one_turn() -> None:
    assert collate(queue(picture(1), picture(2)), now=1, pictures_wait=3) == Wait(2)
    turn = collate(queue(picture(1), picture(2), message_event(3, "哪张贵？")), now=1, pictures_wait=3)
    assert isinstance(turn, Turn)
    assert turn.seqs == (1, 2, 3)
    assert isinstance(turn.event, MessageEvent)
    assert turn.event.id == "e3"
    assert [image.source for image in turn.event.message.images] == ["p1", "p2"]
    assert turn.event.message.text == "哪张贵？"


def test_pictures_without_a_question_are_answered_after_the_window() -> None:
    turn = collate(queue(picture(1), picture(2)), now=3, pictures_wait=3)
    assert isinstance(turn, Turn)
    assert turn.seqs == (1, 2)


def test_a_turn_that_failed_before_does_not_wait_again() -> None:
    assert isinstance(collate(queue(picture(1), attempts=1), now=0, pictures_wait=3), Turn)


def test_a_clock_set_back_is_not_waited_for() -> None:
    assert isinstance(collate(queue(picture(1), at=1000), now=0, pictures_wait=3), Turn)


def test_two_members_of_a_group_do_not_mix() -> None:
    events = queue(
        picture(1, sender="a", chat_type="group"),
        message_event(2, "@看图 几点了", sender="b", chat_type="group"),
        message_event(3, "这是什么", sender="a", chat_type="group"),
    )
    turn = collate(events, now=0, pictures_wait=3)
    assert isinstance(turn, Turn)
    assert turn.seqs == (1, 3)
    rest = [one for one in events if one not in turn.queued]
    second = collate(rest, now=0, pictures_wait=3)
    assert isinstance(second, Turn)
    assert second.seqs == (2,)


def test_an_addressed_question_makes_the_whole_burst_addressed() -> None:
    turn = collate(queue(replace(picture(1), to_me=False), message_event(2, "看这张")), now=0, pictures_wait=3)
    assert isinstance(turn, Turn)
    assert isinstance(turn.event, MessageEvent)
    assert turn.event.to_me


def test_a_question_waits_a_little_for_the_picture_it_is_about() -> None:
    asked = message_event(1, "这张图里写了什么")
    assert collate(queue(asked), now=0, pictures_wait=3, questions_wait=1.5) == Wait(1.5)
    turn = collate(queue(asked, picture(2), picture(3), message_event(4)), now=2, pictures_wait=3, questions_wait=1.5)
    assert isinstance(turn, Turn)
    assert turn.seqs == (1, 2, 3)
    alone = collate(queue(asked), now=2, pictures_wait=3, questions_wait=1.5)
    assert isinstance(alone, Turn)


def test_other_questions_do_not_wait() -> None:
    assert isinstance(collate(queue(message_event(1, "多少钱")), now=0, pictures_wait=3, questions_wait=1.5), Turn)


def test_a_scheduled_event_is_a_turn_of_its_own() -> None:
    digest = ScheduledEvent("d@1", message_event(1).conversation, "d", 1)
    turn = collate(queue(digest, message_event(2)), now=0, pictures_wait=3)
    assert isinstance(turn, Turn)
    assert turn.seqs == (1,)


_events = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from(["picture", "text", "both"])), min_size=1, max_size=8
)


@given(_events)
def test_every_event_gets_into_exactly_one_turn_with_its_own_sender(shapes: list[tuple[str, str]]) -> None:
    parts = {"picture": (Image("p"),), "text": ("问",), "both": (Image("p"), "问")}
    left = queue(*(message_event(n, *parts[shape], sender=who) for n, (who, shape) in enumerate(shapes)))
    seen: list[int] = []
    while left:
        turn = collate(left, now=100, pictures_wait=3)
        assert isinstance(turn, Turn)
        senders = {one.event.sender.id for one in turn.queued if isinstance(one.event, MessageEvent)}
        assert len(senders) == 1
        seen.extend(turn.seqs)
        left = [one for one in left if one not in turn.queued]
    assert sorted(seen) == list(range(1, len(shapes) + 1))


def test_an_album_is_one_turn_whichever_picture_carries_the_words() -> None:
    first = replace(message_event(1, "哪张贵", Image("p1")), album="9")
    second, third = (replace(picture(number), album="9") for number in (2, 3))
    assert collate(queue(first), now=0.5, pictures_wait=3) == Wait(0.5)
    turn = collate(queue(first, second, third, message_event(4)), now=1, pictures_wait=3)
    assert isinstance(turn, Turn)
    assert turn.seqs == (1, 2, 3)
    assert collate(queue(second, third), now=1, pictures_wait=3) == Wait(2)
    turn = collate(queue(second, third, message_event(4, "哪张贵")), now=0, pictures_wait=3)
    assert isinstance(turn, Turn)
    assert turn.seqs == (1, 2, 3)


def test_a_nudge_says_nothing_but_that_somebody_waits() -> None:
    assert all(is_nudge(message_event(1, text)) for text in ("继续", "1", "？？", "好的", " 在吗 ", "…"))
    assert not any(is_nudge(message_event(1, text)) for text in ("继续写第二段", "12", "好看吗"))
    assert not is_nudge(picture(1))
