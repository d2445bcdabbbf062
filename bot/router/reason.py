"""Why, in one short Chinese phrase."""

from __future__ import annotations

import re

from bot.router.features import Reading
from bot.router.lexicon import tags
from bot.router.text import plain

_DOCUMENTS = re.compile(
    r"新闻稿|通稿|公众号|推文|小红书|演讲稿|发言稿|致辞|投诉信|情况说明|会议纪要|纪要|分析报告|报告|总结|方案|计划书|计划|作文|游记|故事|日记|剧本|脚本|论文|综述|"
    r"读后感|心得|周报|月报|文案|攻略|教程|讲义|手册|散文|小说|诗歌|申请书|通知|公告|检讨|说明书|文章|信|稿"
)
_WISHED = re.compile(
    r"\d+\s*(?:个)?字|[一二两三四五六七八九十百千万几]+(?:来|多)?字|[\d一二两三四五六七八九十几]+(?:分钟|页)"
)
_BEFORE = {"long": "承接上文改稿", "awaited": "承接成稿任务", "received": "用已发的图成稿", "offered": "应邀写成报告"}


def report_reason(reading: Reading) -> str:
    """`要求成稿、800字`, `要求写游记`, `要求详细展开`, `承接上文改稿`."""
    text = plain(reading.request.text)[-300:]
    kind, wished = _DOCUMENTS.search("，".join(reading.clauses)), _WISHED.search(text)
    found = {tag for clause in reading.tags for tag in clause}
    if kind and found & {"WRITE", "MAKE", "PIECE"}:
        said = f"要求写{kind[0]}"
    elif reading.before in _BEFORE:
        said = _BEFORE[reading.before]
    elif "DEEP" in found and "WRITE" not in found:
        said = "要求详细展开"
    else:
        said = "要求成稿"
    return f"{said}、{wished[0]}" if wished and "LEN2" in found else said


def quick_reason(reading: Reading) -> str:
    """`单图取数`, `多图比较`, `明说不要长文`, `追问`, …"""
    found = {tag for clause in reading.tags for tag in clause}
    if "refuse" in reading.acts:
        return "明说不要长文"
    if found & {"LEN0", "SMALLDOC"}:
        return "只要一两句"
    if reading.pasted:
        return "长文短问"
    if reading.request.images:
        many = reading.request.images > 1
        return "多图比较" if many else "单图取数" if "ASK" in found or "TELL" in found else "单图提问"
    if reading.before != "none":
        return "追问"
    return "简短问答" if "ASK" in tags(reading.text) else "普通提问"
