"""Comparison, HMAC, times and secrets: published examples first, then whatever a header may hold."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot import signing
from bot.errors import ConfigError, Rejected

patient = settings(deadline=None)  # a busy machine is no failure
anything = st.text(st.characters(exclude_categories=[]))  # lone surrogates included: undecodable header bytes


def test_hmac_of_githubs_documentation():
    found = signing.hmac_sha256_hex(b"It's a Secret to Everybody", b"Hello, World!")
    assert found == "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"


def test_hmac_of_rfc_4231_test_case_2():
    expected = bytes.fromhex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
    assert signing.hmac_sha256_hex(b"Jefe", b"what do ya want for nothing?") == expected.hex()
    assert base64.b64decode(signing.hmac_sha256_base64(b"Jefe", b"what do ya want for nothing?")) == expected


def test_signature_of_the_standard_webhooks_documentation():
    key = signing.standard_webhooks_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "secrets")
    message = b'msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"test": 2432232314}'
    assert signing.hmac_sha256_base64(key, message) == "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@patient
@given(anything, anything)
def test_equal_is_equality_and_never_raises(one: str, other: str):
    assert signing.equal(one, one)
    assert signing.equal(one, other) == (one == other)


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("1795000000", 1795000000), ("007", 7), ("9" * 15, 10**15 - 1)])
def test_timestamp(text: str, value: int):
    assert signing.timestamp(text) == value


@pytest.mark.parametrize(
    "text",
    ["", " ", "+1", "-1", "1.0", "1e9", "1_0", " 1", "1 ", "1\n", "NaN", "１", "١", "²", "9" * 16, "\udc31", "0x1"],
)
def test_timestamp_refuses(text: str):
    with pytest.raises(Rejected) as error:
        signing.timestamp(text)
    assert error.value.reason == "malformed_timestamp"


@patient
@given(anything)
def test_timestamp_takes_only_ascii_digits(text: str):
    if 1 <= len(text) <= 15 and set(text) <= set("0123456789"):
        assert signing.timestamp(text) == int(text)
    else:
        with pytest.raises(Rejected):
            signing.timestamp(text)


@pytest.mark.parametrize("now", [1300.0, 1300.999, 700.0, 700.5])
def test_the_edge_of_the_window_is_inside(now: float):
    signing.check_age(now, 1000, 300)


@pytest.mark.parametrize("now", [1301.0, 699.0, 699.999, 0.0, 10.0**18])
def test_outside_the_window(now: float):
    with pytest.raises(Rejected) as error:
        signing.check_age(now, 1000, 300)
    assert error.value.reason == "stale"


@patient
@given(st.binary(min_size=24, max_size=64))
def test_secrets_are_decoded(key: bytes):
    assert signing.standard_webhooks_key("whsec_" + base64.b64encode(key).decode(), "secrets") == key


def whsec(size: int) -> str:
    return "whsec_" + base64.b64encode(bytes(size)).decode()


@pytest.mark.parametrize(
    ("secret", "problem"),
    [
        ("", "start with 'whsec_'"),
        ("geheim", "start with 'whsec_'"),
        ("whsk_" + base64.b64encode(bytes(32)).decode(), "start with 'whsec_'"),
        ("whsec_secret!", "base64"),
        (whsec(32)[:-1], "base64"),
        (whsec(32) + "\n", "base64"),
        ("whsec_" + "密" * 32, "base64"),
        ("whsec_", "0 bytes"),
        (whsec(23), "23 bytes"),
        (whsec(65), "65 bytes"),
    ],
)
def test_secrets_that_cannot_be_used(secret: str, problem: str):
    with pytest.raises(ConfigError, match=r"^adapters\.a\.secrets\[1\]: ") as error:
        signing.standard_webhooks_key(secret, "adapters.a.secrets[1]")
    assert problem in str(error.value)
    assert not secret.removeprefix("whsec_") or secret.removeprefix("whsec_") not in str(error.value)
