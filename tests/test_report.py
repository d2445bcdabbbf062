"""Reports: planned, written to their length, resumed after a crash, changed in later turns, delivered."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from editor import Editor, text_of
from fakes import FakeAdapter, FakeEngine, message_event
from pictures import drawing, encoded

from bot.adapter import Limits
from bot.clock import Clock
from bot.config import BreakerConfig, MediaConfig, StoreConfig, WorkerConfig
from bot.dispatcher import Dispatcher
from bot.drafts import Draft
from bot.engine.base import Completion, GenerateRequest
from bot.engine.chain import EngineChain
from bot.engine.reader.page import Box, Line
from bot.errors import EngineUnavailable
from bot.event import Reply
from bot.intake import Intake
from bot.media import MediaStore
from bot.message import Image
from bot.report import Report, parse
from bot.router import ModelRouter
from bot.store import Store
from bot.worker import Worker
from handlers import ask, commands
from handlers.report_length import count
from handlers.report_notice import MEDICAL
from handlers.report_pictures import placed

Wait = Callable[[Callable[[], bool]], Awaitable[None]]
URL = "https://kantu.example.com"
FILES = Limits(files=True)


class Desk:
    """A worker with a fake platform around a real store, and an engine that writes."""

    def __init__(self, store: Store, media: MediaStore, engine: FakeEngine, wait: Wait, **settings: Any) -> None:
        self.store, self.media, self.engine, self.wait = store, media, engine, wait
        self.adapter = FakeAdapter(limits=settings.pop("limits", None))
        self.lines: dict[str, tuple[Line, ...]] = {}
        reader = settings.pop("reader", None)
        chain = EngineChain(engine, None, reader, BreakerConfig(failures=10_000), Clock())
        dispatcher = Dispatcher(
            [commands.on, ask.on],
            ModelRouter(),
            chain,
            media.load,
            reports=store.reports,
            report_url=settings.pop("report_url", URL),
            read_picture=self._read,
        )
        config = WorkerConfig(retry_base=0.01, retry_max=0.02, collect_pictures=0.0, **settings)
        self.worker = Worker(store, {"fake": self.adapter}, Intake(store, media), dispatcher, config, Clock())
        self.task = asyncio.create_task(self.worker.run())
        self.number = 0

    async def _read(self, sha256: str) -> tuple[Line, ...]:
        return self.lines.get(sha256, ())

    async def say(self, *parts: Any) -> str:
        """Send a message; the text of the first delivery that answers it."""
        self.number += 1
        before = len(self.adapter.sent)
        await self.store.accept([message_event(self.number, *parts)])
        await self.wait(lambda: any(one.reply_to == f"m{self.number}" for one in self.adapter.sent[before:]))
        return next(one.text for one in self.adapter.sent[before:] if one.reply_to == f"m{self.number}")

    async def picture(self, name: str, height: int = 48) -> Image:
        self.adapter.pictures[name] = encoded(drawing(64, height))
        return Image(name)

    async def latest(self) -> Report:
        found = await self.store.reports.latest(message_event(1).session())
        assert found is not None
        assert found.report is not None
        return found.report

    async def stop(self, seconds: float = 5) -> None:
        await self.worker.stop(seconds)
        await self.task


@pytest.fixture
async def real_store(store_config: StoreConfig, tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(store_config, tmp_path, Clock())
    yield opened
    await opened.close()


@pytest.fixture
async def media(tmp_path: Path) -> AsyncIterator[MediaStore]:
    opened = MediaStore(tmp_path / "media", MediaConfig())
    yield opened
    await opened.close()


@pytest.fixture
async def open_desk(real_store: Store, media: MediaStore, wait_until: Wait) -> AsyncIterator[Callable[..., Desk]]:
    opened: list[Desk] = []

    def make(engine: FakeEngine | None = None, **settings: Any) -> Desk:
        opened.append(Desk(real_store, media, engine or Editor(), wait_until, **settings))
        return opened[-1]

    yield make
    for one in opened:
        await one.stop()


# --------------------------------------------------------------------- length


@pytest.mark.parametrize("factor", [0.5, 0.7, 0.9, 1.0, 1.2, 1.6, 2.0])
@pytest.mark.parametrize("wish", [200, 800, 2000, 5000])
@pytest.mark.parametrize("habit", ["always", "first"])
async def test_the_length_asked_for_is_met(factor: float, wish: int, habit: str) -> None:
    engine = Editor(first=factor, corrected=None if habit == "always" else 1.0)
    reply = await alone(engine, f"/报告 总结一下设备情况，写{wish}字左右")
    assert abs(count(reply.text) - wish) <= 0.15 * wish
    assert "要求约" not in reply.footer


@pytest.mark.parametrize(
    ("words", "least", "most"),
    [
        ("不超过500字", 350, 500),
        ("1500字以内", 1050, 1500),
        ("至少1000字", 1000, 1150),
        ("800到1000字", 800, 1000),
        ("一千五百字", 1275, 1725),
        ("两千字左右", 1700, 2300),
        ("1.2千字", 1020, 1380),
    ],
)
@pytest.mark.parametrize("factor", [0.6, 1.0, 1.7])
async def test_bounds_are_kept(words: str, least: int, most: int, factor: float) -> None:
    reply = await alone(Editor(first=factor), f"/报告 总结一下设备情况，{words}")
    assert least <= count(reply.text) <= most


async def test_a_length_that_cannot_be_met_is_said(wait_until: Wait) -> None:
    engine = Editor()
    engine.edits = lambda instruction, text: "标题：短\n1. 一｜100 字" if "先不写正文" in instruction else "就这么多。"
    reply = await alone(engine, "/报告 总结设备情况，写800字")
    assert "要求约 800 字" in reply.footer
    assert len(engine.instructions) == 1 + 3, "a plan, a text, two corrections"


async def test_no_piece_is_longer_than_one_generation_holds() -> None:
    engine = Editor(parts=3)
    reply = await alone(engine, "/报告 总结设备情况，写9000字")
    assert abs(count(reply.text) - 9000) <= 0.15 * 9000
    rooms = [request.sampling.max_tokens or 0 for request in engine.requests]
    asked = [int(n) for one in engine.instructions for n in re.findall(r"正文，约 (\d+) 字", one)]
    assert len(asked) > 3
    assert max(asked) <= max(rooms) <= engine.context_tokens // 4


async def alone(engine: FakeEngine, *parts: Any, **settings: Any) -> Reply:
    """One answer without a service: nothing is kept."""
    chain = EngineChain(engine, None, settings.pop("reader", None), BreakerConfig(), Clock())

    async def load(sha256: str) -> bytes:
        return encoded(drawing())

    dispatcher = Dispatcher([ask.on], ModelRouter(), chain, load)
    reply = await dispatcher.answer(message_event(1, *parts), **settings)
    assert reply is not None
    return reply


# ------------------------------------------------------------- plan and pieces


async def test_the_text_is_its_sections_in_order_under_the_planned_titles() -> None:
    engine = Editor(parts=6)
    reply = await alone(engine, "/报告 总结设备情况，写3000字")
    title, sections = parse(reply.text)
    assert title == "设备情况"
    assert [one.title for one in sections] == [f"小节{n}" for n in range(1, 7)]
    assert [one.text[:4] for one in sections] == [f"第{n}节。" for n in range(1, 7)]
    assert engine.sections == [1, 2, 3, 4, 5, 6]
    lengths = [count(one.text) for one in sections]
    assert lengths == sorted(lengths), "the shares are those of the plan"


async def test_a_short_text_is_one_generation() -> None:
    engine = Editor()
    await alone(engine, "/报告 总结设备情况，写150字")
    assert len(engine.requests) == 1


async def test_all_requests_of_a_report_begin_alike() -> None:
    engine = Editor()
    image = Image("", "ab" * 32, "image/png", 20, 20, 1)
    await alone(engine, image, "/报告 总结图里的设备情况，写3000字")
    beginnings = {request.messages[:2] for request in engine.requests}
    assert len(beginnings) == 1
    assert len({request.messages[2] for request in engine.requests[1:]}) == 1
    assert all(set(request.pictures) == {"ab" * 32} for request in engine.requests)


@pytest.mark.parametrize(
    "plan",
    [
        '{"title": "甲", "sections": [{"title": "一", "length": 900}, {"title": "二", "pictures": ["图1"]}]}',
        "# 甲\n\n## 一（约900字）\n## 二 | 图1",
        "标题：《甲》\n一、一｜900字｜无｜随便\n二、二｜约 600 字｜图1",
        "好的，提纲如下：\n**标题：甲**\n- 一｜900 字\n- 二｜600 字｜图1、图9",
    ],
)
async def test_plans_are_read_however_they_are_written(plan: str) -> None:
    engine = Editor()
    engine.plan = plan
    image = Image("", "ab" * 32, "image/png", 20, 20, 1)
    reply = await alone(engine, image, "/报告 总结图里的设备情况，写2000字")
    title, sections = parse(reply.text)
    assert (title, [one.title for one in sections]) == ("甲", ["一", "二"])
    assert placed(sections[1].text) == [1]
    assert "图9" not in reply.text


@pytest.mark.parametrize("plan", ["", "我不会列提纲。", "{", "标题：甲"])
async def test_without_a_plan_the_template_is_one(plan: str) -> None:
    engine = Editor()
    engine.plan = plan
    reply = await alone(engine, "/报告 写一份巡检报告，3000字")
    assert [one.title for one in parse(reply.text)[1]] == ["概况", "检查结果", "问题与风险", "处理建议"]


async def test_what_is_written_is_seen_growing_with_its_progress() -> None:
    engine = Editor(parts=4)
    seen: list[str] = []

    class Watched(Draft):
        watched = True

        async def update(self, text: str) -> None:
            seen.append(text)

    await alone(engine, "/报告 总结设备情况，写3000字", draft=Watched())
    steps = [found[1] for text in seen if (found := re.search(r"（正在写 (\d)/4 节）", text))]
    assert sorted(set(steps)) == ["1", "2", "3", "4"]
    assert steps == sorted(steps)
    last = [text for text in seen if "4/4" in text][-1]
    assert all(f"## 小节{n}" in last for n in (1, 2, 3))


async def test_a_long_report_is_announced(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(limits=FILES)
    await desk.say("/报告 总结设备情况，写3000字")
    await desk.wait(lambda: len(desk.adapter.sent) == 2)
    assert desk.adapter.sent[0].text == "《设备情况》约 3000 字，正在写 1/5 节，写好后发给你。"


# --------------------------------------------------------------------- crashes


@pytest.mark.parametrize("ends", [1, 3, 6])
async def test_a_report_goes_on_after_a_crash_as_if_nothing_had_been(
    real_store: Store, media: MediaStore, wait_until: Wait, ends: int
) -> None:
    wish = "/报告 总结设备情况，写3000字"
    whole = await alone(Editor(parts=6), wish)
    first = Editor(parts=6)
    held = asyncio.Event()

    def hold(instruction: str, text: str) -> str:
        if f"现在只写第 {ends} 节" in instruction:
            held.set()
        return text

    async def stand(request: GenerateRequest) -> Completion:
        completion = await FakeEngine.generate(first, request)
        if held.is_set():
            # It dies with this answer in hand.
            await asyncio.Event().wait()
        return completion

    first.edits = hold
    first.generate = stand  # type: ignore[method-assign]
    desk = Desk(real_store, media, first, wait_until)
    await real_store.accept([message_event(1, wish)])
    await asyncio.wait_for(held.wait(), 10)
    await desk.stop(0)

    second = Editor(parts=3)
    again = Desk(real_store, media, second, wait_until)
    try:
        await again.wait(lambda: any(URL in one.text for one in again.adapter.sent))
        report = await again.latest()
    finally:
        await again.stop()
    assert report.markdown == whole.text
    assert first.sections == list(range(1, ends + 1))
    assert second.sections == list(range(ends, 7)), "only what was not finished is written again"
    assert not any("先不写正文" in one for one in second.instructions), "the outline is the first one"


async def test_a_long_rewriting_goes_on_after_a_crash(real_store: Store, media: MediaStore, wait_until: Wait) -> None:
    first = Editor()
    desk = Desk(real_store, media, first, wait_until)
    await desk.say("/报告 总结设备情况，写3000字")
    await desk.wait(lambda: any(URL in one.text for one in desk.adapter.sent))
    before = await desk.latest()
    held = asyncio.Event()

    async def stand(request: GenerateRequest) -> Completion:
        if "只重写第 3 节" in request.messages[-1].text:
            held.set()
            await asyncio.Event().wait()
        return await FakeEngine.generate(first, request)

    first.generate = stand  # type: ignore[method-assign]
    await real_store.accept([message_event(2, "换成新闻口吻")])
    await asyncio.wait_for(held.wait(), 10)
    await desk.stop(0)
    assert await real_store.reports.page(before.id) == before, "nothing of it shows before its turn has ended"

    second = Editor()
    again = Desk(real_store, media, second, wait_until)
    try:
        await again.wait(lambda: any(URL in one.text for one in again.adapter.sent))
        after = await again.latest()
    finally:
        await again.stop()
    rewritten = [int(n) for one in second.instructions for n in re.findall(r"只重写第 (\d+) 节", one)]
    assert rewritten == [3, 4, 5]
    assert (after.id, after.template, len(after.sections)) == (before.id, "新闻稿", 5)


async def test_a_model_that_fails_on_the_way_is_asked_again_for_what_is_missing(open_desk: Callable[..., Desk]) -> None:
    engine = Editor(parts=5)
    failed: list[str] = []

    def fail(instruction: str, text: str) -> str:
        if "现在只写第 3 节" in instruction and not failed:
            failed.append(instruction)
            raise EngineUnavailable("gone")
        return text

    engine.edits = fail
    desk = open_desk(engine)
    await desk.say("/报告 总结设备情况，写3000字")
    await desk.wait(lambda: any(URL in one.text for one in desk.adapter.sent))
    assert engine.sections == [1, 2, 3, 3, 4, 5]
    assert sum("先不写正文" in one for one in engine.instructions) == 1


async def test_a_model_that_writes_nothing_has_not_answered() -> None:
    engine = Editor()
    engine.edits = lambda instruction, text: text if "先不写正文" in instruction else "```\n\n```"
    with pytest.raises(EngineUnavailable, match="nothing"):
        await alone(engine, "/报告 总结设备情况，写800字")


class Reading(FakeEngine):
    """The built-in engine's part: an extract with pictures, nothing without."""

    generates = False

    async def generate(self, request: GenerateRequest) -> Completion:
        self.requests.append(request)
        if not request.pictures:
            return Completion("不会", "declined")
        return Completion("# 摘录\n\n## 图1：标牌\n\n> 温度 80")


