"""Carries out what lifecycle.py decides, for one instance.

One task owns the record. Everyone else sends it inputs: the scheduler, the child
watcher, the health poller, the timer. Nothing outside reads the state in order to
decide; it asks, and the loop decides.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import anyio
from anyio.abc import TaskGroup

from localllm.engines.base import LaunchSpec
from localllm.events import InstanceId, StateChanged
from localllm.supervisor import messages as msg
from localllm.supervisor.bus import EventBus
from localllm.supervisor.instance import Instance
from localllm.supervisor.lifecycle import InstanceRecord, RestartPolicy, step
from localllm.supervisor.process import Child, open_log, running
from localllm.supervisor.watching import Doubtful, Measured, Probe, Watched

_log = logging.getLogger(__name__)

Farewell: TypeAlias = Callable[[InstanceId], Awaitable[None]]
"""What is wanted of an engine before its end. It is cancelled when its time is over: it neither
shields itself nor waits for a thread that may hang."""

_EXIT_IS_KNOWN_WITHIN_S = 1.0
"""After a connection has broken, on a busy machine."""


@dataclass(frozen=True, slots=True)
class _Live:
    """The process of the present run, and the tasks that end with it."""

    run: int
    watched: Watched
    child: Child
    tasks: TaskGroup
    leave: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    """Ends what is wanted of it before its end."""


class Runner:
    """Runs one instance until cancelled.

    Args:
        launch: Gives the command for a new run; called once per run, since the
            port and the plan may differ each time.
        log: File that every run appends to.
    """

    def __init__(
        self,
        instance: Instance,
        launch: Callable[[], LaunchSpec],
        probe: Probe,
        bus: EventBus,
        log: Path,
        policy: RestartPolicy,
    ) -> None:
        self.record = InstanceRecord(instance.id)
        self.instance = instance
        self.measured: Measured | None = None
        self.log_from = 0
        """Where the lines of the latest run begin in the log."""

        self.farewell: Farewell | None = None
        """Awaited before a process that is idle and well is told to end."""

        self._launch = launch
        self._probe = probe
        self._bus = bus
        self._log = log
        self.policy = policy
        """How patient it is from the next decision on."""

        self._inbox: deque[msg.Input] = deque()
        self._arrived = anyio.Event()
        self._live: _Live | None = None
        self._timer = anyio.CancelScope()

    @property
    def spec(self) -> LaunchSpec | None:
        """How to reach the process of the present run; None when there is none."""
        return None if self._live is None else self._live.watched.spec

    def tell(self, happened: msg.Input) -> None:
        """Queue an input. Never blocks, never raises, also when nobody runs any more.

        A repeat of the newest is dropped, as it would change nothing. That bounds the
        queue: a run sends each kind of news about once, and asks come one per decision.
        """
        if not self._inbox or self._inbox[-1] != happened:
            self._inbox.append(happened)
            self._arrived.set()

    async def run(self) -> None:
        """Apply inputs for ever; cancelling stops the child before returning."""
        async with anyio.create_task_group() as tasks:
            while True:
                while self._inbox:
                    self._apply(self._inbox.popleft(), tasks)
                self._arrived = anyio.Event()
                await self._arrived.wait()

    def _apply(self, happened: msg.Input, tasks: TaskGroup) -> None:
        old = self.record
        self.record, effects = step(old, happened, anyio.current_time(), self.policy)
        if self.record.state is not old.state:
            facts, new = self.instance, self.record
            self._bus.publish(StateChanged(facts.id, facts.model, old.state, new.state, new.why))
        for effect in effects:
            self._carry_out(effect, tasks)

    def _carry_out(self, effect: msg.Effect, tasks: TaskGroup) -> None:
        match effect, self._live:
            case msg.Spawn(run), _:
                tasks.start_soon(self._be_alive, run)
            case msg.WakeAt(run, at), _:
                self._timer.cancel()
                self._timer = anyio.CancelScope()
                tasks.start_soon(self._wake, msg.TimedOut(run, at), self._timer)
            case msg.WarmUp(), _Live() as live:
                live.tasks.start_soon(self._warm_up, live)
            case msg.TakeLeave(), _Live() as live:
                live.tasks.start_soon(self._take_leave, live)
            case msg.Terminate(), _Live() as live:
                live.leave.cancel()
                live.child.terminate()
            case msg.Kill(), _Live() as live:
                live.leave.cancel()
                live.child.kill()
            case _:  # no process yet: asked again on Launched; or no more: Exited follows
                pass

    async def _be_alive(self, run: int) -> None:
        """Be the process of one run, from launch to exit."""
        code: int | None = None
        with self._blaming("start", run):
            spec = self._launch()
            with open_log(self._log) as log:
                self.log_from = log_from = log.tell()
                async with running(spec, log, grace_s=self.policy.stop_grace_s) as child:
                    watched = Watched(spec, child.pid, self._log, log_from)
                    code = await self._watch(run, watched, child)
            if spec.endpoint.socket is not None:  # one that was killed leaves it behind
                spec.endpoint.socket.unlink(missing_ok=True)
        self.tell(msg.Exited(run, code))

    async def _watch(self, run: int, watched: Watched, child: Child) -> int:
        async with anyio.create_task_group() as tasks:
            self._live = _Live(run, watched, child, tasks)
            self.tell(msg.Launched(run, child.pid, watched.spec.start_deadline_s))
            tasks.start_soon(self._poll_health, self._live)
            try:
                await child.wait()
            finally:
                self._live = None  # from here on nobody may start a task in the group
                tasks.cancel_scope.cancel()
        return await child.wait()

    async def _poll_health(self, live: _Live) -> None:
        with self._blaming("health check", live.run):
            with self._telling_of_progress(live):
                while not await self._is_healthy(live):
                    await anyio.sleep(self.policy.health_every_s)
            self.tell(msg.Healthy(live.run))

    async def _is_healthy(self, live: _Live) -> bool:
        with anyio.move_on_after(self.policy.health_attempt_s):
            return await self._probe.healthy(live.watched)
        return False

    async def _warm_up(self, live: _Live) -> None:
        with self._blaming("warm-up", live.run):
            try:
                with self._telling_of_progress(live):
                    self.measured = await self._first_chat(live.watched)
            except Exception:
                # Had the process died, its exit is the reason to tell, and ends this task.
                await anyio.sleep(_EXIT_IS_KNOWN_WITHIN_S)
                raise
            self.tell(msg.Warmed(live.run))

    async def _take_leave(self, live: _Live) -> None:
        """Do what is wanted of it before its end; that this fails is no reason to keep it."""
        with live.leave:
            try:
                if self.farewell is not None:
                    await self.farewell(self.instance.id)
            except Exception:  # noqa: BLE001  # as with an adapter's: it must not cost the others
                _log.warning("farewell failed: instance=%s", self.instance.id, exc_info=True)
        self.tell(msg.LeaveTaken(live.run))

    async def _first_chat(self, watched: Watched) -> Measured | None:
        """Warm up; an attempt that hangs is given up and made again.

        Raises:
            TimeoutError: None of them came to an end.
        """
        for _ in range(self.policy.warm_up_attempts):
            with anyio.move_on_after(self.policy.warm_up_attempt_s):
                return await self._probe.warm_up(watched)
        raise TimeoutError(f"no answer within {self.policy.warm_up_attempt_s:.0f} s")

    @contextmanager
    def _telling_of_progress(self, live: _Live) -> Generator[None]:
        """Renew the deadline for as long as the block runs and the engine gets on."""
        scope = anyio.CancelScope()
        live.tasks.start_soon(self._tell_of_progress, live, scope)
        try:
            yield
        finally:
            scope.cancel()

    async def _tell_of_progress(self, live: _Live, scope: anyio.CancelScope) -> None:
        seen: int | None = None
        with scope:
            while True:
                reached = self._probe.progress(live.watched)
                if reached is not None and reached != seen:
                    seen = reached
                    self.tell(msg.Progressed(live.run))
                await anyio.sleep(self.policy.health_every_s)

    async def _wake(self, then: msg.TimedOut, scope: anyio.CancelScope) -> None:
        with scope:
            await anyio.sleep_until(then.at)
            self.tell(then)

    @contextmanager
    def _blaming(self, what: str, run: int) -> Generator[None]:
        """Make what an engine's adapter raises news of its run, so other instances go on.

        An edge like the gateway's: adapters wrap foreign code, and one that fails must
        cost one run. Programmer's errors in the loop itself still end the daemon.
        """
        try:
            yield
        except Exception as error:  # noqa: BLE001
            why = f"{what}: {str(error) or type(error).__name__}"
            self.tell(msg.Broke(run, why, for_good=isinstance(error, Doubtful)))
