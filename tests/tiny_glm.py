"""A tiny random model folder of the GLM-4.1V/4.6V architecture, made on the spot: no download, no real weights.

`python tests/tiny_glm.py FOLDER` writes one. The tokenizer is byte-level, so that it encodes any text; the special
tokens are the family's. Weights are written by transformers' own `save_pretrained`.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch

SPECIALS = (
    *("<|endoftext|>", "[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>", "<|system|>", "<|user|>", "<|assistant|>"),
    *("<|observation|>", "<|begin_of_image|>", "<|end_of_image|>", "<|begin_of_video|>", "<|end_of_video|>"),
    *("<|image|>", "<|video|>", "/nothink"),
)
#: added tokens that are not special: they stay in decoded text
TAGS = ("<think>", "</think>", "<|begin_of_box|>", "<|end_of_box|>")

#: like GLM-4.1V-9B-Thinking's: it always thinks
THINKING_TEMPLATE = """[gMASK]<sop>
{%- for m in messages %}
<|{{ m.role }}|>{{ '\\n' }}
{%- if m.content is string %}
{{ m.content }}
{%- else %}
{%- for part in m.content %}
{%- if part.type == 'image' %}
<|begin_of_image|><|image|><|end_of_image|>
{%- else %}
{{ part.text }}
{%- endif %}
{%- endfor %}
{%- endif %}
{%- endfor %}
{% if add_generation_prompt %}<|assistant|>
{% endif %}"""

#: like GLM-4.5V's and GLM-4.6V's: `enable_thinking=False` marks every question and opens the answer
HYBRID_TEMPLATE = """[gMASK]<sop>
{%- macro words(content) -%}
{%- if content is string -%}{{- content -}}
{%- else -%}{%- for part in content if part.type == 'text' -%}{{- part.text -}}{%- endfor -%}{%- endif -%}
{%- endmacro -%}
{%- set quick = enable_thinking is defined and not enable_thinking -%}
{%- for m in messages -%}
{%- if m.role == 'user' -%}
{{- '<|user|>\\n' -}}
{%- if m.content is string -%}{{- m.content -}}
{%- else -%}
{%- for part in m.content -%}
{{- '<|begin_of_image|><|image|><|end_of_image|>' if part.type == 'image' else part.text -}}
{%- endfor -%}
{%- endif -%}
{{- '/nothink' if quick and not words(m.content).endswith('/nothink') else '' -}}
{%- elif m.role == 'assistant' -%}
{%- set answer = words(m.content).split('</think>')[-1].strip() -%}
{{- '<|assistant|>\\n<think></think>' -}}
{{- '\\n' + answer if answer else '' -}}
{%- else -%}
{{- '<|system|>\\n' + words(m.content) -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>\\n' + ('<think></think>\\n' if quick else '') -}}{%- endif -%}"""


def write_tiny_glm(
    folder: Path,
    *,
    seed: int = 0,
    template: str | None = HYBRID_TEMPLATE,
    layers: int = 3,
    tied: bool = False,
    shard_size: str = "5GB",
    dtype: torch.dtype = torch.float32,
    text: Mapping[str, Any] | None = None,
) -> Path:
    """Write a model folder: configuration, weights, tokenizer, picture settings, chat template (None: none).

    text: settings of the decoder other than the usual ones.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ids = _write_tokenizer(folder, template)
    with warnings.catch_warnings():
        # transformers warns about its own deprecated names while it builds and saves a model.
        warnings.filterwarnings("ignore", module=r"transformers\..*")
        _write_model(folder, ids, seed, {"num_hidden_layers": layers, **(text or {})}, tied, shard_size, dtype)
    pixels = {"shortest_edge": 12544, "longest_edge": 9633792}
    _write_json(folder / "preprocessor_config.json", {**_PICTURES, "size": pixels})
    return folder


_PICTURES: dict[str, Any] = {
    "do_rescale": True,
    "patch_size": 14,
    "temporal_patch_size": 2,
    "merge_size": 2,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "image_processor_type": "Glm4vImageProcessor",
    "processor_class": "Glm4vProcessor",
}


def _write_json(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")


def _write_tokenizer(folder: Path, template: str | None) -> dict[str, int]:
    """Bytes, a few merges (so that where a text is cut matters), the special tokens. Returns their ids."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("Ċ", "Ċ"), ("Ġ", "t"), ("t", "h"), ("th", "e"), ("i", "n"), ("<", "|"), ("|", ">"), ("å", "Ľ")]
    vocabulary = {token: number for number, token in enumerate([*alphabet, *(left + right for left, right in merges)])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    pattern = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIALS])
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in TAGS])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
        "model_max_length": 4096,
        "clean_up_tokenization_spaces": False,
    }
    _write_json(folder / "tokenizer_config.json", settings)
    if template is not None:
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return {text: tokenizer.token_to_id(text) for text in (*SPECIALS, *TAGS)} | {"": tokenizer.get_vocab_size()}


def _write_model(
    folder: Path,
    ids: Mapping[str, int],
    seed: int,
    changes: Mapping[str, Any],
    tied: bool,
    shard_size: str,
    dtype: torch.dtype,
) -> None:
    from transformers import GenerationConfig, Glm4vConfig, Glm4vForConditionalGeneration

    stops = [ids["<|endoftext|>"], ids["<|user|>"], ids["<|observation|>"]]
    text: dict[str, Any] = {
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        # more rows than tokens, as in the real checkpoints
        "vocab_size": -(-ids[""] // 64) * 64,
        "max_position_embeddings": 4096,
        "pad_token_id": ids["<|endoftext|>"],
        "eos_token_id": stops,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10000.0,
            "partial_rotary_factor": 0.5,
            "mrope_section": [1, 1, 2],
        },
        **changes,
    }
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "num_heads": 2,
        "intermediate_size": 48,
        "out_hidden_size": text["hidden_size"],
        "patch_size": 14,
        "image_size": 70,
    }
    config = Glm4vConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=ids["<|image|>"],
        video_token_id=ids["<|video|>"],
        image_start_token_id=ids["<|begin_of_image|>"],
        image_end_token_id=ids["<|end_of_image|>"],
        video_start_token_id=ids["<|begin_of_video|>"],
        video_end_token_id=ids["<|end_of_video|>"],
        tie_word_embeddings=tied,
    )
    model = Glm4vForConditionalGeneration(config)
    _randomize(model, seed)
    model.generation_config = GenerationConfig(eos_token_id=stops, pad_token_id=stops[0], do_sample=False)
    model.to(dtype).save_pretrained(folder, max_shard_size=shard_size)


def _randomize(model: torch.nn.Module, seed: int) -> None:
    """Every tensor random, norms and biases too, so that a weight in the wrong place shows."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            noise = torch.randn(tensor.shape, generator=generator)
            if tensor.ndim > 1:
                tensor.copy_(noise if "embed" in name and "patch" not in name else noise / tensor[0].numel() ** 0.5)
            else:
                tensor.copy_(0.3 * noise + (0.0 if name.endswith("bias") else 1.0))


if __name__ == "__main__":
    write_tiny_glm(Path(sys.argv[1]))
