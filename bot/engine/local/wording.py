"""A request's messages in words and pictures, the same for every local model.

The words are those of `bot.engine.openai_prompt`: pictures are called 图1, 图2 where there are several; those that are
not shown stand as [图2]; quotes are spelled out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bot.engine.base import GenerateRequest
from bot.message import Image, Mention, Message, Part, Quote, Role, Text

Piece = str | Image


@dataclass(frozen=True, slots=True)
class Turn:
    """A message as its model reads it: texts and pictures in order; no two texts are neighbours."""

    role: Role
    pieces: tuple[Piece, ...]

    @property
    def images(self) -> tuple[Image, ...]:
        """The pictures shown, in order."""
        return tuple(piece for piece in self.pieces if isinstance(piece, Image))

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts, in order."""
        return tuple(piece for piece in self.pieces if isinstance(piece, str))


def word(request: GenerateRequest) -> list[Turn]:
    """The turns of a request. Pictures are shown where a user's message names one that the request carries."""
    images = [image for message in request.messages for image in message.images]
    labels = _labels(images)
    # Pictures that are not shown stand as [图2：…] in the text: then the shown one needs its label as well.
    several = len(images) > 1 or any("[图" in message.text for message in request.messages)
    return [_turn(message, labels, request.pictures, several) for message in request.messages]


def _turn(message: Message, labels: Mapping[Image, str], pictures: Mapping[str, bytes], several: bool) -> Turn:
    pieces: list[Piece] = []
    for piece in _pieces(message.parts):
        if isinstance(piece, str):
            _append(pieces, piece)
        elif message.role != "user" or piece.sha256 not in pictures:
            _append(pieces, f"[{labels[piece]}]")
        else:
            if several or piece.index > 1:
                _append(pieces, f"{labels[piece]}：")
            pieces.append(piece)
    return Turn(message.role, tuple(pieces))


def _labels(images: Sequence[Image]) -> dict[Image, str]:
    """图1, 图2: the conversation's numbers; pictures that have none take free ones in reading order."""
    taken = {image.index for image in images}
    free = (number for number in range(1, 2 + 2 * len(images)) if number not in taken)
    labels: dict[Image, str] = {}
    for image in images:
        if image not in labels:
            labels[image] = f"图{image.index or next(free)}"
    return labels


def _pieces(parts: tuple[Part, ...]) -> Iterator[Piece]:
    for part in parts:
        match part:
            case Text(text):
                yield text
            case Image():
                yield part
            case Mention(user_id, name):
                yield f"@{name or user_id}"
            case Quote(quoted, sender):
                yield f"引用 {sender}：" if sender else "引用："
                yield from _pieces(quoted.parts)
                yield "\n"


def _append(pieces: list[Piece], text: str) -> None:
    last = pieces[-1] if pieces else None
    if isinstance(last, str):
        pieces[-1] = last + text
    elif text:
        pieces.append(text)
