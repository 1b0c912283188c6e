"""Counts what happens: requests as they flow and end, and the events of the daemon's bus. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from localllm.events import (
    Decided,
    Event,
    Missed,
    ModelState,
    PullChanged,
    PullMoved,
    StateChanged,
    Topic,
)
from localllm.metrics import names
from localllm.metrics.callers import OTHER
from localllm.metrics.live import WRITES, Api, Live, Phase
from localllm.metrics.names import Kind, Metric
from localllm.metrics.savings import Spared
from localllm.metrics.tallies import Count, Names, Spread

NOBODY = "none"
"""The model of a request that no instance got."""

_MOST_MODELS, _MOST_CLIENTS, _MOST_CODES = 100, 30, 60
_A_CODE = re.compile(r"[a-z][a-z0-9_]{0,47}")
_CRASHED = frozenset({ModelState.BACKOFF, ModelState.FAILED})
_OF_A_MODEL = (
    *(names.PROMPT_TOKENS, names.CACHED_TOKENS, names.READ_TOKENS, names.SAVED_SECONDS),
    *(names.GENERATED_TOKENS, names.REASONING_TOKENS),
    *(names.LOADS, names.CRASHES, names.RESTARTS),
)
_RESULTS = {Topic.SWITCHED: "switched", Topic.ROLLED_BACK: "rolled_back"}


class Counters:
    """Mutable, and used on the event loop alone. Each label has a bounded set of values."""

    def __init__(self) -> None:
        counted = names.COUNTED
        self.counts: Mapping[Metric, Count] = {
            m: Count() for m in counted if m.kind is Kind.COUNTER
        }
        self.spreads: Mapping[Metric, Spread] = {
            m: Spread(m.bounds) for m in counted if m.kind is Kind.HISTOGRAM
        }
        self._models = Names(_MOST_MODELS)
        self._clients = Names(_MOST_CLIENTS)
        self._codes = Names(_MOST_CODES)
        self.counts[names.MISSED_EVENTS].add(amount=0)
        for topic in Topic:
            self.counts[names.DECISIONS].add(_snake(topic), amount=0)
        for result in _RESULTS.values():
            self.counts[names.SWITCHES].add(result, amount=0)

    def saw(self, event: Event) -> None:
        """Count an event of the bus."""
        match event:
            case StateChanged(_, model, old, new):
                self._changed(self._model(model), old, new)
            case Decided(topic):
                self.counts[names.DECISIONS].add(_snake(topic))
                if topic in _RESULTS:
                    self.counts[names.SWITCHES].add(_RESULTS[topic])
            case Missed(count):
                self.counts[names.MISSED_EVENTS].add(amount=count)
            case PullChanged() | PullMoved():
                pass

    def flowed(self, live: Live) -> None:
        """Count what has come of an answer since the last call, so that rates are true meanwhile."""
        if live.model is None:
            return
        model, taken = self._model(live.model), live.take()
        if taken.tokens:
            self.counts[names.GENERATED_TOKENS].add(model, amount=taken.tokens)
        if any(taken.gaps):
            self.spreads[names.INTER_TOKEN].add(taken.gaps, taken.gaps_s, model)

    def finished(self, live: Live, spared: Spared | None = None) -> None:
        """Count a request that is over, and what of it was not counted yet."""
        self.flowed(live)
        model = NOBODY if live.model is None else self._model(live.model)
        status = f"{(live.status or 0) // 100}xx"
        self.counts[names.REQUESTS].add(live.api.value, model, status, self._code(live))
        self.counts[names.CLIENT_REQUESTS].add(self._clients.within(live.caller.program_name))
        self.spreads[names.DURATION].observe(live.took_s(live.began), live.api.value, model)
        if live.model is not None:
            self._of_the_served(live, model)
            if spared is not None and spared.seconds is not None:
                self.counts[names.SAVED_SECONDS].add(model, amount=spared.seconds)

    def _of_the_served(self, live: Live, model: str) -> None:
        told = (
            (names.PROMPT_TOKENS, live.prompt_tokens),
            (names.CACHED_TOKENS, live.cached_tokens),
            (names.READ_TOKENS, _read(live)),
            (names.REASONING_TOKENS, live.reasoning_tokens),
        )
        counts = () if live.api is Api.COUNT_TOKENS else told
        for metric, tokens in counts:
            if tokens:
                self.counts[metric].add(model, amount=tokens)
        if live.wait_s is not None:
            self.spreads[names.WAIT].observe(live.wait_s, model)
        if live.to_first_token_s is not None and live.api in WRITES:
            self.spreads[names.FIRST_TOKEN].observe(live.to_first_token_s, model)

    def _changed(self, model: str, old: ModelState, new: ModelState) -> None:
        if new is ModelState.READY:
            self.counts[names.LOADS].add(model)
        if new in _CRASHED:
            self.counts[names.CRASHES].add(model)
        if (old, new) == (ModelState.BACKOFF, ModelState.STARTING):
            self.counts[names.RESTARTS].add(model)

    def _model(self, model: str) -> str:
        known = self._models.within(model)
        if (known,) not in self.counts[names.LOADS].by:
            for metric in _OF_A_MODEL:
                self.counts[metric].add(known, amount=0)
        return known

    def _code(self, live: Live) -> str:
        if live.phase is Phase.CANCELLED:
            return "cancelled"
        if live.error_code is None:
            return "none"
        harmless = _A_CODE.fullmatch(live.error_code) is not None
        return self._codes.within(live.error_code) if harmless else OTHER


def _read(live: Live) -> int | None:
    """Tokens of its prompt that were not in the cache; None where nobody told its length."""
    if live.prompt_tokens is None:
        return None
    return max(0, live.prompt_tokens - (live.cached_tokens or 0))


def _snake(topic: Topic) -> str:
    return topic.value.replace(" ", "_")
