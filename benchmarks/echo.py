"""A model that answers with what it was given: which pictures, under which numbers, beside which texts."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
from asyncio import sleep
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import barcode
from aiohttp import web
from fakes import Site

#: a picture that is only named, with its description, as the service writes it
_NAMED = re.compile(r"\[图(\d+)(?:：[^\]]*)?\]")
#: a picture's number in front of its pixels
_LABEL = re.compile(r"图(\d+)：$")
_CALL = re.compile(r'\{"call":(\d+),')


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture of a request. number: its 图N, 0 where it has no label; barcode: what it shows, None without pixels."""

    number: int
    barcode: int | None


@dataclass(frozen=True, slots=True)
class Said:
    """One message of a request: its text without pictures' labels, and its pictures in order."""

    role: str
    text: str
    shown: tuple[Shown, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """A request as the model saw it. raw: all its text, labels and instructions included."""

    said: tuple[Said, ...]
    raw: str

    @property
    def pixels(self) -> tuple[Shown, ...]:
        """Pictures that the model could see, in order."""
        return tuple(one for said in self.said for one in said.shown if one.barcode is not None)


def call_number(reply: str) -> int | None:
    """Which call a reply is the answer of; None where no model was asked."""
    found = _CALL.search(reply)
    return int(found[1]) if found else None


class Echo(Site):
    """OpenAI's chat completions. delay: seconds a call takes, ± a half, drawn from `seed`."""

    def __init__(self, delay: float = 0.05, seed: int = 0) -> None:
        super().__init__([web.post("/v1/chat/completions", self._chat), web.get("/v1/models", self._models)])
        self.calls: list[Call] = []
        self._delay = delay
        self._random = random.Random(seed)

    @property
    def url(self) -> str:
        """The base_url."""
        return f"http://127.0.0.1:{self.port}/v1"

    async def _chat(self, request: web.Request) -> web.Response:
        call = understand((await request.json())["messages"])
        self.calls.append(call)
        text = _answer(len(self.calls) - 1, call)
        await sleep(self._delay * self._random.uniform(0.5, 1.5))
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 20, "completion_tokens": 12, "total_tokens": 32}
        return web.json_response({"id": "echo", "object": "chat.completion", "choices": [choice], "usage": usage})

    async def _models(self, _request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "echo", "object": "model"}]})


def understand(messages: list[dict[str, Any]]) -> Call:
    """Read the `messages` of a request."""
    raw: list[str] = []
    said: list[Said] = []
    for message in messages:
        pieces = list(_pieces(message["content"]))
        raw += [piece for piece in pieces if isinstance(piece, str)]
        said.append(_said(message["role"], pieces))
    return Call(tuple(said), "\n".join(raw))


def _pieces(content: str | list[dict[str, Any]]) -> Iterator[str | bytes]:
    """Texts, and pictures as bytes."""
    if isinstance(content, str):
        yield content
        return
    for item in content:
        if item["type"] == "text":
            yield item["text"]
        else:
            yield base64.b64decode(item["image_url"]["url"].partition(";base64,")[2])


def _said(role: str, pieces: list[str | bytes]) -> Said:
    if role != "user":
        return Said(role, "".join(piece for piece in pieces if isinstance(piece, str)))
    texts: list[str] = []
    shown: list[Shown] = []
    label = 0
    for piece in pieces:
        if isinstance(piece, bytes):
            shown.append(Shown(label, barcode.read(piece)))
            label = 0
            continue
        shown += [Shown(int(number), None) for number in _NAMED.findall(piece)]
        text = _NAMED.sub("", piece)
        found = _LABEL.search(text)
        label = int(found[1]) if found else 0
        texts.append(_LABEL.sub("", text))
    return Said(role, "".join(texts).strip(), tuple(shown))


def _answer(number: int, call: Call) -> str:
    texts = "\n".join(f"{said.role}: {said.text}" for said in call.said)
    found = {
        "call": number,
        "pictures": [_told(one) for one in call.said[-1].shown],
        "earlier": [_told(one) for said in call.said[:-1] for one in said.shown],
        "messages": len(call.said),
        "texts": hashlib.sha256(texts.encode()).hexdigest()[:16],
    }
    return json.dumps(found, ensure_ascii=False, separators=(",", ":"))


def _told(shown: Shown) -> str:
    return f"图{shown.number}" + ("" if shown.barcode is None else f":{shown.barcode:08x}")
