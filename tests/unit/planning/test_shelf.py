"""What `ls`, `rm`, `gc` and `verify` answer."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec
import pytest
from filelock import FileLock

from localllm.api.store_views import OnDiskView, RemovedView, StoreView, TidyRequest
from localllm.config.current import Current
from localllm.config.settings import Settings
from localllm.errors import InUse, LocalLLMError, ModelNotFound
from localllm.paths import bundled_profiles, paths_for
from localllm.planning.desk import Desk
from localllm.planning.engine_desk import EngineDesk
from localllm.planning.shelf import models_here, remove_model, show_store, verify
from localllm.planning.tidying import Spared, tidy
from tests.unit.formats.a_gguf import a_file, a_header
from tests.unit.planning.a_machine import GIB, a_machine, a_survey
from tests.unit.store.a_cache import OLD, ACache, contents, etag_of
from tests.unit.store.a_safetensors import CONFIG, a_safetensors

REPO, OTHER = "me/Small-GGUF", "you/Other-GGUF"
Q4, Q8 = "small-Q4_K_M.gguf", "small-Q8_0.gguf"
NAME4, NAME8 = f"hf:{REPO}:Q4_K_M", f"hf:{REPO}:Q8_0"
NOBODY: frozenset[Path] = frozenset()
DAY_S = 86400.0


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ACache:
    monkeypatch.setenv("HOME", str(tmp_path))
    return ACache(tmp_path / "hub")


@pytest.fixture
def desk(cache: ACache, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """With a machine of 32 GiB and an engine, and without the model that a package here carries."""
    monkeypatch.setattr("localllm.store.inventory.find_embedded", lambda *_: None)
    home = cache.folder.parent
    environment = {**cache.environment, "LOCALLLM_HOME": str(home / "ours")}
    monkeypatch.setattr(Desk, "survey", lambda *_, **__: a_survey(a_machine(usable=32 * GIB)))
    return Desk(
        Current.of(Settings(allow_cpu=True)),
        paths_for(environment),
        environment,
        bundled_profiles(),
    )


def quiet(_path: str, _done: int, _size: int) -> None:
    """Who asks does not want to hear."""


def by_name(view: StoreView) -> dict[str, OnDiskView]:
    return {model.name: model for model in view.models}


def real(cache: ACache, repo: str, path: str, data: bytes) -> Path:
    """Where an engine has it open."""
    return Path(os.path.realpath(cache.repository(repo).blob(etag_of(path, data))))


def half(cache: ACache, *, age_s: float, name: str = "e" * 64 + ".part") -> Path:
    cache.repository(REPO).make()
    file = cache.repository(REPO).blob(name)
    file.write_bytes(b"half")
    os.utime(file, (time.time() - age_s, time.time() - age_s))
    return file


def put(cache: ACache, repo: str, path: str, data: bytes, *, unused_s: float) -> None:
    cache.put(repo, {path: data}, used=time.time() - unused_s)


def put_lm_studio(cache: ACache) -> Path:
    file = cache.folder.parent / ".lmstudio" / "models" / "lm" / "Studio-GGUF" / Q4
    file.parent.mkdir(parents=True)
    file.write_bytes(b"GGUF")
    return file


def test_without_a_cache_there_is_nothing_and_the_disk_is_told_of(desk: Desk) -> None:
    view = show_store(desk, NOBODY, fit=True)

    assert (view.models, view.leftovers) == ([], [])
    assert view.free > 0


def test_models_and_leftovers_are_listed_and_what_is_served_is_marked(
    desk: Desk, cache: ACache
) -> None:
    cache.put(REPO, {Q4: b"four", Q8: b"eight", "mmproj-F16.gguf": b"see"})
    left = half(cache, age_s=5)
    served = {real(cache, REPO, Q4, b"four"), real(cache, REPO, "mmproj-F16.gguf", b"see")}

    view = show_store(desk, frozenset(served), fit=False)

    assert {name: model.served for name, model in by_name(view).items()} == {
        NAME4: True,
        NAME8: False,
    }
    assert [one.path for one in view.leftovers] == [str(left)]
    assert {model.verdict for model in view.models} == {None}
    assert view.cache == str(cache.folder)


def test_a_folder_is_served_when_a_file_of_it_is_open_or_it_itself(
    desk: Desk, cache: ACache
) -> None:
    snapshot = cache.put("a/mlx", {"config.json": b"{}", "model.safetensors": b"w"})

    for place in (snapshot, snapshot / "model.safetensors"):
        view = show_store(desk, frozenset({Path(os.path.realpath(place))}), fit=False)
        assert [model.served for model in view.models] == [True]


def test_absurd_names_can_be_sent_and_shown(desk: Desk, cache: ACache) -> None:
    cache.put("a/b", {"x\x1b[31m-Q4_0.gguf": b"x"})
    (cache.repository("a/b").blobs / os.fsdecode(b"\xff\x1b.part")).write_bytes(b"half")

    view = show_store(desk, NOBODY, fit=True)

    text = msgspec.json.encode(view).decode()
    assert "\\u001b" not in text
    assert len(view.models) == len(view.leftovers) == 1


def test_each_model_has_a_verdict_and_one_broken_file_spoils_no_other(
    desk: Desk, cache: ACache
) -> None:
    cache.put("a/good", {"good-F32.gguf": a_file(a_header())})
    cache.put("a/bad", {"bad-F32.gguf": b"no model"})
    cache.put("a/half", {"half-Q4_0-00001-of-00002.gguf": b"x"})
    cache.put("a/other", {"config.json": CONFIG, "model.safetensors": a_safetensors(w=(2, 2))})

    found = by_name(show_store(desk, NOBODY, fit=True))

    assert found["hf:a/good:F32"].verdict == "fits"
    assert found["hf:a/good:F32"].reason
    for name, says in (
        ("hf:a/bad:F32", "bad-F32.gguf"),
        ("hf:a/half:Q4_0", "missing"),
        ("hf:a/other", "safetensors"),
    ):
        assert found[name].verdict is None
        assert says in (found[name].reason or "")


def test_what_does_not_fit_says_so(
    desk: Desk, cache: ACache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.put("a/good", {"good-F32.gguf": a_file(a_header())})
    monkeypatch.setattr(Desk, "survey", lambda *_, **__: a_survey(a_machine(usable=1 << 20)))

    (found,) = show_store(desk, NOBODY, fit=True).models

    assert found.verdict == "too_big"
    assert found.reason


def test_where_no_engine_can_be_asked_the_list_is_there_all_the_same(
    desk: Desk, cache: ACache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.put("a/good", {"good-F32.gguf": a_file(a_header())})

    def refuse(*_: object) -> None:
        raise LocalLLMError("No engine.", why="none is here", fix="install one")

    monkeypatch.setattr(EngineDesk, "choices_or_say", refuse)
    (found,) = show_store(desk, NOBODY, fit=True).models

    assert (found.verdict, found.reason) == (None, "No engine. none is here.")


def test_a_header_is_read_again_only_when_its_file_has_changed(desk: Desk, cache: ACache) -> None:
    snapshot = cache.put("a/good", {"good-F32.gguf": a_file(a_header())}, used=1000.0)
    blob = snapshot.joinpath("good-F32.gguf").resolve()
    before = show_store(desk, NOBODY, fit=True).models[0]
    found = blob.stat()
    blob.write_bytes(b"x" * found.st_size)
    os.utime(blob, ns=(found.st_mtime_ns, found.st_mtime_ns))

    same = show_store(desk, NOBODY, fit=True).models[0]
    os.utime(blob, (2000.0, 2000.0))
    changed = show_store(desk, NOBODY, fit=True).models[0]

    assert same.verdict == before.verdict == "fits"
    assert changed.verdict is None


@pytest.mark.parametrize(
    "name",
    [NAME4, f"{REPO}:q4_k_m", f"hf:{REPO}:small-Q4_K_M", "PATH"],
)
def test_a_model_is_removed_by_any_of_its_names(desk: Desk, cache: ACache, name: str) -> None:
    snapshot = cache.put(REPO, {Q4: b"four", Q8: b"eight"})

    view = remove_model(desk, str(snapshot / Q4) if name == "PATH" else name, NOBODY)

    assert view == RemovedView(removed=[NAME4], freed=4, kept=[])
    assert cache.scan() == {REPO: {f"a/{Q8}"}}


def test_a_repository_alone_means_its_model_and_several_are_asked_about(
    desk: Desk, cache: ACache
) -> None:
    cache.put(REPO, {Q4: b"four", Q8: b"eight"})
    cache.put(OTHER, {Q4: b"four"})

    with pytest.raises(ModelNotFound) as several:
        remove_model(desk, REPO, NOBODY)
    view = remove_model(desk, f"hf:{OTHER}", NOBODY)

    assert NAME4 in several.value.why
    assert NAME8 in several.value.why
    assert view.removed == [f"hf:{OTHER}:Q4_K_M"]


def test_the_catalogs_names_and_aliases_mean_what_it_lists(desk: Desk, cache: ACache) -> None:
    profile = next(p for p in desk.catalog() if p.aliases and p.repositories)
    repo = profile.repositories[0].repo
    quants = [variant.quant for variant in profile.repositories[0].variants][:2]
    cache.put(repo, {f"x-{quant}.gguf": quant.encode() for quant in quants})
    first, second = (f"{profile.id}:{quant}" for quant in quants)

    listed = set(by_name(show_store(desk, NOBODY, fit=False)))
    with pytest.raises(ModelNotFound):
        remove_model(desk, profile.id, NOBODY)
    by_alias = remove_model(desk, f"{profile.aliases[0]}:{quants[0].lower()}", NOBODY)
    alone = remove_model(desk, profile.aliases[0], NOBODY)

    assert listed == {first, second}
    assert by_alias.removed == [first]
    assert alone.removed == [profile.id]
    assert cache.scan() == {}


def test_every_name_that_is_listed_is_served_from_the_path_that_is_listed(
    desk: Desk, cache: ACache
) -> None:
    cache.put(REPO, {Q4: b"old", Q8: b"eight"}, OLD, ref=None)
    cache.put(REPO, {Q4: b"new", Q8: b"eight"})
    put_lm_studio(cache)
    cache.put("lm/Studio-GGUF", {Q4: b"GGUF"})
    for repo, config in (("a/mlx", b'{"quantization":{}}'), ("a/plain", b"{}")):
        cache.put(repo, {"config.json": config, "model.safetensors": b"w"})
    cache.put(
        "a/sets", {"Q8_0/x-Q8_0-00001-of-00002.gguf": b"1", "Q8_0/x-Q8_0-00002-of-00002.gguf": b"2"}
    )

    models = show_store(desk, NOBODY, fit=False).models

    assert len(models) == 8
    for model in models:
        assert str(desk.find(model.name).file) == model.path


def test_one_revision_can_be_named_by_the_beginning_of_its_commit(
    desk: Desk, cache: ACache
) -> None:
    cache.put(REPO, {Q4: b"four"}, OLD, ref=None)
    cache.put(REPO, {Q4: b"four", Q8: b"new"})
    cache.put(REPO, {Q8: b"old"}, OLD, ref=None)

    same = remove_model(desk, f"{NAME4}@{OLD[:8]}", NOBODY)
    other = remove_model(desk, f"{NAME8}@{OLD[:8]}", NOBODY)

    assert (same.removed, same.freed) == ([f"{NAME4}@{OLD}"], 0)
    assert (other.removed, other.freed) == ([f"{NAME8}@{OLD}"], 3)
    assert cache.scan() == {REPO: {f"a/{Q4}", f"a/{Q8}"}}


@pytest.mark.parametrize("name", ["nobody/Knows", "x", f"{NAME4}@{'d' * 40}", "", "../..", "/"])
def test_what_is_not_here_is_not_found(desk: Desk, cache: ACache, name: str) -> None:
    cache.put(REPO, {Q4: b"four"})
    before = contents(cache.folder)

    with pytest.raises(ModelNotFound):
        remove_model(desk, name, NOBODY)

    assert contents(cache.folder) == before


def test_what_is_served_stays_and_its_neighbour_goes(desk: Desk, cache: ACache) -> None:
    cache.put(REPO, {Q4: b"four", Q8: b"eight", "mmproj-F16.gguf": b"see"})
    served = frozenset(
        {real(cache, REPO, Q4, b"four"), real(cache, REPO, "mmproj-F16.gguf", b"see")}
    )

    with pytest.raises(InUse) as caught:
        remove_model(desk, NAME4, served)
    remove_model(desk, NAME8, served)

    assert (caught.value.http_status, caught.value.exit_code) == (409, 1)
    assert "localllm stop" in caught.value.fix
    assert cache.scan() == {REPO: {f"a/{Q4}", "a/mmproj-F16.gguf"}}


def test_another_programs_model_stays_and_its_own_command_is_told(
    desk: Desk, cache: ACache
) -> None:
    file = put_lm_studio(cache)

    with pytest.raises(LocalLLMError) as caught:
        remove_model(desk, "hf:lm/Studio-GGUF:Q4_K_M", NOBODY)

    assert "LM Studio" in caught.value.fix
    assert file.exists()


def test_what_stays_beside_it_is_told(desk: Desk, cache: ACache) -> None:
    cache.put(REPO, {"config.json": b"{}", "model.safetensors": b"w", "pytorch_model.bin": b"x"})

    view = remove_model(desk, REPO, NOBODY)

    assert view.freed == 1
    assert "pytorch_model.bin" in view.kept[0]


def ask(**more: object) -> TidyRequest:
    return TidyRequest(**more)  # type: ignore[arg-type]


def test_tidying_takes_leftovers_and_no_model(desk: Desk, cache: ACache) -> None:
    put(cache, REPO, Q4, b"four", unused_s=900 * DAY_S)
    old, torn = (
        half(cache, age_s=2 * DAY_S),
        half(cache, age_s=3600, name="d" * 64 + ".quarantined"),
    )

    view = tidy(desk, ask(), NOBODY)

    assert set(view.removed) == {str(old), str(torn)}
    assert (view.freed, view.kept) == (8, [])
    assert cache.scan() == {REPO: {f"a/{Q4}"}}


@pytest.mark.parametrize(
    ("older_than", "goes"), [(None, False), (30 * DAY_S, False), (1800.0, True), (0.0, True)]
)
def test_a_half_goes_after_a_day_or_sooner_where_that_is_asked(
    desk: Desk, cache: ACache, older_than: float | None, goes: bool
) -> None:
    file = half(cache, age_s=3600)

    view = tidy(desk, ask(older_than=older_than), NOBODY)

    assert file.exists() is not goes
    assert len(view.kept) == (not goes)


def test_a_half_of_a_paused_pull_stays_however_old(desk: Desk, cache: ACache) -> None:
    file = half(cache, age_s=90 * DAY_S)

    view = tidy(desk, ask(older_than=0), NOBODY, Spared(pulling=frozenset({REPO})))

    assert file.exists()
    assert "has not ended" in view.kept[0]


def test_models_that_were_not_used_for_so_long_go(desk: Desk, cache: ACache) -> None:
    put(cache, REPO, Q4, b"four", unused_s=40 * DAY_S)
    put(cache, REPO, Q8, b"eight", unused_s=20 * DAY_S)
    file = put_lm_studio(cache)
    os.utime(file, (1000.0, 1000.0))

    view = tidy(desk, ask(older_than=30 * DAY_S), NOBODY)

    assert view == RemovedView(removed=[NAME4], freed=4, kept=[])
    assert cache.scan() == {REPO: {f"a/{Q8}"}}
    assert file.exists()


def test_what_is_served_pinned_used_or_pulled_stays_and_it_is_said_why(
    desk: Desk, cache: ACache
) -> None:
    names = ["served", "pinned", "used", "gone"]
    for name in names:
        put(cache, f"a/{name}", f"{name}-Q4_0.gguf", name.encode(), unused_s=40 * DAY_S)
    put(cache, "a/pulled", "pulled-Q4_0.gguf", b"pulled", unused_s=40 * DAY_S)
    served = frozenset({real(cache, "a/served", "served-Q4_0.gguf", b"served")})
    spared = Spared(
        pinned=frozenset({"pinned-q4_0"}),
        used={"used-q4_0": time.time() - DAY_S},
        pulling=frozenset({"a/pulled"}),
    )

    view = tidy(desk, ask(older_than=30 * DAY_S), served, spared)

    assert view.removed == ["hf:a/gone:Q4_0"]
    assert len(view.kept) == 3
    assert [
        word for why in view.kept for word in ("served.", "pinned.", "pull") if word in why
    ] == [
        "pinned.",
        "pull",
        "served.",
    ]


def test_a_model_that_the_catalog_knows_is_pinned_by_its_files_name_too(
    desk: Desk, cache: ACache
) -> None:
    profile, listed = next(
        (p, r)
        for p in desk.catalog()
        for r in p.repositories
        if any(v.quant == "Q4_K_M" for v in r.variants)
    )
    put(cache, listed.repo, "its-Q4_K_M.gguf", b"four", unused_s=40 * DAY_S)
    pins = (profile.id, "its-q4_k_m")

    views = [
        tidy(desk, ask(older_than=DAY_S, dry_run=True), NOBODY, Spared(pinned=frozenset({pin})))
        for pin in pins
    ]

    assert [one.profile for one in models_here(desk)] == [profile.id]
    assert [view.removed for view in views] == [[], []]
    assert all("pinned" in view.kept[0] for view in views)


@pytest.mark.parametrize("dry_run", [False, True])
def test_what_is_part_of_a_pull_that_runs_elsewhere_stays(
    desk: Desk, cache: ACache, dry_run: bool
) -> None:
    put(cache, REPO, Q4, b"four", unused_s=40 * DAY_S)
    lock = cache.repository(REPO).lock("e" * 64)
    lock.parent.mkdir(parents=True)

    with FileLock(lock):
        view = tidy(desk, ask(older_than=30 * DAY_S, dry_run=dry_run), NOBODY)

    assert view.removed == []
    assert "a program holds the lock" in view.kept[0]
    assert cache.fetched(REPO, Q4) == b"four"


def test_where_the_disk_does_not_note_reading_nothing_goes_for_its_age(
    desk: Desk, cache: ACache, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(cache, REPO, Q4, b"four", unused_s=40 * DAY_S)
    monkeypatch.setattr("localllm.store.inventory._is_use_noted", lambda _: False)

    view = tidy(desk, ask(older_than=30 * DAY_S), NOBODY)

    assert view.removed == []
    assert "does not note it" in view.kept[0]


def test_the_longest_unused_go_until_the_rest_fits(desk: Desk, cache: ACache) -> None:
    for days, name in enumerate(["newest", "middle", "oldest"], 1):
        data = name.encode() * 100
        put(cache, f"a/{name}", f"{name}-Q4_0.gguf", data, unused_s=days * DAY_S)

    view = tidy(desk, ask(max_size=1200), NOBODY)

    assert view == RemovedView(removed=["hf:a/oldest:Q4_0"], freed=600, kept=[])


def test_where_what_stays_is_too_large_it_is_said(desk: Desk, cache: ACache) -> None:
    cache.put(REPO, {Q4: b"four", Q8: b"eight"})
    served = frozenset({real(cache, REPO, Q4, b"four")})

    view = tidy(desk, ask(max_size=1), served)

    assert view.removed == [NAME8]
    assert len(view.kept) == 2
    assert "asked for" in view.kept[-1]


def test_a_trial_says_what_would_go_and_removes_nothing(desk: Desk, cache: ACache) -> None:
    put(cache, REPO, Q4, b"four", unused_s=40 * DAY_S)
    put(cache, REPO, Q8, b"eight", unused_s=1 * DAY_S)
    half(cache, age_s=2 * DAY_S)
    before = contents(cache.folder)
    request = ask(older_than=30 * DAY_S, max_size=4, dry_run=True)

    trial = tidy(desk, request, NOBODY)
    unchanged = contents(cache.folder) == before
    done = tidy(desk, msgspec.structs.replace(request, dry_run=False), NOBODY)

    assert unchanged
    assert set(trial.removed) == set(done.removed)
    assert len(trial.removed) == 3
    assert trial.freed == done.freed == 13


def test_checking_tells_of_each_file_once_and_sets_aside_what_is_damaged(
    desk: Desk, cache: ACache
) -> None:
    cache.put(REPO, {Q4: b"four", Q8: b"eight"})
    blob = cache.repository(REPO).blob(etag_of(Q4, b"four"))
    blob.write_bytes(b"fore")
    put_lm_studio(cache)
    told: list[str] = []

    view = verify(desk, None, lambda path, _done, _size: told.append(path))

    outcomes = {(file.model, file.outcome) for file in view.files}
    assert outcomes == {
        (NAME4, "damaged"),
        (NAME8, "good"),
        ("hf:lm/Studio-GGUF:Q4_K_M", "unknown"),
    }
    damaged = next(file for file in view.files if file.outcome == "damaged")
    assert "set aside" in (damaged.why or "")
    assert len(told) == 2
    assert cache.scan() == {REPO: {f"a/{Q8}"}}


def test_one_model_can_be_checked_alone(desk: Desk, cache: ACache) -> None:
    cache.put(REPO, {Q4: b"four", Q8: b"eight"})

    view = verify(desk, NAME4, quiet)

    assert [(file.model, file.outcome, file.why) for file in view.files] == [(NAME4, "good", None)]
