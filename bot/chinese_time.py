"""Times as people write them in Chinese (每天18:00, 每周五下午五点半, 每月最后一天), and cron's five fields.

Anchored: `read` takes a time that a text begins with, `parse` a text that is one. What has a time of day but says
neither morning nor evening is read by the 24-hour clock.
"""

from __future__ import annotations

import re
import unicodedata
from zoneinfo import ZoneInfo

from bot.errors import BadSchedule
from bot.schedule import ALL_MONTHS, EVERY_HOUR, LAST, NO_CALENDAR, Calendar, Days, Schedule

EXAMPLES = "每天18:00、工作日早上九点半、每周五17点、每周一三五上午10点、每月1号9点、每月最后一天18:00、每小时"
_NOT_UNDERSTOOD = f"没看懂这个时间。可以这样写：{EXAMPLES}。"
_NINE = (9 * 60,)
_DIGITS = {"零": 0, "〇": 0, "一": 1, "二": 2, "两": 2} | {sign: n for n, sign in enumerate("三四五六七八九", 3)}
_WEEKDAYS = {sign: n for n, sign in enumerate("一二三四五六日", 1)} | {"天": 7, "末": 67}

_NUMBER = r"(?:\d{1,2}|[零〇]?[一二两三四五六七八九]?十[一二三四五六七八九]?|[零〇]?[一二两三四五六七八九]|[零〇])"
_WEEK = r"(?:周|星期|礼拜)"
_TO, _AND = r"(?:到|至|[-~—–])", r"(?:[、,/和及与]|以及)"
#: What stands before 点 is an hour: 每周五六点.
_A_WEEKDAY = rf"(?:{_WEEK})?[一二三四五六日天末](?![点时])"
_A_MONTHDAY = rf"(?:最后一天|月底|月末|初[一二三四五六七八九十]|{_NUMBER}[号日]?)"
_DAYS = re.compile(
    rf"""(?P<every>每天|每日|天天|每一天|每(?=[早晚]))
    |(?P<other>隔天|隔日|每隔一天|每(?P<step>{_NUMBER})天)
    |(?P<work>(?:每个?)?工作日|(?:每个?)?上班日)
    |(?P<end>每个?月(?:的)?(?:最后一天|底|末)|月底|月末)
    |(?:每个?)?(?P<week>{_WEEK}{_A_WEEKDAY}(?:{_TO}{_A_WEEKDAY}|(?:{_AND}?{_A_WEEKDAY})*))
    |每(?:年(?:的)?(?P<months>{_NUMBER}(?:{_AND}{_NUMBER})*)月(?:份)?|个?月)(?:的)?
        (?P<monthdays>{_A_MONTHDAY}(?:{_AND}{_A_MONTHDAY})*)(?<=[号日天底末一二三四五六七八九十])
    """,
    re.VERBOSE,
)
_PERIODS = "凌晨|清晨|早晨|早上|上午|中午|正午|下午|傍晚|晚上|夜里|半夜|深夜|夜晚|早|晚"
_TIME = re.compile(
    rf"""(?:的)?(?P<period>{_PERIODS})?(?P<hour>{_NUMBER})
    (?:[:](?P<minute>[0-5]\d)(?!\d)
    |[点时](?:(?P<half>半)|(?P<quarter>[一三])刻|(?P<words>{_NUMBER})分|(?P<bare>[0-5]\d|[零〇][一二三四五六七八九]
        |[二三四五]?十[一二三四五六七八九]?)(?![\d月天日号个条])|[整钟])?)""",
    re.VERBOSE,
)
_HOURLY = re.compile(
    rf"(?:每个?小时|每(?P<half>半)个?小时|每(?:隔)?(?P<hours>{_NUMBER})个?小时|每(?:隔)?(?P<minutes>{_NUMBER})分钟)"
    rf"(?:的?第?(?P<at>{_NUMBER})分|的?(?P<at_half>半点))?"
)
#: What a part of the day means where no hour is said.
_USUAL = {"早上": 8, "早晨": 8, "清晨": 7, "早": 8, "上午": 9, "中午": 12, "正午": 12, "下午": 15, "傍晚": 18} | {
    "晚上": 20,
    "晚": 20,
    "夜晚": 20,
}
_A_PERIOD = re.compile(rf"(?:的)?(?P<period>{'|'.join(_USUAL)})(?!\w*点)")
_BETWEEN = re.compile(_AND)
_WEEK_SIGNS = "一二三四五六日"
_WEEKDAY_DIGIT = re.compile(r"(?:(?<=周)|(?<=星期)|(?<=礼拜)|(?<=周\d[-到至、]))[1-7](?![\d点时:号])")
_MIDNIGHT = 24 * 60


