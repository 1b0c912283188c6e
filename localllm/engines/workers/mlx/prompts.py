"""Runs in the child: the prompts that mlx-lm keeps, the least valuable of which go first.

mlx-lm itself drops the oldest, however long: three titles would push out what an agent goes on with.
"""

# mypy: disable-error-code="no-untyped-call"
# (mlx-lm leaves out most types)

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import mlx.core as mx
from mlx.utils import tree_map
from mlx_lm.models.cache import (
    KVCache,
    LRUPromptCache,
    QuantizedKVCache,
    can_trim_prompt_cache,
)

from localllm.engines.workers.mlx.slots import Slots

_KEPT_PROMPTS = 256
"""Their bytes are what counts; this bounds the search."""

_WORTH_TOKENS = 512
"""What is shorter is read again in no time, and goes before all else."""

_HALF_AFTER_S = 600.0
"""What was not used for so long is worth half of what was used just now."""


@dataclass(frozen=True, slots=True)
class _Kept:
    model: Any
    tokens: Sequence[int]
    used_at: float


class Order:
    """Which of the kept prompts goes next. Takes the place of mlx-lm's order by age alone.

    Args:
        now: Monotonic seconds.
    """

    _ordering = ("assistant", "user", "system")
    """mlx-lm's kinds of prompts, which make no difference here."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._kept: list[_Kept] = []

    def __len__(self) -> int:
        return len(self._kept)

    def push(self, model: object, tokens: Sequence[int], _kind: str = "assistant") -> None:
        """Add one."""
        self._kept.append(_Kept(model, tokens, self._now()))

    def remove(self, model: object, tokens: Sequence[int]) -> None:
        """Take one out, if it is there."""
        self._kept = [one for one in self._kept if (one.model, one.tokens) != (model, tokens)]

    def touch(self, tokens: Sequence[int]) -> None:
        """Note that one was of use."""
        now = self._now()
        self._kept = [
            replace(one, used_at=now) if one.tokens == tokens else one for one in self._kept
        ]

    def pop(self) -> tuple[object, Sequence[int]]:
        """Take out the one whose loss costs least."""
        now = self._now()
        least = min(self._kept, key=lambda one: (*_worth(one, now), one.used_at))
        self._kept.remove(least)
        return least.model, least.tokens


def _worth(one: _Kept, now: float) -> tuple[bool, float]:
    length = len(one.tokens)
    return length >= _WORTH_TOKENS, length / (1 + (now - one.used_at) / _HALF_AFTER_S)


class Prompts(LRUPromptCache):
    """The prompts that are kept. A request can pass them by, and always has a token to read.

    mlx-lm 0.32 gives a prompt that is kept as a whole an empty rest, and its thread dies of it.
    Used by the generating thread alone.
    """

    passed_by = False

    def __init__(
        self, kept_bytes: int, slots: Slots, now: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(_KEPT_PROMPTS, kept_bytes)
        self._lru: Any = Order(now)
        self.slots = slots

    def fetch_nearest_cache(self, model: Any, tokens: list[int]) -> tuple[Any, list[int]]:  # noqa: ANN401
        if self.passed_by:
            return None, tokens
        cache, rest = self._nearest(model, tokens)
        if rest:
            return cache, rest
        cache, rest = self._nearest(model, tokens[:-1])
        return cache, [*rest, tokens[-1]]

    def insert_cache(
        self,
        model: Any,  # noqa: ANN401
        tokens: list[int],
        prompt_cache: list[Any],
        *,
        cache_type: str = "assistant",
    ) -> None:
        _give_back_unused(prompt_cache, at_least=KVCache.step)
        super().insert_cache(model, tokens, prompt_cache, cache_type=cache_type)
        self.slots.note(tokens)

    def take(self, model: Any, tokens: Sequence[int]) -> list[tuple[int, list[Any]]]:  # noqa: ANN401
        """Copy what is kept for these tokens, or for all but the last, with how many those are.

        What cannot be cut back helps only who goes on with exactly these tokens. A template may
        tell the answer in other words than the model's: for it, what ends before comes second.

        Returns:
            Nothing, if it is gone.
        """
        tokens = list(tokens)
        cache, rest = self._nearest(model, tokens)
        read = len(tokens) - len(rest)
        if not read or len(rest) > 1:
            return []
        if can_trim_prompt_cache(cache):
            return [(read, cache)]
        before, rest = self._nearest(model, tokens[: read - 1])
        parts = [(read, cache), (read - 1 - len(rest), before)]
        return [(length, part) for length, part in parts if length]

    def drop(self, model: Any, tokens: Sequence[int]) -> None:  # noqa: ANN401
        """Throw away what is kept for exactly these tokens."""
        tokens = list(tokens)
        if self.has(model, tokens):
            entry = self._trie.pop(model, tokens)
            self._lru.remove(model, tokens)
            self._n_bytes -= entry.nbytes
            self._n_bytes_by_type[entry.cache_type] -= entry.nbytes

    def has(self, model: Any, tokens: Sequence[int]) -> bool:  # noqa: ANN401
        """Tell whether something is kept for exactly these tokens."""
        return self._trie.search(model, list(tokens)).exact is not None

    def _nearest(self, model: Any, tokens: list[int]) -> tuple[Any, list[int]]:  # noqa: ANN401
        cache, rest = super().fetch_nearest_cache(model, tokens)
        read = len(tokens) - len(rest)
        if read:
            found = self._trie.search(model, tokens)
            whole = found.exact or found.shorter or ()
            is_cut = len(whole) != read
            self._lru.touch(found.longer if is_cut else whole)
            if is_cut:
                _give_back_unused(cache)
        return cache, rest


def _give_back_unused(cache: list[Any], at_least: int = 1) -> None:
    """Cut off room behind the last token: three words of a long prompt would take as much as it.

    Args:
        at_least: Tokens; what is less would be taken again with the next ones.
    """
    for layer in cache:
        if not isinstance(layer, KVCache | QuantizedKVCache) or layer.keys is None:
            continue
        first, size = layer.keys if isinstance(layer, KVCache) else layer.keys[0], layer.offset
        if first.shape[-2] - size >= at_least:
            layer.keys, layer.values = tree_map(
                lambda array, size=size: mx.contiguous(array[..., :size, :]),
                (layer.keys, layer.values),
            )
            mx.eval(layer.keys, layer.values)
