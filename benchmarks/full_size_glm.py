"""GLM-4.6V-Flash's shape with random weights, made on the device: for speed, never for quality."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from random_shards import RandomShards
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import Glm4vConfig, Glm4vForConditionalGeneration

from bot.engine.local.linear import MakeLinear
from bot.engine.local.models.glm4v import Glm4v
from bot.engine.local.models.glm4v_config import read_config
from bot.engine.local.models.glm4v_prompt import PromptWriter

VOCABULARY = 151_552
_FIRST_SPECIAL = 151_329
_SPECIALS = (
    *("<|endoftext|>", "[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>", "<|system|>", "<|user|>", "<|assistant|>"),
    *("<|observation|>", "<|begin_of_image|>", "<|end_of_image|>", "<|begin_of_video|>", "<|end_of_video|>"),
    *("<|image|>", "<|video|>"),
)
_TEXT = {
    "model_type": "glm4v_text",
    "hidden_size": 4096,
    "intermediate_size": 13696,
    "num_hidden_layers": 40,
    "num_attention_heads": 32,
    "num_key_value_heads": 2,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 65536,
    "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
    "attention_bias": True,
    "pad_token_id": 151329,
    "eos_token_id": [151329, 151336, 151338],
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 10000.0,
        "mrope_section": [8, 12, 12],
        "partial_rotary_factor": 0.5,
    },
}
_VISION = {
    "model_type": "glm4v_vision",
    "depth": 24,
    "hidden_size": 1536,
    "num_heads": 12,
    "intermediate_size": 13696,
    "out_hidden_size": 4096,
    "patch_size": 14,
    "image_size": 336,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "attention_bias": False,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
    "in_channels": 3,
}
_PICTURES = {
    "image_processor_type": "Glm4vImageProcessor",
    "patch_size": 14,
    "temporal_patch_size": 2,
    "merge_size": 2,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "size": {"shortest_edge": 12544, "longest_edge": 9633792},
}


def write_folder(folder: Path) -> None:
    """All files of a checkpoint but the weights; a byte-level tokenizer with the real ids of the control words."""
    folder.mkdir(parents=True, exist_ok=True)
    config: dict[str, Any] = {
        "architectures": ["Glm4vForConditionalGeneration"],
        "model_type": "glm4v",
        "image_token_id": 151343,
        "image_start_token_id": 151339,
        "image_end_token_id": 151340,
        "tie_word_embeddings": False,
        "text_config": _TEXT,
        "vision_config": _VISION,
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": _TEXT["eos_token_id"]}))
    (folder / "preprocessor_config.json").write_text(json.dumps(_PICTURES))
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate(letters)}
    vocabulary |= {f"<t{number}>": number for number in range(len(letters), _FIRST_SPECIAL)}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in _SPECIALS])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def shapes_of(folder: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of a checkpoint's tensors, as transformers would save them."""
    with torch.device("meta"):
        model = Glm4vForConditionalGeneration(Glm4vConfig.from_pretrained(folder))
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def full_size(folder: Path, device: torch.device, make: MakeLinear) -> Glm4v:
    """The model, in bfloat16."""
    write_folder(folder)
    shards = RandomShards(shapes_of(folder), device, torch.bfloat16)
    return Glm4v("random weights", read_config(folder), PromptWriter(folder), shards, make)
