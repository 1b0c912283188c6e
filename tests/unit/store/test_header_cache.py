"""What was fetched once stays, whole, private, and within bounds."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from localllm.formats.gguf import parse_gguf
from localllm.formats.header import Header
from localllm.store import header_cache
from localllm.store.header_cache import HeaderCache
from localllm.store.repository import Repository, RepositoryFile
from tests.unit.formats.a_gguf import PLAIN, a_file, a_header

LISTING = Repository("me/tiny", "hub", "c" * 40, (RepositoryFile("a.gguf", 5, "f" * 64),), "mlx")


@pytest.fixture
def cache(tmp_path: Path) -> HeaderCache:
    return HeaderCache(tmp_path / "deep" / "cache")


def parsed() -> Header:
    keys = {**PLAIN, "llama.rope.scaling": 2.0, "llama.flag": True, "llama.attention.heads": [1, 2]}
    data = a_file(a_header(keys))
    return parse_gguf(data, file_bytes=len(data))


def test_all_that_was_written_is_read_back_equal(cache: HeaderCache) -> None:
    header = parsed()
    cache.write_repository("k", LISTING)
    cache.write_parsed("k", header)
    cache.write_head("k", b"GGUF")

    assert cache.read_repository("k") == LISTING
    assert cache.read_parsed("k", Header) == header
    assert cache.read_head("k") == b"GGUF"


def test_an_empty_cache_has_nothing_and_reading_it_creates_nothing(cache: HeaderCache) -> None:
    assert cache.read_repository("k") is None
    assert cache.read_parsed("k", Header) is None
    assert cache.read_head("k") == b""
    assert not cache.folder.exists()


def test_nobody_else_can_read_it(cache: HeaderCache) -> None:
    cache.write_head("k", b"GGUF")

    (file,) = cache.folder.iterdir()
    assert stat.S_IMODE(cache.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("keep", [0, 1, 40, -1])
def test_an_entry_that_is_cut_short_is_none(cache: HeaderCache, keep: int) -> None:
    cache.write_head("k", b"GGUF")
    (file,) = cache.folder.iterdir()
    file.write_bytes(file.read_bytes()[:keep])

    assert cache.read_head("k") == b""


def test_an_entry_in_which_one_byte_changed_is_none(cache: HeaderCache) -> None:
    cache.write_head("k", b"GGUF" * 100)
    (file,) = cache.folder.iterdir()
    file.write_bytes(file.read_bytes()[:-1] + b"X")

    assert cache.read_head("k") == b""


def test_an_entry_under_anothers_name_is_none(cache: HeaderCache) -> None:
    cache.write_head("a", b"GGUF")
    cache.write_head("b", b"OTHER")
    a, b = sorted(cache.folder.iterdir(), key=lambda file: file.stat().st_size)
    b.write_bytes(a.read_bytes())

    assert cache.read_head("b") == b""


def test_another_version_parses_anew_but_does_not_fetch_anew(
    cache: HeaderCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.write_parsed("k", parsed())
    cache.write_head("k", b"GGUF")

    monkeypatch.setattr(header_cache, "__version__", "99")

    assert cache.read_parsed("k", Header) is None
    assert cache.read_head("k") == b"GGUF"


def test_another_format_of_the_cache_is_as_good_as_none(
    cache: HeaderCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.write_head("k", b"GGUF")

    monkeypatch.setattr(header_cache, "FORMAT", 99)

    assert cache.read_head("k") == b""


def test_what_was_not_used_for_longest_goes_first(cache: HeaderCache) -> None:
    cache = HeaderCache(cache.folder, max_bytes=3500)
    for age, key in enumerate("abc"):
        cache.write_head(key, key.encode() * 1000)
        file = max(cache.folder.iterdir(), key=lambda f: f.stat().st_ctime_ns)
        os.utime(file, (age, age))
    cache.read_head("a")

    cache.write_head("d", b"d" * 1000)

    assert [key for key in "abcd" if cache.read_head(key)] == ["a", "c", "d"]
    assert sum(f.stat().st_size for f in cache.folder.iterdir()) <= 3500


def test_a_folder_that_cannot_be_written_costs_the_cache_and_no_more(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("no folder")
    cache = HeaderCache(in_the_way / "cache")

    cache.write_head("k", b"GGUF")

    assert cache.read_head("k") == b""


def test_nothing_half_written_stays_behind(cache: HeaderCache) -> None:
    cache.write_head("k", b"GGUF")
    cache.write_head("k", b"GGUF, longer")

    assert len(list(cache.folder.iterdir())) == 1
    assert cache.read_head("k") == b"GGUF, longer"
