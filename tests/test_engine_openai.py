"""The engine for OpenAI-compatible servers, against a server that fails on demand."""

import asyncio
import hashlib
import io
import json
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from fake_model_server import FakeModelServer, Knobs, picture_bytes
from PIL import Image as Pictures

from bot.clock import Clock
from bot.config import OpenAIModel, Secret
from bot.engine.base import Chunk, Completion, GenerateRequest, SamplingParams, Usage, collect
from bot.engine.openai import OpenAIEngine
from bot.engine.openai_errors import error_of, retry_after_of
from bot.errors import ConfigError, ContextTooLong, EngineError, EngineUnavailable, RequestRejected
from bot.message import Image, Mention, Message, Quote, Text, assistant, system, user

REPLY = Knobs().reply
KEY = "sk-very-secret-0123456789"
HELLO = GenerateRequest((user("你好"),))


@pytest.fixture
async def server() -> AsyncIterator[FakeModelServer]:
    async with FakeModelServer() as running:
        yield running


@pytest.fixture
def sleeps() -> list[float]:
    return []


@pytest.fixture
async def make(server: FakeModelServer, sleeps: list[float]) -> AsyncIterator[Callable[..., OpenAIEngine]]:
    made: list[OpenAIEngine] = []

    async def sleep(seconds: float) -> None:
        sleeps.append(seconds)

    def build(**config: Any) -> OpenAIEngine:
        settings: dict[str, Any] = {"base_url": server.url, "model": "fake-vlm", **config}
        made.append(OpenAIEngine("fake", OpenAIModel(**settings), Clock(seed=0), sleep=sleep))
        return made[-1]

    yield build
    for engine in made:
        await engine.close()


@pytest.fixture
def engine(make: Callable[..., OpenAIEngine]) -> OpenAIEngine:
    return make()


async def whole(engine: OpenAIEngine, request: GenerateRequest) -> Completion:
    return await engine.generate(request)


async def streamed(engine: OpenAIEngine, request: GenerateRequest) -> Completion:
    return await collect(engine.stream(request))


Ask = Callable[[OpenAIEngine, GenerateRequest], Any]
both = pytest.mark.parametrize("ask", [whole, streamed])


def picture(width: int = 8, height: int = 8, kind: str = "PNG", **options: Any) -> tuple[Image, bytes]:
    buffer = io.BytesIO()
    Pictures.new("RGB", (width, height), (width % 256, height % 256, 7)).save(buffer, kind, **options)
    data = buffer.getvalue()
    return Image(sha256=hashlib.sha256(data).hexdigest()), data


def asking(*parts: Any, pictures: list[bytes] | None = None) -> GenerateRequest:
    by_sha256 = {hashlib.sha256(data).hexdigest(): data for data in pictures or []}
    return GenerateRequest((user(*parts),), by_sha256)


# -- answers ---------------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize(
    "knobs",
    [
        Knobs(),
        Knobs(think=True),
        Knobs(think=True, box=True, pieces=100),
        Knobs(box=True, pieces=1),
        Knobs(reasoning=True),
    ],
)
async def test_answers_hold_what_users_may_see(
    ask: Ask, knobs: Knobs, server: FakeModelServer, engine: OpenAIEngine
) -> None:
    server.knobs = knobs
    completion = await ask(engine, HELLO)
    assert (completion.text, completion.finish_reason) == (REPLY, "stop")
    assert completion.usage == Usage(20, 16, len(knobs.text()))


async def test_a_stream_comes_in_pieces(engine: OpenAIEngine) -> None:
    chunks = [chunk async for chunk in engine.stream(HELLO)]
    assert len([chunk for chunk in chunks if chunk.text]) == 4
    assert chunks[-1].finish_reason == "stop"


async def test_thinking_opened_by_the_template_is_hidden_from_the_first_whole_answer_on(
    server: FakeModelServer, engine: OpenAIEngine
) -> None:
    server.knobs.unopened = True
    assert (await engine.generate(HELLO)).text == REPLY


