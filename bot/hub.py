"""Checkpoints from Hugging Face and ModelScope, by plain HTTPS into the folders of their own caches.

Weights in safetensors and the texts that go with them are taken, never code; torch's own files only where there are no
safetensors (they are read without running what may be in them). What was broken
off goes on where it ended; sizes and SHA-256 are checked where the hub gives them. Sources: Hugging Face's Hub API
(`/api/models/{id}/revision/{revision}?blobs=true`, `/{id}/resolve/…`) and ModelScope's
(`/api/v1/models/{id}/repo/files`, `/api/v1/models/{id}/repo?FilePath=…`).
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol
from urllib.parse import quote, urlencode

import aiohttp

from bot.errors import ConfigError, DownloadFailed

HubName = Literal["huggingface", "modelscope"]

_TAKEN: Final = (".json", ".jinja", ".txt", ".model")
#: the first that is there
_WEIGHTS: Final = (".safetensors", ".bin")
_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*(/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*")
_REVISION = re.compile(r"[A-Za-z0-9_.-]+")
_CHUNK: Final = 1 << 20
#: tries in a row that bring nothing new
_ATTEMPTS: Final = 5
_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=15, sock_read=60)


@dataclass(frozen=True, slots=True)
class HubFile:
    """size: None and sha256: empty where the hub does not say."""

    path: str
    url: str
    size: int | None = None
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a checkpoint that are worth having. folder: where they go, below the cache. revision: a commit."""

    folder: Path
    revision: str
    files: tuple[HubFile, ...]


class Progress(Protocol):
    """Told of every piece."""

    def __call__(self, file: HubFile, done: int) -> None: ...


