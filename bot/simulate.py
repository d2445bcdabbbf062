"""`kantu doctor --simulate <platform>`: the whole path against a fake chat platform, without any account."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from io import BytesIO
from typing import Any, Protocol

import msgspec

from bot.app import Service, load_simulated
from bot.config import Config

_QUESTION = "图里写了什么？"
_WORDS = "KANTU 7730018256"
_PATIENCE = 120.0


class Shown(Protocol):
    """A message as its reader sees it: the text at the end, and all texts that it had."""

    text: str
    kind: str
    shown: list[str]


class Simulated(Protocol):
    """What is used here of `adapters.simulated.platform.SimulatedPlatform`."""

    base: str
    webhook: str
    refused: list[str]

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    def section(self) -> dict[str, Any]: ...
    async def say(self, text: str = "", pictures: Sequence[bytes] = ()) -> str: ...
    async def answers(self, count: int = 1, timeout: float = _PATIENCE) -> Sequence[Shown]: ...  # noqa: ASYNC109


async def simulate(platform: str, config: Config) -> int:
    """Ask about a picture and print what a user of the platform would see; 0 when an answer came and no rule broke."""
    fake: Simulated = load_simulated(platform)
    await fake.start()
    with tempfile.TemporaryDirectory(prefix="kantu-simulate-") as folder:
        service = await Service.open(_config(config, folder, platform, fake))
        try:
            await service.start()
            fake.webhook = f"http://127.0.0.1:{service.port}/webhook/{platform}"
            return await _converse(platform, fake)
        finally:
            await service.stop()
            await fake.stop()


def _config(config: Config, folder: str, platform: str, fake: Simulated) -> Config:
    """The operator's models and rules, with a store of its own and nothing but the fake platform."""
    media = msgspec.structs.replace(config.media, allow_hosts=(fake.base.removeprefix("http://"),))
    return msgspec.structs.replace(
        config,
        data_dir=folder,
        server=msgspec.structs.replace(config.server, host="127.0.0.1", port=0),
        store=msgspec.structs.replace(config.store, url=type(config.store.url)(""), min_free_bytes=0),
        media=media,
        adapters={platform: fake.section()},
    )


async def _converse(platform: str, fake: Simulated) -> int:
    print(f"模拟的 {platform} 在 {fake.base}，机器人在 {fake.webhook}")
    print(f"→ 用户发来一张写着“{_WORDS}”的图片，并问：{_QUESTION}")
    await fake.say(_QUESTION, [_picture()])
    try:
        (answer, *_) = await fake.answers(1, _PATIENCE)
    except TimeoutError:
        print(f"✗ {_PATIENCE:.0f} 秒内没有收到回答；上面的日志说明原因")
        return 1
    for text in answer.shown[:-1]:
        print(f"… {text}")
    print(f"← 看图回答（{answer.kind}）：{answer.text}")
    for broken in fake.refused:
        print(f"✗ 违反平台规则：{broken}")
    print("一切正常" if not fake.refused else "有规则没有遵守")
    return 1 if fake.refused else 0


def _picture() -> bytes:
    from PIL import Image, ImageDraw, ImageFont

    page = Image.new("RGB", (640, 160), "white")
    ImageDraw.Draw(page).text((40, 50), _WORDS, "black", ImageFont.load_default(48))
    buffer = BytesIO()
    page.save(buffer, "PNG")
    return buffer.getvalue()
