"""The control API keeps to its description: tried by schemathesis against a running gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
import requests
import schemathesis
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import SearchStrategy
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from localllm.api.store_views import RemovedView
from localllm.api.views import HostView, PlanView, ProbeView
from localllm.gateway.openapi import Document
from localllm.planning.shelf import show_store
from localllm.supervisor import arranging, operations, storekeeping
from localllm.supervisor.pulls import Pulls
from tests.fakes import house as houses
from tests.fakes.a_yard import a_plan as a_pull_plan
from tests.fakes.a_yard import fake_puller
from tests.fakes.house import TOKEN, House, a_house
from tests.fakes.quick_desk import quick_desk

pytestmark = pytest.mark.anyio

DESCRIPTION = "/api/v1/openapi.json"
EXAMPLES = 12
"""Of each call and each kind."""

KNOWN = {"id": "small", "agent": "claude-code", "pull": "p1", "name": "small"}
"""What makes a call with a part in its path succeed; made up ones are tried, too."""

POSITIVE, NEGATIVE = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE

SENT_WITHIN_S = 10.0
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
REFUSED = [*CHECKS, checks.negative_data_rejection]
"""For bodies: in a query, whatever is sent in the place of a text is a text."""


def nothing_planned() -> PlanView:
    host = HostView(
        os="x", os_version=None, arch="x", cpu=None, cores=1, memory_total=1, memory_available=1,
        wsl=False, sources={},
    )  # fmt: skip
    machine = ProbeView(host=host, devices=[], warnings=[])
    return PlanView(
        hardware=machine, model=None, use="chat", choice=None, candidates=[], why=None, advice=None
    )


@asynccontextmanager
async def a_quick_house(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    """One that plans at once, and asks neither hub nor engine."""

    async def plan(work: Any, _fleet: object) -> Any:
        return await anyio.to_thread.run_sync(work)

    async def show(_work: object, _fleet: object) -> PlanView:
        return nothing_planned()

    async def apart(work: Any) -> Any:
        match work.func.__name__:
            case "plan_pull":
                return a_pull_plan("waits")
            case "show_store":
                return show_store(*work.args, fit=False)
            case "_remove":
                return RemovedView(removed=["small"], freed=1, kept=[]), []
            case _:
                return RemovedView(removed=["small"], freed=1, kept=[])

    monkeypatch.setattr(storekeeping, "apart", apart)
    monkeypatch.setattr(operations, "Pulls", partial(Pulls, command=fake_puller(folder)))
    monkeypatch.setattr(houses, "_desk", quick_desk)
    monkeypatch.setattr(arranging, "work_out", plan)
    monkeypatch.setattr(operations, "work_out", show)
    monkeypatch.setenv("HOME", str(folder))
    async with a_house(folder, environment={"HF_HUB_CACHE": str(folder / "hub")}) as house:
        yield house


async def described(house: House) -> Document:
    async with house.http.get(DESCRIPTION) as answer:  # without the token
        assert answer.status == 200
        document: Document = await answer.json()
    return document


def routes(app: web.Application) -> Iterator[tuple[str, str]]:
    for route in app.router.routes():
        path = "" if route.resource is None else route.resource.canonical
        if path.startswith("/api/") and route.method != "HEAD":
            yield path, route.method.lower()


async def test_every_call_is_described_and_nothing_else(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        document = await described(house)
        there = set(routes(house.app))

    said = {(path, method) for path, item in document["paths"].items() for method in item}
    assert said == there
    assert len(said) > 10
    assert document["openapi"].startswith("3.1")


@pytest.mark.timeout(120)
async def test_what_the_description_allows_is_answered_as_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_quick_house(tmp_path, monkeypatch) as house:
        await house.ready()
        document = await described(house)

        seen = await anyio.to_thread.run_sync(lambda: try_all(document, house.port, POSITIVE))

    assert set(seen) == set(described_calls(document))
    for call, statuses in seen.items():
        assert any(status < 300 for status in statuses), f"{call} was never answered as it should"


@pytest.mark.timeout(120)
async def test_what_the_description_does_not_allow_is_refused_as_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_quick_house(tmp_path, monkeypatch) as house:
        await house.ready()
        document = await described(house)

        seen = await anyio.to_thread.run_sync(lambda: try_all(document, house.port, NEGATIVE))

    tried = {call for call, statuses in seen.items() if statuses}
    assert {"get /api/v1/plan", "post /api/v1/switch", "post /api/v1/models/{id}/load"} <= tried


@pytest.mark.parametrize(
    "call",
    [
        "plan?context=0",
        "plan?context=x",
        "plan?context=1.5",
        "plan?use=sing",
        "plan?explain=perhaps",
        "plan?keep_alive=soon",
        "plan?modle=small",
        "plan?quant=a&quant=b",
        "store?fit=perhaps",
        "store?fits=1",
        "events?follow=2",
        "models/small/logs?lines=0",
        "models/small/logs?lines=10001",
        "models/small/logs?lines=",
    ],
)
async def test_a_query_that_is_wrong_is_refused(call: str, tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.ready()
        token = {"Authorization": f"Bearer {TOKEN}"}

        async with house.http.get(f"/api/v1/{call}", headers=token) as answer:
            said = await answer.json()

    assert (answer.status, said["error"]["code"]) == (400, "bad_request")


def described_calls(document: Document) -> Iterator[str]:
    for path, item in document["paths"].items():
        yield from (f"{method} {path}" for method in item)


def try_all(
    document: Document, port: int, mode: schemathesis.GenerationMode
) -> Mapping[str, set[int]]:
    """Send requests that the description allows, or that it does not; note what came."""
    api, seen = schemathesis.openapi.from_dict(document), dict[str, set[int]]()
    url = f"http://127.0.0.1:{port}"
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {TOKEN}"
        for call in described_calls(document):
            method, path = call.split()
            for known in (
                ({}, {**KNOWN, "request": a_request(url, session)}) if "{" in path else ({},)
            ):
                prepare(call, f"{url}/api/v1", session)
                strategy = api[path][method].as_strategy(mode, path_parameters=known or None)
                seen.setdefault(call, set()).update(try_one(strategy, url, session))
    return seen


def prepare(call: str, api: str, session: requests.Session) -> None:
    """Have something there that a call can show or end."""
    session.post(f"{api}/models/small/load", json={}).raise_for_status()
    session.post(f"{api}/pulls", json={"model": "small"}).raise_for_status()
    session.delete(f"{api}/capture")  # of which there is one at a time
    if call != "post /api/v1/capture":
        session.post(f"{api}/capture", json={"client": "*"}).raise_for_status()
    session.delete(f"{api}/recording")  # likewise
    if call != "post /api/v1/recording":
        session.post(f"{api}/recording", json={}).raise_for_status()


def a_request(url: str, session: requests.Session) -> str:
    """Ask a model for something, and return the request's id."""
    body = {"model": "small", "messages": [{"role": "user", "content": "hi"}]}
    answer = session.post(f"{url}/v1/messages/count_tokens", json=body)
    return answer.headers["x-request-id"]


def try_one(cases: SearchStrategy[Any], url: str, session: requests.Session) -> set[int]:
    statuses: set[int] = set()

    @given(case=cases)
    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def send(case: schemathesis.Case[Any]) -> None:
        if str((case.query or {}).get("follow", False)).lower() not in {"false", "0"}:
            return  # it would go on for ever
        answer = case.call(base_url=url, session=session, timeout=SENT_WITHIN_S)
        statuses.add(answer.status_code)
        case.validate_response(answer, checks=CHECKS if case.method == "GET" else REFUSED)

    with suppress(Unsatisfiable):  # a call that takes nothing cannot be given something wrong
        send()
    return statuses
