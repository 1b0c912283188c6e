"""A plan says how the prompts of each candidate would be kept, before anything is downloaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pytest

from localllm.api.views import CandidateView, PlanRequest, PromptsView
from localllm.config.current import Current
from localllm.config.settings import Prefix
from localllm.engines.base import SAVES_SLOTS, Installed
from localllm.hardware.machine import CPU
from localllm.planning.desk import Desk
from localllm.planning.engine_desk import EngineDesk
from localllm.planning.showing import show_plan
from tests.fakes.hub import FakeHub, serving
from tests.unit.planning.a_machine import GIB, a_machine
from tests.unit.planning.a_pull import AnEngine, a_desk, a_model

GGUF = "me/Tiny-GGUF"


@dataclass(frozen=True, slots=True)
class SavingEngine(AnEngine):
    def find(self) -> Installed:
        return replace(AnEngine.find(self), abilities=frozenset({SAVES_SLOTS}))


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    with serving(tmp_path / "hub") as hub:
        hub.add(GGUF).put("tiny-Q4_K_M.gguf", a_model(4096, 2000))
        yield hub


@pytest.fixture
def desk(tmp_path: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """One processor, and an engine that puts its slots on disk."""
    monkeypatch.setattr(Desk, "probe", lambda _: a_machine(usable=8 * GIB))
    with_engine(monkeypatch, SavingEngine())
    return a_desk(tmp_path, hub)


def with_engine(monkeypatch: pytest.MonkeyPatch, engine: AnEngine) -> None:
    monkeypatch.setattr(EngineDesk, "engines", lambda *_: [engine])


def chosen(desk: Desk, **asked: str) -> CandidateView:
    view = show_plan(desk, PlanRequest(**{"model": "tiny", **asked}))
    return view.candidates[view.choice or 0]


def test_what_an_engine_can_save_is_kept_on_disk_though_the_model_is_not_here(desk: Desk) -> None:
    candidate = chosen(desk)

    assert not candidate.on_disk
    assert candidate.prompts == PromptsView(kept="saved", why=None)


def test_of_an_engine_that_cannot_it_says_so(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with_engine(monkeypatch, AnEngine())

    prompts = chosen(desk).prompts

    assert prompts is not None
    assert (prompts.kept, "an-engine" in (prompts.why or "")) == ("replayed", True)


def test_what_the_user_has_turned_off_is_said_to_be(desk: Desk) -> None:
    off = msgspec.structs.replace(desk.settings, prefix=Prefix(enabled=False))

    prompts = chosen(replace(desk, current=Current.of(off))).prompts

    assert prompts is not None
    assert (prompts.kept, "prefix.enabled" in (prompts.why or "")) == ("not", True)


def test_of_a_machine_that_is_not_here_nobody_knows_what_its_engine_can(desk: Desk) -> None:
    assert chosen(desk, hardware="rtx4090").prompts is None


def test_the_memory_for_earlier_prompts_is_at_least_one_full_context(desk: Desk) -> None:
    memory = chosen(desk).memory

    assert memory is not None
    assert memory.host_cache >= memory.kv_cache > 0
    assert memory.total + memory.host_cache <= a_machine(usable=8 * GIB).device(CPU).memory_usable  # type: ignore[operator]
