"""`POST /infer`: pictures and a question in, an answer out, whole or as it is written.

The server cancels a handler whose client has gone (`handler_cancellation`), and with it the generation.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from bot.clock import Clock
from bot.config import ServerConfig
from bot.dispatcher import Dispatcher
from bot.errors import MediaError, RequestError
from bot.fetch import Fetcher
from bot.media import MediaStore
from bot.message import Image
from bot.question import Question, answer_question, keep_picture, numbered
from bot.web.body import read_body
from bot.web.event_stream import EventStream, relayed
from bot.web.infer_request import Asked, from_form, from_json
from bot.web.problems import json_response, problem_of
from bot.web.sources import SourceReader
from bot.web.upload import read_upload

_HEARTBEAT: Final = 10.0


class Api:
    """The REST face of the dispatcher. heartbeat: seconds between signs of life in a stream."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        media: MediaStore,
        fetcher: Fetcher,
        config: ServerConfig,
        clock: Clock,
        *,
        heartbeat: float = _HEARTBEAT,
    ) -> None:
        self._dispatcher = dispatcher
        self._media = media
        self._sources = SourceReader(fetcher, config.image_roots, config.upload_bytes)
        self._config = config
        self._clock = clock
        self._heartbeat = heartbeat

    def routes(self) -> list[web.RouteDef]:
        """To be mounted behind `Auth.middleware`."""
        return [web.post("/infer", self.infer)]

    async def infer(self, http: web.Request) -> web.StreamResponse:
        """Answer one question. Errors before the first event have a status of their own."""
        try:
            asked = await self._read(http)
            question = Question(asked.prompt, await self._images(asked), asked.model, asked.history)
            if not asked.stream:
                result = await answer_question(self._dispatcher, question, clock=self._clock)
                return json_response(result.to_dict())
        except Exception as error:
            return problem_of(error).response()
        return await self._stream(http, question)

    async def _read(self, http: web.Request) -> Asked:
        limit, timeout = self._config.upload_bytes, self._config.body_timeout
        if http.content_type == "multipart/form-data":
            upload = await read_upload(http, limit, timeout)
            return from_form(upload.fields, upload.files)
        if not _is_json(http):
            raise RequestError("unsupported_media_type", "请用 application/json 或 multipart/form-data 发送。", 415)
        return from_json(await read_body(http, limit, timeout))

    async def _images(self, asked: Asked) -> tuple[Image, ...]:
        """One after the other, so that only one picture's bytes are held at a time."""
        images: list[Image] = []
        for index, source in enumerate(asked.sources, 1):
            try:
                data = await self._sources.read(source)
            except MediaError as error:
                raise numbered(error, index, len(asked.sources)) from error
            images.append(await keep_picture(self._media, data, index, len(asked.sources)))
        return tuple(images)

    async def _stream(self, http: web.Request, question: Question) -> web.StreamResponse:
        stream = EventStream()
        try:
            await stream.open(http)
            await self._tell(stream, question)
            await stream.response.write_eof()
        except ConnectionError:
            pass  # nobody is left to be told
        return stream.response

    async def _tell(self, stream: EventStream, question: Question) -> None:
        try:
            async with relayed(stream, self._heartbeat) as draft:
                result = await answer_question(self._dispatcher, question, draft=draft, clock=self._clock)
        except ConnectionError:
            raise
        except Exception as error:
            await stream.send("error", problem_of(error).to_dict())
        else:
            await stream.send("done", result.to_dict())


def _is_json(http: web.Request) -> bool:
    """A charset may be named, but JSON between systems is UTF-8 (RFC 8259, section 8.1)."""
    return http.content_type == "application/json" and (http.charset or "utf-8").lower() in {"utf-8", "utf8"}
