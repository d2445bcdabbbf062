"""The configuration: YAML in, frozen typed sections out.

Unknown keys are refused with the nearest right name; `${NAME}` is taken from the environment and must be set
(`${NAME:-default}` may be absent), `file:PATH` in a secret is read from that file. Nothing here has a side effect.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, cast
from urllib.parse import urlsplit

import msgspec
import msgspec.inspect
import yaml

from bot.digests_config import DigestsConfig
from bot.errors import ConfigError
from bot.section import Count, Port, Positive, Quota, Secret, Section

T = TypeVar("T")


class ServerConfig(Section, frozen=True):
    """Where the service listens.

    token: what API and page demand; without one only loopback addresses are served. image_roots: folders below
    which `/infer` may read `image_path`. stop_timeout: seconds for running jobs on SIGTERM.
    """

    host: str = "127.0.0.1"
    port: Port = 8080
    token: Secret = Secret("")
    image_roots: tuple[str, ...] = ()
    upload_bytes: Count = 20 << 20
    body_timeout: Positive = 15.0
    stop_timeout: Positive = 20.0
    allowed_hosts: tuple[str, ...] = ()


class StoreConfig(Section, frozen=True):
    """url: an SQLAlchemy URL; empty means SQLite in the data folder.

    keep_ids_days: how long ids of finished events are kept for de-duplication. min_free_bytes: below this much
    free disk nothing is acknowledged. max_pending: unfinished events in all; max_pending_per_conversation: in one.
    """

    url: Secret = Secret("")
    keep_ids_days: Positive = 7.0
    min_free_bytes: Annotated[int, msgspec.Meta(ge=0)] = 500 << 20
    max_pending: Count = 200_000
    max_pending_per_conversation: Count = 1_000


class WorkerConfig(Section, frozen=True):
    """concurrency: conversations answered at once. attempts: tries before a job or delivery is dead.

    give_up_after: seconds; tries that found the model being left alone do not count, but not for longer than this.
    retry_base and retry_max: seconds of backoff. lease: seconds a claimed conversation is held without renewal.
    collect_pictures: seconds a picture without text waits for its question; collect_questions: seconds a question
    about a picture that is not there waits for it. resend_unknown: send a doubtful
    delivery again even where the platform cannot tell the copies apart. history_turns: earlier turns sent along.
    """

    concurrency: Count = 2000
    attempts: Count = 6
    give_up_after: Positive = 3600.0
    retry_base: Positive = 2.0
    retry_max: Positive = 300.0
    lease: Positive = 30.0
    collect_pictures: Annotated[float, msgspec.Meta(ge=0)] = 3.0
    collect_questions: Annotated[float, msgspec.Meta(ge=0)] = 1.5
    resend_unknown: bool = False
    history_turns: Annotated[int, msgspec.Meta(ge=0)] = 20


class ConversationsConfig(Section, frozen=True):
    """group_sessions: each member of a group has a history of their own, or all share one.

    keep_days and keep_turns: what is older, or beyond the newest turns of a session, is forgotten at night.
    """

    group_sessions: Literal["member", "shared"] = "member"
    keep_days: Positive = 90.0
    keep_turns: Count = 500


class Allowance(Section, frozen=True):
    """What one user, or one group, may have; None: no limit. A quota of 0: not at all.

    per_minute and per_hour: messages to the bot. light, heavy: answers of a model a day. pictures: a day.
    """

    per_minute: Count | None = None
    per_hour: Count | None = None
    light_per_day: Quota | None = None
    heavy_per_day: Quota | None = None
    pictures_per_day: Quota | None = None


class LimitsConfig(Section, frozen=True):
    """user: for each user; group: for each group, all members together. timezone: where days begin."""

    timezone: str = "Asia/Shanghai"
    user: Allowance = Allowance()
    group: Allowance = Allowance()


class AccessConfig(Section, frozen=True):
    """Lists of names. allow: only these are answered (empty: all). deny: never these; it wins over allow."""

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


class PrivacyConfig(Section, frozen=True):
    """redact: phone, ID-card and bank-card numbers and e-mail addresses are masked in logs and stored texts.

    mask_pictures: they are also blacked out in pictures before these go to a model on another machine.
    """

    redact: bool = False
    mask_pictures: bool = False


class ReportsConfig(Section, frozen=True):
    """public_url: what users' browsers reach this service by; without it no answer links to its page.

    keep_days: how long a page is shown. templates: a folder of the operator's own (see bot.templates).
    """

    public_url: str = ""
    keep_days: Positive = 30.0
    templates: str = ""


class MediaConfig(Section, frozen=True):
    """What a picture may be. Sides and pixels after decoding; bytes as received.

    allow_hosts: `host` or `host:port` that may be fetched although they are private or plain http.
    """

    max_bytes: Count = 20 << 20
    max_side: Count = 12_000
    max_ratio: Count = 50
    max_pixels_jpeg: Count = 120_000_000
    max_pixels_png: Count = 40_000_000
    max_pixels_other: Count = 25_000_000
    decode_timeout: Positive = 10.0
    decode_processes: Count = 2
    fetch_timeout: Positive = 15.0
    allow_hosts: tuple[str, ...] = ()


class ReaderModel(Section, frozen=True, tag_field="engine", tag="reader"):
    """The built-in engine: OCR, nothing to fetch. processes: OCR workers."""

    processes: Count = 1


class OpenAIModel(Section, frozen=True, tag_field="engine", tag="openai"):
    """An OpenAI-compatible server. timeout: seconds without a byte. retries: on 429, 5xx and lost connections.

    max_parallel: requests at once, 0 for no limit; more wait here, quick questions before reports.
    """

    base_url: str
    model: str
    api_key: Secret = Secret("")
    timeout: Positive = 120.0
    connect_timeout: Positive = 5.0
    retries: Annotated[int, msgspec.Meta(ge=0, le=10)] = 2
    context_tokens: Count = 8192
    max_parallel: Annotated[int, msgspec.Meta(ge=0)] = 0
    max_picture_side: Count = 4096
    extra_body: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])


class LocalModel(Section, frozen=True, tag_field="engine", tag="local"):
    """A model in this process. model: a folder, or an id of Hugging Face or ModelScope that was fetched before.

    weights: what they are kept as; `auto` takes the best that fits. sequences: answered at once; more wait.
    memory_gb: for weights and cache together; None: what is free. chunk_tokens: of a prompt computed in one step.
    """

    model: str = "ZhipuAI/GLM-4.6V-Flash"
    weights: Literal["auto", "bf16", "fp32", "fp8", "int8", "int4"] = "auto"
    device: Annotated[str, msgspec.Meta(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    context_tokens: Count = 8192
    sequences: Count = 64
    memory_gb: Positive | None = None
    chunk_tokens: Count = 512


Model = ReaderModel | OpenAIModel | LocalModel


class BreakerConfig(Section, frozen=True):
    """failures in a row before an engine is left alone, and for how many seconds."""

    failures: Count = 5
    pause: Positive = 30.0


class ModelsConfig(Section, frozen=True):
    """light answers quick questions, heavy writes reports (absent: light does).

    memory_gb: for weights and caches of all local models together; None: what is free. idle_seconds: where they do not
    fit on a device together, after so long without a report the light one takes the heavy one's place again.
    fallback: when a model is away, the next of heavy → light → reader answers and the reply says so.
    """

    light: Model = ReaderModel()
    heavy: Model | None = None
    memory_gb: Positive | None = None
    idle_seconds: Positive = 300.0
    fallback: bool = True
    breaker: BreakerConfig = BreakerConfig()


class AdapterConfig(Section, frozen=True):
    """Base of adapters' own sections.

    platform: the module in `adapters/`; empty means the section's name. account_id: tells accounts of one
    platform apart in keys; do not change it later.
    """

    platform: str = ""
    account_id: str = "default"


class Config(Section, frozen=True):
    """Everything."""

    data_dir: str = "kantu-data"
    log_level: str = "INFO"
    server: ServerConfig = ServerConfig()
    store: StoreConfig = StoreConfig()
    worker: WorkerConfig = WorkerConfig()
    conversations: ConversationsConfig = ConversationsConfig()
    access: AccessConfig = AccessConfig()
    limits: LimitsConfig = LimitsConfig()
    privacy: PrivacyConfig = PrivacyConfig()
    media: MediaConfig = MediaConfig()
    reports: ReportsConfig = ReportsConfig()
    digests: DigestsConfig = DigestsConfig()
    models: ModelsConfig = ModelsConfig()
    adapters: dict[str, dict[str, Any]] | None = None
    admins: tuple[str, ...] = ()
    handlers: tuple[str, ...] = ("commands", "subscribe", "digest", "ask")


def load(path: Path | None, environ: Mapping[str, str] = os.environ) -> Config:
    """Read a file, or the defaults when there is none. Raises ConfigError."""
    if path is None:
        return Config()
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from error
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from error
    return parse(data, environ)


def parse(data: Any, environ: Mapping[str, str] = os.environ) -> Config:
    """Turn decoded YAML into a Config. Raises ConfigError."""
    return convert({} if data is None else data, Config, environ=environ)


def convert(data: Any, section: type[T], *, where: str = "", environ: Mapping[str, str] = os.environ) -> T:
    """Turn plain data into a section; `where` prefixes the keys named in errors. Raises ConfigError."""
    filled = _fill(data, environ, where)
    try:
        return msgspec.convert(filled, section, strict=False, dec_hook=_decode_secret)
    except msgspec.ValidationError as error:
        raise ConfigError(_explain(str(error), section, where)) from None


def checked_url(where: str, url: str, *, optional: bool = False) -> str:
    """What an API's addresses begin with: http or https, no user info, query or fragment; without a slash at its end.

    where: the key's name. optional: it may be empty. Raises ConfigError.
    """
    if optional and not url:
        return ""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1) and "@" not in parts.netloc
    except ValueError:
        usable = False
    if not usable or _NOT_IN_BASE.search(url):
        raise ConfigError(f"{where}: must be an http or https address, without user name, query and fragment")
    return url.rstrip("/")


def in_the_clear(url: str) -> bool:
    """Whether what is sent to an address can be read on the way: it is plain http, and not this machine's."""
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "localhost", "::1")


