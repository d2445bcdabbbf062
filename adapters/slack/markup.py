"""Markdown of models as Slack's mrkdwn.

Only bold, code, links and quotes come here; the rest is plain text already (see `Limits.markdown`). The three
characters that mark mentions and links are escaped, so that no answer can call @channel.
https://docs.slack.dev/messaging/formatting-message-text/
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_FENCE = re.compile(r"^ {0,3}(```+|~~~+)[ \t]*([\w+#.-]*)[ \t]*$")
_QUOTE = re.compile(r"^ {0,3}>[ \t]?")
_INLINE = re.compile(
    r"(?<!`)(?P<ticks>`+)(?!`)(?P<code>.+?)(?<!`)(?P=ticks)(?!`)"
    r"|(?<!!)\[(?P<label>[^\]\n]+)\]\((?P<url>(?:https?://|mailto:)[^()\s|<>]+)(?:[ \t]+\"[^\"]*\")?\)"
    r"|\*\*(?=\S)(?P<bold>.+?)(?<=\S)\*\*"
)
_GAP = "\u200b"
_CALL = re.compile("<(?=[!@#])")


def to_mrkdwn(text: str) -> str:
    """Marks that nobody closes stay as they are."""
    return "\n".join(_lines(text.split("\n")))


def without_calls(text: str) -> str:
    """Markdown for a stream, which is not escaped: what would call somebody is broken by a zero-width space."""
    return _CALL.sub("<" + _GAP, text)


def escape(text: str) -> str:
    """As Slack asks for: these three and no others."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _lines(lines: list[str]) -> Iterator[str]:
    at = 0
    while at < len(lines):
        fence = _FENCE.match(lines[at])
        end = _fence_end(lines, at, fence[1]) if fence else 0
        if end:
            yield from ("```", *map(escape, lines[at + 1 : end]), "```")
            at = end + 1
            continue
        quoted = _QUOTE.match(lines[at])
        yield f"> {_inline(lines[at][quoted.end() :])}" if quoted else _inline(lines[at])
        at += 1


def _fence_end(lines: list[str], start: int, mark: str) -> int:
    for at in range(start + 1, len(lines)):
        closing = _FENCE.match(lines[at])
        if closing and closing[1].startswith(mark) and not closing[2]:
            return at
    return 0


def _inline(text: str) -> str:
    pieces: list[str] = []
    at = 0
    for found in _INLINE.finditer(text):
        pieces += [escape(text[at : found.start()]), _apart(text, found, _marked(found))]
        at = found.end()
    return "".join([*pieces, escape(text[at:])])


def _apart(text: str, found: re.Match[str], marked: str) -> str:
    """Slack sees no marks beside letters, Chinese ones among them: something invisible goes between."""
    if marked.startswith("<"):
        return marked
    before = _GAP if text[max(found.start() - 1, 0) : found.start()].isalnum() else ""
    after = _GAP if text[found.end() : found.end() + 1].isalnum() else ""
    return before + marked + after


def _marked(found: re.Match[str]) -> str:
    if found["code"]:
        return f"`{escape(found['code'].strip())}`"
    if found["bold"]:
        return f"*{_inline(found['bold'])}*"
    return f"<{escape(found['url'])}|{escape(found['label'])}>"
