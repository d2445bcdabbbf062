"""Work in a process of its own: what it imports and holds ends with it, and it can be stopped.

A file takes a second or more of a core and a hundred megabytes for a moment; neither belongs into the service.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import pickle
import sys
from collections.abc import Mapping
from typing import Any, Final
from weakref import WeakKeyDictionary

from bot.errors import DocumentFailed

#: seconds for one file
SECONDS: Final = 90.0
#: bytes of address space
_MEMORY: Final = 4 << 30
_AT_ONCE: Final = 2
_START: Final = "from bot.documents.apart import serve; serve()"
# The rest of the environment holds secrets.
_ENVIRONMENT: Final = ("PATH", "LD_LIBRARY_PATH", "LANG", "HOME", "TMPDIR", "XDG_CACHE_HOME", "FONTCONFIG_FILE")
_DONE: Final = b"\x00"

_places: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


async def run(module: str, *arguments: Any, seconds: float = SECONDS) -> bytes:
    """What `module.build(*arguments)` returns. Two at once, others wait.

    Raises DocumentFailed: with build's own words if it raised that, else that it was too slow or failed.
    """
    loop = asyncio.get_running_loop()
    async with _places.setdefault(loop, asyncio.Semaphore(_AT_ONCE)):
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-c",
            _START,
            stdin=-1,
            stdout=-1,
            stderr=-1,
            env=_environment(),
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(seconds):
                answer, errors = await child.communicate(pickle.dumps((module, arguments)))
        except TimeoutError:
            raise DocumentFailed("生成文件用的时间太长，已经停止。请把报告改短一些再试。") from None
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
    if answer[:1] == _DONE:
        return answer[1:]
    raise DocumentFailed(answer.decode("utf-8", "replace") or "生成文件失败，请稍后再试。") from _Failed(errors)


class _Failed(Exception):
    """The end of what the process said before it died."""

    def __init__(self, errors: bytes) -> None:
        super().__init__(errors.decode("utf-8", "replace")[-2000:])


def _environment() -> Mapping[str, str]:
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    return kept | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}


def serve() -> None:
    """The process's side: a pickled request from its parent on stdin, the file or a sentence on stdout."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    module, arguments = pickle.load(sys.stdin.buffer)
    answer = sys.stdout.buffer
    # What a library prints must not end up in the file.
    sys.stdout = sys.stderr
    try:
        answer.write(_DONE + importlib.import_module(module).build(*arguments))
    except DocumentFailed as error:
        answer.write(str(error).encode())
        sys.exit(1)
