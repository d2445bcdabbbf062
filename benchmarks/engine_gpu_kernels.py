"""The local engine's GPU kernels: right, and how near to the memory's speed a whole decode step comes.

    python benchmarks/engine_gpu_kernels.py [--kinds dense,fp8,int8,int4] [--rows 1,2,4,8,16,32,64] [--context 1152]
        [--no-checks]

First every kernel against float32; then one decode step of GLM-4.6V-Flash's shape with random weights, 40 layers of
their own, the head (always bfloat16) and an argmax, replayed as a CUDA graph. Beside it the same step with the vendor's
bfloat16 products, and the copy bandwidth of the card. One JSON object per line.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bot.engine.local.kernels import attention, packing, pointwise, products

HIDDEN, INNER, LAYERS, HEADS, KV_HEADS, SIZE, VOCABULARY = 4096, 13696, 40, 32, 2, 128, 151552
QKV = (HEADS + 2 * KV_HEADS) * SIZE
EPSILON = 1e-5
BLOCK = 16
TOLERANCE = 1e-2
DEVICE = "cuda"

Linear = Callable[[Tensor, products.Weight], Tensor]


def say(**values: object) -> None:
    """One line."""
    short = {key: round(value, 5) if isinstance(value, float) else value for key, value in values.items()}
    print(json.dumps(short), flush=True)


def bf16(*shape: int, size: float = 1.0) -> Tensor:
    """Random values."""
    return (torch.randn(shape, device=DEVICE) * size).bfloat16()


def error(out: Tensor, reference: Tensor) -> float:
    """‖out - reference‖ / ‖reference‖."""
    return ((out.float() - reference.float()).norm() / reference.float().norm()).item()


def plain_norm(x: Tensor, weight: Tensor) -> Tensor:
    """The norm in float32."""
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPSILON) * weight.float()


class Checks:
    """Compares and remembers the worst."""

    def __init__(self) -> None:
        self.failed = 0

    def __call__(self, name: str, **errors: float) -> None:
        good = all(value <= TOLERANCE for value in errors.values())
        self.failed += not good
        say(check=name, ok=good, **errors)


#: outputs and inputs: GLM-4.6V-Flash's layers and head, InternLM2-7B's, and an odd one
PRODUCTS = (
    *((4608, 4096), (4096, 4096), (27392, 4096), (4096, 13696), (151552, 4096)),
    *((6144, 4096), (28672, 4096), (4096, 14336), (92544, 4096)),
    (1000, 1352),
)


def check_products(check: Checks, kinds: list[str], rows: list[int]) -> None:
    """Every kind, at the shapes of both models and at one without a full last block."""
    for kind in kinds:
        for outputs, inputs in PRODUCTS:
            dense = bf16(outputs, inputs, size=0.02)
            weight = dense if kind == "dense" else packing.pack(dense, kind)
            wide = dense.float() if kind == "dense" else packing.unpack(weight)
            bias, worst = bf16(outputs), {"product": 0.0, "parts": 0.0, "gated": 0.0}
            if kind != "dense":
                worst["widen"] = error(products.widen(weight), wide)
            for count in rows:
                x = bf16(count, inputs)
                plain = x.float() @ wide.T
                gate, up = plain.chunk(2, -1)
                found = {
                    "product": error(products.product(x, weight, bias), plain + bias.float()),
                    "parts": error(products.parts(x, weight).sum(0), plain),
                    "gated": error(products.gated(x, weight), F.silu(gate) * up),
                }
                worst |= {key: max(value, worst[key]) for key, value in found.items()}
            check(f"products {kind} {outputs}x{inputs}", **worst)


def check_pointwise(check: Checks) -> None:
    """Norms, rotation and storing, gate."""
    for rows in (1, 5, 64):
        shares, residual, post, weight = bf16(3, rows, HIDDEN).float(), bf16(rows, HIDDEN), bf16(HIDDEN), bf16(HIDDEN)
        total = shares.sum(0)
        kept, out = pointwise.sandwich_norm(shares, residual, post, weight, EPSILON)
        after = residual.float() + plain_norm(total, post)
        check(f"sandwich_norm {rows}", kept=error(kept, after), out=error(out, plain_norm(after, weight)))
        x = bf16(rows, HIDDEN)
        kept, out = pointwise.add_rms_norm(x, residual, weight, EPSILON)
        after = x.float() + residual.float()
        check(f"add_rms_norm {rows}", kept=error(kept, after), out=error(out, plain_norm(after, weight)))
        check(f"rms_norm {rows}", out=error(pointwise.rms_norm(x, weight, EPSILON), plain_norm(x.float(), weight)))
        gate, up = x.float().chunk(2, -1)
        check(f"gated_silu {rows}", out=error(pointwise.gated_silu(x), F.silu(gate) * up))
        check_rope(check, rows)


def check_rope(check: Checks, rows: int) -> None:
    """Also that nothing else in the cache changes."""
    angles = torch.randn(rows, 32, device=DEVICE)
    cos, sin = (part.repeat_interleave(2, -1).bfloat16() for part in (angles.cos(), angles.sin()))
    keys, values = (torch.zeros(rows + 4, BLOCK, KV_HEADS, SIZE, device=DEVICE).bfloat16() for _ in range(2))
    slots = torch.randperm((rows + 4) * BLOCK, device=DEVICE)[:rows]
    qkv, bias = torch.randn(2, rows, QKV, device=DEVICE), bf16(QKV)
    query = pointwise.rope_and_store(qkv, bias, cos, sin, slots, keys, values, HEADS)
    heads = (qkv.sum(0) + bias.float()).view(rows, -1, SIZE)
    turned, rest = heads.split((64, 64), -1)
    across = torch.stack((-turned[..., 1::2], turned[..., 0::2]), -1).flatten(-2)
    turned = torch.cat((turned * cos[:, None].float() + across * sin[:, None].float(), rest), -1)
    want = [torch.zeros_like(keys, dtype=torch.float32) for _ in range(2)]
    want[0].flatten(0, 1)[slots] = turned[:, HEADS : HEADS + KV_HEADS]
    want[1].flatten(0, 1)[slots] = heads[:, HEADS + KV_HEADS :]
    check(
        f"rope_and_store {rows}",
        query=error(query, turned[:, :HEADS]),
        keys=error(keys, want[0]),
        values=error(values, want[1]),
    )


def check_attention(check: Checks) -> None:
    """Lengths 1 to 8192, mixed in one batch, over shuffled blocks; rows of length 0 are zeros."""
    for lengths in (
        [1],
        [8192],
        [1152] * 3,
        [1, 15, 16, 17, 63, 64, 65, 8191],
        [torch.randint(1, 2000, ()).item()] * 64,
    ):
        count, width = len(lengths), 8192 // BLOCK
        blocks = 4096
        keys, values = (bf16(blocks, BLOCK, KV_HEADS, SIZE) for _ in range(2))
        table = torch.stack([torch.randperm(blocks, device=DEVICE)[:width] for _ in range(count)]).int()
        query = bf16(count, HEADS, SIZE)
        out = attention.paged_attention(query, keys, values, table, torch.tensor(lengths, device=DEVICE).int())
        worst = 0.0
        for row, length in enumerate(lengths):
            k, v = (part[table[row].long()].flatten(0, 1)[:length].float().transpose(0, 1) for part in (keys, values))
            want = F.scaled_dot_product_attention(query[row].float()[:, None], k, v, enable_gqa=True)[:, 0]
            worst = max(worst, error(out[row], want))
        check(f"paged_attention {count} sequences, {min(lengths)}-{max(lengths)}", worst=worst)
    empty = attention.paged_attention(query, keys, values, table, torch.zeros(count, device=DEVICE).int())
    check("paged_attention empty", largest=empty.abs().max().item())


@dataclass
class Layer:
    """Weights of one layer and its part of the cache."""

    qkv: products.Weight
    out: products.Weight
    gate_up: products.Weight
    down: products.Weight
    keys: Tensor
    values: Tensor


class Step:
    """A decode step; `run` may be captured."""

    def __init__(self, kind: str, rows: int, context: int) -> None:
        self.layers: list[Layer] = []
        self.bias, self.gain = bf16(QKV), bf16(HIDDEN)
        self.head = bf16(VOCABULARY, HIDDEN, size=0.02)
        width = -(-context // BLOCK)
        self.blocks = rows * width
        self.kind = kind
        for _ in range(LAYERS):
            weights = [random_weight(kind, *shape) for shape in SHAPES.values()]
            keys, values = (bf16(self.blocks, BLOCK, KV_HEADS, SIZE) for _ in range(2))
            self.layers.append(Layer(*weights, keys, values))
        self.resize(rows, context)

    def resize(self, rows: int, context: int) -> None:
        """Other rows, not more than at first."""
        width = -(-context // BLOCK)
        self.x = bf16(rows, HIDDEN)
        self.table = torch.randperm(self.blocks, device=DEVICE)[: rows * width].view(rows, width).int()
        self.lengths = torch.full((rows,), context, device=DEVICE).int()
        self.slots = self.table[:, -1].long() * BLOCK + (context - 1) % BLOCK
        angles = torch.randn(rows, 32, device=DEVICE)
        self.cos, self.sin = (part.repeat_interleave(2, -1).bfloat16() for part in (angles.cos(), angles.sin()))

    @property
    def weight_bytes(self) -> int:
        """Of all layers and the head."""
        parts = [weight for one in self.layers for weight in (one.qkv, one.out, one.gate_up, one.down)]
        sizes = [part.bytes if isinstance(part, packing.Packed) else part.numel() * 2 for part in parts]
        return sum(sizes) + self.head.numel() * 2

    def run(self, parts: Linear = products.parts, gated: Linear = products.gated) -> Tensor:
        """The ids that come next."""
        gain, x = self.gain, self.x
        h = pointwise.rms_norm(x, gain, EPSILON)
        for one in self.layers:
            query = pointwise.rope_and_store(
                parts(h, one.qkv), self.bias, self.cos, self.sin, self.slots, one.keys, one.values, HEADS
            )
            found = attention.paged_attention(query, one.keys, one.values, self.table, self.lengths)
            x, h = pointwise.sandwich_norm(parts(found.flatten(1), one.out), x, gain, gain, EPSILON)
            x, h = pointwise.sandwich_norm(parts(gated(h, one.gate_up), one.down), x, gain, gain, EPSILON)
        if parts is products.parts:
            return products.product(h, self.head, dtype=torch.float32).argmax(-1)
        return F.linear(h, self.head).float().argmax(-1)


SHAPES = {"qkv": (QKV, HIDDEN), "out": (HIDDEN, HIDDEN), "gate_up": (2 * INNER, HIDDEN), "down": (HIDDEN, INNER)}


def random_weight(kind: str, outputs: int, inputs: int) -> products.Weight:
    """Of a kind, made without quantising."""
    if kind == "dense":
        return bf16(outputs, inputs, size=0.02)
    sample = packing.pack(bf16(16, inputs, size=0.02), kind)
    scale = sample.scale.repeat(*([1] * (sample.scale.dim() - 1)), outputs // 16).contiguous()
    words = sample.words[torch.randint(0, 16, (outputs,), device=DEVICE)].contiguous()
    return packing.Packed(kind, words, scale, inputs)


def vendor_gated(x: Tensor, weight: products.Weight) -> Tensor:
    """F.linear, then the gate."""
    return pointwise.gated_silu(F.linear(x, weight))


def time_graph(run: Callable[[], object], repeats: int = 20) -> tuple[float, float]:
    """Milliseconds of a replay (median), and seconds until the graph stood."""
    began = time.perf_counter()
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    torch.cuda.synchronize()
    ready = time.perf_counter() - began
    return median(graph.replay, repeats), ready


def median(run: Callable[[], object], repeats: int) -> float:
    """Milliseconds."""
    for _ in range(3):
        run()
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(repeats + 1)]
    marks[0].record()
    for mark in marks[1:]:
        run()
        mark.record()
    torch.cuda.synchronize()
    return sorted(one.elapsed_time(other) for one, other in pairwise(marks))[repeats // 2]


def copy_bandwidth() -> float:
    """TB/s of a copy on the device, bytes read and written."""
    source = torch.randint(0, 255, (4 << 30,), dtype=torch.uint8, device=DEVICE)
    target = torch.empty_like(source)
    return 2 * source.numel() / median(lambda: target.copy_(source), 20) / 1e9


def measure(kinds: list[str], rows: list[int], context: int) -> None:
    """All steps."""
    for kind in kinds:
        step = Step(kind, max(rows), context)
        for count in rows:
            step.resize(count, context)
            took, ready = time_graph(step.run)
            line = {
                "kind": kind,
                "rows": count,
                "ms": took,
                "tokens_s": round(count / took * 1000),
                "weights_TBps": step.weight_bytes / took / 1e9,
                "ready_s": ready,
            }
            if kind == "dense":
                line["vendor_ms"] = time_graph(lambda step=step: step.run(F.linear, vendor_gated))[0]
            say(**line)
        del step
        torch.cuda.empty_cache()


@torch.inference_mode()
def main() -> int:
    """1 if a kernel is wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kinds", default="dense,fp8,int8,int4")
    parser.add_argument("--rows", default="1,2,4,8,16,32,64")
    parser.add_argument("--context", type=int, default=1152)
    parser.add_argument("--no-checks", action="store_true")
    options = parser.parse_args()
    kinds, rows = options.kinds.split(","), [int(one) for one in options.rows.split(",")]
    torch.backends.cuda.matmul.allow_tf32 = False
    say(card=torch.cuda.get_device_name(), torch=torch.__version__, copy_TBps=copy_bandwidth())
    check = Checks()
    if not options.no_checks:
        check_products(check, kinds, rows)
        check_pointwise(check)
        check_attention(check)
    measure(kinds, rows, options.context)
    say(wrong=check.failed)
    return 1 if check.failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
