"""The end of a log, and what comes after it."""

from __future__ import annotations

from pathlib import Path

import pytest

from localllm.service.log_tail import follow, read_tail


@pytest.mark.parametrize(
    ("content", "lines", "tail"),
    [
        (b"", 3, b""),
        (b"a\nb\nc\n", 2, b"b\nc\n"),
        (b"a\nb\nc\n", 9, b"a\nb\nc\n"),
        (b"a\nb\nhalf", 2, b"b\nhalf"),
        (b"x" * 200_000 + b"\n" + b"y" * 100_000 + b"\n", 1, b"y" * 100_000 + b"\n"),
    ],
)
def test_the_last_lines_are_read(tmp_path: Path, content: bytes, lines: int, tail: bytes) -> None:
    file = tmp_path / "log"
    file.write_bytes(content)

    assert read_tail(file, lines) == (tail, len(content))


def test_what_is_written_later_follows_also_after_a_cut_and_a_time_without_a_file(
    tmp_path: Path,
) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"before\n")
    _, place = read_tail(file, 1)
    happens = iter(
        [
            lambda: file.write_bytes(b"before\nafter\n"),
            lambda: file.write_bytes(b"cut\n"),
            file.unlink,
            lambda: file.write_bytes(b"new\n"),
        ]
    )

    seen = follow(file, place, pause=lambda _s: next(happens)())

    assert [next(seen) for _ in range(3)] == [b"after\n", b"cut\n", b"new\n"]
