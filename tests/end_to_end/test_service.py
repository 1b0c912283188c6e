"""The service under a real systemd: it starts, is watched, comes back with what it served, and goes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.fakes.installation import Installation, Ran, wait_until
from tests.fakes.user_manager import UserManager, a_user_manager

pytestmark = [pytest.mark.xdist_group("engine"), pytest.mark.timeout(300)]
UNIT = "localllm.service"
MODEL = "smollm2-135m-instruct"
QUICK = """\
[Unit]
StartLimitBurst=50
[Service]
WatchdogSec=2
RestartSec=100ms
"""
"""A user's own settings beside the unit, so that the tests need not wait for half a minute."""


@pytest.fixture(scope="module")
def manager() -> Iterator[UserManager]:
    with tempfile.TemporaryDirectory(prefix="lls-") as home, a_user_manager(Path(home)) as running:
        beside = running.units / f"{UNIT}.d"
        beside.mkdir()
        (beside / "quick.conf").write_text(QUICK)
        yield running


@pytest.fixture(scope="module")
def installation(manager: UserManager) -> Iterator[Installation]:
    made = Installation(manager.home, **manager.environment)
    yield made
    made.run("service", "uninstall")
    made.run("down")
    left = made.processes()
    made.close()
    assert left == []


@pytest.fixture
def here(installation: Installation) -> Installation:
    """One that has no service, and of which nothing runs."""
    installation.run("service", "uninstall")
    installation.run("down")
    assert installation.processes() == []
    return installation


@pytest.fixture
def served(installation: Installation) -> Installation:
    """Its service runs, and serves the small model, whose context bounds what it says."""
    if not state_of(installation)["pid"]:
        installation.ok("service", "install")
    installation.ok("up", "--context", "512")
    return installation


def state_of(here: Installation) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(here.run("service", "status", "--json").out)
    return found


def pid_of(here: Installation) -> int:
    return int(here.daemon_file()["pid"])


def serves_again(here: Installation, before: int) -> None:
    """Wait until another daemon has the model of the one before ready."""

    def is_ready() -> bool:
        said = here.run("status", "--json")
        if said.code != 0:
            return False
        status = json.loads(said.out)
        states = [(one["id"], one["context"], one["state"]) for one in status["models"]]
        return status["daemon"]["pid"] != before and states == [(MODEL, 512, "ready")]

    wait_until(is_ready, "the same is served again")


def test_a_running_daemon_is_taken_over_with_what_it_serves_and_its_sockets_are_where_systemd_says(
    manager: UserManager, here: Installation
) -> None:
    here.ok("up", "--context", "512")
    before = pid_of(here)

    installed = here.run("service", "install")

    assert installed.code == 0, installed
    assert "comes back as the service" in installed.err
    serves_again(here, before)
    status = state_of(here)
    assert status | {"pid": 0, "since": 0, "file": ""} == {
        "installed": True,
        "kind": "systemd",
        "file": "",
        "enabled": True,
        "state": "active",
        "pid": 0,
        "since": 0,
        "restarts": 0,
        "last_exit": None,
        "lingers": False,
        "by_socket": False,
        "listens": False,
        "outside": None,
        "outdated": [],
        "problem": None,
    }
    assert status["pid"] == pid_of(here) != before
    wait_until(
        lambda: manager.show(UNIT, "StatusText") == [f"ready: {MODEL}"], "it has told what is ready"
    )
    sockets = manager.home / "run" / "localllm"
    assert sockets.stat().st_mode & 0o777 == 0o700
    assert list(sockets.glob("*.sock"))
    assert not list(here.state.glob("sockets/*"))
    again = here.run("service", "install")
    assert "nothing is to be changed" in again.err
    assert pid_of(here) == status["pid"], "what is in place is left alone"


def test_what_systemd_says_of_the_unit_is_what_its_file_means(
    manager: UserManager, served: Installation
) -> None:
    said = manager.show(
        UNIT, "Type", "OOMPolicy", "KillMode", "NoNewPrivileges", "PrivateDevices", "MemoryHigh"
    )
    assert said == ["notify", "continue", "mixed", "yes", "no", "infinity"]
    limits = psutil.Process(pid_of(served)).rlimit(psutil.RLIMIT_NOFILE)
    assert limits[0] >= 2560, "as many files as its connections take"
    assert served.ok("service", "logs", "-n", "500").count("listening: port=") >= 1


def test_a_daemon_that_hangs_is_ended_by_the_watchdog_and_comes_back_with_what_it_served(
    manager: UserManager, served: Installation
) -> None:
    hung = pid_of(served)
    [engine] = [model["pid"] for model in served.json("status")["models"]]

    os.kill(hung, signal.SIGSTOP)

    wait_until(lambda: not psutil.pid_exists(hung), "the watchdog has ended it", within_s=20)
    serves_again(served, hung)
    assert not psutil.pid_exists(engine), "its engine has ended with it"
    assert int(manager.show(UNIT, "NRestarts")[0]) >= 1
    assert "Fatal Python error: Aborted" in served.ok("service", "logs"), "it says where it hung"


def test_a_daemon_that_answers_is_left_alone_by_the_watchdog(
    manager: UserManager, served: Installation
) -> None:
    pid = pid_of(served)
    [before] = manager.show(UNIT, "WatchdogTimestampMonotonic")

    wait_until(
        lambda: int(manager.show(UNIT, "WatchdogTimestampMonotonic")[0]) > int(before) + 4_000_000,
        "it has told for twice the watchdog's time that it lives",
    )

    assert pid_of(served) == pid


