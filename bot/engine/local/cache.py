"""Which blocks of the key-value cache hold what, and who may use them again.

The cache is a pool of blocks of `block_size` tokens. A block is named by a chain of digests: the salt of its owner, the
tokens before it, its own tokens, and the keys of the pictures that lie under them; placeholders of two pictures are
equal, their keys are not. A prompt takes over the longest cached beginning, to the token: of the block in which it
departs from a cached one it takes a copy. Such a hit never ends inside a picture.

Pure bookkeeping, no tensors: `Runner` copies blocks and holds what is in them.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Block:
    """tokens and pictures: what it holds, once that is known to others; chain: its name, of which parent is a part."""

    id: int
    users: int = 0
    chain: bytes = b""
    parent: bytes = b""
    salt: str = ""
    tokens: tuple[int, ...] = ()
    pictures: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Content:
    """Tokens of a sequence and where its pictures lie: (first token, behind its last, key)."""

    salt: str
    tokens: Sequence[int]
    pictures: tuple[tuple[int, int, str], ...] = ()

    def slice(self, start: int, end: int) -> tuple[tuple[int, ...], tuple[tuple[int, str], ...]]:
        """Tokens start to end, and the pictures under them: where each begins, counted from `start`, and its key."""
        under = tuple((first - start, key) for first, behind, key in self.pictures if first < end and behind > start)
        return tuple(self.tokens[start:end]), under

    def before_picture(self, end: int) -> int:
        """`end`, or the beginning of the picture that it lies in."""
        return next((first for first, behind, _ in self.pictures if first < end < behind), end)


@dataclass(frozen=True, slots=True)
class Hit:
    """The first `tokens` tokens are there: in `blocks`, and in a copy that is to be made of `partial` (None: no copy).

    chains: the names of `blocks`.
    """

    blocks: tuple[int, ...] = ()
    tokens: int = 0
    partial: int | None = None
    chains: tuple[bytes, ...] = ()


@dataclass
class BlockCache:
    """A pool of blocks. Sequences hold blocks by counting; what nobody holds stays until its room is needed."""

    blocks: int
    block_size: int = 16
    _pool: list[Block] = field(init=False)
    _named: dict[bytes, Block] = field(init=False, default_factory=dict[bytes, Block])
    _children: dict[bytes, list[Block]] = field(init=False, default_factory=dict[bytes, list[Block]])
    # Nobody holds these; those that hold nothing of use come first, then the longest unused.
    _empty: list[int] = field(init=False)
    _idle: OrderedDict[int, None] = field(init=False, default_factory=OrderedDict[int, None])

    def __post_init__(self) -> None:
        self._pool = [Block(number) for number in range(self.blocks)]
        self._empty = list(range(self.blocks))

    @property
    def free(self) -> int:
        """Blocks that can be had now."""
        return len(self._empty) + len(self._idle)

    def find(self, content: Content) -> Hit:
        """The longest cached beginning that leaves at least one token to compute. Holds nothing yet."""
        size, most = self.block_size, len(content.tokens) - 1
        chain, found = _root(content.salt), list[Block]()
        while (len(found) + 1) * size <= most:
            start = len(found) * size
            block = self._named.get(_chain(chain, *content.slice(start, start + size)))
            if block is None:
                break
            found.append(block)
            chain = block.chain
        whole = len(found) * size
        partial, common = self._closest(chain, content, whole, most)
        return self._cut(content, found, whole + common, partial)

    def hold(self, blocks: Iterable[int]) -> None:
        """One more user of each."""
        for number in blocks:
            self._pool[number].users += 1
            self._idle.pop(number, None)

    def take(self, count: int) -> list[int] | None:
        """So many fresh blocks with one user each, forgetting the longest unused; None when there are too few."""
        if count > self.free:
            return None
        taken: list[int] = []
        for _ in range(count):
            number = self._empty.pop() if self._empty else self._idle.popitem(last=False)[0]
            self._forget(self._pool[number])
            self._pool[number].users = 1
            taken.append(number)
        return taken

    def release(self, blocks: Sequence[int]) -> None:
        """One user less of each. Ends are forgotten before beginnings: nobody finds an end without its beginning."""
        for number in reversed(blocks):
            block = self._pool[number]
            block.users -= 1
            if block.users == 0:
                if block.chain:
                    self._idle[number] = None
                else:
                    self._empty.append(number)

    def name(self, content: Content, blocks: Sequence[int], chains: list[bytes], computed: int, *, last: bool) -> None:
        """Let others find what a sequence has computed: `computed` tokens in `blocks`.

        chains: the names of its full blocks so far; it grows. last: the sequence ends, and its last block is named
        although it is not full.
        """
        size = self.block_size
        while len(chains) * size < computed:
            number = len(chains)
            start, end = number * size, min((number + 1) * size, computed)
            if end - start < size and not last:
                return
            tokens, pictures = content.slice(start, end)
            parent = chains[-1] if chains else _root(content.salt)
            chain = _chain(parent, tokens, pictures)
            # Where another sequence computed the same meanwhile, theirs is found and ours goes when it is let go.
            if chain not in self._named:
                self._enter(Block(blocks[number], chain=chain, parent=parent, salt=content.salt), tokens, pictures)
            if end - start < size:
                return
            chains.append(chain)

    def drop(self, salt: str) -> None:
        """Forget everything of one owner."""
        for block in self._pool:
            if block.chain and block.salt == salt:
                self._forget(block)
                if block.users == 0:
                    del self._idle[block.id]
                    self._empty.append(block.id)

    def resize(self, blocks: int) -> None:
        """A pool of another size, with nothing in it; nobody may hold a block."""
        self.blocks = blocks
        self._named, self._children, self._idle = {}, {}, OrderedDict()
        self.__post_init__()

    def _enter(self, new: Block, tokens: tuple[int, ...], pictures: tuple[tuple[int, str], ...]) -> None:
        block = self._pool[new.id]
        self._forget(block)
        block.chain, block.parent, block.salt = new.chain, new.parent, new.salt
        block.tokens, block.pictures = tokens, pictures
        self._named[block.chain] = block
        self._children.setdefault(block.parent, []).append(block)

    def _forget(self, block: Block) -> None:
        """Nobody finds it any more; who holds it goes on using it."""
        if not block.chain:
            return
        del self._named[block.chain]
        siblings = self._children[block.parent]
        siblings.remove(block)
        if not siblings:
            del self._children[block.parent]
        block.chain = block.parent = b""
        block.salt, block.tokens, block.pictures = "", (), ()

    def _closest(self, chain: bytes, content: Content, start: int, most: int) -> tuple[Block | None, int]:
        """The block after `chain` that has the longest beginning in common with the tokens from `start` on."""
        tokens, pictures = content.slice(start, min(start + self.block_size, most))
        best, length = None, 0
        for block in self._children.get(chain, ()):
            differing = set(block.pictures) ^ set(pictures)
            common = min((begin for begin, _ in differing), default=len(tokens))
            common = min(common, _common(block.tokens, tokens))
            if common > length:
                best, length = block, common
        return best, length

    def _cut(self, content: Content, found: list[Block], tokens: int, partial: Block | None) -> Hit:
        """The hit, shortened so that it does not end inside a picture."""
        end = content.before_picture(tokens)
        whole, rest = divmod(end, self.block_size)
        inside = partial if whole == len(found) else found[whole]
        partial_id = inside.id if inside is not None and rest else None
        return Hit(tuple(one.id for one in found[:whole]), end, partial_id, tuple(one.chain for one in found[:whole]))


def _root(salt: str) -> bytes:
    return hashlib.blake2b(salt.encode("utf-8", "surrogatepass"), digest_size=16, person=b"kantu-salt").digest()


def _chain(parent: bytes, tokens: tuple[int, ...], pictures: tuple[tuple[int, str], ...]) -> bytes:
    digest = hashlib.blake2b(parent, digest_size=16)
    digest.update(array("q", tokens).tobytes())
    for begin, key in pictures:
        digest.update(f"/{begin}/{key}".encode())
    return digest.digest()


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two lists begin with alike."""
    for place, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return place
    return min(len(one), len(other))
