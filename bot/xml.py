"""XML as WeChat and WeCom send it: one element, its children's texts.

Read by a parser that refuses document types and entities before it expands any, whatever the encoding; the characters
`<!DOCTYPE` inside a text are text. What is read fits the typed fields of `bot.payload`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from bot import payload

#: What XML 1.0 cannot hold, not even escaped.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def decode(body: bytes) -> dict[str, Any]:
    """The texts of the root's children by name; of several with one name the first. Raises Rejected (malformed)."""
    try:
        root = fromstring(body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise payload.malformed(f"not valid XML: {type(error).__name__}") from None
    found: dict[str, Any] = {}
    for child in root:
        found.setdefault(child.tag, child.text or "")
    return found


def number(data: Mapping[str, Any], name: str, *, most: int) -> int:
    """A whole number written in digits. Raises Rejected (malformed)."""
    digits = payload.text(data, name).strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 20 and int(digits) <= most):
        raise payload.malformed(f"{name} must be a whole number up to {most}")
    return int(digits)


def encode(fields: Mapping[str, str | int]) -> bytes:
    """`<xml>` with one element per field; texts as CDATA, without what XML cannot hold."""
    return f"<xml>{''.join(_element(name, value) for name, value in fields.items())}</xml>".encode()


def _element(name: str, value: str | int) -> str:
    if isinstance(value, int):
        return f"<{name}>{value}</{name}>"
    # A CDATA section cannot hold its own end: it is cut in two there.
    text = _FORBIDDEN.sub("", value).replace("]]>", "]]]]><![CDATA[>")
    return f"<{name}><![CDATA[{text}]]></{name}>"
