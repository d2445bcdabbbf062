"""What is accepted as a picture and what becomes of it; what is refused and why."""

import asyncio
import hashlib
import io
import struct
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import chunk, drawing, encoded, noise, png, see_through, zeros
from PIL import Image as Pillow

from bot.config import MediaConfig
from bot.errors import BadPicture
from bot.media import MediaStore
from bot.media.refusals import SENTENCES
from bot.media.sniff import kept_size

Turn = Pillow.Transpose
# What a camera held that way stores: the picture turned by the inverse of its orientation.
STORED = {
    1: None,
    2: Turn.FLIP_LEFT_RIGHT,
    3: Turn.ROTATE_180,
    4: Turn.FLIP_TOP_BOTTOM,
    5: Turn.TRANSPOSE,
    6: Turn.ROTATE_90,
    7: Turn.TRANSVERSE,
    8: Turn.ROTATE_270,
}


def oriented(orientation: int) -> Pillow.Exif:
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[MediaStore]:
    media = MediaStore(tmp_path / "media", MediaConfig())
    yield media
    await media.close()


async def opened(store: MediaStore, data: bytes) -> Pillow.Image:
    """The kept copy of a picture; checks that the reference tells the truth about it."""
    image = await store.keep(data)
    copy = await store.load(image.sha256)
    picture = Pillow.open(io.BytesIO(copy))
    assert picture.mode == "RGB" and picture.size == (image.width, image.height)
    assert image.mime_type == Pillow.MIME[str(picture.format)]
    assert image.sha256 == hashlib.sha256(data).hexdigest()
    return picture


async def code(store: MediaStore, data: bytes) -> str:
    with pytest.raises(BadPicture) as caught:
        await store.keep(data)
    assert any("\u4e00" <= letter <= "\u9fff" for letter in str(caught.value))
    assert "{" not in str(caught.value)
    return caught.value.code


ACCEPTED: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: encoded(drawing(), "JPEG", quality=95, subsampling=0),
    "progressive jpeg": lambda: encoded(drawing(), "JPEG", quality=95, progressive=True, subsampling=0),
    "webp": lambda: encoded(drawing(), "WEBP", lossless=True),
    "gif": lambda: encoded(drawing(), "GIF"),
    "bmp": lambda: encoded(drawing(), "BMP"),
    "tiff": lambda: encoded(drawing(), "TIFF", compression="tiff_lzw"),
    "avif": lambda: encoded(drawing(), "AVIF", quality=95, speed=10),
    "palette": lambda: encoded(drawing().quantize(8)),
    "interlaced alpha": lambda: encoded(drawing().convert("RGBA"), interlace=1),
    "cmyk jpeg": lambda: encoded(drawing().convert("CMYK"), "JPEG", quality=95, subsampling=0),
    "cmyk tiff": lambda: encoded(drawing().convert("CMYK"), "TIFF"),
    "gif of two frames": lambda: encoded(drawing(), "GIF", save_all=True, append_images=[Pillow.new("RGB", (64, 48))]),
    "webp of two frames": lambda: encoded(
        drawing(), "WEBP", lossless=True, save_all=True, append_images=[Pillow.new("RGB", (64, 48))]
    ),
    "apng": lambda: encoded(drawing(), save_all=True, append_images=[Pillow.new("RGB", (64, 48))]),
    "gif of 300 frames": lambda: encoded(
        drawing(),
        "GIF",
        save_all=True,
        append_images=[Pillow.new("L", (64, 48), shade % 256) for shade in range(299)],
    ),
    "multi-picture jpeg": lambda: encoded(
        drawing(), "MPO", quality=95, subsampling=0, save_all=True, append_images=[Pillow.new("RGB", (64, 48))]
    ),
    "trailing bytes": lambda: encoded(drawing()) + b"PK\x03\x04 another file",
}


