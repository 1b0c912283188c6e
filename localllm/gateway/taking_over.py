"""Has the parts of a running daemon go on by other settings, without an end to anything."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from dataclasses import dataclass, replace

from localllm.config.settings import Settings
from localllm.gateway.known_keys import KnownKeys
from localllm.gateway.listening import allow_connections
from localllm.supervisor.fleet import Fleet
from localllm.supervisor.machine_watch import MachineWatch
from localllm.supervisor.retuning import retune
from localllm.supervisor.watchdog import Watchdog


@dataclass(frozen=True, slots=True)
class TakingOver:
    """The parts that keep settings of their own; all others ask for them each time.

    Args:
        environment: That engines get.
    """

    fleet: Fleet
    watch: MachineWatch
    watchdog: Watchdog
    known: KnownKeys
    environment: MutableMapping[str, str]

    def __call__(self, _old: Settings, new: Settings) -> None:
        retune(self.fleet, new)
        self.watch.every_s = new.supervision.watch_every_s
        self.watchdog.hang_after_s = new.supervision.hang_after_s
        self.known.rules = replace(
            self.known.rules,
            origins=frozenset(new.origins),
            names=names_of(new),
            wants_key=new.auth == "always",
        )
        allow_connections(new.max_connections)
        hide_key(new, self.environment)


def names_of(settings: Settings) -> frozenset[str]:
    """The names that this machine is asked by, as they are compared."""
    return frozenset(name.lower() for name in settings.allowed_hosts)


def hide_key(settings: Settings, environment: MutableMapping[str, str]) -> None:
    """Take the remote's key out of what engines inherit."""
    if settings.remote is not None and settings.remote.key_env is not None:
        for one in (environment, os.environ):
            one.pop(settings.remote.key_env, None)
