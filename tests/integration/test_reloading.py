"""Settings that are read again while models are served, by fake engines."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from localllm.api.views import ServeRequest
from localllm.config.current import Current
from localllm.config.reading import load
from localllm.errors import ConfigError
from localllm.events import Decided, Topic
from localllm.gateway.access import Rules
from localllm.gateway.known_keys import KnownKeys
from localllm.gateway.taking_over import TakingOver
from localllm.paths import bundled_profiles
from localllm.planning.planner import Planned, serving_of
from localllm.supervisor import arranging, operations
from localllm.supervisor.hosted import Terms
from localllm.supervisor.reloading import Reloading
from localllm.supervisor.watchdog import Watchdog
from tests.fakes import house as houses
from tests.fakes.house import DEADLINE_S, House, a_house, a_plan, asking
from tests.fakes.quick_desk import QuickDesk, quick_desk

pytestmark = pytest.mark.anyio
CODING = '[profiles.coding]\nmodel = "small"\ncontext = '


@dataclass
class Place:
    """A house whose settings stand in a file."""

    house: House
    file: Path

    @property
    def reloading(self) -> Reloading:
        return self.house.operations.reloading

    def say(self, text: str) -> None:
        """Put another file in the place of the one before, as careful editors do."""
        draft = self.file.with_suffix(".draft")
        draft.write_text(text)
        draft.replace(self.file)

    async def until(self, holds: Callable[[], object]) -> None:
        with anyio.fail_after(DEADLINE_S):
            while not holds():
                await anyio.sleep(0.005)

    def told(self) -> list[str]:
        """What was said of the settings."""
        events = [one.event for one in self.house.fleet.tools.bus.recent()]
        return [e.why for e in events if isinstance(e, Decided) and e.topic is Topic.CONFIG]

    def contexts(self) -> list[tuple[int, str]]:
        here = self.house.fleet.instances()
        return [(h.planned.plan.context, h.state.value) for h in here]

    async def serve(self, **asked: Any) -> None:
        await self.house.operations.orders.serve(ServeRequest(**asked))
        await self.until(lambda: [state for _, state in self.contexts()] == ["ready"])


@asynccontextmanager
async def a_place(
    folder: Path, monkeypatch: pytest.MonkeyPatch, text: str = ""
) -> AsyncIterator[Place]:
    def a_desk(settings: Any, where: Path, environment: Any) -> QuickDesk:
        quick = quick_desk(settings, where, environment)
        quick.paths.config.mkdir(exist_ok=True)
        quick.paths.config_file.write_text(text)
        current = Current(load(quick.paths.config_file, environment))
        return QuickDesk(current, quick.paths, environment, bundled_profiles())

    async def in_a_thread(work: Any, _fleet: object) -> Any:
        return await anyio.to_thread.run_sync(work)

    monkeypatch.setattr(houses, "_desk", a_desk)
    monkeypatch.setattr(operations, "Reloading", partial(Reloading, every_s=0.01))
    monkeypatch.setattr(arranging, "work_out", in_a_thread)
    async with a_house(folder) as house:
        yield Place(house, house.operations.desk.paths.config_file)


async def test_what_is_written_counts_once_the_file_has_come_to_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_place(tmp_path, monkeypatch) as place:
        for number in range(1, 6):
            place.file.write_text(f"max_body_mib = {number}\n[half")
            await anyio.sleep(0.02)
            place.file.write_text(f"max_body_mib = {number}\n")

        await place.until(lambda: place.reloading.current().max_body_mib == 5)

        assert place.told() == ["changed: max_body_mib"], "once, and never as half a file"


async def test_a_file_that_is_gone_for_a_moment_is_waited_for_and_one_that_stays_away_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_place(tmp_path, monkeypatch, "max_body_mib = 2\n") as place:
        place.file.unlink()
        await anyio.sleep(0.3)  # longer than a file that is there has to rest
        place.file.write_text("max_body_mib = 3\n")
        await place.until(lambda: place.reloading.current().max_body_mib == 3)
        assert place.told() == ["changed: max_body_mib"]

        place.file.unlink()

        await place.until(lambda: place.reloading.current().max_body_mib == 64)


async def test_a_wrong_file_costs_nothing_and_is_said_once_until_it_is_right_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_place(tmp_path, monkeypatch, "max_body_mib = 2\n") as place:
        place.say("max_body_mib = 3\nprot = 1\n")
        await place.until(lambda: place.reloading.error)
        with pytest.raises(ConfigError):
            await place.reloading.reload()
        with pytest.raises(ConfigError, match="2:1"):
            await place.house.operations.orders.serve(ServeRequest(profile="coding"))
        assert place.reloading.current().max_body_mib == 2

        place.say("max_body_mib = 3\n")

        await place.until(lambda: place.reloading.current().max_body_mib == 3)
        assert place.reloading.error is None
        wrong, right, changed = place.told()
        assert "there is no setting prot; what it said before counts" in wrong
        assert right.endswith("config.toml is right again")
        assert changed == "changed: max_body_mib"


async def test_what_a_person_wants_is_planned_by_what_was_written_right_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_place(tmp_path, monkeypatch) as place:
        place.reloading.every_s = 3600.0
        await anyio.sleep(0.05)  # until it looks no more by itself
        place.say(f"{CODING}1000\n")

        await place.serve(profile="coding")

        assert place.contexts() == [(1000, "ready")]


async def test_a_model_takes_over_with_what_its_profile_says_now_and_serves_until_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_place(tmp_path, monkeypatch, f"{CODING}1000\n") as place:
        await place.serve(profile="coding")
        before = place.house.fleet.instances()[0]
        async with anyio.create_task_group() as tasks:
            answers: list[int] = []

            async def ask() -> None:
                answers.append(
                    (await place.house.ask({**asking(chunks=40, delay_s=0.05), "stream": True}))[0]
                )

            tasks.start_soon(ask)
            await place.until(lambda: before.in_flight)
            place.say(f"{CODING}2000\n")

            await place.until(lambda: (2000, "ready") in place.contexts())
            assert before.in_flight, "the answer that ran runs on"

        await place.until(lambda: place.contexts() == [(2000, "ready")])
        assert answers == [200]
        assert any("planned anew, and serves until then" in why for why in place.told())


async def test_what_was_said_with_up_goes_over_the_profile_so_nothing_is_started_for_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_place(tmp_path, monkeypatch, f"{CODING}1000\n") as place:
        await place.serve(profile="coding", context=1500)
        place.say(f"{CODING}2000\n")

        reloaded = await place.reloading.reload()

        assert [one.key for one in reloaded.changes] == ["profiles.coding.context"]
        assert reloaded.anew == []
        assert place.contexts() == [(1500, "ready")]


async def test_a_profile_that_is_gone_leaves_its_model_as_it_is_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_place(tmp_path, monkeypatch, f"{CODING}1000\n") as place:
        await place.serve(profile="coding")

        place.say("")

        await place.until(lambda: place.reloading.waiting)
        assert "There is no profile 'coding'" in place.reloading.waiting[0]
        assert place.contexts() == [(1000, "ready")]
        place.say(f"{CODING}1000\n")
        await place.until(lambda: not place.reloading.waiting)


async def test_how_long_a_model_stays_is_changed_while_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = f"{CODING}1000\nkeep_alive = "
    async with a_place(tmp_path, monkeypatch, f'{kept}"10m"\n') as place:
        await place.serve(profile="coding")
        hosted = place.house.fleet.instances()[0]

        place.say(f'{kept}"20m"\n')
        await place.reloading.reload()

        assert hosted.terms.keep_s == 1200
        assert place.house.fleet.instances() == (hosted,)


async def test_what_needs_another_daemon_waits_until_it_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_place(tmp_path, monkeypatch, "port = 1000\n") as place:
        place.say("port = 2000\n")
        await place.reloading.reload()
        waits = place.reloading.waiting
        place.say("port = 1000\n")
        await place.reloading.reload()

    assert waits == [
        "port is 1000 until the daemon is started again, then 2000: localllm down, then localllm up"
    ]
    assert place.reloading.waiting == []


async def test_the_gateway_asks_for_the_settings_with_each_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = asking("x" * (2 << 20))
    async with a_place(tmp_path, monkeypatch, "max_body_mib = 1\n") as place:
        await place.house.ready()
        first, _, _ = await place.house.ask(large)
        place.say("max_body_mib = 8\n[supervision]\nmax_requests = 1\n")
        await place.reloading.reload()

        second, _, _ = await place.house.ask(large)

    assert (first, second) == (413, 200)


async def test_those_who_keep_settings_of_their_own_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_place(tmp_path, monkeypatch) as place:
        hosted = await place.house.ready()
        fleet, watch = place.house.fleet, place.house.operations.watch
        known = KnownKeys(tmp_path / "keys.json", Rules(1, frozenset(), "t"))
        watchdog, environment = Watchdog(fleet, 120.0), {"FAR_KEY": "sk", "HOME": "/"}
        place.reloading.when_changed.append(TakingOver(fleet, watch, watchdog, known, environment))
        place.say(
            'origins = ["http://a"]\nauth = "always"\nallowed_hosts = ["My.lan"]\n'
            "[supervision]\nmax_crashes = 9\nhang_after_s = 5\nwatch_every_s = 7\n"
            'cache_share = 0.5\n[prefix]\nwarm = false\n[remote]\nurl = "http://far"\n'
            'key_env = "FAR_KEY"\n'
        )

        await place.reloading.reload()

        rules = known.current_rules()
        assert (rules.origins, rules.names) == (frozenset({"http://a"}), frozenset({"my.lan"}))
        assert rules.wants_key
        assert hosted.runner.policy.max_crashes == fleet.tools.policy.max_crashes == 9
        assert hosted.lobby.room.share == fleet.tools.cache_share == 0.5
        assert not fleet.tools.prefix.warm
        assert (watchdog.hang_after_s, watch.every_s) == (5.0, 7.0)
        assert environment == {"HOME": "/"}


def _too_long_a_number(file: Path) -> None:
    file.write_text(f"max_body_mib = {'9' * 5000}\n")


def _a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _too_large(file: Path) -> None:
    with file.open("wb") as opened:
        opened.truncate(100 << 20)


@pytest.mark.parametrize("make", [_too_long_a_number, _a_folder, _a_pipe, _too_large])
async def test_whatever_takes_the_place_of_the_file_the_daemon_lives_and_reads_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None]
) -> None:
    async with a_place(tmp_path, monkeypatch, "max_body_mib = 2\n") as place:
        make(place.file)
        await place.until(lambda: place.reloading.error)
        assert place.reloading.current().max_body_mib == 2

        if place.file.is_dir():
            place.file.rmdir()
        place.say("max_body_mib = 3\n")

        await place.until(lambda: place.reloading.current().max_body_mib == 3)


async def test_how_often_the_machine_is_looked_at_is_changed_while_it_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_place(tmp_path, monkeypatch) as place:
        watch, seen = place.house.operations.watch, list[object]()
        watch.every_s = 3600.0
        watch.when_seen.append(seen.append)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch.run)
            await anyio.sleep(0.01)  # it waits now
            watch.every_s = 0.01
            await place.until(lambda: seen)
            tasks.cancel_scope.cancel()


def one_that_comes(place: Place) -> Planned:
    """Have another model begin to take over; it takes half a second to load."""
    place.house.flags[:] = ["--fake-load", "0.5"]
    other = a_plan("other", "other", context=700)
    place.house.fleet.serve(other, serving_of(other, silence_s=20.0), Terms(replaces_current=True))
    return other


async def test_a_model_that_is_about_to_be_replaced_is_not_started_anew_beside_the_one_that_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_place(tmp_path, monkeypatch, f"{CODING}1000\n") as place:
        await place.serve(profile="coding")
        one_that_comes(place)

        place.say(f"{CODING}2000\n")
        assert (await place.reloading.reload()).anew == ["small"]

        await place.until(lambda: place.contexts() == [(700, "ready")])
        await anyio.sleep(0.3)  # one that came anew would be on its way by now
        assert place.contexts() == [(700, "ready")]


async def test_one_that_serves_on_since_a_switch_has_failed_is_started_anew_after_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_place(tmp_path, monkeypatch, f"{CODING}1000\n") as place:
        await place.serve(profile="coding")
        other = one_that_comes(place)
        place.say(f"{CODING}2000\n")
        await place.reloading.reload()
        place.house.flags[:] = []

        await place.house.fleet.stop(other.model, "somebody has thought better of it")

        await place.until(lambda: place.contexts() == [(2000, "ready")])
