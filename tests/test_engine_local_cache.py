"""Blocks of the cache: what is found again is what was computed, and nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bot.engine.local.cache import BlockCache, Content

Picture = tuple[int, int, str]


def store(cache: BlockCache, content: Content, computed: int | None = None) -> list[int]:
    """Compute a sequence from nothing and let it go; its blocks."""
    hit = cache.find(content)
    cache.hold(hit.blocks)
    count = -(-len(content.tokens) // cache.block_size) - len(hit.blocks)
    own = cache.take(count)
    assert own is not None
    blocks, chains = [*hit.blocks, *own], list(hit.chains)
    cache.name(content, blocks, chains, len(content.tokens) if computed is None else computed, last=True)
    cache.release(blocks)
    return blocks


def test_a_beginning_is_found_to_the_token() -> None:
    cache = BlockCache(16, 4)
    store(cache, Content("s", range(10)))
    hit = cache.find(Content("s", [*range(10), 99, 98]))
    assert (len(hit.blocks), hit.tokens, hit.partial is not None) == (2, 10, True)
    hit = cache.find(Content("s", [0, 1, 2, 3, 4, 5, 77, 78]))
    assert (len(hit.blocks), hit.tokens, hit.partial is not None) == (1, 6, True)


def test_one_token_is_always_left_to_compute() -> None:
    cache = BlockCache(16, 4)
    store(cache, Content("s", range(8)))
    assert cache.find(Content("s", range(8))).tokens == 7
    assert cache.find(Content("s", range(1))).tokens == 0


def test_owners_share_nothing() -> None:
    cache = BlockCache(16, 4)
    store(cache, Content("mine", range(8)))
    assert cache.find(Content("yours", range(9))).tokens == 0


def test_pictures_with_equal_placeholders_share_nothing_from_their_beginning() -> None:
    cache = BlockCache(32, 4)
    tokens = [1, 2, 3, 0, 0, 0, 0, 0, 0, 4, 5]
    store(cache, Content("s", tokens, ((3, 9, "cat"),)))
    assert cache.find(Content("s", [*tokens, 6], ((3, 9, "dog"),))).tokens == 3
    assert cache.find(Content("s", [*tokens, 6], ((3, 9, "cat"),))).tokens == 11
    assert cache.find(Content("s", tokens[:10], ())).tokens == 3


def test_a_hit_never_ends_inside_a_picture() -> None:
    cache = BlockCache(32, 4)
    content = Content("s", [1, 2, 0, 0, 0, 0, 0, 0, 3], ((2, 8, "cat"),))
    store(cache, content, computed=6)
    assert cache.find(content).tokens == 2


def test_ends_are_forgotten_before_beginnings_and_the_unused_before_the_used() -> None:
    cache = BlockCache(4, 2)
    store(cache, Content("old", range(4)))
    store(cache, Content("new", range(4)))
    cache.find(Content("old", range(5)))
    assert cache.take(1) is not None
    assert cache.find(Content("old", range(5))).tokens == 2
    assert cache.find(Content("new", range(5))).tokens == 4


def test_what_is_held_is_never_taken() -> None:
    cache = BlockCache(4, 2)
    held = store(cache, Content("s", range(4)))
    cache.hold(held)
    assert cache.free == 2
    assert cache.take(3) is None
    assert set(cache.take(2) or ()) & set(held) == set()


def test_an_owner_can_be_forgotten() -> None:
    cache = BlockCache(8, 2)
    store(cache, Content("a", range(4)))
    store(cache, Content("b", range(4)))
    cache.drop("a")
    assert cache.find(Content("a", range(5))).tokens == 0
    assert cache.find(Content("b", range(5))).tokens == 4
    assert cache.free == 8


@st.composite
def conversations(draw: st.DrawFn) -> list[Content]:
    """Sequences that often begin alike, with pictures anywhere."""
    found: list[Content] = []
    for _ in range(draw(st.integers(1, 12))):
        parts = draw(st.lists(st.sampled_from(("a", "bb", "ccc", "P4x", "P4y", "P7x")), min_size=1, max_size=8))
        tokens: list[int] = []
        pictures: list[Picture] = []
        for part in parts:
            if part.startswith("P"):
                size = int(part[1])
                pictures.append((len(tokens), len(tokens) + size, part))
                tokens += [0] * size
            else:
                tokens += [ord(letter) for letter in part]
        found.append(Content(draw(st.sampled_from(("s", "t"))), tokens, tuple(pictures)))
    return found


@given(conversations(), st.integers(1, 5), st.integers(6, 40))
def test_memory_that_is_simulated_always_holds_what_was_asked_for(
    contents: list[Content], size: int, blocks: int
) -> None:
    """A dictionary stands in for the tensors: slot to (owner, tokens before and here, pictures before and here)."""
    cache = BlockCache(blocks, size)
    memory: dict[int, object] = {}

    def truth(content: Content, place: int) -> object:
        under = tuple(one for one in content.pictures if one[0] <= place)
        return content.salt, tuple(content.tokens[: place + 1]), under

    for content in contents:
        hit = cache.find(content)
        assert hit.tokens < len(content.tokens)
        assert not any(first < hit.tokens < behind for first, behind, _ in content.pictures)
        cache.hold(hit.blocks)
        own = cache.take(-(-len(content.tokens) // size) - len(hit.blocks))
        if own is None:
            cache.release(hit.blocks)
            continue
        held = [*hit.blocks, *own]
        if hit.partial is not None:
            for offset in range(size):
                memory[own[0] * size + offset] = memory.get(hit.partial * size + offset)
        for place in range(hit.tokens):
            assert memory[held[place // size] * size + place % size] == truth(content, place)
        for place in range(hit.tokens, len(content.tokens)):
            memory[held[place // size] * size + place % size] = truth(content, place)
        cache.name(content, held, list(hit.chains), len(content.tokens), last=True)
        cache.release(held)
        assert cache.free == blocks
