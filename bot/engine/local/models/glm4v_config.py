"""What a GLM-4.1V/4.6V folder says about its model. Only the dense family: the mixtures of experts are others.

Source: transformers `configuration_glm4v.py` (names and defaults) and the files of zai-org/GLM-4.1V-9B-Thinking, whose
rope settings are still in the form of transformers 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.engine.local.checkpoint import read_json
from bot.errors import ConfigError

_MODEL_TYPES = {"glm4v", "glm46v"}
_TEXT_TYPES = {"", "glm4v_text"}


@dataclass(frozen=True, slots=True)
class TextConfig:
    """The decoder. rotary: how many values of a head turn; sections: pairs of them by axis (time, row, column)."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int
    context: int
    epsilon: float
    theta: float
    rotary: int
    sections: tuple[int, ...]

    @property
    def head_size(self) -> int:
        """Values of a head."""
        return self.hidden // self.heads


@dataclass(frozen=True, slots=True)
class VisionConfig:
    """The vision tower. merge: patches a side that become one token; out: size of a token's features."""

    hidden: int
    depth: int
    heads: int
    out: int
    intermediate: int
    patch: int
    frames: int
    channels: int
    merge: int
    bias: bool
    epsilon: float
    theta: float


@dataclass(frozen=True, slots=True)
class PictureConfig:
    """How a picture is prepared. The limits count pixels of all `frames` that a still picture is repeated to."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    rescale: float
    resample: int
    min_pixels: int
    max_pixels: int
    patch: int
    frames: int
    merge: int


@dataclass(frozen=True, slots=True)
class Glm4vConfig:
    """All of a folder's settings. tied: the head's weight is the embedding's."""

    text: TextConfig
    vision: VisionConfig
    pictures: PictureConfig
    image_token: int
    stop_ids: frozenset[int]
    tied: bool


def read_config(folder: Path) -> Glm4vConfig:
    """Read config.json, generation_config.json and preprocessor_config.json. Raises ConfigError."""
    config = read_json(folder / "config.json")
    text: dict[str, Any] = config.get("text_config") or {}
    vision: dict[str, Any] = config.get("vision_config") or {}
    kind, text_kind = config.get("model_type"), text.get("model_type", "")
    if kind not in _MODEL_TYPES or text_kind not in _TEXT_TYPES:
        raise ConfigError(f"{folder}: model_type {kind!r} ({text_kind!r}) is not of the family glm4v")
    try:
        vision_config = _vision(vision)
        return Glm4vConfig(
            text=_text(text),
            vision=vision_config,
            pictures=_pictures(_preprocessor(folder), vision_config),
            image_token=config.get("image_token_id", 151343),
            stop_ids=_stop_ids(folder, text, config),
            tied=bool(config.get("tie_word_embeddings") or text.get("tie_word_embeddings")),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{folder}: the model's settings cannot be used: {error!r}") from error


def _text(data: Mapping[str, Any]) -> TextConfig:
    rope: Mapping[str, Any] = data.get("rope_parameters") or data.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind != "default" or data.get("hidden_act", "silu") != "silu":
        raise ValueError(f"rope {kind!r}, activation {data.get('hidden_act')!r}")
    hidden, heads = data.get("hidden_size", 4096), data.get("num_attention_heads", 32)
    factor: float = rope.get("partial_rotary_factor", data.get("partial_rotary_factor", 1.0))
    config = TextConfig(
        hidden=hidden,
        intermediate=data.get("intermediate_size", 13696),
        layers=data.get("num_hidden_layers", 40),
        heads=heads,
        kv_heads=data.get("num_key_value_heads", 2) or heads,
        vocabulary=data.get("vocab_size", 151552),
        context=data.get("max_position_embeddings", 32768),
        epsilon=data.get("rms_norm_eps", 1e-5),
        theta=rope.get("rope_theta", data.get("rope_theta", 10000.0)),
        rotary=int(hidden // heads * factor),
        sections=tuple(rope.get("mrope_section", (8, 12, 12))),
    )
    if 2 * sum(config.sections) != config.rotary:
        raise ValueError(f"mrope_section {config.sections} does not fill {config.rotary} rotary values")
    return config


def _vision(data: Mapping[str, Any]) -> VisionConfig:
    if data.get("hidden_act", "silu") != "silu":
        raise ValueError(f"activation {data.get('hidden_act')!r}")
    rope: Mapping[str, Any] = data.get("rope_parameters") or {}
    return VisionConfig(
        hidden=data.get("hidden_size", 1536),
        depth=data.get("depth", 24),
        heads=data.get("num_heads", 12),
        out=data.get("out_hidden_size", 4096),
        intermediate=data.get("intermediate_size", 13696),
        patch=data.get("patch_size", 14),
        frames=data.get("temporal_patch_size", 2),
        channels=data.get("in_channels", 3),
        merge=data.get("spatial_merge_size", 2),
        bias=data.get("attention_bias", False),
        epsilon=data.get("rms_norm_eps", 1e-5),
        theta=rope.get("rope_theta", 10000.0),
    )


def _preprocessor(folder: Path) -> Mapping[str, Any]:
    """The picture settings: a file of their own, or within the processor's (as transformers 5 saves them)."""
    if (folder / "preprocessor_config.json").is_file():
        return read_json(folder / "preprocessor_config.json")
    if (folder / "processor_config.json").is_file():
        return read_json(folder / "processor_config.json").get("image_processor") or {}
    return {}


def _pictures(data: Mapping[str, Any], vision: VisionConfig) -> PictureConfig:
    size: Mapping[str, int] = data.get("size") or {}
    config = PictureConfig(
        mean=tuple(data.get("image_mean", (0.48145466, 0.4578275, 0.40821073))),
        deviation=tuple(data.get("image_std", (0.26862954, 0.26130258, 0.27577711))),
        rescale=data.get("rescale_factor", 1 / 255),
        resample=data.get("resample", 3),
        min_pixels=size.get("shortest_edge", 112 * 112),
        max_pixels=size.get("longest_edge", 28 * 28 * 15000),
        patch=data.get("patch_size", vision.patch),
        frames=data.get("temporal_patch_size", vision.frames),
        merge=data.get("merge_size", vision.merge),
    )
    if (config.patch, config.frames, config.merge) != (vision.patch, vision.frames, vision.merge):
        raise ValueError("config.json and the picture settings differ in patch, frames or merge size")
    return config


def _stop_ids(folder: Path, text: Mapping[str, Any], config: Mapping[str, Any]) -> frozenset[int]:
    generation = read_json(folder / "generation_config.json") if (folder / "generation_config.json").is_file() else {}
    for source in (generation, text, config):
        stop: int | list[int] | None = source.get("eos_token_id")
        if stop is not None:
            return frozenset([stop] if isinstance(stop, int) else stop)
    raise ValueError("no eos_token_id in generation_config.json or config.json")
