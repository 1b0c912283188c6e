"""A real systemd that manages one user's services, in a folder and a control group of its own.

Not a fake: the manager of a user is an ordinary program, which only wants a writable control
group and to see that the machine was booted with systemd. It gets both in a mount namespace, so
that neither the machine's own systemd nor another test is touched. That takes root, as in a
container that tests run in.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes.installation import wait_until

_PLACES = ("/usr/lib/systemd/systemd", "/lib/systemd/systemd")
_GROUPS = tuple(map(Path, ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup")))
"""Of systemd's own hierarchy: version 1, the mix of both, version 2."""

_WANTS = "it takes root that may mount and make control groups, as in a privileged container"
_UNITS = ("/usr/lib/systemd/user", "/lib/systemd/user")
_UNSHARE = ("unshare", "--mount", "--propagation", "private")
_SCRIPT = """\
set -eu
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system
mount -t cgroup2 cgroup2 /sys/fs/cgroup
exec setpriv --pdeathsig TERM -- "$@"
"""


def require_systemd() -> str:
    """Find it.

    Raises:
        AssertionError: It is not installed.
    """
    program = next((one for one in _PLACES if Path(one).exists()), None)
    assert program is not None, "systemd is not installed; apt-get install systemd"
    if os.getuid() != 0:
        pytest.skip("a manager of a test's own takes root, as in a container")
    assert shutil.which("unshare"), "unshare is not installed; apt-get install util-linux"
    _require_rights()
    return program


def _require_rights() -> None:
    """Leave out what a machine cannot have: rights to mount are nothing that one installs."""
    tried = subprocess.run(
        [*_UNSHARE, "sh", "-c", _SCRIPT, "sh", "true"], capture_output=True, text=True, check=False
    )
    if tried.returncode != 0:
        pytest.skip(f"{_WANTS}: {tried.stderr.strip()}")


@dataclass(slots=True)
class UserManager:
    """One user's manager: it can be started and ended, as by logging in and out."""

    home: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> Mapping[str, str]:
        """What a command needs to find it, and to find no other, as that of a desktop."""
        return {
            "XDG_RUNTIME_DIR": str(self.home / "run"),
            "DBUS_SESSION_BUS_ADDRESS": f"unix:path={self.home}/run/bus",
            "XDG_CONFIG_HOME": str(self.home / "xdg"),
        }

    @property
    def units(self) -> Path:
        return self.home / "xdg" / "systemd" / "user"

    def log_in(self) -> None:
        """Start it, and with it what is enabled."""
        program = require_systemd()
        try:
            self._start(program, self._make_groups())
            wait_until(self._answers, "systemd answers", within_s=20)
        except BaseException as error:
            self._kill()
            if isinstance(error, AssertionError):
                error.add_note(self.log())
            raise

    def _start(self, program: str, groups: Sequence[Path]) -> None:
        for folder in (self.units, self.home / "run"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        environment = {
            **self.environment,
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "SYSTEMD_UNIT_PATH": ":".join((str(self.units), *_UNITS)),
            "SYSTEMD_LOG_TARGET": "console",
        }
        with (self.home / "manager.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(*_UNSHARE, "sh", "-c", _SCRIPT, "sh"),
                    *(program, "--user", "--unit=default.target", "--log-target=console"),
                ],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=lambda: _enter(groups),  # noqa: PLW1509  # it takes no lock
                start_new_session=True,
            )

    def log_out(self) -> None:
        """End it, and all that it runs; one that has ended by itself is cleared up after."""
        try:
            if self.process is not None:
                self.process.terminate()
                self.process.wait(60)
        finally:
            self._kill()

    def show(self, unit: str, *properties: str) -> list[str]:
        """What it says of a unit, in the order of the properties."""
        said = self.systemctl("show", unit, *(f"--property={one}" for one in properties))
        found = dict(line.split("=", 1) for line in said.stdout.splitlines())
        return [found[one] for one in properties]

    def systemctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["systemctl", "--user", "--no-pager", *words],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def log(self) -> str:
        file = self.home / "manager.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"systemd has ended; {_WANTS}: {self.log()}"
        return self.systemctl("is-active", "default.target").stdout.strip() == "active"

    def _make_groups(self) -> list[Path]:
        """Make a group for the manager to be alone in: it takes over whatever is in its own."""
        roots = [root for root in _GROUPS if (root / "cgroup.procs").exists()]
        if not roots:
            pytest.skip(f"there are no control groups in /sys/fs/cgroup; {_WANTS}")
        groups = [root / self._group_name for root in roots]
        try:
            for group in groups:
                group.mkdir(exist_ok=True)
        except OSError as error:
            pytest.skip(f"no control group can be made here ({error}); {_WANTS}")
        return groups

    @property
    def _group_name(self) -> str:
        return f"localllm-test-{self.home.name}"

    def _kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        for root in _GROUPS:
            self._clear(root / self._group_name)

    def _clear(self, group: Path) -> None:
        """End what is left in a group, and remove it."""
        for procs in group.rglob("cgroup.procs"):
            for pid in set(procs.read_text().split()) - {"0"}:  # to kill(), 0 is our own group
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
        below = sorted((one for one in group.rglob("*") if one.is_dir()), reverse=True)
        for folder in (*below, group):
            with suppress(OSError):
                wait_until(
                    lambda one=folder: not (one / "cgroup.procs").read_text(),
                    f"{folder} is empty",
                    within_s=10,
                )
                folder.rmdir()


def _enter(groups: Sequence[Path]) -> None:
    for group in groups:
        (group / "cgroup.procs").write_text(str(os.getpid()))


@contextmanager
def a_user_manager(home: Path) -> Iterator[UserManager]:
    """Log in; log out at the end."""
    manager = UserManager(home)
    try:
        manager.log_in()
        yield manager
    finally:
        manager.log_out()
