"""When something is due: days and times of a time zone, by the wall clock.

Pure. A local time that does not exist because the clocks go forward means the next minute that does; one that comes
twice means its first coming. The text is Chinese where that is short, else cron's five fields, and `bot.chinese_time`
reads it back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from bot.errors import BadSchedule

LAST = -1
"""Among the days of a month: its last one."""

ALL_MONTHS = frozenset(range(1, 13))
EVERY_HOUR = range(24)
_DAY = 24 * 60
#: Days looked through for the next one that is meant: from one 29 February to the next there may be eight years.
_HORIZON = 366 * 9
_WEEK = "一二三四五六日"
_NEVER = "没有这样的日子，这个时间永远不会到。"


@dataclass(frozen=True, slots=True)
class Calendar:
    """Days off that are no weekend, and weekends that are worked (调休): published anew for each year."""

    holidays: frozenset[date] = frozenset()
    workdays: frozenset[date] = frozenset()

    def works(self, day: date) -> bool:
        """Monday to Friday, but for the lists."""
        return day in self.workdays or (day.isoweekday() <= 5 and day not in self.holidays)


NO_CALENDAR = Calendar()


@dataclass(frozen=True, slots=True)
class Days:
    """Which days are meant.

    monthdays: 1 to 31 and LAST; weekdays: 1 (Monday) to 7; None: any. Given both, either suffices, as in cron
    (https://man7.org/linux/man-pages/man5/crontab.5.html). workdays: of a calendar. every: each n-th day, counted from
    the first day of year 1.
    """

    months: frozenset[int] = ALL_MONTHS
    monthdays: frozenset[int] | None = None
    weekdays: frozenset[int] | None = None
    workdays: bool = False
    every: int = 1

    def has(self, day: date, calendar: Calendar) -> bool:
        """This day is one of them."""
        if day.month not in self.months or day.toordinal() % self.every:
            return False
        if self.workdays:
            return calendar.works(day)
        wanted = [
            days
            for days in (
                None if self.monthdays is None else self._in_month(day),
                None if self.weekdays is None else day.isoweekday() in self.weekdays,
            )
            if days is not None
        ]
        return not wanted or any(wanted)

    def _in_month(self, day: date) -> bool:
        assert self.monthdays is not None
        last = (day + timedelta(days=1)).month != day.month
        return day.day in self.monthdays or (last and LAST in self.monthdays)


@dataclass(frozen=True, slots=True)
class Schedule:
    """times: minutes of the day, ascending. Raises BadSchedule where there is no such day."""

    times: tuple[int, ...]
    days: Days
    zone: ZoneInfo
    calendar: Calendar = field(default=NO_CALENDAR, compare=False)

    def __post_init__(self) -> None:
        first = date(2001, 1, 1)
        if not any(self.days.has(first + timedelta(days=n), NO_CALENDAR) for n in range(_HORIZON)):
            raise BadSchedule(_NEVER)

    def next(self, after: datetime) -> datetime:
        """The first moment after `after` (which has a time zone), in the schedule's zone."""
        # In UTC: of two times of one zone, Python compares what the clock on the wall shows.
        later = after.astimezone(UTC)
        # A day earlier: what a gap at midnight moves belongs to the day before.
        for day in self._days(after, -1, 1):
            for moment in self._moments(day):
                if moment > later:
                    return moment
        raise BadSchedule(_NEVER)

    def previous(self, before: datetime) -> datetime:
        """The last moment before `before`."""
        earlier = before.astimezone(UTC)
        for day in self._days(before, 1, -1):
            for moment in reversed(list(self._moments(day))):
                if moment < earlier:
                    return moment
        raise BadSchedule(_NEVER)

    def _days(self, moment: datetime, first: int, step: int) -> Iterator[date]:
        """Those that are meant, from `first` days after a moment's on."""
        start = moment.astimezone(self.zone).date() + timedelta(days=first)
        days = (start + timedelta(days=step * number) for number in range(_HORIZON))
        return (day for day in days if self.days.has(day, self.calendar))

    def _moments(self, day: date) -> Iterator[datetime]:
        """Ascending; what a gap throws together comes several times."""
        for minute in self.times:
            yield _existing(datetime(day.year, day.month, day.day, *divmod(minute, 60), tzinfo=self.zone))

    @property
    def least_gap(self) -> int:
        """Minutes between two times of one day, at least; a day's where there is one time only."""
        return min((b - a for a, b in pairwise(self.times)), default=_DAY)

    @property
    def text(self) -> str:
        """As it is kept and shown: 每周五 17:00, or cron's fields."""
        days = _say_days(self.days)
        if days is None or not _is_short(self):
            return _cron(self)
        times = _say_times(self)
        return times if days == "每天" and times.startswith("每小时") else f"{days} {times}"

    @property
    def shown(self) -> str:
        """With the time zone."""
        return f"{self.text}（{self.zone.key}）"

    def within(self, calendar: Calendar) -> Schedule:
        """The same, by another calendar."""
        return replace(self, calendar=calendar)


def _existing(local: datetime) -> datetime:
    """The time itself, or where the clocks skip it, the moment at which they do."""
    before, after = local.replace(fold=0).utcoffset(), local.replace(fold=1).utcoffset()
    assert before is not None and after is not None
    if after <= before:
        return local
    # In a gap (PEP 495): fold=0 reads it by the offset before, fold=1 by the one after; the change lies between.
    low, high = (local.replace(tzinfo=UTC) - offset for offset in (after, before))
    while high - low > timedelta(minutes=1):
        middle = low + timedelta(minutes=(high - low) // timedelta(minutes=2))
        low, high = (low, middle) if middle.astimezone(local.tzinfo).utcoffset() == after else (middle, high)
    return high.astimezone(local.tzinfo)


# ------------------------------------------------------------------------ text


def _is_short(schedule: Schedule) -> bool:
    """Few times, or the same minute of every hour; and what no cron line can say."""
    if schedule.days.workdays or schedule.days.every > 1:
        return True
    return len(schedule.times) <= 4 or _is_hourly(schedule.times) or not _is_product(schedule.times)


def _is_hourly(times: tuple[int, ...]) -> bool:
    return times == tuple(hour * 60 + times[0] % 60 for hour in EVERY_HOUR)


def _fields(times: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """(minutes, hours)"""
    return sorted({time % 60 for time in times}), sorted({time // 60 for time in times})


def _is_product(times: tuple[int, ...]) -> bool:
    minutes, hours = _fields(times)
    return len(minutes) * len(hours) == len(times)


def _say_times(schedule: Schedule) -> str:
    times = schedule.times
    if not _is_hourly(times):
        return "、".join(f"{time // 60:02d}:{time % 60:02d}" for time in times)
    return f"每小时 {times[0]} 分" if times[0] else "每小时"


def _say_days(days: Days) -> str | None:
    """None: cron says it better."""
    plain = days.months == ALL_MONTHS
    match days:
        case Days(monthdays=None, weekdays=None, workdays=True, every=1) if plain:
            return "工作日"
        case Days(monthdays=None, weekdays=None, workdays=False) if plain:
            return {1: "每天", 2: "隔天"}.get(days.every, f"每{days.every}天")
        case Days(monthdays=None, weekdays=frozenset() as given, workdays=False, every=1) if plain:
            return _say_week(sorted(given))
        case Days(monthdays=frozenset() as given, weekdays=None, workdays=False, every=1):
            months = "每月" if plain else f"每年{'、'.join(map(str, sorted(days.months)))}月"
            return months + _say_month(given)
        case _:
            return None


def _say_week(days: list[int]) -> str:
    if len(days) > 2 and days[-1] - days[0] == len(days) - 1:
        return f"每周{_WEEK[days[0] - 1]}至周{_WEEK[days[-1] - 1]}"
    return "每周" + "、".join(_WEEK[day - 1] for day in days)


def _say_month(days: frozenset[int]) -> str:
    numbers = "、".join(str(day) for day in sorted(days - {LAST}))
    parts = [f"{numbers}日"] if numbers else []
    return "和".join([*parts, *(["最后一天"] if LAST in days else [])])


def _cron(schedule: Schedule) -> str:
    days = schedule.days
    minutes, hours = _fields(schedule.times)
    monthdays = sorted(days.monthdays - {LAST}) if days.monthdays is not None else list(range(1, 32))
    last = ["L"] if days.monthdays is not None and LAST in days.monthdays else []
    weekdays = sorted(day % 7 for day in days.weekdays) if days.weekdays is not None else list(range(7))
    of_month = "*" if days.monthdays is None else ",".join([*([_ranges(monthdays)] if monthdays else []), *last])
    of_week = "*" if days.weekdays is None else _ranges(weekdays)
    parts = (_field(minutes, 0, 59), _field(hours, 0, 23), of_month, _field(sorted(days.months), 1, 12), of_week)
    return " ".join(parts)


def _field(numbers: list[int], first: int, last: int) -> str:
    if len(numbers) == last - first + 1:
        return "*"
    steps = {b - a for a, b in pairwise(numbers)}
    step = min(steps, default=0)
    if len(steps) == 1 and step > 1 and numbers[0] == first and numbers[-1] + step > last and len(numbers) > 2:
        return f"*/{step}"
    return _ranges(numbers)


def _ranges(numbers: list[int]) -> str:
    """1,2,3,5 is 1-3,5."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
