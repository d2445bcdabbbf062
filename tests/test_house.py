"""The house is in order: style, types and who may import whom."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("bot", "adapters", "handlers")


def run(*command: str) -> None:
    """Run a tool of this environment at the top of the repository; its output is the failure message."""
    program = shutil.which(command[0], path=str(Path(sys.executable).parent))
    assert program is not None, f"{command[0]} is not installed: pip install -e '.[test]'"
    done = subprocess.run([program, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(done.stdout + done.stderr, pytrace=False)


def test_lint() -> None:
    run("ruff", "check", "--output-format", "concise", ".")


def test_format() -> None:
    run("ruff", "format", "--check", ".")


def test_types() -> None:
    run("basedpyright", "--pythonpath", sys.executable)


def test_import_contracts() -> None:
    run("lint-imports", "--no-cache")


def test_starting_imports_nothing_heavy() -> None:
    """The service must start light: engines, OCR and decoders load when they are first needed."""
    heavy = ("torch", "transformers", "onnxruntime", "rapidocr", "cv2", "numpy", "PIL", "openai", "pydantic")
    code = f"import sys, bot.app, adapters.generic, handlers.ask; print([n for n in {heavy!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_file_is_longer_than_a_noun_needs() -> None:
    """A longer file hides a second noun."""
    long = [
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if len(path.read_text(encoding="utf-8").splitlines()) > 400
    ]
    assert long == []
