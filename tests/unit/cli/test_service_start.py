"""`up` and `down` where a service is installed."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from localllm.api.daemon_file import DaemonFile, write_daemon_file
from localllm.cli import start
from localllm.cli.down import command as down
from localllm.cli.service_start import by_service, how_it_comes_back, start_by, stop_if_it_fell
from localllm.errors import NotRunning, StartFailed
from localllm.service.manager import Look
from tests.fakes.a_systemctl import FakeSystemctl


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSystemctl:
    made = FakeSystemctl(tmp_path)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    made.paths.logs.mkdir(parents=True)
    return made


def test_without_a_service_the_daemon_is_started_as_ever(user: FakeSystemctl) -> None:
    assert by_service(user.paths, None) is None
    assert user.asked() == []


def test_a_daemon_of_one_s_own_is_told_nothing_that_is_meant_for_the_service_around_the_shell(
    user: FakeSystemctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = dict[str, str]()

    def popen(*_: object, env: dict[str, str], **__: object) -> None:
        given.update(env)
        raise InterruptedError

    monkeypatch.chdir(user.home)
    monkeypatch.setenv("LOCALLLM_HOME", "llm")
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/of-another")
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setattr("subprocess.Popen", popen)

    with pytest.raises(InterruptedError):
        start.start_daemon(user.paths, None)

    assert given["LOCALLLM_HOME"] == str(user.home / "llm"), "it is started in another folder"
    assert given.keys().isdisjoint({"NOTIFY_SOCKET", "LISTEN_FDS"})


def test_another_port_than_the_service_s_is_none_of_its(user: FakeSystemctl) -> None:
    user.write(user.facts(LOCALLLM_PORT="4711"))

    assert by_service(user.paths, 4712) is None
    assert user.asked() == []


@pytest.mark.parametrize("port", [None, 4711])
def test_a_service_that_does_not_become_a_daemon_is_an_error_that_says_where_to_look(
    user: FakeSystemctl, port: int | None
) -> None:
    user.write(user.facts(LOCALLLM_PORT="4711"))

    with pytest.raises(StartFailed) as raised:
        by_service(user.paths, port)

    assert user.asked() == ["start localllm.service", "stop localllm.service"]
    assert "journalctl --user -u localllm" in raised.value.fix


def test_one_whose_interpreter_is_gone_says_so_and_how_to_mend_it(user: FakeSystemctl) -> None:
    user.write(msgspec.structs.replace(user.facts(by_socket=True), python="/gone/python"))

    with pytest.raises(StartFailed) as raised:
        by_service(user.paths, None)

    assert "/gone/python" in raised.value.why
    assert raised.value.fix == "localllm service install --socket"
    assert user.asked() == []


class LaunchdOf:
    """A launchd that starts something, and does not wait until it listens."""

    kind = "launchd"

    def __init__(self, looks: list[Look], then: Callable[[], None] = lambda: None) -> None:
        self._looks, self._then = looks, then
        self.stopped = False

    def start(self) -> None: ...

    def stop(self) -> None:
        self.stopped = True

    def look(self) -> Look:
        look = self._looks.pop(0)
        if not self._looks:
            self._then()
        return look


def test_a_daemon_that_launchd_has_started_is_waited_for_until_it_listens(
    user: FakeSystemctl,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        daemon = DaemonFile(pid=os.getpid(), started=1.0, port=port, token="t", version="1")
        launchd = LaunchdOf(
            [Look(enabled=True, state="starting"), Look(enabled=True, state="active", pid=7)],
            then=lambda: write_daemon_file(user.paths.daemon_file, daemon),
        )

        assert start_by(launchd, user.paths).daemon == daemon  # type: ignore[arg-type]


def test_a_daemon_that_launchd_has_started_in_vain_is_not_waited_for(user: FakeSystemctl) -> None:
    waits = Look(enabled=True, state="starting", last_exit="exit 2")
    launchd = LaunchdOf([waits])

    with pytest.raises(StartFailed):
        start_by(launchd, user.paths)  # type: ignore[arg-type]

    assert launchd.stopped, "launchd would try it again every ten seconds"


def test_down_is_final_for_a_daemon_that_falls_at_its_end(user: FakeSystemctl) -> None:
    user.write(user.facts())
    user.says(ActiveState="activating", SubState="auto-restart", MainPID=0)

    stop_if_it_fell(user.paths)

    assert user.asked() == ["stop localllm.service"]


@pytest.mark.parametrize("state", ["inactive", "active"])
def test_down_leaves_alone_what_has_ended_well_or_was_started_since(
    user: FakeSystemctl, state: str
) -> None:
    user.write(user.facts())
    user.says(ActiveState=state, MainPID=0)

    stop_if_it_fell(user.paths)

    assert user.asked() == []


def test_down_stops_a_service_that_waits_to_be_started_again(user: FakeSystemctl) -> None:
    user.write(user.facts())
    user.says(ActiveState="activating", SubState="auto-restart", MainPID=0)

    said = CliRunner().invoke(down)

    assert said.exit_code == 0, said.output
    assert user.asked() == ["stop localllm.service"]
    assert "it starts again with the machine" in said.stderr


def test_down_with_nothing_to_end_is_an_error_as_ever(user: FakeSystemctl) -> None:
    user.write(user.facts())
    user.says(ActiveState="inactive", MainPID=0)

    assert isinstance(CliRunner().invoke(down).exception, NotRunning)


def test_what_starts_it_again_is_said(user: FakeSystemctl) -> None:
    assert how_it_comes_back(user.paths) is None
    user.write(user.facts(by_socket=True))
    assert "the next request" in (how_it_comes_back(user.paths) or "")
