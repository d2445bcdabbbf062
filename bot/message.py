"""What was said: one pure value from webhook to prompt to history.

Standard library only: the local engine uses these types on hosts that have no web stack.
Equal content, equal message. Pictures are named by the SHA-256 of the bytes received, never carried.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["user", "assistant", "system"]


@dataclass(frozen=True, slots=True)
class Text:
    """Literal text; control words of a model inside it are text."""

    text: str


@dataclass(frozen=True, slots=True)
class Image:
    """A picture by reference.

    source: where it came from: an https URL, a platform's file key, or `inline:<sha256>` for bytes that
    arrived inside the webhook. sha256: hex of the received bytes, empty until fetched. width and height in
    pixels after EXIF rotation. index: its number in the conversation (图1 = 1), 0 while it has none.
    """

    source: str = ""
    sha256: str = ""
    mime_type: str = ""
    width: int = 0
    height: int = 0
    index: int = 0


@dataclass(frozen=True, slots=True)
class Mention:
    """Somebody named with @; the bot's own mention is not a part (see MessageEvent.to_me)."""

    user_id: str
    name: str = ""
    is_bot: bool = False


@dataclass(frozen=True, slots=True)
class Quote:
    """A message that this one quotes or forwards. `sender` is a name to show, or empty."""

    message: Message
    sender: str = ""


Part = Text | Image | Mention | Quote


@dataclass(frozen=True, slots=True)
class Message:
    """One utterance: a role and its parts in reading order."""

    role: Role
    parts: tuple[Part, ...] = field(default=())

    @property
    def text(self) -> str:
        """The text parts and mentions, joined as a reader sees them (quotes and pictures left out)."""
        return "".join(
            part.text if isinstance(part, Text) else f"@{part.name or part.user_id}"
            for part in self.parts
            if isinstance(part, Text | Mention)
        )

    @property
    def images(self) -> tuple[Image, ...]:
        """All pictures in order, those of quoted messages included."""
        found: list[Image] = []
        for part in self.parts:
            if isinstance(part, Image):
                found.append(part)
            elif isinstance(part, Quote):
                found.extend(part.message.images)
        return tuple(found)

    def map_images(self, images: Mapping[Image, Image | None]) -> Message:
        """The same message with pictures replaced (fetched, numbered), or left out where None is given."""

        def swap(part: Part) -> Part | None:
            if isinstance(part, Image):
                return images.get(part, part)
            if isinstance(part, Quote):
                return Quote(part.message.map_images(images), part.sender)
            return part

        return Message(self.role, tuple(new for new in map(swap, self.parts) if new is not None))

    def map_text(self, change: Callable[[str], str]) -> Message:
        """The same message with its texts changed, those of quoted messages included."""

        def swap(part: Part) -> Part:
            if isinstance(part, Text):
                return Text(change(part.text))
            if isinstance(part, Quote):
                return Quote(part.message.map_text(change), part.sender)
            return part

        return Message(self.role, tuple(map(swap, self.parts)))

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Message:
        """Read back from JSON, where every value is an object of its fields. Raises KeyError or TypeError."""
        return Message(data["role"], tuple(_part_from_dict(part) for part in data["parts"]))


def user(*parts: Part | str) -> Message:
    """A user's message; strings become Text."""
    return Message("user", _parts(parts))


def assistant(*parts: Part | str) -> Message:
    """An answer; strings become Text."""
    return Message("assistant", _parts(parts))


def system(text: str) -> Message:
    """Instructions to the model."""
    return Message("system", (Text(text),))


def _parts(parts: Sequence[Part | str]) -> tuple[Part, ...]:
    return tuple(Text(part) if isinstance(part, str) else part for part in parts)


def _part_from_dict(data: Mapping[str, Any]) -> Part:
    # Each kind has a field that no other has.
    if "text" in data:
        return Text(data["text"])
    if "source" in data:
        return Image(**data)
    if "user_id" in data:
        return Mention(**data)
    return Quote(Message.from_dict(data["message"]), data["sender"])
