"""The manager of a user's services on Linux, by its `systemctl --user`."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from localllm.service.manager import Ask, Look, Said, State, require
from localllm.service.systemd_unit import SOCKET_UNIT, UNIT, parse_made_of, render_units
from localllm.service.wanted import Wanted
from localllm.versioned import replace_private

_STATES: Mapping[str, State] = {
    "active": "active",
    "reloading": "active",
    "refreshing": "active",
    "activating": "starting",
    "deactivating": "stopping",
    "failed": "failed",
}
_SHOWN = (
    *("ActiveState", "SubState", "MainPID", "ActiveEnterTimestampMonotonic", "NRestarts"),
    *("Result", "ExecMainCode", "ExecMainStatus", "ExecMainExitTimestampMonotonic"),
)
_READABLE = 0o644  # systemd grumbles at less: it shows what is in it to everybody anyway
_EXITED = "1"
_MICRO = 1e6
_RESULTS = {
    "watchdog": "its event loop hung, and the watchdog ended it",
    "timeout": "it did not start or end in time",
    "oom-kill": "memory ran out",
    "start-limit-hit": "it ended too often, and is not started again by itself",
    "resources": "the system lacked something to start it",
    "protocol": "it ended before it was ready",
}


class Systemd:
    """The service as a user unit.

    Args:
        ask: Runs a program of the system.
        clock: Of the time since the boot, as systemd's, in seconds.
    """

    kind = "systemd"

    def __init__(self, folder: Path, ask: Ask, clock: Callable[[], float] = time.monotonic) -> None:
        self.folder = folder
        self._ask = ask
        self._clock = clock

    def render(self, wanted: Wanted) -> Mapping[str, bytes]:
        return {name: text.encode() for name, text in render_units(wanted).items()}

    def read(self) -> Wanted | None:
        try:
            return parse_made_of((self.folder / UNIT).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):
            return None

    def is_there(self) -> bool:
        return (self.folder / UNIT).exists()

    def install(self, wanted: Wanted) -> None:
        files = self.render(wanted)
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            replace_private(self.folder / name, content)
            (self.folder / name).chmod(_READABLE)
        self._do("daemon-reload", failed="The service is written, but systemd does not read it.")
        begins = SOCKET_UNIT if wanted.sockets else UNIT
        self._do("enable", begins, failed="The service is written, but cannot be enabled.")
        if wanted.sockets:
            self._do("start", SOCKET_UNIT, failed="systemd does not listen for the daemon.")

    def uninstall(self) -> None:
        for unit in (SOCKET_UNIT, UNIT):  # the socket first: nothing is to start it meanwhile
            if (self.folder / unit).exists():
                self._do("disable", "--now", unit, failed=f"{unit} cannot be stopped.")
                (self.folder / unit).unlink()
        self._do("daemon-reload", failed="systemd does not read its units anew.")
        self._ask(self._words("reset-failed", UNIT))  # nothing to reset is no error

    def start(self) -> None:
        self._ask(self._words("reset-failed", UNIT))  # who asks for it has mended what there was
        self._do("start", UNIT, failed="The service did not start.")

    def stop(self) -> None:
        self._do("stop", UNIT, failed="The service does not stop.")

    def look(self) -> Look:
        shown = self._shown(UNIT)
        main = int(shown.get("MainPID") or 0)
        state = _STATES.get(shown.get("ActiveState", ""), "inactive")
        socket = self._shown(SOCKET_UNIT) if (self.folder / SOCKET_UNIT).exists() else {}
        return Look(
            enabled=self._is_enabled(SOCKET_UNIT if socket else UNIT),
            state=state,
            pid=main or None,
            since=self._unix(shown.get("ActiveEnterTimestampMonotonic")) if main else None,
            restarts=int(shown["NRestarts"]) if shown.get("NRestarts") else None,
            last_exit=_last_exit(shown),
            listens=socket.get("ActiveState") == "active",
        )

    def _is_enabled(self, unit: str) -> bool:
        return self._ask(self._words("is-enabled", unit)).out.strip() == "enabled"

    def _shown(self, unit: str) -> Mapping[str, str]:
        said = self._ask(self._words("show", unit, f"--property={','.join(_SHOWN)}"))
        return dict(line.split("=", 1) for line in said.out.splitlines() if "=" in line)

    def _unix(self, since_boot: str | None) -> float | None:
        if not since_boot or since_boot == "0":
            return None
        return time.time() - (self._clock() - int(since_boot) / _MICRO)

    def _do(self, *words: str, failed: str) -> Said:
        command = self._words(*words)
        return require(self._ask(command), command, failed)

    def _words(self, *words: str) -> list[str]:
        return ["systemctl", "--user", "--no-pager", *words]


def _last_exit(shown: Mapping[str, str]) -> str | None:
    """Say how the last run ended; None if none did, or the one that runs is the first."""
    result = shown.get("Result", "success")
    if result in _RESULTS:
        return _RESULTS[result]
    code, status = shown.get("ExecMainCode", "0"), int(shown.get("ExecMainStatus") or 0)
    if code == "0" or not int(shown.get("ExecMainExitTimestampMonotonic") or 0):
        return None
    if code == _EXITED:
        return f"exit {status}"
    return f"ended by {_signal_name(status)}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def unit_folder(environment: Mapping[str, str]) -> Path:
    """Find where a user's own units are. Source: systemd.unit(5)."""
    home = environment.get("HOME") or os.path.expanduser("~")  # noqa: PTH111
    config = environment.get("XDG_CONFIG_HOME") or f"{home}/.config"
    return Path(config) / "systemd" / "user"
