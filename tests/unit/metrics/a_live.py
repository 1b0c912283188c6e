"""Requests under a clock that goes on only when told."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

from localllm.metrics.callers import Caller, caller_of
from localllm.metrics.live import Api, Live
from localllm.metrics.requests import Requests

NOON = 1_800_000_000.0
"""Unix seconds."""

AGENT = caller_of("claude-cli/2.1.330 (external, cli)", "session-1", "laptop")


@dataclass(slots=True)
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass(slots=True)
class World:
    """Requests, and the clocks that they look at."""

    clock: Clock = field(default_factory=Clock)
    kept: int = 200
    began_at: float = NOON
    requests: Requests = field(init=False)

    def __post_init__(self) -> None:
        numbers = count(1)
        self.requests = Requests(
            self.clock, lambda: self.began_at, lambda: f"req_{next(numbers)}", kept=self.kept
        )

    def begin(self, api: Api = Api.CHAT, caller: Caller = AGENT, asked: str = "m") -> Live:
        return self.requests.begin(api, asked, caller, stream=True)

    def answered(self, tokens: int = 3, *, caller: Caller = AGENT, model: str = "m") -> Live:
        """Have a request answered: admitted after 1 s, its first token after 2 s, then 10 a second."""
        live = self.begin(caller=caller)
        self.clock.now += 1
        live.admitted(f"{model}:1", model, "xllamacpp")
        self.clock.now += 1
        for number in range(tokens):
            self.clock.now += 0.1 if number else 0
            live.piece()
        live.used(prompt=50, cached=20, generated=tokens, reasoning=1)
        live.ended(200)
        return live
