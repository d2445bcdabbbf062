"""What an InternLM-XComposer2 folder says about its model: config.json, and the shapes of its tensors.

Three generations share the decoder. 2.0 (VL: pictures of 490 pixels a side, composition: 224) squeezes a picture into
one square; 4KHD and 2.5 cut it into tiles. What real checkpoints leave to their code (the tower's heads, the scale of
PLoRA) may be written into config.json under `fixture_only`, as the small models of the tests do.
Source: the fields of `InternLMXcomposer2Config` and of CLIP ViT-L/14, and the names of the released tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bot.engine.local.checkpoint import read_json
from bot.engine.local.shards import Shards
from bot.errors import ConfigError

Variant = Literal["2.0", "4khd", "2.5"]

TOWER = "vit.vision_tower.vision_model"
LAYERS = "model.layers"
_FIRST = f"{LAYERS}.0.attention.wqkv"
_HEAD_OF_CLIP = 64
_TILE_PICTURES = {"4khd": 55, "2.5": 24}


@dataclass(frozen=True, slots=True)
class VisionConfig:
    """The tower. side: of what it sees, in pixels; grid: patches a side."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    patch: int
    side: int
    channels: int = 3
    epsilon: float = 1e-5

    @property
    def grid(self) -> int:
        """Patches a side."""
        return self.side // self.patch


@dataclass(frozen=True, slots=True)
class XComposer2Config:
    """The decoder and what is seen.

    ntk: the factor of dynamic NTK scaling, 0 for none; it begins beyond `context` tokens. scale: of PLoRA in wqkv, and
    in the other products. tiles: of one picture, at most; 0: pictures are one square.
    """

    variant: Variant
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int
    context: int
    epsilon: float
    theta: float
    ntk: float
    bias: bool
    scale: tuple[float, float]
    tiles: int
    vision: VisionConfig

    @property
    def head_size(self) -> int:
        """Values of a head."""
        return self.hidden // self.heads


def read_config(folder: Path, shards: Shards) -> XComposer2Config:
    """Read config.json beside the tensors' shapes. Raises ConfigError."""
    data = read_json(folder / "config.json")
    try:
        return _config(data, shards)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise ConfigError(f"{folder}: the model's settings cannot be used: {error!r}") from error


def _config(data: Mapping[str, Any], shards: Shards) -> XComposer2Config:
    if data.get("hidden_act", "silu") != "silu":
        raise ValueError(f"activation {data['hidden_act']!r}")
    # transformers 5 writes both into one field.
    rope: Mapping[str, Any] = data.get("rope_parameters") or data.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind not in ("default", "dynamic"):
        raise ValueError(f"rope {kind!r}")
    stated: Mapping[str, Any] = data.get("fixture_only") or {}
    variant = variant_of(data, shards)
    heads = data.get("num_attention_heads", 32)
    return XComposer2Config(
        variant=variant,
        hidden=data.get("hidden_size", 4096),
        intermediate=data.get("intermediate_size", 11008),
        layers=data.get("num_hidden_layers", 32),
        heads=heads,
        kv_heads=data.get("num_key_value_heads") or heads,
        vocabulary=data.get("vocab_size", 103168),
        context=data.get("max_position_embeddings", 2048),
        epsilon=data.get("rms_norm_eps", 1e-6),
        theta=float(rope.get("rope_theta", data.get("rope_theta", 10000.0))),
        ntk=float(rope.get("factor", 1.0)) if kind == "dynamic" else 0.0,
        bias=data.get("bias", True),
        scale=_scale(stated.get("plora") or {}, shards),
        tiles=_TILE_PICTURES.get(variant, 0),
        vision=_vision(data, stated.get("vision_config") or {}, variant, shards),
    )


def variant_of(data: Mapping[str, Any], shards: Shards) -> Variant:
    """By tensors that only some have, and by the type that 2.5 calls itself."""
    if "plora_sub_GN" not in shards:
        return "2.0"
    extra = f"{_FIRST}.lora_sft_A.weight" in shards
    return "2.5" if extra or data.get("model_type") == "internlm2" else "4khd"


def _scale(stated: Mapping[str, Any], shards: Shards) -> tuple[float, float]:
    """alpha / rank, which no checkpoint stores: 1 in all of them, but 2 in 4KHD's wqkv, whose rank is 8."""
    if "r" in stated:
        alpha, rank = stated["alpha"], stated["r"]
        return stated.get("wqkv_alpha", alpha) / stated.get("wqkv_r", rank), alpha / rank
    rank = shards.shape(f"{_FIRST}.Plora_A.weight")[0]
    return (16 / 8 if rank == 8 else 1.0), 1.0


def _vision(data: Mapping[str, Any], stated: Mapping[str, Any], variant: Variant, shards: Shards) -> VisionConfig:
    hidden, channels, patch, _ = shards.shape(f"{TOWER}.embeddings.patch_embedding.weight")
    places = shards.shape(f"{TOWER}.embeddings.position_embedding.weight")[0]
    side = int((places - 1) ** 0.5) * patch
    layers = 0
    while f"{TOWER}.encoder.layers.{layers}.layer_norm1.weight" in shards:
        layers += 1
    return VisionConfig(
        hidden=hidden,
        intermediate=shards.shape(f"{TOWER}.encoder.layers.0.mlp.fc1.weight")[0],
        layers=layers,
        heads=stated.get("num_attention_heads") or hidden // _HEAD_OF_CLIP,
        patch=patch,
        # Tiles are of the size that the tower was trained for.
        side=data.get("img_size", side) if variant == "2.0" else side,
        channels=channels,
        epsilon=stated.get("layer_norm_eps", 1e-5),
    )
