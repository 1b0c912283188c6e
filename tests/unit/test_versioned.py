"""State files over the years: older ones move forward, newer ones are left, nothing is lost."""

from __future__ import annotations

import dataclasses
import json
import os
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest

from localllm.versioned import (
    DamagedFile,
    Kind,
    NewerFile,
    read_if_known,
    read_versioned,
    write_versioned,
)


class Third(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    names: list[str]


def _renamed(document: dict[str, Any]) -> dict[str, Any]:
    return {"words": document["word"].split()}


def _more(document: dict[str, Any]) -> dict[str, Any]:
    return {"names": document["words"]}


KIND = Kind("the names", Third, 3, {1: _renamed, 2: _more})
FIRST, SECOND = b'{"format":1,"word":"a b"}', b'{"format":2,"words":["a","b"]}'
NEWER = b'{"format":4,"names":{"a":1}}'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "names.json"


def left(file: Path) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in file.parent.iterdir()}


def test_what_is_written_is_read_by_its_user_alone(file: Path) -> None:
    write_versioned(file, KIND, Third(3, ["a"]))

    assert read_versioned(file, KIND) == Third(3, ["a"])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [*left(file)] == ["names.json"]


@pytest.mark.parametrize("older", [FIRST, SECOND])
def test_an_older_file_is_read_as_this_version_would_have_written_it(
    file: Path, older: bytes
) -> None:
    file.write_bytes(older)

    assert read_versioned(file, KIND) == Third(3, ["a", "b"])
    assert left(file) == {"names.json": older}, "reading changes nothing"


@pytest.mark.parametrize(("older", "backup"), [(FIRST, "names.json.v1"), (SECOND, "names.json.v2")])
def test_an_older_file_stays_beside_the_one_that_takes_its_place(
    file: Path, older: bytes, backup: str
) -> None:
    file.write_bytes(older)

    write_versioned(file, KIND, Third(3, ["c"]))
    write_versioned(file, KIND, Third(3, ["d"]))

    assert left(file) == {backup: older, "names.json": b'{"format":3,"names":["d"]}'}


def test_a_newer_file_is_refused_and_never_written_over(file: Path) -> None:
    file.write_bytes(NEWER)

    with pytest.raises(NewerFile) as refused:
        read_versioned(file, KIND)
    with pytest.raises(NewerFile):
        write_versioned(file, KIND, Third(3, []))

    assert left(file) == {"names.json": NEWER}
    assert "version 4" in refused.value.why
    assert "localllm upgrade" in refused.value.fix


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"\xff", b"[]", b"null", b"{}", b"[" * 100_000),
        *(b'{"format":0,"names":[]}', b'{"format":"3","names":[]}', b'{"format":true,"names":[]}'),
        *(b'{"format":3,"names":1}', b'{"format":3,"names":[],"more":1}', b'{"format":1}'),
    ],
)
def test_a_damaged_file_is_kept_aside_once_another_is_written(file: Path, content: bytes) -> None:
    file.write_bytes(content)

    with pytest.raises(DamagedFile):
        read_versioned(file, KIND)
    assert left(file) == {"names.json": content}

    write_versioned(file, KIND, Third(3, []))
    assert left(file)["names.json.broken"] == content
    assert read_versioned(file, KIND) == Third(3, [])


def test_where_there_is_no_file_there_is_nothing_and_a_folder_is_made(tmp_path: Path) -> None:
    file = tmp_path / "state" / "names.json"
    assert read_versioned(file, KIND) is None

    write_versioned(file, KIND, Third(3, []))

    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("content", [None, NEWER, b"{"])
def test_who_can_do_without_it_takes_any_unreadable_file_for_none(
    file: Path, content: bytes | None
) -> None:
    if content is not None:
        file.write_bytes(content)

    assert read_if_known(file, KIND) is None
    assert read_if_known(file.parent, KIND) is None


def test_a_disk_that_does_not_take_it_leaves_what_was_there(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_versioned(file, KIND, Third(3, ["a"]))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("localllm.versioned.os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            write_versioned(file, KIND, Third(3, ["b"]))

    assert {n: json.loads(c) for n, c in left(file).items()} == {
        "names.json": {"format": 3, "names": ["a"]}
    }


def test_two_that_write_at_once_do_not_get_into_each_others_way(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def another_writes_meanwhile(descriptor: int) -> None:
        fsync(descriptor)
        monkeypatch.setattr("localllm.versioned.os.fsync", fsync)
        write_versioned(file, KIND, Third(3, ["b"]))

    monkeypatch.setattr("localllm.versioned.os.fsync", another_writes_meanwhile)
    write_versioned(file, KIND, Third(3, ["a"]))

    assert read_versioned(file, KIND) == Third(3, ["a"])
    assert [*left(file)] == ["names.json"]


def test_the_disk_has_the_copy_of_an_older_file_before_it_is_replaced(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_bytes(SECOND)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("localllm.versioned.os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            write_versioned(file, a_kind_of_the_event_loop(), Third(3, []))

    assert left(file) == {"names.json": SECOND}


def a_kind_of_the_event_loop() -> Kind[Third]:
    """Of what the event loop writes: the copy of the older one is waited for all the same."""
    return dataclasses.replace(KIND, synced=False)
