"""Makes a bench ready: which model, whether others use it, words that are tokens for it. Nothing is measured yet."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import anyio
import psutil

from localllm.api.connections import choose
from localllm.api.status_views import InstanceView
from localllm.api.sync_client import DaemonClient
from localllm.bench.points import Wish, points_of
from localllm.bench.prompts import Message, Prompter
from localllm.bench.replay_words import find_words
from localllm.bench.running import Bench
from localllm.bench.shooting import Target
from localllm.bench.watching import Conditions, clients_of, is_foreign
from localllm.errors import Busy, NotReady
from localllm.wording.figures import counted

_LOOKED_AT_S = 0.3
_RUN_BYTES = 6


@dataclass(frozen=True, slots=True)
class Begun:
    """A bench that is ready to run, and what was so before it."""

    bench: Bench
    view: InstanceView
    conditions: Conditions
    is_exact: bool
    """Whether the model's tokenizer could be asked."""


def begin(
    client: DaemonClient,
    model: str | None,
    wish: Wish,
    tell: Callable[[str], None],
    *,
    beside_others: bool,
) -> Begun:
    """Find out what is to be measured.

    Args:
        model: None: what requests without a name mean.

    Raises:
        ModelNotFound: It is not served.
        NotReady: It does not answer now.
        NotMeasurable: What is wished does not fit into its context.
        Busy: Others use the daemon, and that was not allowed.
    """
    view = require_ready(client, model)
    points = points_of(wish, context=view.context, slots=view.parallel)
    if not beside_others:
        require_quiet(client)
    conditions = read_conditions()

    def count(chat: Sequence[Message]) -> int:
        return client.count_tokens({"model": view.id, "messages": chat})

    async def count_text(text: str) -> int:
        return count([{"role": "user", "content": text.strip()}])

    words = anyio.run(find_words, count_text)
    prompter = Prompter(view.id, words.words, count, secrets.token_hex(_RUN_BYTES))
    target = Target(client.daemon.port, client.daemon.token)
    bench = Bench(client, target, view.instance, prompter, points, wish.repeat, tell)
    return Begun(bench, view, conditions, is_exact=words.is_exact)


def require_ready(client: DaemonClient, model: str | None) -> InstanceView:
    """Find what is meant, among what answers.

    Raises:
        ModelNotFound: It is not served.
        NotReady: It does not answer now.
    """
    view = choose(client.models(), model)[0]
    if view.state != "ready":
        raise NotReady(
            f"{view.id} does not answer now.",
            why=f"it is {view.state}: {view.why}",
            fix="localllm status tells how far it is",
        )
    return view


def require_quiet(client: DaemonClient) -> None:
    """Measure nothing that others share.

    Raises:
        Busy: Requests of others are under way, of another bench too.
    """
    live = [one for one in client.requests().live if is_foreign(one)]
    if live:
        verb = "is" if len(live) == 1 else "are"
        raise Busy(
            f"{counted(len(live), 'request')} of others {verb} under way.",
            why=f"{clients_of(live)} would share the engine, and the figures would be of both",
            fix="wait until they are over, or measure beside them: localllm bench --beside-others",
        )


def read_conditions() -> Conditions:
    """Look at the host for a moment."""
    battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    return Conditions(
        busy=psutil.cpu_percent(_LOOKED_AT_S) / 100,
        on_battery=battery is not None and battery.power_plugged is False,
    )
