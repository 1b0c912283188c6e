"""What is said of the service: the document of `service status --json`."""

from __future__ import annotations

from typing import Literal

import msgspec

from localllm.service.manager import State

Kind = Literal["systemd", "launchd"]


class ServiceView(msgspec.Struct, frozen=True, kw_only=True):
    """How it is with the service; times are Unix seconds, null is unknown."""

    installed: bool
    kind: Kind | None
    """null: nothing here starts services; `problem` says why."""

    file: str | None = None
    enabled: bool = False
    """It starts by itself."""

    state: State = "inactive"
    pid: int | None = None
    since: float | None = None
    restarts: int | None = None
    """By the system, since it was last started by hand."""

    last_exit: str | None = None
    lingers: bool | None = None
    """It starts at boot; else at the login. null: no such thing here."""

    by_socket: bool = False
    """The first request starts it."""

    listens: bool = False
    outside: int | None = None
    """The process of a daemon that runs beside the service, as one that `localllm up` started."""

    outdated: tuple[str, ...] = ()
    """What of its file this version would write otherwise."""

    problem: str | None = None

    @property
    def install_command(self) -> str:
        """What writes it anew, and leaves it of its kind."""
        return f"localllm service install{' --socket' if self.by_socket else ''}"
