"""Kantu as the harness starts it: configured by its environment variables instead of a file.

PORT, STATE_DIR, HARNESS_SECRET; OPENAI_BASE and PLATFORM_BASE: where the model and the platform are;
HANDLER: `model` answers through the model, `noop` accepts and answers nothing.
"""

from __future__ import annotations

import base64
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import uvloop
from harness_profile import KEY

from bot.__main__ import serve_until_signal
from bot.config import Config, parse


def config() -> Config:
    """The service under test."""
    get = os.environ.get
    secret = "whsec_" + base64.b64encode(KEY).decode()
    model = {"engine": "openai", "base_url": get("OPENAI_BASE"), "model": "stub-light"}
    platform = get("PLATFORM_BASE", "http://127.0.0.1:18102")
    generic = {"secrets": [secret], "reply_url": f"{platform}/replies"}
    return parse(
        {
            "data_dir": get("STATE_DIR", "kantu-data"),
            "log_level": get("LOG_LEVEL", "WARNING"),
            "server": {"port": get("PORT", "18080")},
            "store": {"min_free_bytes": 0},
            "media": {"allow_hosts": [platform.removeprefix("http://")] if get("ALLOW_PICTURES") else []},
            "models": {"light": model},
            "adapters": {"generic": generic},
            "handlers": ["ask"] if get("HANDLER", "model") == "model" else [],
        }
    )


if __name__ == "__main__":
    settings = config()
    import logging

    logging.basicConfig(level=settings.log_level)
    sys.exit(uvloop.run(serve_until_signal(settings)))