async def test_the_built_in_engine_never_writes_a_section(open_desk: Callable[..., Desk]) -> None:
    engine, reader = Editor(parts=4), Reading("reader")
    away = [False]

    def fail(instruction: str, text: str) -> str:
        if "现在只写第 2 节" in instruction and not away[0]:
            away[0] = True
            raise EngineUnavailable("gone")
        return text

    engine.edits = fail
    desk = open_desk(engine, reader=reader)
    await desk.say(await desk.picture("a"), "/报告 总结图里的设备情况，写3000字")
    await desk.wait(lambda: any(URL in one.text for one in desk.adapter.sent))
    assert reader.requests, "it was asked"
    assert "摘录" not in (await desk.latest()).markdown


async def test_the_built_in_engine_extracts_where_it_is_all_there_is(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(Reading("reader"))
    text = await desk.say(await desk.picture("a"), "/报告 总结这张图")
    report = await desk.latest()
    assert (report.title, [one.title for one in report.sections]) == ("摘录", ["图1：标牌"])
    assert report.sections[0].text.startswith("![图1](图1)")
    assert f"{URL}/r/{report.id}" in text
    assert "内置识别引擎" in await desk.say("改短一点")


async def test_the_built_in_engine_stands_in_before_anything_is_written(open_desk: Callable[..., Desk]) -> None:
    engine = Editor()
    engine.errors = [EngineUnavailable("gone") for _ in range(9)]
    desk = open_desk(engine, reader=Reading("reader"))
    text = await desk.say(await desk.picture("a"), "/报告 总结图里的设备情况，写3000字")
    assert "以上由内置识别引擎给出" in text
    assert (await desk.latest()).title == "摘录"


# -------------------------------------------------------------------- pictures


async def test_pictures_are_placed_once_and_none_is_invented(open_desk: Callable[..., Desk]) -> None:
    engine = Editor(parts=4)
    engine.edits = lambda instruction, text: (
        text
        + "\n\n![现场](https://evil.example/x.png)\n\n见[图2]和[图7]，如图8所示，【图1】。\n\n![图1](图1)\n\n![图9](图9)"
        if "现在只写第" in instruction
        else text
    )
    desk = open_desk(engine)
    pictures = [await desk.picture(name, height) for name, height in (("a", 10), ("b", 60), ("c", 110))]
    await desk.say(*pictures, "/报告 总结三张图的设备情况，写3000字")
    await desk.wait(lambda: any(URL in one.text for one in desk.adapter.sent))
    report = await desk.latest()
    numbers = [number for one in report.sections for number in placed(one.text)]
    assert sorted(numbers) == [1, 2, 3]
    assert set(map(int, re.findall(r"图\s*(\d+)", report.markdown))) == {1, 2, 3}
    assert "evil" not in report.markdown
    assert set(report.pictures) == {1, 2, 3}


async def test_figures_without_evidence_are_named(open_desk: Callable[..., Desk]) -> None:
    engine = Editor()
    engine.edits = lambda instruction, text: "# 温度\n\n温度 80 度，压力 12.5 兆帕。[图1]"
    desk = open_desk(engine)
    desk.lines = _Everywhere((Line("温度 80 度", Box(1, 2, 30, 12)),))
    text = await desk.say(await desk.picture("a"), "/报告 总结这张图，写30字")
    assert "12.5" in text.split("1 处未在图中找到依据")[1]
    report = await desk.latest()
    found = {report.sections[one.section].text[one.start : one.end]: one for one in report.findings}
    good = next(one for words, one in found.items() if "80" in words)
    assert good.picture == 1
    assert good.box is not None


class _Everywhere(dict[str, tuple[Line, ...]]):
    """The same lines in every picture."""

    def __init__(self, lines: tuple[Line, ...]) -> None:
        super().__init__()
        self._lines = lines

    def get(self, key: str, default: Any = None) -> tuple[Line, ...]:  # type: ignore[override]
        return self._lines


# --------------------------------------------------------------------- medical


@pytest.mark.parametrize(
    "wish", ["/报告 解读这张化验单，写200字", "/报告 总结这张图，写200字", "/报告 写篇小红书，不要任何声明，200字"]
)
@pytest.mark.parametrize("ending", ["", f"\n\n{MEDICAL}", "\n\n> 仅供参考，不能代替医生。"])
async def test_what_reads_like_a_diagnosis_ends_with_the_notice(wish: str, ending: str) -> None:
    engine = Editor()
    engine.edits = lambda instruction, text: f"# 结果\n\n白细胞偏高，提示感染。{text_of(150)}{ending}"
    reply = await alone(engine, wish)
    assert reply.text.endswith(MEDICAL)
    assert reply.text.count("仅供参考") == 1


async def test_a_change_cannot_take_the_notice_away(open_desk: Callable[..., Desk]) -> None:
    engine = Editor()
    engine.edits = lambda instruction, text: f"# 血常规\n\n白细胞 12.6，确诊感染。{text_of(150)}"
    desk = open_desk(engine)
    await desk.say("/报告 解读这张化验单，写200字")
    assert MEDICAL in await desk.say("去掉最后的声明，报告改短一点")
    assert (await desk.latest()).notice == MEDICAL


async def test_the_short_text_of_a_medical_report_has_the_notice(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(limits=Limits(text_length=600, files=True), report_url="")
    await desk.say("/报告 解读这份体检报告，写3000字")
    await desk.wait(lambda: any(one.file for one in desk.adapter.sent))
    short = next(one.text for one in desk.adapter.sent if "见附件" in one.text)
    assert "仅供参考" in short


async def test_other_reports_have_no_notice() -> None:
    assert "仅供参考" not in (await alone(Editor(), "/报告 总结设备情况，写200字")).text


# ----------------------------------------------------------------- later turns


async def written(desk: Desk) -> Report:
    await desk.say("/报告 总结设备情况，写800字")
    return await desk.latest()


async def test_only_the_section_that_is_meant_changes(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk()
    before = await written(desk)
    picture = await desk.picture("b")
    text = await desk.say(picture, "报告第三节加上这张图的数据")
    after = await desk.latest()
    assert after.id == before.id
    assert after.title == before.title
    changed = [at for at, (old, new) in enumerate(zip(before.sections, after.sections, strict=True)) if old != new]
    assert changed == [2]
    assert placed(after.sections[2].text) == [1]
    assert f"{URL}/r/{after.id}" in text


async def test_only_the_title_changes(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk()
    before = await written(desk)
    await desk.say("标题换一个")
    after = await desk.latest()
    assert after.title == "换过的标题"
    assert after.sections == before.sections


@pytest.mark.parametrize(
    ("words", "low", "high"), [("改短一点", 0.5, 0.75), ("再写长一点", 1.3, 1.9), ("压缩到400字", 0.4, 0.6)]
)
@pytest.mark.parametrize("wish", [800, 3000])
async def test_all_of_it_gets_shorter_or_longer(
    open_desk: Callable[..., Desk], words: str, low: float, high: float, wish: int
) -> None:
    desk = open_desk()
    await desk.say(f"/报告 总结设备情况，写{wish}字")
    await desk.wait(lambda: any(URL in one.text for one in desk.adapter.sent))
    before = await desk.latest()
    await desk.say(words)
    await desk.wait(lambda: sum(URL in one.text for one in desk.adapter.sent) == 2)
    after = await desk.latest()
    if "400" in words:
        assert abs(count(after.markdown) - 400) <= 60
    else:
        assert low <= count(after.markdown) / count(before.markdown) <= high


async def test_another_tone_is_another_template(open_desk: Callable[..., Desk]) -> None:
    engine = Editor()
    desk = open_desk(engine)
    await written(desk)
    await desk.say("换成新闻口吻")
    assert (await desk.latest()).template == "新闻稿"
    assert "文体：新闻稿" in engine.requests[-1].messages[0].text


async def test_history_keeps_every_version(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk()
    before = await written(desk)
    await desk.say("标题换一个")
    history = (await desk.store.recall(message_event(1).session(), 5)).history
    assert [turn.text.splitlines()[0] for turn in history if turn.role == "assistant"] == [
        f"# {before.title}",
        "# 换过的标题",
    ]


@pytest.mark.parametrize(
    "words", ["图1多少钱", "怎么改短一点", "再写一篇新闻稿", "明天天气怎么样", "帮我加一下 3 和 5"]
)
async def test_other_messages_leave_the_report_alone(open_desk: Callable[..., Desk], words: str) -> None:
    desk = open_desk()
    before = await written(desk)
    await desk.say(words)
    assert await desk.store.reports.page(before.id) == before


async def test_after_other_talk_a_report_must_be_named(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk()
    before = await written(desk)
    await desk.say("现在几点了")
    await desk.say("短一点")
    assert await desk.latest() == before
    await desk.say("报告的标题换一个")
    assert (await desk.latest()).title == "换过的标题"


async def test_a_withdrawn_report_is_neither_shown_nor_sent(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(limits=FILES)
    before = await written(desk)
    assert "已撤回《设备情况》" in await desk.say("/撤回报告")
    assert await desk.store.reports.page(before.id) is None
    assert "已经撤回" in await desk.say("发我word版")
    assert not any(one.file for one in desk.adapter.sent)
    assert "已经撤回" in await desk.say("撤回报告")


async def test_nothing_can_be_withdrawn_before_it_is_written(open_desk: Callable[..., Desk]) -> None:
    assert "没有可以撤回的报告" in await open_desk().say("/撤回报告")


# -------------------------------------------------------------------- delivery


async def test_a_long_report_is_a_short_text_and_its_page(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(limits=FILES)
    await desk.say("/报告 总结设备情况，写3000字")
    await desk.wait(lambda: len(desk.adapter.sent) == 2)
    text, report = desk.adapter.sent[-1].text, await desk.latest()
    assert len(text) < 700
    assert "设备情况" in text
    assert text.endswith(f"{URL}/r/{report.id}")
    assert all(one.file is None for one in desk.adapter.sent)
    assert (await desk.store.recall(message_event(1).session(), 5)).history[-1].text == report.markdown


async def test_without_an_address_a_long_report_is_a_file_as_ever(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(limits=FILES, report_url="")
    await desk.say("/报告 总结设备情况，写3000字")
    await desk.wait(lambda: any(one.file for one in desk.adapter.sent))
    report = await desk.latest()
    (file,) = [one.file for one in desk.adapter.sent if one.file]
    assert file.content.decode("utf-8-sig") == report.markdown
    assert not any("/r/" in one.text for one in desk.adapter.sent)


async def test_a_file_is_sent_on_request(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(limits=FILES)
    report = await written(desk)
    text = await desk.say("发markdown版给我")
    await desk.wait(lambda: desk.adapter.sent[-1].file is not None)
    assert "《设备情况》的 Markdown 版" in text
    file = desk.adapter.sent[-1].file
    assert file is not None
    assert file.name == "设备情况.md"
    assert report.sections[-1].text in file.content.decode("utf-8-sig")
    # What was sent is no turn of its own: the report can still be changed without naming it.
    await desk.say("标题换一个")
    assert (await desk.latest()).title == "换过的标题"


@pytest.mark.parametrize(("words", "ending", "begins"), [("word版", ".docx", b"PK"), ("PDF", ".pdf", b"%PDF")])
async def test_a_file_comes_with_the_report_where_both_are_asked_for(
    open_desk: Callable[..., Desk], words: str, ending: str, begins: bytes
) -> None:
    desk = open_desk(limits=FILES)
    await desk.say(await desk.picture("a"), f"/报告 总结图里的设备情况，写300字，发我{words}")
    await desk.wait(lambda: desk.adapter.sent[-1].file is not None)
    file = desk.adapter.sent[-1].file
    assert file is not None
    assert file.name.endswith(ending)
    assert file.content.startswith(begins)


async def test_where_no_files_are_taken_the_page_is_named(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk()
    report = await written(desk)
    text = await desk.say("要markdown文件")
    assert "不能发送文件" in text
    assert f"{URL}/r/{report.id}" in text


async def test_before_any_report_a_file_is_no_business_of_ours(open_desk: Callable[..., Desk]) -> None:
    engine = Editor()
    desk = open_desk(engine)
    await desk.say("发我word版")
    assert len(engine.requests) == 1


async def test_a_forced_model_writes_a_report_only_where_one_is_asked_for() -> None:
    engine = Editor()
    await alone(engine, "错误码是多少", model="heavy")
    assert "先不写正文" not in engine.instructions[-1]
    await alone(engine, "写一篇800字的新闻稿，介绍新设备投产", model="heavy")
    assert any("先不写正文" in one for one in engine.instructions)
