"""Where checkpoints lie and what their files say of them, without torch.

Folders of Hugging Face's and ModelScope's own caches are found. Safetensors are read, and torch's own files where there
are none, by a reader that takes tensors only: no code that comes with a checkpoint is run. Sources:
https://huggingface.co/docs/huggingface_hub/guides/manage-cache and
https://huggingface.co/docs/safetensors; ModelScope's `modelscope.hub.utils.utils.model_id_to_dir`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, cast

from bot.engine.local.models import FAMILIES
from bot.errors import ConfigError

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
_TORCH_INDEX = "pytorch_model.bin.index.json"
#: single files, the first that is there counts
_SINGLES = (SINGLE, "gptq_model-*.safetensors", "pytorch_model.bin", "gptq_model-*.bin")
#: the same publisher on ModelScope and on Hugging Face
_PUBLISHERS = (("ZhipuAI", "zai-org"),)
_HEADER_LIMIT = 100 << 20
#: 4-bit values in an element of auto-gptq's matrices
_PACKED = 8
_TORCH_TYPES = {"torch.float32": "F32", "torch.float16": "F16", "torch.bfloat16": "BF16", "torch.int32": "I32"}
_DECODER = re.compile(r"model\.(language_model\.)?layers\.\d+\.(?!.*(Plora|lora_|qzeros|scales|g_idx))")


@dataclass(frozen=True, slots=True)
class Facts:
    """bytes: of the files. sizes: values by dtype ("BF16"). values: in all; layer_values: in the decoder layers'
    matrices; table_values: in the embeddings. family: None for one that is not known here."""

    folder: Path
    model_type: str
    family: str | None
    bytes: int
    sizes: Mapping[str, int]
    values: int
    layer_values: int
    table_values: int

    def weight_bytes(self, kind: str, rest: int = 2) -> int:
        """Memory of the weights kept as bf16, fp32, fp8, int8 or int4; rest: bytes of a value that is not packed."""
        if kind in ("bf16", "fp32"):
            return self.values * (2 if kind == "bf16" else 4)
        others = self.values - self.layer_values
        if kind != "int4":
            return others * rest + self.layer_values
        # Half a byte, and 4 bytes of scale and zero for 128 values; beside it head and vision tower are int8.
        return int(self.table_values * rest + (others - self.table_values) + self.layer_values * 0.53125)


def is_decoder(name: str) -> bool:
    """A name, of a tensor or a product, is a decoder layer's; what is added to some tokens only is not."""
    return _DECODER.match(name) is not None


def is_layer_matrix(name: str, dimensions: int) -> bool:
    """A tensor is one of those that quantising packs: a matrix of a decoder layer. The rest stays as it is."""
    return dimensions == 2 and is_decoder(name)


def huggingface_cache(environ: Mapping[str, str] = os.environ) -> Path:
    """Where Hugging Face's own tools keep checkpoints."""
    if environ.get("HF_HUB_CACHE"):
        return Path(environ["HF_HUB_CACHE"]).expanduser()
    return Path(environ.get("HF_HOME") or "~/.cache/huggingface").expanduser() / "hub"


def modelscope_cache(environ: Mapping[str, str] = os.environ) -> Path:
    """Where ModelScope's own tools keep checkpoints."""
    return Path(environ.get("MODELSCOPE_CACHE") or "~/.cache/modelscope/hub").expanduser()


