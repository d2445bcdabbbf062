"""What is shown of an answer before it is there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from fakes import FakeAdapter, FakeClock, FakeSurface, message_event

import bot.live
from bot.adapter import Limits, Rate
from bot.errors import ActionFailed, NetworkError
from bot.event import Reply
from bot.live import WAITING, LiveDraft
from bot.message import Text
from bot.pace import Pace
from bot.plan import plan

Wait = Callable[[Callable[[], bool]], Awaitable[None]]
STREAM = Limits(live="stream", live_interval=0.0)
NOTICE = Limits(live="notice")
(DONE,) = plan(Reply((Text("答完了"),)), message_event(1), Limits())


def begin(adapter: FakeAdapter) -> LiveDraft:
    draft = LiveDraft(adapter, message_event(1), Pace(FakeClock()), FakeClock())
    draft.start()
    return draft


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The notice does not wait three seconds."""
    monkeypatch.setattr(bot.live, "_NOTICE_AFTER", 0.0)


async def test_an_answer_grows_and_becomes_the_message(wait_until: Wait) -> None:
    adapter = FakeAdapter(limits=STREAM)
    draft = begin(adapter)
    await draft.update("答")
    (surface,) = adapter.surfaces
    await wait_until(lambda: surface.texts == ["答"])
    await draft.update("答完")
    await wait_until(lambda: surface.texts == ["答", "答完"])
    assert await draft.finish(DONE) == "shown"
    await draft.close()
    assert (surface.closed, surface.abandoned) == ("答完了", False)


async def test_a_quick_answer_shows_no_notice() -> None:
    adapter = FakeAdapter(limits=NOTICE)
    draft = begin(adapter)
    await draft.update("答")
    await asyncio.sleep(0)
    assert not draft.watched
    assert await draft.finish(DONE) is None
    assert adapter.surfaces[0].texts == []
    await draft.close()
    assert not adapter.surfaces[0].abandoned


@pytest.mark.usefixtures("at_once")
async def test_a_slow_one_shows_one_notice_that_the_answer_replaces(wait_until: Wait) -> None:
    adapter = FakeAdapter(limits=NOTICE)
    draft = begin(adapter)
    (surface,) = adapter.surfaces
    await wait_until(lambda: bool(surface.texts))
    await draft.update("不给看")
    await asyncio.sleep(0)
    assert await draft.finish(DONE) == "shown"
    assert (surface.texts, surface.closed) == ([WAITING], "答完了")


@pytest.mark.usefixtures("at_once")
async def test_where_no_answer_comes_the_notice_is_taken_away(wait_until: Wait) -> None:
    adapter = FakeAdapter(limits=STREAM)
    draft = begin(adapter)
    (surface,) = adapter.surfaces
    await wait_until(lambda: bool(surface.texts))
    await draft.close()
    assert surface.abandoned


@pytest.mark.parametrize("sent_maybe", [False, True])
async def test_a_surface_that_cannot_be_opened_costs_nothing(wait_until: Wait, sent_maybe: bool) -> None:
    adapter = FakeAdapter(limits=STREAM)
    adapter.surface_errors = [NetworkError("429", sent_maybe=sent_maybe)]
    draft = begin(adapter)
    (surface,) = adapter.surfaces
    await draft.update("答")
    await wait_until(lambda: surface.errors == [])
    # One that may be there after all is finished, so that no half answer is left behind.
    assert await draft.finish(DONE) == ("shown" if sent_maybe else None)


async def test_a_lost_update_is_made_up_by_the_next(wait_until: Wait) -> None:
    adapter = FakeAdapter(limits=STREAM)
    draft = begin(adapter)
    (surface,) = adapter.surfaces
    await draft.update("一")
    await wait_until(lambda: bool(surface.texts))
    surface.errors = [NetworkError("slow down", retry_after=0.0)]
    await draft.update("一二")
    await wait_until(lambda: surface.errors == [])
    await draft.update("一二三")
    await wait_until(lambda: surface.texts == ["一", "一二三"])
    await draft.close()


async def test_closing_is_tried_again_and_then_left_to_a_message(wait_until: Wait) -> None:
    adapter = FakeAdapter(limits=STREAM)
    draft = begin(adapter)
    (surface,) = adapter.surfaces
    await draft.update("一")
    await wait_until(lambda: bool(surface.texts))
    surface.errors = [NetworkError("reset", sent_maybe=True, retry_after=0.0) for _ in range(2)]
    assert await draft.finish(DONE) == "shown"

    draft = begin(adapter)
    surface = adapter.surfaces[1]
    await draft.update("一")
    await wait_until(lambda: bool(surface.texts))
    surface.errors = [NetworkError("reset", sent_maybe=True, retry_after=0.0) for _ in range(3)]
    with pytest.raises(NetworkError) as error:
        await draft.finish(DONE)
    assert not error.value.sent_maybe
    draft = begin(adapter)
    await draft.update("一")
    await wait_until(lambda: bool(adapter.surfaces[2].texts))
    adapter.surfaces[2].errors = [ActionFailed("the card was deleted")]
    with pytest.raises(ActionFailed):
        await draft.finish(DONE)


async def test_all_answers_share_the_accounts_pace(wait_until: Wait) -> None:
    clock = FakeClock()
    pace = Pace(clock)
    adapter = FakeAdapter(limits=Limits(live="stream", live_interval=0.0, app_rates=(Rate(1, 1000.0),)))
    first = LiveDraft(adapter, message_event(1), pace, clock)
    second = LiveDraft(adapter, message_event(2), pace, clock)
    for draft in (first, second):
        draft.start()
        await draft.update("一")
    await wait_until(lambda: bool(adapter.surfaces[0].texts))
    assert adapter.surfaces[1].texts == []
    await first.close()
    await second.close()


async def test_typing_is_shown_until_the_end(wait_until: Wait) -> None:
    adapter = FakeAdapter(limits=Limits(typing_every=0.001))
    draft = begin(adapter)
    await wait_until(lambda: adapter.typed > 2)
    assert await draft.finish(DONE) is None
    typed = adapter.typed
    await asyncio.sleep(0.01)
    assert adapter.typed == typed


async def test_where_closing_means_sending_a_doubtful_one_is_not_repeated(
    wait_until: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeSurface, "closes_by_sending", True)
    adapter = FakeAdapter(limits=STREAM)
    draft = begin(adapter)
    await draft.update("一")
    await wait_until(lambda: bool(adapter.surfaces[0].texts))
    adapter.surfaces[0].errors = [NetworkError("reset", sent_maybe=True)]
    with pytest.raises(NetworkError) as error:
        await draft.finish(DONE)
    assert error.value.sent_maybe
    assert adapter.surfaces[0].closed == ""
