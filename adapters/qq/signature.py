"""Ed25519 as QQ uses it: one key pair, made of the bot's secret, for the platform's requests and for our handshake.

https://bot.q.qq.com/wiki/develop/api-v2/dev-prepare/interface-framework/sign.html
"""

from __future__ import annotations

import binascii
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_SEED_BYTES: Final = 32
_HEX_DIGITS: Final = 128
#: The highest three bits of a signature's last byte: set only in a number that is larger than the group.
_TOO_LARGE: Final = 0b1110_0000


class Signer:
    """The key pair of one secret, which must not be empty."""

    def __init__(self, secret: str) -> None:
        repeated = secret.encode() * _SEED_BYTES
        self._private = Ed25519PrivateKey.from_private_bytes(repeated[:_SEED_BYTES])
        self._public = self._private.public_key()

    def sign(self, message: bytes) -> str:
        """128 lower-case hex digits."""
        return self._private.sign(message).hex()

    def verifies(self, signature: str, message: bytes) -> bool:
        """Whether these are 128 hex digits (in either case: the same bytes) that sign the message."""
        if len(signature) != _HEX_DIGITS:
            return False
        try:
            given = binascii.unhexlify(signature)
        except ValueError:  # no hex digits, or no ASCII at all
            return False
        if given[-1] & _TOO_LARGE:
            return False
        try:
            self._public.verify(given, message)
        except InvalidSignature:
            return False
        return True
