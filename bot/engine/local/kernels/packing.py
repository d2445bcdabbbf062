"""Weights in the GPU kernels' layouts: int8 and e4m3 with a scale per row, int4 with scale and zero per 128 columns.

A weight [N, K] becomes int32 words [N, W]. The columns lie in blocks of 64 words: 256 columns of bytes or 512 of
nibbles; a last block that is not full is filled up with zeros. In a block, byte j of word w is column 64 j + w, and so
is nibble j: what a program unpacks at position j from 64 neighbouring words is 64 neighbouring columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

KINDS = ("int8", "fp8", "int4")
GROUP = 128
_WORDS = 64
_FP8_LARGEST = 448.0
_ROWS = 8192


@dataclass(frozen=True, slots=True)
class Packed:
    """A quantised weight.

    kind: one of KINDS. words: int32 [N, W]. scale: float32 [N] for int8 and fp8; for int4 int32 [groups, N], the upper
    half the scale and the lower half 128 + zero, each a bfloat16. inputs: K.
    """

    kind: str
    words: Tensor
    scale: Tensor
    inputs: int

    @property
    def outputs(self) -> int:
        """N."""
        return self.words.shape[0]

    @property
    def bytes(self) -> int:
        """What a product has to read."""
        return sum(part.numel() * part.element_size() for part in (self.words, self.scale))


def pack(weight: Tensor, kind: str) -> Packed:
    """Quantise a weight [N, K] on its own device; by some rows at a time, since the way there takes float32."""
    pieces = [_pack(weight[first : first + _ROWS], kind) for first in range(0, len(weight), _ROWS)]
    if len(pieces) == 1:
        return pieces[0]
    axis = 1 if kind == "int4" else 0
    words, scale = torch.cat([one.words for one in pieces]), torch.cat([one.scale for one in pieces], axis)
    return Packed(kind, words, scale.contiguous(), weight.shape[1])


def _pack(weight: Tensor, kind: str) -> Packed:
    if kind == "int4":
        return _pack_int4(weight)
    wide = weight.float()
    largest = wide.abs().amax(1).clamp(min=1e-12)
    if kind == "int8":
        scale = largest / 127
        values = (wide / scale[:, None]).round().clamp(-127, 127).to(torch.int8)
    elif kind == "fp8":
        scale = largest / _FP8_LARGEST
        values = (wide / scale[:, None]).clamp(-_FP8_LARGEST, _FP8_LARGEST).to(torch.float8_e4m3fn)
    else:
        raise ValueError(f"unknown kind of weight: {kind}")
    return Packed(kind, _join(values.view(torch.uint8), 8), scale, weight.shape[1])


def unpack(packed: Packed, dtype: torch.dtype = torch.float32) -> Tensor:
    """The weight [N, K] that the kernels compute with."""
    if packed.kind == "int4":
        return _unpack_int4(packed).to(dtype)
    codes = _split(packed.words, 8, packed.inputs)
    values = codes.view(torch.int8 if packed.kind == "int8" else torch.float8_e4m3fn)
    return (values.float() * packed.scale[:, None]).to(dtype)


def _pack_int4(weight: Tensor) -> Packed:
    """Sixteen steps from the smallest to the largest value of each group, zero among them."""
    rows, columns = weight.shape
    groups = F.pad(weight.float(), (0, -columns % GROUP)).view(rows, -1, GROUP)
    low = groups.amin(2).clamp(max=0.0)
    high = groups.amax(2).clamp(min=0.0)
    scale = ((high - low) / 15).clamp(min=1e-12).bfloat16().float()
    zero = (-low / scale).round().clamp(0, 15)
    codes = ((groups / scale[..., None]).round() + zero[..., None]).clamp(0, 15)
    words = _join(codes.to(torch.uint8).view(rows, -1)[:, :columns], 4)
    meta = torch.stack(((zero + 128).bfloat16(), scale.bfloat16()), dim=-1).view(torch.int32).squeeze(-1)
    meta = F.pad(meta, (0, words.shape[1] * 8 // GROUP - meta.shape[1]))
    return Packed("int4", words, meta.T.contiguous(), columns)


def _unpack_int4(packed: Packed) -> Tensor:
    rows = packed.outputs
    codes = _split(packed.words, 4, packed.words.shape[1] * 8).view(rows, -1, GROUP)
    zero, scale = packed.scale.T.contiguous().view(torch.bfloat16).view(rows, -1, 2).float().unbind(-1)
    return ((codes.float() - (zero - 128)[..., None]) * scale[..., None]).view(rows, -1)[:, : packed.inputs]


def _join(codes: Tensor, bits: int) -> Tensor:
    """uint8 codes [N, K] of so many bits to words [N, W], little end first."""
    rows, columns = codes.shape
    block = _WORDS * 32 // bits
    parts = F.pad(codes, (0, -columns % block)).view(rows, -1, 32 // bits, _WORDS)
    if bits == 4:
        parts = parts[:, :, 0::2] | (parts[:, :, 1::2] << 4)
    return parts.transpose(2, 3).contiguous().view(torch.int32).view(rows, -1)


def _split(words: Tensor, bits: int, columns: int) -> Tensor:
    """The first codes [N, columns], uint8, of words."""
    rows = words.shape[0]
    parts = words.contiguous().view(torch.uint8).view(rows, -1, _WORDS, 4).transpose(2, 3)
    if bits == 4:
        parts = torch.stack((parts & 15, parts >> 4), dim=3)
    return parts.reshape(rows, -1)[:, :columns].contiguous()