@pytest.mark.parametrize("name", ACCEPTED)
async def test_every_format_shows_the_same_picture(store: MediaStore, name: str) -> None:
    data = ACCEPTED[name]()
    copy = await opened(store, data)
    assert copy.format == ("JPEG" if data.startswith(b"\xff\xd8") else "PNG")
    for corner in ((8, 8), (40, 8), (8, 40), (40, 40)):
        seen, drawn = copy.getpixel(corner), drawing().getpixel(corner)
        assert all(abs(a - b) <= 12 for a, b in zip(seen, drawn, strict=True)), (seen, drawn)


GREYS: dict[str, Callable[[], bytes]] = {
    "1 bit": lambda: encoded(Pillow.linear_gradient("L").convert("1", dither=Pillow.Dither.NONE)),
    "8 bit": lambda: encoded(Pillow.linear_gradient("L")),
    "grey jpeg": lambda: encoded(Pillow.linear_gradient("L"), "JPEG", quality=95),
    "16 bit png": lambda: encoded(deep_gradient()),
    "16 bit tiff": lambda: encoded(deep_gradient(), "TIFF"),
    "32 bit tiff": lambda: encoded(deep_gradient().convert("I"), "TIFF"),
    "float tiff": lambda: encoded(Pillow.linear_gradient("L").convert("F"), "TIFF"),
}


def deep_gradient() -> Pillow.Image:
    rows = b"".join(struct.pack("<H", shade * 257) * 256 for shade in range(256))
    return Pillow.frombytes("I;16", (256, 256), rows)


@pytest.mark.parametrize("name", GREYS)
async def test_grey_of_any_depth_keeps_its_shades(store: MediaStore, name: str) -> None:
    copy = await opened(store, GREYS[name]())
    shades = [copy.getpixel((100, row)) for row in (0, 60, 190, 255)]
    wanted = [0, 0, 255, 255] if name == "1 bit" else [0, 60, 190, 255]
    assert all(abs(seen[0] - shade) <= 2 for seen, shade in zip(shades, wanted, strict=True)), shades


async def test_16_bit_colour_keeps_its_shades(store: MediaStore) -> None:
    row = b"\0" + struct.pack("!HHH", 200 * 257, 30 * 257, 255 * 257) * 4
    copy = await opened(store, png(4, 4, 16, 2, zlib.compress(row * 4)))
    assert copy.getpixel((2, 2)) == (200, 30, 255)


