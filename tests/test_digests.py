"""Digests come once, at their time, of the right span: whatever is restarted, doubled, late or set back."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from fakes import FakeAdapter, FakeClock, FakeEngine, message_event
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.adapter import Adapter, Limits, Window
from bot.agenda import Agenda
from bot.clock import Clock
from bot.config import BreakerConfig, MediaConfig, StoreConfig, WorkerConfig
from bot.digests import Digests
from bot.digests_config import DigestConfig, DigestsConfig
from bot.dispatcher import Dispatcher
from bot.engine.chain import EngineChain
from bot.errors import ActionFailed, ConfigError, EngineUnavailable, NetworkError, RequestRejected
from bot.event import Conversation, Reply, ScheduledEvent
from bot.handler import Context, Handlers
from bot.intake import Intake
from bot.media import MediaStore
from bot.message import Text
from bot.router import ModelRouter
from bot.store import Ordered, Store
from bot.subscription import Due, Subscription
from bot.turnstile import Turnstile
from bot.worker import Worker
from handlers import ask

Wait = Callable[[Callable[[], bool]], Awaitable[None]]
SHANGHAI = ZoneInfo("Asia/Shanghai")
GROUP = Conversation("fake", "default", "g1", "group")
DAY, HOUR = 86_400.0, 3_600.0


def at(day: int, hour: int, minute: int = 0) -> float:
    """A moment of November 2026 in Shanghai; days after the 30th are of December."""
    return datetime(2026, 11, 1, hour, minute, tzinfo=SHANGHAI).timestamp() + (day - 1) * DAY


def daily(**fields: Any) -> DigestConfig:
    return DigestConfig(**{"name": "daily", "schedule": "每天18:00", "conversation": "fake/group/g1", **fields})


class Office:
    """One process: digests and a worker on a store, with a fake platform. `dues`: what was to be written."""

    def __init__(self, store: Store, media: MediaStore, clock: Clock, *scheduled: DigestConfig, **config: Any) -> None:
        self.store, self.media, self.clock = store, media, clock
        self.config = DigestsConfig(scheduled=scheduled, **config)
        self.adapter = FakeAdapter()
        self.adapters: Mapping[str, Adapter] = {"fake": self.adapter}
        self.dues: list[Due] = []
        self.errors: list[Exception] = []
        self.gate: asyncio.Event | None = None
        self.engine = FakeEngine()
        table = Handlers()
        table.digest(self.write)
        chain = EngineChain(self.engine, None, None, BreakerConfig(), clock)
        self.dispatcher = Dispatcher([table, ask.on], ModelRouter(), chain, media.load)
        self.digests = Digests(store, self.config, self.adapters, self.dispatcher, clock)
        self.task: asyncio.Task[None] | None = None
        self.worker: Worker | None = None

    async def write(self, due: Due, context: Context) -> Reply | None:
        self.dues.append(due)
        if self.gate is not None:
            await self.gate.wait()
        if self.errors:
            raise self.errors.pop(0)
        late = "补 " if due.late else ""
        return None if due.subscription.silent else Reply((Text(f"{late}{due.subscription.name}"),), remember=False)

    async def look(self) -> None:
        """As at another time: what is planned is read anew."""
        await self.digests.prepare()
        await self.digests.look()

    async def work(self) -> None:
        """Answer and send all there is."""
        self.worker = Worker(
            self.store,
            self.adapters,
            Intake(self.store, self.media),
            self.dispatcher,
            WorkerConfig(retry_base=0.001, retry_max=0.002, attempts=2, collect_pictures=0.0),
            self.clock,
            digests=self.digests,
        )
        self.task = asyncio.create_task(self.worker.run())

    async def settle(self) -> None:
        """Until nothing is owed."""
        await self.work()
        async with asyncio.timeout(20):
            while (await self.store.counts())["pending"]:
                if isinstance(self.clock, FakeClock):
                    self.clock.move(0.01)
                self.store.wake.set()
                await asyncio.sleep(0.005)
        await self.stop()

    async def stop(self) -> None:
        if self.worker is not None and self.task is not None:
            await self.worker.stop(5)
            await self.task
            self.worker = self.task = None

    @property
    def texts(self) -> list[str]:
        return [delivery.text for delivery in self.adapter.sent]

    def spans(self) -> list[tuple[float, float]]:
        return [(due.since, due.until) for due in self.dues]


@pytest.fixture
async def media(tmp_path: Path) -> AsyncIterator[MediaStore]:
    opened = MediaStore(tmp_path / "media", MediaConfig())
    yield opened
    await opened.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(at(24, 12))


Open = Callable[..., Office]


@pytest.fixture
def office(store: Store, media: MediaStore, clock: FakeClock) -> Open:
    """Another process on the same store."""

    def opened(*scheduled: DigestConfig, **config: Any) -> Office:
        return Office(store, media, clock, *(scheduled or (daily(),)), **config)

    return opened


async def ordered(store: Store, **fields: Any) -> Ordered:
    """A subscription, as a person's yes makes it."""
    wanted = replace(Subscription("", GROUP, "group", "群日报", "每天 18:00", "Asia/Shanghai", owner="u1"), **fields)
    await store.subscriptions.propose("s", wanted, 0, 600)
    made = await store.subscriptions.confirm("s", f"yes {fields}")
    assert made is not None
    return made


