"""Errors as HTTP answers: `{"error": {"reason", "message"}}`, the reason for programs, the message for people."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from bot.errors import (
    BadPicture,
    ContextTooLong,
    EngineError,
    EngineUnavailable,
    FetchFailed,
    MediaError,
    Rejected,
    RequestError,
    RequestRejected,
    StoreError,
)

log = logging.getLogger(__name__)

_RETRY_AFTER: Final = 5
_TOO_BIG: Final = {"too_many_bytes", "too_many_pixels", "side_too_long"}

#: Refusals whose own words are English, because adapters share them.
_BODY: Final = {
    "too_large": "上传的内容太大了。请压缩图片，或者分几次发。",
    "too_slow": "上传太慢，没有在限定时间内传完。请重试。",
    "malformed": "请求的内容读不出来，可能没有传完整。",
}
_HTTP: Final = {
    401: ("unauthorized", "请先登录，或者带上访问令牌。"),
    403: ("forbidden", "这个请求不被允许。"),
    404: ("not_found", "没有这个地址。"),
    405: ("method_not_allowed", "这个地址不支持这种请求方法。"),
    413: ("too_large", _BODY["too_large"]),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One error, ready to be sent. retry_after: whole seconds, 0 for none."""

    status: int
    reason: str
    message: str
    retry_after: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The body."""
        return {"error": {"reason": self.reason, "message": self.message}}

    def response(self) -> web.Response:
        """The HTTP answer."""
        headers = {"Cache-Control": "no-store"}
        if self.retry_after:
            headers["Retry-After"] = str(self.retry_after)
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return json_response(self.to_dict(), self.status, headers)


def json_bytes(data: Mapping[str, Any]) -> bytes:
    """One line of UTF-8, Chinese readable in a terminal; a lone surrogate in a model's words becomes `?`."""
    return json.dumps(data, ensure_ascii=False).encode("utf-8", "replace")


def json_response(data: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """The same as an HTTP answer."""
    return web.Response(body=json_bytes(data), status=status, headers=headers, content_type="application/json")


def problem_of(error: Exception) -> Problem:
    """What to answer. An error nobody foresaw is logged, and answered without a word about it."""
    match error:
        case Rejected():
            return Problem(error.status, error.reason, _BODY.get(error.reason, error.message))
        case RequestError():
            return Problem(error.status, error.reason, error.message)
        case MediaError():
            return Problem(_media_status(error), error.code, str(error))
        case EngineError():
            return _engine_problem(error)
        case web.HTTPException():
            return Problem(error.status, *_HTTP.get(error.status, ("http_error", "请求不正确。")))
        case StoreError() | OSError():
            log.error("the disk or the store refused: %s", error)
            return Problem(503, "storage_unavailable", "服务器暂时存不下图片，请稍后再试。", _RETRY_AFTER)
        case _:
            log.error("an unforeseen error", exc_info=error)
            return Problem(500, "internal", "服务器出错了，请稍后再试。")


def _media_status(error: MediaError) -> int:
    if error.code == "forbidden_path":
        return 403
    if error.code == "decoder_unavailable":
        return 503
    if isinstance(error, BadPicture):
        return 413 if error.code in _TOO_BIG else 422
    if isinstance(error, FetchFailed):
        return _fetch_status(error)
    return 422


def _fetch_status(error: FetchFailed) -> int:
    """The address was wrong (422), the other server failed (502) or was slow (504)."""
    if error.code == "timeout":
        return 504
    return 502 if error.retry or error.code == "tls" else 422


def _engine_problem(error: EngineError) -> Problem:
    log.warning("the engine did not answer: %s: %s", type(error).__name__, error)
    match error:
        case EngineUnavailable():
            seconds = max(1, math.ceil(error.retry_after or _RETRY_AFTER))
            return Problem(503, "engine_unavailable", "模型现在没有响应，请稍后再试。", seconds)
        case ContextTooLong():
            return Problem(413, "context_too_long", "内容太长，模型放不下。请减少图片，或者开始新对话。")
        case RequestRejected():
            return Problem(502, "engine_rejected", "模型拒绝了这个请求。请换个问法，或者请管理员检查模型的设置。")
        case _:
            return Problem(502, "engine_failed", "模型没能回答，请稍后再试。")
