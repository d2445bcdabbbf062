"""Who is answered, how often, and that a refusal is said once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from fakes import FakeClock, message_event

from bot import access
from bot.access import check_name
from bot.config import AccessConfig, Allowance, LimitsConfig, convert
from bot.errors import ConfigError
from bot.event import MessageEvent
from bot.limits import ALLOWED, Limiter, Verdict
from bot.store import Store
from bot.store.usage import Usage

Build = Callable[..., Limiter]


@pytest.fixture
def usage(store: Store, clock: FakeClock) -> Usage:
    return store.usage


@pytest.fixture
def limiter(usage: Usage, clock: FakeClock) -> Build:
    def build(
        user: Allowance = Allowance(),  # noqa: B008
        group: Allowance = Allowance(),  # noqa: B008
        admins: tuple[str, ...] = (),
        timezone: str = "Asia/Shanghai",
        **lists: tuple[str, ...],
    ) -> Limiter:
        config = LimitsConfig(timezone=timezone, user=user, group=group)
        return Limiter(usage, config, AccessConfig(**lists), clock, admins)

    return build


def in_group(number: int, sender: str = "u1", chat: str = "g1", **fields: bool) -> MessageEvent:
    return message_event(number, chat=chat, sender=sender, chat_type="group", **fields)


def at(clock: FakeClock, when: str, zone: str = "Asia/Shanghai") -> None:
    clock.move(datetime.fromisoformat(when).replace(tzinfo=ZoneInfo(zone)).timestamp() - clock.now())


# ------------------------------------------------------------------------ rates


async def test_without_limits_nothing_is_refused_or_written(limiter: Build, usage: Usage) -> None:
    one = limiter()
    for number in range(20):
        assert await one.admit(in_group(number)) == ALLOWED
        assert await one.charge(in_group(number), "heavy") == ALLOWED
    assert await usage.used("fake/u1") == {}


async def test_a_flood_is_told_once_and_harms_nobody_else(limiter: Build, usage: Usage) -> None:
    one = limiter(Allowance(per_minute=5))
    verdicts = [await one.admit(message_event(number)) for number in range(1000)]
    assert verdicts[:5] == [ALLOWED] * 5
    assert verdicts[5].say.startswith("你这一分钟的提问已到上限（5 次）")
    assert verdicts[6:] == [Verdict(False, "", "rate")] * 994
    assert await one.admit(message_event(2000, chat="c2", sender="u2")) == ALLOWED
    assert await usage.used("fake/u1") == {"minute": 5}


async def test_the_next_minute_begins_anew_and_tells_anew(limiter: Build, clock: FakeClock) -> None:
    at(clock, "2026-11-24 10:00:30")
    one = limiter(Allowance(per_minute=1))
    assert await one.admit(message_event(1)) == ALLOWED
    assert "请过 30 秒再发" in (await one.admit(message_event(2))).say
    clock.move(30)
    assert await one.admit(message_event(3)) == ALLOWED
    assert (await one.admit(message_event(4))).say


async def test_the_hour_is_counted_beside_the_minute(limiter: Build, clock: FakeClock) -> None:
    at(clock, "2026-11-24 10:00:00")
    one = limiter(Allowance(per_minute=2, per_hour=3))
    allowed = 0
    for number in range(10):
        allowed += (verdict := await one.admit(message_event(number))).allowed
        if number == 4:
            assert "这一小时" in verdict.say
            assert "请过 59 分钟再发" in verdict.say
        clock.move(26)
    assert allowed == 3


async def test_a_user_is_counted_over_all_chats_and_a_group_over_all_members(limiter: Build) -> None:
    one = limiter(Allowance(per_hour=2), Allowance(per_hour=3))
    assert (await one.admit(in_group(1, "u1", "g1"))).allowed
    assert (await one.admit(in_group(2, "u1", "g2"))).allowed
    assert (await one.admit(message_event(3, sender="u1"))).say.startswith("你")
    assert (await one.admit(in_group(4, "u2"))).allowed
    assert (await one.admit(in_group(5, "u3"))).allowed
    assert (await one.admit(in_group(6, "u4"))).say.startswith("本群")
    assert (await one.admit(in_group(7, "u5"))).say == ""
    # What the group refused was not counted against its member.
    assert (await one.admit(message_event(8, sender="u4"))).allowed
    assert (await one.admit(message_event(9, sender="u4"))).allowed


async def test_talk_among_members_is_not_counted(limiter: Build) -> None:
    one = limiter(Allowance(per_hour=1))
    for number in range(5):
        assert await one.admit(in_group(number, to_me=False)) == ALLOWED
    assert (await one.admit(in_group(9))).allowed


async def test_a_turn_taken_up_again_is_counted_once_and_told_the_same(limiter: Build, clock: FakeClock) -> None:
    one = limiter(Allowance(per_minute=1))
    for _ in range(3):
        assert await one.admit(message_event(1)) == ALLOWED
    first = await one.admit(message_event(2))
    assert first.say
    # As after a restart: nothing of this is kept in memory only.
    again = limiter(Allowance(per_minute=1))
    assert await again.admit(message_event(2)) == first
    assert await again.admit(message_event(1)) == ALLOWED
    assert (await again.admit(message_event(3))).say == ""


async def test_events_of_other_platforms_do_not_share_a_receipt(limiter: Build) -> None:
    one = limiter(Allowance(per_minute=1))
    assert (await one.admit(message_event(1, platform="a"))).allowed
    assert (await one.admit(message_event(1, platform="b"))).allowed
    assert not (await one.admit(message_event(2, platform="b"))).allowed


# ----------------------------------------------------------------------- quotas


async def test_quotas_are_apart_by_kind_and_charged_once_an_event(limiter: Build) -> None:
    one = limiter(Allowance(light_per_day=2, heavy_per_day=1, pictures_per_day=5))
    event = message_event(1)
    for _ in range(3):
        assert await one.charge(event, "picture", 3) == ALLOWED
        assert await one.charge(event, "heavy") == ALLOWED
    second = await one.charge(message_event(2), "picture", 3)
    assert second == Verdict(False, "你今天的图片额度（5 张）不够这次的 3 张，明天 0 点恢复。", "quota")
    assert (await one.charge(message_event(3), "picture", 3)).say == ""
    assert (await one.charge(message_event(4), "picture", 2)).allowed
    assert (await one.charge(message_event(5), "heavy")).say == "你今天的报告额度（1 篇）已用完，明天 0 点恢复。"
    assert (await one.charge(message_event(5), "light")).allowed
    assert (await one.charge(message_event(6), "picture", 0)).allowed


async def test_a_quota_of_zero_is_named_as_such(limiter: Build) -> None:
    one = limiter(group=Allowance(heavy_per_day=0))
    assert (await one.charge(in_group(1), "heavy")).say == "本群没有开通报告额度，如需使用请联系管理员。"
    assert (await one.charge(message_event(2), "heavy")).allowed


async def test_the_day_changes_at_midnight_of_the_zone(limiter: Build, clock: FakeClock) -> None:
    at(clock, "2026-11-24 23:59:59")
    one = limiter(Allowance(heavy_per_day=1))
    abroad = limiter(Allowance(heavy_per_day=1), timezone="Europe/Berlin")
    assert (await one.charge(message_event(1), "heavy")).allowed
    assert (await one.charge(message_event(2), "heavy")).say
    clock.move(1)
    # Where it is still yesterday the quota is still used up; a retried turn stays charged to its first day.
    assert not (await abroad.charge(message_event(3), "heavy")).allowed
    assert (await one.charge(message_event(1), "heavy")).allowed
    assert (await one.charge(message_event(4), "heavy")).allowed
    assert (await one.charge(message_event(5), "heavy")).say


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-11-24", 24)])
async def test_days_are_as_long_as_they_are(
    limiter: Build, clock: FakeClock, usage: Usage, day: str, hours: int
) -> None:
    at(clock, f"{day} 00:00:00", "Europe/Berlin")
    one = limiter(Allowance(heavy_per_day=1), timezone="Europe/Berlin")
    assert (await one.charge(message_event(1), "heavy")).allowed
    clock.move(hours * 3600 - 1)
    assert not (await one.charge(message_event(2), "heavy")).allowed
    assert await usage.used("fake/u1") == {"heavy": 1}
    clock.move(1)
    assert await usage.used("fake/u1") == {}
    assert (await one.charge(message_event(3), "heavy")).allowed


async def test_the_report_names_limits_and_use(limiter: Build) -> None:
    one = limiter(Allowance(heavy_per_day=3, pictures_per_day=50), Allowance(light_per_day=9))
    await one.charge(in_group(1), "heavy")
    assert await one.report(in_group(2)) == (
        "今天的额度（0 点恢复）：\n报告：已用 1 篇，共 3 篇\n图片：已用 0 张，共 50 张\n本群提问：已用 0 次，共 9 次"
    )
    assert "没有设置额度" in await limiter().report(message_event(1))


# ----------------------------------------------------------------------- access


async def test_admins_are_never_limited_or_shut_out(limiter: Build, usage: Usage) -> None:
    one = limiter(Allowance(per_minute=1, heavy_per_day=0), admins=("fake/u1",), deny=("fake",))
    await usage.ban("fake/u1", None, "", "x")
    for number in range(5):
        assert await one.admit(in_group(number)) == ALLOWED
        assert await one.charge(in_group(number), "heavy") == ALLOWED
    assert "管理员" in await one.report(message_event(1))
    spoof = dataclasses.replace(message_event(9, sender="u2"), sender=dataclasses.replace(in_group(1).sender, id="u2"))
    assert spoof.sender.name == "u1"
    assert not one.is_admin(spoof)
    assert not (await one.admit(spoof)).allowed


async def test_a_ban_is_told_once_and_ends(limiter: Build, usage: Usage, clock: FakeClock) -> None:
    at(clock, "2026-11-24 10:00:00")
    one = limiter()
    await usage.ban("fake/u1", clock.now() + 3600, "刷屏", "fake/boss")
    first = await one.admit(message_event(1))
    assert first == Verdict(False, "你已被管理员停用，2026-11-24 11:00 恢复。原因：刷屏。", "banned")
    assert await one.admit(message_event(2)) == Verdict(False, "", "banned")
    assert await one.admit(in_group(3)) == Verdict(False, "", "banned")
    assert await one.admit(in_group(4, "u2")) == ALLOWED
    clock.move(3600)
    assert await one.admit(message_event(5)) == ALLOWED
    await usage.ban("fake/u1", None, "", "fake/boss")
    assert (await one.admit(message_event(6))).say == "你已被管理员停用，如有疑问请联系管理员。"


async def test_a_banned_group_is_told_once_for_all_its_members(limiter: Build, usage: Usage) -> None:
    one = limiter()
    await usage.ban("fake/group/g1", None, "", "x")
    assert await one.admit(in_group(0, to_me=False)) == Verdict(False, "", "banned")
    assert (await one.admit(in_group(1, "u1"))).say.startswith("这里已被管理员停用")
    assert (await one.admit(in_group(2, "u2"))).say == ""
    assert (await one.admit(in_group(3, "u1", "g2"))).allowed
    assert (await one.admit(message_event(4))).allowed


@pytest.mark.parametrize(
    ("lists", "private", "group", "other_platform"),
    [
        ({}, True, True, True),
        ({"allow": ("fake",)}, True, True, False),
        ({"allow": ("fake/u1",)}, True, True, False),
        ({"allow": ("fake/group/g1",)}, False, True, False),
        ({"allow": ("fake/group/*",)}, False, True, False),
        ({"allow": ("fake/group/g1/u1", "other")}, False, True, True),
        ({"allow": ("fake/group/g2",)}, False, False, False),
        ({"deny": ("fake/group/*",)}, True, False, True),
        ({"deny": ("*",)}, False, False, False),
        ({"deny": ("fake/u1",)}, False, False, True),
        ({"deny": ("fake/group/g1/u1",)}, True, False, True),
        ({"allow": ("*",), "deny": ("other",)}, True, True, False),
        ({"allow": ("fake/u1",), "deny": ("fake/group/g1",)}, True, False, False),
    ],
)
async def test_lists(
    limiter: Build, lists: dict[str, tuple[str, ...]], private: bool, group: bool, other_platform: bool
) -> None:
    one = limiter(**lists)
    events = [message_event(1), in_group(2), message_event(3, platform="other")]
    assert [(await one.admit(event)).allowed for event in events] == [private, group, other_platform]


async def test_who_is_not_allowed_is_told_once_a_day(limiter: Build, clock: FakeClock) -> None:
    at(clock, "2026-11-24 12:00:00")
    one = limiter(allow=("other",))
    said = [(await one.admit(message_event(number))).say for number in range(3)]
    assert said == ["这里没有开通看图，如需使用请联系管理员。", "", ""]
    clock.move(43_200)
    assert (await one.admit(message_event(9))).say


def test_ids_with_separators_do_not_pass_for_others() -> None:
    sly = message_event(1, sender="group/g1")
    assert access.names(sly) == ("fake/group%2Fg1", "fake", "*")
    assert "fake/group/g1" in access.names(in_group(1))


@pytest.mark.parametrize(
    "name", ["", "/", "a/", "a/group", "a/b/c", "a/group/b/*", "*/b", "a/*", "a b", "a/group/b/c/d"]
)
def test_names_that_mean_nobody_are_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        check_name(name)


@pytest.mark.parametrize("admin", ["fake", "*", "fake/group/g1"])
def test_an_admin_is_one_user(limiter: Build, admin: str) -> None:
    with pytest.raises(ConfigError, match="PLATFORM/USER"):
        limiter(admins=(admin,))


@pytest.mark.parametrize("zone", ["Asia/Nowhere", "", "../etc/passwd", "Asia"])
def test_an_unknown_time_zone_is_refused(limiter: Build, zone: str) -> None:
    with pytest.raises(ConfigError, match=r"limits\.timezone"):
        limiter(timezone=zone)


def test_the_sections_are_read_from_plain_data() -> None:
    config = convert({"user": {"per_minute": 5, "heavy_per_day": None}}, LimitsConfig)
    assert (config.user.per_minute, config.user.heavy_per_day, config.group.per_hour) == (5, None, None)
    with pytest.raises(ConfigError, match="per_minute"):
        convert({"user": {"per_minut": 5}}, LimitsConfig)
    with pytest.raises(ConfigError):
        convert({"user": {"heavy_per_day": -1}}, LimitsConfig)
