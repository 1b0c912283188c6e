"""The service that starts the daemon with the machine: whether it is up to date, and runs when nobody is logged in."""

from __future__ import annotations

from collections.abc import Iterator

from localllm.checkup.finding import Area, Finding, Severity, ok
from localllm.checkup.known import Known
from localllm.checkup.repairs import RenewService
from localllm.service.installed import installed_service, read_service_status
from localllm.service.view import ServiceView

_A = Area.SERVICE


def check_service(known: Known) -> Iterator[Finding]:
    """Whether the service, if there is one, is in order."""
    place = known.place
    if installed_service(place.paths, place.environment) is None:
        yield ok("service.none", _A, "No service is installed: localllm service install makes one.")
        return
    view = read_service_status(place.paths, place.environment)
    found = list(judge(view))
    yield from found
    if all(one.severity is Severity.NOTE for one in found):
        yield ok("service.right", _A, f"The service is {view.state} and up to date.")


def judge(view: ServiceView) -> Iterator[Finding]:
    """Say what is wrong with a service that is installed."""
    if view.problem is not None:
        yield Finding(
            "service.problem",
            _A,
            Severity.WARNING,
            "The service cannot be looked at.",
            view.problem,
            "localllm service status",
        )
    if view.outdated:
        yield Finding(
            "service.outdated",
            _A,
            Severity.WARNING,
            "The service's file is not what this version would write.",
            "; ".join(view.outdated),
            view.install_command,
            RenewService(),
        )
    if view.state == "failed":
        yield Finding(
            "service.failed",
            _A,
            Severity.PROBLEM,
            "The service has given up.",
            view.last_exit or "it ended again and again",
            "localllm service logs",
        )
    if view.outside is not None:
        yield Finding(
            "service.outside",
            _A,
            Severity.WARNING,
            f"A daemon (process {view.outside}) runs beside the service.",
            "nobody starts it again when it ends, and the service cannot start meanwhile",
            view.install_command,
        )
    yield from _of_start(view)


def _of_start(view: ServiceView) -> Iterator[Finding]:
    if view.problem is not None:
        return
    if not view.enabled:
        yield Finding(
            "service.not-enabled",
            _A,
            Severity.NOTE,
            "The service does not start by itself.",
            "after the next start of the computer nothing is served",
            view.install_command,
        )
    elif view.lingers is False:
        yield Finding(
            "service.login",
            _A,
            Severity.NOTE,
            "The service starts when you log in, and ends when you log out.",
            "lingering keeps it running from the boot on",
            "loginctl enable-linger",
        )