# --------------------------------------------------------------------- firing


async def test_it_comes_at_its_time_and_sums_up_the_time_since_the_last(office: Open, clock: FakeClock) -> None:
    one = office(window=0.0)
    await one.look()
    clock.move(at(24, 17, 59) - clock.now())
    await one.look()
    assert (await one.store.counts())["pending"] == 0
    for day in (24, 25, 26):
        clock.move(at(day, 18) - clock.now())
        await one.look()
        await one.look()
        await one.settle()
    assert one.texts == ["daily"] * 3
    assert one.spans() == [(at(day - 1, 18), at(day, 18)) for day in (24, 25, 26)]
    assert [due.late for due in one.dues] == [False] * 3
    assert one.adapter.sent[0].conversation == GROUP


async def test_two_replicas_and_a_restart_at_the_very_minute_post_it_once(office: Open, clock: FakeClock) -> None:
    first, second = office(), office()
    await asyncio.gather(first.look(), second.look())
    clock.move(at(24, 18, 1) - clock.now())
    await asyncio.gather(first.look(), second.look(), office().look())
    await first.settle()
    await office().look()
    await asyncio.gather(second.look(), first.look())
    await second.settle()
    assert len(first.dues) + len(second.dues) == 1


async def test_a_process_that_died_between_inbox_and_note_posts_nothing_twice(
    office: Open, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = office()
    await one.look()
    clock.move(at(24, 18, 1) - clock.now())

    async def dies(*_: Any) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(one.store.subscriptions, "fired", dies)
        with pytest.raises(RuntimeError):
            await one.look()
    await one.settle()
    again = office()
    await again.look()
    await again.settle()
    assert (len(one.dues), len(again.dues)) == (1, 0)


async def test_a_clock_set_back_posts_nothing_twice_and_loses_nothing(office: Open, clock: FakeClock) -> None:
    one = office(daily(schedule="每小时"), window=0.0)
    await one.look()
    for moment in (at(24, 13), at(24, 14), at(24, 12, 30), at(24, 13), at(24, 13, 59), at(24, 14), at(24, 15)):
        clock.move(moment - clock.now())
        await one.look()
        await one.settle()
    assert [due.until for due in one.dues] == [at(24, 13), at(24, 14), at(24, 15)]


async def test_a_clock_that_was_years_ahead_does_not_silence_it(office: Open, clock: FakeClock) -> None:
    one = office(window=0.0)
    await one.look()
    clock.move(400 * DAY)
    await one.look()
    clock.move(-400 * DAY)
    later = office(window=0.0)
    await later.look()
    clock.move(at(24, 18) - clock.now())
    await later.look()
    await later.settle()
    assert [due.until for due in later.dues if due.until < at(30, 0)] == [at(24, 18)]


async def test_of_what_was_missed_the_last_is_made_up_and_says_so(office: Open, clock: FakeClock) -> None:
    await office().look()
    clock.move(at(27, 20) - clock.now())
    one = office()
    await one.look()
    await one.settle()
    assert one.texts == ["补 daily"]
    assert one.spans() == [(at(23, 18), at(27, 18))]
    clock.move(at(28, 18, 1) - clock.now())
    await one.look()
    await one.settle()
    assert one.texts[1:] == ["daily"]
    assert one.spans()[1:] == [(at(27, 18), at(28, 18))]


async def test_what_is_too_old_is_left_to_the_next_one(office: Open, clock: FakeClock) -> None:
    await office().look()
    clock.move(at(26, 1) - clock.now())
    one = office(grace=6 * HOUR)
    await one.look()
    assert (await one.store.counts())["pending"] == 0
    clock.move(at(26, 18, 1) - clock.now())
    await one.look()
    await one.settle()
    assert one.spans() == [(at(23, 18), at(26, 18))]
    assert one.texts == ["daily"]


async def test_what_was_accepted_and_then_lay_for_hours_is_late(office: Open, clock: FakeClock) -> None:
    one = office()
    await one.look()
    clock.move(at(24, 18, 1) - clock.now())
    await one.look()
    clock.move(3 * HOUR)
    await one.settle()
    assert one.texts == ["补 daily"]


async def test_another_schedule_counts_from_now_on(office: Open, clock: FakeClock) -> None:
    one = office()
    await one.look()
    clock.move(at(24, 19) - clock.now())
    await one.look()
    await one.settle()
    other = office(daily(schedule="0 18,19 * * *"))
    clock.move(600)
    await other.look()
    assert (await other.store.counts())["pending"] == 0
    clock.move(at(25, 18, 1) - clock.now())
    await other.look()
    await other.settle()
    assert other.spans() == [(at(24, 18), at(25, 18))]


async def test_a_full_store_is_tried_again(office: Open, clock: FakeClock, store: Store) -> None:
    one = office()
    await one.look()
    clock.move(at(24, 18, 1) - clock.now())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "_guard", type("Full", (), {"has_room": lambda self: False})())
        await one.look()
    assert (await store.counts())["pending"] == 0
    await one.look()
    await one.settle()
    assert one.texts == ["daily"]


