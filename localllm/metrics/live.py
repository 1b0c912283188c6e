"""One request, from the moment it is read to its last byte: how far it is, and how long it took.

The gateway tells it what happens; it tells whoever keeps it (requests.py) of each new phase. It
holds no prompt, no answer and no key, but for the few words in `parting`, which are for those alone
who ask for this one request. Times are monotonic seconds unless they say otherwise.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from localllm.api.parting_views import PartingView
from localllm.metrics.callers import Caller

GAP_BOUNDS_S = (
    *(0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5),
    *(1.0, 2.5, 10.0, 60.0),
)
"""Upper bounds of the buckets for the time from one token to the next: close where people read."""

_FAILURE = 400
_MOST_TOKENS = 1 << 40


class Api(StrEnum):
    """Which endpoint was asked."""

    CHAT = "chat"
    COMPLETIONS = "completions"
    RESPONSES = "responses"
    MESSAGES = "messages"
    EMBEDDINGS = "embeddings"
    RERANK = "rerank"
    COUNT_TOKENS = "count_tokens"


WRITES = frozenset({Api.CHAT, Api.COMPLETIONS, Api.RESPONSES, Api.MESSAGES})
"""Those that write an answer, token by token."""


class Phase(StrEnum):
    """How far a request is."""

    WAITING = "waiting"
    """For its model to load, or for a place at it."""

    PREFILL = "prefill"
    """An engine has it, and has not answered yet."""

    GENERATING = "generating"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    """The client has gone."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What has come since somebody last asked."""

    tokens: int
    gaps: tuple[int, ...]
    """Tokens by the bucket of GAP_BOUNDS_S; those that took longer are last."""

    gaps_s: float
    """Their sum."""


def _believable(count: int) -> int:
    """Bound what an engine says: no file and no sum is to break of it."""
    return max(0, min(count, _MOST_TOKENS))


def _no_gaps() -> list[int]:
    return [0] * (len(GAP_BOUNDS_S) + 1)


@dataclass(slots=True, eq=False)
class Live:
    """Mutable, and told by one task at a time.

    Args:
        asked: The model, as the client named it.
        began_at: Unix seconds.
        clock: Monotonic seconds.
        told: Called after each change of phase.
    """

    id: str
    api: Api
    asked: str | None
    caller: Caller
    stream: bool
    began: float
    began_at: float
    clock: Callable[[], float]
    told: Callable[[Live], None]

    model: str | None = None
    """Who answers; None until it is known."""

    instance: str | None = None
    engine: str | None = None
    phase: Phase = Phase.WAITING
    admitted_at: float | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    """Of the prompt, those that need not be read again."""

    prompt_read: int | None = None
    """Tokens of the prompt so far, the cached ones among them; None where the engine does not say."""

    read_s: float | None = None
    """What reading the prompt took, by the engine's own clock; None where it does not say."""

    generated_tokens: int = 0
    """As the engine counts them, once it has; the pieces of its stream until then."""

    reasoning_tokens: int | None = None
    removed: tuple[str, ...] = ()
    """What was taken out of its prompt, by name."""

    parting: PartingView | None = None
    """Where its prompt parts from one that is the same but for a little. Not for logs, files, metrics
    and traces: words of both prompts are in it."""

    first_token_at: float | None = None
    last_token_at: float | None = None
    longest_gap_s: float = 0.0
    """Between two pieces of its answer."""

    ended_at: float | None = None
    status: int | None = None
    """Of HTTP; of a stream that fails after its first byte, what it would have been."""

    error_code: str | None = None
    _counted: int = 0
    _gaps: list[int] = field(default_factory=_no_gaps)
    _gaps_s: float = 0.0

    def admitted(self, instance: str, model: str, engine: str) -> None:
        """Somebody answers. Said again, another one has taken the first one's place."""
        self.instance, self.model, self.engine = instance, model, engine
        self.admitted_at = self.clock()
        self.phase = Phase.PREFILL
        self.told(self)

    def progressed(self, processed: int, total: int, cached: int | None = None) -> None:
        """Tell how far the prompt has been read."""
        self.prompt_read, self.prompt_tokens = _believable(processed), _believable(total)
        if cached is not None:
            self.cached_tokens = _believable(cached)

    def piece(self, tokens: int = 1) -> None:
        """Note a piece of the answer; called for each one, so it does as little as it can."""
        if tokens < 1:
            return
        now, last = self.clock(), self.last_token_at
        self.last_token_at = now
        self.generated_tokens += tokens
        if last is None:
            self._first(now)
            return
        gap = now - last
        self.longest_gap_s = max(self.longest_gap_s, gap)
        self._gaps[bisect_left(GAP_BOUNDS_S, gap / tokens)] += tokens
        self._gaps_s += gap

    def used(
        self,
        prompt: int | None = None,
        cached: int | None = None,
        generated: int | None = None,
        reasoning: int | None = None,
    ) -> None:
        """Take the engine's own counts; None leaves what was known."""
        if prompt is not None:
            self.prompt_tokens = _believable(prompt)
        if cached is not None:
            self.cached_tokens = _believable(cached)
        if generated is not None:
            self.generated_tokens = _believable(generated)
        if reasoning is not None:
            self.reasoning_tokens = _believable(reasoning)

    def ended(self, status: int, error_code: str | None = None, *, cancelled: bool = False) -> None:
        """End it; what is said after the first time does not count."""
        if self.ended_at is not None:
            return
        self.ended_at = self.clock()
        self.status, self.error_code = status, error_code
        failed = error_code is not None or status >= _FAILURE
        self.phase = Phase.FAILED if failed else Phase.DONE
        if cancelled:
            self.phase = Phase.CANCELLED
        self.told(self)

    def take(self) -> Taken:
        """Give what has come since the last call. For the counters alone: it can be had once."""
        tokens = max(0, self.generated_tokens - self._counted)
        self._counted += tokens
        taken = Taken(tokens, tuple(self._gaps), self._gaps_s)
        self._gaps, self._gaps_s = _no_gaps(), 0.0
        return taken

    @property
    def is_over(self) -> bool:
        return self.ended_at is not None

    @property
    def wait_s(self) -> float | None:
        """Until an engine had it; None: none had it yet, or ever."""
        return None if self.admitted_at is None else self.admitted_at - self.began

    @property
    def to_first_token_s(self) -> float | None:
        return None if self.first_token_at is None else self.first_token_at - self.began

    @property
    def decode_tps(self) -> float | None:
        """Tokens per second after the first one; None with fewer than two of them."""
        if self.first_token_at is None or self.last_token_at is None:
            return None
        took_s, more = self.last_token_at - self.first_token_at, self.generated_tokens - 1
        return more / took_s if more > 0 and took_s > 0 else None

    def took_s(self, now: float) -> float:
        return (now if self.ended_at is None else self.ended_at) - self.began

    def _first(self, now: float) -> None:
        self.first_token_at = now
        self.phase = Phase.GENERATING
        self.told(self)
