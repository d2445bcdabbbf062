"""`POST /infer`: what it accepts, what it answers, and that no request of a stranger is a 500."""

import asyncio
import base64
import dataclasses
import hashlib
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import FormData
from aiohttp.test_utils import TestClient, TestServer
from fakes import FakeClock, FakeEngine, FakeHttp
from pictures import drawing, encoded

from bot.config import BreakerConfig, MediaConfig, ServerConfig
from bot.dispatcher import Dispatcher
from bot.engine.chain import EngineChain
from bot.errors import (
    BadPicture,
    ContextTooLong,
    EngineUnavailable,
    FetchFailed,
    MediaError,
    RequestRejected,
    StoreFull,
)
from bot.event import MessageEvent, Reply
from bot.handler import Context, Handlers
from bot.media import MediaStore
from bot.message import Image, Text, assistant, user
from bot.question import ask
from bot.router import ModelRouter
from bot.web.api import Api
from bot.web.server import make_app

LIMIT = 700_000
BASE64 = base64.b64encode(b"picture").decode()
Handler = Callable[[MessageEvent, Context], Awaitable[Reply | None]]


class FakeMedia:
    """Keeps anything; `errors` are raised by the bytes given."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.errors: dict[bytes, Exception] = {}

    async def keep(self, data: bytes, *, source: str = "") -> Image:
        if data in self.errors:
            raise self.errors[data]
        sha256 = hashlib.sha256(data).hexdigest()
        self.kept[sha256] = data
        return Image(source, sha256, "image/png", 8, 6)

    async def load(self, sha256: str) -> bytes:
        return self.kept[sha256]


class FailingHttp(FakeHttp):
    """`errors` are raised by URL."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: dict[str, Exception] = {}

    async def picture(self, url: str, *, hosts: frozenset[str] | None = None) -> bytes:
        if url in self.errors:
            raise self.errors[url]
        return await super().picture(url, hosts=hosts)


class Bench:
    """A server with one handler, `answer` unless a test sets another; `asked` holds what it was given."""

    def __init__(self, folder: Path) -> None:
        self.media = FakeMedia()
        self.http = FailingHttp()
        self.roots = folder / "open"
        self.roots.mkdir()
        self.asked: list[tuple[MessageEvent, Context]] = []
        self.handler: Handler = self.answer
        self.client: TestClient[Any, Any]

    async def answer(self, event: MessageEvent, context: Context) -> Reply | None:
        return Reply(
            (Text("好的"),),
            footer="脚注",
            model="fake",
            reason="普通提问",
            usage={"prompt_tokens": 3},
            timings={"total": 0.5},
        )

    async def _handle(self, event: MessageEvent, context: Context) -> Reply | None:
        self.asked.append((event, context))
        return await self.handler(event, context)

    async def start(self, config: ServerConfig, **options: Any) -> None:
        table = Handlers()
        table.message()(self._handle)
        chain = EngineChain(FakeEngine(), None, None, BreakerConfig(), FakeClock())
        dispatcher = Dispatcher([table], ModelRouter(), chain, self.media.load)
        api = Api(dispatcher, self.media, self.http, config, FakeClock(), **options)  # pyright: ignore
        self.client = TestClient(TestServer(make_app(api.routes(), [], config.upload_bytes)))
        await self.client.start_server()

    async def post(self, **body: Any) -> tuple[int, Any]:
        async with self.client.post("/infer", json=body) as response:
            return response.status, await response.json()

    async def raw(self, body: Any, content_type: str | None = "application/json") -> tuple[int, Any]:
        headers = {"Content-Type": content_type} if content_type else {}
        async with self.client.post("/infer", data=body, headers=headers) as response:
            return response.status, await response.json()

    async def refused(self, status: int, reason: str, **body: Any) -> str:
        """Asserts a refusal; returns its sentence."""
        found, answer = await self.post(**body)
        assert (found, answer["error"]["reason"]) == (status, reason), answer
        assert not answer["error"]["message"].isascii()
        return answer["error"]["message"]

    async def events(self, **body: Any) -> list[tuple[str, Any]]:
        async with self.client.post("/infer", json={"stream": True, **body}) as response:
            assert response.headers["Content-Type"].startswith("text/event-stream")
            return parse_events(await response.text())

    @property
    def texts(self) -> list[str]:
        return [part.text for part in self.asked[-1][0].message.parts if isinstance(part, Text)]

    @property
    def pictures(self) -> list[bytes]:
        return [self.media.kept[image.sha256] for image in self.asked[-1][0].message.images]


