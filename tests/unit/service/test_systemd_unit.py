"""The text of the units: what systemd makes of it, and that it can be read again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from localllm.service.systemd_unit import UNIT, parse_made_of, render_service, render_units
from tests.fakes.a_service import a_service
from tests.fakes.systemd_words import command_of, settings_of, specified, words_of

NASTY = "a b%h$HOME\"'\\é"
NAMES = st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True).filter(
    lambda n: n != "LOCALLLM_SOCKETS"
)
VALUES = st.text(st.characters(exclude_categories=["Cc", "Cs"], include_characters="\n\t"))
SERVICES = {
    "usual": a_service(),
    "by socket": a_service(sockets=("127.0.0.1:11711", "[::1]:11711")),
    "nasty": a_service(environment={"A": NASTY, "B": "%%", "C": "x\ny"}),
    "without filters": a_service(filters=False),
    "with a device to make": a_service(first=("/bin/true", "-u", "-c=0")),
}


def values(text: str, name: str) -> list[str]:
    return [value for _, key, value in settings_of(text) if key == name]


@given(st.dictionaries(NAMES, VALUES))
def test_variables_are_in_the_service_as_they_were(variables: dict[str, str]) -> None:
    lines = values(render_service(a_service(environment=variables)), "Environment")

    *carried, sockets = [word for line in lines for word in words_of(line)]
    assert sockets == "LOCALLLM_SOCKETS=%t/localllm", "a specifier, for systemd to fill in"
    assert dict(specified(one).split("=", 1) for one in carried) == variables


@given(st.dictionaries(NAMES, VALUES), VALUES)
@example({"A": "\u2028\x85\n"}, "\u2028")
def test_what_a_unit_was_made_of_can_be_read_in_it(variables: dict[str, str], name: str) -> None:
    wanted = a_service(environment=variables, log=f"/{name}")

    assert parse_made_of(render_service(wanted)) == wanted


@pytest.mark.parametrize(
    "text", ["", "[Service]\n", "[X-localllm]\nMadeOf=\n", "[X-localllm]\nMadeOf={}\n", "MadeOf={}"]
)
def test_what_is_not_ours_is_nobody_s(text: str) -> None:
    assert parse_made_of(text) is None


def test_it_starts_the_daemon_by_its_own_interpreter_with_nothing_from_the_folder_it_is_in() -> (
    None
):
    [command] = values(render_service(a_service()), "ExecStart")

    assert command_of(command) == (
        "/opt/localllm/bin/python",
        ["-P", "-m", "localllm.daemon", "--log-to-file"],
    )


@pytest.mark.parametrize(
    "one_life", [("TimeoutStartSec", "TimeoutStopSec"), ("WatchdogSec", "TimeoutAbortSec")]
)
def test_one_that_hangs_at_each_start_is_not_started_for_ever(one_life: tuple[str, str]) -> None:
    text = render_service(a_service())

    def seconds(name: str) -> int:
        return int(values(text, name)[0])

    lives = seconds("StartLimitBurst") * (sum(map(seconds, one_life)) + seconds("RestartSec"))
    assert seconds("StartLimitIntervalSec") > lives


def test_a_gpu_stays_in_reach() -> None:
    names = {name for _, name, _ in settings_of(render_service(a_service()))}

    assert names.isdisjoint({"PrivateDevices", "DevicePolicy", "DeviceAllow", "ProtectClock"})
    assert "MemoryDenyWriteExecute" not in names
    assert "PrivateUsers" not in names, "it could not see processes of its user"


def test_the_command_that_makes_devices_is_free_of_what_binds_the_service_and_may_fail() -> None:
    [line] = values(
        render_service(a_service(first=("/usr/bin/nvidia-modprobe", "-u"))), "ExecStartPre"
    )

    assert line.startswith("-+:")
    assert command_of(line) == ("/usr/bin/nvidia-modprobe", ["-u"])


def test_system_calls_are_not_filtered_where_that_would_slow_the_processor_down() -> None:
    text = render_service(a_service(filters=False))

    assert values(text, "SystemCallFilter") == []
    assert values(text, "NoNewPrivileges") == ["yes"]


def test_it_begins_with_the_login_or_with_the_socket() -> None:
    units = render_units(SERVICES["by socket"])

    assert values(units["localllm.socket"], "ListenStream") == ["127.0.0.1:11711", "[::1]:11711"]
    assert values(units["localllm.socket"], "WantedBy") == ["sockets.target"]
    assert values(units[UNIT], "WantedBy") == []
    assert values(units[UNIT], "Requires") == ["localllm.socket"]
    assert values(render_service(a_service()), "WantedBy") == ["default.target"]


@pytest.mark.parametrize("which", SERVICES)
def test_systemd_finds_nothing_to_say_against_it(which: str, tmp_path: Path) -> None:
    analyze = require_systemd_analyze()
    wanted = msgspec.structs.replace(SERVICES[which], python="/bin/sh")  # it looks for the program
    files = []
    for name, text in render_units(wanted).items():
        files.append(str(tmp_path / name))
        (tmp_path / name).write_text(text)

    said = subprocess.run(
        [analyze, "--user", "verify", *files],
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (said.returncode, said.stdout + said.stderr) == (0, "")


def require_systemd_analyze() -> str:
    if sys.platform != "linux":
        pytest.skip("systemd is Linux's")
    program = shutil.which("systemd-analyze")
    assert program is not None, "systemd is not installed; apt-get install systemd"
    return program
