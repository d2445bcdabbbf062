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
#: A picture placed in a report; the file comes without it.
_PLACED = re.compile(r"^!\[(图\d+)\]\(图\d+\)[ \t]*$", re.MULTILINE)
_UNFIT_FOR_NAMES = re.compile(r'[\\/:*?"<>|\s\x00-\x1f]+')


def plan(reply: Reply, event: MessageEvent | ScheduledEvent, limits: Limits, suffix: str = "") -> tuple[Delivery, ...]:
    """The deliveries of a reply, in order; `suffix` keeps the keys of a notice or an apology apart."""
    texts, file = _contents(reply, limits)
    files = [*([file] if file else []), *(reply.files if limits.files else ())]
    asked = event if isinstance(event, MessageEvent) else None
    stem = _key(event, suffix)
    contents: list[str | File] = [*texts, *files]
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
            digest="" if asked else event.id,
        )
        for number, content in enumerate(contents)
    )


def shown(text: str, limits: Limits) -> str:
    """An unfinished text as a platform shows it: its markdown, cut to its length."""
    text = degrade(text.strip(), limits.markdown)
    cut = head(text, limits.text_length, limits.text_unit)
    return text if cut == text else head(text, limits.text_length - 3, limits.text_unit) + "…"


def _contents(reply: Reply, limits: Limits) -> tuple[list[str], File | None]:
    tail = _tail(reply, limits)
    texts = _split(reply.text + tail, limits)
    long = len(reply.text) > _LONG_REPORT
    if reply.link and reply.published and (long or len(texts) > 1):
        return _split(_short(reply, "") + tail, limits), None
    if not (reply.report and limits.files and long) or reply.files:
        return texts, None
    file = _file(reply.text)
    if len(texts) > 1:
        texts = _split(_short(reply, f"，见附件《{file.name}》") + tail, limits)
    return texts, file


def _split(text: str, limits: Limits) -> list[str]:
    return split(degrade(text, limits.markdown), limits.text_length, limits.text_unit)


def _tail(reply: Reply, limits: Limits) -> str:
    """What stands below the answer: its footer, what cannot be sent here, and where the page is."""
    unsent = "（这个平台不能发送文件。）" if reply.files and not limits.files else ""
    link = f"图文网页：{reply.link}" if reply.link else ""
    return "".join(f"\n\n{part}" for part in (reply.footer, unsent, link) if part)


def _file(text: str) -> File:
    heading = _HEADING.search(text)
    title = _UNFIT_FOR_NAMES.sub(" ", heading[1] if heading else "").strip(" .")[:40]
    # A byte order mark: Windows' editors take plain UTF-8 for another encoding.
    text = _PLACED.sub(r"[\1]", text)
    return File(f"{title or '报告'}.md", "text/markdown", b"\xef\xbb\xbf" + text.encode())


def _short(reply: Reply, where: str) -> str:
    """The beginning, cut at the end of a paragraph or sentence, and where the rest is; with the report's notice."""
    text = reply.text
    beginning = text.strip()[:_SUMMARY]
    ends = [beginning.rfind(mark) + len(mark) for mark in ("\n\n", "。", "\n") if mark in beginning[_SUMMARY // 3 :]]
    cut = beginning[: ends[0] if ends else _SUMMARY].rstrip()
    notice = reply.published.notice if reply.published else ""
    return f"{cut}\n\n（全文 {len(text)} 字{where}）" + (f"\n\n{notice}" if notice else "")


def _key(event: MessageEvent | ScheduledEvent, suffix: str) -> str:
    # A hash, not a row number: a new database must not repeat the keys of an old one.
    seed = "\n".join((event.conversation.key, event.id, suffix))
    return "msg_" + hashlib.sha256(seed.encode()).hexdigest()[:32]
