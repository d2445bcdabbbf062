"""The model families, one module each. A module has `load(folder, device, dtype, make, *, name, shards) -> Model`."""

from __future__ import annotations

from collections.abc import Mapping

#: module by `model_type` of config.json
FAMILIES: Mapping[str, str] = {
    "glm4v": "glm4v",
    "glm46v": "glm4v",
    "internlmxcomposer2": "xcomposer2",
    "internlm2": "xcomposer2",
}
