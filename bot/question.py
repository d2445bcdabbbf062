"""A question from outside any chat: the HTTP API, the page and the command line ask it.

Nothing of it is stored but the pictures (the media folder keeps those by SHA-256). Every question has a
conversation of its own, made up for it: what was said before travels with the question.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

from bot.clock import Clock
from bot.dispatcher import Dispatcher
from bot.drafts import Draft
from bot.errors import MediaError, RequestError
from bot.event import Conversation, MessageEvent, Reply, Sender
from bot.handler import ModelChoice
from bot.media import MediaStore
from bot.message import Image, Message, user
from bot.store import Memory

#: More would be cut off by the handlers, silently.
MAX_PICTURES: Final = 16


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. images: kept and numbered from 1; history: earlier turns, oldest first."""

    prompt: str = ""
    images: tuple[Image, ...] = ()
    model: ModelChoice = "auto"
    history: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it; the fields are those of `Reply`."""

    text: str
    footer: str = ""
    model: str = ""
    reason: str = ""
    usage: dict[str, int] = field(default_factory=dict[str, int])
    timings: dict[str, float] = field(default_factory=dict[str, float])
    images: tuple[Image, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form; pictures without their source, which may be a path of this machine."""
        found = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "images"}
        return found | {"images": [_image_to_dict(image) for image in self.images]}


async def ask(
    dispatcher: Dispatcher,
    media: MediaStore,
    pictures: Sequence[bytes],
    prompt: str = "",
    *,
    model: ModelChoice = "auto",
    history: tuple[Message, ...] = (),
    draft: Draft | None = None,
    clock: Clock | None = None,
) -> Result:
    """Keep the pictures, ask about them. Raises MediaError, RequestError, EngineError, OSError (disk full)."""
    check_askable(prompt, len(pictures))
    images = [await keep_picture(media, data, index, len(pictures)) for index, data in enumerate(pictures, 1)]
    question = Question(prompt.strip(), tuple(images), model, history)
    return await answer_question(dispatcher, question, draft=draft, clock=clock)


def check_askable(prompt: str, pictures: int) -> None:
    """Raises RequestError (400) when there is nothing to ask, or too much."""
    if pictures > MAX_PICTURES:
        raise RequestError("too_many_pictures", f"一次最多 {MAX_PICTURES} 张图片，这里有 {pictures} 张。")
    if not pictures and not prompt.strip():
        raise RequestError("empty_question", "请发一张图片，或者写一个问题。")


async def keep_picture(media: MediaStore, data: bytes, index: int = 1, of: int = 1) -> Image:
    """Keep picture number `index` of `of`; with several, the error says which. Raises MediaError, OSError."""
    try:
        return replace(await media.keep(data), index=index)
    except MediaError as error:
        raise numbered(error, index, of) from error


def numbered(error: MediaError, index: int, of: int) -> MediaError:
    """The same error, its sentence beginning with the picture's number when there are several."""
    if of > 1:
        error.args = (f"图{index}：{error}",)
    return error


async def answer_question(
    dispatcher: Dispatcher, question: Question, *, draft: Draft | None = None, clock: Clock | None = None
) -> Result:
    """Let the handlers answer. Raises RequestError (501) when none takes it, and EngineError."""
    reply = await dispatcher.answer(
        _event(question, clock or Clock()), memory=Memory(question.history), draft=draft, model=question.model
    )
    if reply is None:
        raise RequestError("no_handler", "没有启用能回答这个问题的功能。", 501)
    return _result(reply, question.images)


def _event(question: Question, clock: Clock) -> MessageEvent:
    chat = secrets.token_hex(16)
    return MessageEvent(
        id=f"api-{chat}",
        conversation=Conversation("api", "", chat),
        sender=Sender("api"),
        message=user(*question.images, *([question.prompt] if question.prompt else [])),
        timestamp=int(clock.now()),
    )


def _result(reply: Reply, images: tuple[Image, ...]) -> Result:
    return Result(reply.text, reply.footer, reply.model, reply.reason, dict(reply.usage), dict(reply.timings), images)


def _image_to_dict(image: Image) -> dict[str, Any]:
    names = ("sha256", "width", "height", "mime_type", "index")
    return {name: getattr(image, name) for name in names}
