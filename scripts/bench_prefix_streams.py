"""What saving costs who streams: the same work beside a stream, with prompts saved and without, in turns.

Beside it another client begins conversations, one after the other, each of which pushes out the one
before. What they read is the same with and without; to save what is pushed out comes on top.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from threading import Thread

from bench_prefix_asking import NotAnswered, ask, words_of
from bench_prefix_place import Place, a_place
from bench_prefix_shapes import Request, another_client
from bench_prefix_talks import Row
from bench_prefix_watch import Written, can_watch, watching

AT_LEAST = 0.99
AT_MOST = 0.01
SAVING, NO_ROOM, OFF = "saving", "no room", "off"
KINDS = {SAVING: "", NO_ROOM: "max_gib = 0", OFF: "enabled = false"}
"""Lines of `[prefix]`. Without room all is as it is with saving, but that nothing is written; turned
off, the engine keeps in memory what it pushes out, which costs something as well."""

SCALE = 0.25
"""Of what is asked beside: some 700 tokens, which are worth keeping."""

REST_S = 3.0
"""Before each stream: meanwhile an idle engine saves what it holds, and all begin equally rested."""

FASTER = f">= {AT_LEAST} of it without"
SHARE = f"<= {AT_MOST} of the time"


@dataclass(frozen=True, slots=True)
class Load:
    """How much is streamed, and what is asked beside it."""

    tokens: int
    beside: int
    """Conversations that are begun, evenly over the stream."""

    rounds: int


@dataclass(frozen=True, slots=True)
class Streamed:
    """One stream, from its first token to its last."""

    tokens: int
    took_s: float
    longest_gap_s: float
    saves: int = 0
    saved_s: float = 0.0
    """Of that time, what the engine wrote prompts."""

    @property
    def tokens_per_s(self) -> float:
        return self.tokens / self.took_s


Round = Mapping[str, Streamed]
"""One stream of each kind."""


def measure_streams(engine: str, context: int, load: Load) -> Iterator[Row]:
    """Stream in turns at three daemons, of which one works at a time."""
    with ExitStack() as stack:
        places = {
            kind: stack.enter_context(a_place(engine, context, prefix))
            for kind, prefix in KINDS.items()
        }
        rounds = [_round(places, load, number) for number in range(load.rounds)]
    yield from rows_of(rounds)


def rows_of(rounds: Sequence[Round]) -> Iterator[Row]:
    """Tell what the rounds come to."""
    yield _beside(rounds, NO_ROOM, "a stream, while prompts are saved; or not")
    yield _beside(rounds, OFF, "the same, beside [prefix] turned off")
    streams = [each[SAVING] for each in rounds]
    saves, saved_s = sum(one.saves for one in streams), sum(one.saved_s for one in streams)
    took_s = sum(one.took_s for one in streams)
    met = saved_s / took_s <= AT_MOST and saves > 0
    yield Row(
        "of it, the engine was saving",
        ratio=saved_s / took_s,
        target=SHARE,
        met=met if can_watch() else None,
        note=f"{saves} saves, {saved_s:.3f} of {took_s:.1f} s" if can_watch() else "not seen here",
    )


def _beside(rounds: Sequence[Round], kind: str, name: str) -> Row:
    """Compare within each round: what disturbs the machine disturbs both."""
    ratio = median(one[SAVING].tokens_per_s / one[kind].tokens_per_s for one in rounds)
    speeds, gaps = (
        [
            f"{median(getattr(one[which], what) for one in rounds):.{places}f}"
            for which in (SAVING, kind)
        ]
        for what, places in (("tokens_per_s", 1), ("longest_gap_s", 2))
    )
    note = f"{' beside '.join(speeds)} tokens/s, longest gap {' beside '.join(gaps)} s"
    met = ratio >= AT_LEAST
    return Row(name, ratio=ratio, target=FASTER, met=met, note=f"{note}, {len(rounds)} rounds")


def _round(places: Mapping[str, Place], load: Load, number: int) -> Round:
    """Stream at each, in another order each time; who waits is idle and has nothing to save."""
    kinds = list(places)
    done = dict[str, Streamed]()
    for kind in kinds[number % len(kinds) :] + kinds[: number % len(kinds)]:
        time.sleep(REST_S)
        with _watched(places[kind], is_saving=kind == SAVING) as written:
            done[kind] = _stream(places[kind], load, number, written)
    return done


@contextmanager
def _watched(place: Place, *, is_saving: bool) -> Iterator[Written]:
    if not is_saving or not can_watch():
        yield Written()
        return
    place.folder.mkdir(mode=0o700, exist_ok=True)
    with watching(place.folder, ".kv") as written:
        yield written


def _stream(place: Place, load: Load, number: int, written: Written) -> Streamed:
    """Stream, and begin a conversation each time that so many tokens more have come."""
    others = [
        another_client(place.name, scale=SCALE, seed=1 + number * load.beside + which)
        for which in range(load.beside)
    ]
    every, at = max(1, load.tokens // (load.beside + 1)), list[float]()
    beside = _Beside(place.port)
    for _ in words_of(place.port, _long(place.name, load.tokens)):
        at.append(time.monotonic())
        if len(at) % every == 1 and others:
            beside.ask(others.pop())
    beside.wait()
    if len(at) < load.tokens // 2:
        raise NotAnswered(f"a stream ended after {len(at)} of {load.tokens} tokens")
    gaps = [b - a for a, b in pairwise(at)]
    return Streamed(
        len(gaps),
        at[-1] - at[0],
        max(gaps),
        written.count(at[0], at[-1]),
        written.within_s(at[0], at[-1]),
    )


class _Beside:
    """Asks one thing after the other while something else goes on."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._threads: list[Thread] = []

    def ask(self, request: Request) -> None:
        thread = Thread(target=ask, args=(self._port, request))
        thread.start()
        self._threads.append(thread)

    def wait(self) -> None:
        for thread in self._threads:
            thread.join()


def _long(model: str, tokens: int) -> Request:
    asked = "Count from 1 to 1000 in words, one number after the other, and never stop."
    body = {
        "model": model,
        "messages": [{"role": "user", "content": asked}],
        "max_tokens": tokens,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    return Request("/v1/chat/completions", body, {})
