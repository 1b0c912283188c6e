"""All pulls of one daemon. Carries out what pulling_list.py decides: one process for each that runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import anyio
from anyio.abc import TaskGroup, TaskStatus

from localllm.api.pull_views import PullView
from localllm.errors import Busy
from localllm.events import PullMoved
from localllm.planning.desk import Desk
from localllm.planning.pull_plans import PullPlan
from localllm.store.job import PullProgress
from localllm.store.places import hub_cache
from localllm.store.pull_talk import Begin
from localllm.supervisor import pull_messages as msg
from localllm.supervisor.bus import EventBus
from localllm.supervisor.claims import Claim, claims_of
from localllm.supervisor.pull_book import PullBook
from localllm.supervisor.pull_parts import remove_parts
from localllm.supervisor.pull_process import WORKER, PullProcess
from localllm.supervisor.pull_queue import (
    decide_starts,
    find_same,
    needed_etags,
    share_of_pace,
)
from localllm.supervisor.pull_speed import left_s
from localllm.supervisor.pull_view import render_pull
from localllm.supervisor.pull_wishes import is_due
from localllm.supervisor.pulling_list import (
    UNDER_WAY,
    UNFINISHED,
    Pull,
    PullPolicy,
    PullState,
    step,
)
from localllm.supervisor.reaper import OWNER_VARIABLE
from localllm.units import MIB

_MOST = 100
"""That have not ended; more are refused."""

_REPORT_EVERY_S = 1.0
_CLEARED_WITHIN_S = 10.0


class Pulls:
    """Runs until cancelled; cancelling ends every process before it returns.

    Args:
        command: Of the process that pulls.
        policy: Of retries; how many may run at once is the settings' say.
    """

    def __init__(
        self,
        desk: Desk,
        bus: EventBus,
        command: Sequence[str] = WORKER,
        policy: PullPolicy | None = None,
    ) -> None:
        self._settings = desk.current
        self._own_policy = policy
        self._cache = hub_cache(desk.environment)
        self._marks = {OWNER_VARIABLE: str(desk.paths.state)}
        self._command = command
        self._bus = bus
        self.book = PullBook(desk.paths.pulls, bus)
        self._live: dict[str, PullProcess] = {}
        self._clearing: set[str] = set()
        self._closing = False
        self._tasks: TaskGroup | None = None

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Go on with what an earlier daemon has left, and take new ones."""
        self.book.restore()
        async with anyio.create_task_group() as self._tasks:
            self._go_on()
            task_status.started()
            await anyio.sleep_forever()

    def retune(self) -> None:
        """Go on as the settings now say: those that run share another limit, more may begin."""
        if not self._closing:
            self._go_on()

    @property
    def _policy(self) -> PullPolicy:
        return self._own_policy or PullPolicy(at_once=self._settings().downloads.at_once)

    @property
    def _pace(self) -> float | None:
        """Bytes per second of each that runs; None: no limit."""
        limit = self._settings().downloads.max_mib_per_s
        return share_of_pace(self.book.all, None if limit is None else limit * MIB)

    @property
    def under_way(self) -> bool:
        """Whether anything is on its way, to the disk or from there to be served."""
        return any(pull.state in UNDER_WAY or is_due(pull) for pull in self.book.all)

    def add(self, plan: PullPlan, then: msg.Then | None = None) -> PullView:
        """Have a model pulled; one that is being pulled already goes on.

        Args:
            then: What is done with it; a switch takes the place of what else was to be served.

        Raises:
            Busy: Too many have not ended.
        """
        wanted = msg.Wanted(plan.model, plan.quant, plan.reason, plan.job)
        same = find_same(self.book.all, wanted)
        if same is None:
            self._require_place()
        if then is not None and then.how == "switch":
            self._drop_others(same)
        if plan.on_disk:
            self._have_arrived(wanted)
        if same is not None:
            return self._tell(same.id, msg.Resume(self.book.next_turn(), wanted, then))
        return self._take(wanted, then, was_here=plan.on_disk)

    def pause(self, pull: str) -> PullView:
        """Stop it for now, and keep what has come.

        Raises:
            NotFound: There is no such pull.
        """
        return self._tell(self.book.require(pull).id, msg.Pause("by the user"))

    def resume(self, pull: str) -> PullView:
        """Go on with one that is paused, has failed or was cancelled.

        Raises:
            NotFound: There is no such pull.
        """
        return self._tell(self.book.require(pull).id, msg.Resume(self.book.next_turn()))

    async def cancel(self, pull: str) -> PullView:
        """End it and remove what has come of it, but for files that are whole.

        What is whole already stays, and is not served any more if it was to be.

        Raises:
            NotFound: There is no such pull.
        """
        known = self.book.require(pull)
        self._tell(known.id, msg.Cancel())
        with anyio.move_on_after(_CLEARED_WITHIN_S):
            while self._is_being_cancelled(known.id):
                await self.book.changed.wait()
        return render_pull(self.book.get(known.id) or known, anyio.current_time())

    def pause_all(self, why: str) -> None:
        """Pause what is under way, for as long as nobody resumes it: also after a restart."""
        for pull in self.book.all:
            self._apply(pull.id, msg.Pause(why))
        self._go_on()

    def close(self) -> None:
        """End every process now, and start no more; the next daemon goes on."""
        self._closing = True
        for pull in self.book.all:
            self._apply(pull.id, msg.StopAll())
        self._go_on()

    def claims(self) -> Sequence[Claim]:
        """Say what each counts on that has not ended. Computed alone."""
        return claims_of(self.book.all, self._cache)

    def wanted_repositories(self) -> frozenset[str]:
        """List the repositories of pulls that have not ended, as owner/name."""
        unfinished = (pull for pull in self.book.all if pull.state in UNFINISHED)
        return frozenset(pull.wanted.job.repo for pull in unfinished)

    def _require_place(self) -> None:
        if sum(pull.state in UNFINISHED for pull in self.book.all) >= _MOST:
            raise Busy(
                f"{_MOST} pulls have not ended: one more is not taken.",
                why="each keeps a place in the queue, or what has come of it",
                fix="wait until some are done, or end some: localllm pull MODEL --cancel",
            )

    def _drop_others(self, same: Pull | None) -> None:
        """Have what else was to be served pulled only; what is asked again has its own say."""
        wishes, own = self.book.wishes(), None if same is None else same.id
        self.book.drop_wishes({name: then for name, then in wishes.items() if name != own})

    def _have_arrived(self, wanted: msg.Wanted) -> None:
        """End pulls that somebody else has done the work of."""
        for pull in tuple(self.book.all):
            if (pull.wanted.model, pull.wanted.quant) == (wanted.model, wanted.quant):
                self._apply(pull.id, msg.Arrive())

    def _take(self, wanted: msg.Wanted, then: msg.Then | None, *, was_here: bool) -> PullView:
        pull = Pull(self.book.next_id(), wanted, turn=self.book.next_turn(), then=then)
        if was_here:
            why, now = "it is on disk already", anyio.current_time()
            pull = replace(pull, state=PullState.DONE, why=why, was_here=True, ended_at=now)
        self.book.put(pull)
        self._go_on()
        return self.book.show(pull.id)

    def _tell(self, name: str, happened: msg.Input) -> PullView:
        """Apply one input, and let others have their turn; show what became of it."""
        self._apply(name, happened)
        self._go_on()
        return self.book.show(name)

    def _apply(self, name: str, happened: msg.Input) -> None:
        new, effects = step(self.book[name], happened, anyio.current_time(), self._policy)
        self.book.put(new)
        for effect in effects:
            self._carry_out(new, effect)

    def _go_on(self) -> None:
        """Begin what may begin, and share the line among those that run."""
        self.book.leave_out_old()
        if self._tasks is not None and not self._closing:
            free = [pull for pull in self.book.all if pull.id not in self._clearing]
            for name in decide_starts(free, self._policy, anyio.current_time()):
                self._apply(name, msg.Begin())
        pace = self._pace
        for process in self._live.values():
            process.set_pace(pace)
        self.book.announce()

    def _carry_out(self, pull: Pull, effect: msg.Effect) -> None:
        assert self._tasks is not None, "pulls are for a daemon that runs"
        match effect:
            case msg.Spawn(run):
                process = self._process(pull, run)
                self._live[pull.id] = process
                self._tasks.start_soon(self._be_alive, pull.id, process, run)
            case msg.Kill():
                self._live[pull.id].kill()
            case msg.WakeAt(at):
                self._tasks.start_soon(self._wake, at)
            case msg.Clear():
                self._clearing.add(pull.id)
                self._tasks.start_soon(self._clear, pull)

    def _process(self, pull: Pull, run: int) -> PullProcess:
        def hear(progress: PullProgress) -> None:
            self._apply(pull.id, msg.Progressed(run, progress))

        connections = self._settings().downloads.connections
        begin = Begin(job=pull.wanted.job, connections=connections, bytes_per_s=self._pace)
        return PullProcess(self._command, self._marks, begin, hear)

    async def _be_alive(self, name: str, process: PullProcess, run: int) -> None:
        """Be the process of one run, until it is gone."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._report, name)
            ended = await process.run(run)
            tasks.cancel_scope.cancel()
        del self._live[name]
        self._tell(name, ended)

    async def _report(self, name: str) -> None:
        """Publish how far it is now and then, while it moves."""
        told = self.book[name].here_bytes
        while True:
            await anyio.sleep(_REPORT_EVERY_S)
            pull, now = self.book[name], anyio.current_time()
            here, size = pull.here_bytes, pull.wanted.job.size_bytes
            if here != told:
                told, speed = here, pull.speed.bytes_per_s(now)
                left = left_s(here, size, speed)
                self._bus.publish(PullMoved(name, pull.wanted.model, here, size, speed, left))

    async def _wake(self, at: float) -> None:
        await anyio.sleep_until(at)
        self._go_on()

    async def _clear(self, pull: Pull) -> None:
        needed = needed_etags(self.book.all, pull.wanted.job.repo)
        await anyio.to_thread.run_sync(remove_parts, self._cache, pull.wanted.job, needed)
        self._clearing.discard(pull.id)
        self._go_on()

    def _is_being_cancelled(self, name: str) -> bool:
        pull = self.book.get(name)
        dies = pull is not None and pull.state is PullState.CANCELLED and pull.alive
        return dies or name in self._clearing
