"""Finds who starts services for this user, or says why nobody does and what else there is."""

from __future__ import annotations

import os
import platform
import pwd
import re
import shutil
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from localllm.service.launchd import Launchd, agents_folder
from localllm.service.manager import Ask, Manager, NoServiceManager, Said, ask_system, require
from localllm.service.systemd import Systemd, unit_folder

_OLDEST = 245
"""Of systemd that knows all that the unit says; Ubuntu 20.04 has it."""

_BOOTED = Path("/run/systemd/system")
_LINGERING = Path("/var/lib/systemd/linger")
_CONTAINERS = (Path("/.dockerenv"), Path("/run/.containerenv"))
_BY_HAND = "localllm up --foreground"


def manager_of(environment: Mapping[str, str], system: str = sys.platform) -> Manager | None:
    """Take the system's way to run services at its word; None: this one has none that we know."""
    ask: Ask = partial(ask_system, environment=environment)
    if system == "darwin":
        return Launchd(agents_folder(environment), ask, os.getuid())
    return Systemd(unit_folder(environment), ask) if system == "linux" else None


def require_manager(environment: Mapping[str, str], system: str = sys.platform) -> Manager:
    """Find it, and see that it answers.

    Raises:
        NoServiceManager: There is none here, or none for this user.
    """
    manager = manager_of(environment, system)
    if manager is None:
        raise NoServiceManager(
            "Services are for Linux and macOS.", why=f"this is {system}", fix=_BY_HAND
        )
    if manager.kind == "systemd":
        if shutil.which("systemctl", path=environment.get("PATH")) is None:
            raise why_no_systemd("there is no systemctl")
        words = ["systemctl", "--user", "show", "--property=Version", "--value"]
        said = ask_system(words, environment)
        if said.code != 0:
            raise why_no_systemd(said.why)
        _require_new_enough(said.out.strip())
    else:
        _require_session(environment)
    return manager


def _require_session(environment: Mapping[str, str]) -> None:
    said = ask_system(["launchctl", "print", f"gui/{os.getuid()}"], environment)
    if said.code != 0:
        raise NoServiceManager(
            "launchd starts no agents for this user now.",
            why=f"the user is not logged in at the screen, as over ssh or by sudo: {said.why}",
            fix="log in at the screen, as the user who is to have it; then again",
        )


def why_no_systemd(
    why: str,
    *,
    is_booted: bool | None = None,
    release: str = platform.release(),
    is_contained: bool | None = None,
) -> NoServiceManager:
    """Say what to do where `systemctl --user` does not answer."""
    what = "systemd does not start services for this user here."
    if _BOOTED.is_dir() if is_booted is None else is_booted:
        return NoServiceManager(
            what,
            why=f"no manager of this user's runs, as after su or sudo: {why}",
            fix=f"log in as this user, or: sudo loginctl enable-linger {user_name()} && "
            f"export XDG_RUNTIME_DIR=/run/user/{os.getuid()}",
        )
    if "microsoft" in release.lower():
        return NoServiceManager(
            what,
            why=f"this WSL was not started with systemd: {why}",
            fix="write the lines [boot] and systemd=true into /etc/wsl.conf, then in Windows: "
            "wsl --shutdown",
        )
    if any(one.exists() for one in _CONTAINERS) if is_contained is None else is_contained:
        return NoServiceManager(
            what,
            why=f"this is a container: {why}",
            fix=f"have the container run `{_BY_HAND}`, and its restart policy start it again",
        )
    return NoServiceManager(
        what,
        why=f"the system was not started by systemd: {why}",
        fix=f"have your init start `{_BY_HAND}` as your user",
    )


def _require_new_enough(version: str) -> None:
    found = re.match(r"v?(\d+)", version)
    if found is not None and int(found[1]) < _OLDEST:
        raise NoServiceManager(
            f"This systemd is of version {found[1]}.",
            why=f"what the service says needs {_OLDEST}",
            fix=f"start it by a unit of your own, with ExecStart={_BY_HAND}",
        )


def user_name() -> str:
    """The user's name; the number, where the system knows none."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def lingers() -> bool:
    """Tell whether systemd starts this user's services at boot, before any login."""
    return (_LINGERING / user_name()).exists()


def enable_lingering(environment: Mapping[str, str]) -> Said:
    """Have it do so.

    Raises:
        ServiceError: It may not be; root may.
    """
    words = ["loginctl", "enable-linger", user_name()]
    said = ask_system(words, environment)
    return require(said, ["sudo", *words], "Lingering cannot be switched on.")
