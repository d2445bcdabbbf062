"""The media folder: kept once, whole, and by hash; decoders that die take nothing with them."""

import asyncio
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from pictures import drawing, encoded, noise

from bot.config import MediaConfig
from bot.errors import BadPicture, MediaError
from bot.media import MediaStore


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[MediaStore]:
    media = MediaStore(tmp_path / "media", MediaConfig())
    yield media
    await media.close()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Set when a request has reached a decoder."""
    event, send = threading.Event(), socket.send_fds

    def send_and_tell(*arguments: object) -> int:
        count = send(*arguments)  # pyright: ignore[reportArgumentType]
        event.set()
        return count

    monkeypatch.setattr(socket, "send_fds", send_and_tell)
    yield event


def decoders() -> list[int]:
    """Process ids of this process's decoders."""
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == os.getpid() and b"decoder.py" in command:
            found.append(int(folder.name))
    return found


async def code(store: MediaStore, data: bytes) -> str:
    with pytest.raises(BadPicture) as caught:
        await store.keep(data)
    assert any("\u4e00" <= letter <= "\u9fff" for letter in str(caught.value))
    assert "{" not in str(caught.value)
    return caught.value.code


async def test_a_picture_is_kept_under_the_hash_of_the_bytes_received(store: MediaStore, tmp_path: Path) -> None:
    data = encoded(drawing())
    image = await store.keep(data, source="https://example.com/a.png")
    assert (image.source, image.mime_type, image.width, image.height) == (
        "https://example.com/a.png",
        "image/png",
        64,
        48,
    )
    path = store.path(image.sha256)
    assert path == tmp_path / "media" / image.sha256[:2] / f"{image.sha256}.png"
    assert path.stat().st_mode & 0o077 == 0
    assert list((tmp_path / "media" / "tmp").iterdir()) == []


async def test_the_same_bytes_again_are_not_decoded(store: MediaStore) -> None:
    for data in (encoded(drawing()), encoded(drawing(), "JPEG")):
        first = await store.keep(data)
        for pid in decoders():
            os.kill(pid, signal.SIGSTOP)  # whoever decodes now, hangs
        assert await store.keep(data) == first
        assert await store.find(first.sha256) == first
        for pid in decoders():
            os.kill(pid, signal.SIGCONT)


async def test_a_new_process_finds_what_an_old_one_kept(store: MediaStore, tmp_path: Path) -> None:
    kept = [await store.keep(encoded(drawing(), kind), source="a") for kind in ("PNG", "JPEG")]
    other = MediaStore(tmp_path / "media", MediaConfig())
    again = [await other.keep(encoded(drawing(), kind), source="a") for kind in ("PNG", "JPEG")]
    assert again == kept and await other.find("0" * 64) is None
    await other.close()


async def test_the_same_bytes_at_once_are_decoded_once(store: MediaStore, tmp_path: Path) -> None:
    data = encoded(noise(300, 200))
    images = await asyncio.gather(*(store.keep(data, source=str(number)) for number in range(20)))
    assert {image.source for image in images} == {str(number) for number in range(20)}
    assert len({image.sha256 for image in images}) == 1 and len(decoders()) == 1
    assert [path.suffix for path in (tmp_path / "media" / images[0].sha256[:2]).iterdir()] == [".png"]


async def test_one_waiter_that_gives_up_disturbs_no_other(store: MediaStore, sent: threading.Event) -> None:
    data = encoded(noise(600, 400))
    one, other = asyncio.create_task(store.keep(data)), asyncio.create_task(store.keep(data))
    await asyncio.to_thread(sent.wait, 20)
    one.cancel()
    assert (await other).width == 600
    assert isinstance((await asyncio.gather(one, return_exceptions=True))[0], asyncio.CancelledError)


