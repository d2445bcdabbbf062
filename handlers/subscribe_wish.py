"""What somebody orders, read from a whole message: 每天18:00发今天的群日报."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from bot.chinese_time import cron, read
from bot.errors import BadSchedule
from bot.orders import zone
from bot.schedule import Calendar, Schedule
from bot.subscription import Kind

_PAPER = r"(?:日报|周报|月报|简报)"
_NAMED = rf"(?:群(?:聊|消息)?的?)?(?:{_PAPER}|总结|汇总|摘要|小结)"
SUPPORT = (
    r"(?:客服|售后|客户)的?群?的?(?:(?:问题|咨询|反馈|情况)的?(?:总结|汇总|小结)?|日报|周报|月报|简报|总结|汇总|小结)"
)
NAMED = _NAMED
_ADDRESS = r"https?://[!-+\--~]+"
_TO_WHOM = r"(?:[给在]?(?:我们?|大家|本群|群里|这里))?"
_VERB = (
    rf"(?:自动|定时|准时)?{_TO_WHOM}(?:自动|定时|准时)?"
    rf"(?:发送?|推送|总结|汇总|整理|生成|写|出|做|播报|来)(?:一?[份次个篇下])?{_TO_WHOM}(?:汇总|总结)?"
)
_WHOSE = r"(?:今天|昨天|当天|今日|本周|上周|这周|本月|上月|这个月|一天|一周)?的?(?:本群|这个群|群里|群)?的?"
#: What is posted, to the end of the message. Without a verb only a name that means nothing else.
_OBJECT = re.compile(
    rf"(?:(?:{_VERB}){_WHOSE}(?:(?P<support>{SUPPORT})|{_NAMED}|(?:群聊|聊天|讨论|群?消息)(?:内容|记录)?)"
    rf"|{_WHOSE}(?:(?P<bare_support>{SUPPORT})|群?{_PAPER}|群?总结)"
    rf"|(?:{_VERB})?(?:订阅|新闻|资讯|RSS|rss|更新)?的?:?(?P<feeds>{_ADDRESS}(?:[,、]{_ADDRESS})*))"
    r"(?:,?(?:谢谢|吧|哦|哈))*"
)
_BEFORE = re.compile(r"(?:@\S+\s+|请|麻烦你?|帮我|帮忙|以后|今后|从今天起|从明天起|[,\s])*")
_ZONES = {
    "北京": "Asia/Shanghai",
    "上海": "Asia/Shanghai",
    "东京": "Asia/Tokyo",
    "日本": "Asia/Tokyo",
    "首尔": "Asia/Seoul",
    "新加坡": "Asia/Singapore",
    "伦敦": "Europe/London",
    "巴黎": "Europe/Paris",
    "柏林": "Europe/Berlin",
    "纽约": "America/New_York",
    "洛杉矶": "America/Los_Angeles",
    "悉尼": "Australia/Sydney",
}
_CRON = re.compile(r"(?P<fields>[\d*/,L-]+(?:\s+[\d*/,\-A-Za-z]+){4})(?![^\s(])\s*(?:\((?P<name>[\w/+-]+)\))?")
_ZONE = re.compile(rf"(?P<city>{'|'.join(_ZONES)})时间|\((?P<name>UTC|[A-Za-z_]+(?:/[A-Za-z_+\-0-9]+){{1,2}})\)")


@dataclass(frozen=True, slots=True)
class Wish:
    """sources: addresses of feeds. prompt: what else is wanted, in the words that were used."""

    schedule: Schedule
    kind: Kind
    sources: tuple[str, ...] = ()
    prompt: str = ""


def wish(text: str, default: ZoneInfo, calendar: Calendar) -> Wish | None:
    """Of a sentence; None where it orders nothing.

    Raises BadSchedule where it ends like an order, and begins with a time that cannot be.
    """
    line = _tidy(text)
    try:
        schedule, rest = _timed(line, default, calendar) or (None, "")
    except BadSchedule:
        if _ends_like_an_order(line):
            raise
        return None
    found = _OBJECT.fullmatch(rest) if schedule else None
    return None if schedule is None or found is None else _wished(schedule, found)


def order(text: str, default: ZoneInfo, calendar: Calendar) -> Wish | None:
    """What stands behind `/订阅`: as `wish`, and any other words after the time are a prompt. Raises BadSchedule."""
    line = _tidy(text)
    timed = _cron_first(line, default, calendar) or _timed(line, default, calendar)
    if timed is None:
        return None
    schedule, rest = timed
    found = _OBJECT.fullmatch(rest)
    if found:
        return _wished(schedule, found)
    return Wish(schedule, "prompt", prompt=_words_after_time(text, rest)) if rest else Wish(schedule, "group")


def _tidy(text: str) -> str:
    line = unicodedata.normalize("NFKC", text).strip().rstrip("。.!~ ")
    found = _BEFORE.match(line)
    return line[found.end() :] if found else line


def _timed(line: str, default: ZoneInfo, calendar: Calendar) -> tuple[Schedule, str] | None:
    """The time at the beginning, by the zone that is named beside it, and what follows without its spaces."""
    # A zone stands before, in or right behind the time: what a zone of a later word would mean is another matter.
    found = _ZONE.search(line[:48])
    if found is None:
        return read(line, default, calendar)
    where = zone(_ZONES[found["city"]] if found["city"] else found["name"])
    return read(line[: found.start()] + line[found.end() :], where, calendar)


def _cron_first(line: str, default: ZoneInfo, calendar: Calendar) -> tuple[Schedule, str] | None:
    """Cron's five fields, as they are written in the configuration, and a zone behind them."""
    found = _CRON.match(line)
    if found is None:
        return None
    where = zone(found["name"]) if found["name"] else default
    return cron(found["fields"], where, calendar), "".join(line[found.end() :].split())


def _ends_like_an_order(line: str) -> bool:
    rest = "".join(line.split())
    return any(_OBJECT.fullmatch(rest, start) for start in range(2, min(len(rest), 24)))


def _wished(schedule: Schedule, found: re.Match[str]) -> Wish:
    if found["feeds"]:
        return Wish(schedule, "feeds", tuple(dict.fromkeys(re.findall(_ADDRESS, found["feeds"]))))
    return Wish(schedule, "support" if found["support"] or found["bare_support"] else "group")


def _words_after_time(text: str, rest: str) -> str:
    """`rest` as it was written, with its spaces."""
    left, position = len(rest), len(text)
    normal = unicodedata.normalize("NFKC", text)
    if len(normal) != len(text):
        return rest
    while position and left:
        position -= 1
        left -= not normal[position].isspace()
    return text[position:].strip(" ,，:：\n")