_NOT_IN_BASE = re.compile(r"[\s?#]")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def _fill(value: Any, environ: Mapping[str, str], where: str) -> Any:
    if isinstance(value, dict):
        items = cast("dict[Any, Any]", value).items()
        return {str(key): _fill(item, environ, f"{where}.{key}".lstrip(".")) for key, item in items}
    if isinstance(value, list):
        return [_fill(item, environ, where) for item in cast("list[Any]", value)]
    if not isinstance(value, str):
        return value

    def one(match: re.Match[str]) -> str:
        name, default = match[1], match[2]
        if name in environ:
            return environ[name]
        if default is None:
            raise ConfigError(f"{where}: the environment variable {name} is not set")
        return default

    return _VARIABLE.sub(one, value)


def _decode_secret(kind: type[Any], value: Any) -> Any:
    if kind is not Secret or not isinstance(value, str):
        raise TypeError(f"expected a text, got {type(value).__name__}")
    if not value.startswith("file:"):
        return Secret(value)
    path = Path(value.removeprefix("file:")).expanduser()
    try:
        return Secret(path.read_text(encoding="utf-8").strip())
    except OSError as error:
        raise ConfigError(f"cannot read the secret file {path}: {error.strerror}") from None


_ERROR = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>\$[^`]*)`)?$", re.DOTALL)
_INDEX = re.compile(r"\[[^\]]*\]")
_UNKNOWN = re.compile(r"^Object contains unknown field `(?P<name>[^`]*)`")


