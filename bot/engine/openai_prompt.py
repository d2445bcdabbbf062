"""Messages and pictures in the words of the chat-completions API.

Source: https://platform.openai.com/docs/api-reference/chat/create. Pictures go as data URLs only: a server is
never asked to fetch anything. Only user messages carry pictures; elsewhere many servers refuse them.
"""

from __future__ import annotations

import asyncio
import base64
import io
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from bot.engine.base import GenerateRequest, SamplingParams
from bot.message import Image, Mention, Message, Part, Quote, Text

logger = logging.getLogger(__name__)

#: what every server decodes; Pillow's MPO is a JPEG with more pictures behind it, as phones write them
_SENT_AS_IS = {"PNG": "image/png", "JPEG": "image/jpeg", "MPO": "image/jpeg", "WEBP": "image/webp"}
_EXIF_ORIENTATION = 0x0112
_JPEG_QUALITY = 92

Piece = str | Image


async def render_messages(request: GenerateRequest, max_side: int) -> list[dict[str, Any]]:
    """The `messages` of a request; pictures have sides of at most `max_side` pixels."""
    urls = await _data_urls(request, max_side)
    images = [image for message in request.messages for image in message.images]
    labels = _labels(images)
    # Pictures that are not shown stand as [图2：…] in the text: then the shown one needs its label as well.
    several = len(images) > 1 or any("[图" in message.text for message in request.messages)
    return [_render(message, labels, urls, several) for message in request.messages]


def render_sampling(params: SamplingParams) -> dict[str, Any]:
    """The sampling fields that are set. top_k and repetition_penalty are vLLM's and SGLang's own."""
    fields = {name: getattr(params, name) for name in SamplingParams.__slots__}
    return {name: list(value) if name == "stop" else value for name, value in fields.items() if value not in (None, ())}


def data_url(data: bytes, max_side: int) -> str:
    """A picture as a data URL, scaled, turned upright and re-encoded only where needed. Raises OSError."""
    from PIL import Image as Pictures

    with Pictures.open(io.BytesIO(data)) as picture:
        mime_type = _SENT_AS_IS.get(picture.format or "")
        if mime_type is None or max(picture.size) > max_side or _turned(picture):
            mime_type, data = "image/jpeg", _encode(picture, max_side)
    return f"data:{mime_type};base64,{base64.b64encode(data).decode('ascii')}"


def _turned(picture: Any) -> bool:
    # Most servers ignore the EXIF orientation and would show the model a picture on its side.
    return picture.format != "PNG" and picture.getexif().get(_EXIF_ORIENTATION, 1) != 1


def _encode(picture: Any, max_side: int) -> bytes:
    from PIL import Image as Pictures
    from PIL import ImageOps

    # JPEG can be decoded at 1/2, 1/4 or 1/8: a fraction of the memory.
    picture.draft("RGB", (max_side, max_side))
    picture.thumbnail((max_side, max_side), Pictures.Resampling.LANCZOS)
    upright = ImageOps.exif_transpose(picture)
    if upright.has_transparency_data:
        upright = upright.convert("RGBA")
        upright = Pictures.alpha_composite(Pictures.new("RGBA", upright.size, "white"), upright)
    buffer = io.BytesIO()
    upright.convert("RGB").save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()


async def _data_urls(request: GenerateRequest, max_side: int) -> dict[str, str]:
    """Data URLs by SHA-256 of those pictures that user messages name and the request carries."""
    named = {image.sha256 for message in request.messages if message.role == "user" for image in message.images}
    urls: dict[str, str] = {}
    for sha256 in named & request.pictures.keys():
        try:
            side = min(max_side, request.max_sides.get(sha256, max_side))
            urls[sha256] = await asyncio.to_thread(data_url, request.pictures[sha256], side)
        except Exception as error:  # Pillow raises what its decoders raise; a bad picture must not cost the answer
            logger.warning("picture %s cannot be shown to the model: %s", sha256[:12], error)
    return urls


def _labels(images: list[Image]) -> dict[Image, str]:
    """图1, 图2: the conversation's numbers; pictures that have none take free ones in reading order."""
    taken = {image.index for image in images}
    free = (number for number in range(1, 2 + 2 * len(images)) if number not in taken)
    labels: dict[Image, str] = {}
    for image in images:
        if image not in labels:
            labels[image] = f"图{image.index or next(free)}"
    return labels


def _render(message: Message, labels: Mapping[Image, str], urls: Mapping[str, str], several: bool) -> dict[str, Any]:
    seen: Mapping[str, str] = urls if message.role == "user" else {}
    content: list[dict[str, Any]] = []
    for piece in _pieces(message.parts):
        if isinstance(piece, str):
            _append_text(content, piece)
        elif piece.sha256 not in seen:
            _append_text(content, f"[{labels[piece]}]")
        else:
            if several or piece.index > 1:
                _append_text(content, f"{labels[piece]}：")
            content.append({"type": "image_url", "image_url": {"url": seen[piece.sha256]}})
    if any(item["type"] == "image_url" for item in content):
        return {"role": message.role, "content": content}
    # Plain text as a plain string: text models' templates know nothing else.
    return {"role": message.role, "content": "".join(item["text"] for item in content)}


def _pieces(parts: tuple[Part, ...]) -> Iterator[Piece]:
    """Texts and pictures in reading order, quotes spelled out."""
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


def _append_text(content: list[dict[str, Any]], text: str) -> None:
    if content and content[-1]["type"] == "text":
        content[-1]["text"] += text
    elif text:
        content.append({"type": "text", "text": text})
