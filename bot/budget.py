"""What fits into the model's context.

Pure. A ladder of requests, each smaller than the one before and none depending on the budget; the first that fits
is taken. So a larger budget never loses more, and what is lost goes in this order:

1. pixels of pictures the question does not need, the oldest first (their one-line description stays)
2. sharpness of the needed pictures, down to `_SHARP` tokens each: one photo of a phone may cost 6,144 of a light
   model's 8,192 tokens, and losing all history to its last pixels would be a bad bargain
3. old turns, at least half of them at once, so that the start of the prompt (and a prefix cache on it) then stays
   the same for some turns; they come back as material to summarise, what is too much even for that as dropped
4. the summary
5. more sharpness, equally by area: a long screenshot keeps its width
6. pixels of the needed pictures, the last ones first; `problem` tells the user

The question's text is never cut. Where it does not fit even alone, there are no messages and `problem` says so.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from bot.message import Image, Mention, Message, Part, Quote, Text

CountText = Callable[[str], int]
CountPicture = Callable[[int, int], int]

#: pixels under one token: 14-pixel patches, merged two by two
_TOKEN_SIDE = 28
#: tokens of a template around one message, around one picture, and around the whole request
_MESSAGE_MARKS, _PICTURE_MARKS, _REQUEST_MARKS = 4, 2, 8
_SHARP = 3072
#: tokens left to each needed picture, step by step; below the last (about 450 × 450 pixels) text is unreadable
_COARSER = (2048, 1536, 1024, 768, 512, 384, 256)
_DESCRIPTION = 200
_SUMMARY_LEAD = "\n\n此前对话的摘要："


def estimate_text(text: str) -> int:
    """Tokens of a text, rather too many.

    Made for the byte-level vocabularies of GLM-4, Qwen and InternLM2 (about 0.7 tokens per Chinese character, 4
    letters per English token). Letters count 1 per 3; digits 1 each, as Qwen and InternLM2 split numbers; CJK,
    punctuation and spaces 1; other scripts 2; characters beyond the BMP (emoji) 4, one per byte.
    """
    words = sum(-(-len(word) // 3) for word in re.findall(r"[A-Za-z]+", text))
    single = len(re.findall(r"[^A-Za-z]", text))
    foreign = len(re.findall(r"[^\x00-\x7f\u2000-\u206f\u3000-\u30ff\u4e00-\u9fff\uff00-\uffef]", text))
    return words + single + foreign + 2 * len(re.findall(r"[^\x00-\uffff]", text))


def estimate_picture(width: int, height: int, min_pixels: int = 6_272, max_pixels: int = 4_816_896) -> int:
    """Tokens of a picture of so many pixels, never too few: one per 28×28 pixels after the model's own scaling.

    The defaults are GLM-4.1V's and GLM-4.6V-Flash's: `preprocessor_config.json` says 12,544 and 9,633,792, counted
    over the two frames that a still picture is repeated to (transformers, `Glm46VImageProcessor`). A picture of
    unknown size counts as the largest.
    """
    most = max(max_pixels // _TOKEN_SIDE**2, 1)
    if width <= 0 or height <= 0:
        return most
    # Sides below one token are scaled up to it first, then an area below the least.
    scale = max(1.0, _TOKEN_SIDE / min(width, height))
    scale *= max(1.0, math.sqrt(min_pixels / (width * height * scale * scale)))
    tokens = math.ceil(width * scale / _TOKEN_SIDE) * math.ceil(height * scale / _TOKEN_SIDE)
    return min(tokens, most)


@dataclass(frozen=True, slots=True)
class Fitted:
    """What to send.

    messages: system, history and the question last; empty where nothing fits. pixels: SHA-256 of the pictures that
    the messages show. shrink: the longest side (pixels) to scale such a picture to. summarise: old turns left out,
    oldest first, their pictures as text; have them summarised and call again with the summary and
    `history[fitted.left_out:]`, or send as it is. dropped: turns before those, too much even to summarise.
    problem: a Chinese sentence for the user. tokens: of the prompt, by the counters.
    """

    messages: tuple[Message, ...]
    pixels: frozenset[str] = frozenset()
    dropped: tuple[Message, ...] = ()
    summarise: tuple[Message, ...] = ()
    shrink: Mapping[str, int] = field(default_factory=dict[str, int])
    problem: str = ""
    tokens: int = 0

    @property
    def left_out(self) -> int:
        """How many messages of the history are not sent."""
        return len(self.dropped) + len(self.summarise)


def fit(
    system: Message,
    history: Sequence[Message],
    question: Message,
    *,
    needed: Sequence[Image],
    wanted: Collection[str] = (),
    context_tokens: int,
    answer_tokens: int,
    descriptions: Mapping[str, str] | None = None,
    summary: str = "",
    summarising: bool = True,
    summary_tokens: int = 400,
    material_tokens: int | None = None,
    count_text: CountText = estimate_text,
    count_picture: CountPicture = estimate_picture,
) -> Fitted:
    """The largest request on the ladder that leaves `answer_tokens` of `context_tokens`.

    history: oldest first. needed: pictures the question is about, wherever they were sent; those that no sent
    message holds are put before the question. wanted: SHA-256 of others to show while there is room. descriptions:
    one line by SHA-256. summary: of turns before `history`. summarising: False where no summary can be had; old
    turns are then dropped. summary_tokens: room kept for a summary to come. material_tokens: what the model that
    summarises can read, by default this request's budget.
    """
    budget = context_tokens - answer_tokens
    counter = _Counter(cache(count_text), count_picture, descriptions or {})
    for draft in _ladder(tuple(history), question, needed, wanted):
        messages = (_with_summary(system, summary if draft.noted else ""), *_arrange(draft, counter))
        tokens = counter.request(messages, draft.area)
        promised = summarising and draft.noted and bool(draft.removed)
        if tokens + (counter.coming(summary, summary_tokens) if promised else 0) <= budget:
            material = (material_tokens if material_tokens is not None else budget) if promised else 0
            return _fitted(draft, messages, tokens, counter, material)
    return Fitted((), dropped=tuple(history), problem="这个问题太长了，模型一次装不下，请精简或分成几段再问。")


# ---------------------------------------------------------------- the ladder


@dataclass(frozen=True, slots=True)
class _Draft:
    """shown: pictures with pixels. blind: needed ones without. area: most pixels a picture has, 0 as it is. noted:
    with the summary, or room for one. described: with descriptions of what is not shown."""

    question: Message
    kept: tuple[Message, ...]
    shown: tuple[Image, ...]
    removed: tuple[Message, ...] = ()
    blind: tuple[Image, ...] = ()
    area: int = 0
    noted: bool = True
    described: bool = True


def _ladder(
    history: tuple[Message, ...],
    question: Message,
    needed: Sequence[Image],
    wanted: Collection[str],
) -> Iterator[_Draft]:
    """Smaller and smaller."""
    must = _by_bytes(needed)
    about = {image.sha256 for image in must}
    others = [image for message in (*history, question) if message.role == "user" for image in message.images]
    extra = [image for image in _newest_place(others) if image.sha256 in wanted and image.sha256 not in about]
    for start in range(len(extra) + 1):
        yield _Draft(question, history, (*extra[start:], *must))
    draft = _Draft(question, history, must, area=_SHARP * _TOKEN_SIDE**2)
    yield draft
    for cut in _cuts(history):
        draft = replace(draft, kept=history[cut:], removed=history[:cut])
        yield draft
    draft = replace(draft, noted=False)
    for tokens in (_SHARP, *_COARSER):
        draft = replace(draft, area=tokens * _TOKEN_SIDE**2)
        yield draft
    for last in reversed(range(len(must))):
        draft = replace(draft, shown=must[:last], blind=must[last:])
        yield draft
    yield replace(draft, described=False)


def _by_bytes(images: Sequence[Image]) -> tuple[Image, ...]:
    """One per picture; what was never fetched cannot be shown."""
    return tuple({image.sha256: image for image in images if image.sha256}.values())


def _newest_place(images: Sequence[Image]) -> tuple[Image, ...]:
    """One per picture, in the order of where each was sent last."""
    return tuple(reversed({image.sha256: image for image in reversed(images) if image.sha256}.values()))


def _cuts(history: tuple[Message, ...]) -> list[int]:
    """Where the history may begin: after half of its turns or more."""
    begins = [place for place, message in enumerate(history) if message.role == "user" and place]
    ends = [*begins, len(history)] if history else []
    return ends[(len(ends) - 1) // 2 :]


def _fitted(draft: _Draft, messages: tuple[Message, ...], tokens: int, counter: _Counter, material: int) -> Fitted:
    removed = tuple(_told(message, draft, counter) for message in draft.removed)
    begin = len(removed)
    while begin and (material := material - counter.message(removed[begin - 1], 0)) >= 0:
        begin -= 1
    sides = {image.sha256: _side(image, draft.area) for image in draft.shown}
    return Fitted(
        messages,
        frozenset(image.sha256 for image in draft.shown),
        dropped=removed[:begin],
        summarise=removed[begin:],
        shrink={sha256: side for sha256, side in sides.items() if side},
        problem=_problem(draft.blind),
        tokens=tokens,
    )


def _problem(blind: Sequence[Image]) -> str:
    if not blind:
        return ""
    names = "、".join(_name(image) for image in blind)
    return f"图片太多或上下文太小，模型一次看不完，这次没有看{names}；请分开再问。"


# ---------------------------------------------------------------- putting messages together


def _arrange(draft: _Draft, counter: _Counter) -> tuple[Message, ...]:
    """History and question: each shown picture keeps its pixels where it was sent last, all others become text."""
    sent = (*draft.kept, draft.question)
    there = {image.sha256 for message in sent if message.role == "user" for image in message.images}
    lost = [image for image in (*draft.shown, *draft.blind) if image.sha256 not in there]
    question = replace(draft.question, parts=(*lost, *draft.question.parts))
    left = {image.sha256 for image in draft.shown}
    told = [_told(message, draft, counter, left) for message in (question, *reversed(draft.kept))]
    return tuple(reversed(told))


def _told(message: Message, draft: _Draft, counter: _Counter, left: set[str] | None = None) -> Message:
    """The message with pixels for pictures in `left`, which are taken out of it, and text for the others."""
    visible = left if left is not None and message.role == "user" else set[str]()
    captions: Mapping[str, str] = counter.descriptions if draft.described else dict[str, str]()
    return replace(message, parts=_told_parts(message.parts, visible, captions))


def _told_parts(parts: tuple[Part, ...], left: set[str], captions: Mapping[str, str]) -> tuple[Part, ...]:
    told: list[Part] = []
    for part in reversed(parts):
        if isinstance(part, Quote):
            quoted = replace(part.message, parts=_told_parts(part.message.parts, left, captions))
            told.append(replace(part, message=quoted))
        elif isinstance(part, Image) and part.sha256 not in left:
            told.append(_caption(part, captions.get(part.sha256, "")))
        else:
            told.append(part)
            if isinstance(part, Image):
                left.discard(part.sha256)
    return tuple(reversed(told))


def _caption(image: Image, description: str) -> Text:
    # A line break or a bracket would end the caption early.
    line = " ".join(description.split()).translate({ord("["): "【", ord("]"): "】"})[:_DESCRIPTION]
    return Text(f"[{_name(image)}：{line}]" if line else f"[{_name(image)}]")


def _name(image: Image) -> str:
    return f"图{image.index}" if image.index else "图片"


def _with_summary(system: Message, summary: str) -> Message:
    """Many chat templates allow one system message only."""
    return replace(system, parts=(*system.parts, Text(f"{_SUMMARY_LEAD}{summary}"))) if summary else system


# ---------------------------------------------------------------- counting


def _side(image: Image, area: int) -> int:
    """The longest side that gives a picture at most `area` pixels; 0 where it has no more, or area is 0."""
    width, height = image.width, image.height
    if width <= 0 or height <= 0:
        return math.isqrt(area)
    if not area or width * height <= area:
        return 0
    return max(1, math.floor(max(width, height) * math.sqrt(area / (width * height))))


def _scaled(image: Image, area: int) -> tuple[int, int]:
    side = _side(image, area)
    longest = max(image.width, image.height)
    if not side:
        return image.width, image.height
    if image.width <= 0 or image.height <= 0:
        return side, side
    return max(1, math.ceil(image.width * side / longest)), max(1, math.ceil(image.height * side / longest))


@dataclass(frozen=True, slots=True)
class _Counter:
    """Counts tokens. A text is counted once, however many rungs it stands on."""

    count_text: CountText
    count_picture: CountPicture
    descriptions: Mapping[str, str]

    def request(self, messages: Sequence[Message], area: int) -> int:
        """All messages and what a template puts around them."""
        return _REQUEST_MARKS + sum(self.message(message, area) for message in messages)

    def coming(self, summary: str, room: int) -> int:
        """What a summary of `room` tokens adds, which takes the place of `summary`."""
        now = self.count_text(f"{_SUMMARY_LEAD}{summary}") if summary else 0
        return max(0, self.count_text(_SUMMARY_LEAD) + room - now)

    def message(self, message: Message, area: int) -> int:
        """One message, its pictures scaled to `area`."""
        return _MESSAGE_MARKS + sum(self._part(part, area) for part in message.parts)

    def _part(self, part: Part, area: int) -> int:
        match part:
            case Text(text):
                return self.count_text(text)
            case Mention(user_id, name):
                return self.count_text(f"@{name or user_id}")
            case Quote(message, sender):
                return self.count_text(f"引用 {sender}：\n") + self.message(message, area)
            case Image():
                label = self.count_text(f"{_name(part)}：")
                return _PICTURE_MARKS + label + self.count_picture(*_scaled(part, area))
