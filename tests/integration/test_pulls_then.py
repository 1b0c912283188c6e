"""What is pulled to be served is served by the daemon itself: who asked for it may be gone."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import anyio
import pytest

from localllm.api.daemon_file import DaemonFile
from localllm.api.pull_views import PullRequest, PullView, ThenView
from localllm.api.sync_client import DaemonClient
from localllm.api.views import ServeRequest
from localllm.errors import DoesNotFit, EngineNeeded, NoNetwork
from localllm.events import Decided, Topic
from localllm.planning.planner import Planned
from localllm.supervisor import arranging, engine_fetching, operations, storekeeping
from localllm.supervisor.pulls import Pulls
from tests.fakes import house as houses
from tests.fakes.a_yard import a_plan as a_pull_plan
from tests.fakes.a_yard import fake_puller
from tests.fakes.house import DEADLINE_S, TOKEN, House, a_house, a_plan
from tests.fakes.quick_desk import QuickDesk
from tests.integration.test_switching import served

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]
T = TypeVar("T")
NEEDED = EngineNeeded("No engine.", why="none is here", fix="fetch one")
TOO_BIG = DoesNotFit("It does not fit.", why="it is large", fix="a smaller one")
SLOW = threading.Event()
"""Set once what is planned slowly may be."""

BARE = ThenView(how="switch", request=ServeRequest(), reply=None, error=None)


class OneDesk(QuickDesk):
    """Plans whatever is asked for; what is called huge does not fit."""

    def plan(self, request: ServeRequest, **_: object) -> Planned:
        self.planned.append(request)
        if "slow" in (request.model or ""):
            (self.paths.data / "begun").touch()
            assert SLOW.wait(DEADLINE_S)
        if "bare" in (request.model or "") and not (self.paths.data / "engine").exists():
            raise NEEDED
        if "huge" in (request.model or ""):
            raise TOO_BIG
        return a_plan(
            request.model or "small", alias=f"{request.model}-too", context=request.context or 4096
        )


@dataclass(frozen=True, slots=True)
class Place:
    folder: Path
    house: House

    @property
    def client(self) -> DaemonClient:
        file = DaemonFile(pid=1, started=0, port=self.house.port, token=TOKEN, version="1")
        return DaemonClient(file)

    async def ask(self, call: Callable[..., T], *given: Any, **more: Any) -> T:
        return await anyio.to_thread.run_sync(partial(call, *given, **more))

    async def pull(self, name: str, then: Any = "switch", **more: Any) -> PullView:
        """Fetch what stands still until `go`."""
        wanted = PullRequest(model=f"waits-{name}", then=then, **more)
        return await self.ask(self.client.pull, wanted)

    def go(self) -> None:
        (self.folder / "go").touch()

    async def until(self, holds: Callable[[], object]) -> None:
        with anyio.fail_after(DEADLINE_S):
            while not await self.ask(holds):
                await anyio.sleep(0.01)

    def then(self, pull: str = "p1") -> ThenView | None:
        return next(view for view in self.client.pulls() if view.id == pull).then

    async def until_served(self, *models: str) -> None:
        await self.until(lambda: served(self.house) == [(model, "ready") for model in models])


@asynccontextmanager
async def a_place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    async def plan(work: Any) -> Any:
        return a_pull_plan(work.args[1].model, work.args[1].model.partition("-")[2])

    async def in_a_thread(work: Any, _fleet: object) -> Any:
        return await anyio.to_thread.run_sync(work)

    def a_desk(settings: Any, where: Path, environment: Any) -> OneDesk:
        quick = houses_desk(settings, where, environment)
        return OneDesk(quick.current, quick.paths, environment, quick.profiles)

    houses_desk = houses._desk
    monkeypatch.setattr(storekeeping, "apart", plan)
    monkeypatch.setattr(operations, "Pulls", partial(Pulls, command=fake_puller(folder)))
    monkeypatch.setattr(houses, "_desk", a_desk)
    monkeypatch.setattr(arranging, "work_out", in_a_thread)
    async with a_house(folder, environment={"HF_HUB_CACHE": str(folder / "hub")}) as house:
        yield Place(folder, house)


async def test_a_pull_that_ends_in_a_switch_is_served_in_the_place_of_what_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_place(tmp_path, monkeypatch) as place:
        await place.house.ready()
        begun = await place.pull("a", context=2048, quant="Q8_0")
        assert begun.then is not None
        assert (begun.then.how, begun.then.reply, begun.then.error) == ("switch", None, None)
        assert begun.then.request == ServeRequest(model="hf:o/waits-a", context=2048)

        place.go()

        await place.until_served("hf:o/waits-a")
        then = await place.ask(place.then)
        [hosted] = place.house.fleet.instances()
        assert (then.reply.id, then.reply.instance) == ("hf:o/waits-a", hosted.id)
        assert hosted.planned.plan.context == 2048


async def test_a_pull_that_is_to_be_served_is_served_beside_what_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_place(tmp_path, monkeypatch) as place:
        await place.house.ready()
        await place.pull("a", "serve")

        place.go()

        await place.until_served("small", "hf:o/waits-a")


async def test_what_is_on_disk_already_is_served_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_place(tmp_path, monkeypatch) as place:

        async def plan(_work: Any) -> Any:
            return a_pull_plan("waits-a", on_disk=True)

        monkeypatch.setattr(storekeeping, "apart", plan)
        view = await place.pull("a")

        assert view.state == "done"
        await place.until_served("hf:o/waits-a")


async def test_a_newer_switch_takes_the_place_of_one_that_is_being_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_place(tmp_path, monkeypatch) as place:
        await place.pull("a")

        await place.ask(place.client.switch, ServeRequest(model="b"))

        assert await place.ask(place.then) is None
        place.go()
        await place.until(lambda: place.client.pulls()[0].state == "done")
        await place.until_served("b")


async def test_a_newer_switch_that_is_refused_takes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_place(tmp_path, monkeypatch) as place:
        await place.pull("a")

        with pytest.raises(DoesNotFit):
            await place.ask(place.client.switch, ServeRequest(model="huge"))

        place.go()
        await place.until_served("hf:o/waits-a")


async def test_what_is_asked_to_be_beside_takes_no_switch_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_place(tmp_path, monkeypatch) as place:
        await place.pull("a")
        await place.ask(place.client.serve, ServeRequest(model="b"))
        await place.until_served("b")

        place.go()

        await place.until_served("hf:o/waits-a")


async def test_the_last_of_two_that_are_being_fetched_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_place(tmp_path, monkeypatch) as place:
        await place.pull("a")
        await place.pull("b")

        place.go()

        await place.until(lambda: {p.state for p in place.client.pulls()} == {"done"})
        await place.until_served("hf:o/waits-b")
        assert await place.ask(place.then, "p1") is None


async def test_what_is_cancelled_is_not_served_when_it_is_fetched_after_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_place(tmp_path, monkeypatch) as place:
        await place.pull("a")
        assert (await place.ask(place.client.cancel_pull, "p1")).then is None
        await place.ask(place.client.resume_pull, "p1")

        place.go()

        await place.until(lambda: place.client.pulls()[0].state == "done")
        assert place.house.operations.pulls.book.next_due() is None
        assert served(place.house) == []


async def test_what_is_taken_back_while_it_is_planned_is_not_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.integration.test_pulls_then.SLOW", may_go := threading.Event())
    (tmp_path / "data").mkdir(exist_ok=True)
    async with a_place(tmp_path, monkeypatch) as place:
        place.go()
        await place.pull("slow")
        await place.until((tmp_path / "data" / "begun").exists)
        view = await place.ask(place.client.cancel_pull, "p1")
        assert (view.state, view.then) == ("done", None)
        may_go.set()

        await place.ask(place.client.serve, ServeRequest(model="b"))

        await place.until_served("b")


async def test_what_cannot_be_served_though_it_is_here_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_place(tmp_path, monkeypatch) as place:
        await place.house.ready()
        await place.pull("huge")

        place.go()

        await place.until(lambda: place.then().error is not None)
        then = await place.ask(place.then)
        assert (then.error.code, then.error.message) == ("does_not_fit", str(TOO_BIG))
        await place.until_served("small")
        told = [e.event for e in place.house.fleet.tools.bus.recent()]
        refused = [e for e in told if isinstance(e, Decided) and e.topic is Topic.REFUSED]
        assert [e.model for e in refused] == ["hf:o/waits-huge"]


async def test_a_bug_in_planning_ends_neither_the_daemon_nor_what_waits_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_place(tmp_path, monkeypatch) as place:
        monkeypatch.setattr("tests.integration.test_pulls_then.TOO_BIG", ZeroDivisionError("oh"))
        await place.pull("huge", "serve")
        await place.pull("a", "serve")

        place.go()

        await place.until_served("hf:o/waits-a")
        assert "ZeroDivisionError: oh" in (await place.ask(place.then)).error.message


@pytest.fixture
def obtained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> threading.Event:
    """Stands for the fetching of an engine: half of it comes at once, the rest once it is set."""
    may_end = threading.Event()

    async def obtain(_candidates: object, workshop: Any) -> None:
        workshop.tell("engine.tar.gz", 50, 100)
        assert await anyio.to_thread.run_sync(may_end.wait, DEADLINE_S)
        if (tmp_path / "no network").exists():
            raise NoNetwork("It is not to be had.", why="no network", fix="wait")
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / "engine").touch()

    monkeypatch.setattr(engine_fetching, "obtain", obtain)
    return may_end


async def test_an_engine_comes_first_while_the_model_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, obtained: threading.Event
) -> None:
    async with a_place(tmp_path, monkeypatch) as place:
        place.go()
        await place.pull("bare", get_engine=True)

        await place.until(lambda: (place.then() or BARE).engine is not None)
        engine = (await place.ask(place.then)).engine
        assert (engine.file, engine.here, engine.size) == ("engine.tar.gz", 50, 100)
        await place.until(lambda: place.client.pulls()[0].state == "done")
        await place.ask(place.client.serve, ServeRequest(model="small"))  # nobody is held up
        await place.until_served("small")
        obtained.set()

        await place.until_served("hf:o/waits-bare")
        assert (await place.ask(place.then)).engine is None


async def test_without_one_it_says_that_an_engine_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_place(tmp_path, monkeypatch) as place:
        place.go()
        await place.pull("bare")

        await place.until(lambda: place.then().error is not None)
        assert (await place.ask(place.then)).error.code == "engine_needed"


async def test_an_engine_that_cannot_be_had_is_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, obtained: threading.Event
) -> None:
    (tmp_path / "no network").touch()
    obtained.set()
    async with a_place(tmp_path, monkeypatch) as place:
        await place.pull("bare", get_engine=True)

        await place.until(lambda: place.then().error is not None)
        assert (await place.ask(place.then)).error.code == "no_network"
        assert [view.state for view in await place.ask(place.client.pulls)] == ["fetching"]


async def test_the_end_of_the_daemon_does_not_wait_for_an_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, obtained: threading.Event
) -> None:
    with anyio.fail_after(DEADLINE_S):
        async with a_place(tmp_path, monkeypatch) as place:
            await place.pull("bare", get_engine=True)
            await place.until(lambda: (place.then() or BARE).engine is not None)
    obtained.set()


async def test_the_engines_that_could_be_fetched_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_place(tmp_path, monkeypatch) as place:
        builds = await place.ask(place.client.builds)

        assert all(build.hosts and build.download and not build.installed for build in builds)


@pytest.mark.parametrize("forget", [True, False])
async def test_who_has_the_daemon_forget_does_not_want_it_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forget: bool
) -> None:
    async with a_place(tmp_path, monkeypatch) as place:
        await place.pull("a")

        await place.ask(place.client.shut_down, forget=forget)

        assert (await place.ask(place.then) is None) == forget
