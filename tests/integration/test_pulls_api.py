"""Pulls and the store over a real socket, by the client that the command line has."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import anyio
import pytest

from localllm.api.daemon_file import DaemonFile
from localllm.api.pull_views import PullRequest
from localllm.api.store_views import TidyRequest
from localllm.api.sync_client import DaemonClient
from localllm.errors import InUse, ModelNotFound, NoNetwork, NotFound
from localllm.gateway.store_routes import read_last_used
from localllm.metrics.ledger_row import row_of
from localllm.metrics.ledger_store import Keep, Store
from localllm.planning.apart import apart
from localllm.planning.pull_plans import PullPlan, plan_pull
from localllm.store.job import PullJob
from localllm.store.repository import RepositoryFile
from localllm.store.shared_cache import CachedRepository
from localllm.supervisor import operations, storekeeping
from localllm.supervisor.pulls import Pulls
from tests.fakes.a_yard import COMMIT, fake_puller, is_alive
from tests.fakes.a_yard import a_plan as a_pull_plan
from tests.fakes.house import DEADLINE_S, TOKEN, House, a_house, a_plan
from tests.unit.metrics.a_live import NOON, World

pytestmark = pytest.mark.anyio
T = TypeVar("T")
DAY_S = 86_400.0
CALLS = [
    ("GET", "pulls"),
    ("POST", "pulls"),
    ("POST", "pulls/p1/pause"),
    ("POST", "pulls/p1/resume"),
    ("DELETE", "pulls/p1"),
    ("GET", "store"),
    ("DELETE", "store/small"),
    ("POST", "store/gc"),
]


@dataclass
class Place:
    """A daemon's gateway, and what its planner says of a pull."""

    folder: Path
    house: House
    plan: PullPlan | Exception

    @property
    def client(self) -> DaemonClient:
        return DaemonClient(
            DaemonFile(pid=1, started=0, port=self.house.port, token=TOKEN, version="1")
        )

    async def ask(self, call: Callable[..., T], *given: Any, **more: Any) -> T:
        return await anyio.to_thread.run_sync(partial(call, *given, **more))

    async def pull(self, plan: PullPlan | Exception, model: str = "m") -> Any:
        self.plan = plan
        return await self.ask(self.client.pull, PullRequest(model=model))

    async def until(self, holds: Callable[[], object]) -> None:
        with anyio.fail_after(DEADLINE_S):
            while not await self.ask(holds):
                await anyio.sleep(0.01)

    def states(self) -> list[str]:
        return [view.state for view in self.client.pulls()]

    def notes(self) -> list[str]:
        record = self.folder / "record"
        return record.read_text().splitlines() if record.exists() else []

    def cached(self, repo: str = "o/tiny", name: str = "tiny-Q8_0.gguf") -> Path:
        """Put a model into the shared cache; return its file."""
        cached = CachedRepository(self.folder / "hub", repo)
        cached.make()
        content = f"GGUF {repo} {name}".encode()
        etag = sha256(content).hexdigest()
        cached.blob(etag).write_bytes(content)
        cached.write_ref("main", COMMIT)
        return cached.link(COMMIT, name, etag)


@asynccontextmanager
async def a_place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    async def quick_apart(work: Any) -> Any:
        if work.func is not plan_pull:
            return await apart(work)
        if isinstance(place.plan, Exception):
            raise place.plan
        return place.plan

    monkeypatch.setattr(storekeeping, "apart", quick_apart)
    monkeypatch.setattr(operations, "Pulls", partial(Pulls, command=fake_puller(folder)))
    monkeypatch.setenv("HOME", str(folder))
    async with a_house(folder, environment={"HF_HUB_CACHE": str(folder / "hub")}) as house:
        place = Place(folder, house, a_pull_plan("waits"))
        yield place


async def test_a_pull_goes_its_way_as_the_client_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_place(tmp_path, monkeypatch) as place:
        client = place.client
        begun = await place.pull(a_pull_plan("waits"))
        assert (begun.id, begun.model, begun.state) == ("p1", "hf:o/waits", "fetching")
        assert (await place.pull(a_pull_plan("waits"))).id == "p1"
        await place.until(lambda: len(place.notes()) == 1)

        assert (await place.ask(client.pause_pull, "p1")).state == "paused"
        assert (await place.ask(client.resume_pull, "p1")).state in {"queued", "fetching"}
        await place.until(lambda: place.states() == ["fetching"])
        assert (await place.ask(client.cancel_pull, "p1")).state == "cancelled"

        (tmp_path / "go").touch()
        assert (await place.pull(a_pull_plan("waits"))).id == "p2"
        await place.until(lambda: place.states() == ["cancelled", "done"])


