"""Where no systemd answers, it is said why, and what else there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from localllm.service.launchd import Launchd
from localllm.service.manager import NoServiceManager
from localllm.service.surroundings import manager_of, require_manager, why_no_systemd
from localllm.service.systemd import Systemd


def test_a_mac_where_nobody_is_logged_in_at_the_screen_is_told_apart(tmp_path: Path) -> None:
    program = tmp_path / "launchctl"
    program.write_text("#!/bin/sh\necho 'Could not find domain' >&2\nexit 125\n")
    program.chmod(0o755)

    with pytest.raises(NoServiceManager) as raised:
        require_manager({"PATH": str(tmp_path), "HOME": str(tmp_path)}, "darwin")

    assert "Could not find domain" in raised.value.why
    assert "log in at the screen" in raised.value.fix


@pytest.mark.parametrize(
    ("facts", "why", "fix"),
    [
        ({"is_booted": True}, "after su or sudo", "XDG_RUNTIME_DIR=/run/user/"),
        (
            {"is_booted": False, "release": "6.6.87.2-microsoft-standard-WSL2"},
            "WSL",
            "systemd=true",
        ),
        (
            {"is_booted": False, "release": "6.1.0-18-amd64", "is_contained": True},
            "a container",
            "localllm up --foreground",
        ),
        (
            {"is_booted": False, "release": "6.1.0-18-amd64", "is_contained": False},
            "not started by systemd",
            "your init",
        ),
    ],
)
def test_each_way_to_have_no_systemd_has_its_own_remedy(
    facts: dict[str, object], why: str, fix: str
) -> None:
    error = why_no_systemd("Failed to connect to bus", **facts)  # type: ignore[arg-type]

    assert why in error.why
    assert "Failed to connect to bus" in error.why, "its own words are kept"
    assert fix in error.fix


def program(folder: Path, text: str) -> dict[str, str]:
    (folder / "systemctl").write_text(f"#!/bin/sh\n{text}\n")
    (folder / "systemctl").chmod(0o755)
    return {"PATH": f"{folder}:/bin", "HOME": str(folder)}


def test_a_systemd_that_answers_is_taken(tmp_path: Path) -> None:
    assert require_manager(program(tmp_path, "echo 252.38-1~deb12u1"), "linux").kind == "systemd"


def test_one_that_is_too_old_for_the_unit_is_not(tmp_path: Path) -> None:
    with pytest.raises(NoServiceManager) as raised:
        require_manager(program(tmp_path, "echo 239"), "linux")
    assert "239" in raised.value.what
    assert "ExecStart=localllm up --foreground" in raised.value.fix


def test_one_that_answers_nobody_is_not(tmp_path: Path) -> None:
    with pytest.raises(NoServiceManager) as raised:
        require_manager(program(tmp_path, "echo no medium >&2; exit 1"), "linux")
    assert "no medium" in raised.value.why


def test_a_machine_without_systemctl_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(NoServiceManager) as raised:
        require_manager({"PATH": str(tmp_path), "HOME": str(tmp_path)}, "linux")
    assert "there is no systemctl" in raised.value.why


def test_each_system_has_its_own_manager() -> None:
    assert isinstance(manager_of({"HOME": "/h"}, "linux"), Systemd)
    assert isinstance(manager_of({"HOME": "/h"}, "darwin"), Launchd)
    assert manager_of({"HOME": "/h"}, "win32") is None
