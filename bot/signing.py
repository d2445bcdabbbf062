"""What adapters share to tell a platform's request from a forged one.

Every check raises `Rejected` with the name of the check; none raises anything else, whatever a header holds.
Signatures are compared as text, in constant time: a different spelling of the right bytes (upper-case hex, other
base64 padding) is refused.
"""

from __future__ import annotations

import binascii
import hmac

from bot.errors import ConfigError, Rejected

MAX_TIMESTAMP_DIGITS = 15

# https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md, "Signature scheme":
# a signing secret has at least 192 and at most 512 bits.
STANDARD_WEBHOOKS_PREFIX = "whsec_"
STANDARD_WEBHOOKS_BYTES = range(24, 65)


def equal(given: str, expected: str) -> bool:
    """Constant-time comparison of any two texts.

    `hmac.compare_digest` raises on non-ASCII text and the default encoding on lone surrogates (how undecodable
    header bytes arrive), so both are encoded first, surrogates included.
    """
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode("utf-8", "surrogatepass"))


def hmac_sha256_hex(key: bytes, message: bytes) -> str:
    """HMAC-SHA256 (RFC 2104), 64 lower-case hex digits."""
    return _hmac_sha256(key, message).hex()


def hmac_sha256_base64(key: bytes, message: bytes) -> str:
    """HMAC-SHA256 (RFC 2104), 44 characters of base64 with padding."""
    return binascii.b2a_base64(_hmac_sha256(key, message), newline=False).decode("ascii")


def _hmac_sha256(key: bytes, message: bytes) -> bytes:
    # Not hmac.digest: that lets other threads run even for short messages, and getting back costs more than the hash.
    return hmac.new(key, message, "sha256").digest()


def timestamp(text: str) -> int:
    """A time that arrived as text, in seconds or whatever the platform counts: 1 to 15 ASCII digits, nothing else.

    Python's `int` would also take signs, spaces, underscores and the digits of other scripts.
    """
    if not (len(text) <= MAX_TIMESTAMP_DIGITS and text.isascii() and text.isdigit()):
        raise Rejected("malformed_timestamp")
    return int(text)


def check_age(now: float, sent_at: int, max_age: int) -> None:
    """Refuse what is more than `max_age` seconds old or ahead; `now` counts in whole seconds."""
    if abs(int(now) - sent_at) > max_age:
        raise Rejected("stale")


def standard_webhooks_key(secret: str, where: str) -> bytes:
    """The key bytes of a `whsec_…` secret. `where` names the configuration key in the ConfigError."""
    if not secret.startswith(STANDARD_WEBHOOKS_PREFIX):
        raise ConfigError(f"{where}: a Standard Webhooks secret must start with '{STANDARD_WEBHOOKS_PREFIX}'")
    try:
        key = binascii.a2b_base64(secret.removeprefix(STANDARD_WEBHOOKS_PREFIX), strict_mode=True)
    except ValueError:
        raise ConfigError(f"{where}: what follows '{STANDARD_WEBHOOKS_PREFIX}' is not valid base64") from None
    if len(key) not in STANDARD_WEBHOOKS_BYTES:
        raise ConfigError(f"{where}: the key has {len(key)} bytes; Standard Webhooks wants 24 to 64")
    return key
