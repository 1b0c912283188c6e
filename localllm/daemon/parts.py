"""Builds what lives as long as the daemon, and has each part know those that it needs. Runs nothing."""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import anyio

from localllm.api.exposure import is_exposed
from localllm.config.current import Current
from localllm.config.settings import Settings
from localllm.engine_client.client import EngineClient
from localllm.engines.base import LaunchSpec, Serving
from localllm.gateway.access import Rules
from localllm.gateway.app import Gateway
from localllm.gateway.checking import checks_of
from localllm.gateway.energy_metering import places_of
from localllm.gateway.known_keys import KnownKeys
from localllm.gateway.metering import Metering, open_metering
from localllm.gateway.placing import Placing
from localllm.gateway.prompt_tokens import prompt_tokens_of
from localllm.gateway.reading_speed import prefill_tps
from localllm.gateway.taking_over import TakingOver, hide_key, names_of
from localllm.gateway.warming_up import WarmingUp
from localllm.hardware.apple_energy import AppleEnergy
from localllm.hardware.machine import Device
from localllm.hardware.sleep import read_awake_gap
from localllm.hardware.vitals import Vitals, read_vitals
from localllm.paths import Paths, bundled_profiles
from localllm.planning.desk import Desk
from localllm.planning.planner import Planned
from localllm.prefix.budget import read_budget_bytes
from localllm.prefix.keeping import Keeping
from localllm.prefix.key import read_or_make_key
from localllm.prefix.shelf import Shelf
from localllm.prefix.warming import Warming
from localllm.supervisor.bus import EventBus
from localllm.supervisor.endpoints import new_endpoint
from localllm.supervisor.fleet import Fleet
from localllm.supervisor.machine_watch import MachineWatch
from localllm.supervisor.notes import Notes
from localllm.supervisor.operations import Operations
from localllm.supervisor.reaper import OWNER_VARIABLE
from localllm.supervisor.retuning import policy_of
from localllm.supervisor.shrinking import Shrinking
from localllm.supervisor.switch_check import SwitchCheck
from localllm.supervisor.tools import Tools
from localllm.supervisor.watchdog import Watchdog

Loop = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Parts:
    """All of them; running.py says what runs when."""

    fleet: Fleet
    operations: Operations
    gateway: Gateway
    known: KnownKeys
    watching: Sequence[Loop]
    """Look after engines and the machine until cancelled."""

    serving: Sequence[Loop]
    """Work beside the requests until cancelled."""

    stop_checks: Callable[[], None]
    """Ends those that are under way, as the daemon ends."""


def put_together(current: Current, paths: Paths, port: int, stop: Callable[[], None]) -> Parts:
    """Build all parts; within the loop that is to run them.

    Args:
        port: That the gateway is to say it listens on.
        stop: Has the daemon end.
    """
    environment, for_engines = dict(os.environ), dict(os.environ)
    hide_key(current(), for_engines)
    desk = Desk(current, paths, for_engines, bundled_profiles())
    keeping = Keeping(_shelf(current, paths))
    fleet, watch = _fleet(desk, keeping)
    endpoint, now = f"http://127.0.0.1:{port}/v1", anyio.current_time()
    operations = Operations(desk, fleet, endpoint, os.getpid(), now, watch)
    known = KnownKeys(paths.keys_file, _rules(current(), port))
    metering = _metering(paths, environment, fleet)
    watch.when_seen.append(lambda vitals: metering.energy.saw(vitals.energy))
    placing = Placing(keeping, read_or_make_key(paths.prefix_key), lambda: current().prefix)
    checks = checks_of(operations, connect, placing, known.current_rules)
    gateway = Gateway(
        operations,
        current,
        connect,
        known.current_rules,
        stop,
        int(time.time()),
        environment,
        metering,
        placing,
        checks=checks,
    )
    watchdog = Watchdog(fleet, current().supervision.hang_after_s)
    taking_over = TakingOver(fleet, watch, watchdog, known, for_engines)
    operations.reloading.when_changed.append(taking_over)
    warming = Warming(keeping, reads_ahead=lambda: current().prefix.warm)
    warming_up = WarmingUp(fleet, connect, placing, warming)
    shrinking = _shrinking(operations)
    return Parts(
        fleet,
        operations,
        gateway,
        known,
        watching=(watch.run, operations.glances.run, watchdog.run, shrinking.run),
        serving=(
            partial(metering.run, fleet.tools.bus),
            keeping.run,
            warming_up.run,
            gateway.streams.run,
            checks.run,
        ),
        stop_checks=checks.cancel,
    )