def parse_events(text: str) -> list[tuple[str, Any]]:
    blocks = [block for block in text.split("\n\n") if block and not block.startswith(":")]
    pairs = [block.split("\n") for block in blocks]
    return [(event.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for event, data in pairs]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path)
    await bench.start(ServerConfig(upload_bytes=LIMIT, image_roots=(str(bench.roots),)), heartbeat=0.001)
    yield bench
    await bench.client.close()


async def test_a_text_question(bench: Bench) -> None:
    status, answer = await bench.post(prompt=" 你好 ")
    assert status == 200
    assert answer == {
        "text": "好的",
        "footer": "脚注",
        "model": "fake",
        "reason": "普通提问",
        "usage": {"prompt_tokens": 3},
        "timings": {"total": 0.5},
        "images": [],
    }
    event, context = bench.asked[0]
    assert bench.texts == ["你好"]
    assert (event.conversation.platform, event.sender.id, event.to_me, context.model) == ("api", "api", True, "auto")


async def test_every_question_has_a_conversation_of_its_own(bench: Bench) -> None:
    for _ in range(2):
        await bench.post(prompt="你好")
    assert len({event.conversation.chat_id for event, _ in bench.asked}) == 2
    assert len({context.cache_salt for _, context in bench.asked}) == 2


async def test_pictures_of_every_kind_are_numbered_in_order(bench: Bench) -> None:
    (bench.roots / "a.png").write_bytes(b"from disk")
    bench.http.pictures = {"https://example.com/a.png": b"from the web", "http://example.com/b.png": b"second"}
    status, answer = await bench.post(
        image_path="a.png",
        image_url="https://example.com/a.png",
        image_base64=BASE64,
        images=[
            "http://example.com/b.png",
            f"data:image/png;charset=x;base64,{BASE64}",
            BASE64,
            {"path": str(bench.roots / "a.png")},
            {"url": f"DATA:;base64,{BASE64}"},
            {"base64": BASE64, "url": None},
        ],
        prompt="比较",
        model="heavy",
    )
    assert status == 200, answer
    inline = b"picture"
    expected = [b"from disk", b"from the web", inline, b"second", inline, inline, b"from disk", inline, inline]
    assert bench.pictures == expected
    parts = bench.asked[0][0].message.parts
    assert [getattr(part, "index", None) for part in parts] == [1, 2, 3, 4, 5, 6, 7, 8, 9, None]
    assert answer["images"][1] == {
        "sha256": hashlib.sha256(b"from the web").hexdigest(),
        "width": 8,
        "height": 6,
        "mime_type": "image/png",
        "index": 2,
    }
    assert bench.asked[0][1].model == "heavy"


async def test_a_picture_needs_no_prompt(bench: Bench) -> None:
    assert (await bench.post(image_base64=BASE64))[0] == 200
    assert bench.texts == []


async def test_history_comes_before(bench: Bench) -> None:
    history = [{"role": "user", "text": "甲"}, {"role": "assistant", "text": "乙"}]
    await bench.post(prompt="丙", history=history)
    assert bench.asked[0][1].memory.history == (user("甲"), assistant("乙"))


async def test_nothing_asked(bench: Bench) -> None:
    await bench.refused(400, "empty_question")
    await bench.refused(400, "empty_question", prompt=" \n", images=[])
    await bench.refused(400, "empty_question", history=[{"role": "user", "text": "甲"}])


