"""Finds out what the name in a request means, with a look at the disk where that is needed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import anyio

from localllm.catalog.hosted_names import read_hosted_names
from localllm.config.remote import Remote
from localllm.engines.base import Task
from localllm.errors import LocalLLMError, ModelNotFound
from localllm.planning.at_hand import at_hand
from localllm.planning.desk import Desk
from localllm.supervisor.asks import Asks
from localllm.supervisor.fleet import Fleet
from localllm.supervisor.hosted import Hosted
from localllm.supervisor.known_names import Served, Shelf, known_names
from localllm.supervisor.resolving import WHATEVER, Known, Resolved, resolve_name

_log = logging.getLogger(__name__)

_FRESH_S = 30.0
"""So old may be what was read from disk, for a name that it knows."""

_UNKNOWN_S = 1.0
"""The same for a name that it does not: whoever asks for many of them reads no more often."""


LONGER_THAN_ANY = 1 << 60
"""Tokens: leads to the instance for long prompts, if there is one."""


@dataclass(slots=True)
class Naming:
    """Mutable: keeps what it has read from disk, and when."""

    desk: Desk
    fleet: Fleet
    asks: Asks
    _shelf: Shelf = field(default_factory=Shelf)
    _read_at: float | None = None
    _is_stale: bool = True
    """The settings have changed since it was read."""

    _one_at_a_time: anyio.Lock = field(default_factory=anyio.Lock)

    async def resolve(self, asked: str | None, task: Task = Task.WRITE) -> Resolved:
        """Find what a name means.

        Args:
            task: What is asked of it, for names that mean whatever is served.

        Raises:
            ModelNotFound: Nothing here has the name, as it is.
        """
        names = self.fleet.names
        if asked is None or (asked == WHATEVER and not names.has(asked)):
            return Resolved(names.other_than_current(task) or asked)
        if names.has(asked):
            return Resolved(asked)
        try:
            return resolve_name(asked, (await self.look(_FRESH_S))[1], task)
        except ModelNotFound:
            return resolve_name(asked, (await self.look(_UNKNOWN_S))[1], task)

    async def look(self, fresh_s: float = _UNKNOWN_S) -> tuple[Shelf, Known]:
        """What can be asked for, and all names that mean something.

        Args:
            fresh_s: So old what was read from disk may be.
        """
        shelf, names = await self._fresh_shelf(fresh_s), self.fleet.names
        meant = {task: names.other_than_current(task) or WHATEVER for task in Task}
        return shelf, known_names(self._served(), shelf, names.current, meant)

    def forget(self) -> None:
        """Read everything anew at the next look: the settings have changed."""
        self._is_stale = True

    async def _fresh_shelf(self, fresh_s: float) -> Shelf:
        async with self._one_at_a_time:
            now = anyio.current_time()
            if self._is_stale or self._read_at is None or now - self._read_at > fresh_s:
                self._is_stale = False
                self._shelf = await anyio.to_thread.run_sync(self._read)
                self._read_at = anyio.current_time()
            return self._shelf

    def _read(self) -> Shelf:
        """Read it; what the user has broken meanwhile stays as it was."""
        try:
            return read_shelf(self.desk.as_now())
        except LocalLLMError as error:
            _log.warning("names are not read again: %s", error)
        if self._read_at is not None:
            return self._shelf
        settings = self.desk.settings
        elsewhere = _elsewhere(settings.remote)
        return Shelf(profiles=settings.profiles, naming=settings.names, elsewhere=elsewhere)

    def _served(self) -> Sequence[Served]:
        by_model: dict[str, list[Hosted]] = {}
        for hosted in self.fleet.instances():
            by_model.setdefault(hosted.planned.model, []).append(hosted)
        return [self._as_served(instances) for instances in by_model.values()]

    def _as_served(self, instances: Sequence[Hosted]) -> Served:
        model = instances[0].planned.model
        asked = self.asks.find(model)
        names = dict.fromkeys(name for h in instances for name in names_of(h))
        return Served(
            model,
            tuple(names),
            tuple(h.id for h in instances),
            None if asked is None else asked.profile,
        )


def read_shelf(desk: Desk) -> Shelf:
    """Read all that can be asked for though it is not served.

    Raises:
        ConfigError: A profile of a model is broken.
    """
    settings = desk.settings
    catalog = desk.catalog()
    on_request = settings.supervision.load_on_request
    return Shelf(
        catalog,
        settings.profiles,
        settings.names,
        read_hosted_names(desk.profiles),
        at_hand(catalog, desk.paths.data, desk.environment) if on_request else (),
        _elsewhere(settings.remote),
    )


def _elsewhere(remote: Remote | None) -> frozenset[str]:
    """List the names that go there if nothing here has them."""
    return (
        frozenset() if remote is None or "fallback" not in remote.when else frozenset(remote.models)
    )


def names_of(hosted: Hosted) -> Sequence[str]:
    """What may be said for an instance's model: id, aliases, and where its file came from."""
    stored, quant = hosted.planned.stored, hosted.planned.header.quantization
    own = (stored.id, *stored.aliases)
    hub = () if stored.repo is None or ":" in stored.repo else (stored.repo, f"hf:{stored.repo}")
    behind = () if quant is None else tuple(f"{name}:{quant}" for name in (*own, *hub))
    return (*own, *hub, *behind)
