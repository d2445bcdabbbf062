"""Why a picture is refused: stable codes, and what the user is told."""

from __future__ import annotations

from typing import Final

from bot.config import MediaConfig
from bot.errors import BadPicture

SENTENCES: Final = {
    "empty": "这张图片是空的（0 字节），请重新发一次。",
    "not_a_picture": "这个文件不是图片。请发 JPG、PNG、WebP 或 GIF 图片。",
    "unsupported_format": "这种图片格式我还打不开（例如 HEIC、PSD）。请另存为 JPG 或 PNG 再发，或者直接发截图。",
    "broken": "这张图片已损坏，或者没有传完整。请重新发一次。",
    "too_many_bytes": "图片文件超过了 {megabytes:g} MB。请压缩后再发。",
    "too_many_pixels": "这张图片的像素太多，打开后太大。请缩小后再发。",
    "side_too_long": "这张图片有一边超过了 {side} 像素。请裁成几张再发。",
    "bad_ratio": "这张图片太细长了（长边超过短边的 {ratio} 倍）。请裁剪后再发。",
    "too_slow": "这张图片太复杂，{seconds:g} 秒内没能打开。请另存为普通的 JPG 或 PNG 再发。",
}


def refused(code: str, config: MediaConfig) -> BadPicture:
    """The error for one of the codes in SENTENCES, with the configured limits in its sentence."""
    sentence = SENTENCES[code].format(
        megabytes=round(config.max_bytes / (1 << 20), 1),
        side=config.max_side,
        ratio=config.max_ratio,
        seconds=config.decode_timeout,
    )
    return BadPicture(code, sentence)
