"""Strict JSON, clean text and typed fields for adapters.

`decode` accepts what RFC 8259 calls interoperable and nothing else: UTF-8 (one byte order mark is skipped), no
duplicate names, no NaN or Infinity, at most 64 levels. What it returns holds neither U+0000, which PostgreSQL
cannot store, nor lone surrogates, which UTF-8 cannot encode. Everything else is `Rejected("malformed", 400)`.

Two ways lead there. A body that msgspec reads and writes back byte for byte cannot hold a duplicate name (writing
would drop it) or a lone surrogate (msgspec refuses them), so compact JSON needs no second look. All other bodies
take the standard library's parser with stricter hooks, which alone decides what is malformed.
"""

from __future__ import annotations

import binascii
import codecs
import json
import math
import re
from itertools import accumulate
from typing import Any, NoReturn, cast

import msgspec

from bot.errors import Rejected

MAX_DEPTH = 64
MAX_IDENTIFIER_BYTES = 512


def malformed(message: str) -> Rejected:
    """The one answer to anything that is not as agreed."""
    return Rejected("malformed", 400, message)


def decode(body: bytes) -> Any:
    """JSON bytes to plain values, text cleaned. Raises Rejected."""
    if body.startswith(codecs.BOM_UTF8):
        body = body.removeprefix(codecs.BOM_UTF8)
    _check_depth(body)
    try:
        value = _fast.decode(body)
        if _encode(value) == body and b"\\u0000" not in body:
            return value
    except (msgspec.DecodeError, ValueError):
        pass
    return _decode_strictly(body)


def clean(text: str) -> str:
    """Without U+0000, and with U+FFFD for every lone surrogate; all other characters stay."""
    if "\0" in text:
        text = text.replace("\0", "")
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def text(data: Any, *path: str) -> str:
    """The text at a path of names; it may be empty. Raises Rejected when it is missing or no text."""
    value = _required(data, path)
    if type(value) is not str:
        raise _wrong(path, "a text")
    return value


def utterance(data: Any, *path: str) -> str:
    """What somebody said: the text without white space at its two ends. Nothing inside is touched."""
    return text(data, *path).strip()


def identifier(data: Any, *path: str) -> str:
    """A text that names something: neither empty nor longer than a database index holds (512 bytes)."""
    value = text(data, *path)
    size = len(value) if value.isascii() else len(value.encode())
    if not 0 < size <= MAX_IDENTIFIER_BYTES:
        raise _wrong(path, "an id of 1 to 512 bytes")
    return value


def optional_text(data: Any, *path: str) -> str:
    """The text at a path, or "" when it is absent or null. Raises Rejected when it is something else."""
    value = _optional(data, path)
    if value is None:
        return ""
    if type(value) is not str:
        raise _wrong(path, "a text")
    return value


def optional_identifier(data: Any, *path: str) -> str:
    """An identifier, or "" when it is absent, null or empty."""
    value = _optional(data, path)
    return "" if value is None or value == "" else identifier(data, *path)


def integer(data: Any, *path: str, least: int, most: int) -> int:
    """A whole number written as one (neither `1.0` nor `true`) between two bounds."""
    value = _required(data, path)
    if type(value) is not int or not least <= value <= most:
        raise _wrong(path, f"a whole number from {least} to {most}")
    return value


def flag(data: Any, *path: str) -> bool:
    """`true` or `false`."""
    value = _required(data, path)
    if type(value) is not bool:
        raise _wrong(path, "true or false")
    return value


def items(data: Any, *path: str) -> list[Any]:
    """An array, elements unchecked."""
    value = _required(data, path)
    if type(value) is not list:
        raise _wrong(path, "an array")
    return cast("list[Any]", value)


def optional_items(data: Any, *path: str) -> list[Any]:
    """An array, or an empty one when it is absent or null."""
    return [] if _optional(data, path) is None else items(data, *path)


def fields(data: Any, *path: str) -> dict[str, Any]:
    """An object."""
    value = _required(data, path)
    if type(value) is not dict:
        raise _wrong(path, "an object")
    return cast("dict[str, Any]", value)


def optional_fields(data: Any, *path: str) -> dict[str, Any] | None:
    """An object, or None when it is absent or null."""
    return None if _optional(data, path) is None else fields(data, *path)


def base64_bytes(data: Any, *path: str) -> bytes:
    """The bytes of a base64 text (RFC 4648 section 4): padded, no white space, not empty."""
    value = text(data, *path)
    try:
        found = binascii.a2b_base64(value, strict_mode=True)
    except ValueError:
        found = b""
    if not found:
        raise _wrong(path, "base64")
    return found


def _required(data: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        if type(data) is not dict or name not in data:
            raise _wrong(path, "present")
        data = cast("dict[str, Any]", data)[name]
    return data


def _optional(data: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        if data is None:
            return None
        if type(data) is not dict:
            raise _wrong(path, "inside an object")
        data = cast("dict[str, Any]", data).get(name)
    return data


def _wrong(path: tuple[str, ...], wanted: str) -> Rejected:
    return malformed(f"{'.'.join(path) or 'the body'} must be {wanted}")


_fast = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode

_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED_DIRT = re.compile(rb"\\u(?:[dD][89a-fA-F]|0000)")

# An unterminated literal runs to the end, so that the scan stays linear whatever the bytes are.
_LITERAL = re.compile(rb'"[^"\\]*+(?:\\.?[^"\\]*+)*+(?:"|\Z)', re.DOTALL)
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def _check_depth(body: bytes) -> None:
    """Refuse more than 64 levels before any parser sees them, so that none can run out of stack.

    Bodies with few opening brackets are settled by counting. In others, brackets outside of texts are turned into
    steps of +1 and -1, and the highest running sum is the depth. Up to the first error both parsers see the same.
    """
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return
    steps = memoryview(_LITERAL.sub(b"", body).translate(_STEPS, _NO_BRACKETS)).cast("b")
    if max(accumulate(steps), default=0) > MAX_DEPTH:
        raise malformed(f"more than {MAX_DEPTH} levels deep")


def _decode_strictly(body: bytes) -> Any:
    try:
        value = _strict.decode(body.decode("utf-8"))
    except ValueError as error:
        raise malformed(f"not valid JSON: {error}") from None
    return _clean_tree(value) if _ESCAPED_DIRT.search(body) else value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError("a number is too large")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_strict = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_finite, parse_constant=_no_constant)


def _clean_tree(value: Any) -> Any:
    """At most 64 levels of recursion: `_check_depth` came before."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_clean_tree(item) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        pairs = [(clean(name), _clean_tree(item)) for name, item in cast("dict[str, Any]", value).items()]
        try:
            return _unique(pairs)
        except ValueError as error:
            raise malformed(str(error)) from None
    return value
