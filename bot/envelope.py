"""The signed and encrypted envelope that WeCom, WeChat and WeChat's customer service share.

    signature = hex SHA-1 of token, timestamp, nonce and ciphertext, sorted and joined
    ciphertext = base64 AES-256-CBC(key, iv = key[:16]) of 16 random bytes, length (4 bytes, big endian), message,
                 receive id; padded to 32 bytes after PKCS#7

https://developer.work.weixin.qq.com/document/path/90968
https://developers.weixin.qq.com/doc/oplatform/Third-party_Platforms/2.0/api/Before_Develop/Technical_Plan.html
"""

from __future__ import annotations

import binascii
import hashlib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from bot import payload, signing
from bot.errors import ConfigError, Rejected

_BLOCK: Final = 32
_RANDOM: Final = 16
_HEAD: Final = _RANDOM + 4
_AES_KEY: Final = re.compile(r"[A-Za-z0-9+/]{43}")


@dataclass(frozen=True, slots=True)
class Signed:
    """The values beside a ciphertext, as they came; seconds: the timestamp as a number."""

    signature: str
    timestamp: str
    nonce: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Sealed:
    """A ciphertext of ours with its signature; timestamp in seconds."""

    ciphertext: str
    signature: str
    timestamp: int
    nonce: str


def signed(query: Mapping[str, str], name: str = "msg_signature") -> Signed:
    """The signature's values from a query. Raises Rejected: missing_signature, malformed_timestamp."""
    signature, sent, nonce = query.get(name), query.get("timestamp"), query.get("nonce")
    if not signature or sent is None or nonce is None:
        raise Rejected("missing_signature")
    return Signed(signature, sent, nonce, signing.timestamp(sent))


def sha1_signature(*parts: str) -> str:
    """Hex SHA-1 of the sorted, joined parts; whatever characters they hold."""
    return hashlib.sha1("".join(sorted(parts)).encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()


class Envelope:
    """Opens and seals with one token and one EncodingAESKey.

    receive_id: the corp id or app id that must be inside, byte for byte. max_age: seconds. where: the configuration
    keys' common beginning, for the ConfigError. random: for tests.
    """

    def __init__(
        self,
        token: str,
        encoding_aes_key: str,
        receive_id: str,
        max_age: int,
        *,
        where: str,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        if not token:
            raise ConfigError(f"{where}.token: must not be empty")
        if not _AES_KEY.fullmatch(encoding_aes_key):
            raise ConfigError(f"{where}.encoding_aes_key: must be the 43 characters that the platform shows")
        self._token = token
        self._key = binascii.a2b_base64(encoding_aes_key + "=")
        self._receive_id = receive_id.encode()
        self._max_age = max_age
        self._random = random

    def open(self, signed: Signed, ciphertext: str, now: float) -> bytes:
        """The message inside. Raises Rejected: bad_signature, stale, decrypt_failed, wrong_receive_id."""
        expected = sha1_signature(self._token, signed.timestamp, signed.nonce, ciphertext)
        if not signing.equal(signed.signature, expected):
            raise Rejected("bad_signature")
        signing.check_age(now, signed.seconds, self._max_age)
        try:
            packed = binascii.a2b_base64(ciphertext, strict_mode=True)
        except ValueError:
            raise _unreadable() from None
        return self._unpack(self._decrypt(packed))

    def echo(self, query: Mapping[str, str], now: float) -> bytes:
        """The answer to a check of the address: the text that was sealed in `echostr`, bare. Raises Rejected."""
        values = signed(query)
        echo = self.open(values, payload.text(dict(query), "echostr"), now)
        try:
            return payload.clean(echo.decode()).encode()
        except UnicodeDecodeError:
            raise payload.malformed("echostr holds no text") from None

    def seal(self, message: bytes, timestamp: int, nonce: str) -> Sealed:
        """An answer to the request that brought `nonce`."""
        packed = self._random(_RANDOM) + len(message).to_bytes(4, "big") + message + self._receive_id
        padding = _BLOCK - len(packed) % _BLOCK
        encryptor = self._cipher().encryptor()
        content = encryptor.update(packed + bytes([padding]) * padding) + encryptor.finalize()
        ciphertext = binascii.b2a_base64(content, newline=False).decode("ascii")
        signature = sha1_signature(self._token, str(timestamp), nonce, ciphertext)
        return Sealed(ciphertext, signature, timestamp, nonce)

    def decrypt_media(self, content: bytes) -> bytes:
        """A file that was encrypted with the same key, without an envelope. Raises Rejected (decrypt_failed)."""
        return self._decrypt(content)

    def _decrypt(self, content: bytes) -> bytes:
        if not content or len(content) % 16:
            raise _unreadable()
        decryptor = self._cipher().decryptor()
        packed = decryptor.update(content) + decryptor.finalize()
        padding = packed[-1]
        if not 1 <= padding <= _BLOCK or not packed.endswith(bytes([padding]) * padding):
            raise _unreadable()
        return packed[:-padding]

    def _unpack(self, packed: bytes) -> bytes:
        if len(packed) < _HEAD:
            raise _unreadable()
        end = _HEAD + int.from_bytes(packed[_RANDOM:_HEAD], "big")
        if end > len(packed):
            raise _unreadable()
        if packed[end:] != self._receive_id:
            raise Rejected("wrong_receive_id", 403)
        return packed[_HEAD:end]

    def _cipher(self) -> Cipher[modes.CBC]:
        return Cipher(algorithms.AES(self._key), modes.CBC(self._key[:16]))


def _unreadable() -> Rejected:
    return Rejected("decrypt_failed", 400)
