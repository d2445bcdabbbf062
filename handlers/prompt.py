"""A question made ready for an engine: which pictures it means, and what of the conversation fits beside it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bot.budget import Fitted, fit
from bot.drafts import Draft
from bot.engine.base import GenerateRequest, SamplingParams
from bot.errors import EngineError
from bot.event import SessionChange
from bot.handler import Context
from bot.message import Image, Message, Quote, system, user
from bot.references import Reference, names_pictures, resolve
from bot.router import Route

_SUMMARISE = "把下面的对话压缩成一段摘要，保留图号、数字、编号、人名和没有解决的问题，不超过 200 字。"
#: Tokens of a summary, and of the words that ask for it.
_SUMMARY_ROOM, _SUMMARY_WORDS = 400, 100


@dataclass(frozen=True, slots=True)
class Asked:
    """A question made ready: its pictures, its route, and the words to answer."""

    question: Message
    route: Route
    pictures: tuple[Image, ...]


@dataclass(frozen=True, slots=True)
class Prompt:
    """fitted: what to send; no messages where nothing fits. summary: of old turns, to be kept with the session."""

    fitted: Fitted
    summary: SessionChange


def meant(question: Message, context: Context) -> Reference:
    """The pictures that a question is about."""
    memory, sent, quoted = context.memory, _sent(question), _quoted(question)
    newest = max((known.image.index for known in memory.pictures), default=0)
    nothing_at_hand = newest <= memory.named_to and not memory.focus
    if nothing_at_hand and not (sent or quoted or names_pictures(question.text)):
        return Reference(())
    return resolve(question.text, sent, memory.pictures, quoted, memory.focus)


def _sent(message: Message) -> tuple[Image, ...]:
    return tuple(part for part in message.parts if isinstance(part, Image))


def _quoted(message: Message) -> tuple[Image, ...]:
    return tuple(image for part in message.parts if isinstance(part, Quote) for image in part.message.images)


async def prepare(asked: Asked, instructions: str, room: int, context: Context) -> Prompt:
    """What fits beside `room` tokens of the model, and, where old turns had to be summed up, the summary to keep."""
    history, summary = context.memory.history, context.memory.summary
    first = _fitted(asked, instructions, room, context, history, summary)
    if not first.summarise:
        return Prompt(first, SessionChange())
    try:
        summary = await _summary(first.summarise, context)
    except EngineError:
        return Prompt(first, SessionChange())
    ids = context.memory.turn_ids
    kept = SessionChange(summary=summary, summarised_to=ids[first.left_out - 1]) if ids else SessionChange()
    return Prompt(_fitted(asked, instructions, room, context, history[first.left_out :], summary), kept)


def _fitted(
    asked: Asked, instructions: str, room: int, context: Context, history: tuple[Message, ...], summary: str
) -> Fitted:
    engine, light = context.engines.engine(asked.route.model), context.engines.engine("light")
    return fit(
        system(instructions),
        history,
        asked.question,
        needed=asked.pictures,
        context_tokens=engine.context_tokens,
        answer_tokens=room,
        descriptions={known.image.sha256: known.description for known in context.memory.pictures},
        summary=summary,
        count_text=engine.count_text,
        count_picture=engine.count_picture,
        summarising=light.generates,
        # The light model reads the old turns alone: what a long answer is to get does not narrow that.
        material_tokens=max(0, light.context_tokens - _SUMMARY_ROOM - _SUMMARY_WORDS),
    )


async def _summary(turns: tuple[Message, ...], context: Context) -> str:
    said = "\n".join(f"{'用户' if turn.role == 'user' else '看图'}：{turn.text}" for turn in turns)
    request = GenerateRequest(
        (system(_SUMMARISE), user(said)),
        sampling=SamplingParams(max_tokens=_SUMMARY_ROOM),
        cache_salt=context.cache_salt,
    )
    return (await context.engines.answer("light", request, Draft())).completion.text


async def pixels(wanted: Iterable[str], context: Context) -> dict[str, bytes]:
    """Pictures by SHA-256, as an engine takes them."""
    return {sha256: await context.load_picture(sha256) for sha256 in sorted(wanted)}


def apology(missing: tuple[str, ...]) -> str:
    """What is said of pictures that could not be had."""
    return "有图片没能用上：" + "；".join(missing) + "。请重新发送。"
