"""The envelope of WeCom and WeChat, against the documented example and a cipher of our own."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from bot.envelope import Envelope, Signed, signed
from bot.errors import ConfigError, Rejected

AES_KEY = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"
KEY = base64.b64decode(AES_KEY + "=")
NOW = 1_795_000_000


def envelope(**changes: Any) -> Envelope:
    values: dict[str, Any] = {"token": "QDG6eK", "aes": AES_KEY, "receive_id": "wx5823bf96d3bd56c7"} | changes
    return Envelope(
        values["token"], values["aes"], values["receive_id"], 300, where="adapters.x", random=lambda n: b"r" * n
    )


def encrypted(plain: bytes) -> str:
    """Encrypt exactly these bytes, padding included."""
    encryptor = Cipher(algorithms.AES(KEY), modes.CBC(KEY[:16])).encryptor()
    return base64.b64encode(encryptor.update(plain) + encryptor.finalize()).decode()


def packed(message: bytes = b"hello", receive_id: bytes = b"wx5823bf96d3bd56c7", length: int | None = None) -> bytes:
    return b"0" * 16 + (len(message) if length is None else length).to_bytes(4, "big") + message + receive_id


def padded(plain: bytes) -> bytes:
    count = 32 - len(plain) % 32
    return plain + bytes([count]) * count


def sign(ciphertext: str, sent: int = NOW, token: str = "QDG6eK") -> Signed:
    parts = sorted([token, str(sent), "n1", ciphertext])
    return Signed(hashlib.sha1("".join(parts).encode()).hexdigest(), str(sent), "n1", sent)


def open_(ciphertext: str, now: float = NOW) -> bytes:
    return envelope().open(sign(ciphertext), ciphertext, now)


def test_the_documented_example_opens() -> None:
    # https://developer.work.weixin.qq.com/document/path/90968, the example of a URL verification
    ciphertext = "P9nAzCzyDtyTWESHep1vC5X9xho/qYX3Zpb4yKa9SKld1DsH3Iyt3tP3zNdtp+4RPcs8TgAE7OaBO+FZXvnaqQ=="
    query = {
        "msg_signature": "5c45ff5e21c57e6ad56bac8758b79b1d9ac89fd3",
        "timestamp": "1409659589",
        "nonce": "263014780",
    }
    assert envelope().open(signed(query), ciphertext, 1409659589) == b"1616140317555161061"


def test_what_is_sealed_opens_and_is_what_another_cipher_makes() -> None:
    sealed = envelope().seal("回答".encode(), NOW, "n1")
    assert base64.b64decode(sealed.ciphertext) == base64.b64decode(
        encrypted(padded(b"r" * 16 + (6).to_bytes(4, "big") + "回答".encode() + b"wx5823bf96d3bd56c7"))
    )
    given = Signed(sealed.signature, str(sealed.timestamp), sealed.nonce, sealed.timestamp)
    assert envelope().open(given, sealed.ciphertext, NOW) == "回答".encode()


@pytest.mark.parametrize("length", range(64))
def test_every_length_is_padded_right(length: int) -> None:
    sealed = envelope().seal(b"x" * length, NOW, "n1")
    assert len(base64.b64decode(sealed.ciphertext)) % 32 == 0
    assert open_(sealed.ciphertext) == b"x" * length


@pytest.mark.parametrize(
    ("plain", "reason"),
    [
        (padded(packed()), ""),
        (padded(packed(receive_id=b"wx5823bf96d3bd56c8")), "wrong_receive_id"),
        (padded(packed(receive_id=b"WX5823BF96D3BD56C7")), "wrong_receive_id"),
        (padded(packed(receive_id=b"")), "wrong_receive_id"),
        (padded(packed(length=2**31)), "decrypt_failed"),
        (padded(packed(length=0xFFFFFFFF)), "decrypt_failed"),
        (padded(packed(length=24)), "decrypt_failed"),
        (padded(b"0" * 19), "decrypt_failed"),
        (packed() + b"\0" * 21, "decrypt_failed"),
        (padded(packed())[:-1] + b"\x21", "decrypt_failed"),
        (padded(packed())[:-2] + b"\x01\x15", "decrypt_failed"),
        (b"\x20" * 32, "decrypt_failed"),
    ],
)
def test_padding_lengths_and_receiver_are_checked(plain: bytes, reason: str) -> None:
    plain = plain[: len(plain) // 16 * 16]
    if not reason:
        assert open_(encrypted(plain)) == b"hello"
        return
    with pytest.raises(Rejected) as error:
        open_(encrypted(plain))
    assert error.value.reason == reason


@pytest.mark.parametrize(
    "ciphertext", ["", "====", "AAA", "A" * 23, "AAAA", "图", base64.b64encode(b"x" * 33).decode()]
)
def test_what_is_no_ciphertext_is_refused(ciphertext: str) -> None:
    with pytest.raises(Rejected) as error:
        open_(ciphertext)
    assert error.value.reason == "decrypt_failed"


def test_signature_and_age_come_before_decryption() -> None:
    rubbish = "AAAA"
    for given, reason in (
        (sign(rubbish, token="other"), "bad_signature"),
        (Signed("é" * 40, str(NOW), "n1", NOW), "bad_signature"),
        (Signed(sign(rubbish).signature.upper(), str(NOW), "n1", NOW), "bad_signature"),
        (sign(rubbish, NOW - 301), "stale"),
        (sign(rubbish, NOW + 301), "stale"),
        (sign(rubbish, NOW - 300), "decrypt_failed"),
    ):
        with pytest.raises(Rejected) as error:
            envelope().open(given, rubbish, NOW + 0.9)
        assert error.value.reason == reason


def test_the_values_must_be_there() -> None:
    whole = {"msg_signature": "s", "timestamp": "1", "nonce": "n"}
    assert signed(whole).seconds == 1
    for name in whole:
        with pytest.raises(Rejected) as error:
            signed({key: value for key, value in whole.items() if key != name})
        assert error.value.reason == "missing_signature"
    with pytest.raises(Rejected) as error:
        signed(whole | {"timestamp": "1.0"})
    assert error.value.reason == "malformed_timestamp"


@pytest.mark.parametrize(("change", "key"), [({"token": ""}, "token"), ({"aes": "short"}, "encoding_aes_key")])
def test_a_configuration_without_secrets_is_no_open_door(change: dict[str, str], key: str) -> None:
    with pytest.raises(ConfigError, match=f"adapters.x.{key}"):
        envelope(**change)


def test_the_echo_is_bare_text_that_can_be_sent() -> None:
    def echo(content: bytes) -> bytes:
        ciphertext = encrypted(padded(packed(content)))
        given = sign(ciphertext)
        query = {"msg_signature": given.signature, "timestamp": str(NOW), "nonce": "n1", "echostr": ciphertext}
        return envelope().echo(query, NOW)

    assert echo(b"7286041120419190000") == b"7286041120419190000"
    assert echo("\0看".encode()) == "看".encode()
    with pytest.raises(Rejected, match="no text"):
        echo(b"\xff")


def test_media_is_opened_with_the_same_key() -> None:
    picture = b"\x89PNG" + b"p" * 100
    assert envelope().decrypt_media(base64.b64decode(encrypted(padded(picture)))) == picture
    with pytest.raises(Rejected):
        envelope().decrypt_media(picture)
