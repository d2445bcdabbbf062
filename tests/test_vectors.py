"""Every platform's requests, honest and forged: decoded in this process, and once more through a real server.

The requests are built and signed by the vectors_*.py files, which share no code with the bot.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

TESTS = Path(__file__).parent
PLATFORMS = sorted(path.stem for path in TESTS.glob("vectors_*.py"))


def load_benchmark(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, TESTS.parent / "benchmarks" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


runner = load_benchmark("platform_vectors")
server = load_benchmark("vectors_server")


def vectors(name: str) -> dict[str, Any]:
    return importlib.import_module(name).vectors()


def mismatches(results: Any) -> list[str]:
    return [line for case, record in results for line in runner.mismatches(case, record)]


@pytest.mark.parametrize("name", PLATFORMS)
def test_decoded_in_process(name: str) -> None:
    data = vectors(name)
    assert len(data["cases"]) >= 40
    assert len({case["id"] for case in data["cases"]}) == len(data["cases"])
    assert mismatches(runner.run_file(data)) == []


@pytest.mark.parametrize("name", PLATFORMS)
async def test_decoded_through_a_real_server(name: str) -> None:
    assert mismatches(await server.serve_file(vectors(name))) == []


def test_every_adapter_has_vectors() -> None:
    covered = {runner.terms(vectors(name)["platform"]).module for name in PLATFORMS} | {"generic"}
    adapters = {path.stem for path in (TESTS.parent / "adapters").iterdir() if (path / "__init__.py").exists()}
    adapters |= {path.stem for path in (TESTS.parent / "adapters").glob("*.py")}
    assert adapters - {"__init__", "simulated"} == covered
