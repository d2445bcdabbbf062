"""Tiny random checkpoints of the InternLM-XComposer2 family, and a slow decoder to compare with.

`python tests/tiny_xcomposer2.py FOLDER` writes one. The vocabulary is trained on the spot, as InternLM2's was made:
bytes, single digits, no space put in front, the words of turns last.
"""

from __future__ import annotations

import io
import json
import random
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

VOCABULARY = 512
TOWER = "vit.vision_tower.vision_model"
_WORDS = (
    "请 描述 图片 里面 的 颜色 左边 右边 多少 为什么 说明 比较 金额 元 订单 报告 "
    "the picture shows a red cat on page with blue boat "
    "please describe this image and that house near river int main return print def class for in range"
).split()

CONFIG: dict[str, Any] = {
    "architectures": ["InternLMXComposer2ForCausalLM"],
    "model_type": "internlmxcomposer2",
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "hidden_act": "silu",
    "bias": False,
    "rms_norm_eps": 1e-5,
    "max_position_embeddings": 4096,
    "rope_theta": 1000000,
    "rope_scaling": {"type": "dynamic", "factor": 1.0},
    "img_size": 56,
    "fixture_only": {
        "vision_config": {"num_attention_heads": 2},
        "plora": {"r": 8, "alpha": 8, "wqkv_r": 4, "wqkv_alpha": 8},
    },
}


def write_tiny_xcomposer2(
    folder: Path,
    *,
    seed: int = 0,
    variant: str = "2.0",
    bins: int = 0,
    changes: Mapping[str, Any] | None = None,
) -> Path:
    """Write a checkpoint folder.

    variant: as `XComposer2Config.variant`. bins: so many shards of torch.save; 0: safetensors.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = {**CONFIG, **(changes or {})}
    if variant == "2.5":
        config["model_type"] = "internlm2"
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    write_tokenizer(folder)
    tensors = random_tensors(config, seed, variant)
    if not bins:
        save_file(tensors, folder / "model.safetensors")
        return folder
    where: dict[str, str] = {}
    for number in range(bins):
        name = f"pytorch_model-{number + 1:05}-of-{bins:05}.bin"
        part = {key: tensors[key] for at, key in enumerate(sorted(tensors)) if at % bins == number}
        torch.save(part, folder / name)
        where |= dict.fromkeys(part, name)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": where}), encoding="utf-8")
    return folder


def write_tokenizer(folder: Path, sentences: Sequence[str] = ()) -> None:
    """Train tokenizer.model, and put the words of turns behind its pieces."""
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2 as proto

    dice = random.Random(7)
    text = [*sentences, *(" ".join(dice.choices(_WORDS, k=9)) for _ in range(600))]
    text += ["".join(dice.choices(_WORDS[:16], k=6)) for _ in range(600)]
    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text),
        model_writer=made,
        vocab_size=VOCABULARY - 4,
        model_type="bpe",
        byte_fallback=True,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        split_digits=True,
        character_coverage=1.0,
        minloglevel=2,
    )
    model = proto.ModelProto.FromString(made.getvalue())
    for word in ("——", *(f"[UNUSED_TOKEN_{number}]" for number in (0, 145, 146))):
        model.pieces.add(piece=word, score=0.0, type=proto.ModelProto.SentencePiece.USER_DEFINED)
    (folder / "tokenizer.model").write_bytes(model.SerializeToString())


def shapes(config: Mapping[str, Any], variant: str) -> dict[str, tuple[int, ...]]:
    """Of all tensors, by the checkpoint's names."""
    hidden, inner, heads = config["hidden_size"], config["intermediate_size"], config["num_attention_heads"]
    size, kv = hidden // heads, config["num_key_value_heads"]
    ranks = config["fixture_only"]["plora"]
    found: dict[str, tuple[int, ...]] = {"model.norm.weight": (hidden,)}
    found |= dict.fromkeys(("model.tok_embeddings.weight", "output.weight"), (config["vocab_size"], hidden))
    products = {
        "attention.wqkv": ((heads + 2 * kv) * size, hidden),
        "attention.wo": (hidden, hidden),
        "feed_forward.w1": (inner, hidden),
        "feed_forward.w3": (inner, hidden),
        "feed_forward.w2": (hidden, inner),
    }
    for layer in range(config["num_hidden_layers"]):
        name = f"model.layers.{layer}"
        found |= {f"{name}.attention_norm.weight": (hidden,), f"{name}.ffn_norm.weight": (hidden,)}
        for part, (outputs, inputs) in products.items():
            rank = ranks["wqkv_r"] if part.endswith("wqkv") else ranks["r"]
            found[f"{name}.{part}.weight"] = (outputs, inputs)
            found |= {f"{name}.{part}.Plora_A.weight": (rank, inputs), f"{name}.{part}.Plora_B.weight": (outputs, rank)}
            if config["bias"] and part.startswith("attention"):
                found[f"{name}.{part}.bias"] = (outputs,)
            for extra in ("sft", "dpo", "web") if variant == "2.5" else ():
                found |= {f"{name}.{part}.lora_{extra}_A.weight": (3, inputs)}
                found |= {f"{name}.{part}.lora_{extra}_B.weight": (outputs, 3)}
    return found | _sight(hidden, variant)


