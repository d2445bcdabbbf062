"""The pictures around a question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bot.message import Image

Pictures = tuple[Image, ...]

_NAMED_AT_MOST = 8


@dataclass(frozen=True, slots=True)
class Known:
    """A picture of the conversation. turn grows; pictures sent together share it. description: one line or empty."""

    image: Image
    turn: int
    description: str = ""


class Unclear(Exception):
    """A Chinese question to the user."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What pictures there are.

    new: sent along. quoted: in the message replied to. earlier: before this message, oldest first. burst: the latest
    of them that were sent together. focus: what the previous turn was about. recent: the burst is at hand, because
    it came with the previous turn or is still talked about. siblings: sent together with what was talked about.
    descriptions: one line per earlier picture.
    """

    new: Pictures = ()
    quoted: Pictures = ()
    earlier: Pictures = ()
    burst: Pictures = ()
    focus: Pictures = ()
    recent: bool = True
    siblings: Pictures = ()
    descriptions: Mapping[Image, str] = field(default_factory=dict[Image, str])

    @property
    def here(self) -> Pictures:
        """What the message itself carries."""
        return unique((*self.quoted, *self.new))

    @property
    def everything(self) -> Pictures:
        """All pictures, oldest first; a quoted one keeps its place."""
        return unique((*self.earlier, *self.here))

    @property
    def topic(self) -> Pictures:
        """What is talked about where nothing is named."""
        return self.focus or self.burst

    @property
    def counted(self) -> Pictures:
        """Where 第N张 counts: several pictures sent along or quoted, or the burst while it is at hand."""
        if len(self.here) > 1:
            return self.new if len(self.new) > 1 else self.here
        return self.burst if not self.here and len(self.burst) > 1 and self.recent else ()

    @property
    def group(self) -> Pictures:
        """The several pictures at hand; one sent alone is compared with what was talked about."""
        if len(self.here) == 1:
            return unique((*self.topic, *self.here))
        several = (some for some in (self.here, self.focus, self.burst) if len(some) > 1)
        return next(several, self.everything)

    def number(self, number: int) -> Image | None:
        """The picture with this number in the conversation; places count where nothing is numbered."""
        if not any(image.index for image in self.everything):
            return self.everything[number - 1] if 0 < number <= len(self.everything) else None
        return next((image for image in reversed(self.everything) if image.index == number > 0), None)

    def ordered(self, images: Iterable[Image]) -> Pictures:
        """Once each, in the conversation's order."""
        place = {image: number for number, image in enumerate(self.everything)}
        return tuple(sorted(unique(images), key=lambda image: place.get(image, -1)))

    def unclear(self, lead: str = "你说的是哪一张？", among: Pictures = ()) -> Unclear:
        """Ask which, naming what there is."""
        names = [f"图{image.index}" for image in among or self.everything if image.index]
        if not names:
            return Unclear(f"{lead}请把图片再发一次。")
        if len(names) > _NAMED_AT_MOST:
            return Unclear(f"{lead}现在有{names[0]}到{names[-1]}共{len(names)}张，请说图几。")
        return Unclear(f"{lead}现在有{'、'.join(names)}，请说图几。")


def survey(
    new: Sequence[Image], known: Sequence[Known], quoted: Sequence[Image], focus: Sequence[Image], turn: int | None
) -> Scene:
    """Sort the pictures by what a question may call them."""
    old = [one for one in known if one.image not in new]
    burst = unique(one.image for one in old if one.turn == old[-1].turn)
    spoken_of = {one.turn for one in old if one.image in focus}
    just_sent = turn is not None and bool(old) and turn - old[-1].turn <= 1
    numbered = {one.image.sha256: one.image for one in old if one.image.sha256}
    return Scene(
        new=unique(new),
        # A quoted picture may come without its number; its bytes tell which it is.
        quoted=unique(image if image.index else numbered.get(image.sha256, image) for image in quoted),
        earlier=unique(one.image for one in old),
        burst=burst,
        focus=unique(focus),
        recent=just_sent or not focus or any(image in burst for image in focus),
        siblings=unique(one.image for one in old if one.turn in spoken_of) or burst,
        descriptions={one.image: one.description for one in old},
    )


def unique(images: Iterable[Image]) -> Pictures:
    """Once each, in order."""
    return tuple(dict.fromkeys(images))


def without(images: Iterable[Image], gone: Iterable[Image]) -> Pictures:
    """Those that are not gone."""
    left_out = set(gone)
    return tuple(image for image in images if image not in left_out)
