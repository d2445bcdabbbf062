"""Prompts of the GLM-4.1V/4.6V family: turns to token ids.

The checkpoint's own chat template decides, where it has one. What they say about thinking: GLM-4.1V-9B-Thinking's has
no switch, the model always thinks; those of GLM-4.5V, GLM-4.6V and GLM-OCR take `enable_thinking`: False puts
`/nothink` behind every user's text and `<think></think>` before the answer.

Control words typed by a user stay text. In the texts a mark is put into whatever could begin one, so that the prompt as
rendered has none but the template's own. It is cut at those, and what lies between is encoded, without the marks, by a
tokenizer that knows no control words. Ordinary text gets the ids that transformers' `apply_chat_template` gives it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bot.engine.local.wording import Turn
from bot.errors import ConfigError

_IMAGE = "<|begin_of_image|><|image|><|end_of_image|>"
_LAST_CHARACTER = 0x10FFFD


class PromptWriter:
    """The tokenizer and chat template of a model folder. Any thread."""

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer
        from transformers import PreTrainedTokenizerFast

        fast: Any = PreTrainedTokenizerFast
        try:
            data: dict[str, Any] = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
            self._full: Any = fast.from_pretrained(folder, local_files_only=True)
            added: list[dict[str, Any]] = data["added_tokens"]
            data |= {"added_tokens": [], "post_processor": None, "truncation": None, "padding": None}
            self._plain: Any = Tokenizer.from_str(json.dumps(data))
        except Exception as error:  # tokenizers raises bare Exception
            raise ConfigError(f"{folder}: the tokenizer cannot be read: {error}") from error
        self._controls: dict[str, int] = {token["content"]: token["id"] for token in added}
        # The longest first: a control word may begin with another.
        words = sorted(added, key=lambda token: len(token["content"]), reverse=True)
        self._cut = re.compile("|".join(map(_pattern, words)))
        self._starts = re.compile("[" + "".join({re.escape(word[0]) for word in self._controls}) + "]")

    def ids(self, turns: Sequence[Turn], *, thinking: bool) -> list[int]:
        """The prompt up to where the answer begins; each picture is one image token."""
        mark = _unused_character(text for turn in turns for text in turn.texts)
        rendered = self._render([self._message(turn, mark) for turn in turns], thinking)
        ids: list[int] = []
        begin = 0
        for control in self._cut.finditer(rendered):
            ids += self._encode(rendered[begin : control.start()].replace(mark, ""))
            ids.append(
                self._controls[control[0].strip()] if control[0] not in self._controls else self._controls[control[0]]
            )
            begin = control.end()
        return ids + self._encode(rendered[begin:].replace(mark, ""))

    def count(self, text: str) -> int:
        """Tokens of a text."""
        return len(self._encode(text))

    def text(self, ids: Sequence[int]) -> str:
        """The text of tokens without the special ones; tags of thinking are not special."""
        return self._full.backend_tokenizer.decode(list(ids), skip_special_tokens=True)

    def _message(self, turn: Turn, mark: str) -> dict[str, Any]:
        """A turn as templates take it: plain text as a plain string, since some know nothing else."""
        content = [
            {"type": "text", "text": self._starts.sub(rf"\g<0>{mark}", piece)}
            if isinstance(piece, str)
            else {"type": "image"}
            for piece in turn.pieces
        ]
        if turn.images:
            return {"role": turn.role, "content": content}
        return {"role": turn.role, "content": "".join(part["text"] for part in content)}

    def _encode(self, text: str) -> list[int]:
        return self._plain.encode(text, add_special_tokens=False).ids

    def _render(self, messages: list[dict[str, Any]], thinking: bool) -> str:
        if self._full.chat_template is None:
            return _own_template(messages, thinking)
        return self._full.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, enable_thinking=thinking
        )


def _pattern(token: Mapping[str, Any]) -> str:
    """Matches an added token as its tokenizer would, with the spaces that it swallows; one group, the token."""
    before, after = (r"\s*" if token.get(side) else "" for side in ("lstrip", "rstrip"))
    return f"{before}({re.escape(token['content'])}){after}"


def _unused_character(texts: Iterable[str]) -> str:
    """A character for private use that no text has."""
    used = set[str]().union(*texts)
    return next(chr(code) for code in range(_LAST_CHARACTER, 0, -1) if chr(code) not in used)


def _own_template(messages: Sequence[Mapping[str, Any]], thinking: bool) -> str:
    """The family's format, for a folder without a template: GLM-4.5V's and GLM-4.6V's words, without tools."""
    parts = ["[gMASK]<sop>"]
    for message in messages:
        content = message["content"]
        if not isinstance(content, str):
            content = "".join(_IMAGE if part["type"] == "image" else part["text"] for part in content)
        if message["role"] == "assistant":
            content = f"<think></think>\n{content.strip()}"
        elif message["role"] == "user" and not thinking:
            content += "/nothink"
        parts.append(f"<|{message['role']}|>\n{content}")
    return "".join((*parts, "<|assistant|>\n", "" if thinking else "<think></think>\n"))
