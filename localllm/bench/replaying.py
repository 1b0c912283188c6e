"""Carries a replay out: a pass at each rate, one after the other, and what they came to."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from anyio import to_thread

from localllm import __version__
from localllm.api.replay_views import PassView, ReplayView
from localllm.api.status_views import InstanceView
from localllm.api.sync_client import DaemonClient, not_running
from localllm.api.traffic_file import Traffic, read_traffic
from localllm.api.views import ProbeView
from localllm.bench.beginning import require_quiet, require_ready
from localllm.bench.errors import NotMeasurable
from localllm.bench.replay import Played, play
from localllm.bench.replay_asking import Asking
from localllm.bench.replay_figures import pass_of, recorded_pass
from localllm.bench.replay_plan import ReplayPlan, Served, plan_replay
from localllm.bench.replay_prompts import Prompts
from localllm.bench.replay_texts import Texts, begins_of
from localllm.bench.replay_words import Words, find_words
from localllm.bench.saved import run_id
from localllm.bench.shooting import PROGRAM, Target
from localllm.bench.subject import machine_of, read_model
from localllm.bench.watching import is_foreign
from localllm.errors import LocalLLMError
from localllm.units import duration
from localllm.wording.figures import counted

_LOOK_EVERY_S = 5.0
_SILENT_LOOKS = 2
"""So many in a row that the daemon does not answer, and it has gone."""

_SALT_BITS = 30


@dataclass(frozen=True, slots=True)
class ReplayWish:
    """What somebody asked for.

    Args:
        rates: How many times as fast as recorded; a pass each.
        closed: Turns wait for the ones before.
    """

    file: Path
    rates: Sequence[float]
    closed: bool = False
    beside_others: bool = False


@dataclass(slots=True)
class Replaying:
    """One replay that is ready to run. Mutable: passes come to it."""

    client: DaemonClient
    wish: ReplayWish
    view: InstanceView
    hardware: ProbeView
    traffic: Traffic
    plan: ReplayPlan
    words: Words
    tell: Callable[[str], None]
    began_at: float = field(default_factory=time.time)
    passes: list[PassView] = field(default_factory=list[PassView])
    _others: set[str] = field(default_factory=set[str])
    """Requests of others meanwhile."""

    _salt: int = field(default_factory=lambda: secrets.randbits(_SALT_BITS))

    def run(self) -> None:
        """Play all passes; those that are over are kept if it is broken off.

        Raises:
            NotRunning: The daemon has gone: what is still due would only be told so.
        """
        length_s = self.plan.turns[-1].at_s
        for number, rate in enumerate(self.wish.rates):
            about = duration(length_s / rate)
            self.tell(f"rate {rate:g}: {counted(len(self.plan.turns), 'request')}, about {about}")
            played, waits = anyio.run(self._play, rate, self._salt + number)
            self.passes.append(pass_of(played, rate, waits, self.traffic.header.block_tokens))

    async def _play(self, rate: float, salt: int) -> tuple[list[Played], dict[str, float]]:
        shapes = [turn.shape for turn in self.plan.turns]
        block_tokens, model = self.traffic.header.block_tokens, self.view.id
        texts = Texts(self.words.words, block_tokens, begins_of(shapes, block_tokens), salt)
        prompts = Prompts(model, texts, shapes, self.words.before)
        target = _target(self.client)
        waits, played = dict[str, float](), list[Played]()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch, waits, tasks.cancel_scope)
            played = await play(
                target,
                self.plan,
                prompts,
                rate=rate,
                closed=self.wish.closed,
                measure=Asking(target, model).measure,
            )
            tasks.cancel_scope.cancel()
        if not played:
            raise not_running("it went away while requests were replayed")
        await self._look(waits)
        return played, waits

    async def _watch(self, waits: dict[str, float], all_of_it: anyio.CancelScope) -> None:
        """Note how long requests waited, before the daemon forgets them; end it if that has gone."""
        silent = 0
        while silent < _SILENT_LOOKS:
            await anyio.sleep(_LOOK_EVERY_S)
            silent = 0 if await self._look(waits) else silent + 1
        all_of_it.cancel()

    async def _look(self, waits: dict[str, float]) -> bool:
        """Look once; False: the daemon does not answer."""
        try:
            listed = await to_thread.run_sync(self.client.requests, abandon_on_cancel=True)
        except LocalLLMError:
            return False
        since = (one for one in (*listed.live, *listed.recent) if one.began_at >= self.began_at)
        self._others |= {one.id for one in since if is_foreign(one, PROGRAM)}
        waits.update({one.id: one.wait for one in listed.recent if one.wait is not None})
        return True

    def report(self, *, interrupted: bool) -> ReplayView:
        """Say what it came to."""
        header = self.traffic.header
        return ReplayView(
            id=run_id(self.view.id, self.began_at),
            at=self.began_at,
            version=__version__,
            traffic=str(self.wish.file),
            recorded_at=header.started or None,
            recorded_model=header.model,
            model=read_model(self.view),
            machine=machine_of(self.hardware),
            closed=self.wish.closed,
            sent=len(self.plan.turns),
            left_out=self.plan.left_out,
            recorded=recorded_pass([turn.shape for turn in self.plan.turns]),
            passes=self.passes,
            notes=[*self.plan.notes, *self._notes()],
            interrupted=interrupted,
        )

    def _notes(self) -> Iterator[str]:
        if self._others:
            others = counted(len(self._others), "request")
            yield f"{others} of others went on meanwhile: the figures are of both"
        if not self.words.is_exact:
            yield "the engine does not tell how long texts are: prompts are about as long as recorded"


def begin_replay(
    client: DaemonClient, model: str | None, wish: ReplayWish, tell: Callable[[str], None]
) -> Replaying:
    """Read the file, and find out what it is sent to. Nothing is measured yet.

    Raises:
        BadTraffic: It is no recorded traffic; the line is named.
        ModelNotFound: The model is not served.
        NotReady: It does not answer now.
        NotMeasurable: Nothing of the file can be sent to it.
        Busy: Others use the daemon, and that was not allowed.
    """
    traffic = read_traffic(wish.file)
    view = require_ready(client, model)
    plan = plan_replay(traffic, Served(view.id, view.context))
    if not plan.turns:
        raise NotMeasurable(
            f"Nothing of {wish.file} can be sent to {view.id}.",
            why="; ".join(plan.notes) or "there is no request in it",
            fix="localllm record on, and some requests that are answered, make another one",
        )
    if not wish.beside_others:
        require_quiet(client)
    words = anyio.run(find_words, Asking(_target(client), view.id).count)
    hardware = client.status().hardware
    return Replaying(client, wish, view, hardware, traffic, plan, words, tell)


def _target(client: DaemonClient) -> Target:
    return Target(client.daemon.port, client.daemon.token)
