"""`kantu ask` and `kantu compare` in a terminal: progress while waiting, and what has come of an answer."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bot.drafts import Draft
from bot.errors import RequestError
from bot.question import Result

_WAITING = "正在看图…"
_CLEAR = "\r\x1b[K"
#: seconds between two drawings of a line
_REDRAW = 0.2


def read_pictures(names: Sequence[str]) -> list[bytes]:
    """The files' bytes. Raises RequestError that names the file."""
    pictures: list[bytes] = []
    for name in names:
        try:
            pictures.append(Path(name).read_bytes())
        except OSError as error:
            raise RequestError("no_such_file", f"cannot read the picture {name}: {error.strerror}") from None
    return pictures


class TerminalDraft(Draft):
    """Prints new text as it comes; on anything but a terminal it keeps still until the end."""

    def __init__(self, *, quiet: bool) -> None:
        self._shown = ""
        self._waiting = not quiet and sys.stderr.isatty()
        self.watched = not quiet and sys.stdout.isatty()
        if self._waiting:
            print(_WAITING, end="", file=sys.stderr, flush=True)

    async def update(self, text: str) -> None:
        self.close()
        self._show(text)

    def close(self) -> None:
        """Take the progress line away."""
        if self._waiting:
            print(_CLEAR, end="", file=sys.stderr, flush=True)
            self._waiting = False

    def finish(self, result: Result) -> None:
        """What has not been shown of the answer, and a line on where it comes from."""
        self._show(result.text)
        print()
        for note in filter(None, (result.footer, f"— {result.model}（{result.reason}）" if result.model else "")):
            print(note, file=sys.stderr)

    def _show(self, text: str) -> None:
        if not text.startswith(self._shown):
            # Another engine began anew: what was printed cannot be taken back.
            print("\n---")
            self._shown = ""
        print(text[len(self._shown) :], end="", flush=True)
        self._shown = text


class ModelDraft(Draft):
    """One model's progress on stderr: loading, first token, tokens so far. On anything but a terminal a line a stage.

    It always watches, so that the answer is streamed and its first token has a time.
    """

    watched = True

    def __init__(self, title: str, count: Callable[[str], int]) -> None:
        self._title = title
        self._count = count
        self._terminal = sys.stderr.isatty()
        self._asked_at = self._shown_at = 0.0
        self._first = 0.0
        self._say("正在加载…")

    def asked(self) -> None:
        """It is loaded, and has been asked."""
        self._asked_at = time.monotonic()
        self._say("正在看图…")

    async def update(self, text: str) -> None:
        now = time.monotonic()
        if not self._first:
            self._first = now - self._asked_at
            self._say(f"首字 {self._first:.2f} 秒")
        elif self._terminal and now - self._shown_at > _REDRAW:
            self._say(f"首字 {self._first:.2f} 秒，{self._count(text)} 词元")
            self._shown_at = now

    def close(self, outcome: str) -> None:
        """The last line; it stays."""
        self._say(outcome)
        if self._terminal:
            print(file=sys.stderr)

    def _say(self, stage: str) -> None:
        begin, end = (_CLEAR, "") if self._terminal else ("", "\n")
        print(f"{begin}{self._title}：{stage}", end=end, file=sys.stderr, flush=True)
