"""The pictures of a report, as files hold them: loaded, and not larger than paper shows."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable
from typing import Final

from bot.errors import MediaError
from bot.report import Report

LoadPicture = Callable[[str], Awaitable[bytes]]

#: pixels of the longer side: A4's text width at 300 dpi
_LONGEST: Final = 2100
_SMALL: Final = 400_000


async def load(report: Report, load_picture: LoadPicture) -> dict[int, bytes]:
    """By number, without those that are gone."""
    loaded: dict[int, bytes] = {}
    for number, image in report.pictures.items():
        try:
            loaded[number] = await load_picture(image.sha256)
        except MediaError:
            continue
    return loaded


def shrunk(data: bytes) -> bytes:
    """The same picture, scaled down where it has more pixels than paper shows. Needs Pillow."""
    from PIL import Image

    with Image.open(io.BytesIO(data)) as picture:
        if max(picture.size) <= _LONGEST and len(data) <= _SMALL:
            return data
        kind = picture.format or "PNG"
        picture.draft("RGB", (_LONGEST, _LONGEST))
        picture.thumbnail((_LONGEST, _LONGEST))
        file = io.BytesIO()
        picture.save(file, kind, **({"quality": 88} if kind == "JPEG" else {"optimize": True}))
    return min(data, file.getvalue(), key=len)
