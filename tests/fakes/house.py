"""A gateway on a real port with a real fleet behind it, whose engines are `fake_engine.py`."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import msgspec
from aiohttp import web

from localllm.api.exposure import is_exposed
from localllm.config.current import Current
from localllm.config.reading import Loaded, read_settings
from localllm.config.remote import Remote
from localllm.config.settings import Settings, Supervision
from localllm.daemon.parts import connect
from localllm.engines.base import Endpoint, Installed, LaunchSpec, Serving
from localllm.errors import ConfigError
from localllm.events import DeviceId
from localllm.events import ModelState as S
from localllm.fit.placing import Arrangement, Share
from localllm.fit.plan import Memory, Placement, Plan, Verdict
from localllm.gateway.access import Rules
from localllm.gateway.app import Gateway
from localllm.gateway.bodies import Pace
from localllm.gateway.client_stream import OpenStreams, Patience
from localllm.gateway.connection import Limits
from localllm.gateway.known_keys import KnownKeys
from localllm.gateway.listening import bound, serving
from localllm.gateway.metering import open_metering
from localllm.gateway.placing import Placing
from localllm.hardware.machine import CPU
from localllm.hardware.vitals import Pressure, Vitals
from localllm.paths import Paths, bundled_profiles
from localllm.planning.choice import Choice
from localllm.planning.desk import Desk
from localllm.planning.ledger import in_the_log
from localllm.planning.planner import Planned, serving_of
from localllm.prefix.keeping import Keeping
from localllm.store.stored import StoredModel
from localllm.supervisor.bus import EventBus
from localllm.supervisor.endpoints import new_endpoint
from localllm.supervisor.fleet import Fleet
from localllm.supervisor.hosted import Hosted
from localllm.supervisor.lifecycle import RestartPolicy
from localllm.supervisor.machine_watch import MachineWatch
from localllm.supervisor.operations import Operations
from localllm.supervisor.tools import Tools
from localllm.units import MIB
from tests.unit.fit.a_header import smollm2

FAKE = Path(__file__).with_name("fake_engine.py")
TOKEN = "7" * 64
CALM = Vitals(1 << 40, Pressure.NONE, None, None, None, {})
"""A machine that nothing is wrong with."""

LISTED = "http://my.page:3000"
CHAT = "/v1/chat/completions"
PATIENCE = Patience()
"""Of the gateway with its clients; a test that has none sets another."""

POLICY = RestartPolicy(health_every_s=0.02, backoff_first_s=0.05, stop_grace_s=2.0)
DEADLINE_S = 15.0
"""For what takes milliseconds: only a test that has failed gets there."""


def a_plan(model: str = "small", alias: str = "tiny", *, context: int = 4096) -> Planned:
    memory = Memory(weights=1, kv_cache=1, compute=1, output=1)
    plan = Plan(
        verdict=Verdict.FITS,
        reason="it is small",
        context=context,
        parallel=4,
        kv_type="f16",
        micro_batch=512,
        layers=0,
        arrangement=Arrangement(Share(0, 0, output=True, count=1)),
        placement=(Placement(DeviceId("cpu"), 0, memory),),
        host_cache_bytes=0,
        speed=None,
    )
    stored = StoredModel(model, Path("/nowhere.gguf"), 1, None, (alias,))
    installed = Installed("fake", "1", (), abilities=frozenset({"unix_socket"}))
    return Planned(stored, smollm2(), Choice(installed), plan, 1, {DeviceId("cpu"): 1 << 30})


def asking(text: str = "hi", *, model: str | None = "small", **script: Any) -> dict[str, Any]:
    """Make a chat request; `script` is what the fake engine is to do, see its Script."""
    content = json.dumps(script) if script else text
    named = {} if model is None else {"model": model}
    return {**named, "messages": [{"role": "user", "content": content}]}


@dataclass(frozen=True, slots=True)
class House:
    """Where everything is; requests go over `http`."""

    port: int
    fleet: Fleet
    app: web.Application
    http: aiohttp.ClientSession
    logs: Path
    record: Path
    flags: list[str]
    """Of engines that start from now on."""

    doubts: list[str]
    """What is found odd about engines that get warm from now on."""

    operations: Operations

    def serve(self, planned: Planned) -> Hosted:
        hosted, _ = self.fleet.serve(planned, serving_of(planned, silence_s=20.0))
        return hosted

    async def ready(self, planned: Planned | None = None) -> Hosted:
        hosted = self.serve(planned or a_plan())
        with anyio.fail_after(DEADLINE_S):
            while hosted.state is not S.READY:
                assert hosted.state is not S.FAILED, hosted.runner.record.why
                await hosted.changed.wait()
        return hosted

    def happened(self) -> list[dict[str, Any]]:
        text = self.record.read_text() if self.record.exists() else ""
        return [json.loads(line) for line in text.splitlines()]

    def chats(self, word: str = "") -> list[dict[str, Any]]:
        """What reached engines as a chat that has `word` in its body, beside warm-ups."""
        chats = [h for h in self.happened() if h.get("path") == CHAT]
        return [h for h in chats if "cache_prompt" not in h["body"] and word in h["body"]]

    async def until(self, word: str) -> None:
        """Wait until the engine has noted something."""
        with anyio.fail_after(DEADLINE_S):
            while not any(word in json.dumps(one) for one in self.happened()):
                await anyio.sleep(0.005)

    async def ask(
        self, body: dict[str, Any] | bytes, **headers: str
    ) -> tuple[int, Mapping[str, str], bytes]:
        data = BytesIO(body if isinstance(body, bytes) else json.dumps(body).encode())
        headers = {"Content-Type": "application/json", **headers}
        async with self.http.post(CHAT, data=data, headers=headers) as answer:
            return answer.status, answer.headers, await answer.read()


@asynccontextmanager
async def a_house(  # noqa: PLR0913  # each is what a few tests are about
    logs: Path,
    *flags: str,
    wait_s: float = 20.0,
    max_body_mib: int = 1,
    max_requests: int = 1024,
    remote: Remote | None = None,
    environment: Mapping[str, str] | None = None,
    door: Mapping[str, Any] | None = None,
    limits: Limits = Limits(),  # noqa: B008  # frozen
    pace: Pace = Pace(),  # noqa: B008
) -> AsyncIterator[House]:
    """Build it, without a model; leaving the block ends all of it.

    Args:
        door: Settings of who may call: listen, auth, allowed_hosts. The keys are in keys.json in
            the folder `state` of `logs`.
    """
    supervision = Supervision(request_wait_s=wait_s, max_requests=max_requests)
    settings = Settings(
        supervision=supervision, max_body_mib=max_body_mib, remote=remote, **(door or {})
    )
    given, doubts, record = list(flags), list[str](), logs / "record"
    addresses = dict.fromkeys(["127.0.0.1", settings.listen])
    with tempfile.TemporaryDirectory(prefix="lg") as folder, bound(0, list(addresses)) as sockets:
        port = sockets[0].getsockname()[1]

        def launch(planned: Planned, _serving: Serving) -> LaunchSpec:
            endpoint = new_endpoint(planned.choice.installed, Path(folder))
            return _spec(planned, endpoint, [*given, "--fake-record", str(record)])

        tools = Tools(
            EventBus(),
            POLICY,
            logs,
            connect,
            launch,
            record=lambda *_: None,
            examine=lambda *_: tuple(doubts),
            budgets=lambda *_: {},
        )
        fleet = Fleet(tools)
        desk = _desk(settings, logs, environment or {})
        gateway = _gateway(fleet, desk, port)
        await gateway.operations.orders.resume()
        app = gateway.application()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fleet.run)
            tasks.start_soon(gateway.streams.run)
            tasks.start_soon(gateway.metering.recordings.run)
            tasks.start_soon(gateway.operations.glances.run)
            await tasks.start(gateway.operations.pulls.run)
            tasks.start_soon(gateway.operations.wishes.run)
            tasks.start_soon(gateway.operations.engines.run)
            tasks.start_soon(gateway.operations.reloading.run)
            await anyio.wait_all_tasks_blocked()
            async with (
                serving(app, sockets, limits, pace),
                aiohttp.ClientSession(
                    f"http://127.0.0.1:{port}", timeout=aiohttp.ClientTimeout(DEADLINE_S)
                ) as http,
            ):
                yield House(port, fleet, app, http, logs, record, given, doubts, gateway.operations)
            await fleet.close()
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()


def _desk(settings: Settings, folder: Path, environment: Mapping[str, str]) -> Desk:
    paths = Paths(*(folder / name for name in ("config", "data", "state", "cache")))
    loaded = Loaded(_with_file(settings, paths.config_file), paths.config_file)
    return Desk(Current(loaded), paths, environment, bundled_profiles())


def _with_file(settings: Settings, file: Path) -> Settings:
    """Put profiles and names of a file over what a test says."""
    try:
        said = read_settings(file, {})
    except ConfigError:
        return settings
    loads = said.supervision.load_on_request
    supervision = msgspec.structs.replace(settings.supervision, load_on_request=loads)
    return msgspec.structs.replace(
        settings, profiles=said.profiles, names=said.names, supervision=supervision
    )


def _gateway(fleet: Fleet, desk: Desk, port: int) -> Gateway:
    watch = MachineWatch(fleet, lambda devices, _: CALM, lambda: 0.0, 3600.0)
    endpoint, now = f"http://127.0.0.1:{port}/v1", anyio.current_time()
    operations = Operations(desk, fleet, endpoint, 1, now, watch)
    settings = desk.settings
    rules = Rules(
        port,
        frozenset({LISTED}),
        TOKEN,
        names=frozenset(settings.allowed_hosts),
        is_exposed=is_exposed(settings.listen),
        wants_key=settings.auth == "always",
    )
    started, stop = 1_764_000_000, lambda: None
    return Gateway(
        operations,
        desk.current,
        connect,
        KnownKeys(desk.paths.keys_file, rules).current_rules,
        stop,
        started,
        desk.environment,
        open_metering(desk.paths, desk.environment),
        Placing(Keeping(None), b"a key of this house's own"),
        streams=OpenStreams(PATIENCE),
    )


def _spec(planned: Planned, endpoint: Endpoint, flags: list[str]) -> LaunchSpec:
    on_host = [p.memory for p in planned.plan.placement if p.device == CPU]
    mib = sum(in_the_log(memory) for memory in on_host) / MIB
    argv = [sys.executable, str(FAKE), "--host", str(endpoint.socket)]
    argv += ["--alias", planned.stored.id, "--fake-mib", f"{mib:.2f}", *flags]
    return LaunchSpec(argv, endpoint, start_deadline_s=20.0)
