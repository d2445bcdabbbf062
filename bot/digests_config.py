"""The configuration's section on digests."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

import msgspec

from bot.section import Count, Positive, Section


class DigestConfig(Section, frozen=True):
    """A digest that the operator ordered.

    name: never used again for another; no `@`. schedule: 每天18:00 and the like, or cron's five fields. conversation:
    PLATFORM/group/ID or PLATFORM/private/ID, PLATFORM being the section's name in `adapters`; a `/` inside an id is
    written %2F, a `%` %25. sources: of `group`, conversations written so (empty: the one it is posted to); of
    `support`, names as in `access` (empty: all); of `feeds`, addresses. prompt: of `prompt`. timezone: empty for that
    of the section. silent: nothing is posted where there is nothing to say.
    """

    name: Annotated[str, msgspec.Meta(pattern=r"^[\w.-]{1,64}$")]
    schedule: str
    conversation: str
    kind: Literal["group", "support", "feeds", "prompt"] = "group"
    title: str = ""
    sources: tuple[str, ...] = ()
    prompt: str = ""
    timezone: str = ""
    silent: bool = False


class DigestsConfig(Section, frozen=True):
    """admin_only: only admins may order digests in chat. per_conversation: so many may be ordered in one chat.

    timezone: of orders that name none. holidays and workdays: what 工作日 means beside Monday to Friday (national
    holidays, and the weekends worked for them, are published each year). grace: seconds; of what was missed while the
    service was down, the last is made up if it is not older. window: seconds over which digests of one minute are
    spread. parallel: written at once. scheduled: the operator's own.
    """

    admin_only: bool = False
    per_conversation: Count = 10
    timezone: str = "Asia/Shanghai"
    holidays: tuple[date, ...] = ()
    workdays: tuple[date, ...] = ()
    grace: Positive = 6 * 3600.0
    window: Annotated[float, msgspec.Meta(ge=0)] = 60.0
    parallel: Count = 4
    scheduled: tuple[DigestConfig, ...] = ()