async def test_a_pull_that_is_begun_is_accepted_and_not_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = {"Authorization": f"Bearer {TOKEN}"}
    async with a_place(tmp_path, monkeypatch) as place:
        for body in ({"model": "m", "quant": "Q8_0", "anyway": True}, {}):
            async with place.house.http.post("/api/v1/pulls", json=body, headers=token) as answer:
                assert answer.status == 202
        async with place.house.http.post(
            "/api/v1/pulls", json={"modle": "m"}, headers=token
        ) as answer:
            assert answer.status == 400


async def test_what_is_on_disk_already_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_place(tmp_path, monkeypatch) as place:
        view = await place.pull(a_pull_plan("waits", on_disk=True))

        assert (view.state, view.files) == ("done", [])


async def test_what_the_planner_refuses_reaches_the_client_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = [kind("So it is.", why="because", fix="wait") for kind in (ModelNotFound, NoNetwork)]
    async with a_place(tmp_path, monkeypatch) as place:
        for refusal in refusals:
            with pytest.raises(type(refusal)) as caught:
                await place.pull(refusal)
            assert str(caught.value) == str(refusal)
        assert place.house.fleet.instances() == ()
        assert await place.ask(place.client.pulls) == []


async def test_a_pull_that_is_none_is_not_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_place(tmp_path, monkeypatch) as place:
        client = place.client
        for call in (client.pause_pull, client.resume_pull, client.cancel_pull):
            with pytest.raises(NotFound):
                await place.ask(call, "p1/../p2")


