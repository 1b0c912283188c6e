"""API keys: what is kept of them, how their list changes, and the file it is in."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from localllm.api.key_file import changing_keys, read_keys, read_stamp, write_keys
from localllm.api.keys import (
    Key,
    find_key,
    hash_of,
    view_of,
    with_key,
    with_new_secret,
    without_key,
)
from localllm.errors import BadKeyName, ConfigError, NoSuchKey


def a_key(name: str = "ann", *, expires: float | None = None, created: float = 100.0) -> Key:
    return Key(
        id=f"id-{name}",
        name=name,
        sha256=hash_of(f"secret of {name}"),
        created=created,
        expires=expires,
        models=("small",),
        per_minute=3,
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "keys.json"


def test_a_key_is_found_by_its_secret_wherever_it_stands() -> None:
    keys = tuple(map(a_key, ("ann", "bob", "eve")))

    assert [find_key(keys, f"secret of {name}") for name in ("ann", "bob", "eve")] == list(keys)
    assert find_key(keys, "secret of") is None
    assert find_key((), "") is None


def test_a_name_is_given_once() -> None:
    assert with_key((a_key(),), a_key("bob")) == (a_key(), a_key("bob"))
    with pytest.raises(BadKeyName, match="already"):
        with_key((a_key(),), a_key())


@pytest.mark.parametrize("name", ["", "local", "a b", "../x", "-x", "a\n", "é", "x" * 65, "a/b"])
def test_a_name_is_a_word(name: str) -> None:
    with pytest.raises(BadKeyName):
        with_key((), a_key(name))


def test_a_key_that_is_taken_away_leaves_the_others() -> None:
    assert without_key((a_key(), a_key("bob")), "ann") == (a_key("bob"),)
    with pytest.raises(NoSuchKey, match="the keys are ann"):
        without_key((a_key(),), "bob")
    with pytest.raises(NoSuchKey, match="there are no keys"):
        with_new_secret((), "bob", "", 0.0)


def test_a_new_secret_keeps_the_settings_and_lives_as_long_as_the_old_one_was_to_live() -> None:
    old = a_key(expires=150.0)

    [new] = with_new_secret((old,), "ann", hash_of("new"), now=1_000.0)

    assert (new.id, new.name, new.models, new.per_minute) == (old.id, "ann", ("small",), 3)
    assert (new.created, new.expires) == (1_000.0, 1_050.0)
    assert find_key((new,), "secret of ann") is None


def test_what_is_shown_of_a_key_tells_whether_it_has_expired_and_not_its_hash() -> None:
    view = view_of(a_key(expires=150.0), 150.0)

    assert (view.name, view.expired, view.key) == ("ann", True, None)
    assert not hasattr(view, "sha256")


def test_the_file_is_for_its_user_alone_and_has_no_secret(file: Path) -> None:
    with changing_keys(file) as keys:
        write_keys(file, with_key(keys, a_key()))

    assert read_keys(file) == (a_key(),)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert "secret" not in file.read_text()


def test_without_a_file_there_are_no_keys_and_none_is_made(file: Path) -> None:
    assert (read_keys(file), read_stamp(file)) == ((), None)
    assert not file.parent.exists()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"format":2,"keys":[]}', '{"format":1,"keys":[{}]}',
     '{"format":1,"keys":[],"x":1}', '{"format":1,"keys":null}'],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_an_error_and_not_no_keys(file: Path, text: str) -> None:
    write_keys_as(file, text)

    with pytest.raises(ConfigError, match="cannot be used"):
        read_keys(file)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602])
def test_a_file_that_others_may_open_is_not_used(file: Path, mode: int) -> None:
    write_keys_as(file, '{"format":1,"keys":[]}')
    file.chmod(mode)

    with pytest.raises(ConfigError, match="chmod 600"):
        read_keys(file)


def write_keys_as(file: Path, text: str) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    file.chmod(0o600)


def test_each_change_of_the_file_shows_in_its_stamp(file: Path) -> None:
    stamps = []
    for _ in range(5):
        with changing_keys(file):
            write_keys(file, (a_key(),))  # the same length each time
        stamps.append(read_stamp(file))
    before = file.stat()
    file.write_text(file.read_text().replace("ann", "bob"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    stamps.append(read_stamp(file))

    assert len(set(stamps)) == len(stamps)


def test_a_change_that_fails_leaves_the_old_keys(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with changing_keys(file):
        write_keys(file, (a_key(),))

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"), changing_keys(file):
        write_keys(file, ())

    assert read_keys(file) == (a_key(),)


def test_of_keys_made_at_once_none_is_lost(file: Path) -> None:
    def make(name: str) -> None:
        with changing_keys(file) as keys:
            write_keys(file, with_key(keys, a_key(name)))

    threads = [threading.Thread(target=make, args=(f"k{i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {key.name for key in read_keys(file)} == {f"k{i}" for i in range(8)}
