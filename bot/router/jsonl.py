"""Messages as JSON lines in, routes as JSON lines out: what `kantu route --jsonl` prints."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bot.router.request import RouteRequest, Turn
from bot.router.router import ModelRouter


def request_from_dict(data: Mapping[str, Any]) -> RouteRequest:
    """Fields text, images, chat, history and addressed; all but the text may be missing. Raises KeyError, TypeError."""
    history = tuple(Turn(each["role"], each["text"], each.get("images", 0)) for each in data.get("history", ()))
    return RouteRequest(data["text"], data.get("images", 0), data.get("chat", "direct"), history, data.get("addressed"))


def route_lines(lines: Iterable[str], router: ModelRouter | None = None) -> Iterator[str]:
    """One line per message: id, label, confidence, reason, model, offer_report. Blank lines are passed over.

    Raises ValueError, naming the line, where a line is not such an object.
    """
    chooser = router or ModelRouter()
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _route_line(line, number, chooser)


def _route_line(line: str, number: int, router: ModelRouter) -> str:
    try:
        data = json.loads(line)
        route = router.choose(request_from_dict(data))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"line {number} is not a message to route: {error}") from error
    return json.dumps(
        {
            "id": data.get("id", number),
            "label": route.label,
            "confidence": round(route.confidence, 4),
            "reason": route.reason,
            "model": route.model,
            "offer_report": route.offer_report,
        },
        ensure_ascii=False,
    )
