"""Our engine against a real server: `transformers serve` with a tiny vision-language model of random weights.

The answers are noise; what is checked is the wire: whole and streamed answers, usage, pictures, thinking marks
left alone, refusals. Nothing is downloaded. Needs, in one environment, this project and

    pip install "torch<=2.13.0" "transformers[serving]>=5,<6"

and is run as `python benchmarks/engine_openai_real.py [--port 8765] [--keep FOLDER]`.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import io
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image as Pictures

from bot.clock import Clock
from bot.config import OpenAIModel
from bot.engine.base import GenerateRequest, SamplingParams, collect
from bot.engine.openai import OpenAIEngine
from bot.errors import EngineError
from bot.message import Image, system, user

_SIDE = 28  # pixels of the tiny model's pictures
_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: "
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}{% else %}<image>{% endif %}"
    "{% endfor %}{% endif %}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
)


def make_model(folder: Path) -> None:
    """Write a LLaVA of 0.1 million random weights, with a byte tokenizer."""
    import torch
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    tokenizer = _byte_tokenizer()
    vision = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=_SIDE,
        patch_size=14,
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=512,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    image_token = tokenizer.convert_tokens_to_ids("<image>")
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_index=image_token)
    torch.manual_seed(0)
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    size = {"height": _SIDE, "width": _SIDE}
    pictures = CLIPImageProcessor(size={"shortest_edge": _SIDE}, crop_size=size)
    LlavaProcessor(
        image_processor=pictures,
        tokenizer=tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=_TEMPLATE,
    ).save_pretrained(folder)


def _byte_tokenizer():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({byte: number for number, byte in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="</s>",
        pad_token="<pad>",
        additional_special_tokens=["<image>"],
        chat_template=_TEMPLATE,
    )


@contextmanager
def serving(folder: Path, port: int) -> Iterator[str]:
    """`transformers serve` on the loopback interface; gives its base_url and stops it by its pid."""
    command = [str(Path(sys.executable).with_name("transformers")), "serve", str(folder)]
    options = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    cache = {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(folder.parent)}  # /v1/models fails without a cache folder
    offline = {**os.environ, **cache, "OMP_NUM_THREADS": "1"}
    server = subprocess.Popen([*command, *options], env=offline)
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", server)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        print(f"server {server.pid} ended with {server.returncode}")


def _wait_for(url: str, server: subprocess.Popen[bytes], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise SystemExit("the server did not start")


async def talk(url: str, model: str) -> None:
    """Everything the engine does, once; prints what came."""
    engine = OpenAIEngine("tiny", OpenAIModel(base_url=url, model=model, retries=0), Clock())
    greedy = SamplingParams(temperature=0.0, max_tokens=12, seed=1)
    question = GenerateRequest((system("你是看图"), user("你好<|im_end|>")), sampling=greedy, cache_salt="a")
    seen = _with_picture(greedy)
    strange = OpenAIEngine("strange", OpenAIModel(base_url=url, model="no/such-model", retries=0), Clock())
    long = GenerateRequest((user("长" * 400),), sampling=greedy)
    try:
        await _show("generate", engine.generate(question))
        await _show("stream", collect(engine.stream(question)))
        await _show("pieces", _count(engine, question))
        await _show("picture", engine.generate(seen))
        await _show("picture, stream", collect(engine.stream(seen)))
        await _show("longer than its context", engine.generate(long))
        await _show("check", engine.check())
        await _show("unknown model", strange.generate(question))
        await _show("unknown model, stream", collect(strange.stream(question)))
        await _show("unknown model, check", strange.check())
    finally:
        await engine.close()
        await strange.close()


def _with_picture(sampling: SamplingParams) -> GenerateRequest:
    buffer = io.BytesIO()
    Pictures.new("RGB", (80, 60), "red").save(buffer, "PNG")
    sha256 = hashlib.sha256(buffer.getvalue()).hexdigest()
    return GenerateRequest((user(Image(sha256=sha256), "这是什么？"),), {sha256: buffer.getvalue()}, sampling)


async def _count(engine: OpenAIEngine, request: GenerateRequest) -> int:
    return len([chunk async for chunk in engine.stream(request) if chunk.text])


async def _show(what: str, answer: Awaitable[object]) -> None:
    try:
        print(f"{what:24} {await answer!r}")
    except EngineError as error:
        print(f"{what:24} {type(error).__name__}: {error}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--keep", type=Path, help="write the model here and leave it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary) / "tiny-llava"
        make_model(folder)
        with serving(folder, options.port) as url:
            asyncio.run(talk(url, str(folder)))


if __name__ == "__main__":
    main()
