"""Schedules: what people write is understood, and the next time is the right one in every time zone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from apscheduler.triggers.cron import CronTrigger
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from bot.chinese_time import cron, number, parse, read
from bot.errors import BadSchedule
from bot.schedule import LAST, Calendar, Days, Schedule

SHANGHAI = ZoneInfo("Asia/Shanghai")
ZONES = ["Asia/Shanghai", "America/New_York", "Europe/London", "Australia/Lord_Howe", "Pacific/Apia", "UTC"]
#: A Tuesday at noon.
NOW = datetime(2026, 11, 24, 12, tzinfo=SHANGHAI)


def dates(text: str, count: int = 3, *, after: datetime = NOW, calendar: Calendar | None = None) -> list[str]:
    schedule = parse(text, SHANGHAI, calendar or Calendar())
    found: list[str] = []
    for _ in range(count):
        after = schedule.next(after)
        found.append(f"{after:%m-%d %H:%M}")
    return found


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("每天18:00", "0 18 * * *"),
        ("每日下午六点", "0 18 * * *"),
        ("每天早上九点半", "30 9 * * *"),
        ("每天上午十一点一刻", "15 11 * * *"),
        ("每晚八点", "0 20 * * *"),
        ("每天晚上12点", "0 0 * * *"),
        ("每天凌晨一点", "0 1 * * *"),
        ("每天中午", "0 12 * * *"),
        ("每天中午一点", "0 13 * * *"),
        ("每天傍晚6点", "0 18 * * *"),
        ("每天二十三点五十九分", "59 23 * * *"),
        ("每天九点零五", "5 9 * * *"),
        ("每天９：３０", "30 9 * * *"),
        ("每天上午九点和下午六点", "0 9,18 * * *"),
        ("每周五17点", "0 17 * * 5"),
        ("每周5 17:00", "0 17 * * 5"),
        ("每周五六点", "0 6 * * 5"),
        ("每个星期天9点", "0 9 * * 0"),
        ("周一到周五", "0 9 * * 1-5"),
        ("每周一三五", "0 9 * * mon,wed,fri"),
        ("每周一、周三和周五 8:15", "15 8 * * 1,3,5"),
        ("每周六至周一 8:00", "0 8 * * 6,0,1"),
        ("周末10点", "0 10 * * 6,7"),
        ("每月1号", "0 9 1 * *"),
        ("每个月15日下午3点", "0 15 15 * *"),
        ("每月1、15号 9:30", "30 9 1,15 * *"),
        ("每月最后一天", "0 9 L * *"),
        ("每月底18点", "0 18 L * *"),
        ("每年10月1号9点", "0 9 1 10 *"),
        ("每小时", "0 * * * *"),
        ("每小时30分", "30 * * * *"),
        ("每两小时", "0 */2 * * *"),
        ("每半小时", "*/30 * * * *"),
    ],
)
def test_chinese_and_cron_mean_the_same(text: str, same: str) -> None:
    assert parse(text, SHANGHAI) == cron(same, SHANGHAI)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "每周",
        "每天25点",
        "每天9点60分",
        "每天早上15点",
        "每周五晚上12点",
        "每月32号",
        "每周八9点",
        "每天9点3",
        "明天9点",
        "每7小时",
        "0 0 31 2 *",
        "61 * * * *",
        "* * * * 8",
        "5-1 * * * *",
        "*/0 * * * *",
        "1,,2 * * * *",
        "* * * *",
        "每天18:00的天气",
    ],
)
def test_what_is_not_understood_says_so_in_chinese(text: str) -> None:
    with pytest.raises(BadSchedule) as caught:
        parse(text, SHANGHAI)
    assert any("一" <= sign <= "鿿" for sign in str(caught.value))


def test_a_time_is_read_from_the_beginning_and_the_rest_is_left() -> None:
    found = read("每周五17点 总结 客服问题", SHANGHAI)
    assert found == (parse("每周五17点", SHANGHAI), "总结客服问题")
    assert read("日报每天18:00发", SHANGHAI) is None


def test_the_next_dates() -> None:
    assert dates("每周五17点") == ["11-27 17:00", "12-04 17:00", "12-11 17:00"]
    assert dates("每月最后一天18:00") == ["11-30 18:00", "12-31 18:00", "01-31 18:00"]
    assert dates("每月31号") == ["12-31 09:00", "01-31 09:00", "03-31 09:00"]
    assert dates("每小时", 2) == ["11-24 13:00", "11-24 14:00"]
    assert dates("隔天9点") == ["11-26 09:00", "11-28 09:00", "11-30 09:00"]


def test_workdays_follow_the_lists_of_the_operator() -> None:
    calendar = Calendar(frozenset({date(2026, 11, 26)}), frozenset({date(2026, 11, 28)}))
    assert dates("工作日9点", 4) == ["11-25 09:00", "11-26 09:00", "11-27 09:00", "11-30 09:00"]
    assert dates("工作日9点", 4, calendar=calendar) == ["11-25 09:00", "11-27 09:00", "11-28 09:00", "11-30 09:00"]
    assert dates("周一到周五9点", 4, calendar=calendar) == dates("工作日9点", 4)


def test_a_time_that_the_clocks_skip_means_the_next_minute_that_exists() -> None:
    new_york = ZoneInfo("America/New_York")
    schedule = parse("每天2:30", new_york)
    found = schedule.next(datetime(2027, 3, 14, 0, tzinfo=new_york))
    assert found == datetime(2027, 3, 14, 3, 0, tzinfo=new_york)
    assert schedule.next(found) == datetime(2027, 3, 15, 2, 30, tzinfo=new_york)
    quarters = cron("0,15,30,45 1-3 * * *", new_york)
    moments: list[str] = []
    found = datetime(2027, 3, 14, 1, 40, tzinfo=new_york)
    for _ in range(3):
        found = quarters.next(found)
        moments.append(f"{found:%H:%M}")
    assert moments == ["01:45", "03:00", "03:15"]


def test_a_time_that_comes_twice_means_its_first_coming() -> None:
    new_york = ZoneInfo("America/New_York")
    schedule = parse("每天1:30", new_york)
    found = schedule.next(datetime(2026, 11, 1, 0, tzinfo=new_york))
    assert found.astimezone(UTC) == datetime(2026, 11, 1, 5, 30, tzinfo=UTC)
    # Asked again between the two, and within the second.
    assert schedule.next(found).date() == date(2026, 11, 2)
    assert schedule.next(datetime(2026, 11, 1, 6, 15, tzinfo=UTC)).date() == date(2026, 11, 2)


def test_a_day_that_a_country_left_out() -> None:
    """Samoa had no 30 December 2011."""
    apia = ZoneInfo("Pacific/Apia")
    schedule = parse("每天18:00", apia)
    found = schedule.next(datetime(2011, 12, 29, 19, tzinfo=apia))
    assert (found.date(), found.hour) == (date(2011, 12, 31), 0)
    assert schedule.next(found) == datetime(2011, 12, 31, 18, tzinfo=apia)


# ------------------------------------------------------------------ properties

_times = st.lists(st.integers(0, 1439), min_size=1, max_size=5, unique=True).map(lambda found: tuple(sorted(found)))
_months = st.one_of(st.just(frozenset(range(1, 13))), st.frozensets(st.integers(1, 12), min_size=1))
_monthdays = st.frozensets(st.sampled_from([*range(1, 29), LAST]), min_size=1, max_size=4)
_weekdays = st.frozensets(st.integers(1, 7), min_size=1)
_days = st.one_of(
    st.builds(Days, every=st.integers(1, 9)),
    st.just(Days(workdays=True)),
    st.builds(Days, weekdays=_weekdays),
    st.builds(Days, months=_months, monthdays=_monthdays),
)
_cron_days = st.builds(Days, months=_months, monthdays=st.none() | _monthdays, weekdays=st.none() | _weekdays)
_products = st.tuples(st.sets(st.integers(0, 59), min_size=1), st.sets(st.integers(0, 23), min_size=1)).map(
    lambda found: tuple(sorted(hour * 60 + minute for hour in found[1] for minute in found[0]))
)
_zones = st.sampled_from(ZONES).map(ZoneInfo)
_schedules = st.one_of(
    st.builds(Schedule, _times, _days, _zones), st.builds(Schedule, _products, _cron_days | _days, _zones)
)
_moments = st.datetimes(datetime(2005, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))


@settings(max_examples=300, deadline=None)
@given(_schedules)
def test_what_is_shown_is_read_back(schedule: Schedule) -> None:
    assert parse(schedule.text, schedule.zone) == schedule


@settings(max_examples=200, deadline=None)
@given(_schedules, _moments)
def test_next_goes_on_and_previous_comes_back(schedule: Schedule, after: datetime) -> None:
    found = schedule.next(after)
    assert found > after
    assert found.astimezone(UTC).astimezone(schedule.zone) == found
    again = schedule.next(found)
    assert again.astimezone(UTC) > found.astimezone(UTC)
    assert schedule.previous(again) == found
    assert schedule.next(found - timedelta(seconds=1)) == found
    assert schedule.previous(found) <= after


def _by_the_minute(schedule: Schedule, after: datetime, minutes: int) -> list[datetime]:
    """Every minute looked at: those whose wall clock shows a time that is meant, for the first time."""
    shown: set[datetime] = set()
    found: list[datetime] = []
    for number_ in range(1, minutes):
        moment = after + timedelta(minutes=number_)
        wall = moment.astimezone(schedule.zone).replace(tzinfo=None, fold=0)
        new = wall not in shown
        shown.add(wall)
        if new and wall.hour * 60 + wall.minute in schedule.times and schedule.days.has(wall.date(), schedule.calendar):
            found.append(moment)
    return found


@settings(max_examples=40, deadline=None)
@given(_schedules, st.sampled_from([datetime(2026, 10, 31), datetime(2026, 11, 24), datetime(2027, 3, 13)]))
def test_it_agrees_with_looking_at_every_minute(schedule: Schedule, day: datetime) -> None:
    after = day.replace(tzinfo=UTC)
    wanted = _by_the_minute(schedule, after, 3 * 1440)
    found: list[datetime] = []
    moment = schedule.next(after)
    while moment < after + timedelta(minutes=3 * 1440):
        found.append(moment.astimezone(UTC))
        moment = schedule.next(moment)
    # What a gap moved is seen by no clock on a wall.
    moved = [moment for moment in found if moment not in wanted]
    assert [moment for moment in found if moment in wanted] == wanted
    assert len(moved) <= 1
    assert all(_gap_before(moment, schedule.zone) for moment in moved)


def _gap_before(moment: datetime, zone: ZoneInfo) -> bool:
    before = (moment - timedelta(minutes=1)).astimezone(zone)
    return moment.astimezone(zone).replace(tzinfo=None) - before.replace(tzinfo=None) > timedelta(minutes=1)


@settings(max_examples=150, deadline=None)
@given(_products, _cron_days, st.sampled_from(["Asia/Shanghai", "UTC", "Asia/Kolkata"]).map(ZoneInfo), _moments)
@example((0,), Days(monthdays=frozenset({LAST})), SHANGHAI, datetime(2024, 2, 1, tzinfo=UTC))
def test_it_agrees_with_apscheduler(times: tuple[int, ...], days: Days, zone: ZoneInfo, after: datetime) -> None:
    # APScheduler wants both days of the month and of the week, where cron takes either.
    assume(days.monthdays is None or days.weekdays is None)
    names = "mon tue wed thu fri sat sun".split()
    trigger = CronTrigger(
        month=",".join(map(str, sorted(days.months))),
        day="*" if days.monthdays is None else ",".join("last" if d == LAST else str(d) for d in days.monthdays),
        day_of_week="*" if days.weekdays is None else ",".join(names[day - 1] for day in sorted(days.weekdays)),
        hour=",".join(str(hour) for hour in sorted({time // 60 for time in times})),
        minute=",".join(str(minute) for minute in sorted({time % 60 for time in times})),
        timezone=zone,
    )
    wanted = trigger.get_next_fire_time(None, after + timedelta(seconds=1))
    assert Schedule(times, days, zone).next(after) == wanted


@given(st.integers(0, 99))
def test_chinese_numbers(value: int) -> None:
    signs = "零一二三四五六七八九"
    tens, ones = divmod(value, 10)
    written = signs[ones] if not tens else ("" if tens == 1 else signs[tens]) + "十" + (signs[ones] if ones else "")
    assert number(written) == number(str(value)) == value


@pytest.mark.parametrize("zone", ZONES)
def test_every_day_of_a_decade_comes_once(zone: str) -> None:
    """However the clocks change: one digest a day."""
    count: Callable[[str], int] = lambda text: sum(1 for _ in _walk(parse(text, ZoneInfo(zone)), 2010, 2020))  # noqa: E731
    days = (date(2020, 1, 1) - date(2010, 1, 1)).days
    assert {count("每天2:30"), count("每天1:15"), count("每天0:00")} <= {days, days - (zone == "Pacific/Apia")}


def _walk(schedule: Schedule, first: int, last: int) -> list[datetime]:
    found: list[datetime] = []
    moment = schedule.next(datetime(first, 1, 1, tzinfo=schedule.zone) - timedelta(seconds=1))
    while moment < datetime(last, 1, 1, tzinfo=schedule.zone):
        found.append(moment)
        moment = schedule.next(moment)
    return found