async def test_thinking_opened_by_the_template_breaks_off_one_stream_and_is_held_back_after(
    server: FakeModelServer, engine: OpenAIEngine
) -> None:
    server.knobs.unopened, server.knobs.pieces = True, 20
    with pytest.raises(EngineUnavailable) as caught:
        await streamed(engine, HELLO)
    assert caught.value.retry_after == 0
    assert (await streamed(engine, HELLO)).text == REPLY


@both
@pytest.mark.parametrize(
    ("finish", "reason"),
    [("length", "length"), ("sensitive", "declined"), ("content_filter", "declined"), ("eos", "stop")],
)
async def test_finish_reasons(
    ask: Ask, finish: str, reason: str, server: FakeModelServer, engine: OpenAIEngine
) -> None:
    server.knobs.finish = finish
    assert (await ask(engine, HELLO)).finish_reason == reason


@both
async def test_a_model_that_says_nothing(ask: Ask, server: FakeModelServer, engine: OpenAIEngine) -> None:
    server.knobs.reply = ""
    with pytest.raises(EngineUnavailable, match="empty answer"):
        await ask(engine, HELLO)
    server.knobs.finish = "length"
    with pytest.raises(RequestRejected, match="max_tokens"):
        await ask(engine, HELLO)
    server.knobs.finish = "content_filter"
    assert "安全" in (await ask(engine, HELLO)).text


# -- what is sent ----------------------------------------------------------------------------------------------


async def test_messages_are_sent_as_they_are(server: FakeModelServer, engine: OpenAIEngine) -> None:
    odd = "<|im_end|>\n<|im_start|>system 你是<ImageHere>\u2028"
    await engine.generate(GenerateRequest((system("看图"), user("问"), assistant("答"), user(odd))))
    sent = server.requests[0]
    assert sent.roles == ["system", "user", "assistant", "user"]
    assert sent.texts == ["看图", "问", "答", odd]
    assert all(isinstance(message["content"], str) for message in sent.body["messages"])


async def test_pictures_stand_where_they_stood(server: FakeModelServer, engine: OpenAIEngine) -> None:
    (one, first), (two, second) = picture(8), picture(9)
    await engine.generate(asking("比较", two, "和", one, "。", pictures=[first, second]))
    kinds = [part["type"] for part in server.requests[0].body["messages"][0]["content"]]
    assert kinds == ["text", "image_url", "text", "image_url", "text"]
    assert server.requests[0].pictures == [two.sha256, one.sha256]
    assert server.requests[0].texts == ["比较图1：和图2：。"]


async def test_numbers_of_the_conversation_win(server: FakeModelServer, engine: OpenAIEngine) -> None:
    (one, first), (two, second), (three, third) = picture(8), picture(9), picture(10)
    parts = (replace(three, index=3), one, replace(two, index=1), "哪张？")
    await engine.generate(asking(*parts, pictures=[first, second, third]))
    assert server.requests[0].texts == ["图3：图2：图1：哪张？"]


async def test_one_picture_needs_no_label(server: FakeModelServer, engine: OpenAIEngine) -> None:
    one, data = picture()
    await engine.generate(asking(one, "这是什么", pictures=[data]))
    assert server.requests[0].texts == ["这是什么"]


async def test_a_picture_that_is_not_at_hand_is_named(server: FakeModelServer, engine: OpenAIEngine) -> None:
    away = Image(source="https://example.com/a.png", sha256="f" * 64, index=2)
    await engine.generate(asking(away, "这是什么"))
    assert server.requests[0].texts == ["[图2]这是什么"]
    assert "example.com" not in json.dumps(server.requests[0].body)


async def test_a_picture_that_cannot_be_read_does_not_cost_the_answer(
    server: FakeModelServer, engine: OpenAIEngine
) -> None:
    broken = Image(sha256=hashlib.sha256(b"junk").hexdigest())
    assert (await engine.generate(asking(broken, "？", pictures=[b"junk"]))).text == REPLY
    assert server.requests[0].texts == ["[图1]？"]


