"""Writing a report: the outline first, then the text, at once or section by section, steered to its length.

All requests of one report begin alike (instructions, pictures, request, outline), so that an engine's prefix cache
pays for the pictures once. A text that misses its length is corrected, twice at most, and the version nearest to it
is taken; how far a model is off in its first version is made allowance for in the next section.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from bot.drafts import Draft
from bot.engine.base import GenerateRequest, SamplingParams, Usage
from bot.engine.chain import Answer
from bot.errors import EngineUnavailable
from bot.handler import Context
from bot.message import assistant, user
from bot.report import Section, parse
from bot.report_plan import Outline
from handlers import report_prompts as prompts
from handlers.prompt import Asked, Prompt, pixels
from handlers.report_length import Length, about, count

#: Tokens of the longest piece that is written in one generation.
_ROOM = 4096
#: Characters that surely fit into a token of room: some text is one token a character, and some must be left over.
_FILLED = 0.7
_CORRECTIONS = 2
#: A model is asked for this much less or more than is wanted, at most, to make up for its habits.
_LEAST_ASKED, _MOST_ASKED = 0.5, 2.0
#: Characters of what was written before that the next section gets to see.
_BEFORE = 400
_FENCE = re.compile(r"\A\s*```(?:markdown|md)?[ \t]*\n(.*?)\n```\s*\Z", re.DOTALL)
_ENDS = re.compile(r"[。！？!?…\n]")

#: What to ask of section `number` (from 0) behind the text `before`, for so many characters.
Tell = Callable[[int, str, int], str]
Keep = Callable[[int, Section], Awaitable[None]]


class StoodIn(EngineUnavailable):
    """The models are away and the built-in engine answered: that is no text of this report."""

    def __init__(self, answer: Answer) -> None:
        super().__init__("no model is there to write the report", asked=False)
        self.answer = answer


class Growing(Draft):
    """Shows a piece below what is finished, and what is going on below it."""

    def __init__(self, shown: Draft, finished: str = "", status: str = "") -> None:
        self._shown = shown
        self._finished = finished
        self._status = status
        self.watched = shown.watched

    async def update(self, text: str) -> None:
        await self._shown.update("\n\n".join(part for part in (self._finished, text, self._status) if part))


@dataclass
class Pen:
    """Asks a model for the pieces of one report, and adds up what they cost. lead: what stands before each request."""

    asked: Asked
    prompt: Prompt
    context: Context
    lead: str = ""
    engine: str = ""
    notes: list[str] = field(default_factory=list[str])
    usage: Usage = field(default_factory=Usage)
    first_token: float = 0.0
    seconds: float = 0.0
    bias: float = 1.0

    async def write(self, instruction: str, length: int, draft: Draft | None = None) -> str:
        """One piece of about so many characters. Raises StoodIn and EngineError."""
        messages = self.prompt.fitted.messages
        turns = (assistant(self.lead), user(instruction)) if instruction else ()
        request = GenerateRequest(
            messages=(*messages, *turns),
            pictures=await pixels(self.prompt.fitted.pixels, self.context),
            sampling=SamplingParams(max_tokens=min(room(self.asked, self.context), 2 * length + 256)),
            max_sides=self.prompt.fitted.shrink,
            cache_salt=self.context.cache_salt,
            priority="report",
        )
        found = await self.context.engines.answer(self.asked.route.model, request, draft or Draft())
        if not _generates(found.engine, self.context):
            raise StoodIn(found)
        self.add(found)
        completion = found.completion
        return _whole_sentences(completion.text) if completion.finish_reason == "length" else completion.text

    async def fitting(self, instruction: Callable[[int], str], length: Length, draft: Draft) -> str:
        """A piece of that length, or what comes nearest to it. Raises StoodIn and EngineError."""
        wanted = _within(length.target / self.bias, length.target)
        best = unwrapped(await self.write(instruction(wanted), wanted, draft))
        if not best:
            raise EngineUnavailable("the model wrote nothing")
        self.bias = _within(100 * max(count(best), 1) / wanted, 100) / 100
        text, asked = best, wanted
        for _ in range(_CORRECTIONS):
            if length.holds(best):
                break
            asked = _within(length.target * asked / max(count(text), 1), length.target)
            text = unwrapped(await self.write(prompts.correction(best, count(best), asked), asked, draft))
            best = min(best, text, key=lambda one: abs(count(one) - length.target))
        return best

    def add(self, found: Answer) -> None:
        """Count an answer in."""
        one, usage = found.completion, self.usage
        self.engine = found.engine
        if found.note and found.note not in self.notes:
            self.notes.append(found.note)
        self.first_token = self.first_token or one.timings.first_token
        self.seconds += one.timings.total
        self.usage = Usage(
            usage.prompt_tokens + one.usage.prompt_tokens,
            usage.cached_tokens + one.usage.cached_tokens,
            usage.completion_tokens + one.usage.completion_tokens,
        )


def room(asked: Asked, context: Context) -> int:
    """Tokens of one generation: a quarter of the model's context, since a correction holds the text twice."""
    return min(_ROOM, context.engines.engine(asked.route.model).context_tokens // 4)


def reserved(asked: Asked, context: Context) -> int:
    """Tokens to leave free beside pictures and request: a text, its correction, the outline."""
    return 2 * room(asked, context) + room(asked, context) // 4


def holds(length: Length, asked: Asked, context: Context) -> bool:
    """A text of that length is one generation."""
    return length.most <= room(asked, context) * _FILLED


def parts_for(length: Length, asked: Asked, context: Context) -> int:
    """How many sections a text of that length must have at least."""
    return -(-length.most // max(1, int(room(asked, context) * _FILLED)))


async def write_whole(pen: Pen, outline: Outline, length: Length) -> tuple[str, tuple[Section, ...]]:
    """Title and sections, in one generation (and its corrections)."""
    draft = Growing(pen.context.draft)
    text = await pen.fitting(lambda wanted: prompts.whole(outline, wanted), length, draft)
    title, sections = parse(text)
    return title or outline.title, sections


async def write_each(
    pen: Pen, outline: Outline, done: Sequence[Section], length: Length, tell: Tell, keep: Keep
) -> tuple[Section, ...]:
    """All sections, from the first one that is not `done`; each is kept as soon as it is finished."""
    finished = list(done)
    for number in range(len(finished), len(outline.parts)):
        wanted = _share(outline, finished, length)
        shown = prompts.body(outline.title, finished)
        draft = Growing(pen.context.draft, shown, f"（正在写 {number + 1}/{len(outline.parts)} 节）")
        before = finished[-1].text[-_BEFORE:] if finished else ""

        title = outline.parts[number].title
        text = await pen.fitting(partial(tell, number, before), wanted, draft)
        section = Section(title, section_text(text, title))
        await keep(number, section)
        finished.append(section)
    return tuple(finished)


def _share(outline: Outline, finished: Sequence[Section], length: Length) -> Length:
    """The next section's length: its share of what is left, so that one section's error is not the text's."""
    number = len(finished)
    planned = outline.parts[number].length
    left = length.target - sum(count(one.text) for one in finished)
    share = left * planned / max(1, sum(part.length for part in outline.parts[number:]))
    return about(round(min(max(share, planned * 0.6), planned * 1.5)), length.tolerance)


def section_text(text: str, title: str) -> str:
    """A section's text without its own heading, its other headings below those of sections."""
    lines = text.strip().splitlines()
    while lines and (not lines[0].strip() or _is_heading(lines[0], title)):
        lines.pop(0)
    return re.sub(r"^ {0,3}#{1,2}(?=[ \t])", "###", "\n".join(lines).strip(), flags=re.MULTILINE)


def _is_heading(line: str, title: str) -> bool:
    bare = re.sub(r"^[\s#*]*(?:第?[一二三四五六七八九十\d]+[节、.．)）]?)?[\s《]*|[\s#*》:：]+$", "", line)
    return line.lstrip().startswith(("# ", "## ")) or (bool(title) and bare == title)


def unwrapped(text: str) -> str:
    """Without a code fence around the whole."""
    found = _FENCE.match(text)
    return (found[1] if found else text).strip()


def _whole_sentences(text: str) -> str:
    """What was cut off in the middle, up to its last full sentence."""
    ends = [found.end() for found in _ENDS.finditer(text)]
    return text[: ends[-1]] if ends else text


def _within(wanted: float, target: int) -> int:
    return max(1, round(min(max(wanted, target * _LEAST_ASKED), target * _MOST_ASKED)))


def _generates(name: str, context: Context) -> bool:
    return any(engine.generates for engine in context.engines.engines if engine.name == name)
