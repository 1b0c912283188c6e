"""The service in words."""

from __future__ import annotations

import time

from localllm.cli.tables import table
from localllm.service.view import ServiceView
from localllm.wording.figures import counted

_STATES = {
    "active": "runs",
    "starting": "is starting",
    "stopping": "finishes the running requests, and ends",
    "inactive": "does not run",
    "failed": "has failed",
}


def render_service(view: ServiceView) -> list[str]:
    """Say how it is with it, a fact a line."""
    if not view.installed:
        lines = ["No service is installed: localllm service install"]
        return lines if view.problem is None else [*lines, f"  {view.problem}"]
    rows = [["service", f"{view.kind}, {view.file}"]]
    if view.problem is not None:
        return table([*rows, ["problem", view.problem]])
    rows += [["state", _state(view)], ["starts", _starts(view)]]
    if view.last_exit is not None:
        rows.append(["last end", _ended(view)])
    if view.outside is not None:
        text = (
            f"process {view.outside} is none of the service: {view.install_command} takes it over"
        )
        rows.append(["daemon", text])
    rows += [["outdated", f"{why}: {view.install_command}"] for why in view.outdated]
    return table(rows)


def _state(view: ServiceView) -> str:
    text = _STATES[view.state]
    if view.pid is not None:
        text += f", process {view.pid}"
    if view.since is not None:
        text += f", since {time.strftime('%Y-%m-%d %H:%M', time.localtime(view.since))}"
    return text


def _starts(view: ServiceView) -> str:
    if not view.enabled:
        return f"not by itself: {view.install_command}"
    when = "at boot" if view.lingers else "at the login"
    if view.by_socket:
        return f"with the first request, for which the system listens from {when.removeprefix('at ')} on"
    return when if view.lingers is not False else f"{when}; --linger: at boot"


def _ended(view: ServiceView) -> str:
    text = view.last_exit or ""
    return f"{text}; started again {counted(view.restarts, 'time')}" if view.restarts else text
