"""A reply as the messages that a platform takes: its markdown, its lengths, a file where the text is long."""

from __future__ import annotations

import hashlib
import re

from bot.adapter import Limits
from bot.event import Delivery, File, MessageEvent, Reply, ScheduledEvent
from bot.markdown import degrade
from bot.message import Text
from bot.pieces import head, split

#: A report of more characters also goes out as a file.
_LONG_REPORT = 1500
_SUMMARY = 300
_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+(.+)$", re.MULTILINE)
_UNFIT_FOR_NAMES = re.compile(r'[\\/:*?"<>|\s\x00-\x1f]+')


def plan(reply: Reply, event: MessageEvent | ScheduledEvent, limits: Limits, suffix: str = "") -> tuple[Delivery, ...]:
    """The deliveries of a reply, in order; `suffix` keeps the keys of a notice or an apology apart."""
    texts, file = _contents(reply, limits)
    asked = event if isinstance(event, MessageEvent) else None
    stem = _key(event, suffix)
    contents: list[str | File] = [*texts, *([file] if file else [])]
    return tuple(
        Delivery(
            key=f"{stem}_{number}",
            conversation=event.conversation,
            parts=(Text(content),) if isinstance(content, str) else (),
            reply_to=asked.message_id if asked else "",
            quote=reply.quote and number == 0,
            platform_data=asked.platform_data if asked else {},
            asked_at=asked.timestamp if asked else 0,
            file=content if isinstance(content, File) else None,
            handover=reply.handover and number == len(contents) - 1,
        )
        for number, content in enumerate(contents)
    )


def shown(text: str, limits: Limits) -> str:
    """An unfinished text as a platform shows it: its markdown, cut to its length."""
    text = degrade(text.strip(), limits.markdown)
    cut = head(text, limits.text_length, limits.text_unit)
    return text if cut == text else head(text, limits.text_length - 3, limits.text_unit) + "…"


def _contents(reply: Reply, limits: Limits) -> tuple[list[str], File | None]:
    footer = f"\n\n{reply.footer}" if reply.footer else ""
    text = degrade(reply.text + footer, limits.markdown)
    texts = split(text, limits.text_length, limits.text_unit)
    if not (reply.report and limits.files and len(reply.text) > _LONG_REPORT):
        return texts, None
    file = _file(reply.text)
    if len(texts) > 1:
        short = degrade(_short(reply.text, file.name) + footer, limits.markdown)
        texts = split(short, limits.text_length, limits.text_unit)
    return texts, file


def _file(text: str) -> File:
    heading = _HEADING.search(text)
    title = _UNFIT_FOR_NAMES.sub(" ", heading[1] if heading else "").strip(" .")[:40]
    # A byte order mark: Windows' editors take plain UTF-8 for another encoding.
    return File(f"{title or '报告'}.md", "text/markdown", b"\xef\xbb\xbf" + text.encode())


def _short(text: str, name: str) -> str:
    """The beginning, cut at the end of a paragraph or sentence, and where the rest is."""
    beginning = text.strip()[:_SUMMARY]
    ends = [beginning.rfind(mark) + len(mark) for mark in ("\n\n", "。", "\n") if mark in beginning[_SUMMARY // 3 :]]
    return f"{beginning[: ends[0] if ends else _SUMMARY].rstrip()}\n\n（全文 {len(text)} 字，见附件《{name}》）"


def _key(event: MessageEvent | ScheduledEvent, suffix: str) -> str:
    # A hash, not a row number: a new database must not repeat the keys of an old one.
    seed = "\n".join((event.conversation.key, event.id, suffix))
    return "msg_" + hashlib.sha256(seed.encode()).hexdigest()[:32]
