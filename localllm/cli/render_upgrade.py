"""Draw what an upgrade would change. Pure."""

from __future__ import annotations

import msgspec

from localllm.cli.tables import table
from localllm.installation.method import NAME
from localllm.installation.planning import Upgrade
from localllm.installation.rehearsal import Change


class UpgradeView(msgspec.Struct, frozen=True):
    """What `upgrade --json` says."""

    installed: str
    version: str
    """That there is, or that was asked for."""

    is_needed: bool
    method: str
    packages: tuple[Change, ...]
    engines: tuple[Change, ...]
    state: tuple[Change, ...]
    changelog: str


def view_of(upgrade: Upgrade, *, due: bool) -> UpgradeView:
    """Make the document of it."""
    return UpgradeView(
        installed=upgrade.installed.version,
        version=upgrade.version,
        is_needed=due,
        method=upgrade.installed.method.value,
        packages=upgrade.packages,
        engines=upgrade.engines,
        state=upgrade.state,
        changelog=upgrade.changelog,
    )


def render_upgrade(upgrade: Upgrade, *, due: bool) -> list[str]:
    """Draw it for people: nothing of what stays as it is."""
    was, by = upgrade.installed.version, upgrade.installed.method
    if not due:
        newest = "" if upgrade.version == was else f"; the newest there is: {upgrade.version}"
        return [f"localllm {was}, installed by {by}, is up to date{newest}"]
    lines = [f"localllm {was} -> {upgrade.version}, by {by}"]
    lines += _part("what it needs", [one for one in upgrade.packages if one.name != NAME])
    lines += _part("engines that can be had", upgrade.engines)
    if upgrade.state and not upgrade.goes_back:
        lines += _part("files that move forward, copies of them stay", upgrade.state)
    elif upgrade.state:
        lines += ["", "files that it will not read, and leaves as they are:"]
        lines += [f"  {one.name}" for one in upgrade.state]
    if upgrade.changelog:
        lines += ["", upgrade.changelog]
    return lines


def _part(title: str, changes: tuple[Change, ...] | list[Change]) -> list[str]:
    if not changes:
        return []
    rows = [["", one.name, one.before or "-", "->", one.after or "-"] for one in changes]
    return ["", f"{title}:", *table(rows)]
