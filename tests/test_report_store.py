"""Reports in the store, on SQLite and PostgreSQL: unfinished ones go on, finished ones have a page until it ends."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest
from fakes import FakeClock, message_event

from bot.config import StoreConfig
from bot.errors import LeaseLost
from bot.event import SessionChange
from bot.message import Image, assistant, user
from bot.report import Finding, Report, Section, new_id
from bot.report_plan import Outline, Part
from bot.store import Store, TurnRecord

SESSION = message_event(1).session()
PICTURE = Image("", "ab" * 32, "image/png", 10, 20, 1)
OUTLINE = Outline("巡检", (Part("概况", 100, (1,), "要点"), Part("建议", 200)), "巡检报告", False, 255, 300, 345)
REPORT = Report(
    new_id(),
    "巡检 \U0001f600",
    (Section("概况", "温度 80 度[图1]\n\n![图1](图1)"), Section("", "完")),
    {1: PICTURE},
    (Finding(0, 3, 5, 1, (1.0, 2.0, 3.5, 4.0)), Finding(1, 0, 1)),
    "仅供参考",
    "巡检报告",
)


async def turn(store: Store, number: int, report: Report | None = None, *, chat: str = "c1", **fields: object) -> None:
    """Accept an event and end its turn."""
    await store.accept([message_event(number, chat=chat)])
    (claim,) = await store.claim(10, 30)
    record = TurnRecord(
        (claim.events[0].seq,), message_event(number, chat=chat).session(), user("写"), assistant("好"), report=report
    )
    await store.complete(claim, dataclasses.replace(record, **fields))  # type: ignore[arg-type]


async def test_a_page_shows_what_was_written(store: Store, clock: FakeClock) -> None:
    await turn(store, 1, REPORT)
    shown = await store.reports.page(REPORT.id)
    assert shown is not None
    assert dataclasses.replace(shown, created_at=0.0, expires_at=0.0) == REPORT
    assert shown.created_at == clock.now()
    assert shown.expires_at == clock.now() + 30 * 86_400
    latest = await store.reports.latest(SESSION)
    assert latest is not None
    assert latest.report == shown
    assert await store.reports.page(new_id()) is None
    assert await store.reports.latest("another") is None


async def test_a_report_is_there_with_its_turn_or_not_at_all(store: Store) -> None:
    await store.accept([message_event(1)])
    (claim,) = await store.claim(10, 30)
    stale = dataclasses.replace(claim, fence=claim.fence - 1)
    record = TurnRecord((claim.events[0].seq,), SESSION, report=REPORT)
    with pytest.raises(LeaseLost):
        await store.complete(stale, record)
    assert await store.reports.page(REPORT.id) is None
    await store.complete(claim, record)
    assert await store.reports.page(REPORT.id) is not None


async def test_a_page_shows_the_newest_text_and_counts_from_it(store: Store, clock: FakeClock) -> None:
    await turn(store, 1, REPORT)
    begun = clock.now()
    clock.move(86_400)
    first = await store.reports.page(REPORT.id)
    assert first is not None
    await turn(store, 2, dataclasses.replace(first, title="新标题"))
    second = await store.reports.page(REPORT.id)
    assert second is not None
    assert (second.title, second.created_at) == ("新标题", begun)
    assert second.expires_at == first.expires_at + 86_400


async def test_a_page_ends(store: Store, clock: FakeClock) -> None:
    store.reports.keep_days = 2
    await turn(store, 1, REPORT, images=(PICTURE,))
    clock.move(2 * 86_400 + 1)
    assert await store.reports.page(REPORT.id) is None
    assert await store.reports.latest(SESSION) is None
    assert await store.expire(1, 10) == [PICTURE.sha256]


async def test_pictures_of_a_page_stay_as_long_as_it(store: Store, clock: FakeClock) -> None:
    await turn(store, 1, REPORT, images=(PICTURE,))
    clock.move(20 * 86_400)
    assert await store.expire(10, 10) == []
    clock.move(11 * 86_400)
    assert await store.expire(10, 10) == [PICTURE.sha256]


async def test_a_withdrawn_report_is_gone_for_good(store: Store) -> None:
    await turn(store, 1, REPORT)
    await turn(store, 2, chat="other", change=SessionChange(withdraw=REPORT.id))
    assert await store.reports.page(REPORT.id) is not None, "another session's word does not count"
    await turn(store, 3, change=SessionChange(withdraw=REPORT.id))
    assert await store.reports.page(REPORT.id) is None
    latest = await store.reports.latest(SESSION)
    assert latest is not None
    assert latest.report is None
    await turn(store, 4, dataclasses.replace(REPORT, title="晚到的修改"))
    assert await store.reports.page(REPORT.id) is None


async def test_another_session_cannot_replace_a_page(store: Store) -> None:
    await turn(store, 1, REPORT)
    await turn(store, 2, dataclasses.replace(REPORT, title="别人的"), chat="other")
    shown = await store.reports.page(REPORT.id)
    assert shown is not None
    assert shown.title == REPORT.title


async def test_forgetting_takes_reports_drafts_and_pictures(store: Store) -> None:
    await turn(store, 1, REPORT, images=(PICTURE,))
    await store.reports.begin("k", SESSION, OUTLINE)
    await store.reports.keep_section("k", 0, Section("概况", "文"))
    await store.accept([message_event(2)])
    (claim,) = await store.claim(10, 30)
    record = TurnRecord((claim.events[0].seq,), SESSION, change=SessionChange(forget="everything"))
    done = await store.complete(claim, record)
    assert done.orphans == (PICTURE.sha256,)
    assert await store.reports.page(REPORT.id) is None
    assert await store.reports.unfinished("k") is None


async def test_a_new_topic_keeps_the_page(store: Store) -> None:
    await turn(store, 1, REPORT)
    await turn(store, 2, change=SessionChange(forget="history"))
    assert await store.reports.page(REPORT.id) is not None


async def test_an_unfinished_report_is_begun_once(store: Store) -> None:
    other = dataclasses.replace(OUTLINE, title="另一个提纲")
    begun = await asyncio.gather(*(store.reports.begin("k", SESSION, one) for one in (OUTLINE, other, OUTLINE)))
    assert len({(one.report_id, one.outline) for one in begun}) == 1
    assert len(begun[0].report_id) >= 22
    await store.reports.keep_section("k", 0, Section("概况", "第一次"))
    await store.reports.keep_section("k", 0, Section("概况", "第二次"))
    await store.reports.keep_section("k", 1, Section("建议", "完"))
    again = await store.reports.begin("k", SESSION, other)
    assert again == dataclasses.replace(begun[0], sections=(Section("概况", "第一次"), Section("建议", "完")))
    assert await store.reports.unfinished("k") == again


async def test_publishing_ends_what_was_unfinished(store: Store) -> None:
    begun = await store.reports.begin("k", SESSION, OUTLINE)
    other = await store.reports.begin("l", SESSION, OUTLINE)
    await store.reports.keep_section("k", 0, Section("概况", "文"))
    await turn(store, 1, dataclasses.replace(REPORT, id=begun.report_id))
    assert await store.reports.unfinished("k") is None
    assert await store.reports.unfinished("l") == other


async def test_what_was_never_finished_is_dropped_after_a_week(store: Store, clock: FakeClock) -> None:
    await store.reports.begin("k", SESSION, OUTLINE)
    clock.move(6 * 86_400)
    await store.expire(90, 500)
    assert await store.reports.unfinished("k") is not None
    clock.move(2 * 86_400)
    await store.expire(90, 500)
    assert await store.reports.unfinished("k") is None


async def test_an_unfinished_report_outlives_the_process(
    store_config: StoreConfig, tmp_path: Path, clock: FakeClock
) -> None:
    first = await Store.open(store_config, tmp_path, clock)
    begun = await first.reports.begin("k", SESSION, OUTLINE)
    await first.reports.keep_section("k", 0, Section("概况", "文"))
    await first.close()
    second = await Store.open(store_config, tmp_path, clock)
    try:
        kept = await second.reports.unfinished("k")
        assert kept == dataclasses.replace(begun, sections=(Section("概况", "文"),))
    finally:
        await second.close()