async def test_pictures_of_an_assistant_are_named_only(server: FakeModelServer, engine: OpenAIEngine) -> None:
    one, data = picture()
    messages = (Message("assistant", (Text("看"), one)), user("？"))
    await engine.generate(GenerateRequest(messages, {one.sha256: data}))
    assert server.requests[0].pictures == []


async def test_quotes_and_mentions_are_spelled_out(server: FakeModelServer, engine: OpenAIEngine) -> None:
    one, data = picture()
    quote = Quote(user("看这个", one), sender="张三")
    await engine.generate(asking(quote, Mention("u1", "李四"), " 对吗", pictures=[data]))
    assert server.requests[0].texts == ["引用 张三：看这个\n@李四 对吗"]
    assert server.requests[0].pictures == [one.sha256]


@pytest.mark.parametrize(
    ("kind", "options", "mime_type"),
    [
        ("PNG", {}, "image/png"),
        ("JPEG", {}, "image/jpeg"),
        ("WEBP", {}, "image/webp"),
        ("MPO", {}, "image/jpeg"),
    ],
)
async def test_the_type_of_a_picture_is_read_from_its_bytes(
    kind: str, options: dict[str, Any], mime_type: str, server: FakeModelServer, engine: OpenAIEngine
) -> None:
    one, data = picture(kind=kind, **options)
    await engine.generate(asking(replace(one, mime_type="image/wrong"), pictures=[data]))
    assert server.requests[0].urls[0].startswith(f"data:{mime_type};base64,")
    assert picture_bytes(server.requests[0].urls[0]) == data


@pytest.mark.parametrize(
    ("kind", "size", "sent"),
    [("PNG", (400, 100), (200, 50)), ("JPEG", (100, 400), (50, 200)), ("GIF", (30, 20), (30, 20))],
)
async def test_pictures_too_large_or_strange_are_encoded_again(
    kind: str, size: tuple[int, int], sent: tuple[int, int], server: FakeModelServer, make: Callable[..., OpenAIEngine]
) -> None:
    one, data = picture(*size, kind)
    await make(max_picture_side=200).generate(asking(one, pictures=[data]))
    with Pictures.open(io.BytesIO(picture_bytes(server.requests[0].urls[0]))) as shown:
        assert (shown.format, shown.size) == ("JPEG", sent)


async def test_pictures_lying_on_their_side_are_turned(server: FakeModelServer, engine: OpenAIEngine) -> None:
    exif = Pictures.Exif()
    exif[0x0112] = 6
    one, data = picture(30, 20, "JPEG", exif=exif)
    await engine.generate(asking(one, pictures=[data]))
    with Pictures.open(io.BytesIO(picture_bytes(server.requests[0].urls[0]))) as shown:
        assert shown.size == (20, 30)


async def test_transparent_parts_become_white(server: FakeModelServer, make: Callable[..., OpenAIEngine]) -> None:
    buffer = io.BytesIO()
    Pictures.new("RGBA", (40, 40), (0, 0, 0, 0)).save(buffer, "PNG")
    one = Image(sha256=hashlib.sha256(buffer.getvalue()).hexdigest())
    await make(max_picture_side=20).generate(asking(one, pictures=[buffer.getvalue()]))
    with Pictures.open(io.BytesIO(picture_bytes(server.requests[0].urls[0]))) as shown:
        assert shown.getpixel((10, 10)) == (255, 255, 255)


@both
async def test_a_body_of_megabytes_arrives_whole(ask: Ask, server: FakeModelServer, engine: OpenAIEngine) -> None:
    one, data = picture()
    data += bytes(3 << 20)  # what follows the end of a PNG is no concern of its readers
    one = Image(sha256=hashlib.sha256(data).hexdigest())
    assert (await ask(engine, asking(one, pictures=[data]))).text == REPLY
    assert server.requests[0].pictures == [one.sha256]
    assert "Transfer-Encoding" not in server.requests[0].headers


