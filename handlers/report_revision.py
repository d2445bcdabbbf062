"""What a later message wants of the report that is there: another title, one section, all of it, or a file.

Words decide, not a model: what is not clearly a change to the report is a new request. "改短一点" means the report only
right after it; "报告第三段…" means it later, too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bot.report import Report
from bot.router.length import number

Format = Literal["docx", "pdf", "markdown"]

_LONGEST = 120
_FORMATS: dict[str, Format] = {
    "word": "docx",
    "docx": "docx",
    "doc": "docx",
    "pdf": "pdf",
    "markdown": "markdown",
    "md": "markdown",
}
_WORD = r"(?<![a-z])(?P<format>word|docx?|pdf|markdown|md)(?![a-z])"
_FILE = re.compile(
    rf"(?:发|给|要|导出|转|生成|下载|做成|存成|来|换成?|变成).{{0,10}}?{_WORD}"
    rf"|^\W*{_WORD.replace('format', 'bare')}\s*(?:版本?|格式|文件|文档)?\W*$"
    rf"|{_WORD.replace('format', 'kind')}\s*(?:版|格式|文件|文档)",
    re.IGNORECASE,
)
_QUESTION = re.compile(r"怎么|如何|为什么|为啥|什么|区别|哪个|多少|是不是|有没有|谁")
_ANOTHER = re.compile(r"(?:再|另|另外|重新|帮我|给我)?(?:写|做|出|来)(?:一|两|1|2)?(?:篇|份|个|则|条|封)(?!.{0,4}标题)")
_ORDINAL = re.compile(
    r"第\s*(?P<n>[一二三四五六七八九十]{1,3}|\d{1,2})\s*(?:个)?\s*(?:大|小|自然)?(?:段|节|部分|章|点)"
)
_PLACES = {
    "开头": 0,
    "导语": 0,
    "引言": 0,
    "首段": 0,
    "结尾": -1,
    "末段": -1,
    "最后一段": -1,
    "最后一节": -1,
    "最后一部分": -1,
}
_TITLE = re.compile(
    r"标题.{0,8}?(?:换|改|重[写取起拟]|不好|短|长|吸引|正式|活泼|通俗)|(?:换|改|重[写取起拟]|取|起)[一]?[个下]?.{0,4}?(?<!小)(?:标题|题目)"
)
_EDIT = re.compile(
    r"改|换|加|补|删|去掉|不要|别[写提]|缩|短|长|重写|扩|精简|详细|详尽|润色|简洁|调整|合并|展开|细|写[得进上]|放|插"
)
_SHORTER = re.compile(r"短(?:一?[点些]|$)|缩[短减写]|压缩|精简|简[短洁略练](?:一?[点些])?|删减|太长")
_LONGER = re.compile(r"长(?:一?[点些]|$)|扩[写充展]|展开|详[细尽](?:一?[点些])?|充实|丰富|加长|太短")
_END = r"(?=$|[\s，,。.！!；;、~]|吧|哈)"
_WHOLE = re.compile(
    r"^\W*(?:请|麻烦|帮我|再|把它|把这篇|整体|全文|整篇|内容|文章|报告|稿子|这篇|太|写)*\s*(?:"
    r"(?:改|写|弄|缩|变|调)?(?:得)?(?:再)?(?:更)?(?:短|长|简短|简洁|精简|详细|正式|活泼|口语|通俗|严肃|轻松|专业)化?"
    rf"(?:一?[点些]|了|{_END})"
    r"|(?:压缩|缩写|缩减|扩写|扩充|精简|润色|改写|重写)(?:一下|一遍|到|成|为|全文|报告|稿子|文章|这篇"
    rf"|{_END})"
    r"|(?:(?:改|换)(?:成|为|个|一?种)?|(?:改|重)?写(?:成|为)).{1,12}?"
    r"(?:口吻|语气|风格|文风|体|稿|博客|公众号|推文|小红书|笔记|报告|纪要|总结|视角|人称)"
    r"|用.{1,8}?(?:人称|口吻|语气|风格|视角)"
    r"|(?:改|写|缩|扩|压缩|控制|增加|减少|精简)(?:写|短|长|充)?(?:到|成|在|为|至)\s*.{0,6}?字"
    r"|(?:加上|补充|加入|增加|删掉|删除|去掉|别提|不要提|不要写).{1,40}"
    r"|把.{1,30}?(?:改|换|删|去掉|写|移|放到|缩|扩).{0,20})"
)
_NAMED = re.compile(r"报告|稿|文章|文案|全文|正文|博客|推文|笔记|纪要|这篇|上文")


@dataclass(frozen=True, slots=True)
class Revision:
    """wish: the user's words. section: its index, -1 the last one. scale: of its length; named: the report is named."""

    kind: Literal["file", "title", "section", "all"]
    wish: str = ""
    format: Format = "docx"
    section: int = 0
    scale: float = 1.0
    named: bool = False


def may_be(text: str) -> bool:
    """Worth looking at the report for: nothing that this refuses is a revision."""
    return (
        len(text) <= _LONGEST
        and not text.startswith("/")
        and (_EDIT.search(text) is not None or find(text) is not None)
    )


def wanted_format(text: str) -> Format | None:
    """The kind of file that a message asks for; None where it asks for none."""
    found = _FILE.search(text)
    if found is None:
        return None
    return _FORMATS[(found["format"] or found["bare"] or found["kind"]).lower()]


def find(text: str, report: Report | None = None) -> Revision | None:
    """What a message wants of a report; None where it is about something else.

    report: where it is known, its sections are known by their titles, too.
    """
    text = text.strip()
    if not text or len(text) > _LONGEST or text[0] == "/":
        return None
    another, asks = _ANOTHER.search(text) is not None, _QUESTION.search(text) is not None
    kind = wanted_format(text)
    if kind is not None and not another and not asks and len(text) <= 30:
        return Revision("file", text, kind)
    if another or asks:
        return None
    named = _NAMED.search(text) is not None
    if _TITLE.search(text):
        return Revision("title", text, named=named)
    section = _section(text, report.sections if report else ())
    if section is not None and _EDIT.search(text):
        return Revision("section", text, section=section, scale=_scale(text), named=named)
    return Revision("all", text, scale=_scale(text), named=named) if _WHOLE.search(text) else None


def _section(text: str, sections: Sequence[object]) -> int | None:
    if ordinal := _ORDINAL.search(text):
        return max(0, number(ordinal["n"]) - 1)
    place = next((index for word, index in _PLACES.items() if word in text), None)
    if place is not None:
        return place
    titles = [str(getattr(one, "title", "")) for one in sections]
    return next((at for at, title in enumerate(titles) if len(title) > 1 and title in text), None)


def _scale(text: str) -> float:
    return 0.6 if _SHORTER.search(text) else 1.6 if _LONGER.search(text) else 1.0