@pytest.mark.parametrize(("method", "path"), CALLS)
async def test_every_call_needs_the_token(
    method: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_place(tmp_path, monkeypatch) as place:
        async with place.house.http.request(method, f"/api/v1/{path}", json={}) as answer:
            assert answer.status == 401


async def test_the_stream_of_events_tells_of_pulls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_place(tmp_path, monkeypatch) as place:
        await place.pull(a_pull_plan("moves"))

        def until_it_moves() -> list[Any]:
            heard = []
            for event in place.client.events(follow=True):
                heard.append(event)
                if event.topic == "progress":
                    break
            return heard

        heard = await place.ask(until_it_moves)

        pulls = [event for event in heard if event.topic == "pull"]
        assert [(e.pull, e.model, e.old, e.new) for e in pulls] == [
            ("p1", "hf:o/moves", None, "queued"),
            ("p1", "hf:o/moves", "queued", "fetching"),
        ]
        moved = heard[-1]
        assert (moved.pull, moved.size) == ("p1", 100_000)
        assert moved.here > 0


async def test_who_has_the_daemon_stop_has_its_pulls_paused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_place(tmp_path, monkeypatch) as place:
        await place.pull(a_pull_plan("waits"))

        await place.ask(place.client.shut_down, forget=False)
        assert await place.ask(place.states) == ["fetching"]
        await place.ask(place.client.shut_down, forget=True)
        assert await place.ask(place.states) == ["paused"]


async def test_the_end_of_the_gateways_daemon_ends_what_pulls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_place(tmp_path, monkeypatch) as place:
        await place.pull(a_pull_plan("waits"))
        await place.until(lambda: len(place.notes()) == 1)
        pid = int(place.notes()[0].split('"pid": ')[1].split(",")[0])
        assert is_alive(pid)

    assert not is_alive(pid)


async def test_what_is_on_disk_is_listed_and_what_is_removed_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_place(tmp_path, monkeypatch) as place:
        file = place.cached()
        shown = await place.ask(place.client.store, fit=False)
        [model] = [m for m in shown.models if m.repo == "o/tiny"]
        assert (shown.cache, model.served) == (str(tmp_path / "hub"), False)
        assert "/" in model.name

        removed = await place.ask(place.client.remove, model.name)

        assert (removed.removed, removed.freed > 0) == ([model.name], True)
        assert not os.path.lexists(file)
        with pytest.raises(ModelNotFound):
            await place.ask(place.client.remove, model.name)


async def test_what_is_served_is_shown_as_such_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_place(tmp_path, monkeypatch) as place:
        file = place.cached()
        planned = a_plan()
        await place.house.ready(replace(planned, stored=replace(planned.stored, file=file)))

        shown = await place.ask(place.client.store, fit=False)
        [model] = [m for m in shown.models if m.repo == "o/tiny"]
        assert model.served
        with pytest.raises(InUse):
            await place.ask(place.client.remove, model.name)
        tidied = await place.ask(place.client.tidy, TidyRequest(older_than=0, max_size=0))

        assert tidied.removed == []
        assert file.exists()


async def test_what_a_paused_pull_counts_on_is_not_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_place(tmp_path, monkeypatch) as place:
        file = place.cached("o/waits")
        content = RepositoryFile(file.name, file.stat().st_size, sha256=file.resolve().name)
        more = RepositoryFile("b.gguf", 100, sha256="b" * 64)
        job = PullJob("o/waits", COMMIT, (content, more))
        await place.pull(PullPlan("m", "Q2_K", job, "", on_disk=False, size_bytes=100))
        await place.ask(place.client.pause_pull, "p1")
        half = file.resolve().with_name(f"{'b' * 64}.part")
        half.write_bytes(b"half")
        os.utime(half, (0, 0))
        shown = await place.ask(place.client.store, fit=False)
        [model] = [m for m in shown.models if m.repo == "o/waits"]

        with pytest.raises(InUse) as caught:
            await place.ask(place.client.remove, model.name)
        tidied = await place.ask(place.client.tidy, TidyRequest(older_than=0, max_size=0))

        assert "being pulled" in caught.value.what
        assert tidied.removed == []
        assert half.exists()
        await place.ask(place.client.cancel_pull, "p1")
        assert not half.exists()
        assert (await place.ask(place.client.remove, model.name)).removed == [model.name]


async def test_nothing_is_started_while_something_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_place(tmp_path, monkeypatch) as place:
        begun, may_end = anyio.Event(), anyio.Event()

        async def remove(work: Any) -> Any:
            if work.func is plan_pull:
                return place.plan
            begun.set()
            await may_end.wait()
            raise InUse("So it is.", why="because", fix="wait")

        monkeypatch.setattr(storekeeping, "apart", remove)
        token = {"Authorization": f"Bearer {TOKEN}"}
        http = place.house.http

        async def ask(method: str, path: str, statuses: list[int]) -> None:
            async with http.request(method, f"/api/v1/{path}", json={}, headers=token) as answer:
                statuses.append(answer.status)

        removed, loaded, pulled = list[int](), list[int](), list[int]()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, "DELETE", "store/o%2Fm", removed)
            await begun.wait()
            tasks.start_soon(ask, "POST", "models/o%2Fnone/load", loaded)
            tasks.start_soon(ask, "POST", "pulls", pulled)
            with anyio.move_on_after(0.3):
                while not (loaded or pulled):
                    await anyio.sleep(0.01)
            assert (loaded, pulled) == ([], [])
            may_end.set()

        assert (removed, loaded, pulled) == ([409], [404], [202])


def test_when_models_were_last_asked_is_known_to_the_day(tmp_path: Path) -> None:
    store = Store(tmp_path / "requests.sqlite3", Keep())
    for model, days_ago in (("a", 3), ("b", 2), ("a", 0)):
        world = World(began_at=NOON - days_ago * DAY_S)
        row = row_of(world.answered(tokens=3), "claude-cli")
        store.write([replace(row, id=f"{model}{days_ago}", model=model)])
    store.close()

    used = read_last_used(tmp_path / "requests.sqlite3")

    assert 0 < used["a"] - NOON <= DAY_S
    assert 0 < used["b"] - (NOON - 2 * DAY_S) <= DAY_S


def test_a_ledger_that_cannot_be_read_says_nothing_of_when_models_were_asked(
    tmp_path: Path,
) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(b"no database " * 1000)

    assert (read_last_used(broken), read_last_used(tmp_path / "none")) == ({}, {})