async def test_a_decoder_killed_at_work_costs_one_picture(store: MediaStore, sent: threading.Event) -> None:
    await store.keep(encoded(drawing()))
    (pid,) = decoders()
    os.kill(pid, signal.SIGSTOP)
    sent.clear()
    task = asyncio.create_task(code(store, encoded(noise(90, 90))))
    await asyncio.to_thread(sent.wait, 20)
    os.kill(pid, signal.SIGKILL)
    assert await task == "broken"
    assert (await store.keep(encoded(noise(80, 80)))).width == 80
    assert decoders() != [pid]


async def test_a_decoder_killed_while_idle_costs_nothing(store: MediaStore) -> None:
    await store.keep(encoded(drawing()))
    (pid,) = decoders()
    os.kill(pid, signal.SIGKILL)
    await asyncio.to_thread(os.waitid, os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert (await store.keep(encoded(noise(80, 80)))).width == 80


async def test_a_decoder_that_takes_too_long_is_replaced(tmp_path: Path) -> None:
    media = MediaStore(tmp_path, MediaConfig(decode_timeout=1.5))
    await media.keep(encoded(drawing()))
    (pid,) = decoders()
    os.kill(pid, signal.SIGSTOP)
    assert await code(media, encoded(noise(90, 90))) == "too_slow"
    assert pid not in decoders()
    assert (await media.keep(encoded(drawing(50, 50)))).width == 50
    await media.close()


async def test_no_more_decoders_than_configured_and_none_after_close(tmp_path: Path) -> None:
    media = MediaStore(tmp_path, MediaConfig(decode_processes=2))
    assert decoders() == []
    await asyncio.gather(*(media.keep(encoded(drawing(40 + number, 40))) for number in range(12)))
    assert 1 <= len(decoders()) <= 2
    await media.close()
    assert decoders() == []


@pytest.mark.parametrize("line", ["junk", "{}", '{"refused": "nonsense"}', '{"decoded": {"mime_type": "text/html"}}'])
async def test_a_decoder_that_talks_nonsense_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    script = tmp_path / "decoder.py"
    script.write_text(
        "import socket, sys\n"
        "channel = socket.socket(fileno=int(sys.argv[1]))\n"
        "channel.sendall(b'\\n'); channel.recv(9999)\n"
        f"channel.sendall({line!r}.encode() + b'\\n'); channel.recv(9999)\n"
    )
    monkeypatch.setattr("bot.media.pool._SCRIPT", script)
    media = MediaStore(tmp_path / "media", MediaConfig())
    assert await code(media, encoded(drawing())) == "broken"
    await media.close()


async def test_a_decoder_idle_for_long_is_not_used_again(store: MediaStore, monkeypatch: pytest.MonkeyPatch) -> None:
    await store.keep(encoded(drawing()))
    (pid,) = decoders()
    monkeypatch.setattr("bot.media.pool.IDLE_SECONDS", -1.0)
    await store.keep(encoded(noise(40, 40)))
    assert pid not in decoders()


async def test_closing_does_not_blame_the_picture(store: MediaStore, sent: threading.Event) -> None:
    await store.keep(encoded(drawing()))
    (pid,) = decoders()
    os.kill(pid, signal.SIGSTOP)
    sent.clear()
    task = asyncio.create_task(store.keep(encoded(noise(90, 90))))
    await asyncio.to_thread(sent.wait, 20)
    await store.close()
    with pytest.raises(MediaError) as caught:
        await task
    assert caught.value.code == "decoder_unavailable"


async def test_no_decoder_is_an_error_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    media = MediaStore(tmp_path, MediaConfig())
    for executable in ("/nonexistent", shutil.which("false")):
        monkeypatch.setattr(sys, "executable", executable)
        with pytest.raises(MediaError) as caught:
            await media.keep(encoded(drawing()))
        assert caught.value.code == "decoder_unavailable" and not isinstance(caught.value, BadPicture)
    await media.close()


async def test_decoders_know_no_secrets(store: MediaStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KANTU_CANARY", "canary")
    await store.keep(encoded(drawing()))
    (pid,) = decoders()
    assert b"canary" not in await asyncio.to_thread(Path(f"/proc/{pid}/environ").read_bytes)
    limits = await asyncio.to_thread(Path(f"/proc/{pid}/limits").read_text)
    assert str(1 << 30) in next(line for line in limits.splitlines() if line.startswith("Max address space"))


async def test_a_full_disk_is_no_fault_of_the_picture(
    store: MediaStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open
    full = "/dev/full"
    monkeypatch.setattr("tempfile.mkstemp", lambda dir: (real(full, os.O_WRONLY), str(dir / "absent")))
    with pytest.raises(OSError, match="No space left"):
        await store.keep(encoded(drawing()))
    with pytest.raises(OSError, match="No space left"):
        await store.stash(b"bytes")


def test_the_service_imports_no_decoder() -> None:
    code = "import bot.media, bot.fetch, sys; print([m for m in ('PIL', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


async def test_absent_pictures_and_false_names(store: MediaStore) -> None:
    for name in ("0" * 64, "", "A" * 64, "../" * 21 + "a", "0" * 63, "0" * 64 + "\n", "/etc/passwd"):
        with pytest.raises(MediaError) as caught:
            await store.load(name)
        assert caught.value.code == "absent"
        with pytest.raises(MediaError):
            await store.unstash(name)
        with pytest.raises(MediaError):
            store.path(name)


def age(folder: Path, sha256: str) -> None:
    """As if it had been put aside an hour ago."""
    path = folder / "media" / "incoming" / sha256
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 3600))


async def test_delete_forgets_every_copy(store: MediaStore, tmp_path: Path) -> None:
    data = encoded(drawing())
    image, other = await store.keep(data), await store.keep(encoded(drawing(), "JPEG"))
    age(tmp_path, await store.stash(data))
    await store.delete(image.sha256)
    await store.delete(image.sha256)
    files = [path for path in (tmp_path / "media").rglob("*") if path.is_file()]
    assert files == [store.path(other.sha256)]
    assert await store.keep(data) == image


async def test_stashed_bytes_come_back_unchecked(store: MediaStore, tmp_path: Path) -> None:
    blobs = [str(number % 150).encode() * 100 for number in range(300)]
    names = await asyncio.gather(*(store.stash(blob) for blob in blobs))
    assert names == [hashlib.sha256(blob).hexdigest() for blob in blobs]
    assert await asyncio.gather(*(store.unstash(name) for name in names)) == blobs
    # Somebody may have put the same bytes aside this very moment.
    await store.drop_stash(names[0])
    assert await store.unstash(names[0]) == blobs[0]
    assert await store.stashed(60) == []
    age(tmp_path, names[0])
    assert await store.stashed(60) == [names[0]]
    await store.drop_stash(names[0])
    await store.drop_stash(names[0])
    with pytest.raises(MediaError):
        await store.unstash(names[0])
    assert len(list((tmp_path / "media" / "incoming").iterdir())) == 149
    assert list((tmp_path / "media" / "tmp").iterdir()) == []


async def test_a_stash_is_on_disk_before_it_returns(store: MediaStore, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    await asyncio.gather(*(store.stash(bytes([number])) for number in range(40)))
    assert sum("/tmp/" in name and "incoming" not in name for name in synced) >= 40
    assert synced[-1].endswith("/incoming")
    assert sum(name.endswith("/incoming") for name in synced) <= 40


async def test_sweep_removes_only_what_is_stale(store: MediaStore, tmp_path: Path) -> None:
    folder = tmp_path / "media"
    kept = await store.keep(encoded(drawing()))
    old, again, new = [await store.stash(text) for text in (b"old", b"again", b"new")]
    (folder / "tmp" / "left-by-a-crash").write_bytes(b"half")
    for path in (folder / "incoming" / old, folder / "incoming" / again, folder / "tmp" / "left-by-a-crash"):
        os.utime(path, (time.time() - 5000, time.time() - 5000))
    os.utime(store.path(kept.sha256), (0, 0))
    await store.stash(b"again")
    assert await store.sweep(older_than=4000) == 2
    assert await store.unstash(new) == b"new" and await store.unstash(again) == b"again"
    assert store.path(kept.sha256).is_file()
