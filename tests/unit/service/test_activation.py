"""Sockets that somebody else has opened."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from localllm.errors import ConfigError
from localllm.service.activation import adopted, take_sockets

TAKES = """\
import os
os.dup2({fd}, 3)
os.environ["LISTEN_PID"], os.environ["LISTEN_FDS"] = str(os.getpid()), "1"
from localllm.service.activation import take_sockets
[one] = take_sockets(os.environ)
print(one.getsockname()[1], os.get_inheritable(one.fileno()), sorted(k for k in os.environ if "LISTEN" in k))
"""


@pytest.fixture
def listening() -> Iterator[Callable[[str], socket.socket]]:
    made: list[socket.socket] = []

    def listen(address: str) -> socket.socket:
        made.append(socket.create_server((address, 0)))
        return made[-1]

    yield listen
    for one in made:
        one.close()


def test_what_was_opened_for_this_process_is_taken_and_nobody_else_inherits_it(
    listening: Callable[[str], socket.socket],
) -> None:
    one = listening("127.0.0.1")

    said = subprocess.run(
        [sys.executable, "-c", TAKES.format(fd=one.fileno())],
        pass_fds=[one.fileno()],
        capture_output=True,
        text=True,
        check=True,
    )

    assert said.stdout.split(maxsplit=1) == [str(one.getsockname()[1]), "False []\n"]


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"LISTEN_PID": "1", "LISTEN_FDS": "1"},
        {"LISTEN_FDS": "1"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "many"},
    ],
)
def test_what_was_opened_for_another_process_is_left_alone(environment: dict[str, str]) -> None:
    assert take_sockets(environment) == ()
    assert environment == {}


def test_sockets_that_the_settings_want_are_listened_on_and_ipv6_may_lack(
    listening: Callable[[str], socket.socket],
) -> None:
    one = listening("127.0.0.1")

    with adopted([one], one.getsockname()[1], ("127.0.0.1", "::1")) as sockets:
        assert sockets == [one]

    assert one.fileno() == -1, "it is closed in the end"


def test_other_sockets_than_the_settings_want_are_an_error_that_names_both(
    listening: Callable[[str], socket.socket], tmp_path: Path
) -> None:
    one = listening("127.0.0.1")
    port = one.getsockname()[1]
    with pytest.raises(ConfigError) as raised, adopted([one], port + 1, ("127.0.0.1",)):
        pass
    assert str(port) in raised.value.why
    assert str(port + 1) in raised.value.what

    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind("lls.sock" if len(str(tmp_path)) > 90 else str(tmp_path / "s"))
        with pytest.raises(ConfigError), adopted([unix], port, ("127.0.0.1",)):
            pass
