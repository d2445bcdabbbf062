"""How Feishu encrypts and signs its events: code of its own, that shares nothing with the bot."""

from __future__ import annotations

import base64
import hashlib
import os

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


def encrypt(encrypt_key: str, content: bytes, iv: bytes = b"") -> str:
    """AES-256-CBC under the key's SHA-256, the IV in front, in base64."""
    iv = iv or os.urandom(16)
    padding = 16 - len(content) % 16
    encryptor = Cipher(algorithms.AES(hashlib.sha256(encrypt_key.encode()).digest()), modes.CBC(iv)).encryptor()
    return base64.b64encode(iv + encryptor.update(content + bytes([padding]) * padding) + encryptor.finalize()).decode()


def signed(encrypt_key: str, body: bytes, timestamp: int, nonce: str = "1234567") -> dict[str, str]:
    """The headers of a signed request."""
    signature = hashlib.sha256(f"{timestamp}{nonce}{encrypt_key}".encode() + body).hexdigest()
    return {
        "Content-Type": "application/json; charset=utf-8",
        "X-Lark-Request-Timestamp": str(timestamp),
        "X-Lark-Request-Nonce": nonce,
        "X-Lark-Signature": signature,
    }