def parse(text: str, zone: ZoneInfo, calendar: Calendar = NO_CALENDAR) -> Schedule:
    """A whole text. Raises BadSchedule."""
    line = " ".join(unicodedata.normalize("NFKC", text).split())
    if len(line.split(" ")) == 5 and re.fullmatch(r"[\d*/,\-A-Za-z ]+", line):
        return cron(line, zone, calendar)
    found = read(line, zone, calendar)
    if found is None or found[1]:
        raise BadSchedule(_NOT_UNDERSTOOD)
    return found[0]


def read(text: str, zone: ZoneInfo, calendar: Calendar = NO_CALENDAR) -> tuple[Schedule, str] | None:
    """The schedule that a text begins with, and the rest; None where it begins with none.

    Raises BadSchedule where it does, but with a time that cannot be. Spaces are left out.
    """
    # 每周5 17:00 without its space would be 517.
    line = _WEEKDAY_DIGIT.sub(lambda found: _WEEK_SIGNS[int(found[0]) - 1], unicodedata.normalize("NFKC", text))
    line = "".join(line.split())
    days = _DAYS.match(line)
    rest = line[days.end() :] if days else line
    hourly = _HOURLY.match(rest)
    if hourly:
        return Schedule(_hours(hourly), _days(days), zone, calendar), rest[hourly.end() :]
    if days is None:
        return None
    times, rest = _times(rest)
    return Schedule(_same_day(times, _days(days)), _days(days), zone, calendar), rest


def number(text: str) -> int:
    """0 to 99, in digits or Chinese. Raises BadSchedule."""
    if text.isascii() and text.isdecimal():
        return int(text)
    tens, ten, ones = text.lstrip("零〇").rpartition("十")
    try:
        return (10 * _DIGITS[tens or "一"] if ten else 0) + (_DIGITS[ones] if ones else 0)
    except KeyError:
        raise BadSchedule(_NOT_UNDERSTOOD) from None


# ------------------------------------------------------------------------ days


def _days(found: re.Match[str] | None) -> Days:
    if found is None or found["every"]:
        return Days()
    if found["other"]:
        return Days(every=_between(number(found["step"]) if found["step"] else 2, 1, 31, "天"))
    if found["work"]:
        return Days(workdays=True)
    if found["end"]:
        return Days(monthdays=frozenset({LAST}))
    if found["week"]:
        return Days(weekdays=_weekdays(found["week"]))
    months = frozenset(_numbers(found["months"], 1, 12, "月")) if found["months"] else ALL_MONTHS
    return Days(months, _monthdays(found["monthdays"]))


def _weekdays(text: str) -> frozenset[int]:
    signs = re.sub(_WEEK, "", text)
    range_ = re.fullmatch(rf"(.){_TO}(.)", signs)
    if range_:
        first, last = (_WEEKDAYS[sign] for sign in range_.groups())
        if first > 7 or last > 7:
            raise BadSchedule(_NOT_UNDERSTOOD)
        return frozenset((first - 1 + n) % 7 + 1 for n in range((last - first) % 7 + 1))
    days = [_WEEKDAYS[sign] for sign in signs if sign in _WEEKDAYS]
    return frozenset(day for found in days for day in ((6, 7) if found == 67 else (found,)))


