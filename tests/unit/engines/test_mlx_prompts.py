"""Which of the prompts that mlx-lm keeps goes first. Needs mlx-lm, and no model."""

from __future__ import annotations

from dataclasses import dataclass, field

import mlx.core as mx
from mlx_lm.models.cache import KVCache

from localllm.engines.workers.mlx.prompts import Order, Prompts
from localllm.engines.workers.mlx.slots import Slots

MODEL = "a model"
LONG, OTHER_LONG, SHORT = list(range(5000)), list(range(7000, 11000)), list(range(20000, 20100))


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Kept:
    clock: Clock = field(default_factory=Clock)
    room_tokens: int = 10_000

    def __post_init__(self) -> None:
        bytes_per_token = sum(layer.nbytes for layer in a_cache(1))
        self.prompts = Prompts(self.room_tokens * bytes_per_token, Slots(1), self.clock)

    def add(self, tokens: list[int]) -> None:
        self.prompts.insert_cache(MODEL, tokens, a_cache(len(tokens)))

    def has(self, tokens: list[int]) -> bool:
        return self.prompts.has(MODEL, tokens)

    def cached(self, tokens: list[int]) -> int:
        return len(tokens) - len(self.prompts.fetch_nearest_cache(MODEL, tokens)[1])


def a_cache(tokens: int) -> list[KVCache]:
    layer = KVCache()
    layer.keys = layer.values = mx.zeros((1, 1, tokens, 1))
    layer.offset = tokens
    return [layer]


def test_short_prompts_never_push_a_long_one_out() -> None:
    kept = Kept(room_tokens=5150)
    kept.add(LONG)
    kept.clock.now = 3600.0

    for first in range(30_000, 30_005):
        kept.add([first, *SHORT])

    assert kept.cached([*LONG, 1]) == len(LONG)


def test_of_long_ones_the_one_goes_that_nobody_came_back_to() -> None:
    kept = Kept(room_tokens=9500)
    kept.add(LONG)
    kept.add(OTHER_LONG)
    kept.clock.now = 1200.0
    kept.cached([*OTHER_LONG, 1])

    kept.add(list(range(40_000, 43_000)))

    assert (kept.has(LONG), kept.has(OTHER_LONG)) == (False, True)


def test_a_few_tokens_of_a_long_prompt_take_no_more_than_they_are() -> None:
    kept = Kept()
    kept.add(LONG)

    cache, rest = kept.prompts.fetch_nearest_cache(MODEL, [*LONG[:3], 99_999])

    assert rest == [99_999]
    assert sum(layer.nbytes for layer in cache) == sum(layer.nbytes for layer in a_cache(3))
    assert kept.cached([*LONG, 1]) == len(LONG), "the long one is still whole"


def test_what_is_dropped_leaves_its_room_to_others() -> None:
    kept = Kept()
    kept.add(LONG)

    kept.prompts.drop(MODEL, LONG)
    kept.prompts.drop(MODEL, LONG)

    assert (kept.prompts.nbytes, len(kept.prompts), kept.cached(LONG)) == (0, 0, 0)


def test_what_went_on_meanwhile_is_cut_back_to_what_is_taken() -> None:
    kept = Kept()
    kept.add(LONG)

    ((length, cache),) = kept.prompts.take(MODEL, LONG[:1000])

    assert (length, cache[0].offset) == (999, 999)
    assert kept.has(LONG)


def test_what_is_gone_is_not_taken_in_part() -> None:
    kept = Kept()
    kept.add(LONG)

    assert kept.prompts.take(MODEL, [*LONG[:100], *OTHER_LONG]) == []
    assert kept.prompts.take(MODEL, []) == []


def test_order_forgets_what_is_removed() -> None:
    order = Order(Clock())
    order.push(MODEL, LONG)
    order.push(MODEL, SHORT)

    order.remove(MODEL, SHORT)

    assert (len(order), order.pop()) == (1, (MODEL, LONG))
