"""Tokens become text as they come: whole characters only, and nothing of a stop text.

Byte-level vocabularies split Chinese characters over tokens; what is not finished yet waits. What may be the beginning
of a stop text waits as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

_UNFINISHED = "\ufffd"
#: More than so many tokens do not make one character: then it is broken, and is shown as such.
_LONGEST = 8


class Detokenizer:
    """decode: text of some tokens. stops: texts that end the answer and are not part of it."""

    def __init__(self, decode: Callable[[Sequence[int]], str], stops: Sequence[str] = ()) -> None:
        self._decode = decode
        self._stops = tuple(stop for stop in stops if stop)
        self._tokens: list[int] = []
        # Text of tokens before `shown_from` is settled; those before `read_from` are kept for what a decoder makes of
        # their neighbourhood (a space before a word).
        self._prefix = 0
        self._read = 0
        self._held: str = ""
        self.stopped = False

    def add(self, token: int) -> str:
        """The text that has become certain."""
        if self.stopped:
            return ""
        self._tokens.append(token)
        return self._show(self._fresh(final=False), final=False)

    def finish(self) -> str:
        """What was held back, when nothing more comes."""
        return "" if self.stopped else self._show(self._fresh(final=True), final=True)

    def _fresh(self, *, final: bool) -> str:
        before = self._decode(self._tokens[self._prefix : self._read])
        text = self._decode(self._tokens[self._prefix :])
        waits = text.endswith(_UNFINISHED) and len(self._tokens) - self._read < _LONGEST
        if len(text) <= len(before) or (waits and not final):
            return ""
        self._prefix, self._read = self._read, len(self._tokens)
        return text[len(before) :]

    def _show(self, text: str, *, final: bool) -> str:
        text = f"{self._held}{text}"
        self._held = ""
        ends = [at for at in (text.find(stop) for stop in self._stops) if at >= 0]
        if ends:
            self.stopped = True
            return text[: min(ends)]
        if not final:
            keep = max((_overlap(text, stop) for stop in self._stops), default=0)
            text, self._held = text[: len(text) - keep], text[len(text) - keep :]
        return text


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of a text may be the beginning of a stop text."""
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if stop.startswith(text[-size:])), 0)
