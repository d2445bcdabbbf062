"""InternLM2's SentencePiece vocabulary as a fast byte-pair tokenizer.

The file is a protobuf of which three fields matter: each piece's text, score and kind; it is read without protobuf's
own library. SentencePiece merges the neighbours whose joint piece scores highest; so does a list of merges ordered by
score, every way to split a piece being one. Source: `sentencepiece_model.proto` and `bpe_model.cc` of
google/sentencepiece.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.errors import ConfigError

_NORMAL, _UNKNOWN, _USER_DEFINED, _BYTE = 1, 2, 4, 6
_SPACE = "▁"
_TURN_WORDS = "[UNUSED_TOKEN_"


@dataclass(frozen=True, slots=True)
class Piece:
    """An entry of the vocabulary; its id is its place."""

    text: str
    score: float
    kind: int


class Tokenizer:
    """The tokenizer of a folder with a `tokenizer.model`. Any thread.

    start, end, begin: ids of the words before and after a turn, and of `<s>`. stops: what ends an answer.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / "tokenizer.model"
        try:
            pieces = list(read_pieces(path.read_bytes()))
            self._tokenizer: Any = _build(pieces)
            ids = {piece.text: number for number, piece in enumerate(pieces)}
            self.begin = ids["<s>"]
            self.start, self.end = ids[f"{_TURN_WORDS}146]"], ids[f"{_TURN_WORDS}145]"]
            self.stops = frozenset({ids["</s>"], self.end})
        except Exception as error:  # tokenizers raises bare Exception
            raise ConfigError(f"{path}: the tokenizer cannot be read: {error!r}") from error
        self.unknown = next(number for number, piece in enumerate(pieces) if piece.kind == _UNKNOWN)
        #: control words of prompts, which in a user's text are text
        self.controls = {text: ids[text] for text in ("<s>", "</s>", *(word for word in ids if _is_turn_word(word)))}
        silent = {self.unknown, *self.controls.values()}
        #: what an id adds to a text: bytes where it is one of a character's
        self._says = ["" if number in silent else _said(piece) for number, piece in enumerate(pieces)]

    def encode(self, text: str) -> list[int]:
        """Ids of a text; nothing in it is a control word."""
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids without control words; U+FFFD for bytes that make no character."""
        text: list[str] = []
        held = b""
        for number in ids:
            # A head may have more rows than the vocabulary has pieces.
            said = self._says[number] if number < len(self._says) else ""
            if isinstance(said, bytes):
                held += said
            elif said:
                text += [*_characters(held), said]
                held = b""
        return "".join((*text, *_characters(held)))

    def count(self, text: str) -> int:
        """Tokens of a text."""
        return len(self.encode(text))


def _said(piece: Piece) -> str | bytes:
    return bytes([int(piece.text[3:-1], 16)]) if piece.kind == _BYTE else piece.text.replace(_SPACE, " ")


def _characters(data: bytes) -> Iterator[str]:
    """What bytes spell; each that spells nothing gives U+FFFD, as in SentencePiece."""
    while data:
        for size in range(1, 5):
            try:
                yield data[:size].decode()
            except UnicodeDecodeError:
                continue
            break
        else:
            size = 1
            yield "\ufffd"
        data = data[size:]


def _is_turn_word(text: str) -> bool:
    return text.startswith(_TURN_WORDS)


def _build(pieces: Sequence[Piece]) -> Any:
    from tokenizers import AddedToken, Tokenizer, models, normalizers

    vocabulary = {piece.text: number for number, piece in enumerate(pieces)}
    unknown = next(piece.text for piece in pieces if piece.kind == _UNKNOWN)
    model = models.BPE(vocabulary, merges(pieces), unk_token=unknown, byte_fallback=True, fuse_unk=True)
    tokenizer: Any = Tokenizer(model)
    tokenizer.normalizer = normalizers.Replace(" ", _SPACE)
    words = [piece.text for piece in pieces if piece.kind == _USER_DEFINED and not _is_turn_word(piece.text)]
    tokenizer.add_tokens([AddedToken(word, special=False, normalized=False) for word in words])
    return tokenizer


def merges(pieces: Sequence[Piece]) -> list[tuple[str, str]]:
    """Every pair of pieces that makes a piece, the best piece first."""
    normal = [(piece.score, number) for number, piece in enumerate(pieces) if piece.kind == _NORMAL]
    known = {pieces[number].text for _, number in normal}
    ordered = sorted(normal, key=lambda one: (-one[0], one[1]))
    return [pair for _, number in ordered for pair in _splits(pieces[number].text, known)]


def _splits(text: str, known: set[str]) -> Iterator[tuple[str, str]]:
    for at in range(1, len(text)):
        if text[:at] in known and text[at:] in known:
            yield text[:at], text[at:]


def read_pieces(data: bytes) -> Iterator[Piece]:
    """The pieces of a ModelProto. Raises ValueError or IndexError for other bytes."""
    for number, value in _fields(data):
        if number == 1 and isinstance(value, bytes):
            fields = dict(_fields(value))
            text, score = fields.get(1, b""), fields.get(2, b"\0\0\0\0")
            if not isinstance(text, bytes) or not isinstance(score, bytes):
                raise ValueError("a piece without text")
            yield Piece(text.decode(), struct.unpack("<f", score)[0], int(fields.get(3, _NORMAL)))


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field: an integer, or the bytes of anything else."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if kind == 2:
            size, at = _varint(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"a field of kind {kind}")
        if at + size > len(data):
            raise ValueError("cut short")
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
