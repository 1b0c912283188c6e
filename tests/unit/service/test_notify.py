"""What systemd is told, as it gets it."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from localllm.service.notify import Notifier, take_notifier


@pytest.fixture
def systemd() -> Iterator[socket.socket]:
    with (
        tempfile.TemporaryDirectory(prefix="lls-") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as inbox,
    ):
        inbox.bind(str(Path(folder) / "notify"))
        inbox.settimeout(10)
        yield inbox


def told(inbox: socket.socket) -> list[str]:
    return inbox.recv(4096).decode().split("\n")


def test_it_is_told_each_thing_in_one_message(systemd: socket.socket) -> None:
    notifier = Notifier(systemd.getsockname())

    notifier.ready()
    assert told(systemd) == ["READY=1"]
    notifier.status("two\nlines")
    assert told(systemd) == ["STATUS=two lines"]
    notifier.stopping(65.5)
    assert told(systemd)[:2] == ["STOPPING=1", "EXTEND_TIMEOUT_USEC=65500000"]
    notifier.reloading()
    reloading, moment = told(systemd)
    assert reloading == "RELOADING=1"
    assert int(moment.removeprefix("MONOTONIC_USEC=")) > 0


def test_an_address_that_begins_with_an_at_sign_is_no_file() -> None:
    name = f"lls-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as inbox:
        inbox.bind(f"\0{name}")
        inbox.settimeout(10)

        Notifier(f"@{name}").ready()

        assert told(inbox)[0] == "READY=1"


@pytest.mark.anyio
async def test_it_lives_as_long_as_the_event_loop_turns(systemd: socket.socket) -> None:
    notifier = Notifier(systemd.getsockname(), watchdog_s=0.02)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(notifier.keep_alive)
        for _ in range(3):
            assert await anyio.to_thread.run_sync(told, systemd) == ["WATCHDOG=1"]
        tasks.cancel_scope.cancel()


def test_a_full_inbox_and_a_missing_systemd_hold_nothing_up(systemd: socket.socket) -> None:
    notifier = Notifier(systemd.getsockname())
    for _ in range(2000):
        notifier.ready()
    Notifier("/nowhere/notify").ready()
    Notifier().ready()


def test_the_variables_are_taken_away_from_what_the_daemon_starts() -> None:
    environment = {
        "NOTIFY_SOCKET": "/run/x",
        "WATCHDOG_USEC": "30000000",
        "WATCHDOG_PID": str(os.getpid()),
        "PATH": "/bin",
    }

    assert take_notifier(environment) == Notifier("/run/x", 30.0)
    assert environment == {"PATH": "/bin"}


@pytest.mark.parametrize(
    ("environment", "notifier"),
    [
        ({}, Notifier()),
        ({"NOTIFY_SOCKET": "vsock:2:1"}, Notifier()),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}, Notifier("/x")),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "0"}, Notifier("/x")),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "soon"}, Notifier("/x")),
        ({"WATCHDOG_USEC": "1000"}, Notifier()),
    ],
)
def test_what_is_not_meant_for_us_is_not_heeded(
    environment: dict[str, str], notifier: Notifier
) -> None:
    assert take_notifier(environment) == notifier