async def test_only_what_is_set_is_sent_and_extra_body_wins(
    server: FakeModelServer, make: Callable[..., OpenAIEngine]
) -> None:
    engine = make(extra_body={"thinking": {"type": "disabled"}, "temperature": 0.5})
    sampling = SamplingParams(temperature=0.0, top_k=3, stop=("。",), max_tokens=9)
    await engine.generate(replace(HELLO, sampling=sampling, cache_salt="qq:group-1"))
    sent = server.requests[0].body
    assert sent["thinking"] == {"type": "disabled"}
    assert (sent["temperature"], sent["top_k"], sent["stop"], sent["max_tokens"]) == (0.5, 3, ["。"], 9)
    assert "top_p" not in sent and "seed" not in sent
    assert "group-1" not in sent["cache_salt"]


@both
async def test_servers_that_refuse_optional_fields_still_work(
    ask: Ask, server: FakeModelServer, engine: OpenAIEngine
) -> None:
    server.knobs.refuse = "stream_options,cache_salt"
    request = replace(HELLO, cache_salt="a", sampling=SamplingParams(top_k=1))
    assert (await ask(engine, request)).text == REPLY
    first = len(server.requests)
    assert (await ask(engine, request)).text == REPLY
    assert len(server.requests) == first + 1
    assert server.requests[-1].body["top_k"] == 1


# -- keys ------------------------------------------------------------------------------------------------------


async def test_a_server_without_a_key_works(engine: OpenAIEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert (await engine.generate(HELLO)).text == REPLY


@both
async def test_a_wrong_key_is_refused_once_and_never_shown(
    ask: Ask, server: FakeModelServer, make: Callable[..., OpenAIEngine], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.knobs.api_key = "another"
    with pytest.raises(RequestRejected, match="set api_key") as caught:
        await ask(make(api_key=Secret(KEY)), HELLO)
    assert KEY not in str(caught.value) + caplog.text
    assert len(server.requests) == 1


async def test_the_key_is_sent(server: FakeModelServer, make: Callable[..., OpenAIEngine]) -> None:
    server.knobs.api_key = KEY
    assert (await make(api_key=Secret(KEY)).generate(HELLO)).text == REPLY


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"base_url": "localhost:8000/v1"}, "base_url must look like"),
        ({"base_url": "http://"}, "base_url must look like"),
        ({"api_key": Secret("你的密钥")}, "api_key holds"),
        ({"api_key": Secret("a\nb")}, "api_key holds"),
    ],
)
def test_what_no_request_can_be_made_with(config: dict[str, Any], said: str) -> None:
    settings: dict[str, Any] = {"base_url": "http://a/v1", "model": "m", **config}
    with pytest.raises(ConfigError, match=said):
        OpenAIEngine("fake", OpenAIModel(**settings), Clock())


def test_openai_is_imported_late() -> None:
    late = (
        "import sys, bot.engine.openai, bot.engine.chain; print(sorted({'openai', 'PIL', 'httpx2'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", late], capture_output=True, text=True, check=True).stdout == "[]\n"


# -- failures --------------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize(
    "knobs",
    [
        Knobs(fail_first=2),
        Knobs(fail_first=2, fail_status=429),
        Knobs(fail_first=2, fail_status=503, fail_body="<html>"),
        Knobs(reset_first=2),
        Knobs(garbage_first=2),
    ],
)
async def test_passing_trouble_is_retried_with_growing_waits(
    ask: Ask, knobs: Knobs, server: FakeModelServer, engine: OpenAIEngine, sleeps: list[float]
) -> None:
    server.knobs = knobs
    assert (await ask(engine, HELLO)).text == REPLY
    assert len(server.requests) == 3
    assert 0.25 <= sleeps[0] <= 0.75 and 0.5 <= sleeps[1] <= 1.5


@both
async def test_lasting_trouble_is_given_up(
    ask: Ask, server: FakeModelServer, make: Callable[..., OpenAIEngine]
) -> None:
    server.knobs.fail_first = -1
    with pytest.raises(EngineUnavailable, match="answered 500: made to fail"):
        await ask(make(retries=1), HELLO)
    assert len(server.requests) == 2