@pytest.mark.parametrize(
    ("body", "reason", "words"),
    [
        ({"promt": "x"}, "unknown_key", "prompt"),
        ({"image": BASE64}, "unknown_key", "images"),
        ({"zzzzzzzz": 1}, "unknown_key", "image_path"),
        ({"prompt": "x", "x" * 5000: 1}, "unknown_key", "…"),
        ({"images": [{"ulr": "x"}]}, "unknown_key", "url"),
        ({"history": [{"role": "user", "txt": "x"}]}, "unknown_key", "text"),
        ({"prompt": 3}, "bad_value", "prompt：要的是文字，给的是数字"),
        ({"prompt": None}, "bad_value", "prompt"),
        ({"prompt": "x", "stream": "true"}, "bad_value", "stream"),
        ({"prompt": "x", "model": "medium"}, "bad_value", "model"),
        ({"prompt": "x", "images": "x"}, "bad_value", "images"),
        ({"prompt": "x", "images": [3]}, "bad_value", "images[0]"),
        ({"prompt": "x", "images": [{}]}, "bad_value", "images[0]"),
        ({"prompt": "x", "images": [{"url": "a", "path": "b"}]}, "bad_value", "images[0]"),
        ({"prompt": "x", "history": [{"role": "system", "text": "x"}]}, "bad_value", "history[0].role"),
        ({"prompt": "x", "history": [{"role": "user"}]}, "bad_value", "缺少 text"),
        ({"prompt": "x", "history": [{"role": "user", "text": ""}] * 41}, "bad_value", "最多 40 项"),
        ({"images": [BASE64] * 17}, "too_many_pictures", "16"),
        ({"image_base64": ""}, "bad_base64", "image_base64"),
        ({"image_base64": "cGljdHVyZQ"}, "bad_base64", "image_base64"),
        ({"image_base64": "cGlj\ndHVyZQ=="}, "bad_base64", "image_base64"),
        ({"image_base64": "图片"}, "bad_base64", "image_base64"),
        ({"image_base64": f"data:image/png,{BASE64}"}, "bad_base64", "image_base64"),
        ({"images": ["ftp://example.com/a.png"]}, "bad_base64", "images[0]"),
        ({"image_url": "data:image/png;base64,%%%"}, "bad_base64", "image_url"),
    ],
)
async def test_wrong_requests(bench: Bench, body: dict[str, Any], reason: str, words: str) -> None:
    message = await bench.refused(400, reason, **body)
    assert words in message
    assert len(message) < 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"[" * 100_000,
        b'{"images":' + b"[" * 100_000,
        b'{"history":' + b'{"a":' * 100_000,
        b'{"zzz":' + b"[" * 100_000,
        b'{"prompt": NaN}',
        b'{"prompt": "\xff\xfe"}',
        b'{"prompt": "\\ud800"}',
        b'{"stream": ' + b"9" * 100_000 + b"}",
        b'{"stream": 1e999999}',
        b'{"prompt": "x"} trailing',
        '{"prompt": "x"}'.encode("utf-16"),
    ],
)
async def test_broken_json(bench: Bench, body: bytes) -> None:
    status, answer = await bench.raw(body)
    assert status == 400
    assert answer["error"]["reason"] in {"malformed", "bad_value", "unknown_key"}


async def test_odd_but_good_json(bench: Bench) -> None:
    for body in (b'\xef\xbb\xbf{"prompt":"x"}', b'{"prompt":"a","prompt":"x"}'):
        assert (await bench.raw(body))[0] == 200
        assert bench.texts == ["x"]
    assert (await bench.raw(b'{"prompt":"x"}', "application/json; charset=UTF-8"))[0] == 200


@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/x-www-form-urlencoded", "application/json; charset=gbk"]
)
async def test_other_content_types(bench: Bench, kind: str | None) -> None:
    status, answer = await bench.raw(b'{"prompt":"x"}', kind)
    assert (status, answer["error"]["reason"]) == (415, "unsupported_media_type")


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_too_large_a_body(bench: Bench) -> None:
    whole = json.dumps({"prompt": "x" * LIMIT}).encode()
    for body in (whole, pieces(whole[:10], whole[10:])):
        status, answer = await bench.raw(body)
        assert (status, answer["error"]["reason"]) == (413, "too_large")


