"""The decoder process: one picture at a time, from received bytes to a clean JPEG or PNG.

Run by `pool.py` as a script, `python -I decoder.py SOCKET LIMITS`, and never imported by the service: a picture
that crashes a C library or swells to gigabytes takes only this process with it. It imports the standard library
and Pillow, holds no secret, may use 1 GB of address space, and can write nothing but the file it is handed.

A request on the socket is a header (format, length) that carries a file descriptor, then the bytes. The answer
is one line of JSON: the format and size of what was written to the descriptor, or a code from `refusals.py`, or
an errno.

Limits and the memory behind them: https://pillow.readthedocs.io/en/stable/handbook/security.html; 4 bytes per
pixel of RGB in Pillow, twice that while a picture is converted or turned.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import math
import os
import resource
import signal
import socket
import struct
import sys
import warnings
from dataclasses import dataclass
from typing import Any, Final

from PIL import Image, JpegImagePlugin

# Registers the formats we open, and so keeps Pillow from looking for the thirty others.
for _name in ("Avif", "Bmp", "Gif", "Jpeg", "Mpo", "Png", "Tiff", "WebP"):
    importlib.import_module(f"PIL.{_name}ImagePlugin")

ADDRESS_SPACE: Final = 1 << 30
LARGEST_FILE: Final = 256 << 20
IDLE_SECONDS: Final = 300
SHRINK_ABOVE: Final = 40_000_000
HEADER: Final = struct.Struct("!8sQ")
ORIENTATION: Final = 0x0112

# Complaints about metadata, all of which is dropped here; every viewer shows such pictures.
HARMLESS: Final = (
    r"(Possibly c|C)orrupt EXIF data",
    r"Metadata Warning",
    r"Truncated File Read",
    r"Image appears to be a malformed MPO",
    r"Invalid APNG",
)

TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Refused(Exception):
    """This picture is not accepted; the text is the code."""


@dataclass(frozen=True)
class Limits:
    """The limits of MediaConfig that matter here: pixels, bytes, seconds."""

    max_bytes: int
    max_side: int
    max_ratio: int
    max_pixels_jpeg: int
    max_pixels_png: int
    max_pixels_other: int
    timeout: float

    def max_pixels(self, kind: str) -> int:
        """Pixels allowed for one of Pillow's format names."""
        return {"JPEG": self.max_pixels_jpeg, "PNG": self.max_pixels_png}.get(kind, self.max_pixels_other)


@dataclass(frozen=True)
class Clean:
    """A picture without anything but its pixels."""

    mime_type: str
    width: int
    height: int
    body: bytes


def normalise(data: bytes, kind: str, limits: Limits) -> Clean:
    """Decode the first frame and encode it anew, upright, as 8-bit RGB. Raises Refused, or what Pillow raises."""
    with Image.open(io.BytesIO(data), formats=(kind,)) as picture:
        check_size(picture.width, picture.height, limits.max_pixels(kind), limits)
        shrink(picture)
        picture.load()
        # Read after load(): some formats keep their EXIF behind the pixels, TIFF is turned by load() itself.
        turn = TURNS.get(orientation(picture))
        sampling = JpegImagePlugin.get_sampling(picture) if kind == "JPEG" else 0
        flat = to_rgb(picture)
        upright = flat if turn is None else flat.transpose(turn)
        return encode(upright, kind == "JPEG", max(sampling, 0), limits.max_bytes)


def check_size(width: int, height: int, max_pixels: int, limits: Limits) -> None:
    """Refuse by the header alone, before memory is spent. Raises Refused."""
    if width * height > max_pixels:
        raise Refused("too_many_pixels")
    if max(width, height) > limits.max_side:
        raise Refused("side_too_long")
    if max(width, height) > limits.max_ratio * min(width, height):
        raise Refused("bad_ratio")