def test_a_killed_daemon_comes_back_but_one_that_was_told_to_end_does_not(
    manager: UserManager, served: Installation
) -> None:
    killed, before = pid_of(served), int(manager.show(UNIT, "NRestarts")[0])
    os.kill(killed, signal.SIGKILL)
    serves_again(served, killed)
    assert manager.show(UNIT, "NRestarts") == [str(before + 1)]

    down = served.run("down")

    assert down.code == 0, down
    assert "it starts again with the machine" in down.err
    assert served.run("service", "status").code == 4
    assert manager.show(UNIT, "ActiveState") == ["inactive"]
    assert not (manager.home / "run" / "localllm").exists(), "systemd has cleared up its sockets"
    assert served.processes() == []
    assert "starting the service" in served.run("up", "--context", "512").err
    assert state_of(served)["pid"] == pid_of(served), "up starts the service, and none beside it"


def test_it_starts_at_the_login_with_what_was_served_at_the_logout(
    manager: UserManager, served: Installation
) -> None:
    before = pid_of(served)

    manager.log_out()
    assert served.processes() == []
    manager.log_in()

    serves_again(served, before)


def test_a_reload_is_done_and_over_and_the_daemon_is_the_same(
    manager: UserManager, served: Installation
) -> None:
    pid = pid_of(served)

    assert manager.systemctl("reload", UNIT).returncode == 0

    wait_until(lambda: manager.show(UNIT, "ActiveState") == ["active"], "it is ready again")
    assert pid_of(served) == pid
    assert served.model()["state"] == "ready"


def test_it_is_gone_after_uninstall_and_what_was_served_is_known_still(
    manager: UserManager, served: Installation
) -> None:
    gone = served.run("service", "uninstall")

    assert gone.code == 0, gone
    assert served.processes() == []
    assert manager.show(UNIT, "LoadState") == ["not-found"]
    assert [one.name for one in manager.units.iterdir()] == [f"{UNIT}.d"], "the user's own stays"
    before = served.run("up", "--context", "512")
    assert before.code == 0, before
    assert state_of(served)["installed"] is False


def test_settings_that_are_wrong_do_not_start_it_again_and_again(
    manager: UserManager, here: Installation
) -> None:
    here.ok("service", "install")
    here.configure("prot = 1\n")
    try:
        manager.systemctl("restart", UNIT)
        assert manager.show(UNIT, "ActiveState", "NRestarts") == ["failed", "0"]
        status = state_of(here)
        assert (status["state"], status["last_exit"]) == ("failed", "exit 2")
    finally:
        here.configure("")
    here.ok("service", "install")
    assert state_of(here)["state"] == "active", "mended, it starts"


def test_an_install_that_fails_says_why_and_leaves_all_as_it_was(
    manager: UserManager, here: Installation
) -> None:
    with socket.create_server(("127.0.0.1", here.port)):
        failed: Ran = here.run("service", "install")

    assert failed.code == 1
    assert f"Port {here.port} on 127.0.0.1 cannot be had." in failed.err
    assert not list(manager.units.glob("localllm.service"))
    assert here.run("service", "status").code == 1


def test_the_first_request_starts_it_where_systemd_has_the_socket(
    manager: UserManager, here: Installation
) -> None:
    installed = here.run("service", "install", "--socket")
    assert installed.code == 0, installed
    assert here.processes() == []
    assert here.run("service", "status").code == 0, "it is ready to be started"

    assert listed(here)["object"] == "list"

    first = pid_of(here)
    assert state_of(here)["pid"] == first
    assert "the next request starts it again" in here.run("down").err
    assert here.processes() == []
    assert listed(here)["object"] == "list"
    assert pid_of(here) != first


def test_a_socket_for_another_port_than_the_settings_want_is_an_error_that_says_how_to_mend_it(
    manager: UserManager, here: Installation
) -> None:
    here.ok("service", "install", "--socket")
    unit = manager.units / "localllm.socket"
    unit.write_text(unit.read_text().replace(str(here.port), str(other := here.port + 1)))
    manager.systemctl("daemon-reload")
    manager.systemctl("restart", "localllm.socket")

    manager.systemctl("start", UNIT)

    assert manager.show(UNIT, "ExecMainStatus") == ["2"]
    log = here.ok("service", "logs")
    assert f"The settings want port {here.port}" in log
    assert f"port {other}" in log
    assert "localllm service install --socket" in log
    assert "outdated" in here.run("service", "status").out


def test_systemd_finds_nothing_to_say_against_the_units(
    manager: UserManager, here: Installation
) -> None:
    here.ok("service", "install", "--socket")

    said = subprocess.run(
        [
            "systemd-analyze",
            "--user",
            "verify",
            str(manager.units / "localllm.socket"),
            str(manager.units / UNIT),
        ],
        env={**os.environ, **manager.environment},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (said.returncode, said.stdout + said.stderr) == (0, "")


def listed(here: Installation) -> dict[str, Any]:
    with urllib.request.urlopen(f"{here.url}/v1/models", timeout=60) as answer:
        found: dict[str, Any] = json.load(answer)
        return found