def _sight(hidden: int, variant: str) -> dict[str, tuple[int, ...]]:
    width, grid = 16, {"2.0": 4, "4khd": 24, "2.5": 40}[variant]
    merged = width if variant == "2.0" else 4 * width
    found: dict[str, tuple[int, ...]] = {
        f"{TOWER}.embeddings.class_embedding": (width,),
        f"{TOWER}.embeddings.patch_embedding.weight": (width, 3, 14, 14),
        f"{TOWER}.embeddings.position_embedding.weight": (1 + grid**2, width),
        "vision_proj.0.weight": (hidden, merged),
        "vision_proj.0.bias": (hidden,),
        "vision_proj.2.weight": (hidden, hidden),
        "vision_proj.2.bias": (hidden,),
    }
    norms = ["pre_layrnorm", "post_layernorm"]
    for layer in range(2):
        name = f"encoder.layers.{layer}"
        norms += [f"{name}.layer_norm1", f"{name}.layer_norm2"]
        sizes = dict.fromkeys([f"self_attn.{part}_proj" for part in ("q", "k", "v", "out")], (width, width))
        for part, size in {**sizes, "mlp.fc1": (24, width), "mlp.fc2": (width, 24)}.items():
            found |= {f"{TOWER}.{name}.{part}.weight": size, f"{TOWER}.{name}.{part}.bias": size[:1]}
    if variant != "2.0":
        found |= {"plora_glb_GN": (1, 1, merged), "plora_sub_GN": (1, 1, 1, merged)}
    return found | {f"{TOWER}.{norm}.{part}": (width,) for norm in norms for part in ("weight", "bias")}


def random_tensors(config: Mapping[str, Any], seed: int, variant: str) -> dict[str, Tensor]:
    """Norms and biases random too, so that a weight in the wrong place shows."""
    dice = torch.Generator().manual_seed(seed)
    tensors: dict[str, Tensor] = {}
    for name, shape in shapes(config, variant).items():
        noise = torch.randn(shape, generator=dice)
        if len(shape) == 1:
            tensors[name] = 0.3 * noise + (0.0 if name.endswith(("bias", "embedding")) else 1.0)
        else:
            tensors[name] = noise if "embed" in name and "patch" not in name else noise / shape[-1] ** 0.5
    return tensors


# ---------------------------------------------------------------- the slow decoder


