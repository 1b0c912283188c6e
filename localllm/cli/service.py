"""`localllm service`: start with the machine, as a systemd user unit or a launchd agent."""

from __future__ import annotations

import os
import sys

import click

from localllm.cli.conventions import here, json_option, print_document, say
from localllm.errors import NotRunning
from localllm.paths import Paths
from localllm.service.view import ServiceView

_NOT_INSTALLED, _NOT_RUNNING = 1, 4
_STARTS_AT_LOGIN = "it starts at your login; at boot with: localllm service install --linger"
_LISTENS_AT_LOGIN = "systemd listens from your login on; from boot on with --linger"


@click.group("service")
def command() -> None:
    """Start with the machine, come back after a crash, and serve again what was served.

    A systemd user unit on Linux, a launchd agent on macOS; neither needs root. With it, `localllm
    up` starts the service, and `localllm down` stops it until the next login.
    """


@command.command("install")
@click.option(
    "--socket", "by_socket", is_flag=True, help="Linux: the first request starts it, not the login."
)
@click.option("--linger", is_flag=True, help="Linux: start at boot, before any login.")
@json_option
def install(*, by_socket: bool, linger: bool, as_json: bool) -> None:
    """Write the service and start it; what runs is handed over, with all that it serves.

    Doing it again brings the service's file up to date.
    """
    from localllm.cli.service_install import put_in_place  # noqa: PLC0415  # status needs none of it
    from localllm.service.facts import read_facts  # noqa: PLC0415
    from localllm.service.surroundings import enable_lingering, require_manager  # noqa: PLC0415

    manager, paths = require_manager(os.environ), here()
    if manager.kind != "systemd" and (by_socket or linger):
        raise click.UsageError("--socket and --linger are systemd's; launchd has no such thing.")
    facts = read_facts(paths, os.environ, by_socket=by_socket)
    for each in facts.left_out:
        say(f"{each.name} does not go along: {each.why}")
    put_in_place(manager, facts.wanted, paths)
    if linger:
        enable_lingering(os.environ)
    view = _view(paths)
    print_document(view, [*_lines(view), *_advice(view)], as_json=as_json)


@command.command("uninstall")
def uninstall() -> None:
    """Let running requests finish, stop the service, and take its files away.

    Models, settings and what was served stay as they are: `localllm up` serves it again.
    """
    from localllm.service.installed import installed_service  # noqa: PLC0415
    from localllm.service.surroundings import lingers, require_manager  # noqa: PLC0415

    service = installed_service(here(), os.environ)
    if service is None:
        say("no service is installed")
        return
    require_manager(os.environ)
    service.uninstall()
    say("the service is gone; localllm up serves the same again")
    if service.manager.kind == "systemd" and lingers():
        say("lingering is on still; if nothing else of yours needs it: loginctl disable-linger")


@command.command("status")
@json_option
def status(*, as_json: bool) -> int:
    """Show how it is with the service.

    Exit codes: 0 it runs, or starts with the first request; 4 it does not run; 1 there is none.
    """
    view = _view(here())
    print_document(view, _lines(view), as_json=as_json)
    if not view.installed:
        return _NOT_INSTALLED
    return 0 if view.state == "active" or view.listens else _NOT_RUNNING


@command.command("logs")
@click.option("-f", "--follow", is_flag=True, help="Go on showing what comes.")
@click.option("-n", "--lines", type=click.IntRange(1, 10_000), default=200, show_default=True)
def logs(*, follow: bool, lines: int) -> None:
    """Show what the daemon wrote; what its engines wrote is in `localllm logs MODEL`."""
    from localllm.cli.logs import put_out  # noqa: PLC0415
    from localllm.service.log_tail import follow as following  # noqa: PLC0415
    from localllm.service.log_tail import read_tail  # noqa: PLC0415

    file = here().daemon_log
    try:
        tail, place = read_tail(file, lines)
    except FileNotFoundError as error:
        raise NotRunning(
            "There is no log yet.", why=f"no daemon has written {file}", fix="localllm up"
        ) from error
    put_out([tail])
    if follow:
        put_out(following(file, place))


def _view(paths: Paths) -> ServiceView:
    from localllm.service.installed import read_service_status  # noqa: PLC0415

    return read_service_status(paths, os.environ)


def _lines(view: ServiceView) -> list[str]:
    from localllm.cli.render_service import render_service  # noqa: PLC0415

    return render_service(view)


def _advice(view: ServiceView) -> list[str]:
    """Say what a user of a service wants to know first."""
    lines = ["", "logs: localllm service logs -f"]
    if view.lingers is False:
        lines.append(_LISTENS_AT_LOGIN if view.by_socket else _STARTS_AT_LOGIN)
    if sys.platform == "darwin":
        lines.append("it starts at your login; macOS starts agents of a user at no other time")
    return lines
