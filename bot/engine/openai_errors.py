"""What a server's refusal means: try later, too long, or never; and which config key mends it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, cast

from bot.errors import ContextTooLong, EngineError, EngineUnavailable, RequestRejected

#: bytes of a server's own words in our errors: enough to understand, too little for an echoed picture
_WORDS = 300

# OpenAI and vLLM: "maximum context length"; SGLang: "longer than the model's context length"; llama.cpp: "exceeds
# the available context size"; LMDeploy: "session_len"; DashScope: "Range of input length"; Zhipu: code 1261.
_TOO_LONG = re.compile(
    r"context[ _-]?(length|size|window)|maximum model length|max_model_len|session_len|range of input length"
    r"|(prompt|input|messages?|tokens?)\b[^.]{0,60}\b(too long|too large|too many tokens|exceeds?|longer than)"
    r"|too many (input |prompt )?tokens|超长|上下文|(输入|长度).{0,12}超(过|出)|[\"']?code[\"']?: ?[\"']?1261",
    re.IGNORECASE,
)
_TOO_LONG_STATUS = frozenset({400, 413, 422, 500})
_TRY_LATER = frozenset({408, 409, 423, 425, 429})
# A 429 that waiting does not mend: OpenAI's and Zhipu's "no money left".
_NO_CREDIT = frozenset({"insufficient_quota", "1113"})
_MEND = {
    401: "set api_key",
    402: "add credit to the account",
    403: "check api_key and what it may use",
    404: "check model and base_url",
    405: "check base_url",
    413: "lower max_picture_side",
}


class FieldsRefused(RequestRejected):
    """400 or 422: among other things, what servers answer to a field they do not know."""


def status_of(body: object) -> int:
    """The HTTP status that an error object inside a 200 names as its code; 0 when it names none."""
    code = cast("Mapping[str, Any]", body).get("code") if isinstance(body, Mapping) else None
    return int(str(code)) if str(code).isdecimal() and 400 <= int(str(code)) < 600 else 0


def server_words(body: object) -> tuple[str, str]:
    """(message, code) of an error body in any of the usual shapes, on one line."""
    while isinstance(body, Mapping):
        fields = cast("Mapping[str, Any]", body)
        inner = fields.get("error") or fields.get("message") or fields.get("detail") or fields.get("msg")
        if isinstance(inner, Mapping):
            body = cast("object", inner)
            continue
        return _line(inner if inner else fields), str(fields.get("code") or fields.get("type") or "")
    return _line(body), ""


def _line(words: object) -> str:
    line = " ".join(str(words or "").split())
    return line if len(line) <= _WORDS else line[:_WORDS] + "…"


def error_of(who: str, status: int, body: object, *, retry_after: float | None = None) -> EngineError:
    """The error for an answer of `status`; 0 where the server gave none (an error inside a stream)."""
    words, code = server_words(body)
    said = f"{who} answered {status or 'an error'}: {words or 'no reason given'}"
    if (status in _TOO_LONG_STATUS or not status) and _TOO_LONG.search(f"{words} {code} code: {code}"):
        return ContextTooLong(said)
    if code in _NO_CREDIT:
        return RequestRejected(f"{said}; add credit to the account")
    if not status or status in _TRY_LATER or status >= 500:
        return EngineUnavailable(said, retry_after=retry_after)
    kind = FieldsRefused if status in (400, 422) else RequestRejected
    return kind(f"{said}; {_MEND.get(status, _mend_other(status))}")


def _mend_other(status: int) -> str:
    if 300 <= status < 400:
        return "set base_url to where it redirects"
    return "check model, extra_body and what the server accepts"


def retry_after_of(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds from now that a Retry-After header asks for, in either form (RFC 9110, 10.2.3)."""
    value = headers.get("retry-after", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now)