def test_a_thousand_of_one_minute_are_spread_over_the_window(store: Store) -> None:
    agenda = Agenda(store.subscriptions, DigestsConfig(window=300.0), {})
    offsets = [agenda.offset(f"digest-{number}") for number in range(1000)]
    assert offsets == [agenda.offset(f"digest-{number}") for number in range(1000)]
    assert 0 <= min(offsets) <= max(offsets) < 300
    tenths = [sum(start <= offset < start + 30 for offset in offsets) for start in range(0, 300, 30)]
    assert min(tenths) > 60


async def test_the_offset_moves_the_start_and_not_the_span(office: Open, clock: FakeClock, store: Store) -> None:
    one = office(window=300.0)
    offset = Agenda(store.subscriptions, one.config, one.adapters).offset("daily")
    await one.look()
    clock.move(at(24, 18) + offset - 1 - clock.now())
    await one.look()
    assert (await store.counts())["pending"] == 0
    clock.move(1)
    await one.look()
    await one.settle()
    assert [(due.until, due.late) for due in one.dues] == [(at(24, 18), False)]


class Moving(Clock):
    """Goes on from where it is set."""

    _began = 0.0

    def set(self, now: float) -> None:
        self._began = now - time.monotonic()

    def now(self) -> float:
        return self._began + time.monotonic()


