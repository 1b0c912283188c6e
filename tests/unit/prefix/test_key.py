"""The key of outlines: made once, never lost on purpose, its user's alone."""

from __future__ import annotations

from pathlib import Path

from localllm.prefix.key import KEY_BYTES, read_or_make_key
from tests.unit.prefix.a_shelf import mode

HEAD = b"localllm prefix key 1\n"


def test_the_key_is_made_once_and_is_its_users_alone(tmp_path: Path) -> None:
    file = tmp_path / "state" / "prefix.key"

    key = read_or_make_key(file)

    assert len(key) == KEY_BYTES
    assert read_or_make_key(file) == key
    assert mode(file) == 0o600
    assert read_or_make_key(tmp_path / "other.key") != key


def test_a_key_that_others_could_read_is_closed(tmp_path: Path) -> None:
    file = tmp_path / "prefix.key"
    key = read_or_make_key(file)
    file.chmod(0o644)

    assert read_or_make_key(file) == key
    assert mode(file) == 0o600


def test_a_broken_key_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "prefix.key"
    file.write_bytes(b"short")

    key = read_or_make_key(file)

    assert len(key) == KEY_BYTES
    assert file.read_bytes() == HEAD + key


def test_a_key_of_the_first_version_goes_on_and_gets_a_head(tmp_path: Path) -> None:
    file = tmp_path / "prefix.key"
    file.write_bytes(first := bytes(range(KEY_BYTES)))

    assert read_or_make_key(file) == first

    assert file.read_bytes() == HEAD + first
    assert read_or_make_key(file) == first


def test_a_key_of_a_newer_version_is_left_and_not_used(tmp_path: Path) -> None:
    file = tmp_path / "prefix.key"
    file.write_bytes(newer := b"localllm prefix key 2\n" + bytes(KEY_BYTES))

    key = read_or_make_key(file)

    assert len(key) == KEY_BYTES
    assert key != bytes(KEY_BYTES)
    assert file.read_bytes() == newer


def test_where_no_key_can_be_written_there_is_one_for_this_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    assert len(read_or_make_key(tmp_path / "file" / "prefix.key")) == KEY_BYTES
