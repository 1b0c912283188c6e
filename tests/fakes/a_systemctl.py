"""A systemctl that says what it is told to, for what needs no service that really runs."""

from __future__ import annotations

from pathlib import Path

from localllm.paths import paths_for
from localllm.service.facts import read_facts
from localllm.service.systemd_unit import UNIT, render_units
from localllm.service.wanted import Wanted

_ANSWERS = """\
#!/bin/sh
echo "$@" >> "$HOME/asked"
case "$*" in *"$(cat "$HOME/fails" 2>/dev/null || echo nothing)") exit 1 ;; esac
case "$*" in
*Version*) echo 252 ;;
*is-enabled*) echo enabled ;;
*"show localllm.service"*) cat "$HOME/shown" ;;
*"show localllm.socket"*) echo ActiveState=active ;;
esac
"""


class FakeSystemctl:
    """A user's home with an installation of localllm, and a systemctl on the user's PATH."""

    def __init__(self, home: Path) -> None:
        self.home = home
        program = home / "systemctl"
        program.write_text(_ANSWERS)
        program.chmod(0o755)
        self.says(ActiveState="active", MainPID=77, NRestarts=2, Result="success")
        self.environment = {
            "HOME": str(home),
            "LOCALLLM_HOME": str(home / "llm"),
            "XDG_CONFIG_HOME": str(home / ".config"),
            "PATH": f"{home}:/bin",
        }
        self.paths = paths_for(self.environment)

    def says(self, **properties: object) -> None:
        text = "".join(f"{name}={value}\n" for name, value in properties.items())
        (self.home / "shown").write_text(text)

    def fails(self, command: str) -> None:
        """From now on, this does not succeed."""
        (self.home / "fails").write_text(command)

    def facts(self, *, by_socket: bool = False, **more: str) -> Wanted:
        return read_facts(self.paths, {**self.environment, **more}, by_socket=by_socket).wanted

    def write(self, wanted: Wanted) -> Path:
        """Put a service's files where systemd has them."""
        folder = self.home / ".config" / "systemd" / "user"
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in render_units(wanted).items():
            (folder / name).write_text(text)
        return folder / UNIT

    def asked(self) -> list[str]:
        """The commands that were to change something."""
        file = self.home / "asked"
        lines = file.read_text().splitlines() if file.exists() else []
        verbs = [line.removeprefix("--user ").removeprefix("--no-pager ") for line in lines]
        return [verb for verb in verbs if not verb.startswith(("show", "is-", "reset"))]
