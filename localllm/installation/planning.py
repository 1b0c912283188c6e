"""Finds out what an upgrade would change: fetches the version that is wanted, and has it rehearsed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

import localllm
from localllm.errors import LocalLLMError
from localllm.installation import commands
from localllm.installation.commands import Source
from localllm.installation.keeping import keep_packages, keep_program, kept_wheel
from localllm.installation.method import NAME, Installed, Method
from localllm.installation.news import (
    engine_changes,
    package_in,
    profiles_in,
    read_changes,
    state_changes,
)
from localllm.installation.rehearsal import Change, parse_pip, parse_uv, plain_name, version_key
from localllm.installation.running import InstallerFailed, run_installer
from localllm.paths import Paths, bundled_profiles


class NotUpgradable(LocalLLMError):
    """It was installed in a way that is not ours to repeat."""


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What would take the place of what is here."""

    installed: Installed
    version: str
    source: Source
    packages: tuple[Change, ...]
    """The program's own, and what it needs."""

    engines: tuple[Change, ...]
    """Newest pinned versions."""

    state: tuple[Change, ...]
    """Versions of state files."""

    changelog: str
    """Of the versions in between; empty where there is none, or it goes back."""

    @property
    def is_needed(self) -> bool:
        return self.version != self.installed.version

    @property
    def goes_back(self) -> bool:
        return version_key(self.version) < version_key(self.installed.version)


def require_upgradable(installed: Installed) -> None:
    """Let only those pass that an installer can replace.

    Raises:
        NotUpgradable: It is a checkout, or the system's own.
    """
    if installed.method in {Method.CHECKOUT, Method.SYSTEM}:
        raise NotUpgradable(
            "localllm does not replace itself here.",
            why=f"it runs from {installed.method} ({installed.folder})",
            fix=commands.by_hand(installed),
        )


def plan_upgrade(
    installed: Installed,
    wanted: tuple[str | None, Source],
    paths: Paths,
    into: Path,
    environment: Mapping[str, str],
) -> Upgrade:
    """Fetch the program alone into a folder, read what it brings, and ask what it needs.

    Args:
        wanted: A version, None for the newest; and where from. One that was kept is at hand.

    Raises:
        LocalLLMError: It cannot be had, or what it needs cannot.
    """
    version, source = wanted
    kept = None if version is None or source != Source() else kept_wheel(paths.data, version)
    source = source if kept is None else Source(wheel=kept)
    asked = commands.requirement(installed, version, source)
    name = "The newest version" if version is None else f"localllm {version}"
    fetched = commands.fetch(installed, [asked], into, source)
    run_installer(fetched, environment, f"{name} could not be fetched.")
    package, found = package_in(into), _version_in(into)
    exact = commands.requirement(installed, found, source)
    old = Path(localllm.__file__).parent
    return Upgrade(
        installed,
        found,
        source,
        packages=_rehearsed(installed, exact, source, environment),
        engines=engine_changes(bundled_profiles(), profiles_in(package), paths.config),
        state=state_changes(old, package),
        changelog=read_changes(package, installed.version, found),
    )


def fetch_packages(upgrade: Upgrade, into: Path, environment: Mapping[str, str]) -> None:
    """Bring all that will change, so that nothing is lacking once the daemon is down.

    Raises:
        LocalLLMError: Something cannot be had; nothing has changed.
    """
    others = [f"{one.name}=={one.after}" for one in upgrade.packages if one.after]
    wanted = [one for one in others if not one.startswith(f"{NAME}==")]
    if wanted:
        words = commands.fetch(upgrade.installed, wanted, into, upgrade.source)
        run_installer(words, environment, "What the new version needs could not be fetched.")


def install(upgrade: Upgrade, environment: Mapping[str, str]) -> None:
    """Put the new version in the place of the old one.

    Raises:
        LocalLLMError: It failed; installers leave what was there.
    """
    asked = commands.requirement(upgrade.installed, upgrade.version, upgrade.source)
    words = commands.install(upgrade.installed, asked, upgrade.source)
    run_installer(words, environment, f"localllm {upgrade.version} could not be installed.")


def keep_before(upgrade: Upgrade, data: Path, into: Path) -> tuple[Path, ...]:
    """Keep what is here and will change: the program among earlier ones, the rest in a folder.

    Returns:
        Their wheels, the program's first.

    Raises:
        OSError: The disk is full, or a file cannot be read.
    """
    program = keep_program(upgrade.installed, data, spared=upgrade.source.wheel)
    names = {plain_name(one.name) for one in upgrade.packages if one.before} - {NAME}
    return program, *keep_packages(upgrade.installed, names, into)


def install_again(upgrade: Upgrade, wheels: Sequence[Path], environment: Mapping[str, str]) -> None:
    """Put the old version back, and what it needs as it was; that needs no network.

    Args:
        wheels: As `keep_before` has kept them.

    Raises:
        LocalLLMError: It failed.
    """
    failed = f"localllm {upgrade.installed.version} is not back."
    if upgrade.installed.method in {Method.UV_TOOL, Method.PIPX}:  # which remember what they did
        asked = commands.requirement(upgrade.installed, None, Source(wheel=wheels[0]))
        with suppress(LocalLLMError):  # they may ask an index
            words = commands.install(upgrade.installed, asked, upgrade.source.without_wheel)
            run_installer(words, environment, failed)
    run_installer(commands.put_back(upgrade.installed, wheels), environment, failed)


def _version_in(folder: Path) -> str:
    info = next(iter(folder.glob(f"{NAME}-*.dist-info")), None)
    if info is None:
        raise InstallerFailed(
            "What was fetched is no localllm.",
            why=f"there is no {NAME} in it",
            fix="name another source: --from",
        )
    return info.stem.removeprefix(f"{NAME}-")


def _rehearsed(
    installed: Installed, wanted: str, source: Source, environment: Mapping[str, str]
) -> tuple[Change, ...]:
    words = commands.rehearse(installed, [wanted], source)
    out, said = run_installer(words, environment, "What would change cannot be told.")
    if words[0] == "uv":
        return parse_uv(said)
    here = {plain_name(one.name): one.version for one in distributions() if one.name}
    try:
        return parse_pip(out, here)
    except (ValueError, KeyError) as error:
        raise InstallerFailed(
            "What would change cannot be told.",
            why=f"pip's report cannot be read: {error}",
            fix=f"{installed.python} -m pip install --upgrade pip, and try again",
        ) from error