async def test_paths_are_off_by_default(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    await bench.start(ServerConfig())
    await bench.refused(403, "image_path_disabled", image_path="a.png")
    await bench.client.close()


@pytest.mark.parametrize("path", ["../secret.png", "/etc/passwd", "absent.png", "", "\0", "link.png", "."])
async def test_paths_stay_inside(bench: Bench, path: str) -> None:
    outside = bench.roots.parent / "secret.png"
    outside.write_bytes(b"secret")
    (bench.roots / "link.png").symlink_to(outside)
    await bench.refused(403, "forbidden_path", image_path=path)


async def test_a_large_file_is_not_read_whole(bench: Bench) -> None:
    (bench.roots / "large.png").write_bytes(bytes(LIMIT + 1))
    await bench.refused(413, "too_many_bytes", image_path="large.png")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BadPicture("broken", "这张图片已损坏。"), 422),
        (BadPicture("too_many_bytes", "太大。"), 413),
        (BadPicture("too_many_pixels", "太大。"), 413),
        (MediaError("decoder_unavailable", "打不开。"), 503),
    ],
)
async def test_bad_pictures(bench: Bench, error: MediaError, status: int) -> None:
    bench.media.errors[b"picture"] = error
    assert await bench.refused(status, error.code, image_base64=BASE64) == str(error)


async def test_the_bad_one_of_several_is_named(bench: Bench) -> None:
    bench.media.errors[b"picture"] = BadPicture("broken", "这张图片已损坏。")
    good = base64.b64encode(b"good").decode()
    assert await bench.refused(422, "broken", images=[good, BASE64]) == "图2：这张图片已损坏。"
    assert (await bench.refused(422, "gone", images=[good, "https://a/"])).startswith("图2：")


async def test_a_full_disk(bench: Bench) -> None:
    for error in (OSError(28, "No space left on device"), StoreFull("full")):
        bench.media.errors[b"picture"] = error
        await bench.refused(503, "storage_unavailable", image_base64=BASE64)


@pytest.mark.parametrize(
    ("code", "retry", "status"),
    [
        ("timeout", True, 504),
        ("unreachable", True, 502),
        ("bad_status", True, 502),
        ("tls", False, 502),
        ("bad_status", False, 422),
        ("forbidden_address", False, 422),
        ("bad_url", False, 422),
    ],
)
async def test_fetching_fails(bench: Bench, code: str, retry: bool, status: int) -> None:
    bench.http.errors["https://example.com/"] = FetchFailed(code, "取不到。", retry=retry)
    await bench.refused(status, code, image_url="https://example.com/")


ENGINE_ERRORS = [
    (EngineUnavailable("down", retry_after=7.2), 503, "engine_unavailable"),
    (ContextTooLong("long"), 413, "context_too_long"),
    (RequestRejected("secret key sk-123"), 502, "engine_rejected"),
    (ZeroDivisionError("secret"), 500, "internal"),
]


@pytest.mark.parametrize(("error", "status", "reason"), ENGINE_ERRORS)
async def test_the_engine_fails(bench: Bench, error: Exception, status: int, reason: str) -> None:
    async def fail(event: MessageEvent, context: Context) -> Reply | None:
        raise error

    bench.handler = fail
    assert "secret" not in await bench.refused(status, reason, prompt="x")
    events = await bench.events(prompt="x")
    assert [event for event, _ in events] == ["error"]
    assert events[0][1]["error"]["reason"] == reason


async def test_when_to_come_back(bench: Bench) -> None:
    async def fail(event: MessageEvent, context: Context) -> Reply | None:
        raise EngineUnavailable("down", retry_after=7.2)

    bench.handler = fail
    async with bench.client.post("/infer", json={"prompt": "x"}) as response:
        assert response.headers["Retry-After"] == "8"


async def test_no_handler_takes_it(bench: Bench) -> None:
    async def decline(event: MessageEvent, context: Context) -> Reply | None:
        return None

    bench.handler = decline
    await bench.refused(501, "no_handler", prompt="x")


