"""What `up` serves where nobody names a model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from localllm.api.views import ServeRequest
from localllm.cli import serving, unnamed
from localllm.cli.fetching import Declined
from localllm.cli.permission import Permission
from localllm.cli.pulling import DaemonEnded
from localllm.cli.unnamed import Named, name_one, remembers
from localllm.errors import (
    DoesNotFit,
    EngineUnusable,
    LocalLLMError,
    ModelNotFound,
    NoNetwork,
    NoSpace,
    NotRunning,
    WrongContent,
)
from localllm.paths import Paths
from localllm.planning.pull_plans import PullPlan
from localllm.store.job import PullJob
from localllm.transfer.disk import DiskFailed

MODEL = "qwen3-8b:Q4_K_M"
YES, NO = Permission(yes=True), Permission()
ANYTHING = ServeRequest(context=8192)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(*(tmp_path / name for name in ("config", "data", "state", "cache")))


def a_plan(model: str = MODEL, *, on_disk: bool = False) -> PullPlan:
    return PullPlan(model, "Q4_K_M", PullJob("me/m", "c" * 40, ()), "it fits", on_disk, 5 << 30)


@pytest.fixture
def best(monkeypatch: pytest.MonkeyPatch) -> list[PullPlan | LocalLLMError | None]:
    """What the hub's best is, once there is a hub."""
    found: list[PullPlan | LocalLLMError | None] = [a_plan()]

    def answer(*_: object) -> PullPlan | None:
        if isinstance(found[0], LocalLLMError):
            raise found[0]
        return found[0]

    monkeypatch.setattr(unnamed, "_best", answer)
    monkeypatch.setattr(unnamed, "why_no_hub", lambda _: None)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return found


def test_the_best_one_is_to_be_asked_about(
    paths: Paths, best: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    named = name_one(None, paths, ANYTHING, YES)

    assert named.plan == a_plan()
    assert named.wanted == ServeRequest(model=MODEL, context=8192)
    assert "else a small stand-in is served" in capsys.readouterr().err


def test_one_that_is_here_needs_no_question(paths: Paths, best: list[object]) -> None:
    best[0] = a_plan(on_disk=True)

    named = name_one(None, paths, ANYTHING, YES)

    assert named == Named(ServeRequest(model=MODEL, context=8192))


@pytest.mark.parametrize("found", [None, a_plan("smollm2-135m-instruct:Q4_1")])
def test_where_nothing_better_runs_it_is_the_stand_in(
    paths: Paths, best: list[object], found: PullPlan | None
) -> None:
    best[0] = found

    assert name_one(None, paths, ANYTHING, YES) == Named(ANYTHING)


def test_a_hub_that_refuses_is_why_it_is_the_stand_in(paths: Paths, best: list[object]) -> None:
    best[0] = NoNetwork("The hub is down.", why="so it is", fix="wait")

    named = name_one(None, paths, ANYTHING, YES)

    assert (named.wanted, named.why_not) == (ANYTHING, "The hub is down. (so it is)")


@pytest.mark.parametrize("said", [ServeRequest(model="m"), ServeRequest(profile="p")])
def test_what_somebody_names_is_what_is_served(
    paths: Paths, best: list[object], said: ServeRequest
) -> None:
    assert name_one(None, paths, said, YES) == Named(said)


@pytest.mark.parametrize(
    ("written", "known"),
    [
        ({"format": 1, "serving": [{"model": "m"}], "pinned": []}, True),
        ({"format": 1, "serving": []}, False),
        ("nonsense", False),
        (None, False),
    ],
)
def test_what_was_served_before_is_served_again(
    paths: Paths, best: list[object], written: object, known: bool
) -> None:
    paths.state.mkdir(parents=True)
    if written is not None:
        paths.serving.write_text(json.dumps(written))

    assert remembers(paths) is known
    assert (name_one(None, paths, ANYTHING, YES).plan is None) is known


@pytest.mark.parametrize(
    "kind",
    [Declined, NoNetwork, NoSpace, WrongContent, ModelNotFound, DiskFailed, DoesNotFit],
)
def test_what_nobody_named_and_cannot_be_had_gives_way_to_the_stand_in(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, kind: type[LocalLLMError]
) -> None:
    monkeypatch.setattr(serving, "fetch_planned", raising(kind("No.", why="so it is", fix="-")))

    named = serving._fetched(None, paths, Named(ServeRequest(model=MODEL), a_plan()), ANYTHING, YES)

    assert named == Named(ANYTHING, why_not="No. (so it is)")


@pytest.mark.parametrize("kind", [EngineUnusable, NotRunning, DaemonEnded])
def test_what_the_stand_in_would_meet_too_is_not_hidden_behind_it(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, kind: type[LocalLLMError]
) -> None:
    monkeypatch.setattr(serving, "fetch_planned", raising(kind("-", why="-", fix="-")))

    with pytest.raises(kind):
        serving._fetched(None, paths, Named(ServeRequest(model=MODEL), a_plan()), ANYTHING, YES)


def raising(error: LocalLLMError):
    def fetch(*_: object) -> ServeRequest:
        raise error

    return fetch
