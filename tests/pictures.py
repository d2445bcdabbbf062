"""Pictures made by code: good ones, and files whose header may say anything."""

import io
import random
import struct
import zlib

from PIL import Image as Pillow


def encoded(picture: Pillow.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def drawing(width: int = 64, height: int = 48) -> Pillow.Image:
    """Four different corners, so that every turn shows."""
    picture = Pillow.new("RGB", (width, height), "white")
    picture.paste((200, 30, 30), (0, 0, width // 2, height // 2))
    picture.paste((30, 160, 40), (width // 2, 0, width, height // 2))
    picture.paste((20, 40, 220), (0, height // 2, width // 4, height))
    return picture


def noise(width: int, height: int) -> Pillow.Image:
    return Pillow.frombytes("RGB", (width, height), random.Random(7).randbytes(3 * width * height))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour: int, pixels: bytes, *, extra: bytes = b"") -> bytes:
    """A PNG written by hand: the header may say anything."""
    head = chunk(b"IHDR", struct.pack("!IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + extra + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def zeros(length: int) -> bytes:
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(length >> 20)) + packer.flush()


def see_through() -> Pillow.Image:
    picture = Pillow.new("RGBA", (4, 2), (0, 0, 0, 0))
    picture.paste((255, 0, 0, 255), (2, 0, 4, 2))
    return picture
