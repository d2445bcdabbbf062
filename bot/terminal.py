"""`kantu ask` in a terminal: progress while waiting, the answer as it grows, then who gave it and why."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from bot.drafts import Draft
from bot.errors import RequestError
from bot.question import Result

_WAITING = "正在看图…"
_CLEAR = "\r\x1b[K"


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
