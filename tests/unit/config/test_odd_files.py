"""Files that nobody means to write: each is an error with a place, and none costs a daemon its life."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from localllm.config.reading import check_text, read_text
from localllm.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        (f"# ä\nport = {'9' * 5000}", "2:8", "a number has too many digits"),
        (f"port = 0x{'f' * 6000}", "1:8", "port is a number of too many digits"),
        (f"max_body_mib = {'9' * 30}", "1:16", "max_body_mib is a number of too many digits"),
        (f"origins = {'[' * 3000}{']' * 3000}", None, "too often"),
        (f"origins = {'{a=' * 3000}1{'}' * 3000}", None, "too often"),
        ("port = 1\x00", "1:9", "Expected newline"),
        ("\tport\t=\t80\n\tö = 1", "2:2", "Invalid statement"),
        ("a = 'ö', b = 1", "1:8", "Expected newline"),
        ("[supervision]\nstable_after_s = inf", "2:18", "at most 1000000"),
    ],
)
def test_what_no_reader_takes_is_a_mistake(text: str, place: str | None, what: str) -> None:
    (mistake,) = check_text(text).mistakes

    assert what in mistake.what
    assert (None if mistake.place is None else str(mistake.place)) == place


def _folder(file: Path) -> None:
    file.mkdir()


def _pipe(file: Path) -> None:
    os.mkfifo(file)


def _huge(file: Path) -> None:
    with file.open("wb") as opened:
        opened.truncate(100 << 20)


def _circle(file: Path) -> None:
    file.symlink_to(file)


def _bytes(file: Path) -> None:
    file.write_bytes(b"port = 1\n# \xff\n")


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (_folder, "Is a directory"),
        (_pipe, "it is a pipe, which may never end"),
        (_huge, "it has more than 1 MiB"),
        (_circle, "Too many levels of symbolic links"),
        (_bytes, "line 2 is not UTF-8"),
    ],
)
def test_what_cannot_be_read_is_said_at_once(tmp_path: Path, make: object, why: str) -> None:
    file = tmp_path / "config.toml"
    assert callable(make)
    make(file)

    with pytest.raises(ConfigError) as caught:
        read_text(file)

    assert caught.value.why == why
    assert str(file) in caught.value.fix


def test_marks_and_line_ends_of_other_systems_change_no_place(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(b"\xef\xbb\xbfport = 1\r\nprot = 2\r\n")

    (mistake,) = check_text(read_text(file)).mistakes

    assert str(mistake.place) == "2:1"
