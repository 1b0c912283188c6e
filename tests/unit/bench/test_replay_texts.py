"""Made-up prompts have in common what the recorded ones had: no more, and no less."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from localllm.api.traffic_file import BLOCK_TOKENS, Shape
from localllm.bench.replay_texts import Texts, begins_of
from localllm.metrics.recording_blocks import Blocks

KEY = b"a key of this test"
WORDS = [f"w{number}" for number in range(300)]
Tokens = list[int]


def recorded(prompts: list[Tokens]) -> list[Shape]:
    """What a recording keeps of prompts that came one after the other."""
    blocks, shapes = Blocks(KEY), []
    for number, tokens in enumerate(prompts, 1):
        marked = blocks.mark(number, "m", tokens)
        shapes.append(
            Shape(
                id=number,
                timestamp=float(number),
                input_length=len(tokens),
                output_length=0,
                hash_ids=list(marked.hash_ids),
                goes_on_from=marked.goes_on_from,
            )
        )
    return shapes


def made(shapes: list[Shape], salt: int = 0) -> list[list[str]]:
    texts = Texts(WORDS, BLOCK_TOKENS, begins_of(shapes, BLOCK_TOKENS), salt)
    return [texts.words_of(shape) for shape in shapes]


def in_common(one: list, other: list) -> int:
    pairs = zip(one, other, strict=False)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


PIECES = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 45)), min_size=1, max_size=4)
"""A prompt as pieces of few kinds, so that many begin alike."""


@st.composite
def conversations(draw: st.DrawFn) -> list[Tokens]:
    """Prompts of which many are a beginning of others, or part from them in the middle of a block."""
    prompts: list[Tokens] = []
    for _ in range(draw(st.integers(2, 8))):
        tokens: Tokens = []
        if prompts and draw(st.booleans()):
            earlier = draw(st.sampled_from(prompts))
            tokens = earlier[: draw(st.integers(0, len(earlier)))]
        for kind, count in draw(PIECES):
            tokens = tokens + [kind] * count
        prompts.append(tokens)
    return prompts


@given(conversations())
@example([[0] * 40, [0] * 70, [0] * 36, [0] * 50 + [1] * 30, [0] * 50 + [2] * 30])
def test_two_prompts_have_the_same_blocks_in_common_as_those_recorded(
    prompts: list[Tokens],
) -> None:
    words = made(recorded(prompts))

    for one, other in combinations(range(len(prompts)), 2):
        was = in_common(prompts[one], prompts[other])
        is_now = in_common(words[one], words[other])
        assert is_now // BLOCK_TOKENS == was // BLOCK_TOKENS, (one, other, was, is_now)


@given(conversations())
def test_a_prompt_begins_with_all_of_the_one_that_it_went_on_from(prompts: list[Tokens]) -> None:
    shapes = recorded(prompts)
    words = made(shapes)

    for shape, tokens, said in zip(shapes, prompts, words, strict=True):
        if shape.goes_on_from is None:
            continue
        place = shape.goes_on_from - 1
        assert tokens[: len(prompts[place])] == prompts[place]
        assert said[: len(words[place])] == words[place]


@given(conversations())
def test_every_prompt_has_exactly_its_recorded_length(prompts: list[Tokens]) -> None:
    assert [len(words) for words in made(recorded(prompts))] == [len(p) for p in prompts]


@given(conversations())
def test_the_longest_prompt_that_is_a_beginning_is_what_a_prompt_goes_on_from(
    prompts: list[Tokens],
) -> None:
    for number, shape in enumerate(recorded(prompts)):
        earlier = [p for p in prompts[:number] if p == prompts[number][: len(p)]]
        longest = max(map(len, earlier), default=None)
        found = None if shape.goes_on_from is None else len(prompts[shape.goes_on_from - 1])
        assert found == longest


def test_another_pass_has_nothing_in_common_with_the_one_before() -> None:
    shapes = recorded([[0] * 100, [0] * 100 + [1] * 100])

    first, second = made(shapes), made(shapes, salt=1)

    assert in_common(first[1], second[1]) == 0
    assert in_common(second[0], second[1]) == 100


def test_prompts_of_which_nobody_knows_the_blocks_have_nothing_in_common() -> None:
    shapes = [Shape(id=number, timestamp=0, input_length=70, output_length=1) for number in (1, 2)]

    one, other = made(shapes)

    assert (len(one), len(other), in_common(one, other)) == (70, 70, 0)


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_of_two_prompts_that_a_block_begins_with_the_shorter_one_begins_the_longer_one(
    order: tuple[int, int],
) -> None:
    shapes = [
        Shape(id=1, timestamp=1, input_length=40, output_length=0, hash_ids=[0, 1]),
        Shape(id=2, timestamp=2, input_length=36, output_length=0, hash_ids=[0, 2]),
        *(
            Shape(
                id=number,
                timestamp=number,
                input_length=64,
                output_length=0,
                hash_ids=[0, 3],
                goes_on_from=from_,
            )
            for number, from_ in enumerate(order, 3)
        ),
    ]

    longer, shorter, *both = made(shapes)

    assert both[0] == both[1]
    assert both[0][:40] == longer
    assert longer[:36] == shorter


def made_up(numbers: range, ids: list[list[int]], lengths: list[int]) -> list[Shape]:
    """A file that somebody made: each goes on from the one before."""
    return [
        Shape(
            id=n,
            timestamp=n,
            input_length=lengths[n - 1],
            output_length=0,
            hash_ids=ids[n - 1],
            goes_on_from=n - 1 if n > 1 else None,
        )
        for n in numbers
    ]


def test_blocks_that_begin_with_each_other_do_not_go_on_for_ever() -> None:
    numbers = range(1, 8)
    shapes = made_up(numbers, [[1 + n % 2] for n in numbers], [4 * n for n in numbers])

    assert [len(words) for words in made(shapes)] == [4 * n for n in numbers]


def test_a_block_that_begins_with_as_many_others_as_it_can_is_made() -> None:
    numbers = range(1, 512)
    shapes = made_up(numbers, [[0, n] for n in numbers], [512 + n for n in numbers])

    texts = Texts(WORDS, 512, begins_of(shapes, 512))
    last, *_, first = [texts.words_of(shape) for shape in reversed(shapes)]

    assert last[: len(first)] == first
