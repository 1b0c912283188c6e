"""A file that is read ahead is in the page cache, up to the limit, for as long as it is wanted."""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
from itertools import chain, count, repeat
from pathlib import Path

import pytest

from localllm.supervisor.read_ahead import read_ahead

MIB = 1 << 20
ON_LINUX = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux drops the pages of one file when asked to"
)


def a_file(path: Path, mib: int) -> Path:
    path.write_bytes(os.urandom(mib * MIB))
    return path


def let_go(file: Path) -> None:
    """Have the kernel drop its pages of `file`: they are on the disk by then."""
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
        if sys.platform == "linux":
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def cached_bytes(file: Path) -> int:
    """Bytes of `file` that are in the page cache, by pages."""
    with (
        file.open("rb") as opened,
        mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_COPY) as pages,
    ):
        resident = (ctypes.c_ubyte * -(-len(pages) // mmap.PAGESIZE))()
        start = ctypes.c_char.from_buffer(pages)
        length = ctypes.c_size_t(len(pages))
        failed = ctypes.CDLL(None, use_errno=True).mincore(ctypes.byref(start), length, resident)
        del start  # a map that something points into cannot be closed
        assert not failed, os.strerror(ctypes.get_errno())
    return sum(page & 1 for page in bytes(resident)) * mmap.PAGESIZE


@pytest.fixture
def cold(tmp_path: Path) -> Path:
    file = a_file(tmp_path / "model.gguf", 24)
    let_go(file)
    if cached_bytes(file):
        pytest.skip("the temporary folder is in memory: no page of it can go")
    return file


@ON_LINUX
def test_a_cold_file_is_in_the_page_cache_afterwards(cold: Path) -> None:
    assert read_ahead([cold], 1 << 40, lambda: True) == 24 * MIB

    assert cached_bytes(cold) == 24 * MIB


@ON_LINUX
def test_what_lies_beyond_the_limit_stays_on_the_disk(cold: Path) -> None:
    assert read_ahead([cold], 6 * MIB, lambda: True) == 6 * MIB

    assert 6 * MIB <= cached_bytes(cold) < 24 * MIB, "the kernel may read on a little"


@pytest.mark.parametrize(
    ("limit_bytes", "expected_bytes"),
    [(0, 0), (-1, 0), (1, 1), (5 * MIB + 1, 5 * MIB + 1), (9 * MIB, 8 * MIB)],
)
def test_the_limit_is_for_all_files_together(
    tmp_path: Path, limit_bytes: int, expected_bytes: int
) -> None:
    files = [a_file(tmp_path / "1", 3), a_file(tmp_path / "2", 5)]

    assert read_ahead(files, limit_bytes, lambda: True) == expected_bytes


@pytest.mark.parametrize(("yes", "expected_bytes"), [(0, 0), (1, 4 * MIB), (2, 8 * MIB)])
def test_it_ends_within_a_window_when_it_is_no_longer_wanted(
    tmp_path: Path, yes: int, expected_bytes: int
) -> None:
    file = a_file(tmp_path / "model.gguf", 12)
    wanted = chain(repeat(True, yes), repeat(False))

    assert read_ahead([file, file], 1 << 40, lambda: next(wanted)) == expected_bytes


def test_what_is_gone_or_is_no_file_is_passed_over(tmp_path: Path) -> None:
    file = a_file(tmp_path / "model.gguf", 1)

    assert read_ahead([tmp_path / "gone", tmp_path, file], 1 << 40, lambda: True) == MIB


def test_a_file_that_is_cut_off_halfway_counts_as_far_as_it_was_read(tmp_path: Path) -> None:
    file, other = a_file(tmp_path / "1", 12), a_file(tmp_path / "2", 1)
    windows = count()

    def cut_after_the_first_window() -> bool:
        if next(windows) == 1:
            os.truncate(file, 4 * MIB)
        return True

    assert read_ahead([file, other], 1 << 40, cut_after_the_first_window) == 5 * MIB
