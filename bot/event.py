"""That something happened, where, and by whom; and what the bot answers."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bot.message import Mention, Message, Part
from bot.report import Report

ChatType = Literal["private", "group"]


def quote_key(part: str) -> str:
    """Escape a part of a key, so that joining with `/` keeps keys apart."""
    return part.replace("%", "%25").replace("/", "%2F") if "/" in part or "%" in part else part


@dataclass(frozen=True, slots=True)
class Conversation:
    """Where: the key of order, history and limits. `platform` is the adapter's name in the configuration."""

    platform: str
    account_id: str
    chat_id: str
    chat_type: ChatType = "private"
    thread_id: str = ""

    @property
    def key(self) -> str:
        """One string per conversation; the parts are escaped, so no two conversations share one."""
        parts = (self.platform, self.account_id, self.chat_type, self.chat_id, self.thread_id)
        return "/".join(quote_key(part) for part in parts)


@dataclass(frozen=True, slots=True)
class Sender:
    """Who. `is_bot` marks other bots; the bot's own messages never become events."""

    id: str
    name: str = ""
    is_bot: bool = False


@dataclass(frozen=True, slots=True)
class MessageEvent:
    """A message arrived.

    id: the platform's id of the delivery, the de-duplication key. message_id: the platform's id of the message.
    timestamp: the platform's message time in whole seconds. to_me: private chat, @ or reply to the bot.
    dedup_message: a second event with this conversation and message_id is a duplicate whatever its id.
    reply_to: id of the message this one answers. mentions: all of them, the bot's own included. album: pictures
    sent together arrive as events with one album id. platform_data: what the adapter needs to complete the message
    and to answer it (a reply URL and its expiry, a forwarded bundle to be fetched).
    """

    id: str
    conversation: Conversation
    sender: Sender
    message: Message
    timestamp: int
    to_me: bool = True
    message_id: str = ""
    dedup_message: bool = False
    reply_to: str = ""
    mentions: tuple[Mention, ...] = ()
    album: str = ""
    platform_data: Mapping[str, str] = field(default_factory=dict[str, str])

    def session(self, *, shared: bool = False) -> str:
        """Whose history this belongs to: the conversation's in a private chat, in a group each member's own.

        shared: one for the whole group.
        """
        where = self.conversation.key
        return where if shared or self.conversation.chat_type == "private" else f"{where}/{quote_key(self.sender.id)}"


@dataclass(frozen=True, slots=True)
class ScheduledEvent:
    """A digest is due. `id` is `name@time`, so that it can be accepted once only."""

    id: str
    conversation: Conversation
    name: str
    timestamp: int


Event = MessageEvent | ScheduledEvent


def event_from_dict(data: Mapping[str, Any]) -> Event:
    """Read back from JSON, where every value is an object of its fields. Raises KeyError or TypeError."""
    conversation = Conversation(**data["conversation"])
    if "message" not in data:
        return ScheduledEvent(data["id"], conversation, data["name"], data["timestamp"])
    read: dict[str, Any] = {
        **data,
        "conversation": conversation,
        "sender": Sender(**data["sender"]),
        "message": Message.from_dict(data["message"]),
        "mentions": tuple(Mention(**mention) for mention in data["mentions"]),
    }
    return MessageEvent(**read)


Forget = Literal["", "history", "everything"]


@dataclass(frozen=True, slots=True)
class SessionChange:
    """What a finished turn changes in its session; None leaves it as it is.

    focus: numbers of the pictures that the turn was about. model: auto, light or heavy. summary: of the turns up to
    the id `summarised_to`. descriptions: one line by picture number. forget: `history` begins anew and keeps the
    pictures' numbers; `everything` removes every trace. withdraw: id of the report whose page is taken away.
    """

    focus: tuple[int, ...] | None = None
    model: str | None = None
    summary: str | None = None
    summarised_to: int | None = None
    descriptions: tuple[tuple[int, str], ...] = ()
    forget: Forget = ""
    withdraw: str = ""


@dataclass(frozen=True, slots=True)
class File:
    """A file to send. name: as the user sees it, with its ending."""

    name: str
    mime_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """What a handler answers: a value; handlers send nothing themselves.

    parts: the answer. quote: refer to the question where the platform can. footer: one line shown small under
    the answer and kept out of the history (which model, a fallback). change: what becomes of the session. remember:
    question and answer go to the history. report: the text is one to be sent on; where it is long and the platform
    takes files, it goes out as a short text and a file. files: sent after the text where the platform takes files.
    published: the report whose page this turn opens or renews; link: the page's address, given instead of a file.
    handover: a person is to take over from here. model: the engine's name. reason: why that model. usage and timings:
    as the engine reported them, in tokens and seconds.
    """

    parts: tuple[Part, ...]
    quote: bool = False
    footer: str = ""
    change: SessionChange = field(default_factory=SessionChange)
    remember: bool = True
    report: bool = False
    files: tuple[File, ...] = ()
    published: Report | None = None
    link: str = ""
    handover: bool = False
    model: str = ""
    reason: str = ""
    usage: Mapping[str, int] = field(default_factory=dict[str, int])
    timings: Mapping[str, float] = field(default_factory=dict[str, float])

    @property
    def text(self) -> str:
        """The answer without its footer."""
        return Message("assistant", self.parts).text


@dataclass(frozen=True, slots=True)
class Delivery:
    """One outgoing message of a reply: a row of the outbox. Either parts or a file.

    key: the idempotency key, stable over retries and restarts. reply_to: the id of the message answered, with its
    platform_data; empty: written without being asked, or too late to count as an answer. asked_at: when it was asked
    (whole seconds; 0: nobody asked). handover: after this one a person takes over. digest: the id of the scheduled
    event that it answers.
    """

    key: str
    conversation: Conversation
    parts: tuple[Part, ...]
    reply_to: str = ""
    quote: bool = False
    platform_data: Mapping[str, str] = field(default_factory=dict[str, str])
    asked_at: int = 0
    file: File | None = None
    handover: bool = False
    digest: str = ""

    @property
    def text(self) -> str:
        """The text to send."""
        return Message("assistant", self.parts).text

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Delivery:
        """Read back from JSON, where every value is an object of its fields. Raises KeyError or TypeError."""
        parts = Message.from_dict({"role": "assistant", "parts": data["parts"]}).parts
        file = data.get("file")
        read: dict[str, Any] = {
            **data,
            "conversation": Conversation(**data["conversation"]),
            "parts": parts,
            "file": file and File(file["name"], file["mime_type"], base64.b64decode(file["content"])),
        }
        return Delivery(**read)