def slow_logits(
    tensors: Mapping[str, Tensor],
    config: Mapping[str, Any],
    x: Tensor,
    pictures: Tensor,
    *,
    last: Sequence[int] | None = None,
) -> Tensor:
    """Logits [N, vocabulary] of embeddings [N, D]; pictures: bool [N]. Everything at once, nothing fused or cached.

    last: for each token the last place that was computed with it (None: all at once), which NTK scaling asks for.
    """
    ends = torch.tensor(last if last is not None else [len(x) - 1] * len(x))
    for layer in range(config["num_hidden_layers"]):
        name = f"model.layers.{layer}"
        h = _slow_norm(tensors, config, f"{name}.attention_norm", x)
        x = x + _slow_attention(tensors, config, name, h, pictures, ends)
        h = _slow_norm(tensors, config, f"{name}.ffn_norm", x)
        gate = _slow_product(tensors, config, f"{name}.feed_forward.w1", h, pictures)
        up = _slow_product(tensors, config, f"{name}.feed_forward.w3", h, pictures)
        x = x + _slow_product(tensors, config, f"{name}.feed_forward.w2", F.silu(gate) * up, pictures)
    return _slow_norm(tensors, config, "model.norm", x) @ tensors["output.weight"].T


def _slow_norm(tensors: Mapping[str, Tensor], config: Mapping[str, Any], name: str, x: Tensor) -> Tensor:
    return x / (x.pow(2).mean(-1, keepdim=True) + config["rms_norm_eps"]).sqrt() * tensors[f"{name}.weight"]


def _slow_product(
    tensors: Mapping[str, Tensor], config: Mapping[str, Any], name: str, x: Tensor, pictures: Tensor
) -> Tensor:
    stated = config["fixture_only"]["plora"]
    qkv = "wqkv_" if name.endswith("wqkv") else ""
    scale = stated[f"{qkv}alpha"] / stated[f"{qkv}r"]
    y = x @ tensors[f"{name}.weight"].T + tensors.get(f"{name}.bias", torch.zeros(1))
    more = (x @ tensors[f"{name}.Plora_A.weight"].T) @ tensors[f"{name}.Plora_B.weight"].T * scale
    return torch.where(pictures[:, None], y + more, y)


def _slow_attention(
    tensors: Mapping[str, Tensor], config: Mapping[str, Any], name: str, x: Tensor, pictures: Tensor, ends: Tensor
) -> Tensor:
    heads, groups = config["num_attention_heads"], config["num_key_value_heads"]
    size, each = config["hidden_size"] // heads, heads // groups
    mixed = _slow_product(tensors, config, f"{name}.attention.wqkv", x, pictures).view(len(x), groups, each + 2, size)
    found = torch.zeros(len(x), heads, size)
    for group in range(groups):
        key = _slow_turn(config, mixed[:, group, each], ends)
        for place in range(each):
            query = _slow_turn(config, mixed[:, group, place], ends)
            scores = query @ key.T / size**0.5
            scores = scores + torch.full_like(scores, float("-inf")).triu(1)
            found[:, group * each + place] = scores.softmax(-1) @ mixed[:, group, each + 1]
    return _slow_product(tensors, config, f"{name}.attention.wo", found.flatten(1), pictures)


def _slow_turn(config: Mapping[str, Any], x: Tensor, ends: Tensor) -> Tensor:
    """x [N, size], value i together with value i + half."""
    size, most, bases = x.shape[1], config["max_position_embeddings"], list[float]()
    for length in (ends + 1).tolist():
        factor = config["rope_scaling"]["factor"]
        grown = max(1.0, factor * length / most - (factor - 1)) if length > most else 1.0
        bases.append(config["rope_theta"] * grown ** (size / (size - 2)))
    turns = torch.tensor(bases)[:, None] ** (torch.arange(0, size, 2) / size)
    angles = torch.arange(len(x))[:, None] / turns
    first, second = x.chunk(2, -1)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


if __name__ == "__main__":
    write_tiny_xcomposer2(Path(sys.argv[1]))
