"""How systemctl is used, and what is read in what it shows."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from localllm.service.manager import Look, Said, ServiceError
from localllm.service.systemd import Systemd, unit_folder
from tests.fakes.a_service import Scripted, a_service

SHOW = "systemctl --user --no-pager show localllm.service"


def shown(**properties: object) -> Said:
    usual = {"ActiveState": "inactive", "MainPID": 0, "Result": "success", "NRestarts": 0}
    return Said(0, "\n".join(f"{k}={v}" for k, v in {**usual, **properties}.items()), "")


def looked(tmp_path: Path, said: Said, clock: float = 0.0) -> Look:
    return Systemd(tmp_path, Scripted({SHOW: [said]}), clock=lambda: clock).look()


@pytest.mark.parametrize(
    ("properties", "last_exit"),
    [
        ({}, None),
        ({"Result": "watchdog"}, "its event loop hung, and the watchdog ended it"),
        ({"Result": "oom-kill"}, "memory ran out"),
        ({"ExecMainCode": 1, "ExecMainStatus": 2}, None),
        ({"ExecMainCode": 1, "ExecMainStatus": 2, "ExecMainExitTimestampMonotonic": 5}, "exit 2"),
        (
            {"ExecMainCode": 2, "ExecMainStatus": 9, "ExecMainExitTimestampMonotonic": 5},
            "ended by SIGKILL",
        ),
        (
            {"ExecMainCode": 2, "ExecMainStatus": 99, "ExecMainExitTimestampMonotonic": 5},
            "ended by signal 99",
        ),
    ],
)
def test_the_last_end_is_said_in_words(
    tmp_path: Path, properties: dict[str, object], last_exit: str | None
) -> None:
    assert looked(tmp_path, shown(**properties)).last_exit == last_exit


@pytest.mark.parametrize(
    ("active", "state"),
    [
        ("active", "active"),
        ("reloading", "active"),
        ("activating", "starting"),
        ("deactivating", "stopping"),
        ("failed", "failed"),
        ("inactive", "inactive"),
        ("what a later systemd says", "inactive"),
    ],
)
def test_systemd_s_states_are_ours(tmp_path: Path, active: str, state: str) -> None:
    assert looked(tmp_path, shown(ActiveState=active)).state == state


def test_when_it_started_is_said_on_the_wall_s_clock(tmp_path: Path) -> None:
    said = shown(ActiveState="active", MainPID=7, ActiveEnterTimestampMonotonic=90_000_000)

    look = looked(tmp_path, said, clock=100.0)

    assert abs(look.since - (time.time() - 10)) < 5


def test_a_system_that_does_not_answer_is_an_error_with_its_own_words(tmp_path: Path) -> None:
    refused = Said(1, "", "Failed to connect to bus: No medium found")
    systemd = Systemd(tmp_path, Scripted({"systemctl --user --no-pager daemon-reload": [refused]}))

    with pytest.raises(ServiceError) as raised:
        systemd.install(a_service())

    assert "No medium found" in raised.value.why
    assert raised.value.fix.endswith("systemctl --user --no-pager daemon-reload")


def test_uninstalling_takes_the_socket_away_before_the_service(tmp_path: Path) -> None:
    scripted = Scripted()
    systemd = Systemd(tmp_path, scripted)
    systemd.install(a_service(sockets=("127.0.0.1:1",)))
    scripted.asked.clear()

    systemd.uninstall()

    assert [line.rpartition(" ")[2] for line in scripted.asked if "disable" in line] == [
        "localllm.socket",
        "localllm.service",
    ]
    assert list(tmp_path.iterdir()) == []


def test_units_are_where_systemd_looks_for_them() -> None:
    assert unit_folder({"HOME": "/h"}) == Path("/h/.config/systemd/user")
    assert unit_folder({"HOME": "/h", "XDG_CONFIG_HOME": "/c"}) == Path("/c/systemd/user")
