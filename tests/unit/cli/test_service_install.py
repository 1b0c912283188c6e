"""What an installation that fails, or that meets another, leaves behind."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import filelock
import msgspec
import pytest

from localllm.api.daemon_file import DaemonFile, write_daemon_file
from localllm.api.sync_client import DaemonClient
from localllm.cli import service_install
from localllm.cli.service_install import put_in_place
from localllm.errors import AlreadyRunning
from localllm.service.manager import Manager, ServiceError
from localllm.service.surroundings import manager_of
from tests.fakes.a_systemctl import FakeSystemctl


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSystemctl:
    made = FakeSystemctl(tmp_path)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    made.paths.logs.mkdir(parents=True)
    return made


def manager() -> Manager:
    found = manager_of(os.environ, "linux")
    assert found is not None
    return found


def test_two_installations_at_once_do_not_take_away_what_the_other_has_made(
    user: FakeSystemctl,
) -> None:
    user.paths.cache.mkdir(parents=True)
    with (
        filelock.FileLock(user.paths.cache / "service.lock"),
        pytest.raises(AlreadyRunning),
    ):
        put_in_place(manager(), user.facts(), user.paths)

    assert user.asked() == []


def test_a_service_that_cannot_be_taken_away_for_the_new_one_is_there_still(
    user: FakeSystemctl,
) -> None:
    file = user.write(msgspec.structs.replace(user.facts(), python="/gone/python"))
    user.fails("disable --now localllm.service")

    with pytest.raises(ServiceError):
        put_in_place(manager(), user.facts(), user.paths)

    assert "/gone/python" in file.read_text()
    assert user.asked()[-1] == "enable localllm.service"


def test_a_folder_that_cannot_be_written_costs_nobody_the_daemon_that_ran(
    user: FakeSystemctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    (user.home / ".config").mkdir()
    (user.home / ".config" / "systemd").write_text("no folder")
    put_back = list[object]()
    monkeypatch.setattr(service_install, "_put_back", lambda *given: put_back.extend(given[1:2]))

    with pytest.raises(OSError, match="systemd"):
        put_in_place(manager(), user.facts(), user.paths)

    assert put_back == [None], "there was no service before"


def test_ctrl_c_during_the_drain_brings_back_what_ran(
    user: FakeSystemctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = list[str]()

    def wait(*_: object) -> None:
        done.append("waited")
        if done.count("waited") == 1:
            raise KeyboardInterrupt

    class Started:
        def __enter__(self) -> None:
            done.append("started")

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(DaemonClient, "shut_down", lambda *_, **__: done.append("asked"))
    monkeypatch.setattr(service_install, "wait_until_gone", wait)
    monkeypatch.setattr(service_install, "a_daemon", lambda *_: Started())

    with socket.create_server(("127.0.0.1", 0)) as daemon, pytest.raises(KeyboardInterrupt):
        port = daemon.getsockname()[1]
        write_daemon_file(
            user.paths.daemon_file,
            DaemonFile(pid=os.getpid(), started=1.0, port=port, token="t", version="1"),
        )
        put_in_place(manager(), user.facts(), user.paths)

    assert done == ["asked", "waited", "waited", "started"]