def _monthdays(text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in _BETWEEN.split(text):
        last = part in ("最后一天", "月底", "月末")
        found.add(LAST if last else _between(number(part.strip("初号日")), 1, 31, "号"))
    return frozenset(found)


def _numbers(text: str, first: int, last: int, unit: str) -> list[int]:
    return [_between(number(part), first, last, unit) for part in _BETWEEN.split(text)]


def _between(value: int, first: int, last: int, unit: str) -> int:
    if not first <= value <= last:
        raise BadSchedule(f"没有 {value} {unit}，应在 {first} 到 {last} 之间。")
    return value


# ----------------------------------------------------------------------- times


def _times(text: str) -> tuple[list[int], str]:
    """Minutes of the day, 24 hours or more for the night after it; a part of the day holds for what follows it."""
    times: list[int] = []
    period, rest = "", text
    while found := _TIME.match(rest):
        period = found["period"] or period
        times.append(_minute(period, found))
        rest = rest[found.end() :]
        joined = _BETWEEN.match(rest)
        if not joined or not _TIME.match(rest[joined.end() :]):
            return times, rest
        rest = rest[joined.end() :]
    named = _A_PERIOD.match(text)
    if named:
        return [_USUAL[named["period"]] * 60], text[named.end() :]
    if re.match(rf"(?:的)?(?:{_PERIODS}|{_NUMBER}[:点时])", text):
        raise BadSchedule(_NOT_UNDERSTOOD)
    return list(_NINE), text


def _minute(period: str, found: re.Match[str]) -> int:
    minute = 0
    if found["half"]:
        minute = 30
    elif found["quarter"]:
        minute = 15 * number(found["quarter"])
    elif said := found["minute"] or found["words"] or found["bare"]:
        minute = _between(number(said), 0, 59, "分")
    hour = _between(number(found["hour"]), 0, 24, "点")
    return _hour(period, hour) * 60 + minute


def _hour(period: str, hour: int) -> int:
    """By the 24-hour clock; the hours after midnight of an evening are 24 and more."""
    match period:
        case "凌晨" | "半夜" if hour in (*range(7), 12):
            return hour % 12
        case "清晨" | "早晨" | "早上" | "早" if 3 <= hour <= 11:
            return hour
        case "上午" if 5 <= hour <= 12:
            return hour
        case "中午" | "正午" if hour in (11, 12, 1, 2):
            return hour if hour >= 11 else hour + 12
        case "下午" if 1 <= hour <= 7 or 12 <= hour <= 19:
            return hour if hour >= 12 else hour + 12
        case "傍晚" if 4 <= hour <= 8 or 16 <= hour <= 20:
            return hour if hour >= 16 else hour + 12
        case "晚上" | "夜里" | "深夜" | "夜晚" | "晚" | "半夜" if hour in (*range(5, 12), *range(17, 25)):
            return hour if hour >= 17 else hour + 12
        case "晚上" | "夜里" | "深夜" | "夜晚" | "晚" if hour in (*range(5), 12):
            return 24 + hour % 12
        case "":
            return hour
        case _:
            raise BadSchedule(f"“{period}{hour}点”是几点？请用 24 小时制写，例如 每天18:00。")


def _same_day(times: list[int], days: Days) -> tuple[int, ...]:
    """What lies after midnight belongs to the next day: that is the same only where every day is meant."""
    if max(times) >= _MIDNIGHT and days != Days():
        raise BadSchedule("晚上十二点以后是第二天了，请直接写那一天和时间，例如 每周六0:00。")
    return tuple(sorted({time % _MIDNIGHT for time in times}))


def _hours(found: re.Match[str]) -> tuple[int, ...]:
    at = 30 if found["at_half"] else _between(number(found["at"]), 0, 59, "分") if found["at"] else 0
    if found["half"] or found["minutes"]:
        step = 30 if found["half"] else number(found["minutes"])
        if step not in (5, 10, 15, 20, 30, 60):
            raise BadSchedule("每几分钟只能是 5、10、15、20、30 或 60。")
        return tuple(range(at % step, _MIDNIGHT, step))
    step = number(found["hours"]) if found["hours"] else 1
    if step not in (1, 2, 3, 4, 6, 8, 12, 24):
        raise BadSchedule("每几小时只能是 1、2、3、4、6、8、12 或 24。")
    return tuple(hour * 60 + at for hour in EVERY_HOUR[::step])


# ------------------------------------------------------------------------ cron

_NAMES = {name: n for n, name in enumerate("sun mon tue wed thu fri sat".split())}
_MONTHS = {name: n for n, name in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)}
_PART = re.compile(r"(?P<all>\*)|(?P<first>\w+)(?:-(?P<last>\w+))?")


def cron(line: str, zone: ZoneInfo, calendar: Calendar = NO_CALENDAR) -> Schedule:
    """Minute, hour, day of the month (L: the last), month, day of the week (0 and 7: Sunday). Raises BadSchedule."""
    minute, hour, monthday, month, weekday = line.lower().split()
    minutes, hours = _cron_field(minute, 0, 59), _cron_field(hour, 0, 23)
    weekdays = {day or 7 for day in _cron_field(weekday, 0, 7, _NAMES)}
    parts = monthday.split(",")
    monthdays = _cron_field(",".join(part for part in parts if part != "l"), 1, 31) if parts != ["l"] else set[int]()
    days = Days(
        frozenset(_cron_field(month, 1, 12, _MONTHS)),
        None if monthday == "*" else frozenset(monthdays | ({LAST} if "l" in parts else set[int]())),
        None if weekday == "*" else frozenset(weekdays),
    )
    return Schedule(tuple(sorted(h * 60 + m for h in hours for m in minutes)), days, zone, calendar)


def _cron_field(text: str, least: int, most: int, names: dict[str, int] | None = None) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step = part.partition("/")
        match = _PART.fullmatch(span)
        if match is None or (slash and not (step.isdecimal() and int(step) > 0)):
            raise BadSchedule(f"cron 表达式里的“{text}”不对，五段依次是：分 时 日 月 周，例如 0 18 * * 1-5。")
        first = least if match["all"] else _cron_number(match["first"], least, most, names or {})
        last = _cron_number(match["last"], least, most, names or {}) if match["last"] else first
        if match["all"] or (slash and not match["last"]):
            last = most
        if first > last:
            raise BadSchedule(f"cron 表达式里的“{part}”倒过来了。")
        found.update(range(first, last + 1, int(step) if slash else 1))
    return found


def _cron_number(text: str, least: int, most: int, names: dict[str, int]) -> int:
    value = names.get(text, int(text) if text.isascii() and text.isdecimal() else -1)
    if not least <= value <= most:
        raise BadSchedule(f"cron 表达式里的“{text}”应在 {least} 到 {most} 之间。")
    return value
