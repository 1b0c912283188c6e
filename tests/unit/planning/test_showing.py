"""What `plan` shows of a machine that is described: nothing is asked of this one but for its engine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from localllm.api.views import PlanRequest, PlanView
from localllm.config.current import Current
from localllm.config.reading import load
from localllm.config.settings import Planning, Settings
from localllm.errors import ConfigError, ModelNotFound
from localllm.fit.decide import plan
from localllm.fit.plan import Budget, Plan, Wish
from localllm.formats.header import Header
from localllm.hardware.machine import CPU
from localllm.paths import bundled_profiles, paths_for
from localllm.planning import considering
from localllm.planning.desk import Desk
from localllm.planning.showing import show_plan
from tests.fakes.hub import FakeHub, serving
from tests.unit.formats.a_gguf import PLAIN, a_file, a_header
from tests.unit.planning.a_machine import GIB, a_machine

QWEN = "qwen3-8b"


def a_desk(home: Path, settings: Settings | None = None, **more: str) -> Desk:
    """Nothing is on its disk."""
    environment = {"HOME": str(home), "LOCALLLM_HOME": str(home), "HF_HOME": str(home / "hf")}
    environment |= more
    return Desk(
        Current.of(settings or Settings()), paths_for(environment), environment, bundled_profiles()
    )


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return a_desk(tmp_path)


def shown(desk: Desk, hardware: str, model: str | None = QWEN, **more: object) -> PlanView:
    asked = {"model": model, "hardware": hardware, "offline": True, **more}
    return show_plan(desk, PlanRequest(**asked))  # type: ignore[arg-type]


def test_of_one_model_every_quantization_is_shown_the_best_quality_first(desk: Desk) -> None:
    view = shown(desk, "rtx5090")

    assert view.choice is not None
    chosen = view.candidates[view.choice]
    assert {c.model for c in view.candidates} == {QWEN}
    assert len({c.quant for c in view.candidates}) == len(view.candidates) > 2
    assert (chosen.verdict, chosen.lacks) == ("fits", None)
    assert all(c.lacks for c in view.candidates if c is not chosen)
    assert view.model is not None
    assert (view.model.id, view.advice) == (QWEN, None)
    assert view.why is not None
    assert f"{QWEN} {chosen.quant}" in view.why


def test_the_same_question_gets_the_same_answer(desk: Desk) -> None:
    assert shown(desk, "rtx5090") == shown(desk, "rtx5090")


def test_a_plan_before_any_header_was_read_says_where_its_numbers_come_from(desk: Desk) -> None:
    view = shown(desk, "rtx5090")

    assert {c.header for c in view.candidates} == {"catalog"}
    assert {c.memory_from for c in view.candidates} == {"formula"}
    assert not any(c.on_disk for c in view.candidates)


@pytest.mark.parametrize("hardware", ["rtx3060-12", "2xrtx3090", "m4-max-128", "cpu-64"])
def test_each_candidates_devices_add_up_and_stay_within_what_is_usable(
    desk: Desk, hardware: str
) -> None:
    view = shown(desk, hardware, quant="Q4_K_M")

    usable = {device.id: device.memory_usable or 0 for device in view.hardware.devices}
    for one in view.candidates:
        assert one.memory is not None
        assert sum(placed.bytes for placed in one.placement) == one.memory.total
        if one.verdict == "fits":
            assert all(placed.bytes <= usable[placed.device] for placed in one.placement)


def test_the_chosen_one_is_explained_to_the_byte_where_that_is_asked(desk: Desk) -> None:
    view = shown(desk, "rtx5090", explain=True)

    assert view.choice is not None
    chosen = view.candidates[view.choice]
    assert chosen.memory is not None
    assert sum(part.bytes for part in chosen.explanation) == chosen.memory.total
    assert not any(c.explanation for c in view.candidates if c is not chosen)
    assert not any(c.explanation for c in shown(desk, "rtx5090").candidates)


def test_a_quantization_that_was_named_is_the_only_one_and_is_taken(desk: Desk) -> None:
    view = shown(desk, "rtx5090", quant="q4_k_m")

    assert [c.quant for c in view.candidates] == ["Q4_K_M"]
    assert view.choice == 0


def test_a_quantization_may_stand_behind_the_name(desk: Desk) -> None:
    behind, beside = (
        shown(desk, "rtx5090", f"{QWEN}:q4_k_m"),
        shown(desk, "rtx5090", quant="q4_k_m"),
    )

    assert behind == beside


def test_what_models_of_ours_hold_is_usable_here_and_shown_so(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Desk, "probe", lambda _: a_machine(usable=8 * GIB))
    asked = PlanRequest(model=QWEN, quant="Q4_K_M", offline=True)

    alone, beside = show_plan(desk, asked), show_plan(desk, asked, reclaimable={CPU: 4 * GIB})

    assert [v.hardware.devices[-1].memory_usable for v in (alone, beside)] == [8 * GIB, 12 * GIB]
    assert alone.candidates[0].context is not None
    assert beside.candidates[0].context is not None
    assert beside.candidates[0].context > alone.candidates[0].context


def test_what_models_of_ours_hold_here_is_nothing_to_another_machine(desk: Desk) -> None:
    asked = PlanRequest(model=QWEN, hardware="cpu-64", offline=True)

    assert show_plan(desk, asked, reclaimable={CPU: 8 * GIB}) == show_plan(desk, asked)


def test_a_profile_is_known_once_the_settings_are_read_again(desk: Desk) -> None:
    asked = PlanRequest(profile="coding", hardware="rtx5090", offline=True)
    with pytest.raises(ModelNotFound) as caught:
        show_plan(desk, asked)
    desk.paths.config_file.parent.mkdir(parents=True)
    desk.paths.config_file.write_text(f'[profiles.coding]\nmodel = "{QWEN}"\nuse = "code"\n')

    desk.current.loaded = load(desk.paths.config_file, {})
    view = show_plan(desk, asked)

    assert str(desk.paths.config_file) in caught.value.why
    assert (view.use, {c.model for c in view.candidates}) == ("code", {QWEN})


def test_where_nothing_fits_there_is_no_choice_and_it_is_said_what_it_would_take(
    desk: Desk,
) -> None:
    view = shown(desk, "m1-8", "gpt-oss-120b")

    assert (view.choice, view.why) == (None, None)
    assert {c.verdict for c in view.candidates} <= {"too_big", None}
    assert view.advice is not None
    assert "would take a device with" in view.advice


def test_a_model_or_a_machine_that_nobody_knows_is_an_error(desk: Desk) -> None:
    with pytest.raises(ModelNotFound):
        shown(desk, "rtx5090", "no-such-model")
    with pytest.raises(ConfigError):
        shown(desk, "rtx9999")


def test_the_users_ranking_comes_before_all_else(tmp_path: Path) -> None:
    ranking = Settings(plan=Planning(ranking=(QWEN,)))
    plain, ranked = a_desk(tmp_path), a_desk(tmp_path, ranking)

    views = [shown(desk, "cpu-64", None) for desk in (plain, ranked)]

    models = [v.candidates[v.choice].model for v in views if v.choice is not None]
    assert models[0] != QWEN
    assert models[1] == QWEN


def known(view: PlanView) -> set[str]:
    return {c.model for c in view.candidates}


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """The models that were planned, in order."""
    seen: list[str | None] = []

    def counting(header: Header, budgets: list[Budget], wish: Wish) -> Plan:
        seen.append(header.name)
        return plan(header, budgets, wish)

    monkeypatch.setattr(considering, "fit", counting)
    return seen


@pytest.mark.parametrize(
    ("hardware", "most_each"), [("rtx5090", 5), ("m4-max-128", 3), ("cpu-64", 3)]
)
def test_the_whole_catalog_is_planned_in_a_moment_without_a_hub(
    desk: Desk, planned: list[str | None], hardware: str, most_each: int
) -> None:
    """Quickly, since the search for each model ends early: never most of its quantizations."""
    start = time.process_time()

    view = shown(desk, hardware, None, use="chat")

    assert time.process_time() - start < 5
    assert len(known(view)) == len(view.candidates) > 20
    assert len(planned) <= most_each * len(view.candidates)
    assert view.choice is not None
    assert view.model is None


def a_model(context: int, size: int) -> bytes:
    keys = {**PLAIN, "llama.context_length": context}
    return a_file(a_header(keys)).ljust(size, b"\0")


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    with serving(tmp_path / "hub") as hub:
        repository = hub.add("me/Tiny-GGUF")
        repository.put("tiny-Q4_K_M.gguf", a_model(4096, 2000))
        repository.put("tiny-Q8_0.gguf", a_model(3072, 4000))
        yield hub


def test_of_a_hubs_repository_the_choice_is_planned_with_its_own_header(
    hub: FakeHub, tmp_path: Path
) -> None:
    desk = a_desk(tmp_path, HF_ENDPOINT=hub.url)

    view = shown(desk, "rtx5090", "hf:me/Tiny-GGUF", offline=False)

    assert view.choice is not None
    chosen, (other,) = (
        view.candidates[view.choice],
        [c for i, c in enumerate(view.candidates) if i != view.choice],
    )
    assert (chosen.quant, chosen.header, chosen.context) == ("Q8_0", "hub", 3072)
    assert (other.quant, other.header, other.context) == ("Q4_K_M", "hub", 4096)


def test_a_revision_that_was_named_is_the_one_that_is_read_again(
    hub: FakeHub, tmp_path: Path
) -> None:
    commit = hub.repositories["me/Tiny-GGUF"].commit
    desk = a_desk(tmp_path, HF_ENDPOINT=hub.url)

    shown(desk, "rtx5090", f"hf:me/Tiny-GGUF@{commit}", offline=False)

    assert hub.requests
    assert not any("/main" in request for request in hub.requests)
