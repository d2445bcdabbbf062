"""A fake Feishu on loopback."""

from adapters.simulated.feishu.app import BOT, Simulated
from adapters.simulated.feishu.seal import encrypt, signed

__all__ = ["BOT", "Simulated", "encrypt", "signed"]
