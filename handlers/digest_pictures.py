"""The pictures of a span: copies put together, numbered as they came, each with a line that says what it shows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from bot import contact_sheet, likeness
from bot.drafts import Draft
from bot.engine.base import GenerateRequest, SamplingParams
from bot.errors import EngineError, MediaError
from bot.event import File
from bot.handler import Context
from bot.likeness import Fingerprint
from bot.message import Image, Text, system, user
from bot.subscription import Seen
from handlers.digest_transcript import RULES, Transcript, cut, neutral, text_of

#: Newer ones than these are neither compared nor numbered: a flood says little.
_MOST = 300
#: Groups that a model is asked about where nobody said anything; a picture then costs some 350 tokens.
_ASKED = 12
_SIDE = 448
_CAPTION = 40
_SAID = 30
_INSTRUCTION = f"用一句不超过 20 个字的中文说明这张图片是什么，编号和数字逐字照抄。\n{RULES}"


@dataclass(frozen=True, slots=True)
class Group:
    """Pictures that look alike; the first stands for all. seen: the messages that brought them. caption: or empty."""

    number: int
    image: Image
    seen: tuple[Seen, ...]
    caption: str = ""

    @property
    def shas(self) -> frozenset[str]:
        return frozenset(image.sha256 for one in self.seen for image in one.message.images if image.sha256)


@dataclass(frozen=True, slots=True)
class Album:
    """A span's pictures, by number. left_out: those that were too many."""

    groups: tuple[Group, ...] = ()
    numbers: dict[str, int] | None = None
    left_out: int = 0

    def lines(self, transcript: Transcript) -> list[str]:
        """A line each: `- 图1（3 次，小王 10:32）：caption link`."""
        lines = [_line(group, transcript) for group in self.groups]
        return [*lines, *([f"- 另有 {self.left_out} 张没有列出"] if self.left_out else [])]


async def album(seen: Sequence[Seen], context: Context) -> Album:
    """Group and number what people sent; captions come from answers, else from the picture's text or a model."""
    brought: dict[str, list[Seen]] = {}
    images: dict[str, Image] = {}
    for one in seen:
        for image in one.message.images if one.asker is None else ():
            if image.sha256:
                images.setdefault(image.sha256, image)
                brought.setdefault(image.sha256, []).append(one)
    shas = list(images)[:_MOST]
    prints = [await _print(sha256, context) for sha256 in shas]
    groups, numbers = list[Group](), dict[str, int]()
    for number, places in enumerate(likeness.groups(prints), start=1):
        members = [shas[place] for place in places]
        numbers.update(dict.fromkeys(members, number))
        messages = sorted((one for sha256 in members for one in brought[sha256]), key=lambda one: one.at)
        groups.append(Group(number, images[members[0]], tuple(messages)))
    return Album(tuple(await _captioned(groups, seen, context)), numbers, len(images) - len(shas))


async def sheet(groups: Sequence[Group], context: Context, name: str) -> tuple[File, ...]:
    """The pictures small on one, as a file to send along; nothing where there is none."""
    pictures = [(group.number, await _load(group.image.sha256, context)) for group in groups[: contact_sheet.MOST]]
    there = [(number, data) for number, data in pictures if data]
    if not there:
        return ()
    return (File(f"{name}.jpg", "image/jpeg", await asyncio.to_thread(contact_sheet.draw, there)),)


def _line(group: Group, transcript: Transcript) -> str:
    first = group.seen[0]
    times = f"{len(group.seen)} 次，" if len(group.seen) > 1 else ""
    said = cut(text_of(first.message), _SAID)
    about = "；".join(filter(None, (f"“{said}”" if said else "", group.caption))) or "（没有文字说明）"
    link = f" {first.link}" if first.link.startswith(("https://", "http://")) else ""
    return (
        f"- 图{group.number}（{times}{transcript.names.of(first.sender)} {transcript.time(first.at)}）：{about}{link}"
    )


async def _load(sha256: str, context: Context) -> bytes:
    """Empty where the picture is gone."""
    try:
        return await context.load_picture(sha256)
    except MediaError:
        return b""


async def _print(sha256: str, context: Context) -> Fingerprint | None:
    data = await _load(sha256, context)
    return await asyncio.to_thread(likeness.fingerprint, data) if data else None


async def _captioned(groups: Sequence[Group], seen: Sequence[Seen], context: Context) -> list[Group]:
    answers = {one.turn: one for one in seen if one.asker is not None and one.turn}
    asked, found = 0, list[Group]()
    for group in groups:
        caption = _answered(group, answers)
        if not caption and asked < _ASKED:
            asked += 1
            caption = await _seen_in(group.image, context)
        found.append(Group(group.number, group.image, group.seen, caption))
    return found


def _answered(group: Group, answers: dict[int, Seen]) -> str:
    """What was answered about the picture where it was the only one asked about."""
    for one in group.seen:
        answer = answers.get(one.turn)
        if answer is not None and len(one.message.images) == 1:
            lines = [neutral(line).strip("#* ") for line in answer.message.text.splitlines()]
            return cut(next(filter(None, lines), ""), _CAPTION)
    return ""


async def _seen_in(image: Image, context: Context) -> str:
    """What a model says it shows, else the text that is read in it."""
    data = await _load(image.sha256, context)
    if not data:
        return ""
    ways: tuple[Callable[[], Awaitable[str]], ...] = (
        lambda: _described(image, data, context),
        lambda: _read(image.sha256, context),
    )
    for way in ways:
        try:
            if caption := cut(neutral(await way()), _CAPTION):
                return caption
        except (EngineError, MediaError):
            continue
    return ""


async def _described(image: Image, data: bytes, context: Context) -> str:
    if not context.engines.engine("light").generates:
        return ""
    request = GenerateRequest(
        (
            system(_INSTRUCTION),
            user(Image("", image.sha256, image.mime_type, image.width, image.height, 1), Text("图1")),
        ),
        {image.sha256: data},
        SamplingParams(max_tokens=60),
        {image.sha256: _SIDE},
        context.cache_salt,
        "report",
    )
    completion = (await context.engines.answer("light", request, Draft())).completion
    return "" if completion.finish_reason == "declined" else completion.text


async def _read(sha256: str, context: Context) -> str:
    """The longest of the first lines that are read in it: a heading says more than a status bar."""
    lines = [line.text.strip() for line in await context.read_picture(sha256)][:6]
    return f"图中文字：{max(lines, key=len)}" if lines else ""