def shrink(picture: Image.Image) -> None:
    """Let a large JPEG be decoded at 1/2, 1/4 or 1/8: its pixels then never exist in full."""
    scale = 1
    while picture.width * picture.height > SHRINK_ABOVE * scale * scale and scale < 8:
        scale *= 2
    if scale > 1 and isinstance(picture, JpegImagePlugin.JpegImageFile):
        picture.draft(None, (picture.width // scale, picture.height // scale))


def orientation(picture: Image.Image) -> int:
    """The EXIF orientation; 1 where there is none or the EXIF data is damaged."""
    try:
        return int(picture.getexif().get(ORIENTATION, 1))
    except Exception:
        return 1


def to_rgb(picture: Image.Image) -> Image.Image:
    """8-bit RGB: deep samples scaled, alpha laid on white, palettes and CMYK resolved. Raises Refused."""
    if picture.mode.startswith("I") or picture.mode == "F":
        picture = eight_bits(picture)
    if picture.mode == "LAB":
        raise Refused("unsupported_format")
    if picture.has_transparency_data:
        drawing = picture.convert("RGBA")
        paper = Image.new("RGB", picture.size, "white")
        paper.paste(drawing, mask=drawing)
        return paper
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def eight_bits(picture: Image.Image) -> Image.Image:
    """Grey samples of 16 or 32 bits as 8 bits: 16 bits by their range, others stretched to what they hold."""
    deep = picture if picture.mode in ("I", "F") else picture.convert("I")
    low, high = (0, 65535) if picture.mode.startswith("I;16") else deep.getextrema()
    assert isinstance(low, int | float) and isinstance(high, int | float)
    scale = 255 / ((high - low) or 1)
    grey = deep.point(lambda value: value * scale + (0.5 - low * scale)).convert("L")
    grey.info.clear()  # a transparent grey level is meant in the old scale
    return grey


def encode(picture: Image.Image, is_jpeg: bool, sampling: int, max_bytes: int) -> Clean:
    """JPEG stays JPEG with its chroma sampling; others become PNG, or JPEG where PNG would exceed `max_bytes`."""
    picture.info = {}  # Pillow would carry comments and colour profiles over
    body = io.BytesIO()
    if not is_jpeg:
        picture.save(body, "PNG", compress_level=1)
        if body.tell() <= max_bytes:
            return Clean("image/png", picture.width, picture.height, body.getvalue())
        body = io.BytesIO()
    picture.save(body, "JPEG", quality=95, subsampling=sampling)
    return Clean("image/jpeg", picture.width, picture.height, body.getvalue())


def answer(data: bytes, kind: str, target: int, limits: Limits) -> dict[str, Any]:
    """Handle one request; closes `target`."""
    with open(target, "wb", buffering=0) as file:
        try:
            clean = normalise(data, kind, limits)
        except Refused as error:
            return {"refused": str(error)}
        except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError):
            return {"refused": "too_many_pixels"}
        except Exception:  # Pillow's parsers raise nearly anything on damaged input
            return {"refused": "broken"}
        try:
            view = memoryview(clean.body)
            while view:
                view = view[file.write(view) :]
        except OSError as error:
            return {"errno": error.errno}
        return {"decoded": {"mime_type": clean.mime_type, "width": clean.width, "height": clean.height}}


def serve(channel: socket.socket, limits: Limits) -> None:
    """Answer requests until the other side closes. SIGALRM, unhandled, ends idleness and runaway decoding."""
    channel.sendall(b"\n")
    while True:
        signal.alarm(IDLE_SECONDS)
        header, targets, _, _ = socket.recv_fds(channel, HEADER.size, 1)
        if len(header) < HEADER.size:
            return
        signal.alarm(math.ceil(limits.timeout) + 1)
        kind, length = HEADER.unpack(header)
        data = receive(channel, length)
        result = answer(data, kind.rstrip(b"\0").decode(), targets[0], limits)
        channel.sendall(json.dumps(result).encode() + b"\n")


def receive(channel: socket.socket, length: int) -> bytes:
    """Exactly `length` bytes. Raises EOFError."""
    data = bytearray(length)
    view = memoryview(data)
    while view:
        got = channel.recv_into(view)
        if not got:
            raise EOFError
        view = view[got:]
    return bytes(data)


def confine() -> None:
    """Give up what decoding does not need. Limits that the system does not know are skipped."""
    for kind, value in (
        (resource.RLIMIT_AS, ADDRESS_SPACE),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, LARGEST_FILE),
        (resource.RLIMIT_NOFILE, 16),
    ):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(kind, (value, value))


def main() -> None:
    """Entry of the process."""
    limits = Limits(**json.loads(sys.argv[2]))
    Image.MAX_IMAGE_PIXELS = max(limits.max_pixels_jpeg, limits.max_pixels_png, limits.max_pixels_other)
    warnings.simplefilter("error")
    for message in HARMLESS:
        warnings.filterwarnings("ignore", message)
    confine()
    with socket.socket(fileno=int(sys.argv[1])) as channel, contextlib.suppress(OSError, EOFError):
        serve(channel, limits)
    os._exit(0)  # nothing to tidy; libraries' exit hooks could hang


if __name__ == "__main__":
    main()
