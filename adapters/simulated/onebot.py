"""A QQ account in NapCat as OneBot v11: events by POST or over a reverse WebSocket, actions over HTTP or the socket."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, cast

import aiohttp
from aiohttp import web

from adapters.simulated.platform import Sent, SimulatedPlatform

#: What QQ clients take in one message, in bytes of UTF-8.
_TEXT_BYTES = 15_000
_FRAME_BYTES = 50 << 20

Json = dict[str, Any]
Way = Literal["http", "ws"]


def signature(secret: str, body: bytes) -> str:
    """X-Signature of a POST."""
    return "sha1=" + hmac.new(secret.encode(), body, hashlib.sha1).hexdigest()


def text_segment(text: str) -> Json:
    return {"type": "text", "data": {"text": text}}


def at_segment(number: int | str) -> Json:
    return {"type": "at", "data": {"qq": str(number)}}


class Failure(Exception):
    """An action that is answered with `failed`."""

    def __init__(self, retcode: int, words: str) -> None:
        super().__init__(words)
        self.retcode = retcode


class Simulated(SimulatedPlatform):
    """ways: http (POST and HTTP API) or ws (reverse WebSocket for both). Users and groups are named as one likes.

    muted and left: groups in which the account may not write, or is no more. local: pictures have no address, only
    their bytes. nodes: bundles come as the protocol has them; else as NapCat does, as whole messages.
    """

    platform: ClassVar[str] = "onebot"

    def __init__(self, ways: Way = "http", *, self_id: int = 10001000) -> None:
        super().__init__()
        self.ways = ways
        self.self_id = self_id
        self.secret = "napcat-post-token"
        self.token = "napcat-socket-token"
        self.muted: set[str] = set()
        self.left: set[str] = set()
        self.local = False
        self.nodes = False
        self.messages: dict[int, Json] = {}
        self.forwards: dict[str, list[Json]] = {}
        self._pictures: dict[str, bytes] = {}
        self._rkey = secrets.token_hex(8)
        self._ids = -2_147_483_640
        self._numbers: dict[str, int] = {}
        self._session: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._reading: asyncio.Task[None] | None = None
        self._actions: dict[str, Callable[[Json], Any]] = {
            "send_msg": lambda params: (self._send_group if "group_id" in params else self._send_private)(params),
            "send_private_msg": self._send_private,
            "send_group_msg": self._send_group,
            "upload_private_file": self._upload,
            "upload_group_file": self._upload,
            "get_msg": self._get_msg,
            "get_forward_msg": self._get_forward,
            "get_image": self._get_image,
            "get_login_info": lambda params: {"user_id": self.self_id, "nickname": "看图"},
        }

    def section(self) -> dict[str, Any]:
        return {
            "self_id": self.self_id,
            "secret": self.secret,
            "access_token": self.token,
            "api_base": self.base if self.ways == "http" else "",
            "picture_hosts": ["127.0.0.1"],
        }

    def refuse(self, path: str, why: str) -> None:
        super().refuse(path, why)
        self.changed()

    async def stop(self) -> None:
        await self.hang_up()
        await super().stop()

    # ------------------------------------------------------------------ users

    async def say(
        self,
        text: str = "",
        pictures: Sequence[bytes] = (),
        *,
        user: str = "u1",
        group: str = "",
        reply_to: str = "",
        mention: bool = True,
    ) -> str:
        """reply_to: id of the message that this one answers. mention: in a group, with an @ of the bot."""
        segments: list[Json] = [{"type": "reply", "data": {"id": reply_to}}] if reply_to else []
        if group and mention:
            segments += [at_segment(self.self_id), text_segment(" ")]
        segments += [text_segment(text)] if text else []
        return await self.write(segments + [self.picture(one) for one in pictures], user=user, group=group)

    async def forward(
        self, messages: Sequence[tuple[str, str, Sequence[bytes]]], *, user: str = "u1", group: str = ""
    ) -> str:
        """A user forwards a bundle of messages: sender's name, text, pictures of each."""
        segments = [{"type": "forward", "data": {"id": self.bundle(messages)}}]
        return await self.write(segments, user=user, group=group)

    async def write(self, segments: list[Json], *, user: str = "u1", group: str = "") -> str:
        """A user sends these segments."""
        event = self.event(segments, user=user, group=group)
        await self.send_event(event)
        return str(event["message_id"])

    async def send_event(self, event: Json) -> None:
        """An event goes to the bot, the way that is configured."""
        body = json.dumps(event, ensure_ascii=False).encode()
        if self.ways == "ws":
            await (await self.connected()).send_str(body.decode())
            return
        status, answer = await self.deliver(body, self.headers(body))
        assert status == 204, (status, answer)

    def event(self, segments: list[Json], *, user: str = "u1", group: str = "") -> Json:
        """A message as NapCat reports it; known to get_msg."""
        sender = self.number(user)
        event: Json = {
            **self._message(segments, sender, user, group=bool(group)),
            "self_id": self.self_id,
            "post_type": "message",
            "sub_type": "normal" if group else "friend",
            "raw_message": "",
            "font": 14,
        }
        return {**event, "group_id": self.number(group)} if group else event

    def _message(self, segments: list[Json], sender: int, name: str, *, group: bool = False) -> Json:
        self._ids += 1
        message = {
            "time": int(time.time()),
            "message_type": "group" if group else "private",
            "message_id": self._ids,
            "real_id": self._ids,
            "user_id": sender,
            "message": segments,
            "sender": {"user_id": sender, "nickname": name, "card": ""},
        }
        self.messages[self._ids] = message
        return message

    def headers(self, body: bytes) -> dict[str, str]:
        """The headers of a POST."""
        return {
            "Content-Type": "application/json",
            "x-self-id": str(self.self_id),
            "x-signature": signature(self.secret, body),
        }

    def picture(self, content: bytes) -> Json:
        """A picture's segment; its address works until `expire`."""
        file = hashlib.md5(content, usedforsecurity=False).hexdigest().upper() + ".png"
        self._pictures[file] = content
        data = {"file": file, "file_size": str(len(content))}
        return {"type": "image", "data": data if self.local else {**data, "url": self._address(file)}}

    def expire(self) -> None:
        """The addresses of all pictures end; get_image gives new ones."""
        self._rkey = secrets.token_hex(8)

    def bundle(self, messages: Sequence[tuple[str, str, Sequence[bytes]]]) -> str:
        """A forwarded bundle; its id."""
        made = [
            self._message([text_segment(text), *map(self.picture, pictures)], self.number(name), name)
            for name, text, pictures in messages
        ]
        forward_id = str(7_612_345_678_901_234_567 + len(self.forwards))
        self.forwards[forward_id] = made
        return forward_id

    def number(self, name: str) -> int:
        """The QQ number of a user or group."""
        if name.isdecimal():
            return int(name)
        return self._numbers.setdefault(name, 20_000_001 + len(self._numbers))

    def _named(self, number: int) -> str:
        return next((name for name, known in self._numbers.items() if known == number), str(number))

    def _address(self, file: str) -> str:
        return f"{self.base}/pictures/{file}?rkey={self._rkey}"

    # ----------------------------------------------------------------- socket

    async def connected(self, role: str = "Universal") -> aiohttp.ClientWebSocketResponse:
        """The reverse WebSocket, opened when it is not."""
        if self._socket is None or self._socket.closed:
            self._session = self._session or aiohttp.ClientSession()
            headers = {
                "X-Self-ID": str(self.self_id),
                "X-Client-Role": role,
                "Authorization": f"Bearer {self.token}",
                "User-Agent": "OneBot/11",
            }
            self._socket = await self._session.ws_connect(self.webhook, headers=headers, max_msg_size=_FRAME_BYTES)
            self._reading = asyncio.create_task(self._read(self._socket))
            await self._socket.send_str(json.dumps(self._lifecycle()))
        return self._socket

    async def hang_up(self) -> None:
        """Close the reverse WebSocket."""
        if self._socket is not None:
            await self._socket.close()
        if self._reading is not None:
            await self._reading
        if self._session is not None:
            await self._session.close()
        self._socket = self._reading = self._session = None

    def _lifecycle(self) -> Json:
        kind = {"post_type": "meta_event", "meta_event_type": "lifecycle", "sub_type": "connect"}
        return {"time": int(time.time()), "self_id": self.self_id, **kind}

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Actions one after another, each answered with its echo."""
        async for frame in socket:
            asked: Json = json.loads(frame.data)
            answer = self._answer_frame(asked)
            if answer is not None and not socket.closed:
                await socket.send_str(json.dumps({**answer, "echo": asked.get("echo")}))

    def _answer_frame(self, asked: Json) -> Json | None:
        """None: no answer, as if it were lost."""
        action = str(asked.get("action"))
        self.calls[f"/{action}"] += 1
        for fault in self.faults:
            if fault.path in f"/{action}":
                self.faults.remove(fault)
                return None if fault.drop else dict(fault.data)
        if action not in self._actions:
            self.refuse(f"/{action}", "unknown action")
            return _failed(1404, "不支持的 API")
        return self._answer(action, asked.get("params"))

    # ------------------------------------------------------------------- HTTP

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/pictures/{file}", self._download),
            web.get("/{action}", self._http),
            web.post("/{action}", self._http),
        ]

    def call_name(self, request: web.Request) -> str:
        return "/pictures" if request.path.startswith("/pictures/") else request.path

    async def _download(self, request: web.Request) -> web.Response:
        content = self._pictures.get(request.match_info["file"])
        if request.query.get("rkey") != self._rkey or content is None:
            return web.json_response({"retcode": -5503007, "retmsg": "download url has expired"}, status=400)
        return web.Response(body=content, content_type="image/png")

    async def _http(self, request: web.Request) -> web.Response:
        given = request.headers.get("Authorization")
        if given != f"Bearer {self.token}":
            self.refuse(request.path, "token")
            return web.json_response({"message": "token verify failed!"}, status=403 if given else 401)
        action = request.match_info["action"]
        if action not in self._actions:
            self.refuse(request.path, "unknown action")
            return web.json_response(_failed(1404, "不支持的 API"), status=404)
        if request.method == "GET":
            return web.json_response(self._answer(action, dict(request.query)))
        if request.content_type != "application/json":
            self.refuse(request.path, "content type")
            return web.Response(status=406)
        return web.json_response(self._answer(action, await request.json()))

    # ---------------------------------------------------------------- actions

    def _answer(self, action: str, params: Any) -> Json:
        self.changed()
        try:
            data = self._actions[action](cast("Json", params))
        except Failure as error:
            return _failed(error.retcode, str(error))
        except (KeyError, TypeError, ValueError) as error:
            self.refuse(f"/{action}", f"parameters: {error!r}")
            return _failed(1400, "请求参数错误或业务逻辑执行失败")
        return {"status": "ok", "retcode": 0, "data": data, "message": "", "wording": ""}

    def _send_private(self, params: Json) -> Json:
        return self._sent(int(params["user_id"]), params["message"])

    def _send_group(self, params: Json) -> Json:
        return self._sent(self._writable(params), params["message"], group=True)

    def _writable(self, params: Json) -> int:
        group = int(params["group_id"])
        if self._named(group) in self.left:
            raise Failure(1200, "发送失败：机器人已不在群内（110）")
        if self._named(group) in self.muted:
            raise Failure(1200, "发送失败：群已禁言（120）")
        return group

    def _sent(self, chat: int, segments: list[Json], *, group: bool = False) -> Json:
        text = "".join(self._shown(segment) for segment in segments)
        if not text:
            self.refuse("/send_msg", "empty")
            raise Failure(1200, "消息体无法解析，请检查是否发送了不支持的消息类型")
        if len(text.encode()) > _TEXT_BYTES:
            self.refuse("/send_msg", "too long")
            raise Failure(1200, "消息过长")
        replies = [str(one["data"]["id"]) for one in segments if one["type"] == "reply"]
        data = {"reply_to": replies[0] if replies else "", "segments": segments}
        message = self._message(segments, self.self_id, "看图", group=group)
        self.record(Sent(self._named(chat), text, message_id=str(message["message_id"]), data=data))
        return {"message_id": message["message_id"]}

    def _shown(self, segment: Json) -> str:
        match segment["type"]:
            case "text":
                return str(segment["data"]["text"])
            case "at":
                return "@" + self._named(int(segment["data"]["qq"]))
            case "reply":
                if int(segment["data"]["id"]) not in self.messages:
                    self.refuse("/send_msg", "answers an unknown message")
                return ""
            case kind:
                raise ValueError(kind)

    def _upload(self, params: Json) -> Json:
        chat = self._writable(params) if "group_id" in params else int(params["user_id"])
        file = str(params["file"])
        if not file.startswith("base64://"):
            raise ValueError("file")
        content = base64.b64decode(file.removeprefix("base64://"), validate=True)
        self.record(Sent(self._named(chat), str(params["name"]), kind="file", data={"content": content}))
        return {"file_id": secrets.token_hex(8)}

    def _get_msg(self, params: Json) -> Json:
        message = self.messages.get(int(params["message_id"]))
        if message is None:
            raise Failure(1200, "消息不存在")
        return message

    def _get_forward(self, params: Json) -> Json:
        messages = self.forwards.get(str(params.get("id") or params["message_id"]))
        if messages is None:
            raise Failure(1200, "找不到相关的聊天记录")
        return {"message": [_node(one) for one in messages]} if self.nodes else {"messages": messages}

    def _get_image(self, params: Mapping[str, Any]) -> Json:
        file = str(params["file"])
        if file not in self._pictures:
            raise Failure(1200, "file not found")
        content = self._pictures[file]
        found = {"file": f"/app/.config/QQ/nt_data/Pic/{file}", "file_size": str(len(content)), "file_name": file}
        if self.local:
            return {**found, "base64": base64.b64encode(content).decode()}
        return {**found, "url": self._address(file)}


def _failed(retcode: int, words: str) -> Json:
    return {"status": "failed", "retcode": retcode, "data": None, "message": words, "wording": words}


def _node(message: Json) -> Json:
    sender = message["sender"]
    data = {"user_id": str(sender["user_id"]), "nickname": sender["nickname"], "content": message["message"]}
    return {"type": "node", "data": data}
