"""Composition root: the only place where the parts are put together.

Owns the signals and the task group. The HTTP server and the fleet are siblings in it: if
either ends, both do. `python -m localllm.daemon` runs in the foreground; the CLI detaches it.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import anyio
import filelock
import msgspec

from localllm import __version__
from localllm.api.daemon_file import DaemonFile, hub_fingerprint, write_daemon_file
from localllm.api.exposure import addresses_of, check_exposure, is_exposed, render_exposure
from localllm.api.key_file import read_keys
from localllm.api.views import ServeRequest
from localllm.config.reading import read_settings
from localllm.config.settings import Settings
from localllm.engine_client.client import EngineClient
from localllm.engines.base import LaunchSpec, Serving
from localllm.errors import AlreadyRunning, LocalLLMError
from localllm.gateway.access import Rules
from localllm.gateway.app import Gateway
from localllm.gateway.connection import Limits
from localllm.gateway.known_keys import KnownKeys
from localllm.gateway.listening import allow_connections, bound, serving
from localllm.gateway.metering import open_metering
from localllm.gateway.placing import Placing
from localllm.gateway.reading_speed import prefill_tps
from localllm.gateway.warming_up import WarmingUp
from localllm.hardware.sleep import read_awake_gap
from localllm.hardware.vitals import read_vitals
from localllm.paths import Paths, bundled_profiles, paths_for
from localllm.planning.desk import Desk
from localllm.planning.planner import Planned
from localllm.prefix.budget import read_budget_bytes
from localllm.prefix.keeping import Keeping
from localllm.prefix.key import read_or_make_key
from localllm.prefix.shelf import Shelf
from localllm.prefix.warming import Warming
from localllm.supervisor.bus import EventBus
from localllm.supervisor.endpoints import clear_sockets, new_endpoint
from localllm.supervisor.event_log import log_events
from localllm.supervisor.fleet import Fleet
from localllm.supervisor.lifecycle import RestartPolicy
from localllm.supervisor.machine_watch import MachineWatch
from localllm.supervisor.notes import Notes
from localllm.supervisor.operations import Operations
from localllm.supervisor.reaper import OWNER_VARIABLE, reap
from localllm.supervisor.shrinking import Shrinking
from localllm.supervisor.tools import Tools
from localllm.supervisor.watchdog import Watchdog

_log = logging.getLogger("localllm.daemon")


class Daemon:
    """Everything that lives as long as the daemon.

    Args:
        first: What to serve at once, beside what an earlier daemon served.
    """

    def __init__(self, settings: Settings, paths: Paths, first: ServeRequest | None) -> None:
        self._settings = settings
        self._paths = paths
        self._first = first
        self._stop = anyio.Event()
        self.failure: LocalLLMError | None = None
        """Why what it was started for is not served; it has ended then."""

        self._environment = dict(os.environ)
        if settings.remote is not None and settings.remote.key_env is not None:
            os.environ.pop(settings.remote.key_env, None)  # no engine is to inherit it
        self._desk = Desk(settings, paths, dict(os.environ), bundled_profiles())
        self._keeping = Keeping(_shelf(settings, paths))
        self._fleet = Fleet(self._tools())
        self._watch = MachineWatch(
            self._fleet,
            lambda devices, before: read_vitals(devices, before=before),
            read_awake_gap,
            settings.supervision.watch_every_s,
            (paths.daemon_log,),
            spare_slot=self._keeping.spare_slot,
        )

    async def run(self) -> None:
        with self._bound() as sockets:
            port = sockets[0].getsockname()[1]
            rules = _rules(self._settings, port)
            known = KnownKeys(self._paths.keys_file, rules)
            operations = Operations(
                self._desk,
                self._fleet,
                f"http://127.0.0.1:{port}/v1",
                os.getpid(),
                anyio.current_time(),
                self._watch,
            )
            watchdog = Watchdog(self._fleet, self._settings.supervision.hang_after_s)
            metering = open_metering(
                self._paths, self._environment, partial(prefill_tps, self._fleet)
            )
            prefix = self._settings.prefix
            secret = read_or_make_key(self._paths.prefix_key)
            placing = Placing(self._keeping, secret, prefix)
            warming = Warming(self._keeping, reads_ahead=prefix.warm)
            warming_up = WarmingUp(self._fleet, _connect, placing, warming)
            gateway = Gateway(
                operations,
                self._settings,
                _connect,
                known.current_rules,
                self._stop.set,
                int(time.time()),
                self._environment,
                metering,
                placing,
            )
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._watch_signals, tasks.cancel_scope)
                watches = (self._watch.run, operations.glances.run, watchdog.run)
                for one in (self._fleet.run, operations.orders.run, *watches):
                    tasks.start_soon(one)
                if self._settings.supervision.after_out_of_memory == "smaller":
                    shrinking = Shrinking(self._fleet, operations.orders, _oom_kills)
                    tasks.start_soon(shrinking.run)
                tasks.start_soon(log_events, self._fleet.tools.bus)
                tasks.start_soon(metering.run, self._fleet.tools.bus)
                for keeps_warm in (self._keeping.run, warming_up.run):
                    tasks.start_soon(keeps_warm)
                tasks.start_soon(gateway.streams.run)
                await tasks.start(operations.pulls.run)
                tasks.start_soon(operations.wishes.run)
                tasks.start_soon(operations.engines.run)
                limits = Limits(most=self._settings.max_connections)
                async with serving(gateway.application(), sockets, limits):
                    self._announce(known.current_rules())
                    tasks.start_soon(self._serve_first, operations)
                    await self._stop.wait()
                    operations.pulls.close()
                    await self._drain()
                tasks.cancel_scope.cancel()

    @contextmanager
    def _bound(self) -> Generator[list[socket.socket]]:
        """Listen, on more than loopback only if nobody gets in there without a key."""
        settings = self._settings
        if is_exposed(settings.listen):
            check_exposure(settings.listen, read_keys(self._paths.keys_file), time.time())
        allow_connections(settings.max_connections)
        with bound(settings.port, addresses_of(settings.listen)) as sockets:
            yield sockets

    def _tools(self) -> Tools:
        supervision = self._settings.supervision
        policy = RestartPolicy(
            max_crashes=supervision.max_crashes,
            stable_after_s=supervision.stable_after_s,
            backoff_first_s=supervision.backoff_first_s,
            drain_timeout_s=supervision.drain_timeout_s,
        )
        notes = Notes(self._desk, lambda: bool(self._watch.throttled))
        return Tools(
            EventBus(),
            policy,
            self._paths.logs,
            _connect,
            self._launch,
            record=notes.record,
            examine=notes.examine,
            budgets=self._desk.budgets_now,
            cache_share=supervision.cache_share,
            prefix_folder=self._paths.prefixes,
            prefix=self._settings.prefix,
            farewell=self._keeping.farewell,
        )

    def _launch(self, planned: Planned, settings: Serving) -> LaunchSpec:
        installed = planned.choice.installed
        known = self._desk.engine_desk.engines(os.environ)
        engine = next(e for e in known if e.name == installed.engine)
        spec = engine.launch(installed, settings, new_endpoint(installed, self._paths.sockets))
        return replace(spec, env={**spec.env, OWNER_VARIABLE: str(self._paths.state)})

    def _announce(self, rules: Rules) -> None:
        write_daemon_file(
            self._paths.daemon_file,
            DaemonFile(
                pid=os.getpid(),
                started=time.time(),
                port=rules.port,
                token=rules.token,
                version=__version__,
                listen=self._settings.listen,
                hub=hub_fingerprint(self._desk.environment),
            ),
        )
        _log.info("listening: port=%d pid=%d version=%s", rules.port, os.getpid(), __version__)
        exposed = render_exposure(self._settings.listen, rules.port, rules.keys, time.time())
        if exposed is not None:
            _log.warning("%s", exposed)

    async def _serve_first(self, operations: Operations) -> None:
        await operations.orders.resume()
        if self._first is None:
            return
        try:
            await operations.orders.serve(self._first)
        except LocalLLMError as error:
            if self._fleet.instances() or operations.pulls.under_way:  # the daemon is of use
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

    async def _drain(self) -> None:
        supervision = self._settings.supervision
        farewell_s = self._fleet.tools.policy.farewell_s
        with anyio.move_on_after(supervision.drain_timeout_s + farewell_s + 15.0):
            await self._fleet.close()


def _shelf(settings: Settings, paths: Paths) -> Shelf | None:
    """Where prompts are kept on disk, if they are."""
    if not settings.prefix.enabled:
        return None
    most = settings.prefix.max_gib
    return Shelf(paths.prefixes, lambda: read_budget_bytes(paths.prefixes, most), time.time)


def _rules(settings: Settings, port: int) -> Rules:
    """Say whom the daemon admits, with a token for this life of it."""
    return Rules(
        port,
        frozenset(settings.origins),
        secrets.token_hex(32),
        names=frozenset(name.lower() for name in settings.allowed_hosts),
        is_exposed=is_exposed(settings.listen),
        wants_key=settings.auth == "always",
    )


def _connect(spec: LaunchSpec) -> EngineClient:
    endpoint = spec.endpoint
    return EngineClient(endpoint.url, socket=endpoint.socket, key=endpoint.key)


@contextmanager
def _only_one(paths: Paths) -> Generator[None]:
    """Be the one daemon of this state folder; the kernel frees the lock of one that died.

    Raises:
        AlreadyRunning: There is another.
    """
    paths.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    paths.state.chmod(0o700)
    lock = filelock.FileLock(paths.lock, blocking=False)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise AlreadyRunning(
            "A daemon is running already.", why=f"it holds {paths.lock}", fix="localllm status"
        ) from error
    try:
        yield
    finally:
        paths.daemon_file.unlink(missing_ok=True)
        paths.lock.unlink(missing_ok=True)  # still held: whoever waits for it sees it unlinked
        lock.release()


def _clean_up_after_a_crash(paths: Paths) -> None:
    for pid in reap(paths.state):
        _log.warning("an engine of an earlier daemon was ended: pid=%d", pid)
    clear_sockets(paths.sockets)


def _oom_kills() -> int:
    """How many processes the kernel has killed for memory; 0 where nobody counts, as on macOS."""
    return (read_vitals(()).oom_kills or 0) if sys.platform == "linux" else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m localllm.daemon")
    parser.add_argument("--port", type=int)
    parser.add_argument("--serve", help="what to serve at once, as JSON")
    return parser.parse_args()


def main() -> None:
    """Run a daemon until it is told to stop; exit with the error's own code if it cannot start."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    code = 0
    given = _arguments()
    try:
        paths = paths_for(os.environ)
        settings = read_settings(paths.config_file, os.environ)
        if given.port is not None:
            settings = msgspec.structs.replace(settings, port=given.port)
        first = msgspec.json.decode(given.serve, type=ServeRequest) if given.serve else None
        with _only_one(paths):
            _clean_up_after_a_crash(paths)
            daemon = Daemon(settings, paths, first)
            anyio.run(daemon.run, backend_options={"use_uvloop": _has_uvloop()})
            clear_sockets(paths.sockets)
        if daemon.failure is not None:
            raise daemon.failure
    except LocalLLMError as error:
        sys.stderr.write(f"{error.code}: {error}\n")  # the CLI reads it
        code = error.exit_code
    sys.stderr.flush()
    os._exit(code)  # all is in order; a thread that hangs in a driver must not keep us


def _has_uvloop() -> bool:
    return importlib.util.find_spec("uvloop") is not None


if __name__ == "__main__":
    main()
