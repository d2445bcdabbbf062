"""The part of a message that asks, when the rest is pasted text."""

from __future__ import annotations

import re

#: A message with more characters, or with more lines, holds pasted text.
_LONG, _LINES = 240, 3
_MOST = 90
_ASKING = re.compile(
    r"[?？]|什么|多少|几|哪|谁|怎|吗|呢|是不是|有没有|写|整理|理成|改|扩|生成|出一|做成|做一|弄|顺成|总结|概括|一句话|翻译|翻一下|分析|解读|说说|告诉|提取"
)
_POINTING = re.compile(
    r"上面|以上|下面|以下|这段|这篇|这封|这份|这些|这个|照这|据此|请|帮|麻烦|把|给我|看看|看这|素材|就问|别的不用"
)


def asked_part(text: str) -> tuple[str, bool]:
    """The asking line and whether anything was left out. The last line wins a draw: people paste, then ask."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if len(text) <= _LONG and len(lines) <= _LINES:
        return text, False
    first, last = _head(lines[0]), _tail(lines[-1])
    return (first if _score(first) > _score(last) else last), True


def _score(line: str) -> int:
    return bool(_ASKING.search(line)) + bool(_POINTING.search(line)) + (len(line) <= 40)


def _head(line: str) -> str:
    return line if len(line) <= _MOST else line[:_MOST].rsplit("。", 1)[0]


def _tail(line: str) -> str:
    if len(line) <= _MOST:
        return line
    return re.split(r"[。!?！？;；]", line[-_MOST:].rstrip("。!?！？"))[-1] or line[-_MOST:]