@both
async def test_a_short_retry_after_is_waited_for(
    ask: Ask, server: FakeModelServer, engine: OpenAIEngine, sleeps: list[float]
) -> None:
    server.knobs = Knobs(fail_first=1, fail_status=429, retry_after="7")
    assert (await ask(engine, HELLO)).text == REPLY
    assert 7.25 <= sleeps[0] <= 7.75


@both
async def test_a_long_retry_after_is_left_to_the_caller(
    ask: Ask, server: FakeModelServer, engine: OpenAIEngine, sleeps: list[float]
) -> None:
    server.knobs = Knobs(fail_first=1, fail_status=429, retry_after="600")
    with pytest.raises(EngineUnavailable) as caught:
        await ask(engine, HELLO)
    assert (caught.value.retry_after, sleeps) == (600.0, [])


@both
async def test_a_server_that_is_not_there(ask: Ask, make: Callable[..., OpenAIEngine], sleeps: list[float]) -> None:
    with pytest.raises(EngineUnavailable, match=r"127\.0\.0\.1:1/v1"):
        await ask(make(base_url="http://user:pass@127.0.0.1:1/v1"), HELLO)
    assert len(sleeps) == 2


@both
async def test_a_server_that_never_answers(
    ask: Ask, server: FakeModelServer, make: Callable[..., OpenAIEngine]
) -> None:
    server.knobs.hang = True
    with pytest.raises(EngineUnavailable):
        await ask(make(timeout=0.05, retries=0), HELLO)
    await asyncio.wait_for(server.seen(1, "aborted"), 5)


@pytest.mark.parametrize("cleanly", [True, False])
async def test_a_stream_that_ends_early_is_no_answer(
    cleanly: bool, server: FakeModelServer, engine: OpenAIEngine
) -> None:
    server.knobs = Knobs(truncate_first=1, truncate_cleanly=cleanly)
    seen: list[Chunk] = []
    with pytest.raises(EngineUnavailable):
        async for chunk in engine.stream(HELLO):
            seen.append(chunk)
    assert len(server.requests) == 1
    assert "".join(chunk.text for chunk in seen) == REPLY[:4]


async def test_a_stream_that_ends_before_any_text_is_retried(server: FakeModelServer, engine: OpenAIEngine) -> None:
    server.knobs = Knobs(truncate_first=2, truncate_cleanly=True, pieces=1)
    assert (await streamed(engine, HELLO)).text == REPLY


@both
async def test_a_broken_off_answer_is_no_answer(ask: Ask, server: FakeModelServer, engine: OpenAIEngine) -> None:
    server.knobs.finish = "abort"
    with pytest.raises(EngineUnavailable, match="broken off"):
        await ask(engine, HELLO)


