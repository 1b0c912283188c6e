"""What a scripted daemon knows: tests change it while the daemon runs, and whoever follows it sees that.

Everything is safe to call from any thread.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from localllm.agents.connection import Connection
from localllm.agents.places import Whereabouts
from localllm.agents.profile import find_agent, read_agents
from localllm.agents.settings import render_settings
from localllm.api.agent_views import AgentView, FoundAgentsView, FoundAgentView, show_settings
from localllm.api.config_views import ConfigStateView
from localllm.api.engine_views import BuildView
from localllm.api.event_views import EventView
from localllm.api.now_views import DeviceNowView, ModelNowView, NowView
from localllm.api.pull_views import PullState, PullView
from localllm.api.request_views import RequestDetailView, RequestsListView, RequestView
from localllm.api.status_views import ErrorView, InstanceView, SavedView, StatusView
from localllm.api.store_views import StoreView
from localllm.api.views import PlanRequest, PlanView, ProbeView
from localllm.errors import LocalLLMError, ModelNotFound, NotFound
from localllm.paths import bundled_profiles
from tests.fakes.scene_parts import HOME, a_daemon, not_up
from tests.fakes.scene_plans import plan_on, store_of

_NOTHING_SAVED = SavedView(seconds=None, tokens=0, day="2026-11-29")


@dataclass(frozen=True, slots=True)
class Asked:
    """One call that changes something."""

    verb: str
    """switch, load, unload, pin, unpin, pull, pause, resume, cancel, chat or shutdown."""

    name: str
    """The model, or the pull."""

    body: dict[str, object]


@dataclass
class Scene:
    """Mutable. Its lists hold frozen views: put new ones in their places.

    `at` None: the clock goes on.
    """

    hardware: ProbeView
    host: str
    devices: list[DeviceNowView]
    at: float | None = None
    models: list[ModelNowView] = field(default_factory=list)
    live: list[RequestView] = field(default_factory=list)
    recent: list[RequestView] = field(default_factory=list)
    pulls: list[PullView] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    config: ConfigStateView | None = None
    saved: SavedView = _NOTHING_SAVED
    store: StoreView | None = None
    """None: what scene_plans has on its disk."""

    plan: Callable[[ProbeView, PlanRequest], PlanView] = plan_on
    refusals: dict[str, LocalLLMError] = field(default_factory=dict)
    """By verb (see Asked), `plan` and `now` among them: what the daemon says instead."""

    slow_s: dict[str, float] = field(default_factory=dict)
    """By the same words: how long an answer takes."""

    builds: list[BuildView] = field(default_factory=list)
    """What `GET /api/v1/engines` lists."""

    found_agents: list[FoundAgentView] = field(default_factory=list)
    """What `GET /api/v1/agents` lists."""

    answer: list[str] | None = field(default_factory=lambda: ["Hello", " from", " here", "."])
    """A chat's pieces; None: those that `say` pushes, until `finish`."""

    asked: list[Asked] = field(default_factory=list)
    logs: dict[str, list[str]] = field(default_factory=dict)
    events: list[EventView] = field(default_factory=list)
    pieces: list[str | None] = field(default_factory=list)
    looks: int = 0
    """How often `now` was asked for."""

    changed: threading.Condition = field(default_factory=threading.Condition)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def clock(self) -> float:
        return time.time() if self.at is None else self.at

    # what it shows

    def now(self, recent: int) -> NowView:
        self.looks += 1
        return NowView(
            at=self.clock(),
            daemon=a_daemon(),
            host=self.host,
            devices=list(self.devices),
            models=list(self.models),
            requests=self.requests(recent),
            pulls=list(self.pulls),
            warnings=list(self.warnings),
            config=self.config,
            saved=self.saved,
        )

    def status(self) -> StatusView:
        return StatusView(
            daemon=a_daemon(),
            hardware=self.hardware,
            warnings=list(self.warnings),
            config=self.config,
            saved=self.saved,
            models=self.instances(),
        )

    def instances(self) -> list[InstanceView]:
        return [model.view for model in self.models]

    def requests(self, recent: int = 200) -> RequestsListView:
        return RequestsListView(live=list(self.live), recent=self.recent[:recent], changes=1)

    def detail(self, which: str) -> RequestDetailView:
        found = next((one for one in (*self.live, *self.recent) if one.id == which), None)
        if found is None:
            raise NotFound(
                f"No request has the id {which!r}.",
                why="those under way and the last 200 are known",
                fix="GET /api/v1/requests lists them",
            )
        said = {name: getattr(found, name) for name in found.__struct_fields__}
        return RequestDetailView(**said, removed=["billing header"], parting=None)

    def shown_store(self) -> StoreView:
        return self.store or store_of([view.id for view in self.instances()])

    def agents(self) -> FoundAgentsView:
        return FoundAgentsView(agents=list(self.found_agents))

    def agent(self, name: str) -> AgentView:
        agent = find_agent(read_agents(bundled_profiles()), name)
        served = next((view for view in self.instances() if view.wanted), None)
        if served is None:
            raise ModelNotFound("No model is served.", why="the daemon has none", fix="localllm up")
        connection = Connection(
            base=a_daemon().endpoint.removesuffix("/v1"),
            model=served.id,
            context=served.context,
            parallel=served.parallel,
        )
        return show_settings(render_settings(agent, connection, Whereabouts(HOME, {})))

    # what tests make happen

    def find(self, name: str) -> ModelNowView:
        for model in self.models:
            if name in {model.view.id, model.view.instance, "localllm"}:
                return model
        raise ModelNotFound(
            f"{name!r} is not served.", why="localllm status lists what is", fix=f"up {name}"
        )

    def change(self, name: str, **fields: object) -> None:
        """Change what is told of a model: fields of ModelNowView or of its InstanceView."""
        own = {k: v for k, v in fields.items() if k in ModelNowView.__struct_fields__}
        of_view = {k: v for k, v in fields.items() if k not in own}
        with self.changed:
            old = self.find(name)
            view = msgspec.structs.replace(old.view, **of_view)
            new = msgspec.structs.replace(old, **{"view": view, **own})
            self.models = [new if model is old else model for model in self.models]
            self.changed.notify_all()

    def move(self, name: str, state: str, why: str, error: ErrorView | None = None) -> None:
        """Have a model get on to another state, and say so in an event."""
        old = self.find(name).view
        if state in {"ready", "draining"}:
            self.change(old.instance, state=state, why=why, pid=old.pid or 4400)
        else:
            view = not_up(old, state, why, error)
            self.change(old.instance, view=view)
        self.tell("state", why, model=old.id, instance=old.instance, old=old.state, new=state)

    def drop(self, name: str) -> None:
        gone = self.find(name)
        self.models = [model for model in self.models if model is not gone]

    def change_device(self, which: str, **fields: object) -> None:
        self.devices = [
            msgspec.structs.replace(device, **fields) if device.id == which else device
            for device in self.devices
        ]

    def change_pull(self, which: str, state: PullState | None = None, **fields: object) -> PullView:
        """Change a pull; its state with an event."""
        old = next((pull for pull in self.pulls if pull.id == which), None)
        if old is None:
            raise NotFound(
                f"No pull is called {which!r}.", why="it is over", fix="GET /api/v1/pulls"
            )
        if state is not None and state != "fetching":
            fields = {"speed": None, "left": None, **fields}
        new = msgspec.structs.replace(old, **{"state": state or old.state, **fields})
        self.pulls = [new if pull is old else pull for pull in self.pulls]
        if state is not None:
            self.tell("pull", state, model=old.model, pull=which, old=old.state, new=state)
        return new

    def tell(self, topic: str, why: str, **more: object) -> None:
        """Push an event."""
        with self.changed:
            event = EventView(  # type: ignore[arg-type]
                seq=next(self._numbers), at=self.clock(), topic=topic, why=why, **more
            )
            self.events.append(event)
            self.changed.notify_all()

    def log(self, name: str, lines: Sequence[str]) -> None:
        """Push lines of a model's log."""
        with self.changed:
            self.logs.setdefault(name, []).extend(lines)
            self.changed.notify_all()

    def say(self, piece: str) -> None:
        """Push a piece of the answer to whoever chats; see `answer`."""
        with self.changed:
            self.pieces.append(piece)
            self.changed.notify_all()

    def finish(self) -> None:
        """End that answer."""
        with self.changed:
            self.pieces.append(None)
            self.changed.notify_all()

    def note(self, verb: str, name: str, body: dict[str, object] | None = None) -> None:
        with self.changed:
            self.asked.append(Asked(verb, name, body or {}))
            self.changed.notify_all()
