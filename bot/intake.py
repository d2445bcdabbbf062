"""Pictures of a turn: fetched from their platform, checked, kept and numbered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from bot.adapter import Adapter
from bot.errors import FetchFailed, MediaError
from bot.event import MessageEvent
from bot.media import MediaStore
from bot.message import Image
from bot.store import Store

log = logging.getLogger(__name__)

INLINE = "inline:"
_TRIES = 2
T = TypeVar("T")


class Numbers:
    """Gives pictures their numbers in a session; `new` are those that it did not have."""

    def __init__(self, known: Mapping[str, int]) -> None:
        self._known = known
        self._last = max(known.values(), default=0)
        self.new: list[Image] = []

    def give(self, image: Image, *, quoted: bool) -> Image:
        """The picture with its number; one that is quoted keeps the number it has."""
        if quoted and image.sha256 in self._known:
            return replace(image, index=self._known[image.sha256])
        self._last += 1
        numbered = replace(image, index=self._last)
        self.new.append(numbered)
        return numbered


class Intake:
    """Turns picture references into kept pictures."""

    def __init__(self, store: Store, media: MediaStore) -> None:
        self._store = store
        self._media = media

    async def fetch(
        self, event: MessageEvent, adapters: Mapping[str, Adapter], session: str
    ) -> tuple[MessageEvent, tuple[Image, ...], tuple[str, ...]]:
        """The event with its pictures kept and numbered, those pictures, and a Chinese sentence per missing one.

        What the webhook only named (a quoted message, a forwarded bundle) is fetched first. A picture that could not
        be had is taken out of the message: a model is never asked about it.
        """
        adapter = adapters.get(event.conversation.platform)
        event, unfetched = await self._complete(event, adapter)
        wanted = list(dict.fromkeys(event.message.images))
        if not wanted:
            return event, (), unfetched
        found = await asyncio.gather(*(self._one(image, adapter) for image in wanted))
        sent = {part for part in event.message.parts if isinstance(part, Image)}
        numbers = Numbers(await self._store.picture_numbers(session))
        kept: dict[Image, Image | None] = {}
        missing = list(unfetched)
        for image, got in zip(wanted, found, strict=True):
            if isinstance(got, MediaError):
                missing.append(str(got).rstrip("。"))
                kept[image] = None
            else:
                kept[image] = numbers.give(got, quoted=image not in sent)
        return replace(event, message=event.message.map_images(kept)), tuple(numbers.new), tuple(missing)

    async def _complete(self, event: MessageEvent, adapter: Adapter | None) -> tuple[MessageEvent, tuple[str, ...]]:
        if adapter is None:
            return event, ()
        try:
            return await _again(lambda: adapter.complete(event)), ()
        except FetchFailed as error:
            log.info("a message could not be completed: %s", error.code)
            return event, (str(error).rstrip("。"),)

    async def _one(self, image: Image, adapter: Adapter | None) -> Image | MediaError:
        try:
            if image.source.startswith(INLINE):
                return await self._inline(image.source)
            return await self._media.keep(await self._download(image, adapter), source=image.source)
        except MediaError as error:
            log.info("a picture could not be used: %s", error.code)
            return error

    async def _inline(self, source: str) -> Image:
        sha256 = source.removeprefix(INLINE)
        # Kept already: by an earlier try of this turn, or because the same picture was sent twice.
        kept = await self._media.find(sha256)
        if kept is not None:
            return replace(kept, source=source)
        return await self._media.keep(await self._media.unstash(sha256), source=source)

    async def tidy(self, images: Iterable[Image], orphans: Iterable[str] = ()) -> None:
        """Drop the received bytes of pictures whose turn is on disk, and the files of forgotten ones."""
        for image in images:
            if image.source.startswith(INLINE):
                await self._media.drop_stash(image.source.removeprefix(INLINE))
        for sha256 in orphans:
            await self._media.delete(sha256)

    async def _download(self, image: Image, adapter: Adapter | None) -> bytes:
        if adapter is None:
            raise FetchFailed("no_adapter", "图片所在的平台没有配置")
        return await _again(lambda: adapter.download(image))


async def _again(fetch: Callable[[], Awaitable[T]]) -> T:
    """What `fetch` gives, tried once more where that may help."""
    for left in reversed(range(_TRIES)):
        try:
            return await fetch()
        except FetchFailed as error:
            if not error.retry or not left:
                raise
    raise AssertionError("unreachable")
