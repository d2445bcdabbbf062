"""The envelope of WeCom and WeChat, from their side: signs, seals and opens; written out from their description."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping
from xml.sax.saxutils import escape

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

_BLOCK = 32


class Signer:
    """receive_id: the company's or the account's, which stands inside. Without encoding_aes_key nothing is sealed."""

    def __init__(self, token: str, receive_id: str, encoding_aes_key: str) -> None:
        self.token = token
        self.receive_id = receive_id
        self.key = base64.b64decode(encoding_aes_key + "=") if encoding_aes_key else b""

    def signature(self, *parts: str) -> str:
        """Hex SHA-1 of the sorted parts and the token."""
        return hashlib.sha1("".join(sorted((self.token, *parts))).encode(), usedforsecurity=False).hexdigest()

    def query(self, timestamp: int | str, nonce: str, ciphertext: str) -> dict[str, str]:
        """What stands behind the address of a delivery."""
        signature = self.signature(str(timestamp), nonce, ciphertext)
        return {"msg_signature": signature, "timestamp": str(timestamp), "nonce": nonce}

    def seal(self, message: bytes, receive_id: str | None = None) -> str:
        """The base64 that stands in Encrypt or echostr."""
        packed = secrets.token_bytes(16) + len(message).to_bytes(4, "big") + message
        return self.encrypted(padded(packed + (self.receive_id if receive_id is None else receive_id).encode()))

    def encrypted(self, content: bytes) -> str:
        """The base64 of whole blocks."""
        return base64.b64encode(self.encrypt(content)).decode()

    def encrypt(self, content: bytes) -> bytes:
        """Whole blocks."""
        encryptor = Cipher(algorithms.AES(self.key), modes.CBC(self.key[:16])).encryptor()
        return encryptor.update(content) + encryptor.finalize()

    def open(self, ciphertext: str) -> bytes:
        """What the bot sealed. Raises ValueError."""
        decryptor = Cipher(algorithms.AES(self.key), modes.CBC(self.key[:16])).decryptor()
        packed = decryptor.update(base64.b64decode(ciphertext, validate=True)) + decryptor.finalize()
        packed = packed[: -packed[-1]]
        end = 20 + int.from_bytes(packed[16:20], "big")
        if packed[end:].decode() != self.receive_id:
            raise ValueError("sealed for somebody else")
        return packed[20:end]


def encoding_aes_key() -> str:
    """A new one, as the platform shows it."""
    return base64.b64encode(secrets.token_bytes(32)).decode().rstrip("=")


def padded(content: bytes) -> bytes:
    """To whole blocks of 32 bytes, after PKCS#7."""
    size = _BLOCK - len(content) % _BLOCK
    return content + bytes([size]) * size


def document(values: Mapping[str, str | int]) -> bytes:
    """XML with an element per value, texts escaped."""
    inside = (f"<{name}>{escape(str(value))}</{name}>" for name, value in values.items())
    return f"<xml>{''.join(inside)}</xml>".encode()
