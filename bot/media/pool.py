"""Decoder processes, seen from the service: started when needed, kept warm, replaced when they die.

Everything here blocks and runs in threads; as many decode at once as there are threads that call.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Final, Literal

import msgspec

from bot.config import MediaConfig
from bot.errors import BadPicture, MediaError
from bot.media.refusals import SENTENCES, refused

START_SECONDS: Final = 30.0
# Shorter than the time after which an idle decoder ends itself: none is used that may be ending.
IDLE_SECONDS: Final = 240.0

_SCRIPT: Final = Path(__file__).with_name("decoder.py")
_LONGEST_LINE: Final = 4096
_HEADER: Final = struct.Struct("!8sQ")
# The rest of the environment holds secrets. One malloc arena: each thread's own would eat address space.
_ENVIRONMENT: Final = ("PATH", "LD_LIBRARY_PATH", "LANG", "TMPDIR")


class Decoded(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was written: its type, and its size in pixels."""

    mime_type: Literal["image/jpeg", "image/png"]
    width: int
    height: int


class _Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a decoder says; one of the three is set."""

    decoded: Decoded | None = None
    refused: str = ""
    errno: int = 0


class Decoder:
    """One process."""

    def __init__(self, config: MediaConfig) -> None:
        """Start it. Raises MediaError("decoder_unavailable") when it does not come up."""
        self._config = config
        self.idle_since = 0.0
        self._channel, theirs = socket.socketpair()
        with theirs:
            try:
                self.process = _start(theirs.fileno(), config)
            except OSError as error:
                self._channel.close()
                raise _unavailable() from error
        if not self._ready():
            self.kill()
            raise _unavailable()

    def decode(self, data: bytes, kind: str, target: int) -> Decoded:
        """Write a clean copy of the picture to the descriptor `target`.

        Raises BadPicture; OSError when the copy cannot be written. A process that crashed or took too long is
        dead afterwards.
        """
        try:
            line = self._ask(data, kind, target)
        except TimeoutError:
            self.kill()
            raise refused("too_slow", self._config) from None
        except OSError:
            line = None
        try:
            answer = msgspec.json.decode(line or b"", type=_Answer)
        except msgspec.DecodeError:  # it crashed, or a picture has taken it over
            self.kill()
            raise refused("broken", self._config) from None
        return self._read(answer)

    def _ready(self) -> bool:
        try:
            return self._line(time.monotonic() + START_SECONDS) == b""
        except OSError:
            return False

    def _ask(self, data: bytes, kind: str, target: int) -> bytes | None:
        deadline = time.monotonic() + self._config.decode_timeout
        self._channel.settimeout(self._config.decode_timeout)
        socket.send_fds(self._channel, [_HEADER.pack(kind.encode(), len(data))], [target])
        self._channel.sendall(data)
        return self._line(deadline)

    def _line(self, deadline: float) -> bytes | None:
        """One line without its end; None when the process ended. Raises TimeoutError."""
        line = b""
        while not line.endswith(b"\n") and len(line) < _LONGEST_LINE:
            self._channel.settimeout(max(deadline - time.monotonic(), 0.001))
            got = self._channel.recv(4096)
            if not got:
                return None
            line += got
        return line[:-1]

    def _read(self, answer: _Answer) -> Decoded:
        if answer.errno:
            raise OSError(answer.errno, os.strerror(answer.errno))
        if answer.decoded is None:
            raise refused(answer.refused if answer.refused in SENTENCES else "broken", self._config)
        return answer.decoded

    @property
    def usable(self) -> bool:
        """Whether it can be given another picture."""
        return self.process.poll() is None and time.monotonic() - self.idle_since < IDLE_SECONDS

    def kill(self) -> None:
        """End it at once, whatever it is doing."""
        self.process.kill()
        self.process.wait()
        self._channel.close()


class DecoderPool:
    """Idle decoders, the warmest last."""

    def __init__(self, config: MediaConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._idle: list[Decoder] = []
        self._busy: set[Decoder] = set()
        self._closed = False

    def decode(self, data: bytes, kind: str, target: int) -> Decoded:
        """See Decoder.decode; also raises MediaError("decoder_unavailable")."""
        decoder = self._take()
        try:
            return decoder.decode(data, kind, target)
        except BadPicture:
            if self._closed:  # not the picture's fault
                raise _unavailable() from None
            raise
        finally:
            self._give_back(decoder)

    def _take(self) -> Decoder:
        with self._lock:
            while self._idle:
                decoder = self._idle.pop()
                if decoder.usable:
                    self._busy.add(decoder)
                    return decoder
                decoder.kill()
        decoder = Decoder(self._config)
        with self._lock:
            self._busy.add(decoder)
        return decoder

    def _give_back(self, decoder: Decoder) -> None:
        decoder.idle_since = time.monotonic()
        with self._lock:
            self._busy.discard(decoder)
            if decoder.usable and not self._closed:
                self._idle.append(decoder)
                return
        decoder.kill()

    def close(self) -> None:
        """End all decoders; pictures being decoded fail."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            busy = list(self._busy)
        for decoder in idle:
            decoder.kill()
        for decoder in busy:
            decoder.process.kill()  # its own thread notices and tidies


def _unavailable() -> MediaError:
    return MediaError("decoder_unavailable", "现在看不了图片，请稍后再发一次。")


def _start(channel: int, config: MediaConfig) -> subprocess.Popen[bytes]:
    limits = {
        "max_bytes": config.max_bytes,
        "max_side": config.max_side,
        "max_ratio": config.max_ratio,
        "max_pixels_jpeg": config.max_pixels_jpeg,
        "max_pixels_png": config.max_pixels_png,
        "max_pixels_other": config.max_pixels_other,
        "timeout": config.decode_timeout,
    }
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    return subprocess.Popen(
        [sys.executable, "-I", str(_SCRIPT), str(channel), json.dumps(limits)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[channel],
        env={**environment, "MALLOC_ARENA_MAX": "1"},
        cwd="/",
    )
