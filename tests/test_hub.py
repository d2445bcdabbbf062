"""Fetching checkpoints, against fake hubs on loopback: what is taken, what is checked, what goes on after a break."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.engine.local import checkpoint
from bot.errors import ConfigError, DownloadFailed
from bot.hub import Hub, HubFile, HubName, default_base

MODEL = "zai-org/Tiny.1"
SHA = "a" * 40
WEIGHTS = bytes(range(256)) * 8_000


class FakeHub:
    """Both hubs' APIs. breaks: how many bytes each coming answer with weights gives before the connection ends."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {
            "config.json": b"{}",
            "model.safetensors": WEIGHTS,
            "chat_template.jinja": b"hello",
            "pytorch_model.bin": b"pickle",
            "modeling_evil.py": b"import os",
            "README.md": b"readme",
        }
        self.sha256: dict[str, str] = {}
        self.breaks: list[int] = []
        self.ranges: list[str] = []
        self.asked: list[str] = []
        self.tokens: list[str] = []
        self.ignore_ranges = False
        app = web.Application()
        app.router.add_get("/api/models/{org}/{name}/revision/main", self.info)
        app.router.add_get(f"/{{org}}/{{name}}/resolve/{SHA}/{{path:.*}}", self.file)
        app.router.add_get("/api/v1/models/{org}/{name}/repo/files", self.listing)
        app.router.add_get("/api/v1/models/{org}/{name}/repo", self.file)
        self.server = TestServer(app)

    @property
    def base(self) -> str:
        return str(self.server.make_url("")).rstrip("/")

    def sha(self, path: str) -> str:
        return self.sha256.get(path, hashlib.sha256(self.files[path]).hexdigest())

    async def info(self, request: web.Request) -> web.Response:
        if request.match_info["name"] != "Tiny.1":
            return web.Response(status=404)
        self.tokens.append(request.headers.get("Authorization", ""))
        siblings: list[dict[str, Any]] = []
        for path, data in self.files.items():
            entry: dict[str, Any] = {"rfilename": path, "size": len(data)}
            if path.endswith((".safetensors", ".bin")):
                entry["lfs"] = {"sha256": self.sha(path), "size": len(data)}
            siblings.append(entry)
        return web.json_response({"sha": SHA, "siblings": siblings})

    async def listing(self, request: web.Request) -> web.Response:
        files = [
            {"Path": path, "Size": len(data), "Sha256": self.sha(path), "Type": "blob"}
            for path, data in self.files.items()
        ]
        return web.json_response({"Code": 200, "Data": {"Files": [*files, {"Path": "sub", "Type": "tree"}]}})

    async def file(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info.get("path") or request.query["FilePath"]
        self.asked.append(path)
        data = self.files[path]
        wanted = request.headers.get("Range", "")
        self.ranges.append(wanted)
        start = 0 if self.ignore_ranges or not wanted else int(wanted.removeprefix("bytes=").rstrip("-"))
        response = web.StreamResponse(status=206 if start else 200)
        response.content_length = len(data) - start
        if start:
            response.headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        await response.prepare(request)
        if path.endswith(".safetensors") and self.breaks:
            await response.write(data[start : start + self.breaks.pop(0)])
            assert request.transport is not None
            request.transport.close()
            return response
        await response.write(data[start:])
        return response


@pytest.fixture
async def fake() -> AsyncIterator[FakeHub]:
    hub = FakeHub()
    await hub.server.start_server()
    yield hub
    await hub.server.close()


def quiet(file: HubFile, done: int) -> None:
    pass


def hub(fake: FakeHub, tmp_path: Path, name: HubName = "huggingface", token: str = "") -> Hub:
    return Hub(name, tmp_path, fake.base, token, pause=0.0)


async def test_weights_and_texts_are_taken_but_never_pickles_or_code(fake: FakeHub, tmp_path: Path) -> None:
    told: list[tuple[str, int]] = []
    folder = await hub(fake, tmp_path, token="hf_x").pull(MODEL, lambda file, done: told.append((file.path, done)))
    assert folder == tmp_path / "models--zai-org--Tiny.1" / "snapshots" / SHA
    assert sorted(os.listdir(folder)) == ["chat_template.jinja", "config.json", "model.safetensors"]
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert told[-1] == ("model.safetensors", len(WEIGHTS))
    assert fake.tokens == ["Bearer hf_x"]
    assert checkpoint.find(MODEL, {"HF_HUB_CACHE": str(tmp_path)}) == folder


async def test_modelscopes_layout_is_its_own_tools(fake: FakeHub, tmp_path: Path) -> None:
    folder = await hub(fake, tmp_path, "modelscope").pull(MODEL, quiet)
    assert folder == tmp_path / "models" / "zai-org" / "Tiny___1"
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert checkpoint.find(MODEL, {"MODELSCOPE_CACHE": str(tmp_path), "HF_HUB_CACHE": str(tmp_path / "x")}) == folder


async def test_a_broken_connection_goes_on_where_it_ended(fake: FakeHub, tmp_path: Path) -> None:
    fake.breaks = [1_500_000, 100_000]
    folder = await hub(fake, tmp_path).pull(MODEL, quiet)
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert len([given for given in fake.ranges if given]) == 2


async def test_a_server_without_ranges_starts_again(fake: FakeHub, tmp_path: Path) -> None:
    fake.breaks, fake.ignore_ranges = [1_500_000], True
    folder = await hub(fake, tmp_path).pull(MODEL, quiet)
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS


async def test_a_second_run_takes_only_what_is_missing(fake: FakeHub, tmp_path: Path) -> None:
    fake.breaks = [1_000_000, *[0] * 9]
    with pytest.raises(DownloadFailed, match="run the same again"):
        await hub(fake, tmp_path).pull(MODEL, quiet)
    fake.breaks, fake.asked, fake.ranges = [], [], []
    folder = await hub(fake, tmp_path).pull(MODEL, quiet)
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert fake.asked == ["model.safetensors"]
    assert fake.ranges[0].startswith("bytes=")
    fake.asked = []
    await hub(fake, tmp_path).pull(MODEL, quiet)
    assert fake.asked == []


async def test_other_content_than_the_hub_says_is_thrown_away(fake: FakeHub, tmp_path: Path) -> None:
    fake.sha256["model.safetensors"] = "0" * 64
    with pytest.raises(DownloadFailed, match="another SHA-256"):
        await hub(fake, tmp_path).pull(MODEL, quiet)
    assert not (tmp_path / "models--zai-org--Tiny.1" / "snapshots" / SHA / "model.safetensors").exists()
    assert not (tmp_path / "models--zai-org--Tiny.1" / "snapshots" / SHA / "model.safetensors.part").exists()


@pytest.mark.parametrize("path", ["../x.json", "/etc/x.json", "a/../../x.json", "a\\b.json", ".x.json"])
async def test_a_path_that_leads_elsewhere_is_refused(fake: FakeHub, tmp_path: Path, path: str) -> None:
    fake.files[path] = b"{}"
    with pytest.raises(DownloadFailed, match="no plain path"):
        await hub(fake, tmp_path).pull(MODEL, quiet)


async def test_torchs_own_files_are_taken_where_there_are_no_others(fake: FakeHub, tmp_path: Path) -> None:
    del fake.files["model.safetensors"]
    folder = await hub(fake, tmp_path).pull(MODEL, quiet)
    assert sorted(os.listdir(folder)) == ["chat_template.jinja", "config.json", "pytorch_model.bin"]


async def test_what_is_not_there_or_has_no_weights_is_said_so(fake: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed, match="no public model zai-org/Other"):
        await hub(fake, tmp_path).pull("zai-org/Other", quiet)
    with pytest.raises(ConfigError, match="is not an id"):
        await hub(fake, tmp_path).pull("../x", quiet)
    del fake.files["model.safetensors"], fake.files["pytorch_model.bin"]
    with pytest.raises(DownloadFailed, match="no weights"):
        await hub(fake, tmp_path).pull(MODEL, quiet)


async def test_a_full_disk_is_noticed_before(fake: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("bot.hub.shutil.disk_usage", lambda path: usage)
    with pytest.raises(DownloadFailed, match="GB are missing"):
        await hub(fake, tmp_path).pull(MODEL, quiet)
    assert fake.asked == []


async def test_no_hub_at_the_address(tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed, match="does not answer"):
        await Hub("huggingface", tmp_path, "http://127.0.0.1:9", pause=0.0).pull(MODEL, quiet)


def test_the_hubs_addresses_are_those_of_their_tools() -> None:
    assert default_base("huggingface", {}) == "https://huggingface.co"
    assert default_base("huggingface", {"HF_ENDPOINT": "https://hf-mirror.com"}) == "https://hf-mirror.com"
    assert default_base("modelscope", {}) == "https://www.modelscope.cn"
    assert default_base("modelscope", {"MODELSCOPE_DOMAIN": "x.cn"}) == "https://x.cn"
    assert checkpoint.name_on("huggingface", "ZhipuAI/GLM-4.6V-Flash") == "zai-org/GLM-4.6V-Flash"
    assert checkpoint.name_on("modelscope", "zai-org/GLM-4.6V-Flash") == "ZhipuAI/GLM-4.6V-Flash"
    assert checkpoint.name_on("modelscope", "a/B") == "a/B"
