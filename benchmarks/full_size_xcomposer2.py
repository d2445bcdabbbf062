"""InternLM-XComposer2-VL-7B's shape with random weights, made on the device: for speed, never for quality."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from random_shards import RandomShards

from bot.engine.local.linear import MakeLinear
from bot.engine.local.models.xcomposer2 import XComposer2
from bot.engine.local.models.xcomposer2_config import TOWER, read_config
from bot.engine.local.models.xcomposer2_tokenizer import Tokenizer

VOCABULARY = 92_544
_CONFIG: dict[str, Any] = {
    "architectures": ["InternLMXComposer2ForCausalLM"],
    "model_type": "internlmxcomposer2",
    "vocab_size": VOCABULARY,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "hidden_act": "silu",
    "bias": False,
    "rms_norm_eps": 1e-5,
    "max_position_embeddings": 32768,
    "rope_theta": 1000000,
    "rope_scaling": {"type": "dynamic", "factor": 1.0},
    "img_size": 490,
}
_WIDTH, _INNER, _DEPTH, _RANK = 1024, 4096, 24, 256


def write_folder(folder: Path) -> None:
    """All files of a checkpoint but the weights; bytes and the real ids of the control words as vocabulary."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(_CONFIG))
    (folder / "tokenizer.model").write_bytes(b"".join(_field(1, piece) for piece in _pieces()))


def _pieces() -> Iterator[bytes]:
    for number in range(VOCABULARY):
        kind, text = 1, f"t{number}"
        if number < 3:
            kind, text = (2 if number == 0 else 3), ("<unk>", "<s>", "</s>")[number]
        elif number < 259:
            kind, text = 6, f"<0x{number - 3:02X}>"
        elif number >= VOCABULARY - 147:
            kind, text = 4, f"[UNUSED_TOKEN_{number - (VOCABULARY - 147)}]"
        yield _field(1, text.encode()) + b"\x15" + struct.pack("<f", -float(number)) + b"\x18" + bytes([kind])


def _field(number: int, data: bytes) -> bytes:
    size, length = len(data), b""
    while True:
        size, low = size >> 7, size & 127
        length += bytes([low | (128 if size else 0)])
        if not size:
            return bytes([number << 3 | 2]) + length + data


def shapes() -> dict[str, tuple[int, ...]]:
    """Of the released checkpoint's tensors."""
    found: dict[str, tuple[int, ...]] = {
        "model.tok_embeddings.weight": (VOCABULARY, 4096),
        "output.weight": (VOCABULARY, 4096),
    }
    products = {"attention.wqkv": (6144, 4096), "attention.wo": (4096, 4096), "feed_forward.w2": (4096, 14336)}
    products |= dict.fromkeys(("feed_forward.w1", "feed_forward.w3"), (14336, 4096))
    for layer in range(32):
        name = f"model.layers.{layer}"
        found |= {f"{name}.attention_norm.weight": (4096,), f"{name}.ffn_norm.weight": (4096,)}
        for part, (outputs, inputs) in products.items():
            found[f"{name}.{part}.weight"] = (outputs, inputs)
            found[f"{name}.{part}.Plora_A.weight"] = (_RANK, inputs)
            found[f"{name}.{part}.Plora_B.weight"] = (outputs, _RANK)
    found["model.norm.weight"] = (4096,)
    return found | _tower() | _projector()


def _tower() -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {
        f"{TOWER}.embeddings.class_embedding": (_WIDTH,),
        f"{TOWER}.embeddings.patch_embedding.weight": (_WIDTH, 3, 14, 14),
        f"{TOWER}.embeddings.position_embedding.weight": (1226, _WIDTH),
    }
    norms = [f"{TOWER}.pre_layrnorm"]
    for layer in range(_DEPTH):
        name = f"{TOWER}.encoder.layers.{layer}"
        norms += [f"{name}.layer_norm1", f"{name}.layer_norm2"]
        sizes = dict.fromkeys([f"self_attn.{part}_proj" for part in ("q", "k", "v", "out")], (_WIDTH, _WIDTH))
        sizes |= {"mlp.fc1": (_INNER, _WIDTH), "mlp.fc2": (_WIDTH, _INNER)}
        for part, size in sizes.items():
            found |= {f"{name}.{part}.weight": size, f"{name}.{part}.bias": size[:1]}
    return found | {f"{norm}.{part}": (_WIDTH,) for norm in norms for part in ("weight", "bias")}


def _projector() -> dict[str, tuple[int, ...]]:
    first, second = "vision_proj.0", "vision_proj.2"
    return {
        **{f"{first}.weight": (4096, _WIDTH), f"{first}.bias": (4096,)},
        **{f"{second}.weight": (4096, 4096), f"{second}.bias": (4096,)},
    }


def full_size(folder: Path, device: torch.device, make: MakeLinear) -> XComposer2:
    """The model, in bfloat16."""
    write_folder(folder)
    shards = RandomShards(shapes(), device, torch.bfloat16)
    shards.folder = folder
    return XComposer2("random weights", read_config(folder, shards), Tokenizer(folder), shards, make)