def find(model: str, environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of a checkpoint: `model` itself, or what a cache has for this id. Raises ConfigError."""
    folder = Path(model).expanduser()
    if (folder / "config.json").is_file():
        return folder
    if model.startswith(("/", "./", "../", "~")) or model.count("/") != 1:
        raise ConfigError(f"{model} is neither a folder with a config.json nor an id like ZhipuAI/GLM-4.6V-Flash")
    for name in _names(model):
        for found in _cached(name, environ):
            if (found / "config.json").is_file():
                return found
    raise ConfigError(
        f"the model {model} is on this machine neither as a folder nor in a cache: kantu models pull {model}"
    )


def listed(environ: Mapping[str, str] = os.environ) -> Iterator[tuple[str, Path]]:
    """Id and folder of every checkpoint in the caches."""
    for repository in sorted(huggingface_cache(environ).glob("models--*--*")):
        name = "/".join(repository.name.split("--")[1:3])
        snapshot = _snapshot(repository)
        if snapshot is not None and (snapshot / "config.json").is_file():
            yield name, snapshot
    root = modelscope_cache(environ)
    for base in (root / "models", root, root / "hub" / "models", root / "hub"):
        for folder in sorted(base.glob("*/*")):
            # A link from the id to the folder whose dots are written out is the same checkpoint.
            if (folder / "config.json").is_file() and not folder.is_symlink():
                yield f"{folder.parent.name}/{folder.name.replace('___', '.')}", folder


def family_of(folder: Path) -> str:
    """The module of `models` for a checkpoint. Raises ConfigError that names those known."""
    kind = _model_type(folder)
    if kind not in FAMILIES:
        raise ConfigError(f"{folder}: the model type {kind!r} is not known; known: {', '.join(sorted(FAMILIES))}")
    return FAMILIES[kind]


def look(folder: Path) -> Facts:
    """What the files say. Raises ConfigError where some are missing or broken."""
    kind = _model_type(folder)
    size = values = layers = table = 0
    by_type: dict[str, int] = {}
    for file in weight_files(folder):
        size += file.stat().st_size
        for name, (dtype, shape) in header(file).items():
            count = prod(shape) * (_PACKED if name.endswith(".qweight") else 1)
            values += count
            by_type[dtype] = by_type.get(dtype, 0) + count
            if is_layer_matrix(name, len(shape)):
                layers += count
            elif name.endswith(("embed_tokens.weight", "tok_embeddings.weight")):
                table += count
    return Facts(folder, kind, FAMILIES.get(kind), size, by_type, values, layers, table)


def placed(folder: Path) -> dict[str, str] | None:
    """File by tensor, as an index says; None without one. Raises ConfigError."""
    index = next((folder / name for name in (INDEX, _TORCH_INDEX) if (folder / name).is_file()), None)
    if index is None:
        return None
    weights = read_json(index).get("weight_map")
    if not isinstance(weights, dict) or not weights:
        raise ConfigError(f"{index} has no weight_map")
    return {name: str(file) for name, file in cast("dict[str, Any]", weights).items()}


def weight_files(folder: Path) -> list[Path]:
    """The files of weights, all there. Raises ConfigError."""
    where = placed(folder)
    if where is None:
        found = [file.name for name in _SINGLES for file in sorted(folder.glob(name))]
        names = set(found[:1]) or {SINGLE}
    else:
        names = set(where.values())
    missing = sorted(name for name in names if not (folder / name).is_file())
    if missing:
        raise ConfigError(f"{folder} is not complete: {', '.join(missing[:3])} missing")
    return [folder / name for name in sorted(names)]


def header(file: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """dtype and shape by tensor, without reading the tensors. Raises ConfigError."""
    if file.suffix == ".bin":
        return _torch_header(file)
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > _HEADER_LIMIT:
                raise ValueError(f"a header of {length} bytes")
            tensors: dict[str, Any] = json.loads(stream.read(length))
        found = {name: (one["dtype"], tuple(one["shape"])) for name, one in tensors.items() if name != "__metadata__"}
        end = 8 + length + max((one["data_offsets"][1] for name, one in tensors.items() if name in found), default=0)
    except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
        raise ConfigError(f"{file} is no safetensors file: {error}") from error
    if file.stat().st_size < end:
        raise ConfigError(f"{file} is cut short: {file.stat().st_size} of {end} bytes")
    return found


def _torch_header(file: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Of a file of torch.save, which only torch can read."""
    import torch

    try:
        tensors: dict[str, Any] = torch.load(file, map_location="meta", weights_only=True, mmap=True)
        return {name: (_TORCH_TYPES.get(str(one.dtype), "?"), tuple(one.shape)) for name, one in tensors.items()}
    except Exception as error:  # torch raises what pickle, zipfile and it itself raise
        raise ConfigError(f"{file} cannot be read: {error}") from error


def fingerprint(folder: Path) -> str:
    """Names what the weights are: SHA-256 of the files' headers and sizes. Raises ConfigError."""
    digest = hashlib.sha256()
    for file in weight_files(folder):
        facts = sorted(header(file).items())
        digest.update(json.dumps([file.name, file.stat().st_size, facts]).encode())
    return digest.hexdigest()


def generation_settings(folder: Path) -> Mapping[str, Any]:
    """generation_config.json, or nothing."""
    path = folder / "generation_config.json"
    return read_json(path) if path.is_file() else {}


def text_settings(folder: Path) -> Mapping[str, Any]:
    """The decoder's part of config.json. Raises ConfigError."""
    config = read_json(folder / "config.json")
    return cast("dict[str, Any]", config.get("text_config") or config)


def cache_token_bytes(folder: Path) -> int:
    """What a token takes in the cache in 16 bits, by config.json."""
    text = text_settings(folder)
    heads = int(text.get("num_attention_heads", 32))
    size = int(text.get("head_dim") or int(text.get("hidden_size", 4096)) // heads)
    return 4 * int(text.get("num_hidden_layers", 40)) * int(text.get("num_key_value_heads") or heads) * size


def _model_type(folder: Path) -> str:
    return str(read_json(folder / "config.json").get("model_type", ""))


def read_json(path: Path) -> dict[str, Any]:
    """A file that holds a JSON object. Raises ConfigError."""
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path} is not a JSON object")
    return cast("dict[str, Any]", data)


def _names(model: str) -> list[str]:
    """The id, and what it is called on the other hub."""
    publisher, _, name = model.partition("/")
    others = [pair[1 - pair.index(publisher)] for pair in _PUBLISHERS if publisher in pair]
    return [model, *(f"{other}/{name}" for other in others)]


def name_on(hub: str, model: str) -> str:
    """An id as `huggingface` or `modelscope` has it."""
    publisher, _, name = model.partition("/")
    for pair in _PUBLISHERS:
        if publisher in pair:
            return f"{pair[1 if hub == 'huggingface' else 0]}/{name}"
    return model


def _cached(model: str, environ: Mapping[str, str]) -> Iterator[Path]:
    snapshot = _snapshot(huggingface_cache(environ) / f"models--{model.replace('/', '--')}")
    if snapshot is not None:
        yield snapshot
    root = modelscope_cache(environ)
    for base in (root / "models", root, root / "hub" / "models", root / "hub"):
        yield base / model.replace(".", "___")
        yield base / model


def _snapshot(repository: Path) -> Path | None:
    """The revision that `main` means, or the newest."""
    try:
        revision = (repository / "refs" / "main").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        revision = ""
    snapshots = repository / "snapshots"
    if revision and (snapshots / revision).is_dir():
        return snapshots / revision
    found = sorted(snapshots.glob("*/config.json"), key=lambda path: path.stat().st_mtime)
    return found[-1].parent if found else None