def _explain(message: str, section: type[Any], where: str) -> str:
    match = _ERROR.match(message)
    assert match is not None
    keys = (match["path"] or "$").removeprefix("$").strip(".")
    place = ".".join(part for part in (where, keys) if part)
    unknown = _UNKNOWN.match(message)
    if unknown is None:
        return f"{place or 'configuration'}: {match['what']}"
    known = _field_names(msgspec.inspect.type_info(section), _INDEX.sub("", keys).split(".") if keys else [])
    near = difflib.get_close_matches(unknown["name"], sorted(known), n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(sorted(known))}"
    return f"{place + '.' if place else ''}{unknown['name']}: unknown key; {hint}"


def _field_names(info: msgspec.inspect.Type, path: list[str]) -> set[str]:
    """Names of the fields at `path` below a type; a union offers the fields of all its members."""
    if isinstance(info, msgspec.inspect.UnionType):
        return set[str]().union(*(_field_names(member, path) for member in info.types))
    if isinstance(info, msgspec.inspect.VarTupleType):
        return _field_names(info.item_type, path)
    if not isinstance(info, msgspec.inspect.StructType):
        return set()
    if path:
        return set[str]().union(*(_field_names(f.type, path[1:]) for f in info.fields if f.name == path[0]))
    return {f.name for f in info.fields} | ({info.tag_field} if info.tag_field else set())