class Hub:
    """One of the two hubs. base: its address; cache: the folder of its own tools; token: for gated models."""

    def __init__(self, name: HubName, cache: Path, base: str = "", token: str = "", *, pause: float = 1.0) -> None:
        self._name = name
        self._cache = cache
        self._base = (base or default_base(name)).rstrip("/")
        self._headers = {"User-Agent": "Kantu", "Accept-Encoding": "identity"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._pause = pause

    async def pull(self, model: str, progress: Progress) -> Path:
        """Fetch what is missing of a checkpoint; its folder. Raises DownloadFailed, ConfigError for a wrong id."""
        if _ID.fullmatch(model) is None:
            raise ConfigError(f"{model} is not an id like zai-org/GLM-4.6V-Flash")
        async with aiohttp.ClientSession(headers=self._headers, timeout=_TIMEOUT, trust_env=True) as session:
            listing = await self._list(session, model)
            _check_space(listing)
            for file in listing.files:
                await self._fetch(session, file, listing.folder / file.path, progress)
        if self._name == "huggingface":
            refs = self._cache / f"models--{model.replace('/', '--')}" / "refs"
            refs.mkdir(parents=True, exist_ok=True)
            (refs / "main").write_text(listing.revision, encoding="ascii")
        return listing.folder

    async def _list(self, session: aiohttp.ClientSession, model: str) -> Listing:
        if self._name == "huggingface":
            answer = await self._json(session, f"{self._base}/api/models/{model}/revision/main?blobs=true", model)
            revision = str(answer.get("sha", ""))
            siblings: list[dict[str, Any]] = answer.get("siblings") or []
            files = [_from_huggingface(self._base, model, revision, entry) for entry in siblings]
            folder = self._cache / f"models--{model.replace('/', '--')}" / "snapshots" / revision
        else:
            url = f"{self._base}/api/v1/models/{model}/repo/files?Revision=master&Recursive=true"
            answer = await self._json(session, url, model)
            data: dict[str, Any] = answer.get("Data") or {}
            entries: list[dict[str, Any]] = data.get("Files") or []
            revision = "master"
            files = [
                _from_modelscope(self._base, model, revision, entry) for entry in entries if entry.get("Type") != "tree"
            ]
            folder = self._cache / "models" / model.replace(".", "___")
        if _REVISION.fullmatch(revision) is None:
            raise DownloadFailed(f"{self._base} names no revision of {model}")
        weights = next((kind for kind in _WEIGHTS if any(file.path.endswith(kind) for file in files)), None)
        if weights is None:
            raise DownloadFailed(f"{self._base} has no weights of {model}")
        wanted = [file for file in files if file.path.endswith((weights, *_TAKEN))]
        for file in wanted:
            if _PATH.fullmatch(file.path) is None:
                raise DownloadFailed(f"{self._base} names a file that is no plain path: {file.path!r}")
        # Small ones first: what is wrong with a model shows before its weights are here.
        return Listing(folder, revision, tuple(sorted(wanted, key=lambda file: (file.size or 0, file.path))))

    async def _json(self, session: aiohttp.ClientSession, url: str, model: str) -> dict[str, Any]:
        try:
            async with session.get(url, timeout=aiohttp.ClientTimeout(total=60)) as response:
                if response.status in (401, 403, 404):
                    raise DownloadFailed(f"{self._base} has no public model {model} ({response.status})")
                response.raise_for_status()
                return await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise DownloadFailed(f"{self._base} does not answer as a hub: {type(error).__name__}") from error

    async def _fetch(self, session: aiohttp.ClientSession, file: HubFile, target: Path, progress: Progress) -> None:
        """One file, tried again as long as something new comes."""
        there = _size(target)
        if there and file.size in (None, there):
            progress(file, there)
            return
        await asyncio.to_thread(target.parent.mkdir, parents=True, exist_ok=True)
        part = target.with_name(target.name + ".part")
        failures = 0
        while True:
            before = _size(part)
            try:
                await self._get(session, file, part, progress)
                break
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                failures = 1 if _size(part) > before else failures + 1
                if failures >= _ATTEMPTS:
                    raise DownloadFailed(
                        f"{file.path} broke off at {_size(part)} bytes ({type(error).__name__}); run the same again"
                    ) from error
                await asyncio.sleep(self._pause * 2**failures)
        await asyncio.to_thread(_check, file, part)
        part.replace(target)

    async def _get(self, session: aiohttp.ClientSession, file: HubFile, part: Path, progress: Progress) -> None:
        """What is missing of a file. Raises OSError and ClientError where another try may help."""
        done = _size(part)
        if file.size is not None and done >= file.size:
            # Everything is there, or too much: then the check says so.
            return
        async with session.get(file.url, headers={"Range": f"bytes={done}-"} if done else {}) as response:
            if response.status == 416:
                await asyncio.to_thread(part.unlink, missing_ok=True)
                raise OSError("the hub's file is shorter than what is here")
            if response.status in (401, 403, 404):
                raise DownloadFailed(f"{file.path}: the hub answered {response.status}")
            response.raise_for_status()
            start = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
            goes_on = response.status == 206 and start is not None and int(start[1]) == done
            done = done if goes_on else 0
            stream = await asyncio.to_thread(part.open, "ab" if goes_on else "wb")
            with stream:
                async for piece in response.content.iter_chunked(_CHUNK):
                    await asyncio.to_thread(stream.write, piece)
                    done += len(piece)
                    progress(file, done)
        if file.size is not None and done < file.size:
            raise OSError("the connection ended before the file did")


def default_base(name: HubName, environ: Mapping[str, str] = os.environ) -> str:
    """The hub's address: its own, or the one that its tools are told by the environment."""
    if name == "huggingface":
        return environ.get("HF_ENDPOINT") or "https://huggingface.co"
    domain = environ.get("MODELSCOPE_DOMAIN") or "www.modelscope.cn"
    return domain if "://" in domain else f"https://{domain}"


def _from_huggingface(base: str, model: str, revision: str, entry: Mapping[str, Any]) -> HubFile:
    path = str(entry.get("rfilename", ""))
    lfs: Mapping[str, Any] = entry.get("lfs") or {}
    size = lfs.get("size", entry.get("size"))
    url = f"{base}/{model}/resolve/{revision}/{quote(path)}"
    return HubFile(path, url, size if isinstance(size, int) else None, str(lfs.get("sha256", "")))


def _from_modelscope(base: str, model: str, revision: str, entry: Mapping[str, Any]) -> HubFile:
    path = str(entry.get("Path", ""))
    size = entry.get("Size")
    url = f"{base}/api/v1/models/{model}/repo?{urlencode({'Revision': revision, 'FilePath': path})}"
    return HubFile(path, url, size if isinstance(size, int) else None, str(entry.get("Sha256") or ""))


def _check_space(listing: Listing) -> None:
    listing.folder.mkdir(parents=True, exist_ok=True)
    missing = sum(
        max(0, (file.size or 0) - _size(listing.folder / f"{file.path}.part"))
        for file in listing.files
        if not (listing.folder / file.path).is_file()
    )
    free = shutil.disk_usage(listing.folder).free
    if missing > free:
        raise DownloadFailed(f"{missing / 1e9:.1f} GB are missing and {listing.folder} has {free / 1e9:.1f} GB free")


def _check(file: HubFile, part: Path) -> None:
    """A file that is not what the hub says is thrown away. Raises DownloadFailed."""
    wrong = "" if file.size in (None, _size(part)) else f"{_size(part)} instead of {file.size} bytes"
    if not wrong and file.sha256:
        with part.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        wrong = "" if found == file.sha256.lower() else "another SHA-256 than the hub says"
    if wrong:
        part.unlink()
        raise DownloadFailed(f"{file.path}: {wrong}; run the same again")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
