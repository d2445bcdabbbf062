"""The whole path over real HTTP: a signed webhook brings a picture and a question, the answer is delivered."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from fake_model_server import FakeModelServer, Knobs
from pictures import encoded
from PIL import Image, ImageDraw, ImageFont
from service import Receiver, event_id, headers_for, post, receiver, settings, signed_event

from bot.app import Service
from bot.config import parse

FONT = "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc"


def screenshot() -> bytes:
    """A payment page as a customer would send it."""
    page = Image.new("RGB", (720, 900), "white")
    draw = ImageDraw.Draw(page)
    lines = ["支付失败", "错误码：PAY-4471", "订单号：7730018256", "应付金额：¥86.50"]
    for number, line in enumerate(lines):
        draw.text((60, 80 + 130 * number), line, "black", ImageFont.truetype(FONT, 44))
    return encoded(page)


@pytest.fixture
async def platform() -> AsyncIterator[tuple[Receiver, str]]:
    async with receiver() as made:
        yield made


class Running:
    """A service in this process and a client for it."""

    def __init__(self, service: Service, session: aiohttp.ClientSession) -> None:
        self.service = service
        self.session = session
        self.url = f"http://127.0.0.1:{service.port}"


async def running(folder: Path, reply_url: str, **sections: Any) -> AsyncIterator[Running]:
    service = await Service.open(parse(settings(folder, reply_url, **sections)))
    await service.start()
    async with aiohttp.ClientSession() as session:
        yield Running(service, session)
    await service.stop()


@pytest.fixture
async def default(tmp_path: Path, platform: tuple[Receiver, str]) -> AsyncIterator[Running]:
    """The built-in engine: nothing configured but the webhook."""
    async for one in running(tmp_path, platform[1]):
        yield one


@pytest.fixture
async def modelled(tmp_path: Path, platform: tuple[Receiver, str]) -> AsyncIterator[tuple[Running, FakeModelServer]]:
    async with FakeModelServer(Knobs(reply="两张图都看到了。")) as server:
        light = {"engine": "openai", "base_url": server.url, "model": "fake-vlm"}
        async for one in running(tmp_path, platform[1], models={"light": light}):
            yield one, server


def inline(data: bytes) -> dict[str, str]:
    return {"base64": base64.b64encode(data).decode(), "mime": "image/png"}


async def test_a_screenshot_and_a_question_are_answered_by_the_built_in_engine(
    default: Running, platform: tuple[Receiver, str]
) -> None:
    name = event_id()
    assert await post(default.session, default.url, name, "错误码是多少？", images=[inline(screenshot())]) == 200
    await platform[0].wait_for(1)
    (reply,) = platform[0].replies.values()
    assert "PAY-4471" in reply["text"]
    assert reply["reply_to"] == f"m-{name}"
    # Asked again without the picture, in the same conversation.
    assert await post(default.session, default.url, event_id(), "应付多少钱？") == 200
    await platform[0].wait_for(2)
    assert "86.5" in platform[0].texts()[1]


async def test_replies_can_be_read_over_rest(default: Running, platform: tuple[Receiver, str]) -> None:
    name = event_id()
    await post(default.session, default.url, name, "这是什么")
    await platform[0].wait_for(1)
    for _ in range(200):
        async with default.session.get(f"{default.url}/api/events/generic/{name}") as answer:
            status = await answer.json()
        if status["replies"][0]["state"] == "sent":
            break
        await asyncio.sleep(0.01)
    assert status["state"] == "done"
    assert "请配置模型" in status["replies"][0]["text"]
    async with default.session.get(f"{default.url}/api/events/generic/nothing") as answer:
        assert answer.status == 404


async def test_the_model_gets_pictures_as_bytes_and_its_answer_is_delivered(
    modelled: tuple[Running, FakeModelServer], platform: tuple[Receiver, str]
) -> None:
    service, server = modelled
    await post(
        service.session,
        service.url,
        event_id(),
        "比较",
        images=[inline(screenshot()), inline(encoded(Image.new("RGB", (9, 9))))],
    )
    await platform[0].wait_for(1)
    assert platform[0].texts() == ["两张图都看到了。\n\n（图1、图2）"]
    assert len(server.requests[-1].pictures) == 2


async def test_the_same_event_five_times_at_once_is_answered_once(
    modelled: tuple[Running, FakeModelServer], platform: tuple[Receiver, str]
) -> None:
    service, server = modelled
    body, headers = signed_event(event_id(), "你好")

    async def deliver() -> int:
        async with service.session.post(f"{service.url}/webhook/generic", data=body, headers=headers) as answer:
            return answer.status

    assert await asyncio.gather(*(deliver() for _ in range(5))) == [200] * 5
    await post(service.session, service.url, event_id(), "最后一个", chat="other")
    await platform[0].wait_for(2)
    assert len(server.requests) == 2
    assert platform[0].copies == 0


async def test_a_picture_from_a_private_address_is_refused_and_said_so(
    default: Running, platform: tuple[Receiver, str]
) -> None:
    await post(default.session, default.url, event_id(), "看", images=[{"url": f"{default.url}/healthz"}])
    await platform[0].wait_for(1)
    assert "有图片没能用上" in platform[0].texts()[0]


BAD: list[tuple[bytes, dict[str, str], int, str]] = [
    (b"{}", {"webhook-signature": "v1,AAAA"}, 401, "bad_signature"),
    (b"{}", {"webhook-signature": ""}, 401, "missing_signature"),
    (b"{}", {"webhook-timestamp": "1"}, 401, "bad_signature"),
    (b"[1, ", {}, 400, "malformed"),
    (b"\xff\xfe", {}, 400, "malformed"),
    (b"[" * 100_000 + b"]" * 100_000, {}, 400, "malformed"),
    (b'{"id": ' + b"9" * 5000 + b"}", {}, 400, "malformed"),
]


@pytest.mark.parametrize(("body", "changed", "status", "reason"), BAD)
async def test_a_bad_webhook_gets_its_status_and_leaves_nothing(
    default: Running, body: bytes, changed: dict[str, str], status: int, reason: str
) -> None:
    headers = headers_for("evt_bad", body) | changed
    async with default.session.post(f"{default.url}/webhook/generic", data=body, headers=headers) as answer:
        assert (answer.status, (await answer.json())["error"]["reason"]) == (status, reason)
    assert (await default.service.store.counts())["pending"] == 0


async def test_a_body_of_twenty_megabytes_is_refused_whether_declared_or_not(default: Running) -> None:
    big = b"x" * (20 << 20)

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(big), 1 << 20):
            yield big[start : start + (1 << 20)]

    for data in (io.BytesIO(big), chunks()):
        headers = headers_for("evt_big", b"")
        try:
            async with default.session.post(f"{default.url}/webhook/generic", data=data, headers=headers) as answer:
                assert answer.status == 413
        except (aiohttp.ClientConnectionError, aiohttp.ClientOSError):
            pass  # the server hung up before we had sent it all
    assert await post(default.session, default.url, event_id(), "还在吗") == 200


async def test_a_full_store_is_not_acknowledged(tmp_path: Path, platform: tuple[Receiver, str]) -> None:
    store = {"min_free_bytes": 1 << 60}
    async for one in running(tmp_path, platform[1], store=store):
        assert await post(one.session, one.url, "evt_1", "你好") == 503


async def test_a_connection_that_sends_no_whole_head_is_closed(
    tmp_path: Path, platform: tuple[Receiver, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.web.server._HEAD_TIMEOUT", 0.3)
    async for one in running(tmp_path, platform[1]):
        reader, writer = await asyncio.open_connection("127.0.0.1", one.service.port)
        writer.write(b"POST /webhook/generic HTTP/1.1\r\nHost: x\r\nX-A")
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
        await writer.wait_closed()
        # One that has asked before may rest between questions.
        for _ in range(2):
            async with one.session.get(f"{one.url}/healthz") as answer:
                assert answer.status == 200
            await asyncio.sleep(0.6)


async def test_unknown_adapters_and_health(default: Running) -> None:
    async with default.session.post(f"{default.url}/webhook/nothing") as answer:
        assert answer.status == 404
    async with default.session.get(f"{default.url}/healthz") as answer:
        assert await answer.json() == {"status": "ok"}
    async with default.session.get(f"{default.url}/readyz") as answer:
        assert (answer.status, (await answer.json())["status"]) == (200, "ready")


async def test_dead_letters_are_listed_and_tried_again_over_rest(
    tmp_path: Path, platform: tuple[Receiver, str]
) -> None:
    async with FakeModelServer(Knobs(fail_first=-1)) as server:
        light = {"engine": "openai", "base_url": server.url, "model": "fake-vlm", "retries": 0}
        sections = {
            "models": {"light": light, "breaker": {"failures": 1000}},
            "worker": {"attempts": 2, "retry_base": 0.01},
        }
        async for one in running(tmp_path, platform[1], **sections):
            await post(one.session, one.url, "evt_1", "你好")
            await platform[0].wait_for(1)
            assert "抱歉" in platform[0].texts()[0]
            async with one.session.get(f"{one.url}/api/dead") as answer:
                (letter,) = (await answer.json())["dead"]
            assert (letter["kind"], letter["state"]) == ("event", "dead")
            server.knobs.fail_first = 0
            async with one.session.post(f"{one.url}/api/dead/event/{letter['id']}/retry") as answer:
                assert answer.status == 202
            await platform[0].wait_for(2)
            assert platform[0].texts()[1] == server.knobs.reply


async def test_with_no_configuration_the_webhook_has_a_secret_of_its_own(tmp_path: Path) -> None:
    service = await Service.open(parse({"data_dir": str(tmp_path / "data"), "server": {"port": 0}}))
    await service.start()
    secret = tmp_path / "data" / "webhook-secret"
    assert secret.read_text().startswith("whsec_")
    assert secret.stat().st_mode & 0o777 == 0o600
    async with aiohttp.ClientSession() as session:
        assert await post(session, f"http://127.0.0.1:{service.port}", "evt", "x") == 401
    await service.stop()


async def test_an_answer_over_infer(default: Running) -> None:
    body = {"image_base64": base64.b64encode(screenshot()).decode(), "prompt": "订单号是多少"}
    async with default.session.post(
        f"{default.url}/infer", data=json.dumps(body), headers={"content-type": "application/json"}
    ) as answer:
        result = await answer.json()
    assert answer.status == 200
    assert "7730018256" in result["text"]
    assert result["model"] == "reader"
    assert result["reason"]
