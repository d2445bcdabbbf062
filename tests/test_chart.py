"""Pictures that a digest brings along: charts, fingerprints, contact sheets."""

from __future__ import annotations

import asyncio
import io
import sys

import pytest
from pictures import drawing, encoded, noise
from PIL import Image as Pillow
from PIL import ImageDraw

from bot import chart, contact_sheet, likeness
from bot.chart import NO_FONT, Chart, ChartFailed, draw, font, label

BARS = (("打印机报错 $x$ E1023", 24), ("发票怎么开😀", 18), ("登录不上，一直提示验证码错误请重新输入", 3))


def opened(data: bytes) -> Pillow.Image:
    return Pillow.open(io.BytesIO(data)).convert("RGB")


def bar_lengths(data: bytes) -> list[int]:
    """Pixels of each bar, from the top: runs of the bars' colour in the middle of each."""
    picture = opened(data)
    rows = [
        sum(picture.getpixel((x, y)) == (0x2F, 0x6F, 0xDE) for x in range(picture.width)) for y in range(picture.height)
    ]
    lengths: list[int] = []
    for before, now in zip([0, *rows], rows, strict=False):
        if now and not before:
            lengths.append(now)
        elif now:
            lengths[-1] = max(lengths[-1], now)
    return lengths


async def test_a_chart_is_drawn_in_a_process_of_its_own_and_true_to_scale() -> None:
    drawn = await draw(Chart("问题分布", BARS, "每天", (("11-01", 3), ("11-02", 0))))
    assert "matplotlib" not in sys.modules
    lengths = bar_lengths(drawn.png)
    assert len(lengths) == len(BARS)
    assert all(abs(length / lengths[0] - count / 24) < 0.02 for length, (_, count) in zip(lengths, BARS, strict=True))
    assert drawn.note in ("", NO_FONT)


async def test_more_bars_make_a_taller_chart() -> None:
    few, many = await draw(Chart("t", BARS)), await draw(Chart("t", BARS * 4))
    assert opened(many.png).height > 2 * opened(few.png).height and opened(many.png).width == opened(few.png).width


async def test_a_chart_that_cannot_be_drawn_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chart.sys, "executable", "/bin/false")
    with pytest.raises(ChartFailed):
        await draw(Chart("t", BARS))


def test_labels_have_their_words_or_without_a_chinese_font_their_number() -> None:
    assert label("发票怎么开😀", 2, readable=True) == "发票怎么开"
    assert label("发票怎么开", 2, readable=False) == "#2"
    assert label("ERR-404", 2, readable=False) == "ERR-404"
    assert len(label("长" * 50, 1, readable=True)) < 20
    assert font({"Arial", "SimHei", "Noto Sans CJK SC"}) == "Noto Sans CJK SC" and font({"Arial"}) == ""


async def test_without_a_chinese_font_the_reader_is_warned() -> None:
    # In a process: this one must not import matplotlib, as the service must not.
    code = (
        "import sys, warnings; warnings.simplefilter('error'); from bot.chart import *;"
        f"d = render(Chart('问题', {BARS!r}, '每天', (('11-01', 2),)), set()); sys.stdout.write(d.note)"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, errors = await process.communicate()
    assert (said.decode(), errors.decode()) == (NO_FONT, "")


def page(*lines: str, colour: str = "white") -> Pillow.Image:
    picture = Pillow.new("RGB", (600, 800), colour)
    pen = ImageDraw.Draw(picture)
    for place, line in enumerate(lines):
        pen.text((40, 40 + 60 * place), line, fill="black", font_size=36)
    return picture


def prints(*data: bytes) -> list[likeness.Fingerprint | None]:
    return [likeness.fingerprint(one) for one in data]


@pytest.mark.parametrize(
    "picture", [drawing(640, 480), noise(160, 120).resize((640, 480)), page("ERROR 5012", "retry")]
)
def test_copies_look_alike_scaled_or_saved_anew(picture: Pillow.Image) -> None:
    half = picture.resize((picture.width // 2, picture.height // 2))
    copies = (encoded(picture), encoded(picture, "JPEG", quality=60), encoded(half, "WEBP"), encoded(half, "JPEG"))
    assert likeness.groups(prints(*copies)) == [[0, 1, 2, 3]]


def test_other_pictures_do_not() -> None:
    pictures = (
        drawing(640, 480),
        noise(160, 120).resize((640, 480)),
        drawing(480, 640),
        drawing(640, 480).rotate(180),
        page("ERROR 5012", "retry later"),
        page("Invoice 2026", "total 88 yuan", "paid", "thanks"),
        page(),
        page(colour="navy"),
        page("ERROR 5012", "retry later", colour="#ffd0d0"),
    )
    found = likeness.groups(prints(*(encoded(one) for one in pictures)))
    assert found == [[place] for place in range(len(pictures))]


def test_what_is_no_picture_is_alone() -> None:
    assert prints(b"", b"no") == [None, None] and likeness.groups([None, None]) == [[0], [1]]


def test_a_contact_sheet_shows_each_picture_once_in_its_place() -> None:
    colours = ["red", "green", "blue", "yellow", "cyan", "magenta"]
    squares = [encoded(Pillow.new("RGB", (500, 500), colour)) for colour in colours]
    sheet = opened(contact_sheet.draw([*enumerate(squares, start=1), (7, b"broken")]))
    for place, colour in enumerate(colours):
        row, column = divmod(place, 4)
        seen = sheet.getpixel((8 + 248 * column + 160, 8 + 248 * row + 160))
        wanted = Pillow.new("RGB", (1, 1), colour).getpixel((0, 0))
        assert isinstance(seen, tuple) and isinstance(wanted, tuple)
        assert max(abs(a - b) for a, b in zip(seen, wanted, strict=True)) < 30
    many = contact_sheet.draw(list(enumerate(squares * 20, start=1)))
    assert opened(many).height == 8 + 248 * (contact_sheet.MOST // 4)
