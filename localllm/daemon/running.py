"""Runs the parts until somebody has the daemon end: owns the signals and the task group.

The HTTP server and the fleet are siblings in it: if either ends, both do.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import socket
import time
from collections.abc import Generator
from contextlib import contextmanager

import anyio
from anyio.abc import TaskGroup

from localllm import __version__
from localllm.api.daemon_file import DaemonFile, hub_fingerprint, write_daemon_file
from localllm.api.exposure import addresses_of, check_exposure, is_exposed, render_exposure
from localllm.api.key_file import read_keys
from localllm.api.views import ServeRequest
from localllm.config.current import Current
from localllm.daemon.parts import Parts, put_together
from localllm.errors import LocalLLMError
from localllm.events import ModelState
from localllm.gateway.listening import allow_connections, bound, serving
from localllm.paths import Paths
from localllm.service.system import System
from localllm.supervisor.event_log import log_events
from localllm.supervisor.fleet import Fleet
from localllm.supervisor.reloading import Reloading
from localllm.supervisor.status_line import tell_states

_log = logging.getLogger("localllm.daemon")
_GOODBYE_S = 15.0
"""After the drain: for what is left to close."""


class Daemon:
    """Everything that lives as long as the daemon.

    Args:
        first: What to serve at once, beside what an earlier daemon served.
        system: Who has started us, if it was no person.
    """

    def __init__(
        self,
        current: Current,
        paths: Paths,
        first: ServeRequest | None,
        system: System = System(),  # noqa: B008  # frozen
    ) -> None:
        self._system = system
        self._current = current
        self._paths = paths
        self._first = first
        self._stop = anyio.Event()
        self.failure: LocalLLMError | None = None
        """Why what it was started for is not served; it has ended then."""

    async def run(self) -> None:
        """Serve until told to stop; requests are drained, and engines gone, when it returns."""
        with self._bound() as sockets:
            port = sockets[0].getsockname()[1]
            parts = put_together(self._current, self._paths, port, self._stop.set)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._watch_signals, tasks.cancel_scope)
                await self._start(tasks, parts)
                most = lambda: self._current().max_connections  # noqa: E731
                async with serving(parts.gateway.application(), sockets, most=most):
                    self._announce(parts)
                    self._system.notifier.ready()
                    self._start_at_last(tasks, parts)
                    await self._stop.wait()
                    parts.operations.pulls.close()
                    parts.stop_checks()
                    await self._drain(parts.fleet)
                tasks.cancel_scope.cancel()

    async def _start(self, tasks: TaskGroup, parts: Parts) -> None:
        """Start what has to be there before the first request."""
        operations = parts.operations
        for one in (parts.fleet.run, operations.orders.run):
            tasks.start_soon(one)
        tasks.start_soon(self._reload_on_hangup, operations.reloading)
        for watches in parts.watching:
            tasks.start_soon(watches)
        tasks.start_soon(log_events, parts.fleet.tools.bus)
        tasks.start_soon(self._system.notifier.keep_alive)
        for works in parts.serving:
            tasks.start_soon(works)
        await tasks.start(operations.pulls.run)
        for of_people in (operations.wishes.run, operations.engines.run, operations.reloading.run):
            tasks.start_soon(of_people)

    def _start_at_last(self, tasks: TaskGroup, parts: Parts) -> None:
        """Start what is for a daemon that can be asked."""

        def states() -> list[tuple[str, ModelState]]:
            return [(one.planned.stored.id, one.state) for one in parts.fleet.instances()]

        tasks.start_soon(tell_states, parts.fleet.tools.bus, states, self._system.notifier.status)
        tasks.start_soon(self._serve_first, parts)

    @contextmanager
    def _bound(self) -> Generator[list[socket.socket]]:
        """Listen, on more than loopback only if nobody gets in there without a key."""
        settings = self._current()
        if is_exposed(settings.listen):
            check_exposure(settings.listen, read_keys(self._paths.keys_file), time.time())
        allow_connections(settings.max_connections)
        listen = self._system.adopted if self._system.sockets else bound
        with listen(settings.port, addresses_of(settings.listen)) as sockets:
            yield sockets

    def _announce(self, parts: Parts) -> None:
        rules = parts.known.current_rules()
        write_daemon_file(
            self._paths.daemon_file,
            DaemonFile(
                pid=os.getpid(),
                started=time.time(),
                port=rules.port,
                token=rules.token,
                version=__version__,
                listen=self._current().listen,
                hub=hub_fingerprint(parts.operations.desk.environment),
            ),
        )
        _log.info("listening: port=%d pid=%d version=%s", rules.port, os.getpid(), __version__)
        exposed = render_exposure(self._current().listen, rules.port, rules.keys, time.time())
        if exposed is not None:
            _log.warning("%s", exposed)

    async def _serve_first(self, parts: Parts) -> None:
        operations = parts.operations
        await operations.orders.resume()
        if self._first is None:
            return
        try:
            await operations.orders.serve(self._first)
        except LocalLLMError as error:
            if parts.fleet.instances() or operations.pulls.under_way:  # the daemon is of use
                _log.error("not served: model=%s %s", self._first.model, error)
                return
            self.failure = error
            self._stop.set()

    async def _watch_signals(self, everything: anyio.CancelScope) -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for number in signals:
                if self._stop.is_set():  # asked twice: no more waiting
                    everything.cancel()
                _log.info("stopping: signal=%s", signal.Signals(number).name)
                self._stop.set()

    async def _reload_on_hangup(self, reloading: Reloading) -> None:
        """Read the settings again at SIGHUP; one that a terminal sends as it closes ends us."""
        has_terminal = os.isatty(0)
        with anyio.open_signal_receiver(signal.SIGHUP) as signals:
            async for _ in signals:
                if has_terminal and not os.isatty(0):
                    self._stop.set()
                    return
                self._system.notifier.reloading()
                await reloading.tried()
                self._system.notifier.ready()

    async def _drain(self, fleet: Fleet) -> None:
        supervision = self._current().supervision
        within_s = supervision.drain_timeout_s + fleet.tools.policy.farewell_s + 15.0
        self._system.notifier.stopping(within_s + _GOODBYE_S)
        with anyio.move_on_after(within_s):
            await fleet.close()


def has_uvloop() -> bool:
    """Whether the quicker loop is here."""
    return importlib.util.find_spec("uvloop") is not None
