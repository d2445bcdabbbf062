"""A short run of benchmarks/fuzz_receive.py over every platform; a long one is a command away."""

from __future__ import annotations

import pytest
from test_vectors import PLATFORMS, load_benchmark

fuzzer = load_benchmark("fuzz_receive")


@pytest.mark.parametrize("name", PLATFORMS)
def test_only_rejections_come_out(name: str) -> None:
    outcome = fuzzer.fuzz(name, seed=2026, tries=400)
    assert outcome.crashes == []
    # It got past the checks, and was also stopped by them.
    assert outcome.reasons["malformed"] > 0
    assert len(outcome.reasons) > 4
