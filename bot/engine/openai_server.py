"""One OpenAI-compatible server: bodies in, bodies out, every failure as one of our own errors.

Measured with 1,000 requests waiting at once (benchmarks/engine_openai_waiting.py; openai 3.54), each:

    chat.completions.create, httpx transport     10.8 ms CPU, 45 KB
    chat.completions.create, aiohttp transport    4.2 ms CPU, 43 KB
    this module, not streaming                    1.1 ms CPU, 38 KB
    this module, streaming                        1.5 ms CPU, 40 KB

so the official client is used over aiohttp and through its `post`, and bodies are encoded by msgspec: what is
left out is the client's typed models and the headers that describe this machine. A body is kept until its answer,
for a retry: a waiting picture costs 1.4 times its bytes. `import openai` takes 0.6 s, so it happens at the first
request, in a thread.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import urlsplit

import aiohttp
import msgspec

from bot.clock import Clock
from bot.config import OpenAIModel
from bot.engine.openai_errors import FieldsRefused, error_of, retry_after_of, status_of
from bot.errors import ConfigError, EngineError, EngineUnavailable

if TYPE_CHECKING:
    from openai import AsyncOpenAI, AsyncStream

logger = logging.getLogger(__name__)
T = TypeVar("T")

_CHAT = "/chat/completions"
_CONNECTIONS = 1_000_000  # None would mean aiohttp's default of 100
_SLICE = 256 << 10  # bytes; a longer body is written piece by piece, so that the loop is not held up
#: what the client tells about this machine; nobody's business, and 3 KB of every waiting request
_PLATFORM_HEADERS = tuple(
    f"X-Stainless-{name}" for name in ("Lang", "Package-Version", "OS", "Arch", "Runtime", "Runtime-Version", "Async")
)
#: fields that not every server takes; left out where they were refused
_OPTIONAL = frozenset({"stream_options", "cache_salt", "top_k", "repetition_penalty"})


class Server:
    """Connections to one server. Raises ConfigError for a base_url or api_key that no request can be made with."""

    def __init__(self, name: str, config: OpenAIModel, clock: Clock) -> None:
        self.place = _place(config.base_url)
        self._who = f"{name} at {self.place}"
        self._config = config
        self._clock = clock
        self._key = _header_safe(config.api_key.reveal())
        self._connecting = asyncio.Lock()
        self._client: AsyncOpenAI | None = None
        self._closed = False
        self._refused: frozenset[str] = frozenset()

    def encode(self, fields: Mapping[str, Any]) -> bytes:
        """A request body; extra_body wins, fields that the server has refused before are left out."""
        kept = {name: value for name, value in fields.items() if name not in self._refused}
        return msgspec.json.encode(kept | self._config.extra_body)

    async def ask(self, body: bytes) -> bytes:
        """The answer to one call that does not stream. Raises EngineError."""

        async def send(client: AsyncOpenAI, body: bytes) -> bytes:
            return await client.post(_CHAT, cast_to=bytes, content=_content(body), options=_options(body))

        return await self._adapted(body, send)

    async def open(self, body: bytes) -> AsyncStream[object]:
        """A stream of decoded JSON, to be read inside `failures` and closed. Raises EngineError."""

        async def send(client: AsyncOpenAI, body: bytes) -> AsyncStream[object]:
            from openai import AsyncStream

            stream = AsyncStream[object]
            return await client.post(
                _CHAT, cast_to=object, content=_content(body), options=_options(body), stream=True, stream_cls=stream
            )

        return await self._adapted(body, send)

    async def models(self) -> list[str]:
        """Names of the models the server says it has; empty where it does not say. Raises EngineError."""
        client = await self.connect()
        with self.failures():
            data = await client.get("/models", cast_to=bytes)
            listed = msgspec.json.decode(data, type=_Models)
        return [model.id for model in listed.data]

    async def close(self) -> None:
        """Close all connections; requests in flight end with EngineUnavailable."""
        self._closed = True
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    @contextmanager
    def failures(self) -> Generator[None]:
        """Turn what the client raises into EngineError.

        The client's own exceptions are not chained: they hold the request with its key and pictures.
        """
        import openai

        try:
            yield
        except openai.APIStatusError as error:
            retry_after = retry_after_of(error.response.headers, self._clock.now())
            raise self._error(error.status_code, error.body, retry_after) from None
        except openai.APIConnectionError as error:
            raise EngineUnavailable(f"{self._who}: {_reason(error.__cause__ or error)}") from None
        except openai.APIError as error:
            raise self._error(status_of(error.body), error.body or error.message) from None
        except (aiohttp.ClientError, OSError) as error:
            raise EngineUnavailable(f"{self._who}: {_reason(error)}") from None
        except (ValueError, msgspec.MsgspecError):
            raise EngineUnavailable(f"{self._who} sent something that is not a chat completion") from None

    def unavailable(self, what: str, *, retry_after: float | None = None) -> EngineUnavailable:
        """An error that names this server."""
        return EngineUnavailable(f"{self._who}: {what}", retry_after=retry_after)

    def refused(self, body: object) -> EngineError:
        """The error for an error object where an answer should be."""
        return self._error(status_of(body), body)

    def _error(self, status: int, body: object, retry_after: float | None = None) -> EngineError:
        error = error_of(self._who, status, body, retry_after=retry_after)
        if self._key:  # some servers repeat the key they refuse
            error.args = (str(error).replace(self._key, "***"),)
        return error

    async def _adapted(self, body: bytes, send: Callable[[AsyncOpenAI, bytes], Awaitable[T]]) -> T:
        """Send; where the server refuses an optional field, send without it and remember."""
        client = await self.connect()
        left_out: set[str] = set()
        while True:
            try:
                with self.failures():
                    answer = await send(client, body)
                break
            except FieldsRefused as error:
                body, refused = self._slimmed(body, str(error))
                left_out |= refused
                if not refused:
                    raise
        if left_out:
            logger.info("%s does not take %s: left out from now on", self._who, ", ".join(sorted(left_out)))
            self._refused |= left_out
        return answer

    def _slimmed(self, body: bytes, words: str) -> tuple[bytes, set[str]]:
        """The body without the optional fields that `words` names, or without all where it names none."""
        fields = cast("dict[str, Any]", msgspec.json.decode(body))
        optional = _OPTIONAL & fields.keys() - self._config.extra_body.keys()
        left_out = {name for name in optional if name in words} or set(optional)
        return msgspec.json.encode({name: fields[name] for name in fields if name not in left_out}), left_out

    async def connect(self) -> AsyncOpenAI:
        """The client, made when first needed. Raises EngineUnavailable once closed."""
        if self._closed:  # a retry must not open what nobody would close
            raise self.unavailable("closed")
        if self._client is None:
            async with self._connecting:
                self._client = self._client or await self._connect()
        return self._client

    async def _connect(self) -> AsyncOpenAI:
        openai = await asyncio.to_thread(importlib.import_module, "openai")
        httpx2 = await asyncio.to_thread(importlib.import_module, "httpx2")
        timeout = openai.Timeout(self._config.timeout, connect=self._config.connect_timeout, pool=None)
        limits = httpx2.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS)
        omitted = dict.fromkeys(_PLATFORM_HEADERS, openai.Omit())
        # Redirects are not followed: pictures go to the configured server only.
        http = openai.DefaultAioHttpClient(timeout=timeout, limits=limits, follow_redirects=False)
        return openai.AsyncOpenAI(
            base_url=self._config.base_url,
            api_key=self._key or "no-key",  # the client demands one
            timeout=timeout,
            max_retries=0,
            default_headers=omitted,
            http_client=http,
        )


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model] = []


@cache
def _headers() -> dict[str, Any]:
    from openai import Omit

    omitted = ("X-Stainless-Retry-Count", "X-Stainless-Read-Timeout")
    return {"Content-Type": "application/json", **dict.fromkeys(omitted, Omit())}


def _options(body: bytes) -> Any:
    # Without a length, slices would go out as "chunked", which not every server reads.
    length = {"Content-Length": str(len(body))} if len(body) > _SLICE else {}
    return {"headers": _headers() | length if length else _headers()}


def _content(body: bytes) -> Any:
    return body if len(body) <= _SLICE else _slices(body)


async def _slices(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), _SLICE):
        yield body[start : start + _SLICE]


def _place(base_url: str) -> str:
    """Host, port and path, without credentials that a URL may carry."""
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError("base_url must look like http://host:port/v1 or https://host/path")
    return parts.netloc.rpartition("@")[2] + parts.path.rstrip("/")


def _header_safe(key: str) -> str:
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError("api_key holds spaces or characters that an HTTP header cannot carry")
    return key


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
