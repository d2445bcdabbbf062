"""Paths that a caller of the API names, held inside the folders that the operator opened."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bot.errors import BadPicture


def safe_image_path(roots: Sequence[Path], given: str) -> Path:
    """The real path of a regular file below one of `roots`; `given` is absolute or relative to a root.

    Touches the disk: call it in a thread. Raises BadPicture("forbidden_path"), the same whether the file is
    absent, elsewhere or not a file, so that nothing outside can be probed.
    """
    for root in roots:
        found = _below(root, given)
        if found is not None:
            return found
    raise BadPicture("forbidden_path", "不能读取这个路径的图片。")


def _below(root: Path, given: str) -> Path | None:
    try:
        home = root.resolve(strict=True)
        # Resolved before it is compared: a prefix test on the name lets symlinks and ROOT-evil/ through.
        path = (home / given).resolve(strict=True)
        return path if path.is_relative_to(home) and path.is_file() else None
    except (OSError, ValueError, RuntimeError):  # absent or unreadable; NUL or surrogates; symlink loop
        return None
