"""daemon.json: what the daemon leaves for its clients, and for nobody else."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from localllm.api.daemon_file import (
    DaemonFile,
    hub_fingerprint,
    read_daemon_file,
    write_daemon_file,
)
from localllm.versioned import NewerFile

DAEMON = DaemonFile(pid=os.getpid(), started=1.5, port=4242, token="s3cret", version="1.0")
UNWRITABLE: Any = object()


@pytest.fixture(autouse=True)
def generous_umask() -> Iterator[None]:
    """The worst case: whatever a program does not forbid is allowed to all."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "daemon.json"


def mode(file: Path) -> int:
    return file.stat().st_mode & 0o777


def test_what_is_written_is_read_again_by_its_user_alone(file: Path) -> None:
    write_daemon_file(file, DAEMON)

    assert read_daemon_file(file) == DAEMON
    assert mode(file) == 0o600
    assert list(file.parent.iterdir()) == [file]
    assert DAEMON.endpoint == "http://127.0.0.1:4242"


def test_writing_that_breaks_off_leaves_the_old_file_whole_and_shows_the_new_to_nobody(
    file: Path,
) -> None:
    write_daemon_file(file, DAEMON)

    with pytest.raises(TypeError):
        write_daemon_file(file, DaemonFile(pid=8, started=2, port=1, token=UNWRITABLE, version="2"))

    assert read_daemon_file(file) == DAEMON
    assert {mode(f) for f in file.parent.iterdir()} == {0o600}


def test_a_draft_that_somebody_left_or_planted_is_not_written_into(file: Path) -> None:
    planted = file.parent / "elsewhere"
    planted.write_text("")
    file.with_suffix(".draft").symlink_to(planted)

    write_daemon_file(file, DAEMON)

    assert planted.read_text() == ""
    assert (mode(file), file.is_symlink()) == (0o600, False)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff\xfe", b'{"pid": 1}', b'{"format":1,"pid":"x","port":1}', b"null"],
)
def test_a_file_that_makes_no_sense_is_as_good_as_none(file: Path, content: bytes) -> None:
    file.write_bytes(content)

    assert read_daemon_file(file) is None


def test_no_file_is_no_daemon(file: Path) -> None:
    assert read_daemon_file(file) is None
    assert read_daemon_file(file.parent) is None


def test_a_dead_daemons_word_is_worth_nothing_since_its_port_may_be_anothers(file: Path) -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    write_daemon_file(file, msgspec.structs.replace(DAEMON, pid=child.pid))

    assert read_daemon_file(file) is None


def test_the_daemon_of_a_newer_version_is_not_taken_for_none(file: Path) -> None:
    write_daemon_file(file, msgspec.structs.replace(DAEMON, format=2, pid=os.getpid()))

    with pytest.raises(NewerFile, match="newer localllm"):
        read_daemon_file(file)


@pytest.mark.parametrize("content", [b'{"format":2}', b'{"format":2,"pid":%d}' % (2**30)])
def test_a_newer_version_that_runs_no_more_is_not_in_the_way(file: Path, content: bytes) -> None:
    file.write_bytes(content)

    assert read_daemon_file(file) is None


def test_environments_are_told_apart_by_what_decides_about_the_hub() -> None:
    plain = {"HOME": "/home/u", "PATH": "/bin", "LOCALLLM_HOME": "/x", "HF_TOKEN": ""}

    assert hub_fingerprint(plain) == hub_fingerprint({"HOME": "/home/u"})
    others = [
        {**plain, name: value}
        for name, value in {
            "HF_ENDPOINT": "http://127.0.0.1:1",
            "HF_TOKEN": "hf_1",
            "HF_HOME": "/y",
            "HF_HUB_CACHE": "/z",
            "XDG_CACHE_HOME": "/c",
            "HF_HUB_OFFLINE": "1",
            "https_proxy": "http://user:password@proxy",
            "SSL_CERT_FILE": "/ca.pem",
            "HOME": "/home/v",
        }.items()
    ]
    assert len({hub_fingerprint(one) for one in [plain, *others]}) == 1 + len(others)


def test_no_secret_can_be_read_from_a_fingerprint_and_none_breaks_it() -> None:
    said = hub_fingerprint({"HF_TOKEN": "hf_s3cret", "HTTPS_PROXY": "\udcff"})

    assert len(said) == 64
    assert "s3cret" not in said


def test_a_file_of_before_the_fingerprint_is_read(file: Path) -> None:
    write_daemon_file(file, msgspec.structs.replace(DAEMON, hub="abc"))
    assert read_daemon_file(file) == msgspec.structs.replace(DAEMON, hub="abc")

    file.write_bytes(file.read_bytes().replace(b',"hub":"abc"', b""))

    assert read_daemon_file(file) == DAEMON
