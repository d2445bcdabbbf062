"""Products x Wᵀ of a few rows, x bfloat16 [M, K] and contiguous, with M up to 64: what a decode step consists of.

A weight is bfloat16 [N, K] or `packing.Packed`. Such a product takes as long as its weight takes to arrive, so all that
is tuned here is how many bytes are under way: how rows and columns are shared out (`Config`, `measured`). Nothing is
tried out at run time. More than 64 rows go through the vendor's library.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from bot.engine.local.kernels import triton_code
from bot.engine.local.kernels.measured import MEASURED
from bot.engine.local.kernels.packing import Packed

#: the most rows that the kernels take
MOST_ROWS = 64
#: rows from which int4 weights are made whole before they are multiplied
WIDE_FROM = 32
_UNLIKE = 2.0

Weight = Tensor | Packed


@dataclass(frozen=True, slots=True)
class Config:
    """outputs: rows of the weight per program. columns: of it, or words where it is packed, per turn. shares: programs
    that share a row's columns. warps and stages: Triton's."""

    outputs: int
    columns: int
    shares: int
    warps: int
    stages: int


@dataclass(slots=True)
class Launch:
    """How kernels follow one another. overlap: a kernel is set up while the one in front of it still runs (programmatic
    dependent launch)."""

    overlap: bool = True


LAUNCH = Launch()

TABLE = {key: Config(*values) for key, values in MEASURED.items()}


def usable(device: torch.device) -> bool:
    """Whether the kernels run on a device: they use what Hopper has, and are measured there only."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device)[0] == 9


def rows_class(rows: int) -> int:
    """Rows as the kernels count them: 8, 16, 32 or 64."""
    return next(size for size in (8, 16, 32, 64) if rows <= size)


def kind_of(weight: Weight) -> str:
    """dense, int8, fp8 or int4."""
    return weight.kind if isinstance(weight, Packed) else "dense"


def shape_of(weight: Weight) -> tuple[int, int]:
    """Outputs N and inputs K."""
    return (weight.outputs, weight.inputs) if isinstance(weight, Packed) else (weight.shape[0], weight.shape[1])


def config_of(weight: Weight, rows: int, gated: bool) -> Config:
    """The measured configuration, or a guess that fills the chip."""
    kind, (outputs, inputs), size = kind_of(weight), shape_of(weight), rows_class(rows)
    outputs = outputs // 2 if gated else outputs
    known = _nearest(kind, gated, outputs, inputs, size)
    if known is not None:
        return known
    shares = 1 if gated else max(1, min(8, 512 * 64 // outputs, inputs // 1024))
    return Config(64, 128 if kind == "dense" else 64, shares, 4, {"dense": 4, "int4": 2}.get(kind, 3))


@cache
def _nearest(kind: str, gated: bool, outputs: int, inputs: int, size: int) -> Config | None:
    """What was measured for this shape, or for the one that is most like it and not half or twice as large."""
    found = {
        max(outputs / of, of / outputs) * max(inputs / wide, wide / inputs): config
        for (one, either, of, wide, rows), config in TABLE.items()
        if (one, either, rows) == (kind, gated, size)
    }
    likest = min(found, default=_UNLIKE)
    return found[likest] if likest < _UNLIKE else None


def parts(x: Tensor, weight: Weight) -> Tensor:
    """Shares of the product, float32 [shares, M, N], to be added up by the kernel that reads them."""
    config = config_of(weight, x.shape[0], gated=False)
    out = torch.empty(config.shares, x.shape[0], shape_of(weight)[0], dtype=torch.float32, device=x.device)
    launch(config, x, weight, None, out, gated=False)
    return out


def product(x: Tensor, weight: Weight, bias: Tensor | None = None, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """x Wᵀ + bias, [M, N]; any M."""
    if x.shape[0] > MOST_ROWS:
        return F.linear(x, widen(weight) if isinstance(weight, Packed) else weight, bias).to(dtype)
    config = config_of(weight, x.shape[0], gated=False)
    if config.shares > 1:
        from bot.engine.local.kernels.pointwise import add_parts

        return add_parts(parts(x, weight), bias, dtype)
    out = torch.empty(x.shape[0], shape_of(weight)[0], dtype=dtype, device=x.device)
    launch(config, x, weight, bias, out, gated=False)
    return out


def gated(x: Tensor, weight: Weight) -> Tensor:
    """silu(gate) · up of a weight [2 I, K] with gate first: bfloat16 [M, I]; any M."""
    if x.shape[0] > MOST_ROWS:
        from bot.engine.local.kernels.pointwise import gated_silu

        return gated_silu(product(x, weight))
    config = config_of(weight, x.shape[0], gated=True)
    out = torch.empty(x.shape[0], shape_of(weight)[0] // 2, dtype=torch.bfloat16, device=x.device)
    launch(config, x, weight, None, out, gated=True)
    return out


def launch(config: Config, x: Tensor, weight: Weight, bias: Tensor | None, out: Tensor, *, gated: bool) -> None:
    """Run one kernel: out [shares, M, N] or, of one share, [M, N]."""
    kind, (outputs, inputs) = kind_of(weight), shape_of(weight)
    outputs = outputs // 2 if gated else outputs
    common = {
        "GATED": gated,
        "HAS_BIAS": bias is not None,
        "BM": rows_class(x.shape[0]),
        "BN": config.outputs,
        "PDL": LAUNCH.overlap,
        "num_warps": config.warps,
        "num_stages": config.stages,
        "launch_pdl": LAUNCH.overlap,
    }
    grid = (blocks_of(outputs, config.outputs), config.shares)
    bias = x if bias is None else bias
    if not isinstance(weight, Packed):
        code = triton_code("products")

        common |= {"EVEN": inputs % config.columns == 0, "BK": config.columns}
        share = blocks_of(blocks_of(inputs, config.columns), config.shares)
        code.dense_kernel[grid](x, weight, bias, out, x.shape[0], outputs, inputs, share, **common)
        return
    code = triton_code("packed")

    words = weight.words.shape[1]
    share = blocks_of(words // config.columns, config.shares)
    common["EVEN"] = inputs % (512 if kind == "int4" else 256) == 0
    if kind != "int4":
        kernel = code.bytes_kernel
        common |= {"KIND": kind, "BW": config.columns}
    elif rows_class(x.shape[0]) >= WIDE_FROM:
        kernel = code.wide_nibbles_kernel
    else:
        kernel = code.nibbles_kernel
    kernel[grid](x, weight.words, weight.scale, bias, out, x.shape[0], outputs, inputs, words, share, **common)


def blocks_of(size: int, block: int) -> int:
    """How many blocks it takes."""
    return -(-size // block)


def widen(packed: Packed) -> Tensor:
    """The weight as bfloat16 [N, K], for products of many rows."""
    code = triton_code("packed")

    out = torch.empty(packed.outputs, packed.inputs, dtype=torch.bfloat16, device=packed.words.device)
    words = packed.words.shape[1]
    grid = (blocks_of(packed.outputs, 32), words // 64)
    code.widen_kernel[grid](
        packed.words, packed.scale, out, packed.outputs, packed.inputs, words, KIND=packed.kind, BN=32
    )
    return out
