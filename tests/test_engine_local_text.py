"""Tokens are picked as asked, and become text without broken characters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence as List

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bot.engine.base import SamplingParams
from bot.engine.local.detokenizer import Detokenizer
from bot.engine.local.lookup import Lookup
from bot.engine.local.model import Prompt
from bot.engine.local.sampler import NO_TOKEN, Defaults, Sampler, uniform
from bot.engine.local.sequence import Row, Sequence

VOCABULARY = 50


def row(seed: int = 1, tokens: List[int] = (1, 2), **params: object) -> Row:
    prompt = Prompt((1,), (), torch.zeros(3, 1, dtype=torch.int64), 1)
    made = Sequence(0, prompt, SamplingParams(**params), "", "quick", 10, lambda one: None, seed)  # type: ignore[arg-type]
    made.tokens = list(tokens)
    return Row(made, len(tokens) - 1)


def logits(rows: int) -> torch.Tensor:
    return torch.randn(rows, VOCABULARY, generator=torch.Generator().manual_seed(7))


def test_greedy_takes_the_highest() -> None:
    found = logits(3)
    assert Sampler(Defaults()).pick(found.clone(), [row()] * 3) == found.argmax(-1).tolist()


def test_neighbours_change_nothing() -> None:
    found = logits(4)
    asked = [row(seed, temperature=1.0, top_p=0.9) for seed in range(4)]
    asked[2] = row(2)
    together = Sampler(Defaults()).pick(found.clone(), asked)
    alone = [Sampler(Defaults()).pick(found[at : at + 1].clone(), [one])[0] for at, one in enumerate(asked)]
    assert together == alone


def test_a_seed_repeats_and_another_differs() -> None:
    found = torch.zeros(1, VOCABULARY)

    def picks(seed: int) -> list[int]:
        return [
            Sampler(Defaults()).pick(found.clone(), [row(seed, [1] * (place + 2), temperature=1.0)])[0]
            for place in range(20)
        ]

    assert picks(5) == picks(5)
    assert picks(5) != picks(6)
    assert len(set(picks(5))) > 5


def test_frequencies_follow_the_probabilities() -> None:
    found = torch.log(torch.tensor([[0.5, 0.3, 0.2, *[1e-30] * (VOCABULARY - 3)]]))
    rows = [row(seed, temperature=1.0) for seed in range(4000)]
    counts = Counter(Sampler(Defaults()).pick(found.expand(4000, -1).clone(), rows))
    assert [counts[token] / 4000 for token in range(3)] == pytest.approx([0.5, 0.3, 0.2], abs=0.03)


@pytest.mark.parametrize(("params", "allowed"), [({"top_k": 2}, 2), ({"top_p": 0.55}, 2), ({"top_p": 0.4}, 1)])
def test_the_tail_is_cut_off(params: dict[str, float], allowed: int) -> None:
    found = torch.log(torch.tensor([[0.5, 0.3, 0.2, *[1e-30] * (VOCABULARY - 3)]]))
    rows = [row(seed, temperature=1.0, **params) for seed in range(300)]
    assert set(Sampler(Defaults()).pick(found.expand(300, -1).clone(), rows)) == set(range(allowed))


def test_scores_that_are_no_numbers_give_no_token() -> None:
    found = logits(3)
    found[1, 7] = float("nan")
    for heat in (0.0, 1.0):
        picked = Sampler(Defaults()).pick(found.clone(), [row(temperature=heat)] * 3)
        assert [token == NO_TOKEN for token in picked] == [False, True, False]


def test_a_guess_is_picked_for_as_the_token_itself_would_be() -> None:
    found = logits(3)
    settings = {"temperature": 0.9, "top_k": 20, "repetition_penalty": 1.5}
    guessed = row(4, [1, 2], **settings).sequence
    guessed.draft = [3, 4]
    rows = [Row(guessed, place) for place in (1, 2, 3)]
    one_by_one = [
        Sampler(Defaults()).pick(found[at : at + 1].clone(), [row(4, [1, 2, 3, 4][: 2 + at], **settings)])[0]
        for at in range(3)
    ]
    assert Sampler(Defaults()).pick(found.clone(), rows) == one_by_one


def test_what_was_said_is_less_likely() -> None:
    found = torch.tensor([[2.0, 1.5, -1.0, -1.2]])
    assert Sampler(Defaults()).pick(found.clone(), [row(1, [0], repetition_penalty=2.0)]) == [1]
    assert Sampler(Defaults(repetition_penalty=2.0)).pick(found.clone(), [row(1, [0, 1])]) == [0]


@given(st.integers(0, 2**63 - 1), st.integers(0, 10_000))
def test_random_numbers_are_in_their_range(seed: int, place: int) -> None:
    assert 0 <= uniform(seed, place) < 1


def bytes_of(ids: List[int]) -> str:
    return bytes(ids).decode(errors="replace")


@given(st.text(alphabet="ab图片😀é", max_size=30))
def test_streamed_text_is_the_whole_text(text: str) -> None:
    one = Detokenizer(bytes_of)
    pieces = [one.add(token) for token in text.encode()]
    assert all("\ufffd" not in piece for piece in pieces)
    assert "".join([*pieces, one.finish()]) == text


@given(
    st.text(alphabet="ab图。", max_size=30), st.lists(st.text(alphabet="ab图。", min_size=1, max_size=3), max_size=3)
)
def test_nothing_of_a_stop_text_is_shown(text: str, stops: list[str]) -> None:
    one = Detokenizer(bytes_of, stops)
    shown = "".join([*(one.add(token) for token in text.encode()), one.finish()])
    ends = [text.find(stop) for stop in stops if stop in text]
    assert one.stopped is bool(ends)
    assert text.startswith(shown)
    assert not any(stop in shown for stop in stops)
    if not ends:
        assert shown == text


def test_a_broken_character_is_shown_as_such_and_blocks_nothing() -> None:
    one = Detokenizer(bytes_of)
    shown = "".join(one.add(token) for token in b"\xe5" + b"a" * 12)
    assert shown.endswith("a" * 8)
    assert (shown + one.finish()).count("a") == 12


# ---------------------------------------------------------------- guesses


def test_what_followed_before_is_guessed() -> None:
    lookup = Lookup()
    tokens = [1, 2, 3, 4, 5, 6, 7, 1, 2, 3]
    assert lookup.guess(tokens, 3) == [4, 5, 6]
    assert lookup.guess([*tokens, 4], 99) == [5, 6, 7, 1, 2, 3, 4]
    assert lookup.guess([*tokens, 4, 9], 3) == []
    assert Lookup().guess([1, 2, 3], 3) == []
    assert Lookup().guess([], 3) == []


def test_the_newest_occurrence_counts() -> None:
    assert Lookup().guess([1, 2, 3, 4, 1, 2, 3, 5, 1, 2, 3], 2) == [5, 1]


def test_wrong_guesses_become_rare() -> None:
    lookup, tokens, guesses = Lookup(), [1, 2, 3, 1, 2, 3], 0
    for _ in range(200):
        if lookup.guess(tokens, 4):
            guesses += 1
            lookup.judged(0)
    assert 4 <= guesses <= 12
    while not lookup.guess(tokens, 4):
        pass
    lookup.judged(1)
    assert lookup.guess(tokens, 4)


@given(st.lists(st.integers(0, 3), max_size=60), st.integers(1, 9))
def test_guesses_are_copies_of_what_followed_the_last_tokens(tokens: list[int], most: int) -> None:
    lookup = Lookup()
    for end in range(len(tokens) + 1):
        guess = lookup.guess(tokens[:end], most)
        found = [at for at in range(3, end) if tokens[at - 3 : at] == tokens[end - 3 : end]]
        assert guess == (tokens[:end][found[-1] : found[-1] + most] if found else [])
