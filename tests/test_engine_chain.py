"""When an engine is away the next answers, and the answer says so."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
from fakes import FakeEngine as FakeModel

from bot.clock import Clock
from bot.config import BreakerConfig
from bot.drafts import Draft
from bot.engine.base import Chunk, Completion, Engine, FinishReason, GenerateRequest
from bot.engine.chain import EngineChain, Size
from bot.errors import ContextTooLong, EngineUnavailable, RequestRejected
from bot.message import user

REQUEST = GenerateRequest((user("你好"),))


class FakeEngine(Engine):
    """Answers `pieces`, or raises `error` after the first `shown` of them."""

    def __init__(
        self,
        name: str,
        error: Exception | None = None,
        *,
        shown: int = 0,
        context: int = 8192,
        finish: FinishReason = "stop",
    ) -> None:
        self.name = name
        self.context_tokens = context
        self.error = error
        self.shown = shown
        self.finish: FinishReason = finish
        self.calls: list[str] = []
        self.open = 0
        self.closed = 0

    async def stream(self, request: GenerateRequest) -> AsyncIterator[Chunk]:
        self.calls.append("stream")
        self.open += 1
        try:
            for number, piece in enumerate([self.name, "说", "好"]):
                if self.error is not None and number == self.shown:
                    raise self.error
                yield Chunk(piece)
            yield Chunk("", self.finish)
        finally:
            self.open -= 1

    async def generate(self, request: GenerateRequest) -> Completion:
        self.calls.append("generate")
        if self.error is not None:
            raise self.error
        return Completion(f"{self.name}说好", self.finish)

    async def close(self) -> None:
        self.closed += 1
        if self.error is not None:
            raise self.error


class Watched(Draft):
    watched = True

    def __init__(self, error: Exception | None = None) -> None:
        self.texts: list[str] = []
        self.error = error

    async def update(self, text: str) -> None:
        self.texts.append(text)
        if self.error is not None:
            raise self.error


def chain(light: Engine, heavy: Engine | None = None, reader: Engine | None = None, **more: bool) -> EngineChain:
    return EngineChain(light, heavy, reader, BreakerConfig(failures=2, pause=30), Clock(seed=0), **more)


def down(retry_after: float | None = None) -> EngineUnavailable:
    return EngineUnavailable("down", retry_after=retry_after)


@pytest.mark.parametrize(("model", "name"), [("light", "L"), ("heavy", "H")])
async def test_the_engine_asked_for_answers(model: Size, name: str) -> None:
    answer = await chain(FakeEngine("L"), FakeEngine("H"), FakeEngine("R")).answer(model, REQUEST, Draft())
    assert (answer.completion.text, answer.engine, answer.note) == (f"{name}说好", name, "")


async def test_light_does_the_work_of_a_heavy_that_is_not_there() -> None:
    answer = await chain(FakeEngine("L")).answer("heavy", REQUEST, Draft())
    assert (answer.engine, answer.note) == ("L", "")


async def test_streamed_is_whole_and_the_draft_grows() -> None:
    engine, draft = FakeEngine("L"), Watched()
    streamed = await chain(engine).answer("light", REQUEST, draft)
    whole = await chain(engine).answer("light", REQUEST, Draft())
    assert streamed.completion.text == whole.completion.text
    assert draft.texts == ["L", "L说", "L说好"]
    assert engine.calls == ["stream", "generate"]


async def test_heavy_away_light_answers_and_says_so() -> None:
    answer = await chain(FakeEngine("L"), FakeEngine("H", down())).answer("heavy", REQUEST, Draft())
    assert (answer.engine, answer.note) == ("L", "（重模型暂时不可用，本回答由轻模型 L 生成）")


async def test_the_reader_answers_last_and_says_so() -> None:
    reader = FakeEngine("R")
    answer = await chain(FakeEngine("L", down()), FakeEngine("H", down()), reader).answer("heavy", REQUEST, Draft())
    assert (answer.engine, answer.note) == ("R", "（模型暂时不可用，以上由内置识别引擎给出）")


async def test_text_of_a_stream_that_failed_is_overwritten() -> None:
    draft = Watched()
    answer = await chain(FakeEngine("L"), FakeEngine("H", down(), shown=2)).answer("heavy", REQUEST, draft)
    assert draft.texts == ["H", "H说", "L", "L说", "L说好"]
    assert answer.completion.text == "L说好"


async def test_a_reader_that_declines_is_no_replacement() -> None:
    reader, draft = FakeEngine("R", finish="declined"), Watched()
    with pytest.raises(EngineUnavailable, match="down") as caught:
        await chain(FakeEngine("L", down(7)), None, reader).answer("light", REQUEST, draft)
    assert caught.value.retry_after == 7
    assert draft.texts == []


async def test_a_reader_that_declines_does_not_open_its_breaker() -> None:
    reader = FakeEngine("R", finish="declined")
    engines = chain(FakeEngine("L", down()), None, reader)
    for _ in range(4):
        with pytest.raises(EngineUnavailable):
            await engines.answer("light", REQUEST, Draft())
    assert len(reader.calls) == 4


@pytest.mark.parametrize("draft", [Draft(), Watched()])
async def test_a_reader_that_was_asked_for_may_decline(draft: Draft) -> None:
    reader = FakeEngine("R", finish="declined")
    answer = await chain(reader, None, reader).answer("light", REQUEST, draft)
    assert (answer.completion.finish_reason, answer.note) == ("declined", "")


async def test_a_refusal_is_logged_as_an_error_and_answered_by_the_next(caplog: pytest.LogCaptureFixture) -> None:
    heavy = FakeEngine("H", RequestRejected("set api_key"))
    answer = await chain(FakeEngine("L"), heavy).answer("heavy", REQUEST, Draft())
    assert answer.engine == "L"
    assert [(r.levelno, "set api_key" in r.getMessage()) for r in caplog.records] == [(logging.ERROR, True)]


async def test_a_refusal_that_nobody_stands_in_for_is_raised() -> None:
    reader = FakeEngine("R", finish="declined")
    with pytest.raises(RequestRejected, match="set api_key"):
        await chain(FakeEngine("L", RequestRejected("set api_key")), None, reader).answer("light", REQUEST, Draft())


async def test_too_long_goes_to_an_engine_that_holds_more() -> None:
    light = FakeEngine("L", ContextTooLong("long"))
    answer = await chain(light, FakeEngine("H", context=32768)).answer("light", REQUEST, Draft())
    assert (answer.engine, answer.note) == ("H", "（内容较长，本回答由重模型 H 生成）")


async def test_too_long_does_not_go_to_an_engine_that_holds_no_more() -> None:
    light, reader = FakeEngine("L"), FakeEngine("R")
    with pytest.raises(ContextTooLong):
        await chain(light, FakeEngine("H", ContextTooLong("long")), reader).answer("heavy", REQUEST, Draft())
    assert light.calls == reader.calls == []


async def test_too_long_does_not_ask_an_engine_twice() -> None:
    heavy = FakeEngine("H", down(), context=32768)
    with pytest.raises(EngineUnavailable):
        await chain(FakeEngine("L", ContextTooLong("long")), heavy).answer("heavy", REQUEST, Draft())
    assert heavy.calls == ["generate"]


async def test_all_away_says_the_shortest_wait() -> None:
    engines = chain(FakeEngine("L", down(5)), FakeEngine("H", down(60)), FakeEngine("R", down()))
    with pytest.raises(EngineUnavailable) as caught:
        await engines.answer("heavy", REQUEST, Draft())
    assert caught.value.retry_after == 5


async def test_an_open_breaker_goes_straight_to_the_next() -> None:
    heavy = FakeEngine("H", down())
    engines = chain(FakeEngine("L"), heavy)
    answers = [await engines.answer("heavy", REQUEST, Draft()) for _ in range(4)]
    assert [answer.engine for answer in answers] == ["L"] * 4
    assert len(heavy.calls) == 2


async def test_without_fallback_only_the_engine_asked_for_answers() -> None:
    light = FakeEngine("L")
    with pytest.raises(EngineUnavailable):
        await chain(light, FakeEngine("H", down()), fallback=False).answer("heavy", REQUEST, Draft())
    assert light.calls == []


async def test_again_at_once_asks_the_same_engine_a_second_time() -> None:
    class Learns(FakeEngine):
        async def generate(self, request: GenerateRequest) -> Completion:
            try:
                return await super().generate(request)
            finally:
                self.error = None

    answer = await chain(Learns("L", down(0.0))).answer("light", REQUEST, Draft())
    assert (answer.engine, answer.note) == ("L", "")


async def test_a_draft_that_cannot_be_shown_costs_nothing() -> None:
    answer = await chain(FakeEngine("L")).answer("light", REQUEST, Watched(ValueError("card deleted")))
    assert answer.completion.text == "L说好"


async def test_cancelling_closes_the_stream() -> None:
    class Slow(Watched):
        async def update(self, text: str) -> None:
            await super().update(text)
            started.set()
            await asyncio.Event().wait()

    started, engine = asyncio.Event(), FakeEngine("L")
    task = asyncio.create_task(chain(engine).answer("light", REQUEST, Slow()))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.open == 0


async def test_close_closes_each_engine_once_though_one_fails() -> None:
    shared, heavy = FakeEngine("L"), FakeEngine("H", RuntimeError("broken"))
    with pytest.raises(RuntimeError, match="broken"):
        await chain(shared, heavy, shared).close()
    assert (shared.closed, heavy.closed) == (1, 1)


class BlackOut:
    """Replaces every picture by one word."""

    def __init__(self) -> None:
        self.closed = 0

    async def mask(self, sha256: str, data: bytes) -> bytes:
        return b"masked " + data

    async def close(self) -> None:
        self.closed += 1


async def test_pictures_are_masked_only_where_they_leave_the_machine() -> None:
    masker = BlackOut()
    for remote, expected in ((True, b"masked p"), (False, b"p")):
        engine = FakeModel(remote=remote)
        chain = EngineChain(engine, None, None, BreakerConfig(), Clock(), masker=masker)
        request = GenerateRequest((user("?"),), {"a": b"p"})
        await chain.answer("light", request, Draft())
        assert engine.requests[0].pictures == {"a": expected}
        await chain.close()
    assert masker.closed == 2