async def test_streaming_ends_with_what_is_answered_whole(bench: Bench) -> None:
    async def grow(event: MessageEvent, context: Context) -> Reply | None:
        for end in range(1, 5):
            await context.draft.update("春眠不觉"[:end])
            await asyncio.sleep(0)
        return Reply((Text("春眠不觉"),), model="fake")

    bench.handler = grow
    whole = (await bench.post(prompt="x"))[1]
    events = await bench.events(prompt="x")
    assert "".join(data["text"] for event, data in events if event == "delta") == "春眠不觉"
    assert events[-1] == ("done", whole)


async def test_words_that_are_no_unicode(bench: Bench) -> None:
    async def answer(event: MessageEvent, context: Context) -> Reply | None:
        await context.draft.update("坏\ud800字")
        return Reply((Text("坏\ud800字\u2028\n"),))

    bench.handler = answer
    assert (await bench.post(prompt="x"))[1]["text"] == "坏?字\u2028\n"
    events = await bench.events(prompt="x")
    assert events[-1][1]["text"] == "坏?字\u2028\n"


async def test_a_draft_begun_anew(bench: Bench) -> None:
    seen = asyncio.Event()

    async def replace(event: MessageEvent, context: Context) -> Reply | None:
        await context.draft.update("第一")
        await seen.wait()
        await context.draft.update("另一个")
        return Reply((Text("另一个"),))

    bench.handler = replace
    async with bench.client.post("/infer", json={"prompt": "x", "stream": True}) as response:
        text = ""
        async for line in response.content:
            text += line.decode()
            if "第一" in text:
                seen.set()
    assert [event for event, _ in parse_events(text)] == ["delta", "reset", "done"]
    assert parse_events(text)[1][1] == {"text": "另一个"}


async def test_signs_of_life(bench: Bench) -> None:
    gate = asyncio.Event()

    async def wait(event: MessageEvent, context: Context) -> Reply | None:
        await gate.wait()
        return Reply((Text("好"),))

    bench.handler = wait
    async with bench.client.post("/infer", json={"prompt": "x", "stream": True}) as response:
        beats = 0
        async for line in response.content:
            beats += line == b":\n"
            if beats == 3:
                gate.set()
    assert beats >= 3


async def test_errors_before_a_stream_have_their_status(bench: Bench) -> None:
    bench.media.errors[b"picture"] = BadPicture("broken", "这张图片已损坏。")
    await bench.refused(422, "broken", image_base64=BASE64, stream=True)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_cancels_the_generation(bench: Bench, stream: bool) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def wait(event: MessageEvent, context: Context) -> Reply | None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return None

    bench.handler = wait
    asking = asyncio.create_task(bench.events(prompt="x") if stream else bench.post(prompt="x"))
    await started.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    async with asyncio.timeout(10):
        await cancelled.wait()


#: A form's field: name, more of its head, content. The boundary is `b`.
PART = b'--b\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n'


def form(*files: tuple[str, bytes], **fields: str) -> FormData:
    data = FormData(default_to_multipart=True)
    for name, content in files:
        data.add_field(name, content, filename="图.png", content_type="image/png")
    for name, value in fields.items():
        data.add_field(name, value)
    return data


async def upload(bench: Bench, data: FormData) -> tuple[int, Any]:
    async with bench.client.post("/infer", data=data) as response:
        return response.status, await response.json()


async def test_an_uploaded_form(bench: Bench) -> None:
    history = json.dumps([{"role": "user", "text": "甲"}])
    data = form(
        ("image", b"one"), ("image", b"two\r\n--"), ("images", b"three"), prompt="问", model="light", history=history
    )
    data.add_field("stream", "false")
    status, answer = await upload(bench, data)
    assert status == 200, answer
    assert bench.pictures == [b"one", b"two\r\n--", b"three"]
    assert bench.texts == ["问"]
    assert bench.asked[0][1].memory.history == (user("甲"),)
    assert bench.asked[0][1].model == "light"


