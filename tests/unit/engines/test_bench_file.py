"""What a bench leaves for the next plan, on disk."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from localllm.engines.bench_file import Benched, read_benched, read_speeds, write_benched


def a_bench(engine: str = "xllamacpp", decode_tps: float = 40.0, **more: Any) -> Benched:
    plain: dict[str, Any] = {
        "version": "2026.10",
        "device": "processor",
        "model": "smollm2",
        "prefill_tps": 400.0,
        "at": 1.0,
    }
    return Benched(engine=engine, decode_tps=decode_tps, **{**plain, **more})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "bench.json"


def test_what_is_written_is_read_and_nothing_else_is_left(file: Path) -> None:
    benched = [a_bench(), a_bench("mlx", 30.5, version=None)]

    write_benched(file, benched)

    assert read_benched(file) == tuple(benched)
    assert read_speeds(file) == {"xllamacpp": 40.0, "mlx": 30.5}
    assert list(file.parent.iterdir()) == [file]
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_a_bench_takes_the_place_of_the_last(file: Path) -> None:
    write_benched(file, [a_bench("mlx"), a_bench()])
    write_benched(file, [a_bench(decode_tps=50.0)])

    assert read_speeds(file) == {"xllamacpp": 50.0}


def test_a_bench_of_nothing_says_nothing(file: Path) -> None:
    write_benched(file, [])

    assert read_benched(file) == ()


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"{",
        b"[]",
        b'{"format": 2, "benched": []}',
        b'{"format": 1, "benched": [{"engine": "xllamacpp"}]}',
        b'{"format": 1, "benched": "none"}',
        b"\xff\xfe",
    ],
)
def test_a_file_that_is_missing_or_foreign_says_nothing(file: Path, content: bytes | None) -> None:
    file.parent.mkdir()
    if content is not None:
        file.write_bytes(content)

    assert read_benched(file) == ()
    assert read_speeds(file) == {}


def test_what_a_newer_version_adds_is_passed_over(file: Path) -> None:
    write_benched(file, [a_bench()])
    text = file.read_text()
    file.write_text(text.replace('"engine"', '"watts":300,"engine"'))

    assert read_benched(file) == (a_bench(),)


def test_a_file_of_a_newer_format_is_not_taken_for_ours(file: Path) -> None:
    write_benched(file, [a_bench()])
    file.write_text(file.read_text().replace('"format":1', '"format":2'))

    assert read_benched(file) == ()
