"""What a user's profile puts beside a model: found, checked, asked room for, and told apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from localllm.engines.base import Adapter, Task
from localllm.engines.extras import Extra
from localllm.errors import ConfigError, ModelNotFound
from localllm.fit.plan import Draft, Wish
from localllm.formats.errors import BadModelFile
from localllm.planning.companions import (
    NO_COMPANIONS,
    Companions,
    beside_of,
    extras_of,
    read_companions,
)
from localllm.store.headers import read_header
from localllm.store.stored import StoredModel
from localllm.user_profiles import Lora, UserProfile
from tests.fakes.an_adapter import write_adapter
from tests.smollm2 import smollm2

SMOL = read_header(smollm2())


def find(name: str) -> StoredModel:
    assert name == "small"
    return StoredModel("small", smollm2(), smollm2().stat().st_size, None)


def read(profile: UserProfile) -> Companions:
    return read_companions(profile, find)


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return write_adapter(tmp_path / "a.gguf", rank=2)


def test_a_profile_that_names_nothing_has_no_companions() -> None:
    assert read(UserProfile(model="big", context=4096)) == NO_COMPANIONS
    assert (NO_COMPANIONS.extras, beside_of(NO_COMPANIONS, Task.WRITE)) == (frozenset(), None)
    assert NO_COMPANIONS.over(Wish(context=1)) == Wish(context=1)


def test_a_draft_is_found_as_models_are_and_read() -> None:
    found = read(UserProfile(draft="small", draft_tokens=5))

    assert found.draft_file == smollm2()
    assert found.draft == Draft(5, SMOL)
    assert found.extras == {Extra.DRAFT}


def test_mtp_is_no_model_but_blocks_of_the_models_own() -> None:
    found = read(UserProfile(draft="mtp"))

    assert (found.draft, found.draft_file) == (Draft(3), None)


def test_adapters_are_read_with_how_much_each_counts(adapter: Path) -> None:
    found = read(UserProfile(lora=(Lora(str(adapter), 0.5), Lora(str(adapter)))))

    assert found.adapters == (Adapter(adapter, 0.5), Adapter(adapter, 1.0))
    assert found.extras == {Extra.ADAPTERS}


def test_an_adapters_path_may_begin_at_home(adapter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(adapter.parent))

    assert read(UserProfile(lora=(Lora("~/a.gguf"),))).adapters == (Adapter(adapter),)


def test_the_planner_is_asked_for_room_for_all_of_it(adapter: Path) -> None:
    both = (Lora(str(adapter)), Lora(str(adapter)))

    wish = read(UserProfile(draft="mtp", lora=both)).over(Wish(context=4096))

    assert (wish.context, wish.draft) == (4096, Draft(3))
    named = [t.name for t in wish.adapters]
    assert len(set(named)) == len(named) == 2 * 2 * 7 * 30
    assert {"blk.0.attn_q.weight.lora_a.0", "blk.0.attn_q.weight.lora_b.1"} <= set(named)


def test_a_file_that_is_missing_or_no_adapter_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"nothing\.gguf cannot be read"):
        read(UserProfile(lora=(Lora(str(tmp_path / "nothing.gguf")),)))
    with pytest.raises(BadModelFile) as caught:
        read(UserProfile(lora=(Lora(str(smollm2())),)))
    assert str(smollm2()) in caught.value.why


def test_what_belongs_to_the_model_is_let_through(adapter: Path) -> None:
    read(UserProfile(draft="small", lora=(Lora(str(adapter)),))).check(SMOL)
    read(UserProfile(draft="mtp")).check(SMOL)
    NO_COMPANIONS.check(SMOL)


def test_an_adapter_for_another_model_is_refused_before_an_engine_is(adapter: Path) -> None:
    found = read(UserProfile(lora=(Lora(str(adapter)),)))

    for other in (replace(SMOL, architecture="qwen2"), replace(SMOL, tensors=SMOL.tensors[:9])):
        with pytest.raises(ConfigError, match="is an adapter for another model"):
            found.check(other)


@pytest.mark.parametrize(("vocabulary", "fits"), [(49_280, True), (49_281, False), (32_000, False)])
def test_a_draft_guesses_only_for_a_model_that_knows_the_same_tokens(
    vocabulary: int, fits: bool
) -> None:
    found = read(UserProfile(draft="small"))
    model = replace(SMOL, name="Big", vocabulary=vocabulary)

    if fits:
        found.check(model)
        return
    with pytest.raises(ConfigError) as caught:
        found.check(model)
    assert caught.value.why == f"it knows 49152 tokens, the model {vocabulary}"


def test_a_part_of_a_model_is_no_draft() -> None:
    part = replace(SMOL, tensors=tuple(t for t in SMOL.tensors if "token_embd" not in t.name))

    with pytest.raises(ConfigError, match="no draft that localllm can plan"):
        Companions(draft=Draft(3, part), draft_file=smollm2()).check(SMOL)


def test_plans_are_told_apart_by_all_that_goes_with_the_model(adapter: Path) -> None:
    profiles = [
        UserProfile(),
        UserProfile(draft="mtp"),
        UserProfile(draft="mtp", draft_tokens=2),
        UserProfile(draft="small"),
        UserProfile(lora=(Lora(str(adapter)),)),
        UserProfile(lora=(Lora(str(adapter), 0.5),)),
        UserProfile(engine_args=("--seed", "7")),
    ]

    marks = [beside_of(read(profile), task) for profile in profiles for task in Task]

    assert len(set(marks)) == len(marks)
    assert marks.count(None) == 1


@pytest.mark.parametrize(
    ("task", "extras"),
    [(Task.WRITE, set()), (Task.EMBED, {Extra.EMBED}), (Task.RERANK, {Extra.RERANK})],
)
def test_an_engine_must_be_able_to_do_what_the_model_is_for(task: Task, extras: set[Extra]) -> None:
    assert extras_of(task) == extras
