"""What a file's first bytes say it is.

The name and the declared type of a file are hearsay. Naming the one format to open spares the decoder from
trying its parsers in turn on bytes that somebody crafted, and plain text never reaches a decoder at all.
"""

from __future__ import annotations

from typing import Final

UNSUPPORTED: Final = "unsupported"

_MAGIC: Final = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"8BPS", UNSUPPORTED),  # Photoshop
    (b"\0\0\1\0", UNSUPPORTED),  # ICO
    (b"II+\0", UNSUPPORTED),  # BigTIFF
    (b"\0\0\0\x0cjP  \r\n", UNSUPPORTED),  # JPEG 2000
    (b"\xff\x4f\xff\x51", UNSUPPORTED),  # its bare code stream
    (b"\0\0\0\x0cJXL \r\n", UNSUPPORTED),  # JPEG XL
    (b"\xff\x0a", UNSUPPORTED),  # its bare code stream
)
# https://www.iana.org/assignments/media-types/image/heic and the HEIF standard, ISO/IEC 23008-12.
_HEIF_BRANDS: Final = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


def picture_format(data: bytes) -> str | None:
    """Pillow's name of the format, UNSUPPORTED for pictures we do not open, None for anything else."""
    for magic, name in _MAGIC:
        if data.startswith(magic):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        return _iso_format(data)
    # Two letters alone also begin ordinary text; a BMP's second header has one of a few known lengths.
    if data[:2] == b"BM" and data[14:18] in _BMP_HEADERS:
        return "BMP"
    return None


_BMP_HEADERS: Final = {size.to_bytes(4, "little") for size in (12, 16, 40, 52, 56, 64, 108, 124)}


def _iso_format(data: bytes) -> str | None:
    length = min(int.from_bytes(data[:4], "big"), 256)
    brands = {data[start : start + 4] for start in range(8, length, 4)}
    if brands & {b"avif", b"avis"}:
        return "AVIF"
    return UNSUPPORTED if brands & _HEIF_BRANDS else None


def kept_size(head: bytes) -> tuple[int, int] | None:
    """Width and height from the first 1024 bytes of a file that our own decoder wrote; None: it did not."""
    if head[12:16] == b"IHDR":
        return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    if not head.startswith(b"\xff\xd8"):
        return None
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:
        if head[at + 1] == 0xC0:  # baseline start of frame: length, precision, height, width
            return int.from_bytes(head[at + 7 : at + 9], "big"), int.from_bytes(head[at + 5 : at + 7], "big")
        at += 2 + int.from_bytes(head[at + 2 : at + 4], "big")
    return None
