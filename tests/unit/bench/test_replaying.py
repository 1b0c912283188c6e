"""A replay whose daemon goes away ends, and what was over is kept."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from localllm.api.sync_client import not_running
from localllm.bench import replaying
from localllm.bench.replay_plan import Served, plan_replay
from localllm.bench.replay_words import Words
from localllm.bench.replaying import Replaying, ReplayWish
from localllm.errors import NotRunning
from tests.unit.bench.a_shape import a_shape, traffic_of


def a_dead_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@dataclass
class Gone:
    """A daemon that answers some looks, and then no more."""

    answers: int = 0
    looks: int = 0
    daemon: Any = field(default_factory=lambda: SimpleNamespace(port=a_dead_port(), token="t"))

    def requests(self) -> Any:
        self.looks += 1
        if self.looks > self.answers:
            raise not_running("connection refused")
        return SimpleNamespace(live=[], recent=[])


def a_replay(client: Gone, *due_ms: float) -> Replaying:
    shapes = [a_shape(n, timestamp=at, hash_ids=[n, n + 50]) for n, at in enumerate(due_ms, 1)]
    traffic = traffic_of(*shapes)
    plan = plan_replay(traffic, Served("m", 4096))
    words = Words([f" w{n}" for n in range(20)], 0, is_exact=True)
    view, wish = SimpleNamespace(id="m"), ReplayWish(Path("a.jsonl"), (1.0,))
    made: Any = (client, wish, view, None, traffic, plan, words, lambda _: None)
    return Replaying(*made)


@pytest.mark.parametrize("answers", [0, 3])
def test_what_is_due_in_hours_is_not_waited_for_when_the_daemon_has_gone(
    monkeypatch: pytest.MonkeyPatch, answers: int
) -> None:
    monkeypatch.setattr(replaying, "_LOOK_EVERY_S", 0.01)
    client = Gone(answers)

    with pytest.raises(NotRunning, match="it went away"):
        a_replay(client, 0, 7_200_000).run()

    assert client.looks == answers + 2


def test_failures_alone_do_not_end_a_replay() -> None:
    replay = a_replay(Gone(answers=100), 0, 1, 2)

    replay.run()

    (one,) = replay.passes
    assert (one.requests, one.failed) == (3, 3)
