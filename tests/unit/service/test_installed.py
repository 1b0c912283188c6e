"""Whether there is a service, whose it is, and what is old about it."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest

from localllm.service.facts import renewed
from localllm.service.installed import installed_service, read_service_status
from localllm.service.manager import ServiceError
from localllm.service.systemd_unit import UNIT
from localllm.versioned import NewerFile
from tests.fakes.a_systemctl import FakeSystemctl

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="units are systemd's")


@pytest.fixture
def user(tmp_path: Path) -> FakeSystemctl:
    """Whose systemd says that the service runs."""
    return FakeSystemctl(tmp_path)


def test_none_is_installed_where_none_is(user: FakeSystemctl) -> None:
    view = read_service_status(user.paths, user.environment)

    assert (view.installed, view.kind, view.problem) == (False, "systemd", None)
    assert installed_service(user.paths, user.environment) is None


def test_one_that_is_installed_is_described(user: FakeSystemctl) -> None:
    file = user.write(user.facts())

    view = read_service_status(user.paths, user.environment)

    assert (view.installed, view.enabled, view.state, view.pid, view.restarts) == (
        True,
        True,
        "active",
        77,
        2,
    )
    assert (view.file, view.outdated, view.problem) == (str(file), (), None)


def test_another_installation_s_service_is_not_ours(user: FakeSystemctl) -> None:
    theirs = user.facts()
    user.write(msgspec.structs.replace(theirs, log="/elsewhere/state/logs/daemon.log"))

    view = read_service_status(user.paths, user.environment)

    assert installed_service(user.paths, user.environment) is None
    assert not view.installed
    assert view.problem is not None
    assert "/elsewhere" in view.problem


def test_a_file_that_somebody_else_wrote_is_not_ours(user: FakeSystemctl) -> None:
    file = user.write(user.facts())
    file.write_text("[Service]\nExecStart=/bin/true\n")

    assert installed_service(user.paths, user.environment) is None
    assert "not ours" in (read_service_status(user.paths, user.environment).problem or "")


def test_what_is_old_about_it_is_said(user: FakeSystemctl) -> None:
    wanted = user.facts(by_socket=True)

    def outdated(**changes: object) -> str:
        user.write(msgspec.structs.replace(wanted, **changes))
        return "; ".join(read_service_status(user.paths, user.environment).outdated)

    assert outdated() == ""
    assert "its interpreter is gone: /gone/python" in outdated(python="/gone/python")
    assert f"it starts /bin/sh, and this is {sys.executable}" in outdated(python="/bin/sh")
    assert "its socket is 127.0.0.1:1" in outdated(sockets=("127.0.0.1:1",))
    file = user.write(wanted)
    file.write_text(file.read_text().replace("WatchdogSec=60", "WatchdogSec=3"))
    view = read_service_status(user.paths, user.environment)
    assert view.outdated == ("its file is not what this version writes",)


def test_what_is_written_anew_keeps_the_variables_it_had_whatever_the_shell_has_now(
    user: FakeSystemctl,
) -> None:
    wanted = user.facts(HF_HOME="/models")

    assert renewed(wanted, user.paths) == wanted


def test_a_restart_writes_an_old_one_anew_and_a_good_one_is_only_started_again(
    user: FakeSystemctl,
) -> None:
    wanted = user.facts()
    user.write(msgspec.structs.replace(wanted, python="/gone/python"))

    for _ in range(2):
        service = installed_service(user.paths, user.environment)
        assert service is not None
        service.restart()

    assert read_service_status(user.paths, user.environment).outdated == ()
    assert user.asked() == [
        f"disable --now {UNIT}",
        "daemon-reload",
        "daemon-reload",
        f"enable {UNIT}",
        f"start {UNIT}",
        f"stop {UNIT}",
        f"start {UNIT}",
    ]


def test_after_an_upgrade_its_file_is_written_anew_and_put_back_if_that_fails(
    user: FakeSystemctl,
) -> None:
    file = user.write(user.facts())
    before = file.read_text()
    service = installed_service(user.paths, user.environment)
    assert service is not None

    service.renew_if_outdated()
    service.put_back()
    assert user.asked() == [], "nothing is to be changed"

    newer = before.replace("[Service]", "[Service]\nNewOption=yes")
    file.write_text(newer)
    service.put_back()
    assert file.read_text() == before

    file.write_text(newer)
    service.renew_if_outdated()
    assert file.read_text() == before
    assert user.asked()[-1] == f"enable {UNIT}", "nothing is started"


def test_one_that_a_newer_version_wrote_is_used_and_left_as_it_is(user: FakeSystemctl) -> None:
    file = user.write(msgspec.structs.replace(user.facts(), format=2, python="/new/python"))
    before = file.read_text()
    service = installed_service(user.paths, user.environment)
    assert service is not None

    service.restart()
    with pytest.raises(NewerFile):
        service.renew()

    assert file.read_text() == before
    assert user.asked() == [f"stop {UNIT}", f"start {UNIT}"]


def test_one_that_cannot_be_written_anew_is_as_it_was(user: FakeSystemctl) -> None:
    old = msgspec.structs.replace(user.facts(), python="/gone/python")
    file = user.write(old)
    service = installed_service(user.paths, user.environment)
    assert service is not None
    user.fails("enable localllm.service")

    with pytest.raises(ServiceError):
        service.restart()

    assert "/gone/python" in file.read_text()
    assert user.asked()[-1] == f"start {UNIT}", "it ran before, and is not left lying"


@pytest.mark.parametrize("command", ["daemon-reload", "disable --now localllm.service"])
def test_one_that_cannot_be_taken_away_to_be_written_anew_is_there_still(
    user: FakeSystemctl, command: str
) -> None:
    file = user.write(msgspec.structs.replace(user.facts(), python="/gone/python"))
    service = installed_service(user.paths, user.environment)
    assert service is not None
    user.fails(command)

    with pytest.raises(ServiceError):
        service.renew()

    assert "/gone/python" in file.read_text()
