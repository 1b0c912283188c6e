"""Before a pull it is known whether there is room for it, and what could go if there is not."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from localllm.errors import NoSpace
from localllm.store import room
from localllm.store.job import PullJob
from localllm.store.repository import RepositoryFile
from localllm.store.room import require_room
from tests.unit.store.a_cache import MAIN, ACache

MIB, DAY_S = 1 << 20, 86_400.0
JOB = PullJob("me/New-GGUF", MAIN, (RepositoryFile("new-Q4_0.gguf", 10 * MIB, "a" * 64),))


@pytest.fixture
def cache(tmp_path: Path) -> ACache:
    return ACache(tmp_path / "hub")


def lacks(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Have a disk that has so many bytes too few for the job."""
    monkeypatch.setattr(room, "lacking_bytes", lambda _, needed: needed - 10 * MIB + count)


def ask(cache: ACache) -> None:
    require_room(JOB, cache.environment, cache.folder / "nowhere", list)


def fix(cache: ACache) -> str:
    with pytest.raises(NoSpace) as caught:
        ask(cache)
    return caught.value.fix


def put(cache: ACache, name: str, count: int, *, unused_s: float) -> None:
    used = time.time() - unused_s
    cache.put(f"me/{name}", {f"{name}-Q4_0.gguf": os.urandom(count)}, used=used)


def left(cache: ACache, name: str, count: int, *, age_s: float = 9 * DAY_S) -> Path:
    cache.repository(JOB.repo).make()
    file = cache.repository(JOB.repo).blob(name)
    file.write_bytes(os.urandom(count))
    os.utime(file, (time.time() - age_s,) * 2)
    return file


def test_where_there_is_room_nothing_is_read(
    cache: ACache, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacks(monkeypatch, 0)
    monkeypatch.setattr(room, "read_inventory", None)

    ask(cache)


def test_where_no_removal_makes_the_room_it_says_so(
    cache: ACache, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(cache, "Small", MIB, unused_s=DAY_S)
    lacks(monkeypatch, 2 * MIB)

    said = fix(cache)

    assert "no removal here makes room enough" in said
    assert "localllm rm" not in said


def test_models_are_named_the_longest_unused_first_and_no_more_than_it_takes(
    cache: ACache, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, days in (("Used", 1), ("Old", 40), ("Older", 90)):
        put(cache, name, 2 * MIB, unused_s=days * DAY_S)
    lacks(monkeypatch, 3 * MIB)

    assert fix(cache) == (
        "localllm rm hf:me/Older:Q4_0 (frees 2 MiB, not used for 90 d), "
        "localllm rm hf:me/Old:Q4_0 (frees 2 MiB, not used for 40 d)"
    )


def test_what_gc_frees_comes_before_any_model(
    cache: ACache, monkeypatch: pytest.MonkeyPatch
) -> None:
    left(cache, "b" * 64 + ".part", 2 * MIB)
    left(cache, "c" * 64 + ".part", 8 * MIB, age_s=60.0)  # which gc leaves for a day
    put(cache, "Old", 2 * MIB, unused_s=40 * DAY_S)

    lacks(monkeypatch, 2 * MIB)
    alone = fix(cache)
    lacks(monkeypatch, 3 * MIB)

    assert alone == "localllm gc (frees 2 MiB)"
    assert fix(cache).startswith("localllm gc (frees 2 MiB), localllm rm hf:me/Old:Q4_0 (")


def test_what_the_job_has_in_quarantine_is_room_and_its_half_is_no_leftover(
    cache: ACache, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = left(cache, "a" * 64 + ".quarantined", 2 * MIB)
    lacks(monkeypatch, 2 * MIB)
    ask(cache)
    assert bad.exists(), "who only looks removes nothing"
    left(cache, "a" * 64 + ".part", 2 * MIB)
    lacks(monkeypatch, 6 * MIB)

    assert "no removal" in fix(cache)


def test_names_that_others_wrote_are_fit_for_a_terminal(
    cache: ACache, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(cache, "Old\x1b[31m", 2 * MIB, unused_s=40 * DAY_S)
    lacks(monkeypatch, MIB)

    assert fix(cache).isprintable()