def _fleet(desk: Desk, keeping: Keeping) -> tuple[Fleet, MachineWatch]:
    """Those who host engines, and who looks at the machine that these are on."""
    fleet = Fleet(_tools(desk, keeping, lambda: bool(watch.throttled)))
    watch = MachineWatch(
        fleet,
        partial(_look, AppleEnergy()),
        read_awake_gap,
        desk.settings.supervision.watch_every_s,
        (desk.paths.daemon_log,),
        spare_slot=keeping.spare_slot,
    )
    return fleet, watch


def _tools(desk: Desk, keeping: Keeping, is_throttled: Callable[[], bool]) -> Tools:
    settings, paths = desk.settings, desk.paths
    notes, bus = Notes(desk, is_throttled), EventBus()
    return Tools(
        bus,
        policy_of(settings.supervision),
        paths.logs,
        connect,
        partial(_launch, desk),
        record=notes.record,
        examine=notes.examine,
        check=SwitchCheck(bundled_profiles(), paths.checks, bus),
        budgets=desk.budgets_now,
        cache_share=settings.supervision.cache_share,
        prefix_folder=paths.prefixes,
        prefix=settings.prefix,
        farewell=keeping.farewell,
    )


def _launch(desk: Desk, planned: Planned, serving: Serving) -> LaunchSpec:
    installed = planned.choice.installed
    known = desk.engine_desk.engines(os.environ)
    engine = next(e for e in known if e.name == installed.engine)
    spec = engine.launch(installed, serving, new_endpoint(installed, desk.paths.sockets))
    return replace(spec, env={**spec.env, OWNER_VARIABLE: str(desk.paths.state)})


def _metering(paths: Paths, environment: Mapping[str, str], fleet: Fleet) -> Metering:
    return open_metering(
        paths,
        environment,
        partial(prefill_tps, fleet),
        partial(places_of, fleet),
        partial(prompt_tokens_of, fleet),
    )


def _shrinking(operations: Operations) -> Shrinking:
    settings = operations.desk.current
    is_wanted = lambda: settings().supervision.after_out_of_memory == "smaller"  # noqa: E731
    return Shrinking(operations.fleet, operations.orders, _oom_kills, is_wanted)


def _shelf(current: Current, paths: Paths) -> Shelf:
    """Where prompts are kept on disk, as far as the settings want that."""

    def budget_bytes() -> int:
        return read_budget_bytes(paths.prefixes, current().prefix.max_gib)

    return Shelf(paths.prefixes, budget_bytes, time.time)


def _rules(settings: Settings, port: int) -> Rules:
    """Say whom the daemon admits, with a token for this life of it."""
    return Rules(
        port,
        frozenset(settings.origins),
        secrets.token_hex(32),
        names=names_of(settings),
        is_exposed=is_exposed(settings.listen),
        wants_key=settings.auth == "always",
    )


def connect(spec: LaunchSpec) -> EngineClient:
    """Talk to the engine of a run."""
    endpoint = spec.endpoint
    return EngineClient(endpoint.url, socket=endpoint.socket, key=endpoint.key)


def _look(chip: AppleEnergy, devices: Sequence[Device], before: Vitals | None) -> Vitals:
    return read_vitals(devices, before=before, chip=chip.read)


def _oom_kills() -> int:
    """How many processes the kernel has killed for memory; 0 where nobody counts, as on macOS."""
    return (read_vitals(()).oom_kills or 0) if sys.platform == "linux" else 0
