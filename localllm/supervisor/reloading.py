"""Reads config.toml again when it has changed; what is wrong there costs nothing that runs.

What can count at once does. Models that are served by what has changed are planned anew, one after
the other, and serve as they were until the new ones are ready. For the rest the daemon has to be
started again, which is said until it is done.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import anyio

from localllm.api.key_file import Stamp, read_stamp
from localllm.api.views import ServeRequest
from localllm.config.current import Current
from localllm.config.leaves import Change, Effect, changes_between
from localllm.config.reading import load
from localllm.config.settings import Settings
from localllm.errors import ConfigError, LocalLLMError
from localllm.events import ModelId, Topic
from localllm.supervisor.fleet import Fleet
from localllm.supervisor.hosted import Hosted
from localllm.supervisor.order_terms import How, terms_of
from localllm.supervisor.orders import Orders
from localllm.supervisor.outdated import outdated_by

_log = logging.getLogger(__name__)

_SETTLED_S = 0.15
"""A file that has not changed for so long is whole: editors write in pieces, and people save twice."""

_GONE_S = 1.0
"""A file that is not there for so long was removed: editors put another in its place."""

_LOOK_EVERY_S = 0.05
_ANSWERS_WITHIN_S = 2.0
_AT_LAST_S = 3.0
"""A file that goes on changing is read all the same."""


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What reading the file again has come to."""

    changes: Sequence[Change]
    anew: Sequence[ModelId]
    """Models that are planned anew."""


