"""What `POST /infer` understands: JSON, or the fields of an uploaded form, as one value.

msgspec checks while it parses, so nesting, huge numbers and unknown keys end the parse where they occur.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import msgspec

from bot.errors import RequestError
from bot.handler import ModelChoice
from bot.message import Message, Text
from bot.question import check_askable
from bot.web.explain import explain, unknown_key
from bot.web.sources import DiskPath, Source, from_base64, from_text, from_url

MAX_HISTORY: Final = 40
_BOM: Final = b"\xef\xbb\xbf"
#: File fields first, then the text fields of a form.
FILE_FIELDS: Final = ("image", "images")
TEXT_FIELDS: Final = ("prompt", "model", "stream", "history")
_TRUE: Final = {"true", "1", "on", "yes"}
_FALSE: Final = {"false", "0", "off", "no", ""}


class PictureSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of `images`: exactly one of the three."""

    path: str | None = None
    url: str | None = None
    base64: str | None = None


class Turn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of `history`."""

    role: Literal["user", "assistant"]
    text: str


class InferRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The JSON body. All picture keys may be given together; their order is path, url, base64, images."""

    prompt: str = ""
    model: ModelChoice = "auto"
    stream: bool = False
    image_path: str | None = None
    image_url: str | None = None
    image_base64: str | None = None
    images: tuple[PictureSource | str, ...] = ()
    history: Annotated[tuple[Turn, ...], msgspec.Meta(max_length=MAX_HISTORY)] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """A checked request; its pictures are still to be read."""

    prompt: str
    model: ModelChoice
    stream: bool
    history: tuple[Message, ...]
    sources: tuple[Source, ...]


_KEYS: Final = {"images": PictureSource.__struct_fields__, "history": Turn.__struct_fields__}
_decoder: Final = msgspec.json.Decoder(InferRequest)


def from_json(body: bytes) -> Asked:
    """Raises RequestError (400)."""
    try:
        request = _decoder.decode(body.removeprefix(_BOM))
    except msgspec.ValidationError as error:
        raise _explained(error) from None
    except (msgspec.DecodeError, RecursionError, ValueError):
        raise RequestError("malformed", "请求的内容不是有效的 JSON（UTF-8）。") from None
    return _asked(request, tuple(_sources(request)))


def from_form(fields: Mapping[str, str], files: Sequence[bytes]) -> Asked:
    """Text fields by name, and the uploaded files. Raises RequestError (400)."""
    data: dict[str, Any] = dict(fields)
    if "stream" in data:
        data["stream"] = _flag(fields["stream"])
    if "history" in data:
        data["history"] = _history(fields["history"])
    try:
        request = msgspec.convert(data, InferRequest)
    except msgspec.ValidationError as error:
        raise _explained(error) from None
    return _asked(request, tuple(files))


def check_field(name: str) -> None:
    """Raises RequestError (400) for a form field that means nothing here."""
    if name not in FILE_FIELDS + TEXT_FIELDS:
        raise RequestError("unknown_key", unknown_key(name, FILE_FIELDS + TEXT_FIELDS))


def _asked(request: InferRequest, sources: tuple[Source, ...]) -> Asked:
    check_askable(request.prompt, len(sources))
    history = tuple(Message(turn.role, (Text(turn.text),)) for turn in request.history)
    return Asked(request.prompt.strip(), request.model, request.stream, history, sources)


def _sources(request: InferRequest) -> Iterator[Source]:
    """In the order documented at InferRequest; null means absent."""
    if request.image_path is not None:
        yield DiskPath(request.image_path)
    if request.image_url is not None:
        yield from_url(request.image_url, "image_url")
    if request.image_base64 is not None:
        yield from_base64(request.image_base64, "image_base64")
    for index, entry in enumerate(request.images):
        yield _source(entry, f"images[{index}]")


def _source(entry: PictureSource | str, where: str) -> Source:
    match entry:
        case str():
            return from_text(entry, where)
        case PictureSource(path=str(path), url=None, base64=None):
            return DiskPath(path)
        case PictureSource(path=None, url=str(url), base64=None):
            return from_url(url, f"{where}.url")
        case PictureSource(path=None, url=None, base64=str(text)):
            return from_base64(text, f"{where}.base64")
        case _:
            raise RequestError("bad_value", f"{where} 里要有 path、url、base64 中的一个，而且只能有一个。")


def _flag(text: str) -> bool:
    value = text.strip().lower()
    if value not in _TRUE | _FALSE:
        raise RequestError("bad_value", "stream 只能是 true 或 false。")
    return value in _TRUE


def _history(text: str) -> Any:
    """Plain values; their shape is checked with the other fields."""
    try:
        return msgspec.json.decode(text) if text.strip() else []
    except (msgspec.DecodeError, RecursionError, ValueError):
        raise RequestError("malformed", "history 不是有效的 JSON。") from None


def _explained(error: msgspec.ValidationError) -> RequestError:
    reason, message = explain(str(error), InferRequest.__struct_fields__, _KEYS)
    return RequestError(reason, message)
