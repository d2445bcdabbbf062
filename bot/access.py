"""Who is meant: names of users, groups and platforms, as lists, bans and limits use them.

    feishu                  everything on a platform (the section's name in the configuration)
    feishu/ou_x             a user, in private and in every group
    feishu/group/oc_x       a group
    feishu/group/oc_x/ou_x  a user in one group only
    feishu/group/*          all groups of a platform
    *                       everybody

Ids are the platform's, never nicknames, which anybody may take. A `/` inside an id is written %2F, a `%` %25.
"""

from __future__ import annotations

from collections.abc import Sequence

from bot.config import AccessConfig
from bot.errors import ConfigError
from bot.event import MessageEvent, quote_key


def user(event: MessageEvent) -> str:
    """The sender's name."""
    return f"{quote_key(event.conversation.platform)}/{quote_key(event.sender.id)}"


def group(event: MessageEvent) -> str:
    """The group's name, whatever the thread; empty in a private chat."""
    where = event.conversation
    if where.chat_type == "private":
        return ""
    return f"{quote_key(where.platform)}/group/{quote_key(where.chat_id)}"


def names(event: MessageEvent) -> tuple[str, ...]:
    """All names that mean this event, the narrowest first."""
    platform = quote_key(event.conversation.platform)
    place = group(event)
    within = (f"{place}/{quote_key(event.sender.id)}", user(event), place, f"{platform}/group/*")
    return (*(within if place else (user(event),)), platform, "*")


def check_name(text: str) -> str:
    """The name itself. Raises ConfigError on what can mean nobody."""
    match text.split("/"):
        case [_, "group"]:
            raise ConfigError(f"{text}: write {text}/* for all groups, or {text}/ID for one")
        case [one] if _id(one) or one == "*":
            return text
        case [platform, one] if _id(platform) and _id(one):
            return text
        case [platform, "group", one] if _id(platform) and (_id(one) or one == "*"):
            return text
        case [platform, "group", place, one] if _id(platform) and _id(place) and _id(one):
            return text
        case _:
            raise ConfigError(f"{text!r} is no name: write PLATFORM, PLATFORM/USER or PLATFORM/group/GROUP")


def check_user(text: str) -> str:
    """As check_name, for one user everywhere."""
    if text.count("/") != 1:
        raise ConfigError(f"{text!r} is no user: write PLATFORM/USER")
    return check_name(text)


def _id(part: str) -> bool:
    return bool(part) and "*" not in part and not any(character.isspace() for character in part)


class Access:
    """The lists of the configuration. Raises ConfigError on a name that can mean nobody."""

    def __init__(self, config: AccessConfig, admins: Sequence[str] = ()) -> None:
        self._allow = frozenset(check_name(one) for one in config.allow)
        self._deny = frozenset(check_name(one) for one in config.deny)
        self._admins = frozenset(check_user(one) for one in admins)

    def is_admin(self, event: MessageEvent) -> bool:
        return user(event) in self._admins

    def permits(self, event: MessageEvent) -> bool:
        """Neither denied nor left out of a list that is not empty."""
        meant = self._allow.union(self._deny).intersection(names(event))
        return not meant & self._deny and (not self._allow or bool(meant & self._allow))