@dataclass(slots=True)
class Reloading:
    """Runs until cancelled. Mutable: knows what is wrong with the file, and what waits.

    Args:
        environment: The daemon's, which goes over the file.
        every_s: How often the file is looked at.
    """

    current: Current
    environment: Mapping[str, str]
    fleet: Fleet
    orders: Orders
    every_s: float = 0.5
    when_changed: list[Callable[[Settings, Settings], None]] = field(
        default_factory=list[Callable[[Settings, Settings], None]]
    )
    """Told of the old settings and the new, once these count."""

    error: ConfigError | None = None
    """Why what is written now does not count."""

    refused: dict[ModelId, str] = field(default_factory=dict[ModelId, str])
    """By model, why it goes on without what its settings say now."""

    _bound: Settings = field(init=False)
    """That the daemon was started with."""

    _read: Stamp | None = field(init=False)
    """Of what was read last."""

    _late: Sequence[str] = ()
    """What counts once the daemon is started again."""

    _outdated: dict[ModelId, str] = field(default_factory=dict[ModelId, str])
    _came: anyio.Event = field(default_factory=anyio.Event)
    _one_at_a_time: anyio.Lock = field(default_factory=anyio.Lock)

    def __post_init__(self) -> None:
        self._bound = self.current()
        self._read = read_stamp(self.current.loaded.file)

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._start_anew)
            while True:
                await anyio.sleep(self.every_s)
                if await self._stamp() != self._read:
                    await self._settled()
                    await self.tried()

    async def look(self, request: ServeRequest) -> None:
        """Read the file now if it has changed, before what a person wants is planned by it.

        Raises:
            ConfigError: It names a profile, and the file that this may stand in is wrong.
        """
        if await self._stamp() != self._read:
            await self.tried()
        if self.error is not None and request.profile is not None:
            raise self.error

    async def reload(self) -> Reloaded:
        """Read the file again, and have all that it says count as far as that can be.

        Raises:
            ConfigError: It is wrong; what it said before still counts.
        """
        async with self._one_at_a_time:
            return await self._reload()

    async def _reload(self) -> Reloaded:
        before = self.current.loaded
        self._read = await self._stamp()
        try:
            loaded = await anyio.to_thread.run_sync(
                load, before.file, self.environment, before.flags
            )
        except ConfigError as error:
            self._note(error)
            raise
        self._note(None)
        self.current.loaded = loaded
        late = changes_between(self._bound, loaded.settings)
        self._late = [_after_restart(one) for one in late if one.effect is Effect.DAEMON]
        changes = changes_between(before.settings, loaded.settings)
        if not changes:
            return Reloaded((), ())
        for take_over in self.when_changed:
            take_over(before.settings, loaded.settings)
        self.fleet.say(Topic.CONFIG, f"changed: {', '.join(one.key for one in changes)}")
        if any(one.path[-1] == "keep_alive" for one in changes):
            await anyio.to_thread.run_sync(self._keep_as_said)
        return Reloaded(changes, self._have_started_anew(changes))

    @property
    def waiting(self) -> Sequence[str]:
        """What is written and does not count, and what that takes."""
        served = {hosted.planned.model for hosted in self.fleet.instances()}
        refused = [why for model, why in self.refused.items() if model in served]
        return [*self._late, *refused]

    async def _stamp(self) -> Stamp | None:
        """Look at the file in a thread: its disk may be one that hangs, which changes nothing."""
        with anyio.move_on_after(_ANSWERS_WITHIN_S):
            file = self.current.loaded.file
            return await anyio.to_thread.run_sync(read_stamp, file, abandon_on_cancel=True)
        return self._read

    async def _settled(self) -> None:
        """Wait until the file stays as it is for a moment."""
        seen, since = await self._stamp(), anyio.current_time()
        with anyio.move_on_after(_AT_LAST_S):
            while anyio.current_time() - since < (_GONE_S if seen is None else _SETTLED_S):
                await anyio.sleep(_LOOK_EVERY_S)
                now = await self._stamp()
                if now != seen:
                    seen, since = now, anyio.current_time()

    async def tried(self) -> None:
        """Read the file; who has changed it is told by what is shown."""
        try:
            await self.reload()
        except ConfigError as error:
            _log.warning("the settings stay as they were: %s", error)

    def _note(self, error: ConfigError | None) -> None:
        """Say what is wrong once, and once that it is no more."""
        if str(error) == str(self.error):
            return
        self.error = error
        if error is None:
            self.fleet.say(Topic.CONFIG, f"{self.current.loaded.file} is right again")
        else:
            self.fleet.say(Topic.CONFIG, f"{error.what} {error.why}; what it said before counts")

    def _keep_as_said(self) -> None:
        """Have all that is served stay as long as is said now. Looks at the catalog's files."""
        desk = self.orders.desk
        for hosted in self.fleet.instances():
            asked = self.orders.asks.find(hosted.planned.model)
            with suppress(LocalLLMError):  # as where its profile is gone: it stays as it was
                if asked is not None:
                    how = How.BESIDE if hosted.terms.is_asked_for else How.FOR_A_REQUEST
                    default = desk.settings.supervision.keep_alive
                    said = terms_of(desk.resolved(asked)[0], how, hosted.terms.lane, default)
                    hosted.terms.keep_s = said.keep_s

    def _have_started_anew(self, changes: Sequence[Change]) -> Sequence[ModelId]:
        outdated: dict[ModelId, str] = {}
        for hosted in self.fleet.instances():
            model = hosted.planned.model
            asked = self.orders.asks.find(model)
            engine = hosted.planned.choice.installed.engine
            if asked is None or hosted.retired:
                continue
            if found := outdated_by(asked, engine, changes, self.current()):
                outdated[model] = ", ".join(one.key for one in found)
        self._outdated.update(outdated)
        self._came.set()
        return [*outdated]

    async def _start_anew(self) -> None:
        """Have outdated models planned again, one after the other."""
        while True:
            while self._outdated:
                model = next(iter(self._outdated))
                await self._start_one_anew(model, self._outdated.pop(model))
            self._came = anyio.Event()
            await self._came.wait()

    async def _start_one_anew(self, model: ModelId, keys: str) -> None:
        hosted = await self._one_that_stays(model)
        if hosted is None:
            return
        if not self.fleet.is_on_its_way(hosted):  # the next request has it planned by what is now
            await self.fleet.stop(model, f"changed: {keys}")
            return
        self.fleet.say(Topic.CONFIG, f"planned anew, and serves until then: {keys}", hosted)
        try:
            await self.orders.serve_anew(model)
        except LocalLLMError as error:
            self.refused[model] = f"{model} goes on as it was ({keys}): {error.what} {error.why}"
            self.fleet.say(Topic.CONFIG, self.refused[model], hosted)
        else:
            self.refused.pop(model, None)

    async def _one_that_stays(self, model: ModelId) -> Hosted | None:
        """Find who serves it, once no other model is about to take its place; None if one has."""
        while (hosted := self.fleet.names.find(model)) is not None and not hosted.retired:
            new = self.fleet.successor_of(hosted)
            if new is None or new.planned.model == model:
                return hosted
            await new.changed.wait()
        return None


def _after_restart(change: Change) -> str:
    return (
        f"{change.key} is {change.old} until the daemon is started again, then {change.new}: "
        "localllm down, then localllm up"
    )
