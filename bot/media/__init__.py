"""Pictures: checked, made harmless, and kept under the SHA-256 of the bytes received.

Pillow and everything it can be talked into run in separate, limited processes (`decoder.py`); this package
imports none of it. Nothing received is ever written to the kept folder unchanged.
"""

from bot.media.paths import safe_image_path
from bot.media.refusals import refused
from bot.media.store import MediaStore

__all__ = ["MediaStore", "refused", "safe_image_path"]
