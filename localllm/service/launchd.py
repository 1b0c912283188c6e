"""The manager of a user's agents on macOS, by its `launchctl`."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from localllm.service.launchd_plist import LABEL, PLIST, parse_made_of, render_plist
from localllm.service.manager import Ask, Look, Said, ServiceError, State, require
from localllm.service.wanted import Wanted
from localllm.versioned import replace_private

_FIELD = re.compile(r"^\t(?P<name>[a-z ]+) = (?P<value>.*)$", re.MULTILINE)
"""Of `launchctl print`; what is indented further is of its parts."""

_READABLE = 0o644
_GONE_WITHIN_S, _LOOK_EVERY_S = 1900.0, 0.1
_STATES: Mapping[str, State] = {"running": "active", "spawn scheduled": "starting"}


class Launchd:
    """The service as an agent of the user's login.

    Args:
        ask: Runs a program of the system.
        user: The user's number.
    """

    kind = "launchd"

    def __init__(
        self, folder: Path, ask: Ask, user: int, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self.folder = folder
        self._ask = ask
        self._domain = f"gui/{user}"
        self._target = f"{self._domain}/{LABEL}"
        self._pause = pause

    @property
    def _plist(self) -> Path:
        return self.folder / PLIST

    def render(self, wanted: Wanted) -> Mapping[str, bytes]:
        return {PLIST: render_plist(wanted)}

    def read(self) -> Wanted | None:
        try:
            return parse_made_of(self._plist.read_bytes())
        except OSError:
            return None

    def is_there(self) -> bool:
        return self._plist.exists()

    def install(self, wanted: Wanted) -> None:
        """Write the agent; launchd knows it from `start` on, and by itself from the next login on."""
        self._forget()
        self.folder.mkdir(parents=True, exist_ok=True)
        Path(wanted.log).parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # launchd makes none
        replace_private(self._plist, render_plist(wanted))
        self._plist.chmod(_READABLE)
        self._ask(["launchctl", "enable", self._target])  # one that was disabled is not taken

    def uninstall(self) -> None:
        self._forget()
        self._plist.unlink(missing_ok=True)

    def start(self) -> None:
        if self._printed() is None:
            self._do(  # which starts it: RunAtLoad
                "bootstrap", self._domain, str(self._plist), failed="launchd refuses the agent."
            )
        elif self.look().pid is None:
            self._do("kickstart", self._target, failed="The agent did not start.")

    def stop(self) -> None:
        if self.look().pid is not None:  # bootout, alone, would kill it after ExitTimeOut
            self._do("kill", "SIGTERM", self._target, failed="The agent does not stop.")
            self._wait(lambda: self.look().pid is None)
        if self.look().state in {"starting", "failed"}:  # launchd would try it again, for ever
            self._boot_out()

    def look(self) -> Look:
        printed = self._printed()
        if printed is None:  # the next login makes it known again
            return Look(enabled=self.is_there(), state="inactive")
        pid = printed.get("pid", "")
        ended = printed.get("last exit code") or printed.get("last terminating signal")
        runs = printed.get("runs", "")
        return Look(
            enabled=True,
            state=_STATES.get(printed.get("state", ""), _resting(ended)),
            pid=int(pid) if pid.isdecimal() else None,
            restarts=int(runs) - 1 if runs.isdecimal() and runs != "0" else None,
            last_exit=None if ended is None or ended.startswith("(never") else _exit_of(ended),
        )

    def _forget(self) -> None:
        """Have it end, its requests drained, and launchd forget it; it takes a moment until it has."""
        if self._printed() is not None:
            self.stop()
            self._boot_out()

    def _boot_out(self) -> None:
        if self._printed() is not None:
            self._do("bootout", self._target, failed="The agent cannot be stopped.")
            self._wait(lambda: self._printed() is None)

    def _printed(self) -> Mapping[str, str] | None:
        said = self._ask(["launchctl", "print", self._target])
        if said.code != 0:
            return None
        return {one["name"]: one["value"] for one in _FIELD.finditer(said.out)}

    def _wait(self, happened: Callable[[], bool]) -> None:
        for _ in range(int(_GONE_WITHIN_S / _LOOK_EVERY_S)):
            if happened():
                return
            self._pause(_LOOK_EVERY_S)
        raise ServiceError(
            "The agent is still there.",
            why=f"launchd has not ended it within {_GONE_WITHIN_S:.0f} s",
            fix=f"launchctl print {self._target}",
        )

    def _do(self, *words: str, failed: str) -> Said:
        command = ["launchctl", *words]
        said = self._ask(command)
        # 36 is EINPROGRESS: bootout has begun, and is waited for
        return (
            said
            if words[0] == "bootout" and said.code == _BEGUN
            else require(said, command, failed)
        )


_BEGUN = 36


def _resting(ended: str | None) -> State:
    fine = ended is None or ended.startswith(("0", "(never"))
    return "inactive" if fine else "failed"


def _exit_of(ended: str) -> str:
    return f"exit {ended}" if ended[0].isdecimal() else f"ended by {ended}"


def agents_folder(environment: Mapping[str, str]) -> Path:
    """Find where a user's agents are."""
    home = environment.get("HOME")
    return (Path(home) if home else Path.home()) / "Library" / "LaunchAgents"
