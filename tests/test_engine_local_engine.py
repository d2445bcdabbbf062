"""The local engine with a tiny model, float32: what transformers' `generate` says, however it is asked."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pictures import drawing, encoded, noise
from tiny_glm import write_tiny_glm

from benchmarks import engine_equivalence as equivalence
from bot.engine.base import Chunk, Completion, GenerateRequest, SamplingParams, collect
from bot.engine.local.attention import KeyValues
from bot.engine.local.engine import LocalEngine
from bot.engine.local.linear import make_dense
from bot.engine.local.model import Model, Picture
from bot.engine.local.models import glm4v_vision
from bot.engine.local.models.glm4v import load
from bot.errors import ContextTooLong, EngineUnavailable, RequestRejected
from bot.message import Image, Message, assistant, system, user

pytestmark = pytest.mark.filterwarnings(r"ignore::FutureWarning:transformers\..*")

NEW = 12
#: ours and theirs differ by 5e-6 at most; a tie much nearer than this would make equality a matter of rounding
MARGIN = 1e-4

PICTURES = [encoded(drawing(150, 90)), encoded(drawing(90, 150)), encoded(noise(70, 300)), encoded(noise(410, 60))]


def shown(number: int, index: int) -> Image:
    return Image(sha256=hashlib.sha256(PICTURES[number]).hexdigest(), index=index)


def request(*messages: Message, new: int = NEW, salt: str = "s", **sampling: Any) -> GenerateRequest:
    params = SamplingParams(**{"temperature": 0, "max_tokens": new, **sampling})
    pictures = {hashlib.sha256(data).hexdigest(): data for data in PICTURES}
    return GenerateRequest(messages, pictures, params, cache_salt=salt)


TURNS = (
    system("你是看图助手。"),
    user(shown(0, 1), "左上角是什么颜色？"),
    assistant("红色。"),
    user("那右上角呢？"),
)
REQUESTS = {
    "text": request(user("什么是光合作用？ What is the point?")),
    "short": request(user("好")),
    "one picture": request(user(shown(0, 1), "图里有什么？")),
    "the same turned": request(user(shown(1, 1), "图里有什么？")),
    "several of different sizes": request(user(shown(2, 1), shown(3, 2), shown(0, 3), "比较这三张图。")),
    "several turns": request(*TURNS),
    "turns with pictures": request(*TURNS, assistant("绿色。"), user(shown(3, 2), "和", shown(0, 1), "比，哪张更宽？")),
}


@pytest.fixture(scope="module", autouse=True)
def _light() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_glm(tmp_path_factory.mktemp("engine") / "tiny-glm")


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return load(folder, torch.device("cpu"), torch.float32, make_dense)


@pytest.fixture(scope="module")
def reference(folder: Path) -> Any:
    from transformers import Glm4vForConditionalGeneration

    return Glm4vForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def truth(model: Model, reference: Any) -> dict[str, str]:
    """What transformers answers, as text."""
    return {name: model.decode_text(generated(model, reference, asked)) for name, asked in REQUESTS.items()}


def generated(model: Model, reference: Any, asked: GenerateRequest, new: int = NEW) -> list[int]:
    prompt = model.encode(asked)
    ids = torch.tensor([prompt.ids])
    inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    kinds = torch.zeros_like(ids)
    for span in prompt.spans:
        kinds[0, span.start : span.start + span.picture.tokens] = 1
    inputs["mm_token_type_ids"] = kinds
    if prompt.spans:
        inputs["pixel_values"] = torch.cat([span.picture.pixels for span in prompt.spans])
        inputs["image_grid_thw"] = torch.tensor([(1, *span.picture.grid) for span in prompt.spans])
    found = reference.generate(
        **inputs, max_new_tokens=new, do_sample=False, output_logits=True, return_dict_in_generate=True
    )
    first, second = torch.cat(found.logits).topk(2).values.unbind(-1)
    assert float((first - second).min()) > MARGIN
    answer: list[int] = found.sequences[0, ids.shape[1] :].tolist()
    return answer[:-1] if answer[-1] in model.stop_ids else answer


Make = Callable[..., LocalEngine]


@pytest.fixture
async def make(model: Model) -> AsyncIterator[Make]:
    made: list[LocalEngine] = []

    def new(**options: Any) -> LocalEngine:
        made.append(LocalEngine(options.pop("model", model), **{"blocks": 512, "block_size": 4, **options}))
        return made[-1]

    yield new
    for engine in made:
        await engine.close()
        cache = engine._loop._cache
        assert cache.free == cache.blocks


async def ask_all(engine: LocalEngine, asked: dict[str, GenerateRequest]) -> dict[str, str]:
    answers = await asyncio.gather(*(engine.generate(one) for one in asked.values()))
    return {name: answer.text for name, answer in zip(asked, answers, strict=True)}


# ---------------------------------------------------------------- the same answer


@pytest.mark.parametrize("name", REQUESTS)
async def test_alone_it_is_theirs(make: Make, truth: dict[str, str], name: str) -> None:
    answer = await make().generate(REQUESTS[name])
    assert answer.text == truth[name]
    assert answer.finish_reason in ("stop", "length")
    assert answer.usage.cached_tokens == 0
    assert 0 < answer.usage.completion_tokens <= NEW


async def test_batched_is_alone(make: Make, truth: dict[str, str]) -> None:
    engine = make(chunk=4096)
    alone = {name: replace(one, cache_salt=name) for name, one in REQUESTS.items()}
    assert await ask_all(engine, alone) == truth


async def test_sixty_four_at_once(make: Make, truth: dict[str, str]) -> None:
    engine = make(blocks=4096, chunk=2048)
    many = {f"{name}/{n}": replace(one, cache_salt=str(n)) for n in range(10) for name, one in REQUESTS.items()}
    answers = await ask_all(engine, many)
    assert len(many) > 64
    assert all(text == truth[name.rpartition("/")[0]] for name, text in answers.items())


@pytest.mark.parametrize("chunk", [1, 7, 32])
async def test_prompts_in_pieces_are_prompts_at_once(make: Make, truth: dict[str, str], chunk: int) -> None:
    small = {name: one for name, one in REQUESTS.items() if chunk > 1 or name in ("short", "one picture")}
    assert await ask_all(make(chunk=chunk), small) == {name: truth[name] for name in small}


async def test_cached_is_uncached(make: Make, truth: dict[str, str]) -> None:
    engine = make()
    await ask_all(engine, REQUESTS)
    for name, asked in REQUESTS.items():
        again = await engine.generate(asked)
        assert again.text == truth[name]
        assert again.usage.cached_tokens == again.usage.prompt_tokens - 1


async def test_after_eviction_is_before(make: Make, model: Model, truth: dict[str, str]) -> None:
    """The cache just holds the longest; whatever came before is gone when it is asked again."""
    longest = max(len(model.encode(one).ids) for one in REQUESTS.values()) + NEW
    engine = make(blocks=-(-longest // 4))
    for _ in range(2):
        for name, asked in REQUESTS.items():
            assert (await engine.generate(asked)).text == truth[name]
    assert await ask_all(engine, REQUESTS) == truth


async def test_streamed_is_whole(make: Make, truth: dict[str, str]) -> None:
    for name, asked in REQUESTS.items():
        chunks = [chunk async for chunk in make().stream(asked)]
        assert "".join(chunk.text for chunk in chunks) == truth[name]
        assert [bool(chunk.finish_reason) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]


async def test_cancelled_neighbours_are_none(make: Make, truth: dict[str, str]) -> None:
    engine = make()

    async def give_up(asked: GenerateRequest, after: int) -> None:
        stream: Any = engine.stream(replace(asked, sampling=replace(asked.sampling, max_tokens=200)))
        for _ in range(after):
            await anext(stream)
        await stream.aclose()

    staying = {name: REQUESTS[name] for name in ("text", "turns with pictures", "one picture")}
    leaving = [give_up(one, after) for after, one in enumerate(REQUESTS.values())]
    answers, *_ = await asyncio.gather(ask_all(engine, staying), *leaving)
    assert answers == {name: truth[name] for name in staying}
    await until(lambda: not engine._loop.busy)


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not done():  # noqa: ASYNC110 - another thread changes it
            await asyncio.sleep(0.001)


names = st.sampled_from(sorted(REQUESTS))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    asked=st.lists(st.tuples(names, st.sampled_from("st"), st.integers(0, 30)), min_size=1, max_size=8),
    cancelled=st.lists(st.tuples(names, st.integers(1, 4)), max_size=3),
    chunk=st.sampled_from((5, 40, 512)),
    size=st.sampled_from((1, 4, 16)),
    tokens=st.sampled_from((280, 500, 4000)),
)
def test_any_schedule(
    model: Model,
    truth: dict[str, str],
    asked: list[tuple[str, str, int]],
    cancelled: list[tuple[str, int]],
    chunk: int,
    size: int,
    tokens: int,
) -> None:
    """Requests at any time, in small and large caches, cached, evicted, pushed back, some given up."""

    async def later(engine: LocalEngine, name: str, salt: str, wait: int) -> tuple[str, str]:
        await asyncio.sleep(wait / 1000)
        return name, (await engine.generate(replace(REQUESTS[name], cache_salt=salt))).text

    async def give_up(engine: LocalEngine, name: str, after: int) -> tuple[str, str]:
        task = asyncio.ensure_future(engine.generate(REQUESTS[name]))
        await asyncio.sleep(after / 100)
        task.cancel()
        return name, truth[name]

    async def schedule() -> None:
        longest = max(len(model.encode(one).ids) for one in REQUESTS.values()) + NEW
        engine = LocalEngine(model, blocks=max(tokens, longest + size) // size, block_size=size, chunk=chunk)
        work = [later(engine, *one) for one in asked] + [give_up(engine, *one) for one in cancelled]
        for name, text in await asyncio.gather(*work):
            assert text == truth[name]
        await until(lambda: not engine._loop.busy)
        await engine.close()

    asyncio.run(schedule())


# ---------------------------------------------------------------- what is computed again


async def test_a_second_question_about_a_picture_computes_its_new_tokens_only(make: Make, model: Model) -> None:
    engine = make()
    first = request(user(shown(0, 1), "图里有什么？"))
    second = request(user(shown(0, 1), "左边呢？"))
    await engine.generate(first)
    looked = spied(model, engine)
    answer = await engine.generate(second)
    ids = [model.encode(one).ids for one in (first, second)]
    common = next(at for at, (a, b) in enumerate(zip(*ids, strict=False)) if a != b)
    assert answer.usage.cached_tokens == common
    assert common > model.encode(first).spans[0].picture.tokens
    assert looked == []


def spied(model: Model, engine: LocalEngine) -> list[Picture]:
    """Pictures that are looked at from now on."""
    features: Any = engine._loop._runner.features
    looked: list[Picture] = []
    see = features._see

    def spy(pictures: list[Picture]) -> Iterator[list[torch.Tensor]]:
        looked.extend(pictures)
        return see(pictures)

    features._see = spy
    return looked


async def test_a_picture_that_takes_long_stalls_no_answer(
    make: Make, model: Model, truth: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(glm4v_vision, "_SLICE", 1.0)
    engine = make()
    runner: Any = engine._loop._runner
    begin, held = runner.begin, list[bool]()

    def spy(plan: Any) -> Any:
        found = begin(plan)
        assert found.decode == plan.decode
        held.append(bool(plan.decode and plan.prefill) and not found.prefill)
        return found

    runner.begin = spy
    assert await ask_all(engine, {**REQUESTS, **{f"{name} again": one for name, one in REQUESTS.items()}}) == {
        **truth,
        **{f"{name} again": text for name, text in truth.items()},
    }
    assert any(held)


async def test_features_are_forgotten_with_the_last_who_asked(make: Make, model: Model) -> None:
    engine = make()
    features = engine._loop._runner.features
    for salt in ("mine", "yours"):
        await engine.generate(replace(REQUESTS["one picture"], cache_salt=salt))
    key = model.encode(REQUESTS["one picture"]).spans[0].picture.key
    engine.forget("mine")
    await engine.generate(REQUESTS["short"])
    assert key in features
    engine.forget("yours")
    await engine.generate(REQUESTS["short"])
    assert key not in features
    assert features._bytes == sum(kept.features.nbytes for kept in features._kept.values())


async def test_the_next_turn_computes_its_new_tokens_only(make: Make, model: Model) -> None:
    engine = make()
    asked = REQUESTS["several turns"]
    first = await engine.generate(asked)
    following = replace(asked, messages=(*asked.messages, assistant(first.text), user("为什么？")))
    answer = await engine.generate(following)
    # The whole first prompt; the answer too as far as its text becomes the same tokens again.
    assert answer.usage.cached_tokens >= first.usage.prompt_tokens - 1
    assert answer.text == (await make().generate(following)).text


async def test_two_pictures_with_equal_placeholders_share_nothing(make: Make, model: Model) -> None:
    engine = make()
    one, other = REQUESTS["one picture"], request(user(shown(0, 1), "图里有什么？"))
    upside_down = encoded(drawing(150, 90).rotate(180))
    sha256 = hashlib.sha256(upside_down).hexdigest()
    other = replace(
        other, messages=(user(Image(sha256=sha256, index=1), "图里有什么？"),), pictures={sha256: upside_down}
    )
    assert model.encode(one).ids == model.encode(other).ids
    await engine.generate(one)
    answer = await engine.generate(other)
    assert answer.usage.cached_tokens == model.encode(one).spans[0].start
    assert answer.text == (await make().generate(other)).text


async def test_salts_share_nothing_and_are_forgotten_one_by_one(make: Make) -> None:
    engine = make()
    asked = {salt: replace(REQUESTS["one picture"], cache_salt=salt) for salt in ("mine", "yours")}
    for one in asked.values():
        assert (await engine.generate(one)).usage.cached_tokens == 0
    engine.forget("mine")
    assert (await engine.generate(asked["mine"])).usage.cached_tokens == 0
    assert (await engine.generate(asked["yours"])).usage.cached_tokens > 0


# ---------------------------------------------------------------- sampling, stops, text


async def test_seeds_repeat_whatever_the_neighbours(make: Make) -> None:
    asked = [request(user("你好"), temperature=1.0, seed=seed, salt=str(seed), top_p=0.95) for seed in range(6)]
    asked.append(request(user("你好"), temperature=0.8, seed=9, repetition_penalty=1.3, top_k=20))
    engine = make()
    together = await asyncio.gather(*(engine.generate(one) for one in asked), engine.generate(REQUESTS["text"]))
    alone = [await make().generate(one) for one in asked]
    assert [one.text for one in alone] == [one.text for one in together[:-1]]
    assert len({one.text for one in alone}) > 3
    unseeded = {
        (await engine.generate(replace(asked[0], sampling=SamplingParams(1.0, max_tokens=9)))).text for _ in "ab"
    }
    assert len(unseeded) == 2


@pytest.mark.parametrize(
    "odd", [{"top_p": 0.0}, {"top_k": -1}, {"temperature": 1e-45}, {"top_k": 10**6}, {"temperature": -1.0}]
)
async def test_odd_settings_hurt_nobody(make: Make, truth: dict[str, str], odd: dict[str, Any]) -> None:
    engine = make()
    strange = request(user("你好"), **{"temperature": 1.0, **odd})
    answer, other = await asyncio.gather(engine.generate(strange), engine.generate(REQUESTS["text"]))
    assert answer.usage.completion_tokens > 0
    assert other.text == truth["text"]


class Scripted(Model):
    """A model that says a given text, and the tiny one in everything else."""

    def __init__(self, model: Model, text: str) -> None:
        self._model = model
        writer: Any = model
        self.script: list[int] = writer._writer._plain.encode(text, add_special_tokens=False).ids
        self.step_of = 0

    def __getattribute__(self, name: str) -> Any:
        own = ("_model", "script", "step_of", "logits", "__class__")
        return object.__getattribute__(self, name) if name in own else getattr(self._model, name)

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        found = torch.zeros(x.shape[0], self._model.shape.vocabulary)
        stop = min(self._model.stop_ids)
        found[:, self.script[self.step_of] if self.step_of < len(self.script) else stop] = 1
        self.step_of += 1
        return found


Scripted.__abstractmethods__ = frozenset()

SAID = "图中是🙂一只猫。\n它在看the窗外"


async def test_characters_come_whole(make: Make, model: Model) -> None:
    chunks = [one async for one in make(model=Scripted(model, SAID)).stream(request(user("说"), new=200))]
    pieces = [one.text for one in chunks if one.text]
    assert "".join(pieces) == SAID
    assert not any("\ufffd" in piece for piece in pieces)
    assert len(pieces) > 10
    assert chunks[-1].finish_reason == "stop"


@pytest.mark.parametrize(("stop", "left"), [("只猫", "图中是🙂一"), ("\n它", "图中是🙂一只猫。"), ("🙂", "图中是")])
async def test_stop_texts(make: Make, model: Model, stop: str, left: str) -> None:
    scripted = Scripted(model, SAID)
    answer = await make(model=scripted).generate(request(user("说"), new=200, stop=("never", stop)))
    assert (answer.text, answer.finish_reason) == (left, "stop")
    assert answer.usage.completion_tokens < len(scripted.script)


async def test_a_stop_text_in_the_last_token_allowed_is_a_stop(make: Make, model: Model) -> None:
    answer = await make(model=Scripted(model, "abc")).generate(request(user("说"), new=3, stop=("c",)))
    assert (answer.text, answer.finish_reason) == ("ab", "stop")


async def test_length_ends_an_answer(make: Make, model: Model) -> None:
    answer = await make(model=Scripted(model, SAID)).generate(request(user("说"), new=9))
    assert (answer.finish_reason, answer.usage.completion_tokens) == ("length", 9)
    assert SAID.startswith(answer.text.rstrip("\ufffd"))


# ---------------------------------------------------------------- limits and failures


async def test_a_prompt_longer_than_the_context_is_refused(make: Make, model: Model) -> None:
    asked = REQUESTS["text"]
    length = len(model.encode(asked).ids)
    with pytest.raises(ContextTooLong):
        await make(blocks=length, block_size=1).generate(asked)
    answer = await make(blocks=length + 1, block_size=1).generate(asked)
    assert (answer.usage.completion_tokens, answer.finish_reason) == (1, "length")


class Blind(Scripted):
    """It cannot see one of the pictures."""

    def __getattribute__(self, name: str) -> Any:
        return object.__getattribute__(self, name) if name in ("see", "_model") else getattr(self._model, name)

    def see(self, pictures: Any) -> Iterator[list[torch.Tensor]]:
        if any(picture.key.startswith(shown(2, 1).sha256) for picture in pictures):
            raise ValueError("too ugly")
        yield from self._model.see(pictures)


async def test_a_picture_that_cannot_be_seen_fails_alone(make: Make, model: Model, truth: dict[str, str]) -> None:
    engine = make(model=Blind(model, ""), chunk=4096)
    results = await asyncio.gather(*(engine.generate(one) for one in REQUESTS.values()), return_exceptions=True)
    for name, result in zip(REQUESTS, results, strict=True):
        if name == "several of different sizes":
            assert isinstance(result, RequestRejected)
        else:
            assert isinstance(result, Completion), (name, result)
            assert result.text == truth[name]
    assert (await engine.generate(REQUESTS["short"])).text == truth["short"]


async def test_out_of_device_memory_shrinks_the_cache(make: Make, truth: dict[str, str]) -> None:
    engine = make(blocks=512)
    runner: Any = engine._loop._runner
    run, steps = runner.run, 0

    def tight(plan: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return run(plan)

    runner.run = tight
    assert await ask_all(engine, REQUESTS) == truth
    assert runner.memory.keys.shape[1] == 256
    assert engine.context_tokens == 1024


async def test_a_closed_engine_is_unavailable(make: Make, model: Model) -> None:
    engine = make(model=Scripted(model, "a" * 4000))
    running = asyncio.ensure_future(engine.generate(request(user("说"), new=1500)))
    await until(lambda: engine._loop.busy)
    await engine.close()
    with pytest.raises(EngineUnavailable):
        await running
    with pytest.raises(EngineUnavailable):
        await engine.generate(REQUESTS["short"])


def test_an_event_loop_that_is_gone_hurts_nobody(model: Model, truth: dict[str, str]) -> None:
    engine = LocalEngine(model, blocks=512, block_size=4)

    async def leave() -> None:
        stream: AsyncIterator[Chunk] = engine.stream(
            replace(REQUESTS["text"], sampling=SamplingParams(0, max_tokens=900))
        )
        await anext(stream)

    async def stay() -> str:
        text = (await collect(engine.stream(REQUESTS["one picture"]))).text
        await engine.close()
        return text

    asyncio.run(leave())
    assert asyncio.run(stay()) == truth["one picture"]


# ---------------------------------------------------------------- the script for other model folders


def test_the_script_finds_them_equal(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert equivalence.main([str(folder), "--device", "cpu", "--dtype", "float32", "--new", "8"]) == 0
    table = capsys.readouterr().out
    assert table.count(" ok\n") == 8
    assert "FAILS" not in table


def test_the_script_sees_what_is_wrong(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KeyValues, "copy", lambda memory, source, target: None)
    assert equivalence.main([str(folder), "--device", "cpu", "--dtype", "float32", "--new", "8"]) == 1
