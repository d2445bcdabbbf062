"""What of a model's text users see: not its thinking, not its marks.

Some servers separate thinking from the answer (`reasoning_content`); where they do not, it arrives inside the
text as `<think>…</think>`. A chat template may have opened the thinking already, so that only `</think>`
appears. GLM puts its final answer between `<|begin_of_box|>` and `<|end_of_box|>`.
"""

from __future__ import annotations

import re

_OPEN = "<think>"
_CLOSE = "</think>"
_TAGS = (_OPEN, _CLOSE, "<|begin_of_box|>", "<|end_of_box|>")
_ANY = re.compile("|".join(re.escape(tag) for tag in _TAGS))
_ONLY_CLOSE = re.compile(re.escape(_CLOSE))


class Visible:
    """An incremental filter: what it gives does not depend on where the text was cut, unless `too_late`.

    hold: keep text back until it is sure not to be thinking that a template opened, that is until a tag of
    thinking or the end. Without it, text goes out at once, and `too_late` tells that it should not have.
    """

    def __init__(self, *, hold: bool = False) -> None:
        self._hold = hold
        self._held = ""
        self._rest = ""
        self._thinking = False
        self._thought = False
        self._shown = False
        #: thinking ended that nobody had opened
        self.unopened = False
        #: ... and part of it had been given out
        self.too_late = False

    def feed(self, text: str) -> str:
        """New text in, newly visible text out."""
        self._rest += text
        out = ""
        while match := (_ONLY_CLOSE if self._thinking else _ANY).search(self._rest):
            out += self._take(self._rest[: match.start()])
            self._rest = self._rest[match.end() :]
            out = self._turn(match[0], out)
        cut = len(self._rest) - _possible_tag(self._rest)
        out += self._take(self._rest[:cut])
        self._rest = self._rest[cut:]
        return self._give(out)

    def end(self, *, inside: bool = False) -> str:
        """The last visible text. `inside`: held text without any tag is thinking that was cut short."""
        out = self._take(self._rest)
        self._rest = ""
        if self._hold and inside:
            return ""
        self._hold = False
        return self._give(self._held + out)

    def _take(self, text: str) -> str:
        return "" if self._thinking else text

    def _turn(self, tag: str, out: str) -> str:
        """Pass a tag; returns what is left of the text `out` that came before it."""
        if tag == _OPEN:
            self._thinking = self._thought = True
            self._hold, out, self._held = False, self._held + out, ""
        elif tag == _CLOSE and not self._thought:
            self._thought = self.unopened = True
            self.too_late = self._shown
            self._hold, out, self._held = False, "", ""
        elif tag == _CLOSE:
            self._thinking = False
        return out

    def _give(self, out: str) -> str:
        if self._hold:
            self._held += out
            return ""
        if not self._shown:
            out = out.lstrip()
            self._shown = bool(out)
        return out


def visible(text: str, *, inside: bool = False) -> str:
    """What users see of a whole text; `inside` as in `Visible.end`."""
    view = Visible(hold=True)
    return view.feed(text) + view.end(inside=inside)


def _possible_tag(text: str) -> int:
    """Length of the longest end of `text` that may become a tag."""
    start = text.rfind("<", max(0, len(text) - max(map(len, _TAGS)) + 1))
    if start < 0:
        return 0
    return len(text) - start if any(tag.startswith(text[start:]) for tag in _TAGS) else 0