@pytest.mark.parametrize(
    "data",
    [
        encoded(see_through()),
        encoded(see_through(), "WEBP", lossless=True, exact=True),
        encoded(see_through(), "GIF"),
        encoded(see_through().quantize(4, method=Pillow.Quantize.FASTOCTREE)),
        encoded(see_through().convert("RGB"), transparency=(0, 0, 0)),
    ],
    ids=["rgba", "webp", "gif", "palette", "colour key"],
)
async def test_what_is_transparent_becomes_white(store: MediaStore, data: bytes) -> None:
    copy = await opened(store, data)
    assert (copy.getpixel((0, 0)), copy.getpixel((3, 1))) == ((255, 255, 255), (255, 0, 0))


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
async def test_every_orientation_gives_the_same_picture(store: MediaStore, kind: str, orientation: int) -> None:
    turn = STORED[orientation]
    held = drawing() if turn is None else drawing().transpose(turn)
    options = {"PNG": {}, "TIFF": {}, "JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}[kind]
    copy = await opened(store, encoded(held, kind, exif=oriented(orientation), **options))
    assert copy.size == (64, 48)
    for corner in ((8, 8), (40, 8), (8, 40), (40, 40)):
        seen, drawn = copy.getpixel(corner), drawing().getpixel(corner)
        assert all(abs(a - b) <= 4 for a, b in zip(seen, drawn, strict=True))


async def test_nothing_but_pixels_is_kept(store: MediaStore) -> None:
    exif = oriented(6)
    exif.get_ifd(0x8825)[1] = "N"
    exif[0x010E] = "canary-exif"
    text = chunk(b"tEXt", b"Comment\0canary-text") + chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0canary-xmp")
    dirty = (
        encoded(drawing(), "JPEG", exif=exif, comment=b"canary-comment", icc_profile=b"canary-icc"),
        encoded(drawing(), exif=exif, icc_profile=b"canary-icc"),
        png(1, 1, 8, 0, zlib.compress(b"\0\0"), extra=text) + b"<script>canary-trailer</script>",
        encoded(drawing(), "GIF", comment=b"canary-comment"),
        encoded(drawing(), "WEBP", exif=exif, xmp=b"canary-xmp"),
    )
    for data in dirty:
        image = await store.keep(data)
        copy = await store.load(image.sha256)
        assert b"canary" in data and b"canary" not in copy and b"Exif" not in copy
        assert not Pillow.open(io.BytesIO(copy)).getexif()


async def test_damaged_exif_does_not_spoil_a_picture(store: MediaStore) -> None:
    head, rest = encoded(drawing(), "JPEG")[:2], encoded(drawing(), "JPEG")[20:]  # without JFIF
    for junk in (b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0junk", b"Exif\0\0MM\0*\0\0\0\x08\0\x09\x01\x12\0\x03"):
        segment = b"\xff\xe1" + struct.pack("!H", len(junk) + 2) + junk
        assert (await opened(store, head + segment + rest)).size == (64, 48)


async def test_a_long_screenshot_stays_whole(store: MediaStore) -> None:
    assert (await opened(store, encoded(drawing(1080, 6000)))).size == (1080, 6000)


async def test_a_large_jpeg_is_decoded_smaller(store: MediaStore) -> None:
    assert (await opened(store, encoded(drawing(8001, 5100), "JPEG"))).size == (4001, 2550)


async def test_chroma_is_not_thinned_further(store: MediaStore) -> None:
    for sampling, layers in ((0, (1, 1)), (2, (2, 2))):
        copy = await opened(store, encoded(drawing(), "JPEG", subsampling=sampling))
        assert copy.layer[0][1:3] == layers


async def test_a_png_that_would_be_too_heavy_is_kept_as_jpeg(tmp_path: Path) -> None:
    media = MediaStore(tmp_path, MediaConfig(max_bytes=100_000))
    copy = await opened(media, encoded(noise(400, 300), "WEBP", quality=10))
    assert copy.format == "JPEG"
    await media.close()


REFUSED: dict[str, tuple[str, Callable[[], bytes]]] = {
    "nothing": ("empty", lambda: b""),
    "text": ("not_a_picture", lambda: b"\xe5\x9b\xbe a text"),
    "html": ("not_a_picture", lambda: b"<!doctype html><img src=x>"),
    "svg": ("not_a_picture", lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>'),
    "eps": ("not_a_picture", lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
    "pdf": ("not_a_picture", lambda: b"%PDF-1.7\n"),
    "text like a bmp": ("not_a_picture", lambda: b"BMW is a maker of cars and motorcycles"),
    "zeros": ("not_a_picture", lambda: bytes(10 << 20)),
    "film": ("not_a_picture", lambda: b"\0\0\0\x18ftypisom\0\0\0\0isommp42"),
    "heic": ("unsupported_format", lambda: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99)),
    "psd": ("unsupported_format", lambda: b"8BPS\0\1" + bytes(99)),
    "icon": ("unsupported_format", lambda: encoded(drawing(32, 32), "ICO")),
    "jpeg 2000": ("unsupported_format", lambda: encoded(drawing(), "JPEG2000")),
    "lab tiff": ("unsupported_format", lambda: encoded(Pillow.new("LAB", (8, 8)), "TIFF")),
    "half a png": ("broken", lambda: encoded(noise(64, 64))[:6000]),
    "half a jpeg": ("broken", lambda: encoded(noise(64, 64), "JPEG")[:2000]),
    "half a gif": ("broken", lambda: encoded(noise(64, 64), "GIF")[:2000]),
    "half a webp": ("broken", lambda: encoded(noise(64, 64), "WEBP")[:2000]),
    "half a bmp": ("broken", lambda: encoded(noise(64, 64), "BMP")[:2000]),
    "half a tiff": ("broken", lambda: encoded(noise(64, 64), "TIFF")[:2000]),
    "png signature": ("broken", lambda: b"\x89PNG\r\n\x1a\n"),
    "jpeg signature": ("broken", lambda: b"\xff\xd8\xff\xe0"),
    "no side": ("broken", lambda: png(0, 5, 8, 0, zlib.compress(b""))),
    "text bomb": ("broken", lambda: png(1, 1, 8, 0, b"", extra=chunk(b"zTXt", b"a\0\0" + zeros(80 << 20)))),
    "profile bomb": ("broken", lambda: png(1, 1, 8, 0, b"", extra=chunk(b"iCCP", b"a\0\0" + zeros(80 << 20)))),
    "30,000 squared": ("too_many_pixels", lambda: png(30000, 30000, 1, 0, zeros(112 << 20))),
    "lying header": ("too_many_pixels", lambda: png(65535, 65535, 8, 2, zlib.compress(b"x"))),
    "41 megapixels": ("too_many_pixels", lambda: png(8200, 5000, 8, 0, b"")),
    "gif screen": ("too_many_pixels", lambda: b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + GIF_FRAME),
    "26 megapixels of webp": ("too_many_pixels", lambda: encoded(Pillow.new("L", (6500, 4000)), "WEBP", method=0)),
    "60000 wide": ("side_too_long", lambda: png(60000, 2, 8, 0, zeros(1 << 20))),
    "side": ("side_too_long", lambda: png(12001, 300, 8, 0, zeros(4 << 20))),
    "thread": ("bad_ratio", lambda: encoded(Pillow.new("L", (1020, 20)))),
}
GIF_FRAME = b"\x2c" + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x02\x01\x00\x00;"


@pytest.mark.parametrize("name", REFUSED)
async def test_a_bad_picture_is_refused_for_its_reason(store: MediaStore, tmp_path: Path, name: str) -> None:
    wanted, make = REFUSED[name]
    data = make()
    good = await store.keep(encoded(drawing()))
    assert await code(store, data) == wanted
    files = [path for path in (tmp_path / "media").rglob("*") if path.is_file()]
    assert files == [store.path(good.sha256)]


async def test_too_many_bytes(tmp_path: Path) -> None:
    media = MediaStore(tmp_path, MediaConfig(max_bytes=1000))
    assert await code(media, bytes(1001)) == "too_many_bytes"
    await media.close()


def test_every_sentence_is_reached() -> None:
    assert set(SENTENCES) == {wanted for wanted, _ in REFUSED.values()} | {"too_many_bytes", "too_slow"}


SEEDS = [encoded(drawing(), kind) for kind in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "AVIF")] + [
    encoded(drawing().quantize(8)),
    encoded(see_through()),
]


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 6))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(len(data) // 2, len(data)))])


def test_any_bytes_give_a_picture_or_a_refusal(tmp_path: Path) -> None:
    signatures = st.sampled_from([seed[:24] for seed in SEEDS])
    tailed = st.builds(lambda head, tail: head + tail, signatures, st.binary(max_size=400))
    with asyncio.Runner() as runner:
        media = MediaStore(tmp_path, MediaConfig())

        @settings(max_examples=250, deadline=None, database=None)
        @given(st.one_of(mutations(), mutations(), tailed, st.binary(max_size=400)))
        def check(data: bytes) -> None:
            try:
                image = runner.run(media.keep(data))
            except BadPicture:
                return
            assert kept_size(runner.run(media.load(image.sha256))[:1024]) == (image.width, image.height)

        check()
        runner.run(media.close())
