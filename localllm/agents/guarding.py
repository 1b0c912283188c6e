"""Whether localllm may write to a file: its user's own settings, and nothing of a project's.

A repository's settings file travels to everyone who clones it, and an agent that reads it sends
its key wherever the file says (CVE-2026-21852). Agents' user-wide files are never in one, unless a
variable says otherwise: such a variable may come from the repository itself, by way of direnv.
"""

from __future__ import annotations

from pathlib import Path

from localllm.agents.errors import NotOurs
from localllm.agents.places import Place


def target_of(file: Path, place: Place, home: Path, cwd: Path) -> Path:
    """Find the file to write to: at the end of the links, which stay.

    Raises:
        NotOurs: It is part of a project, or a link leads out of the home folder.
    """
    if place.led_by is not None:
        _refuse_project(file, place.led_by, home, cwd)
    target = file.resolve()
    if file.is_symlink() and not _within(target, home.resolve()):
        raise NotOurs(
            f"{file} is a link to {target}, which is not in your home folder.",
            why="localllm writes to its user's own files only",
            fix=f"put these settings into it yourself, or make {file} a file",
        )
    return target


def repository_around(file: Path) -> Path | None:
    """Find the git repository that a file is in; None if it is in none."""
    for folder in file.resolve().parents:
        if (folder / ".git").exists():
            return folder
    return None


def _refuse_project(file: Path, variable: str, home: Path, cwd: Path) -> None:
    why = _why_a_project(file, home.resolve(), cwd.resolve())
    if why is not None:
        raise NotOurs(
            f"{variable} leads to {file}, which localllm does not write to.",
            why=f"{why}, and settings with an endpoint are no part of a project",
            fix=f"unset {variable}, or set it to a folder of your own, outside of any project",
        )


def _why_a_project(file: Path, home: Path, cwd: Path) -> str | None:
    if not file.is_absolute():
        return "it is relative to the working directory"
    repository = repository_around(file)
    if repository is not None and not _within(home, repository):
        return f"it is in the git repository {repository}"
    if _within(file.resolve(), cwd) and not _within(home, cwd):
        return "it is in the working directory"
    return None


def _within(inner: Path, outer: Path) -> bool:
    return inner == outer or outer in inner.parents
