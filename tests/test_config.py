"""The configuration: what is right is read, what is wrong is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bot.app import load_handlers
from bot.config import Config, OpenAIModel, ReaderModel, Section, load, parse
from bot.errors import ConfigError

EXAMPLE = Path(__file__).parent.parent / "config.example.yaml"


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
    config = load(EXAMPLE, {"KANTU_WEBHOOK_SECRET": "whsec_" + "a" * 43 + "=", "ZHIPU_API_KEY": "k"})
    text = EXAMPLE.read_text(encoding="utf-8")
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
    return names | set(OpenAIModel.__struct_fields__) | set(ReaderModel.__struct_fields__)
