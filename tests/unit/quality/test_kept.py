"""Results on disk."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from localllm.quality import kept as kept_results
from localllm.quality.kept import earlier_of, keep, read_kept, result_of
from localllm.versioned import NewerFile
from tests.unit.quality.some_facts import a_subject, some_facts


def test_a_result_is_read_as_it_was_kept(tmp_path: Path) -> None:
    keep(tmp_path / "checks", some_facts(), "ok")

    (kept,) = read_kept(tmp_path / "checks")

    assert (kept.verdict, kept.facts) == ("ok", some_facts())


def test_the_same_again_takes_its_place(tmp_path: Path) -> None:
    keep(tmp_path, some_facts(at=1.0), "ok")
    keep(tmp_path, some_facts(at=2.0), "worse")

    assert [one.facts.at for one in read_kept(tmp_path)] == [2.0]


def test_what_a_newer_version_wrote_is_left_alone(tmp_path: Path) -> None:
    file = keep(tmp_path, some_facts(), "ok")
    newer = {**json.loads(file.read_bytes()), "format": 2, "facts": "unheard of"}
    file.write_text(json.dumps(newer))

    with pytest.raises(NewerFile):
        keep(tmp_path, some_facts(), "ok")

    assert read_kept(tmp_path) == []
    assert json.loads(file.read_bytes()) == newer


def test_a_broken_file_costs_no_other(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{")
    keep(tmp_path, some_facts(), "ok")

    assert len(read_kept(tmp_path)) == 1


def test_the_oldest_of_too_many_go(tmp_path: Path) -> None:
    for number in range(kept_results.KEPT + 3):
        file = keep(tmp_path, some_facts(a_subject(file=f"f{number}")), "ok")
        os.utime(file, (number, number))

    keep(tmp_path, some_facts(a_subject(file="last")), "ok")

    files = [one.facts.subject.file for one in read_kept(tmp_path)]
    assert len(files) == kept_results.KEPT
    assert files[0] == "last"
    assert "f0" not in files


def test_a_model_is_held_to_its_own_file_rather_than_to_another_quantization(
    tmp_path: Path,
) -> None:
    keep(tmp_path, some_facts(a_subject(file="other"), at=50.0), "ok")
    keep(tmp_path, some_facts(at=10.0), "ok")

    earlier = earlier_of(read_kept(tmp_path), some_facts(at=100.0))

    assert earlier is not None
    assert earlier.at == 10.0


def test_a_broken_one_is_no_measure(tmp_path: Path) -> None:
    keep(tmp_path, some_facts(at=10.0), "broken")

    assert earlier_of(read_kept(tmp_path), some_facts(at=100.0)) is None


def test_a_worse_one_is_a_measure_of_itself_alone(tmp_path: Path) -> None:
    keep(tmp_path, some_facts(at=10.0), "worse")
    kept = read_kept(tmp_path)

    assert earlier_of(kept, some_facts(at=100.0)) is not None
    assert earlier_of(kept, some_facts(a_subject(file="other"), at=100.0)) is None


def test_another_models_result_is_no_measure(tmp_path: Path) -> None:
    keep(tmp_path, some_facts(a_subject(tokenizer_key="other"), at=10.0), "ok")

    assert earlier_of(read_kept(tmp_path), some_facts(at=100.0)) is None


def test_a_result_is_found_by_its_file_and_not_if_that_has_changed(tmp_path: Path) -> None:
    keep(tmp_path, some_facts(), "ok")
    kept = read_kept(tmp_path)

    assert result_of(kept, name="x", file="/m/smol.gguf 1 2", quick=True) is not None
    assert result_of(kept, name="smol", file="/m/smol.gguf 9 9", quick=True) is None
    assert result_of(kept, name="smol", file=None, quick=True) is not None, "the file is gone"


def test_a_quick_result_does_not_do_for_a_full_check(tmp_path: Path) -> None:
    keep(tmp_path, some_facts(quick=True), "ok")

    assert result_of(read_kept(tmp_path), name="smol", file=None, quick=False) is None
