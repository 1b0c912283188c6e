"""What a pull fetches: the files of what `plan` marks, of one commit, and nothing that is here."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from localllm.api.pull_views import PullRequest
from localllm.api.views import PlanRequest, ServeRequest
from localllm.config.current import read_current
from localllm.errors import AccessRefused, DoesNotFit, EngineUnusable, ModelNotFound, NoNetwork
from localllm.formats.header import Format
from localllm.planning.desk import Desk
from localllm.planning.engine_desk import EngineDesk
from localllm.planning.pull_plans import PullPlan, best_for, plan_pull
from localllm.planning.showing import show_plan
from localllm.store.places import hub_cache
from localllm.store.shared_cache import CachedRepository
from tests.fakes.hub import FakeHub, FakeRepository, serving
from tests.unit.formats.a_gguf import PLAIN, Line, a_header
from tests.unit.planning.a_machine import GIB, a_card, a_machine, cuda
from tests.unit.planning.a_pull import AnEngine, a_desk, a_model, fetch, with_only_tiny
from tests.unit.store.a_safetensors import CONFIG, a_safetensors

GGUF = "me/Tiny-GGUF"
LAYER = 256 << 20
WEIGHTS = a_safetensors(**{"model.embed_tokens.weight": (96, 64)})
MLX_CONFIG = CONFIG[:-1] + b', "quantization": {"group_size": 64, "bits": 4}}'


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    with serving(tmp_path / "hub") as hub:
        repository = hub.add(GGUF)
        repository.put("tiny-Q4_K_M.gguf", a_model(4096, 2000))
        repository.put("tiny-Q8_0.gguf", a_model(5120, 4000))
        repository.put("README.md", b"# Tiny")
        repository.put("run.py", b"print('mine')")
        yield hub


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """One processor with an engine that serves GGUF."""
    monkeypatch.setattr(Desk, "probe", lambda _: a_machine(usable=8 * GIB))
    engines(monkeypatch, Format.GGUF)


def engines(monkeypatch: pytest.MonkeyPatch, *formats: Format) -> None:
    known = [AnEngine(formats=frozenset({f}), name=f"for-{f.value}") for f in formats]
    monkeypatch.setattr(EngineDesk, "engines", lambda *_: known)


def a_tight_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Desk, "probe", lambda _: a_machine(usable=100))


@pytest.fixture
def desk(tmp_path: Path, hub: FakeHub) -> Desk:
    return a_desk(tmp_path, hub)


def planned(desk: Desk, model: str | None, **more: object) -> PullPlan:
    return plan_pull(desk, PullRequest(model=model, **more))  # type: ignore[arg-type]


def paths(plan: PullPlan) -> list[str]:
    return [file.path for file in plan.job.files]


def test_of_a_catalog_name_what_plan_marks_is_fetched_and_nothing_beside_it(desk: Desk) -> None:
    view = show_plan(desk, PlanRequest(model="tiny"))

    plan = planned(desk, "tiny")

    assert view.choice is not None
    assert [plan.quant] == [view.candidates[view.choice].quant] == ["Q8_0"]
    assert paths(plan) == ["tiny-Q8_0.gguf"]
    assert (plan.model, plan.on_disk, plan.size_bytes) == ("tiny:Q8_0", False, 4000)


def test_it_is_pinned_to_the_commit_that_was_listed(desk: Desk, hub: FakeHub) -> None:
    plan = planned(desk, "tiny")

    assert (plan.job.repo, plan.job.commit) == (GGUF, hub.repositories[GGUF].commit)
    assert plan.job.ref == "main"
    assert all(file.sha256 for file in plan.job.files)


def test_a_commit_that_was_named_needs_no_branch_to_mean_it(desk: Desk, hub: FakeHub) -> None:
    commit = hub.repositories[GGUF].commit

    plan = planned(desk, f"hf:{GGUF}@{commit}")

    assert (plan.job.commit, plan.job.ref) == (commit, None)


def test_the_reason_says_quantization_context_and_memory(desk: Desk) -> None:
    reason = planned(desk, "tiny").reason

    assert "tiny Q8_0 is the best of 2 that fit" in reason
    assert "5120 tokens of context" in reason
    assert "weights" in reason


def test_a_plan_passes_between_processes_and_through_json(desk: Desk) -> None:
    plan = planned(desk, "tiny")

    assert pickle.loads(pickle.dumps(plan)) == plan
    assert msgspec.json.decode(msgspec.json.encode(plan), type=PullPlan) == plan


@pytest.mark.parametrize(
    ("model", "more"),
    [
        ("tiny", {"quant": "q4_k_m"}),
        ("tiny:Q4_K_M", {}),
        (f"hf:{GGUF}", {"quant": "Q4_K_M"}),
        (f"hf:{GGUF}:q4_k_m", {}),
        (f"{GGUF}:Q4_K_M", {}),
        (f"https://huggingface.co/{GGUF}/blob/main/tiny-Q4_K_M.gguf", {}),
    ],
)
def test_the_quantization_or_file_that_the_user_names_is_taken(
    desk: Desk, model: str, more: dict[str, object]
) -> None:
    plan = planned(desk, model, **more)

    assert (paths(plan), plan.quant) == (["tiny-Q4_K_M.gguf"], "Q4_K_M")


@pytest.mark.parametrize(
    ("model", "served_by"),
    [
        ("tiny", "tiny:Q8_0"),
        ("tiny:Q4_K_M", "tiny:Q4_K_M"),
        (f"hf:{GGUF}", f"hf:{GGUF}:Q8_0"),
        (f"https://huggingface.co/{GGUF}/blob/main/tiny-Q4_K_M.gguf", f"hf:{GGUF}:Q4_K_M"),
        (f"hf:{GGUF}@COMMIT", f"hf:{GGUF}:Q8_0@COMMIT"),
        (f"hf:{GGUF}:Q8_0@v1", f"hf:{GGUF}:Q8_0@v1"),
    ],
)
def test_what_was_pulled_is_served_by_the_name_that_was_told_with_the_context_that_was_promised(
    desk: Desk, hub: FakeHub, model: str, served_by: str
) -> None:
    repository = hub.repositories[GGUF]
    repository.refs["v1"] = repository.commit
    model, served_by = (text.replace("COMMIT", repository.commit) for text in (model, served_by))

    plan = planned(desk, model)
    fetch(plan, desk, hub)
    served = desk.plan(ServeRequest(model=plan.model))

    assert plan.model == served_by
    assert served.header.quantization is not None
    assert f"{served.plan.context} tokens of context" in plan.reason
    assert served.stored.file.name == paths(plan)[0]


def test_the_name_that_was_told_means_the_same_pull_and_then_what_is_here(
    desk: Desk, hub: FakeHub
) -> None:
    for model in ("tiny", f"hf:{GGUF}", f"hf:{GGUF}:Q4_K_M"):
        plan = planned(desk, model)
        again = planned(desk, plan.model)
        assert (again.job, again.model) == (plan.job, plan.model)
    fetch(plan, desk, hub)
    hub.forget()

    after = planned(desk, plan.model)

    assert (after.on_disk, after.job.files, after.size_bytes) == (True, (), 0)
    assert (after.model, hub.requests) == (plan.model, [])


def test_a_model_that_is_here_in_another_quantization_than_the_one_asked_for_is_fetched(
    desk: Desk, hub: FakeHub
) -> None:
    for name in ("tiny", f"hf:{GGUF}"):
        fetch(planned(desk, name, quant="Q8_0"), desk, hub)

        plan = planned(desk, name, quant="Q4_K_M")

        assert (plan.on_disk, paths(plan)) == (False, ["tiny-Q4_K_M.gguf"])


def test_where_none_is_asked_for_the_better_one_is_fetched_beside_the_one_that_is_here(
    desk: Desk, hub: FakeHub
) -> None:
    fetch(planned(desk, "tiny:Q4_K_M"), desk, hub)

    plan = planned(desk, "tiny")

    assert (plan.on_disk, paths(plan)) == (False, ["tiny-Q8_0.gguf"])


def test_a_path_is_here_as_it_is(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "mine-Q8_0.gguf"
    file.write_bytes(a_model(4096, 3000))

    plan = planned(desk, str(file))

    assert (plan.model, plan.on_disk, plan.job.files) == (str(file), True, ())


def test_a_set_of_which_parts_are_here_is_listed_whole_and_only_the_rest_counts(
    desk: Desk, hub: FakeHub
) -> None:
    a_split_model(hub.add("me/Split-GGUF"))
    first = planned(desk, "hf:me/Split-GGUF")
    fetch(first, desk, hub, only=1)

    plan = planned(desk, "hf:me/Split-GGUF")

    assert len(paths(plan)) == 2
    assert plan.size_bytes == plan.job.files[1].size_bytes
    assert not plan.on_disk


def a_split_model(repository: FakeRepository, count: int = 2) -> None:
    for number in range(2):
        keys = {"split.no": number, "split.count": count, "split.tensors.count": 1}
        tensors = () if number else None
        header = a_header(
            {**PLAIN, **keys} if number == 0 else {"general.architecture": "llama", **keys},
            *([] if tensors is None else [tensors]),
        )
        name = f"split-Q4_K_M-{number + 1:05}-of-{count:05}.gguf"
        repository.put(name, header + bytes(-len(header) % 32 + (0 if number else 768)))


def test_a_set_that_lacks_parts_at_the_hub_is_refused(desk: Desk, hub: FakeHub) -> None:
    a_split_model(hub.add("me/Split-GGUF"), count=3)

    with pytest.raises(ModelNotFound, match="does not have all parts"):
        planned(desk, "hf:me/Split-GGUF")


def test_what_does_not_fit_is_refused_before_a_byte_of_it_and_fetched_if_that_is_wanted(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_tight_machine(monkeypatch)

    for name in ("tiny", f"hf:{GGUF}"):
        with pytest.raises(DoesNotFit) as caught:
            planned(desk, name)
        plan = planned(desk, name, anyway=True)

        assert "would take a device with" in caught.value.why
        assert "--anyway" in caught.value.fix
        assert paths(plan) == ["tiny-Q4_K_M.gguf"]
        assert plan.reason.startswith("It does not fit")


def test_what_loses_too_much_is_taken_where_it_is_asked_for_by_name_alone(
    desk: Desk, hub: FakeHub
) -> None:
    hub.add("me/Poor-GGUF").put("poor-IQ1_S.gguf", a_model(4096, 2000))

    with pytest.raises(DoesNotFit, match="good enough to be taken unasked") as caught:
        planned(desk, "hf:me/Poor-GGUF")

    assert "--quant IQ1_S" in caught.value.fix
    assert paths(planned(desk, "hf:me/Poor-GGUF", quant="IQ1_S")) == ["poor-IQ1_S.gguf"]


def test_what_no_formula_covers_is_not_known_to_fit_and_comes_only_if_that_is_wanted(
    desk: Desk, hub: FakeHub
) -> None:
    odd = a_model(4096, 2000, llama__attention__head_count_kv=0)
    hub.add("me/Odd-GGUF").put("odd-Q8_0.gguf", odd)

    with pytest.raises(DoesNotFit, match="Whether hf:me/Odd-GGUF fits") as caught:
        planned(desk, "hf:me/Odd-GGUF")

    assert "cannot be planned yet" in caught.value.why
    assert paths(planned(desk, "hf:me/Odd-GGUF", anyway=True)) == ["odd-Q8_0.gguf"]


def test_a_model_of_the_catalog_that_no_engine_serves_says_in_which_format_it_is(
    desk: Desk,
) -> None:
    own = desk.paths.config_file.parent / "models" / "tiny.toml"
    text = own.read_text()
    own.write_text(text[: text.index("[[repositories]]")] + text[text.rindex("[[repositories]]") :])

    with pytest.raises(EngineUnusable) as caught:
        planned(desk, "tiny")

    assert caught.value.why == "the catalog knows it in mlx"


def test_what_is_here_is_here_though_it_does_not_fit(
    desk: Desk, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch(planned(desk, "tiny:Q8_0"), desk, hub)
    a_tight_machine(monkeypatch)

    assert planned(desk, "tiny:Q8_0").on_disk


def test_what_our_own_models_would_give_back_counts(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_tight_machine(monkeypatch)

    plan = plan_pull(
        desk, PullRequest(model="tiny"), reclaimable={a_machine().devices[-1].id: 8 * GIB}
    )

    assert plan.quant == "Q8_0"


def test_before_there_is_an_engine_a_pull_is_planned_all_the_same(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Desk, "probe", lambda _: a_machine(a_card()))

    assert paths(planned(desk, "tiny")) == ["tiny-Q8_0.gguf"]


def test_the_projector_comes_along_where_images_are_to_be_read(desk: Desk, hub: FakeHub) -> None:
    hub.repositories[GGUF].put("mmproj-F16.gguf", b"x" * 500)

    blind, seeing = planned(desk, "tiny"), planned(desk, "tiny", use="vision")

    assert paths(blind) == ["tiny-Q8_0.gguf"]
    assert paths(seeing) == ["mmproj-F16.gguf", "tiny-Q8_0.gguf"]
    assert "projector 1 KiB" in seeing.reason


def test_a_model_that_is_here_without_its_projector_gets_it(desk: Desk, hub: FakeHub) -> None:
    hub.repositories[GGUF].put("mmproj-F16.gguf", b"x" * 500)
    fetch(planned(desk, "tiny"), desk, hub)

    plan = planned(desk, "tiny", use="vision")
    fetch(plan, desk, hub)
    after = planned(desk, "tiny", use="vision")

    assert (len(paths(plan)), plan.size_bytes, plan.on_disk) == (2, 500, False)
    assert after.on_disk
    assert desk.plan(ServeRequest(model=plan.model, use="vision")).stored.projector is not None


def test_a_model_that_has_no_projector_is_here_without_one(desk: Desk, hub: FakeHub) -> None:
    repository = hub.repositories[GGUF]
    fetch(planned(desk, "tiny"), desk, hub)
    repository.move_on()
    repository.put("tiny-Q8_0.gguf", a_model(5120, 5000))

    here, absent = (planned(desk, f"tiny:{q}", use="vision") for q in ("Q8_0", "Q4_K_M"))

    assert (here.on_disk, absent.on_disk) == (True, False)
    assert all(p.reason.endswith("It has no projector: it sees nothing.") for p in (here, absent))


def test_a_projector_that_does_not_fit_beside_the_model_is_refused(
    desk: Desk, hub: FakeHub
) -> None:
    hub.repositories[GGUF].put("mmproj-F16.gguf", b"x", size=20 * GIB)
    fetch(planned(desk, "tiny"), desk, hub)

    with pytest.raises(DoesNotFit, match="tiny does not fit"):
        planned(desk, "tiny", use="vision")


def an_mlx(hub: FakeHub, name: str = "me/Tiny-MLX") -> FakeRepository:
    repository = hub.add(name, tags=["mlx"])
    repository.put("model.safetensors", WEIGHTS)
    repository.put("config.json", MLX_CONFIG)
    repository.put("tokenizer.json", b"{}")
    repository.put("modeling_tiny.py", b"import os")
    return repository


def test_of_an_mlx_model_come_weights_config_and_tokenizer_and_it_is_served_by_its_name(
    desk: Desk, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines(monkeypatch, Format.MLX)
    an_mlx(hub)

    for name, served_by in (("tiny", "tiny:4bit"), ("hf:me/Tiny-MLX", "hf:me/Tiny-MLX")):
        plan = planned(desk, name, engine="for-mlx")
        assert paths(plan) == ["config.json", "tokenizer.json", "model.safetensors"]
        assert plan.model == served_by
    fetch(plan, desk, hub)

    for name in ("tiny:4bit", "hf:me/Tiny-MLX"):
        assert desk.plan(ServeRequest(model=name, engine="for-mlx")).header.format is Format.MLX
        assert planned(desk, name, engine="for-mlx").on_disk


def test_weights_that_are_here_without_a_tokenizer_get_one(
    desk: Desk, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines(monkeypatch, Format.MLX)
    repository = an_mlx(hub)
    whole = planned(desk, "hf:me/Tiny-MLX")
    fetch(whole, desk, hub)
    tokenizer = next(Path(desk.environment["HF_HOME"]).rglob("snapshots/*/tokenizer.json"))
    tokenizer.resolve().unlink()
    tokenizer.unlink()

    plan = planned(desk, "hf:me/Tiny-MLX")

    assert (plan.on_disk, plan.size_bytes) == (False, 2)
    assert plan.job == whole.job
    assert repository.commit == plan.job.commit


def test_a_repository_of_safetensors_alone_says_which_conversions_there_are(
    desk: Desk, hub: FakeHub
) -> None:
    repository = hub.add("me/Tiny")
    repository.put("model.safetensors", WEIGHTS)
    repository.put("config.json", CONFIG)
    hub.add("you/Tiny-GGUF", tags=["gguf", "base_model:quantized:me/Tiny"]).put("t.gguf", b"")

    with pytest.raises(ModelNotFound) as caught:
        planned(desk, "hf:me/Tiny")

    assert "safetensors only" in caught.value.what
    assert "you/Tiny-GGUF" in caught.value.why
    assert paths(planned(desk, "hf:me/Tiny", anyway=True))[-1] == "model.safetensors"


def test_mlx_alone_says_what_serves_it(desk: Desk, hub: FakeHub) -> None:
    an_mlx(hub)

    with pytest.raises(EngineUnusable, match="is in MLX's format"):
        planned(desk, "hf:me/Tiny-MLX")


def test_a_repository_of_pickles_is_refused_by_what_they_are(desk: Desk, hub: FakeHub) -> None:
    hub.add("me/Pickled").put("pytorch_model.bin", b"\x80\x04")

    for more in ({}, {"anyway": True}):
        with pytest.raises(ModelNotFound) as caught:
            planned(desk, "hf:me/Pickled", **more)
        assert "pytorch_model.bin" in caught.value.why
        assert "programs" in caught.value.why


def test_offline_what_is_here_is_here_and_what_is_missing_is_named(
    desk: Desk, hub: FakeHub, tmp_path: Path
) -> None:
    fetch(planned(desk, "tiny:Q4_K_M"), desk, hub)
    offline = a_desk(tmp_path, hub, HF_HUB_OFFLINE="1")
    hub.forget()

    here = {planned(offline, name) for name in ("tiny", "tiny:Q4_K_M")}
    by_repository = planned(offline, f"hf:{GGUF}")
    for missing in ("tiny:Q8_0", "qwen3-8b", f"hf:{GGUF}:Q8_0", "hf:some/body", f"hf:{GGUF}@dev"):
        with pytest.raises(NoNetwork) as caught:
            planned(offline, missing)
        assert missing.partition(":Q8_0")[0] in caught.value.what

    assert {(p.model, p.on_disk) for p in here} == {("tiny:Q4_K_M", True)}
    assert (by_repository.model, by_repository.on_disk) == (f"hf:{GGUF}", True)
    assert hub.requests == []


def test_a_hub_that_is_not_in_reach_is_one_sentence_with_the_name_of_what_is_missing(
    desk: Desk, tmp_path: Path, hub: FakeHub
) -> None:
    known, unknown = f"hf:{GGUF}:Q8_0", "tiny"
    planned(desk, known)
    away = a_desk(tmp_path, hub, HF_ENDPOINT="http://127.0.0.1:9")

    for model in (known, unknown):
        with pytest.raises(NoNetwork) as caught:
            planned(away, model)
        assert caught.value.what.startswith(f"{model} is not on this disk")


def test_a_listing_of_before_is_no_promise_that_files_can_be_had(desk: Desk, hub: FakeHub) -> None:
    planned(desk, f"hf:{GGUF}:Q8_0")
    hub.answers = (503, b"")

    with pytest.raises(NoNetwork, match="Q8_0 is not on this disk"):
        planned(desk, f"hf:{GGUF}:Q8_0")


def test_a_hub_that_does_not_answer_is_asked_once(desk: Desk, hub: FakeHub) -> None:
    hub.answers = (503, b"")

    with pytest.raises(NoNetwork, match="tiny is not on this disk"):
        planned(desk, "tiny")

    assert len(hub.requests) == 1


def test_a_gated_repository_is_found_out_before_anything_is_promised(
    desk: Desk, hub: FakeHub
) -> None:
    hub.repositories[GGUF].is_gated = True

    for name in ("tiny", f"hf:{GGUF}"):
        with pytest.raises(AccessRefused, match="gated"):
            planned(desk, name)


def test_a_catalog_that_is_older_than_the_repository_says_so(desk: Desk, hub: FakeHub) -> None:
    (hub.repositories[GGUF].folder / "tiny-Q8_0.gguf").unlink()

    with pytest.raises(ModelNotFound, match="does not list tiny in Q8_0 any more"):
        planned(desk, "tiny:Q8_0")


def test_models_that_share_a_quantization_are_told_apart_by_their_file(
    desk: Desk, hub: FakeHub
) -> None:
    repository = hub.add("me/Two-GGUF")
    repository.put("big-Q4_K_M.gguf", a_model(4096, 3000))
    repository.put("small-Q4_K_M.gguf", a_model(2048, 2000))
    address = "https://huggingface.co/me/Two-GGUF/blob/main/"

    names = [planned(desk, f"{address}{one}-Q4_K_M.gguf") for one in ("big", "small")]
    for plan in names:
        fetch(plan, desk, hub)
    served = [desk.plan(ServeRequest(model=plan.model)).stored.file.name for plan in names]

    assert [plan.model for plan in names] == [
        "hf:me/Two-GGUF:big-Q4_K_M",
        "hf:me/Two-GGUF:small-Q4_K_M",
    ]
    assert served == ["big-Q4_K_M.gguf", "small-Q4_K_M.gguf"]
    here = planned(desk, f"{address}big-Q4_K_M.gguf")
    assert (here.model, here.on_disk) == (names[0].model, True)


def test_a_repository_that_has_moved_on_does_not_make_a_model_come_again(
    desk: Desk, hub: FakeHub
) -> None:
    repository = hub.repositories[GGUF]
    fetch(planned(desk, "tiny:Q8_0"), desk, hub)
    repository.move_on()
    repository.put("mmproj-F16.gguf", b"x" * 500)

    plan, seeing = planned(desk, "tiny:Q8_0"), planned(desk, "tiny:Q8_0", use="vision")

    assert (plan.on_disk, plan.size_bytes) == (True, 0)
    assert (seeing.job.commit, seeing.size_bytes) == (repository.commit, 500)


def test_a_repository_that_was_renamed_is_kept_under_the_name_it_has_now(
    desk: Desk, hub: FakeHub
) -> None:
    hub.moved["old/Name"] = GGUF

    plan = planned(desk, "hf:old/Name:Q8_0")
    fetch(plan, desk, hub)

    assert (plan.model, plan.job.repo) == (f"hf:{GGUF}:Q8_0", GGUF)
    assert planned(desk, "hf:old/Name:Q8_0").on_disk


def test_a_catalogs_repository_that_was_renamed_is_kept_under_the_name_the_catalog_knows(
    desk: Desk, hub: FakeHub
) -> None:
    repository = hub.repositories["new/Name"] = hub.repositories.pop(GGUF)
    repository.name, hub.moved[GGUF] = "new/Name", "new/Name"

    plan = planned(desk, "tiny")
    cached = CachedRepository(hub_cache(desk.environment), GGUF)
    cached.make()
    (file,) = plan.job.files
    cached.blob(str(file.etag)).write_bytes((repository.folder / file.path).read_bytes())

    assert plan.job.repo == GGUF
    assert planned(desk, "tiny").size_bytes == 0


def test_a_set_that_lacks_parts_does_not_keep_others_from_being_chosen(
    desk: Desk, hub: FakeHub
) -> None:
    repository = hub.add("me/Split-GGUF")
    a_split_model(repository, count=3)
    repository.put("split-Q8_0.gguf", a_model(4096, 2000))

    assert paths(planned(desk, "hf:me/Split-GGUF")) == ["split-Q8_0.gguf"]


def test_a_tag_that_nobody_here_knows_yet_is_written_down_though_no_file_is_lacking(
    desk: Desk, hub: FakeHub
) -> None:
    repository = hub.repositories[GGUF]
    fetch(planned(desk, f"hf:{GGUF}:Q8_0"), desk, hub)
    repository.refs["v1"] = repository.commit

    plan = planned(desk, f"hf:{GGUF}:Q8_0@v1")
    fetch(plan, desk, hub)

    assert (plan.on_disk, plan.size_bytes, plan.job.ref) == (False, 0, "v1")
    assert desk.plan(ServeRequest(model=plan.model)).stored.file.name == "tiny-Q8_0.gguf"
    assert planned(desk, plan.model).on_disk


def test_quantizations_whose_names_end_alike_are_told_apart(desk: Desk, hub: FakeHub) -> None:
    repository = hub.add("me/Alike-GGUF")
    repository.put("alike-Q4_K_M.gguf", a_model(4096, 2000))
    repository.put("UD-Q4_K_M/alike-UD-Q4_K_M.gguf", a_model(4096, 2100))

    plans = [planned(desk, f"hf:me/Alike-GGUF:{quant}") for quant in ("UD-Q4_K_M", "Q4_K_M")]
    for plan in plans:
        fetch(plan, desk, hub)
        assert planned(desk, plan.model).on_disk

    assert [paths(plan) for plan in plans] == [
        ["UD-Q4_K_M/alike-UD-Q4_K_M.gguf"],
        ["alike-Q4_K_M.gguf"],
    ]
    for plan in plans:
        assert (
            desk.plan(ServeRequest(model=plan.model)).stored.file.name == Path(paths(plan)[0]).name
        )


def test_a_part_on_the_processor_is_allowed_as_plan_allows_it(
    desk: Desk, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = a_card(memory_usable=1200 << 20)
    monkeypatch.setattr(Desk, "probe", lambda _: a_machine(card))
    monkeypatch.setattr(EngineDesk, "engines", lambda *_: [AnEngine(devices=(cuda(),))])
    layers = [
        Line(f"blk.{n}.ffn_up.weight", (1024, 65536), offset=768 + n * LAYER) for n in range(2)
    ]
    header = a_header(PLAIN, [Line(), *layers])
    size = len(header) + -len(header) % 32 + 768 + 2 * LAYER
    hub.add("me/Big-GGUF").put("big-Q8_0.gguf", header, size=size)

    view = show_plan(desk, PlanRequest(model="hf:me/Big-GGUF"))
    plan = planned(desk, "hf:me/Big-GGUF")

    assert view.candidates[0].verdict == "fits_partly"
    assert "in part on the processor" in plan.reason


def test_a_draft_that_is_not_here_is_named_with_the_pull_that_brings_it(desk: Desk) -> None:
    config = desk.paths.config_file
    config.write_text('[profiles.fast]\nmodel = "tiny"\ndraft = "hf:me/Draft-GGUF:Q8_0"\n')
    desk = replace(desk, current=read_current(config, desk.environment))

    with pytest.raises(ModelNotFound) as caught:
        planned(desk, None, profile="fast")

    assert caught.value.fix == "localllm pull hf:me/Draft-GGUF:Q8_0"


def test_a_profile_of_the_users_names_the_model_too(desk: Desk) -> None:
    config = desk.paths.config_file
    config.write_text('[profiles.mine]\nmodel = "tiny"\nquant = "Q4_K_M"\n')
    desk = replace(desk, current=read_current(config, desk.environment))

    assert planned(desk, None, profile="mine").model == "tiny:Q4_K_M"


def test_the_best_of_the_catalog_is_what_plan_marks_without_a_model(
    desk: Desk, hub: FakeHub
) -> None:
    desk = with_only_tiny(desk)

    view, best = show_plan(desk, PlanRequest()), best_for(desk, None)

    assert view.choice is not None
    assert best is not None
    assert view.candidates[view.choice].model == "tiny"
    assert best == planned(desk, "tiny")


def test_where_nothing_fits_well_there_is_no_best(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_tight_machine(monkeypatch)

    assert best_for(with_only_tiny(desk), None) is None


def test_the_best_is_not_known_where_the_hub_is_not_in_reach(
    desk: Desk, tmp_path: Path, hub: FakeHub
) -> None:
    away = with_only_tiny(a_desk(tmp_path, hub, HF_ENDPOINT="http://127.0.0.1:9"))
    offline = a_desk(tmp_path, hub, HF_HUB_OFFLINE="1")

    for desk_ in (away, offline):
        with pytest.raises(NoNetwork):
            best_for(desk_, None)


def test_without_a_name_there_is_nothing_to_pull(desk: Desk) -> None:
    with pytest.raises(ModelNotFound, match="No model was named"):
        planned(desk, None)


def test_where_the_catalog_knows_too_little_one_header_of_the_hub_stands_for_all(
    desk: Desk,
) -> None:
    own = desk.paths.config_file.parent / "models" / "tiny.toml"
    own.write_text(own.read_text().replace("block_count = 2\n", ""))

    view, plan = show_plan(desk, PlanRequest(model="tiny")), planned(desk, "tiny")

    assert view.choice is not None
    assert view.candidates[view.choice].quant == plan.quant == "Q8_0"