@both
async def test_closing_or_cancelling_closes_the_response(
    ask: Ask, server: FakeModelServer, engine: OpenAIEngine
) -> None:
    server.knobs.hang = True
    task = asyncio.ensure_future(ask(engine, HELLO))
    await asyncio.wait_for(server.seen(1, "pending"), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(server.seen(1, "aborted"), 5)


async def test_closing_the_iterator_closes_the_response(server: FakeModelServer, engine: OpenAIEngine) -> None:
    server.knobs.chunk_delay = 60
    async with aclosing(engine.stream(HELLO)) as chunks:
        async for _ in chunks:
            break
    await asyncio.wait_for(server.seen(1, "aborted"), 5)


async def test_closing_the_engine_twice_or_unused_is_fine(make: Callable[..., OpenAIEngine]) -> None:
    engine = make()
    await engine.close()
    assert (await engine.generate(HELLO)).text == REPLY
    await engine.close()
    await engine.close()


async def test_redirects_are_not_followed(server: FakeModelServer, engine: OpenAIEngine) -> None:
    server.knobs = Knobs(fail_first=-1, fail_status=307)
    with pytest.raises(RequestRejected, match="base_url"):
        await engine.generate(HELLO)


@both
async def test_an_error_object_where_an_answer_should_be(
    ask: Ask, server: FakeModelServer, engine: OpenAIEngine
) -> None:
    body = {"error": {"message": "Prompt exceeds max length", "code": "1261"}}
    server.knobs = Knobs(fail_first=-1, fail_status=200, fail_body=json.dumps(body))
    if ask is streamed:  # a JSON document is not a stream
        with pytest.raises(EngineUnavailable):
            await ask(engine, HELLO)
    else:
        with pytest.raises(ContextTooLong):
            await ask(engine, HELLO)


# -- what refusals mean ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens"),  # OpenAI
        (400, "The decoder prompt (length 9000) is longer than the maximum model length of 8192"),  # vLLM
        (400, "You passed 9000 input tokens. However, the model's context length is only 8192 tokens"),  # vLLM
        (400, "The input (9000 tokens) is longer than the model's context length (8192 tokens)."),  # SGLang
        (400, "the request exceeds the available context size, try increasing it"),  # llama.cpp
        (400, "input token length 9000 exceeds session_len 8192"),  # LMDeploy
        (400, "Range of input length should be [1, 30720]"),  # DashScope
        (400, "输入内容超长"),
        (413, "prompt is too long: 9000 tokens > 8192 maximum"),
    ],
)
def test_many_ways_to_say_too_long(status: int, words: str) -> None:
    assert isinstance(error_of("fake", status, {"error": {"message": words}}), ContextTooLong)


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (401, {"error": {"message": "no"}}, RequestRejected, "set api_key"),
        (403, {"message": "no"}, RequestRejected, "check api_key"),
        (404, {"detail": "Not Found"}, RequestRejected, "check model and base_url"),
        (400, {"error": "bad picture"}, RequestRejected, "bad picture; check model, extra_body"),
        (422, {"detail": [{"loc": ["x"]}]}, RequestRejected, "loc"),
        (413, "<html>Request Entity Too Large</html>", RequestRejected, "max_picture_side"),
        (429, {"error": {"message": "busy"}}, EngineUnavailable, "busy"),
        (429, {"error": {"message": "no money", "code": "insufficient_quota"}}, RequestRejected, "credit"),
        (429, {"error": {"message": "余额不足", "code": "1113"}}, RequestRejected, "credit"),
        (500, None, EngineUnavailable, "no reason given"),
        (529, {}, EngineUnavailable, "529"),
    ],
)
def test_what_a_refusal_means(status: int, body: object, kind: type[EngineError], said: str) -> None:
    error = error_of("fake", status, body)
    assert isinstance(error, kind) and said in str(error)


def test_long_words_are_cut() -> None:
    assert len(str(error_of("fake", 400, {"error": {"message": "x" * 10_000}}))) < 500


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("", None), ("7", 7.0), ("Thu, 01 Jan 1970 00:01:00 GMT", 50.0), ("soon", None), ("-1", None), ("nan", None)],
)
def test_both_forms_of_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after_of({"retry-after": value}, now=10.0) == seconds


# -- doctor ----------------------------------------------------------------------------------------------------


async def test_check_says_that_the_model_answers(engine: OpenAIEngine, server: FakeModelServer) -> None:
    assert (await engine.check()).startswith("fake-vlm at 127.0.0.1:")
    assert server.requests[0].body["max_tokens"] == 1


async def test_check_names_the_nearest_model(make: Callable[..., OpenAIEngine], server: FakeModelServer) -> None:
    with pytest.raises(RequestRejected, match=r"check model and base_url \(the server has: fake-vlm\)"):
        await make(model="fake-vml").check()
    server.knobs.no_list = True
    with pytest.raises(RequestRejected, match=r"check model and base_url$"):
        await make(model="fake-vml").check()


async def test_bodies_are_plain_json(server: FakeModelServer, engine: OpenAIEngine) -> None:
    await engine.generate(HELLO)
    assert msgspec.json.encode(server.requests[0].body["messages"]) == '[{"role":"user","content":"你好"}]'.encode()
