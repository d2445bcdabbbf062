"""The configuration: what is right is read, what is wrong is named."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from fakes import FakeClock, FakeHttp

from bot.app import load_adapters, load_handlers
from bot.config import (
    Config,
    LocalModel,
    OpenAIModel,
    ReaderModel,
    Secret,
    Section,
    checked_url,
    convert,
    in_the_clear,
    load,
    parse,
)
from bot.errors import ConfigError

EXAMPLE = Path(__file__).parent.parent / "config.example.yaml"
ADAPTERS = Path(__file__).parent.parent / "adapters"


def test_no_file_means_the_defaults() -> None:
    assert load(None) == Config() == parse({}, {})


def test_the_environment_fills_secrets_and_numbers() -> None:
    environ = {"PORT": "9", "KEY": "sk-1"}
    data = {
        "server": {"port": "${PORT}"},
        "data_dir": "${DIR:-/x}/y",
        "models": {"light": {"engine": "openai", "base_url": "http://a", "model": "m", "api_key": "${KEY}"}},
    }
    config = parse(data, environ)
    assert config.server.port == 9
    assert config.data_dir == "/x/y"
    assert isinstance(config.models.light, OpenAIModel)
    assert config.models.light.api_key.reveal() == "sk-1"
    assert "sk-1" not in repr(config)


def test_a_secret_may_lie_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t0ken\n")
    config = parse({"server": {"token": f"file:{tmp_path / 'token'}"}}, {})
    assert config.server.token.reveal() == "t0ken"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"sever": {}}, "sever: unknown key; did you mean 'server'?"),
        ({"server": {"prot": 1}}, "server.prot: unknown key; did you mean 'port'?"),
        ({"server": {"zzz": 1}}, "server.zzz: unknown key; known keys: "),
        ({"models": {"light": {"engine": "openai", "base_ur": "x"}}}, "models.light.base_ur: unknown key; did you"),
        ({"models": {"light": {"engine": "opnai"}}}, "models.light.engine: "),
        ({"models": {"light": {"engine": "openai", "model": "x"}}}, "models.light: Object missing required field"),
        ({"server": {"port": 65536}}, "server.port: Expected `int` <= 65535"),
        ({"server": {"port": "eighty"}}, "server.port: Expected `int`, got `str`"),
        ({"worker": {"lease": 0}}, "worker.lease: Expected `float` > 0.0"),
        ({"server": {"token": 5}}, "server.token: expected a text, got int"),
        ({"server": {"token": "${NO_SUCH}"}}, "server.token: the environment variable NO_SUCH is not set"),
        ({"server": {"token": "file:/no/such"}}, "cannot read the secret file /no/such: No such file"),
        ([], "configuration: Expected `object`, got `array`"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(data: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(data, {})
    assert message in str(caught.value)


def test_a_file_that_is_no_yaml_or_absent_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the configuration"):
        load(tmp_path / "absent.yaml")
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(ConfigError, match="not valid YAML"):
        load(tmp_path / "bad.yaml")


def test_a_handler_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"there is no module handlers\.nothing"):
        load_handlers(["nothing"])


def test_the_example_loads_and_shows_every_key() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    config = load(EXAMPLE, _environ(text))
    missing = sorted(name for name in _keys(config) if f"{name}:" not in text)
    assert missing == []
    assert isinstance(config, Config)


def _keys(section: Section) -> set[str]:
    names: set[str] = set()
    for name in section.__struct_fields__:
        names.add(name)
        value = getattr(section, name)
        if isinstance(value, Section):
            names |= _keys(value)
    models = (OpenAIModel, ReaderModel, LocalModel)
    return names.union(*(model.__struct_fields__ for model in models))


def test_the_examples_local_model_loads_and_shows_the_defaults() -> None:
    text = EXAMPLE.read_text(encoding="utf-8").partition("  # light:\n")[2]
    lines = text.partition("  # heavy:\n")[0].splitlines()
    section = "\n".join(line.removeprefix("  # ") for line in lines if line.startswith("  #   "))
    light = yaml.safe_load(section)
    assert set(light) == {"engine", *LocalModel.__struct_fields__}
    assert parse({"models": {"light": light}}, {}).models.light == LocalModel()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.example",
        "ftp://a",
        "https://",
        "https://[x",
        "https://a:99999",
        "https://a:x",
        "https://u:p@a",
        "http://u@a/",
        "https://a?x=1",
        "https://a/?",
        "https://a#x",
        "https://a/b c",
        "https://a\n",
    ],
)
def test_what_is_no_beginning_of_an_address(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^adapters\.x\.api_base: must be an http or https address"):
        checked_url("adapters.x.api_base", url)


def test_addresses_lose_the_slash_at_their_end() -> None:
    assert checked_url("where", "https://a.example:8443/api//") == "https://a.example:8443/api"
    assert checked_url("where", "http://[::1]:1/@x") == "http://[::1]:1/@x"
    assert checked_url("where", "", optional=True) == ""


def test_plain_http_to_elsewhere_is_in_the_clear() -> None:
    assert in_the_clear("http://a.example") and in_the_clear("http://10.0.0.7:3000/x")
    for url in ("https://a.example", "http://127.0.0.1:1", "http://localhost", "http://[::1]:5140/v1", ""):
        assert not in_the_clear(url)


#: Where a value has a form of its own.
FORMS = {
    "KANTU_WEBHOOK_SECRET": "whsec_" + "a" * 32,
    "TELEGRAM_BOT_TOKEN": "700100200:abc",
    "WECOM_AES_KEY": "a" * 43,
    "WECOM_BOT_AES_KEY": "a" * 43,
    "WECHAT_AES_KEY": "a" * 43,
    "WECHAT_KF_AES_KEY": "a" * 43,
}


def _environ(text: str) -> dict[str, str]:
    return dict.fromkeys(re.findall(r"\$\{(\w+)", text), "value") | FORMS


def test_the_example_has_every_platform_with_every_key_and_its_default() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    config = parse(yaml.safe_load(text), _environ(text))
    adapters = load_adapters(config, FakeHttp(), FakeClock())
    modules = {path.stem for path in ADAPTERS.glob("*.py")} | {
        path.parent.name for path in ADAPTERS.glob("*/adapter.py")
    }
    assert set(adapters) == modules - {"__init__"}
    for name, adapter in adapters.items():
        section = (config.adapters or {})[name]
        assert set(section) == set(adapter.Config.__struct_fields__), name
        plain = adapter.Config()
        for key, value in section.items():
            default = getattr(plain, key)
            if not isinstance(default, Secret) and default not in ("", 0, ()):
                assert convert({key: value}, adapter.Config) == convert({key: default}, adapter.Config), (name, key)
