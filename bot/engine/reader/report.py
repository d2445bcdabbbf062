"""The extractive report: what stands in each picture, in its own words and order, as Markdown. No prose of ours."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bot.engine.reader.answer import Numbered
from bot.engine.reader.contents import Contents, contents
from bot.engine.reader.laboratory import find_items
from bot.engine.reader.surface import full_text, headline
from bot.engine.reader.tables import Table
from bot.engine.reader.values import find

CLOSING = "> 本报告由内置识别引擎摘录图中文字而成，未作改写或推断；要成文的报告请配置模型。"
#: longer texts are given as their first sentences of each paragraph
_FULL = 1500


def write(pages: Sequence[Numbered]) -> str:
    """Markdown for all pages, numbered 图1, 图2 … as given."""
    read = [(numbered.number, contents(numbered.page)) for numbered in pages]
    titles = [found.text for _, page in read if (found := headline(page))]
    head = f"# {titles[0]}" if len(titles) == 1 else f"# 图片摘录（{len(read)} 张）"
    return "\n\n".join([head, *(_section(number, page) for number, page in read), CLOSING]) + "\n"


def _section(number: int, page: Contents) -> str:
    found = headline(page)
    name = found.text if found else "无文字图片"
    parts = [f"## 图{number}：{name}", _looks(page)]
    if page.page.lines:
        parts += [_fields(page), *map(_table, page.tables), _judged(page), _text(page), _numbers(page), _doubts(page)]
    return "\n\n".join(part for part in parts if part)


def _looks(page: Contents) -> str:
    colours = "、".join(f"{colour.name} {round(100 * colour.share)}%" for colour in page.page.colours[:3])
    has = f"读到 {len(page.page.lines)} 行文字" if page.page.lines else "没有读到文字"
    return f"- 大小：{page.page.width}×{page.page.height} 像素；主要颜色：{colours or '无'}；{has}"


def _fields(page: Contents) -> str:
    rows = [(f"{fact.context} {fact.key}".strip(), fact.value) for fact in page.facts if not fact.table]
    rows += [(item.label, item.text) for item in page.labelled if item.text]
    if not rows:
        return ""
    body = "\n".join(f"| {_cell(key)} | {_cell(value)} |" for key, value in dict.fromkeys(rows))
    return f"### 字段\n\n| 字段 | 内容 |\n| --- | --- |\n{body}"


def _table(table: Table) -> str:
    lines = [table.header, tuple("---" for _ in table.header), *table.rows]
    return "### 表格\n\n" + "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _judged(page: Contents) -> str:
    out = [item.sentence() for item in find_items(page.rows) if item.verdict not in ("", "正常")]
    return "### 超出参考范围\n\n" + "\n".join(f"- {_cell(line)}" for line in out) if out else ""


def _text(page: Contents) -> str:
    text = full_text(page)
    if len(text) <= _FULL:
        return "### 全文\n\n" + "\n".join(f"> {_cell(line)}" for line in text.splitlines())
    firsts = [re.split(r"(?<=[。！？!?])", line)[0] for line in text.splitlines() if len(line) > 3]
    return "### 各段首句\n\n" + "\n".join(f"> {_cell(line)}" for line in firsts)


def _numbers(page: Contents) -> str:
    """Numbers with their clause, from running text only: tables and fields are given already."""
    clauses = [c for block in page.blocks for c in re.split(r"[，,。；;！？!?]", block.text) if len(block.text) > 20]
    notable = [c.strip() for c in clauses if 4 < len(c) < 40 and find("number", c)]
    return "### 数字\n\n" + "\n".join(f"- {_cell(c)}" for c in dict.fromkeys(notable[:20])) if notable else ""


def _doubts(page: Contents) -> str:
    lines = [line.text for line in page.page.lines if line.doubtful]
    return f"以下文字识别置信度低，请核对：{'、'.join(map(_cell, lines))}" if lines else ""


def _cell(text: str) -> str:
    """Text of a picture is data: it must not become Markdown of ours."""
    return re.sub(r"([\\`*_\[\]|<>#])", r"\\\1", text.replace("\n", " "))