async def test_the_scheduler_wakes_for_it_and_for_what_is_ordered_meanwhile(
    store_config: StoreConfig, tmp_path: Path, media: MediaStore, wait_until: Wait
) -> None:
    clock = Moving()
    store = await Store.open(store_config, tmp_path, clock)
    one = Office(store, media, clock, daily(), window=0.0)
    clock.set(at(24, 18) - 0.6)
    await one.digests.prepare()
    await one.work()
    running = asyncio.create_task(one.digests.run())
    await asyncio.sleep(0.05)
    await ordered(store)
    await wait_until(lambda: len(one.dues) == 2)
    assert {due.until for due in one.dues} == {at(24, 18)}
    assert clock.now() >= at(24, 18)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    await one.stop()
    await store.close()


_steps = st.lists(
    st.one_of(
        st.tuples(st.just("time"), st.integers(-90, 400)),
        st.tuples(st.just("look"), st.integers(0, 1)),
        st.tuples(st.just("work"), st.integers(0, 1)),
        st.tuples(st.just("restart"), st.integers(0, 1)),
    ),
    max_size=25,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_steps)
async def test_whatever_happens_each_time_is_posted_once_and_spans_meet(
    steps: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Two replicas that look, work, restart; a clock that jumps (minutes)."""
    clock, folder = FakeClock(at(24, 12)), tmp_path_factory.mktemp("digests")
    store = await Store.open(StoreConfig(min_free_bytes=0), folder, clock)
    media = MediaStore(folder / "media", MediaConfig())
    dues: list[Due] = []

    def opened() -> Office:
        one = Office(store, media, clock, daily(schedule="每小时"), grace=1e9, window=600.0)
        one.dues = dues
        return one

    offices, looked = [opened(), opened()], at(24, 12)
    await offices[0].look()
    for what, number in [*steps, ("time", 120), ("look", 0), ("work", 0)]:
        if what == "time":
            clock.move(60.0 * number)
        elif what == "look":
            await offices[number].look()
            looked = max(looked, clock.now())
        elif what == "work":
            await offices[number].settle()
        else:
            offices[number] = opened()
    untils = [due.until for due in dues]
    assert untils == sorted(set(untils))
    spans = [(due.since, due.until) for due in dues]
    assert all(earlier[1] == later[0] for earlier, later in pairwise(spans))
    # The last hour that had come when somebody looked has been posted.
    assert not dues or untils[-1] > looked - HOUR - 600
    await store.close()
    await media.close()


def test_a_simulated_day_of_two_processes_that_are_killed() -> None:
    """The benchmark's short form: real processes on PostgreSQL, each digest once and of its span."""
    script = Path(__file__).parent.parent / "benchmarks" / "fortnight.py"
    done = subprocess.run([sys.executable, script, "--quick"], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


# ------------------------------------------------------------- orders and ends


async def test_an_order_of_the_very_minute_begins_there(office: Open, clock: FakeClock, store: Store) -> None:
    clock.move(at(24, 18) - clock.now())
    await ordered(store)
    one = office(daily(schedule="0 0 1 1 *"))
    for day in (24, 25):
        clock.move(at(day, 18, 2) - clock.now())
        await one.look()
        await one.settle()
    assert one.spans() == [(at(24, 18), at(25, 18))]


async def test_what_was_cancelled_after_it_fired_is_not_posted(office: Open, clock: FakeClock, store: Store) -> None:
    made = await ordered(store)
    one = office(daily(schedule="0 0 1 1 *"))
    await one.look()
    clock.move(at(24, 18, 1) - clock.now())
    await one.look()
    await store.subscriptions.cancel(made.id)
    await one.settle()
    assert one.dues == []
    clock.move(DAY)
    await one.look()
    assert (await store.counts())["pending"] == 0


async def test_an_order_of_just_before_is_not_lost_in_a_restart(office: Open, clock: FakeClock, store: Store) -> None:
    clock.move(at(24, 17, 59) - clock.now())
    await ordered(store)
    clock.move(600)
    one = office(daily(schedule="0 0 1 1 *"))
    await one.look()
    await one.settle()
    assert one.spans() == [(at(23, 18), at(24, 18))]


async def test_silence_also_ends_the_span(office: Open, clock: FakeClock) -> None:
    one = office(daily(silent=True))
    await one.look()
    for day in (24, 25):
        clock.move(at(day, 18, 1) - clock.now())
        await one.look()
        await one.settle()
    assert one.texts == []
    assert one.spans() == [(at(23, 18), at(24, 18)), (at(24, 18), at(25, 18))]


async def test_what_could_not_be_delivered_is_listed_told_and_belongs_to_the_next(
    office: Open, clock: FakeClock, store: Store
) -> None:
    made = await ordered(store)
    one = office(daily(schedule="0 0 1 1 *"))
    await one.look()
    await store.accept([message_event(1, chat="private-u1")])
    await one.settle()
    one.adapter.sent.clear()
    clock.move(at(24, 18, 1) - clock.now())
    await one.look()
    one.adapter.errors = [ActionFailed("the bot is not in the group", code="232011")]
    await one.settle()
    assert [
        (d.conversation.chat_id, "群日报" in d.text and "not in the group" in d.text) for d in one.adapter.sent
    ] == [("private-u1", True)]
    known = (await store.subscriptions.progress())[made.subscription.name]
    assert "not in the group" in known.error
    clock.move(DAY)
    await one.look()
    await one.settle()
    assert one.spans()[-1] == (at(23, 18), at(25, 18))
    assert (await store.subscriptions.progress())[made.subscription.name].error == ""


async def test_what_may_have_been_delivered_is_not_said_again(office: Open, clock: FakeClock, store: Store) -> None:
    one = office()
    await one.look()
    clock.move(at(24, 18, 1) - clock.now())
    await one.look()
    one.adapter.errors = [NetworkError("cut off", sent_maybe=True)]
    await one.settle()
    assert "cut off" in (await store.subscriptions.progress())["daily"].error
    clock.move(DAY)
    await one.look()
    await one.settle()
    assert one.spans() == [(at(23, 18), at(24, 18)), (at(24, 18), at(25, 18))]


@pytest.mark.parametrize(
    "errors", [[EngineUnavailable("away"), ZeroDivisionError("bug")], [RequestRejected("away: refused")]]
)
async def test_what_could_not_be_written_is_a_dead_letter_and_listed(
    office: Open, clock: FakeClock, store: Store, errors: list[Exception]
) -> None:
    one = office()
    await one.look()
    clock.move(at(24, 18, 1) - clock.now())
    await one.look()
    one.errors = list(errors)
    await one.settle()
    assert one.texts == []
    (letter,) = await store.dead_letters()
    assert (await store.subscriptions.progress())["daily"].error == letter.error
    clock.move(HOUR)
    assert await store.retry_dead(letter.kind, letter.id)
    await one.settle()
    assert one.texts == ["补 daily"]
    assert one.spans()[-1] == (at(23, 18), at(24, 18))


async def test_an_engine_that_comes_back_is_waited_for(office: Open, clock: FakeClock) -> None:
    one = office()
    await one.look()
    clock.move(at(24, 18, 1) - clock.now())
    await one.look()
    one.errors = [EngineUnavailable("away")]
    await one.settle()
    assert one.texts == ["daily"]


async def test_where_nothing_may_be_sent_unasked_it_comes_with_the_next_answer(
    office: Open, clock: FakeClock, store: Store, wait_until: Wait
) -> None:
    one = office()
    one.adapter.limits = Limits(window=Window(HOUR, 5), active=False)
    await one.look()
    clock.move(at(24, 18, 1) - clock.now())
    await one.look()
    await one.work()
    await wait_until(lambda: len(one.dues) == 1)
    asked = replace(message_event(1, "现在呢", chat="g1", chat_type="group"), timestamp=int(clock.now()))
    await store.accept([asked])
    await wait_until(lambda: len(one.texts) == 2)
    assert one.texts[0] == "daily"
    assert {delivery.reply_to for delivery in one.adapter.sent} == {"m1"}
    await one.stop()


# ------------------------------------------------------------------- crowding


async def test_questions_go_before_digests_that_wait(
    office: Open, clock: FakeClock, store: Store, wait_until: Wait
) -> None:
    names = [f"d{number}" for number in range(6)]
    one = office(*(daily(name=name, conversation=f"fake/group/{name}") for name in names), parallel=2)
    one.gate = asyncio.Event()
    await one.look()
    clock.move(at(24, 18, 1) - clock.now())
    await one.look()
    await one.work()
    await wait_until(lambda: len(one.dues) == 2)
    await store.accept([message_event(n, chat=name, chat_type="group", sender=f"u{n}") for n, name in enumerate(names)])
    await wait_until(lambda: len(one.texts) == 4)
    assert set(one.texts) == {"好的"}
    assert len(one.dues) == 2
    one.gate.set()

    def done() -> bool:
        clock.move(1)
        store.wake.set()
        return len(one.texts) == 12

    await wait_until(done)
    assert sorted(text for text in one.texts if text != "好的") == names
    await one.stop()


async def test_digests_of_one_conversation_keep_their_order(office: Open, clock: FakeClock) -> None:
    one = office(daily(schedule="每小时"), window=0.0, parallel=1)
    await one.look()
    for hour in range(13, 19):
        clock.move(at(24, hour) - clock.now())
        await one.look()
    await one.settle()
    assert [due.until for due in one.dues] == [at(24, hour) for hour in range(13, 19)]


def test_the_turnstile_lets_in_so_many_and_puts_off_the_more_that_wait(clock: FakeClock) -> None:
    gate = Turnstile(2, clock)
    with gate.passing("a"):
        assert gate.free
        with gate.passing("b"):
            assert not gate.free
            waits = [gate.put_off(f"c{number}") for number in range(100)]
            assert waits == sorted(waits)
            assert waits[0] < waits[-1] <= 60
            assert gate.put_off("c0") == waits[-1]
        assert gate.free


# -------------------------------------------------------------- configuration


@pytest.mark.parametrize(
    ("scheduled", "message"),
    [
        ([daily(schedule="有空的时候")], "没看懂"),
        ([daily(schedule="0 0 31 2 *")], "永远不会到"),
        ([daily(timezone="Mars/Olympus")], "Mars/Olympus"),
        ([daily(conversation="fake/g1")], "PLATFORM/group/ID"),
        ([daily(conversation="nowhere/group/g1")], "adapters.nowhere"),
        ([daily(kind="prompt")], "prompt is missing"),
        ([daily(kind="feeds")], "sources is missing"),
        ([daily(name="chat-1")], "chat-"),
        ([daily(), daily()], "same name"),
    ],
)
def test_what_can_never_come_is_refused(store: Store, scheduled: list[DigestConfig], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Agenda(store.subscriptions, DigestsConfig(scheduled=tuple(scheduled)), {"fake": FakeAdapter()})


def test_names_of_conversations_are_read_as_they_are_written(store: Store) -> None:
    config = DigestsConfig(scheduled=(daily(conversation="fake/group/a%2Fb%25", sources=("fake/private/x",)),))
    (one,) = Agenda(store.subscriptions, config, {"fake": FakeAdapter()}).configured
    assert one.conversation == Conversation("fake", "default", "a/b%", "group")
    assert one.sources == (Conversation("fake", "default", "x").key,)


async def test_an_unknown_name_is_ended_in_silence(office: Open, store: Store) -> None:
    one = office()
    await store.accept([ScheduledEvent("gone@2026-11-24T10:00Z", GROUP, "gone", int(at(24, 18)))])
    await one.settle()
    assert one.dues == [] and one.texts == []
