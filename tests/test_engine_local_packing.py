"""Quantised weights: what is packed comes back, within the steps of its kind."""

from __future__ import annotations

import pytest
import torch

from bot.engine.local.kernels.packing import GROUP, KINDS, pack, unpack

SHAPES = [(1, 1), (3, 128), (5, 200), (16, 512), (7, 1352)]


def weight(rows: int, columns: int) -> torch.Tensor:
    """Rows of very different sizes."""
    values = torch.randn(rows, columns, generator=torch.Generator().manual_seed(rows * 7919 + columns))
    return values * torch.logspace(-3, 1, rows)[:, None]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_words_fill_whole_blocks(kind: str, shape: tuple[int, int]) -> None:
    packed = pack(weight(*shape), kind)
    per_word = 8 if kind == "int4" else 4
    assert packed.words.dtype == torch.int32
    assert packed.words.shape == (shape[0], -(-shape[1] // (64 * per_word)) * 64)
    assert (packed.outputs, packed.inputs) == shape
    assert unpack(packed).shape == shape
    if kind == "int4":
        assert packed.scale.shape == (packed.words.shape[1] * 8 // GROUP, shape[0])
    else:
        assert packed.scale.shape == (shape[0],)


@pytest.mark.parametrize("shape", SHAPES)
def test_int8_is_within_half_a_step(shape: tuple[int, int]) -> None:
    given = weight(*shape)
    packed = pack(given, "int8")
    assert ((unpack(packed) - given).abs() <= packed.scale[:, None] * 0.5001).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_fp8_keeps_three_bits_of_mantissa(shape: tuple[int, int]) -> None:
    given = weight(*shape)
    packed = pack(given, "fp8")
    smallest = packed.scale[:, None] * 2.0**-10
    assert ((unpack(packed) - given).abs() <= given.abs() * 2.0**-4 * 1.0001 + smallest).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_int4_is_within_a_step_of_its_group(shape: tuple[int, int]) -> None:
    given = weight(*shape)
    padded = torch.nn.functional.pad(given, (0, -shape[1] % GROUP)).view(shape[0], -1, GROUP)
    span = padded.amax(2).clamp(min=0) - padded.amin(2).clamp(max=0)
    step = (span / 15).repeat_interleave(GROUP, 1)[:, : shape[1]]
    assert ((unpack(pack(given, "int4")) - given).abs() <= step * 1.05 + 1e-9).all()


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_kind_can_say_comes_back_exactly(kind: str) -> None:
    once = unpack(pack(weight(6, 700), kind))
    if kind == "int4":
        once = once.bfloat16().float()
    again = unpack(pack(once, kind))
    assert torch.allclose(once, again, rtol=2e-2, atol=1e-6)


def test_columns_lie_sixty_four_apart() -> None:
    given = torch.zeros(1, 512)
    given[0, 64 * 3 + 5] = 1.0
    assert pack(given, "int8").words.nonzero().tolist() == [[0, 5]]
    assert pack(given, "int8").words[0, 5].item() == 127 << 24
    assert (pack(given, "int4").words[0, 5].item() >> 12) & 15 == 15


@pytest.mark.parametrize("kind", KINDS)
def test_zeros_stay_zeros(kind: str) -> None:
    assert unpack(pack(torch.zeros(2, 300), kind)).abs().max() == 0


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="int3"):
        pack(torch.zeros(1, 1), "int3")
