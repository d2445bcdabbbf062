"""Prompts of the InternLM-XComposer2 family: turns to token ids, with places for pictures.

    [UNUSED_TOKEN_146]user\\n…[UNUSED_TOKEN_145]\\n[UNUSED_TOKEN_146]assistant\\n

A prompt falls into parts at its pictures, each encoded on its own. 2.0: every part that is not empty begins with `<s>`;
one without pictures begins with two of them, as the reference's does. 4KHD and 2.5: one `<s>`, before everything.
Control words typed by a user stay text, as do `<ImageHere>` and the like: places for pictures come from the messages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from bot.engine.local.models.xcomposer2_config import Variant
from bot.engine.local.models.xcomposer2_tokenizer import Tokenizer
from bot.engine.local.wording import Turn
from bot.errors import RequestRejected

PICTURE = "<ImageHere>"

#: a text to be encoded, the id of a control word, or None: a picture
Segment = str | int | None

#: What the checkpoint was told in its own `chat`, where nobody says anything else.
SYSTEM = """You are an AI assistant whose name is InternLM-XComposer (浦语·灵笔).
- InternLM-XComposer (浦语·灵笔) is a multi-modality conversational language model that is developed by Shanghai AI \
Laboratory (上海人工智能实验室). It is designed to be helpful, honest, and harmless.
- InternLM-XComposer (浦语·灵笔) can understand and communicate fluently in the language chosen by the user such as \
English and 中文.
- InternLM-XComposer (浦语·灵笔) is capable of comprehending and articulating responses effectively based on the \
provided image."""


class PromptWriter:
    """Any thread."""

    def __init__(self, tokenizer: Tokenizer, variant: Variant) -> None:
        self._tokenizer = tokenizer
        self._once = variant != "2.0"

    def ids(self, turns: Sequence[Turn]) -> list[int | None]:
        """The prompt up to where the answer begins; None stands for a picture."""
        return self.parts(self._chat(turns))

    def parts(self, segments: Sequence[Segment]) -> list[int | None]:
        """Segments to ids, each part between pictures with its `<s>`."""
        begin, pictures = self._tokenizer.begin, segments.count(None)
        ids: list[int | None] = []
        if self._once or not pictures:
            ids += [begin] if self._once else [begin, begin]
        fresh = bool(pictures) and not self._once
        for segment in _merged(segments):
            if segment is None:
                ids.append(None)
                fresh = not self._once
                continue
            if fresh:
                ids.append(begin)
                fresh = False
            ids += [segment] if isinstance(segment, int) else self._tokenizer.encode(segment)
        return ids

    def _chat(self, turns: Sequence[Turn]) -> list[Segment]:
        start, end = self._tokenizer.start, self._tokenizer.end
        said = list(turns) if any(turn.role == "system" for turn in turns) else [Turn("system", (SYSTEM,)), *turns]
        segments: list[Segment] = []
        for turn in said:
            pieces = [piece if isinstance(piece, str) else None for piece in turn.pieces]
            segments += [start, f"{turn.role}\n", *pieces, end, "\n"]
        return [*segments, start, "assistant\n"]


def reference_segments(
    tokenizer: Tokenizer,
    query: str,
    history: Sequence[tuple[str, str]],
    system: str,
    pictures: int,
    *,
    variant: Variant,
) -> list[Segment]:
    """The segments of the reference's own `chat` strings, whose control words count. Raises RequestRejected.

    Fewer places than pictures are an error here; the reference puts the rest behind everything. 2.5 takes a single
    picture without a place before everything.
    """
    turns = [("system", system)] if system else []
    for asked, answered in history:
        turns += [("user", asked), ("assistant", answered)]
    turns.append(("user", query))
    text = "".join(f"[UNUSED_TOKEN_146]{role}\n{said}[UNUSED_TOKEN_145]\n" for role, said in turns)
    text += "[UNUSED_TOKEN_146]assistant\n"
    if variant == "2.5" and pictures == 1 and PICTURE not in text:
        text = PICTURE + text
    if text.count(PICTURE) != pictures:
        raise RequestRejected(f"{pictures} pictures for {text.count(PICTURE)} places in the prompt")
    words = sorted([PICTURE, *tokenizer.controls], key=len, reverse=True)
    cut = re.split("(" + "|".join(map(re.escape, words)) + ")", text)
    return [None if part == PICTURE else tokenizer.controls.get(part, part) for part in cut if part]


def _merged(segments: Sequence[Segment]) -> Iterator[Segment]:
    """Neighbouring texts as one: where they are cut must not change their ids."""
    held = ""
    for segment in segments:
        if isinstance(segment, str):
            held += segment
            continue
        if held:
            yield held
        held = ""
        yield segment
    if held:
        yield held
