"""Runs on disk: found again, left alone where they are not ours to read."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from localllm.bench.errors import NoSuchRun
from localllm.bench.saved import find_last, find_run, read_runs, run_id, save
from tests.unit.bench.a_bench import MACHINE, MODEL, point, run


def test_what_is_saved_is_read_again_the_newest_first(tmp_path: Path) -> None:
    folder = tmp_path / "benches"
    first = save(folder, run("first", at=1.0))
    second = save(folder, run("second", at=2.0))

    assert list(read_runs(folder).views) == [second, first]
    assert first.saved == str(folder / "first.json")
    assert [file.name for file in folder.iterdir() if file.suffix != ".json"] == []


def test_no_folder_has_no_runs(tmp_path: Path) -> None:
    assert read_runs(tmp_path / "none").views == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b'{"format": 2, "id": []}', "written by a newer localllm"),
        (b'{"format": 1}', "missing required field"),
        (b"half", "no version"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_and_left(
    tmp_path: Path, text: bytes, why: str
) -> None:
    save(tmp_path, run("good"))
    (tmp_path / "odd.json").write_bytes(text)

    runs = read_runs(tmp_path)

    assert [view.id for view in runs.views] == ["good"]
    assert len(runs.left_out) == 1
    assert why in runs.left_out[0]
    assert (tmp_path / "odd.json").read_bytes() == text


def test_a_file_that_no_bench_can_have_written_is_not_read_at_all(tmp_path: Path) -> None:
    with (tmp_path / "huge.json").open("wb") as file:
        file.truncate(1 << 40)

    assert "longer than any bench" in read_runs(tmp_path).left_out[0]


def test_the_last_run_is_of_the_same_model_on_the_same_machine(tmp_path: Path) -> None:
    other = msgspec.structs.replace(MODEL, id="other")
    more_memory = msgspec.structs.replace(MACHINE, cores=64)
    other_lengths = [point(prompt=7)]
    newer_engine = msgspec.structs.replace(MODEL, engine_version="b2")
    for view in (
        run("same", at=1.0, model=newer_engine),
        run("elsewhere", at=2.0, machine=more_memory),
        run("another", at=3.0, model=other),
        run("nothing alike", other_lengths, at=3.5),
    ):
        save(tmp_path, view)

    found = find_last(read_runs(tmp_path), run("now", at=4.0))

    assert found is not None
    assert found.id == "same"
    assert find_last(read_runs(tmp_path), run("same", at=1.0)) is None


def test_a_run_is_found_by_the_begin_of_its_name(tmp_path: Path) -> None:
    save(tmp_path, run("2026-a"))
    save(tmp_path, run("2025-b"))
    runs = read_runs(tmp_path)

    assert find_run(runs, "2025").id == "2025-b"
    for name in ("20", "x"):
        with pytest.raises(NoSuchRun) as missed:
            find_run(runs, name)
        assert missed.value.exit_code == 5


def test_a_runs_name_is_a_files_name() -> None:
    assert run_id("../a model:Q4", 0.0) == "19700101T000000.000-..-a-model-Q4"


def test_the_oldest_go_but_none_that_this_version_cannot_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("localllm.bench.saved.MOST_KEPT", 2)
    others = {
        "19700101T000000.000-newer.json": b'{"format": 99}',
        "19700101T000000.000-odd.json": b"half",
        "mine.json": b"{}",
    }
    for name, content in others.items():
        (tmp_path / name).write_bytes(content)

    for at in (1.0, 2.0, 3.0, 4.0):
        save(tmp_path, run(run_id("m", at), at=at))

    assert [view.at for view in read_runs(tmp_path).views] == [4.0, 3.0]
    for name, content in others.items():
        assert (tmp_path / name).read_bytes() == content