async def test_an_uploaded_form_can_stream(bench: Bench) -> None:
    async with bench.client.post("/infer", data=form(("image", b"one"), stream="1")) as response:
        assert parse_events(await response.text())[-1][0] == "done"


async def test_a_file_chooser_left_alone(bench: Bench) -> None:
    body = PART % (b"image", b'; filename=""', b"") + PART % (b"prompt", b"", b"x") + b"--b--\r\n"
    assert (await bench.raw(body, "multipart/form-data; boundary=b"))[0] == 200
    assert bench.pictures == []


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        (form(prompt=""), 400, "empty_question"),
        (form(promt="x"), 400, "unknown_key"),
        (form(("file", b"x")), 400, "unknown_key"),
        (form(prompt="x", model="medium"), 400, "bad_value"),
        (form(prompt="x", stream="vielleicht"), 400, "bad_value"),
        (form(prompt="x", history="{"), 400, "malformed"),
        (form(prompt="x", history="[" * 9999), 400, "malformed"),
        (form(prompt="x", history='[{"role":"user","text":3}]'), 400, "bad_value"),
        (form(*[("image", b"x")] * 17), 400, "too_many_pictures"),
        (form(*[("image", b"x")] * 40), 400, "too_many_fields"),
        (form(("image", bytes(LIMIT))), 413, "too_large"),
    ],
)
async def test_wrong_forms(bench: Bench, data: FormData, status: int, reason: str) -> None:
    found, answer = await upload(bench, data)
    assert (found, answer["error"]["reason"]) == (status, reason), answer


async def test_a_field_given_twice(bench: Bench) -> None:
    data = form(prompt="x")
    data.add_field("prompt", "y")
    assert (await upload(bench, data))[0] == 400


async def test_mangled_forms_are_never_our_fault(bench: Bench) -> None:
    """Cut short, bytes changed, boundaries missing: refused or read, never a 500."""
    good = PART % (b"image", b'; filename="a"', bytes(range(256))) + PART % (b"prompt", b"", b"x") + b"--b--\r\n"
    dice = random.Random(5)
    bodies = [good[: dice.randrange(len(good))] for _ in range(60)]
    for _ in range(120):
        changed = bytearray(good)
        for _ in range(dice.randrange(1, 6)):
            changed[dice.randrange(len(changed))] = dice.choice(b'\r\n-b";:\0\xff ')
        bodies.append(bytes(changed))
    statuses = {(await bench.raw(body, "multipart/form-data; boundary=b"))[0] for body in bodies}
    assert statuses <= {200, 400}
    for kind in ("multipart/form-data", "multipart/form-data; boundary=", f"multipart/form-data; boundary={'x' * 99}"):
        assert (await bench.raw(good, kind))[0] == 400


async def test_a_form_inside_a_form(bench: Bench) -> None:
    inner = PART % (b"image", b"\r\nContent-Type: multipart/mixed; boundary=c", b"--c\r\n\r\nx\r\n--c--")
    assert (await bench.raw(inner + b"--b--\r\n", "multipart/form-data; boundary=b"))[0] == 400


async def test_the_command_line_asks_the_same_way(tmp_path: Path) -> None:
    """The real handler, router and media folder, without a server."""
    import handlers.ask

    media = MediaStore(tmp_path / "media", MediaConfig())
    engine = FakeEngine("fake", lambda request: f"{len(request.pictures)} 张图")
    dispatcher = Dispatcher(
        [handlers.ask.on], ModelRouter(), EngineChain(engine, None, None, BreakerConfig(), FakeClock()), media.load
    )
    try:
        result = await ask(dispatcher, media, [encoded(drawing())], "图里是什么", clock=FakeClock())
        with pytest.raises(BadPicture, match="图2"):
            await ask(dispatcher, media, [encoded(drawing()), b"no picture"])
    finally:
        await media.close()
    assert (result.text, result.model, result.reason) == ("1 张图", "fake", "单图取数")
    assert dataclasses.replace(result.images[0], sha256="") == Image("", "", "image/png", 64, 48, 1)
