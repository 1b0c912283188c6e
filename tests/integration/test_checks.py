"""Checks as the control API has them: who is examined where, one at a time, shown, called off."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from localllm.api.check_views import CheckRequest, CheckView
from localllm.api.views import ServeRequest
from localllm.engines.base import Task
from localllm.errors import Busy, ModelNotFound, NotFound
from localllm.events import DeviceId
from localllm.events import ModelState as S
from localllm.fit.plan import Memory, Placement, Verdict
from localllm.gateway.access import Rules
from localllm.gateway.asking import is_passing
from localllm.gateway.checking import Checks, checks_of
from localllm.gateway.placing import Placing
from localllm.planning.planner import Planned
from localllm.prefix.keeping import Keeping
from localllm.quality.kept import read_kept
from localllm.supervisor import orders, visiting
from localllm.supervisor.remembered import read_remembered
from tests.fakes.house import TOKEN, House, a_house, a_plan, asking
from tests.integration.test_fleet import until

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]


@asynccontextmanager
async def checking(house: House) -> AsyncIterator[Checks]:
    """Have checks carried out for the length of the block."""
    placing = Placing(Keeping(None), b"a key of this house's own")
    rules = Rules(house.port, frozenset(), TOKEN)
    checks = checks_of(house.operations, house.fleet.tools.connect, placing, lambda: rules)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(checks.run)
        tasks.start_soon(house.operations.orders.run)
        yield checks
        tasks.cancel_scope.cancel()


async def over(checks: Checks) -> CheckView:
    await until(lambda: checks.show().state != "running", "the check is over")
    return checks.show()


def served(house: House) -> list[tuple[str, S]]:
    return [(one.planned.model, one.state) for one in house.fleet.instances()]


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> Callable[[Verdict], None]:
    """Have what is asked for planned under its own name, with this verdict beside others."""

    def planned(verdict: Verdict) -> None:
        async def beside(_desk: object, _fleet: object, request: ServeRequest) -> Planned:
            plan = a_plan(request.model or "small")
            stored = replace(plan.stored, repo="owner/other")
            planned = replace(plan.plan, verdict=verdict, reason="10 GiB short")
            return replace(plan, stored=stored, plan=planned)

        async def instead(_d: object, _f: object, request: ServeRequest, **_: object) -> Planned:
            return a_plan(request.model or "small")

        monkeypatch.setattr(visiting, "arrange_beside", beside)
        monkeypatch.setattr(orders, "arrange", instead)

    return planned


async def test_a_model_that_is_served_is_examined_where_it_is(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house, checking(house) as checks:
        await house.ready()

        checks.start(CheckRequest(model="tiny", quick=True))
        view = await over(checks)

        assert view.error is None
        assert view.report is not None
        assert view.report.model.id == "small"
        assert "how it cuts a text" in (view.report.model.no_perplexity or "")
        assert served(house) == [("small", S.READY)]
        assert [one.facts.subject.id for one in read_kept(house.operations.desk.paths.checks)] == [
            "small"
        ]


async def test_nothing_is_examined_where_what_it_is_to_be_held_to_cannot_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nobody(*_: object) -> Planned:
        raise ModelNotFound("No model 'nosuch'.", why="it is not here", fix="localllm ls")

    monkeypatch.setattr(visiting, "arrange_beside", nobody)
    async with a_house(tmp_path) as house, checking(house) as checks:
        await house.ready()

        checks.start(CheckRequest(model="tiny", against="nosuch", quick=True))
        view = await over(checks)

        assert view.error is not None
        assert "nosuch" in view.error.what
        assert not [step for step in view.steps if step.startswith("small")]


async def test_one_that_is_not_is_a_guest_that_no_request_leads_to(
    tmp_path: Path, plans: Callable[[Verdict], None]
) -> None:
    plans(Verdict.FITS)
    async with a_house(tmp_path) as house, checking(house) as checks:
        await house.ready()
        seen: set[str] = set()

        checks.start(CheckRequest(model="/models/other.gguf", quick=True))
        while checks.show().state == "running":
            seen |= {model for model, _ in served(house)}
            assert house.fleet.names.find("/models/other.gguf") is None
            assert house.fleet.names.current == "small"
            await anyio.sleep(0.005)

        report = checks.show().report
        assert report is not None, checks.show()
        assert report.model.id == "/models/other.gguf"
        assert seen == {"small", "/models/other.gguf.check"}
        assert served(house) == [("small", S.READY)]


async def test_a_guest_is_not_what_requests_mean_that_name_nothing(
    tmp_path: Path, plans: Callable[[Verdict], None]
) -> None:
    plans(Verdict.FITS)
    async with a_house(tmp_path) as house, checking(house) as checks:
        checks.start(CheckRequest(model="/models/other.gguf", quick=True))
        await until(lambda: [state for _, state in served(house)] == [S.READY], "it is here")

        assert house.fleet.names.current is None
        assert house.fleet.names.find("localllm") is None
        status, _, _ = await house.ask(asking(model="localllm"))
        assert status == 404
        resolved = await house.operations.naming.resolve("hf:owner/other")
        assert ".check" not in (resolved.name or "")
        async with house.http.get(f"http://127.0.0.1:{house.port}/v1/models") as listed:
            assert ".check" not in await listed.text()
        assert (await over(checks)).report is not None


async def test_a_guest_takes_nobodys_memory(
    tmp_path: Path, plans: Callable[[Verdict], None]
) -> None:
    """Its plan has it fit; what is served turns out to hold more than that."""
    plans(Verdict.FITS)
    async with a_house(tmp_path) as house, checking(house) as checks:
        place = Placement(
            DeviceId("cpu"), 0, Memory(weights=1 << 30, kv_cache=0, compute=0, output=0)
        )
        large = a_plan()
        await house.ready(replace(large, plan=replace(large.plan, placement=(place,))))

        checks.start(CheckRequest(model="/models/other.gguf", quick=True))
        error = (await over(checks)).error

        assert (error and error.code) == "does_not_fit"
        assert served(house) == [("small", S.READY)]


async def test_one_that_nobody_looks_at_any_more_ends(
    tmp_path: Path, plans: Callable[[Verdict], None]
) -> None:
    plans(Verdict.FITS)
    async with a_house(tmp_path, "--fake-load", "30") as house, checking(house) as checks:
        checks.unwatched_s = 0.5
        checks.start(CheckRequest(model="/models/other.gguf", while_watched=True))
        await until(lambda: bool(checks.show().steps and served(house)), "the guest is here")
        await until(lambda: not served(house), "the guest has gone")

        error = (await over(checks)).error
        assert error is not None
        assert "called off" in error.what


async def test_its_prompts_are_said_to_be_worth_no_keeping(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house, checking(house) as checks:
        async with checks.gateway() as client:
            async with client.post("/v1/chat/completions", b"{}") as answer:
                assert is_passing(answer.request_info.headers)


async def test_what_makes_embeddings_is_not_loaded_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def beside(_desk: object, _fleet: object, _request: ServeRequest) -> Planned:
        plan = a_plan("embedder")
        return replace(plan, task=Task.EMBED)

    monkeypatch.setattr(visiting, "arrange_beside", beside)
    async with a_house(tmp_path) as house, checking(house) as checks:
        checks.start(CheckRequest(model="/models/embedder.gguf"))
        error = (await over(checks)).error

        assert error is not None
        assert "cannot be examined" in error.what
        assert served(house) == []


async def test_one_that_does_not_fit_is_refused_and_nobody_is_disturbed(
    tmp_path: Path, plans: Callable[[Verdict], None]
) -> None:
    plans(Verdict.TOO_BIG)
    async with a_house(tmp_path) as house, checking(house) as checks:
        await house.ready()

        checks.start(CheckRequest(model="/models/other.gguf", quick=True))
        error = (await over(checks)).error

        assert error is not None
        assert (error.code, error.why) == ("does_not_fit", "10 GiB short")
        assert "--switch" in error.fix
        assert served(house) == [("small", S.READY)]


async def test_if_it_may_it_is_served_in_their_place_and_they_come_back(
    tmp_path: Path, plans: Callable[[Verdict], None]
) -> None:
    plans(Verdict.TOO_BIG)
    async with a_house(tmp_path) as house, checking(house) as checks:
        await house.operations.orders.serve(ServeRequest(model="small"))
        await until(lambda: served(house) == [("small", S.READY)], "it serves")

        checks.start(CheckRequest(model="/models/other.gguf", quick=True, switch=True))
        await until(lambda: house.fleet.names.current == "/models/other.gguf", "it is examined")
        await until(lambda: "examin" in checks.show().doing or len(checks.show().steps) > 2, "so")
        kept = read_remembered(house.operations.desk.paths.serving).serving
        assert [one.model for one in kept] == ["small"], "for a daemon that ends meanwhile"
        view = await over(checks)

        assert view.report is not None, view
        assert view.report.model.id == "/models/other.gguf"
        assert any("in the place of small" in step for step in view.steps)
        await until(lambda: served(house) == [("small", S.READY)], "it serves again")


async def test_one_check_runs_at_a_time_and_may_be_called_off(tmp_path: Path) -> None:
    async with a_house(tmp_path, "--fake-load", "30") as house, checking(house) as checks:
        house.serve(a_plan())
        with pytest.raises(NotFound):
            checks.show()
        checks.start(CheckRequest(model="small"))

        with pytest.raises(Busy):
            checks.start(CheckRequest(model="small"))
        await until(lambda: bool(checks.show().steps), "it waits for the model")
        checks.cancel()

        view = await over(checks)
        assert view.error is not None
        assert "called off" in view.error.what
        assert checks.start(CheckRequest(model="small")).number == 2


async def test_what_nobody_has_is_said_as_everywhere(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house, checking(house) as checks:
        checks.start(CheckRequest(model="no-such-model"))

        error = (await over(checks)).error

        assert error is not None
        assert error.code == "model_not_found"


async def test_what_is_stopped_meanwhile_is_not_judged_by_that(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house, checking(house) as checks:
        hosted = await house.ready()
        await house.fleet.stop(hosted.planned.model, "a test")
        await house.ready()
        checks.start(CheckRequest(model="small"))
        await until(lambda: len(checks.show().steps) > 1, "it has begun")
        await house.fleet.stop(hosted.planned.model, "a test")

        view = await over(checks)

        assert view.report is None or view.report.verdict == "ok"
        assert view.report is None or view.report.model.tasks[-1].passed is None
