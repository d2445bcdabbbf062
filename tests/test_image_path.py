"""`image_path`: files below the operator's folders, and nothing else."""

import os
from pathlib import Path

import pytest

from bot.errors import BadPicture
from bot.media import safe_image_path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(b"a")
    (folder / "sub" / "图 b.jpg").write_bytes(b"b")
    (tmp_path / "root-evil").mkdir()
    (tmp_path / "root-evil" / "b.jpg").write_bytes(b"b")
    (folder / "out").symlink_to("/etc/passwd")
    (folder / "outdir").symlink_to("/etc")
    (folder / "loop").symlink_to("loop")
    (folder / "dangling").symlink_to("nothing")
    (folder / "inside").symlink_to("a.jpg")
    (folder / "device").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe")
    return folder


@pytest.mark.parametrize("given_", ["a.jpg", "a.jpg/", "./sub/../a.jpg", "sub/图 b.jpg", "{root}/a.jpg", "inside"])
def test_a_path_below_the_root_is_read(root: Path, given_: str) -> None:
    path = safe_image_path([Path("/nonexistent"), root], given_.format(root=root))
    assert path.is_file() and path == path.resolve()


FORBIDDEN_PATHS = [
    "",
    ".",
    "sub",
    "{root}",
    "..",
    "../root-evil/b.jpg",
    "{root}-evil/b.jpg",
    "{root}/../root-evil/b.jpg",
    "sub/../../root-evil/b.jpg",
    "/etc/passwd",
    "../../../../../../../../etc/passwd",
    "out",
    "outdir/passwd",
    "loop",
    "dangling",
    "device",
    "pipe",
    "/dev/zero",
    "/proc/self/environ",
    "/proc/self/root/etc/passwd",
    "a.jpg\0.png",
    "a.jpg/..",
    "absent.jpg",
    "file:///etc/passwd",
    "~/a.jpg",
    "a" * 5000,
    "\udcff",
    "..\\root-evil\\b.jpg",
]


@pytest.mark.parametrize("given_", FORBIDDEN_PATHS)
def test_any_other_path_is_refused_alike(root: Path, given_: str) -> None:
    with pytest.raises(BadPicture) as caught:
        safe_image_path([root], given_.format(root=root))
    assert (caught.value.code, str(caught.value)) == ("forbidden_path", "不能读取这个路径的图片。")


def test_without_roots_nothing_is_read(root: Path) -> None:
    with pytest.raises(BadPicture):
        safe_image_path([], str(root / "a.jpg"))
