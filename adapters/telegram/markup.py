"""Markdown of models as Telegram's HTML.

Only bold, code, links and quotes come here; the rest is plain text already (see `Limits.markdown`).
https://core.telegram.org/bots/api#html-style
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

_FENCE = re.compile(r"^ {0,3}(```+|~~~+)[ \t]*([\w+#.-]*)[ \t]*$")
_QUOTE = re.compile(r"^ {0,3}>[ \t]?")
_INLINE = re.compile(
    r"(?<!`)(?P<ticks>`+)(?!`)(?P<code>.+?)(?<!`)(?P=ticks)(?!`)"
    r"|(?<!!)\[(?P<label>[^\]\n]+)\]\((?P<url>(?:https?://|mailto:|tg://)[^()\s]+)(?:[ \t]+\"[^\"]*\")?\)"
    r"|\*\*(?=\S)(?P<bold>.+?)(?<=\S)\*\*"
)


def to_html(text: str) -> str:
    """Well-formed whatever the text is: marks that nobody closes stay as they are."""
    return "\n".join(_blocks(text.split("\n")))


def _blocks(lines: list[str]) -> Iterator[str]:
    at = 0
    while at < len(lines):
        fence = _FENCE.match(lines[at])
        end = _fence_end(lines, at, fence[1]) if fence else 0
        if fence and end:
            yield _code_block(fence[2], lines[at + 1 : end])
            at = end + 1
            continue
        end = at
        while end < len(lines) and _QUOTE.match(lines[end]):
            end += 1
        if end > at:
            inner = "\n".join(_inline(_QUOTE.sub("", line)) for line in lines[at:end])
            yield f"<blockquote>{inner}</blockquote>"
            at = end
            continue
        yield _inline(lines[at])
        at += 1


def _fence_end(lines: list[str], start: int, mark: str) -> int:
    for at in range(start + 1, len(lines)):
        closing = _FENCE.match(lines[at])
        if closing and closing[1].startswith(mark) and not closing[2]:
            return at
    return 0


def _code_block(language: str, lines: list[str]) -> str:
    code = _escape("\n".join(lines))
    return f'<pre><code class="language-{_escape(language)}">{code}</code></pre>' if language else f"<pre>{code}</pre>"


def _inline(text: str) -> str:
    pieces: list[str] = []
    at = 0
    for found in _INLINE.finditer(text):
        pieces += [_escape(text[at : found.start()]), _marked(found)]
        at = found.end()
    return "".join([*pieces, _escape(text[at:])])


def _marked(found: re.Match[str]) -> str:
    if found["code"]:
        return f"<code>{_escape(found['code'].strip())}</code>"
    if found["bold"]:
        return f"<b>{_inline(found['bold'])}</b>"
    return f'<a href="{_escape(found["url"])}">{_escape(found["label"])}</a>'


def _escape(text: str) -> str:
    return html.escape(text, quote=False).replace('"', "&quot;")
